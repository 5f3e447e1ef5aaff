//! Work shared out among threads that see the same memory: each takes the next piece that nobody has begun.
//!
//! A piece's results are the same whoever computes it, so that a reply depends neither on how many threads there are nor on which
//! of them is lost.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use super::activations::Activations;
use super::attention::Attending;
use super::matrix::{Matrix, Unpacking};

/// Threads that work for this one.
pub trait Threads {
    /// How many there are, this one included.
    fn count(&self) -> usize;

    /// Calls `piece(thread, index)` for every index below `pieces`, where `thread` is below [`Threads::count`] and no two calls at a
    /// time have the same. Returns when all have been made, each at least once.
    ///
    /// Other threads than this one may be without an allocator and unable to unwind: `piece` must neither allocate nor panic.
    fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync));

    /// Milliseconds on a clock that only goes forward.
    fn now(&self) -> f64;
}

/// A thread's own buffers.
#[derive(Default)]
pub struct Scratch {
    /// For products.
    pub unpacking: Unpacking,
    /// For attention.
    pub attending: Attending,
}

/// No other thread than this one.
struct Alone;

impl Threads for Alone {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync)) {
        (0..pieces).for_each(|index| piece(0, index));
    }

    fn now(&self) -> f64 {
        0.0
    }
}

/// Threads and the buffers of each.
pub struct Team {
    threads: Box<dyn Threads>,
    scratches: Vec<Mutex<Scratch>>,
    pace: Pace,
    /// Whether the other threads take part now.
    together: bool,
}

/// Numbers that the pieces of some work write, each its own.
pub struct Outputs<'a>(&'a [Cell<f32>]);

// SAFETY: the pieces of one work write different numbers, and nobody reads any before all pieces are done.
unsafe impl Sync for Outputs<'_> {}

impl<'a> Outputs<'a> {
    /// All of `out`.
    pub fn of(out: &'a mut [f32]) -> Self {
        Self(Cell::from_mut(out).as_slice_of_cells())
    }

    /// What a piece may write to, where they are its own.
    pub fn cells(&self) -> &[Cell<f32>] {
        self.0
    }
}

impl Team {
    /// These threads, or this one alone.
    pub fn new(threads: Option<Box<dyn Threads>>) -> Self {
        let threads = threads.unwrap_or(Box::new(Alone));
        let scratches = (0..threads.count()).map(|_| Mutex::default()).collect();
        Self { threads, scratches, pace: Pace::default(), together: true }
    }

    /// Takes tokens through all layers with `step`: several on all threads, one on all or on this one alone, whichever was faster
    /// lately, because processors that are busy with something else make the others a hindrance. The head follows the last choice.
    pub fn step<R>(&mut self, tokens: usize, step: impl FnOnce(&mut Self) -> R) -> R {
        if tokens > 1 || self.scratches.len() == 1 {
            self.together = true;
            return step(self);
        }
        self.together = self.pace.choose();
        let began = self.threads.now();
        let result = step(self);
        self.pace.took(self.together, self.threads.now() - began);
        result
    }

    /// Calls `piece` for every index below `pieces`, on all threads, with buffers that `fit` has made large enough.
    pub fn share(&mut self, pieces: usize, fit: impl Fn(&mut Scratch), piece: impl Fn(&mut Scratch, usize) + Sync) {
        for scratch in &mut self.scratches {
            fit(scratch.get_mut().unwrap_or_else(PoisonError::into_inner));
        }
        let threads: &dyn Threads = if self.together { &*self.threads } else { &Alone };
        threads.run(pieces, &|thread, index| {
            // Nobody else has this thread's, so that nothing is waited for.
            let mut scratch = self.scratches[thread].lock().unwrap_or_else(PoisonError::into_inner);
            piece(&mut scratch, index);
        });
    }

    /// `out: [tokens, rows] = x · matrixᵀ` for each of the products.
    pub fn multiply<const N: usize>(&mut self, x: &Activations, products: [(&Matrix, &mut [f32]); N]) {
        // With several tokens a row takes longer, and somebody may wait for the last piece.
        let rows = if x.tokens() == 1 { 64 } else { 16 };
        let products = products.map(|(matrix, out)| (matrix, Outputs::of(out)));
        let of_one = |(index, (matrix, _)): (usize, &(&Matrix, Outputs))| {
            let all = matrix.rows();
            (0..all).step_by(rows).map(move |first| (index, first..all.min(first + rows)))
        };
        let pieces: Vec<_> = products.iter().enumerate().flat_map(of_one).collect();
        self.share(
            pieces.len(),
            |scratch| scratch.unpacking.fit(x.columns()),
            |scratch, piece| {
                let (index, rows) = &pieces[piece];
                let (matrix, out) = &products[*index];
                matrix.multiply(rows.clone(), x, &mut scratch.unpacking, out.cells());
            },
        );
    }
}

/// Steps until what is slower is tried again: seldom where it is much slower.
const TRIALS: [usize; 2] = [16, 64];
/// How much slower that is.
const MUCH: f64 = 1.25;

/// How long steps take alone and together.
#[derive(Default)]
struct Pace {
    /// Milliseconds, recent steps counting more.
    took: [Option<f64>; 2],
    /// Since the last that was a trial.
    steps: usize,
}

impl Pace {
    /// Whether the next step is to be made together.
    fn choose(&mut self) -> bool {
        self.steps += 1;
        let [alone, together] = self.took.map(|ms| ms.unwrap_or(0.0));
        let faster = self.took[0].is_none() || together <= alone;
        let much = alone.max(together) > MUCH * alone.min(together);
        if self.steps < TRIALS[usize::from(much)] {
            return faster;
        }
        self.steps = 0;
        !faster
    }

    /// A step took so many milliseconds. That it can be faster is believed at once.
    fn took(&mut self, together: bool, ms: f64) {
        let before = &mut self.took[usize::from(together)];
        *before = Some(before.map_or(ms, |before| ms.min(before + (ms - before) / 4.0)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::{Activations, Matrix, Pace, Team, Threads};
    use crate::cpu::products::tests::random_blocks;
    use crate::formats::{DType, TensorInfo};

    /// So many threads of the operating system, started for each work.
    struct Scoped(usize);

    impl Threads for Scoped {
        fn count(&self) -> usize {
            self.0
        }

        fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync)) {
            let next = AtomicUsize::new(0);
            let take = |thread| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= pieces {
                        break;
                    }
                    piece(thread, index);
                }
            };
            thread::scope(|scope| {
                (0..self.0).for_each(|thread| _ = scope.spawn(move || take(thread)));
            });
        }

        fn now(&self) -> f64 {
            0.0
        }
    }

    /// Every piece is computed by all threads in turn, as when some are lost and their work is done again.
    struct Again(usize);

    impl Threads for Again {
        fn count(&self) -> usize {
            self.0
        }

        fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync)) {
            (0..self.0 * pieces).rev().for_each(|n| piece(n % self.0, n / self.0));
        }

        fn now(&self) -> f64 {
            0.0
        }
    }

    /// Two matrices of one input and their products for `tokens` tokens.
    fn products(threads: Option<Box<dyn Threads>>, tokens: usize) -> [Vec<f32>; 2] {
        let columns = 256;
        let matrices = [(DType::Q4_0, 517), (DType::Q6_K, 10)].map(|(dtype, rows)| {
            let tensor = TensorInfo { name: "w".into(), dtype, shape: vec![rows, columns] };
            let mut matrix = Matrix::with_room_for(&tensor).expect("room");
            matrix.append(0, &random_blocks(dtype, rows * columns, 7)).expect("rows");
            matrix
        });
        let mut x = Activations::default();
        x.set((0..tokens * columns).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0), columns);
        let mut out = matrices.each_ref().map(|matrix| vec![f32::NAN; tokens * matrix.rows()]);
        let ([a, b], [out_a, out_b]) = (&matrices, &mut out);
        Team::new(threads).multiply(&x, [(a, out_a), (b, out_b)]);
        out
    }

    #[test]
    fn products_are_the_same_bits_whoever_computes_which_rows() {
        for tokens in [1, 7] {
            let alone = products(None, tokens);
            for count in [2, 5] {
                assert_eq!(products(Some(Box::new(Scoped(count))), tokens), alone, "{count} threads, {tokens} tokens");
                assert_eq!(products(Some(Box::new(Again(count))), tokens), alone, "{count} times, {tokens} tokens");
            }
        }
    }

    /// How many of so many steps are made together, when they take so many milliseconds alone and together.
    fn together(pace: &mut Pace, steps: usize, [alone, together]: [f64; 2]) -> usize {
        let made = (0..steps).filter(|_| {
            let chosen = pace.choose();
            pace.took(chosen, if chosen { together } else { alone });
            chosen
        });
        made.count()
    }

    #[test]
    fn what_has_been_faster_lately_is_done() {
        let mut pace = Pace::default();
        assert_eq!(together(&mut pace, 15, [2.0, 1.0]), 15, "the first trial is not at once");
        assert!(together(&mut pace, 640, [2.0, 1.0]) >= 629, "processors of their own");
        assert!(together(&mut pace, 640, [2.0, 2.3]) <= 48, "another process comes");
        assert!(together(&mut pace, 640, [2.0, 5.0]) <= 12, "a demanding one");
        assert!(together(&mut pace, 640, [2.0, 1.0]) >= 560, "and goes");
        pace.took(true, 3.0);
        assert!(pace.choose(), "one slow step says nothing");
    }
}
