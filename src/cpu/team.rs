//! Products shared out among threads: each helper computes some rows of every matrix, this thread the others.
//!
//! Helpers hold copies of their rows and nothing of a conversation, and a row's product is the same whoever computes it: a reply
//! does not depend on how many there are, how much they are given, or whether one is lost on the way. How much they are given
//! follows the clock, since a processor that is busy with something else makes a helper a hindrance.

use std::ops::Range;

use super::activations::Activations;
use super::helper::pieces;
use super::matrix::{Matrix, Scratch};
use super::network::TILE;
use crate::formats::TensorInfo;
use crate::model::Pending;

/// Threads with a [`super::Helper`] each.
pub trait Helpers {
    /// How many.
    fn count(&self) -> usize;

    /// Sends [`super::Helper::take`] to one of them; what fails there shows in its next product.
    fn take(&mut self, helper: usize, number: u32, tensor: &TensorInfo, bytes: &[u8]);

    /// Sends [`super::Helper::multiply`] to one of them at once, whose work has so many pieces; resolves to its result.
    fn multiply(&mut self, helper: usize, wanted: &[[u32; 2]], x: &[f32], pieces: usize) -> Pending<'static, Vec<f32>>;

    /// Takes back the first piece, of those that one of them was last asked for, that has not been taken back: whether it has not
    /// begun that one and never will. No, where nobody can say what it has begun.
    fn take_back(&mut self, helper: usize) -> bool;

    /// Milliseconds on a clock that only goes forward.
    fn now(&self) -> f64;
}

/// This thread and its helpers, if it has any.
#[derive(Default)]
pub struct Team {
    helpers: Option<Box<dyn Helpers>>,
    /// Given to the next matrix.
    number: u32,
    /// Quarters of its rows that a helper computes now.
    quarters: usize,
    /// Milliseconds that helpers have been waited for since [`Team::begin`].
    waited: f64,
    shares: [Share; 3],
}

/// What a team does, each with a share of its own for helpers: the layers for one token, the layers for a tile, the head.
#[derive(Clone, Copy)]
pub enum Task {
    /// Of one token.
    Layers,
    /// Of [`TILE`] tokens.
    Tile,
    /// Of one token.
    Head,
}

impl Task {
    /// The layers for so many tokens, in a step that can be compared with others.
    pub fn layers(tokens: usize) -> Option<Self> {
        match tokens {
            1 => Some(Self::Layers),
            TILE => Some(Self::Tile),
            _ => None,
        }
    }
}

impl Team {
    /// This thread with those helpers, if there are any.
    pub fn new(helpers: Option<Box<dyn Helpers>>) -> Self {
        Self { helpers, ..Self::default() }
    }

    /// Sends helpers their part of the rows of `tensor` from `first_row` on, which are `matrix`'s.
    pub fn give(&mut self, matrix: &mut Matrix, tensor: &TensorInfo, first_row: usize, bytes: &[u8]) {
        let Some(helpers) = &mut self.helpers else { return };
        let (rows, row_bytes) = (tensor.rows(), tensor.row_bytes());
        let band = band(rows, helpers.count());
        if band == 0 {
            return;
        }
        let number = *matrix.number.get_or_insert_with(|| {
            self.number += 1;
            self.number - 1
        });
        let part = TensorInfo { name: String::new(), dtype: tensor.dtype, shape: vec![band, tensor.columns()] };
        let given = first_row..first_row + bytes.len() / row_bytes;
        for helper in 0..helpers.count() {
            let end = rows - helper * band;
            let (from, to) = (given.start.max(end - band), given.end.min(end));
            if from < to {
                helpers.take(
                    helper,
                    number,
                    &part,
                    &bytes[(from - first_row) * row_bytes..(to - first_row) * row_bytes],
                );
            }
        }
    }

    /// A task begins; none is one of a size that is seldom. Returns what [`Team::end`] takes.
    pub fn begin(&mut self, task: Option<Task>) -> f64 {
        self.waited = 0.0;
        self.quarters = task.map_or(4, |task| self.shares[task as usize].choose());
        self.helpers.as_ref().map_or(0.0, |helpers| helpers.now())
    }

    /// It is done.
    pub fn end(&mut self, task: Option<Task>, began: f64) {
        if let (Some(helpers), Some(task)) = (&self.helpers, task) {
            self.shares[task as usize].took(self.quarters, helpers.now() - began, self.waited);
        }
    }

    /// `out: [tokens, rows] = x · matrixᵀ` for each of the products: helpers are asked for some rows, the others are computed here,
    /// then what helpers have not begun, and the rest is waited for.
    pub async fn multiply<const N: usize>(
        &mut self,
        x: &mut Activations,
        scratch: &mut Scratch,
        mut products: [(&Matrix, &mut [f32]); N],
    ) {
        let count = self.helpers.as_ref().map_or(0, |helpers| helpers.count());
        let quarters = self.quarters;
        let share =
            |matrix: &Matrix| if matrix.number.is_some() { band(matrix.rows(), count) * quarters / 4 } else { 0 };
        // Where the rows begin that a helper is asked for.
        let first =
            |matrix: &Matrix, helper: usize| matrix.rows() - helper * band(matrix.rows(), count) - share(matrix);
        let wanted = products.each_ref().map(|(matrix, _)| [matrix.number.unwrap_or(0), share(matrix) as u32]);
        let length = x.tokens() * wanted.iter().map(|[_, share]| *share as usize).sum::<usize>();
        let pieces = pieces(&wanted, x.tokens());
        let mut asked = Vec::new();
        if let Some(helpers) = self.helpers.as_mut().filter(|_| length > 0) {
            asked.extend((0..count).map(|helper| helpers.multiply(helper, &wanted, x.all(), pieces.len())));
        }

        x.quantize();
        let x = &*x;
        let mut here = |(matrix, out): &mut (&Matrix, &mut [f32]), rows: Range<usize>| {
            let out = &mut out[rows.start..];
            matrix.multiply(rows, x, scratch, matrix.rows(), out);
        };
        for product in &mut products {
            let matrix = product.0;
            let mut start = 0;
            for helper in (0..count).rev() {
                here(product, start..first(matrix, helper));
                start = first(matrix, helper) + share(matrix);
            }
            here(product, start..matrix.rows());
        }

        let mut back = vec![0; asked.len()];
        if let Some(helpers) = &mut self.helpers {
            for (helper, back) in back.iter_mut().enumerate() {
                while *back < pieces.len() && helpers.take_back(helper) {
                    let (index, rows) = &pieces[*back];
                    let first = first(products[*index].0, helper);
                    here(&mut products[*index], first + rows.start..first + rows.end);
                    *back += 1;
                }
            }
        }

        let finished = self.helpers.as_ref().map_or(0.0, |helpers| helpers.now());
        for ((helper, answer), back) in asked.into_iter().enumerate().zip(back) {
            let answer = answer.await.ok().filter(|values| values.len() == length);
            for of_one in pieces[back..].chunk_by(|a, b| a.0 == b.0) {
                let (index, rows) = (of_one[0].0, of_one[0].1.start..of_one[of_one.len() - 1].1.end);
                let (matrix, out) = &mut products[index];
                let to = first(matrix, helper) + rows.start..first(matrix, helper) + rows.end;
                let Some(values) = &answer else {
                    here(&mut products[index], to);
                    continue;
                };
                let before: usize = wanted[..index].iter().map(|[_, share]| *share as usize).sum();
                let values = values[x.tokens() * before..].chunks_exact(share(matrix));
                for (out, values) in out.chunks_exact_mut(matrix.rows()).zip(values) {
                    out[to.clone()].copy_from_slice(&values[rows.clone()]);
                }
            }
            if answer.is_none() {
                self.helpers = None;
            }
        }
        self.waited += self.helpers.as_ref().map_or(0.0, |helpers| helpers.now() - finished);
    }
}

/// Rows that each of `helpers` holds of a matrix: helper 0 the last, helper 1 those before, and so on.
fn band(rows: usize, helpers: usize) -> usize {
    if helpers == 0 { 0 } else { rows / (helpers + 1) }
}

/// Steps until another share than the fastest is tried: none of the rows first, then one quarter of them, and so on.
const TRIAL: usize = 8;
/// Steps that say nothing yet: engines are still being compiled.
const WARM_UP: usize = 3;
/// Helpers that are waited for less than this part of a step are given all of their rows, and nothing else is tried.
const WAITED: f64 = 0.125;

/// How many quarters of their rows helpers should compute: what was fastest lately. All of them are tried in turn, because a little
/// help can be worse than none and much of it better than either.
#[derive(Default)]
struct Share {
    /// Milliseconds a step took with so many quarters, recent ones counting more.
    took: [Option<f64>; 5],
    steps: usize,
    /// Whether helpers that were given all of their rows were worth waiting for.
    prompt: bool,
}

impl Share {
    fn choose(&mut self) -> usize {
        self.steps += 1;
        let known = (0..5).filter_map(|quarters| Some((quarters, self.took[quarters]?)));
        let fastest = known.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(4, |(quarters, _)| quarters);
        if self.steps.is_multiple_of(TRIAL) && !(fastest == 4 && self.prompt) {
            return (self.steps / TRIAL - 1) % 5;
        }
        fastest
    }

    /// A step took so many milliseconds, of which helpers were waited for so many.
    fn took(&mut self, quarters: usize, ms: f64, waited: f64) {
        if self.steps > WARM_UP {
            let before = self.took[quarters].unwrap_or(ms);
            self.took[quarters] = Some((before + ms) / 2.0);
        }
        if quarters == 4 {
            self.prompt = waited < WAITED * ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicIsize, Ordering};
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::{Activations, Helpers, Matrix, Scratch, Share, TRIAL, Team};
    use crate::cpu::Helper;
    use crate::cpu::products::tests::random_blocks;
    use crate::error::{Error, Result};
    use crate::formats::{DType, TensorInfo};
    use crate::model::Pending;

    type Job = Box<dyn FnOnce(&mut Helper) + Send>;

    /// Threads of the operating system. They answer as many products as `left` says, and fail from then on.
    struct Threads {
        jobs: Vec<Sender<Job>>,
        left: Rc<Cell<usize>>,
        /// Pieces that nobody has begun of what each was last asked for, or none if none can be taken back.
        pieces: Option<Vec<Arc<AtomicIsize>>>,
    }

    impl Threads {
        fn new(count: usize, left: &Rc<Cell<usize>>, shares: bool) -> Box<Self> {
            let start = |_| {
                let (jobs, received) = channel::<Job>();
                thread::spawn(move || {
                    let mut helper = Helper::default();
                    received.into_iter().for_each(|job| job(&mut helper));
                });
                jobs
            };
            let pieces = shares.then(|| (0..count).map(|_| Arc::default()).collect());
            Box::new(Self { jobs: (0..count).map(start).collect(), left: left.clone(), pieces })
        }
    }

    impl Helpers for Threads {
        fn count(&self) -> usize {
            self.jobs.len()
        }

        fn take(&mut self, helper: usize, number: u32, tensor: &TensorInfo, bytes: &[u8]) {
            let (tensor, bytes) = (tensor.clone(), bytes.to_vec());
            let job: Job =
                Box::new(move |helper| helper.take(number as usize, &tensor, &bytes).expect("rows in order"));
            self.jobs[helper].send(job).expect("a thread");
        }

        fn multiply(
            &mut self,
            helper: usize,
            wanted: &[[u32; 2]],
            x: &[f32],
            pieces: usize,
        ) -> Pending<'static, Vec<f32>> {
            let (wanted, x) = (wanted.to_vec(), x.to_vec());
            let (answer, answered) = channel::<Result<Vec<f32>>>();
            let shared = self.pieces.as_ref().map(|all| all[helper].clone());
            if let Some(shared) = &shared {
                shared.store(pieces as isize, Ordering::SeqCst);
            }
            let job: Job = Box::new(move |helper| {
                let begin = || shared.as_ref().is_none_or(|shared| claim(shared));
                let products = helper.multiply(&wanted, x, begin).map(<[f32]>::to_vec);
                answer.send(products).expect("somebody waits");
            });
            self.jobs[helper].send(job).expect("a thread");
            let lost = self.left.get() == 0;
            self.left.set(self.left.get().saturating_sub(1));
            Box::pin(async move {
                let products = answered.recv().expect("an answer")?;
                if lost { Err(Error::internal("the thread is gone")) } else { Ok(products) }
            })
        }

        fn take_back(&mut self, helper: usize) -> bool {
            self.pieces.as_ref().is_some_and(|all| claim(&all[helper]))
        }

        fn now(&self) -> f64 {
            0.0
        }
    }

    fn claim(pieces: &AtomicIsize) -> bool {
        pieces.fetch_sub(1, Ordering::SeqCst) > 0
    }

    /// Two matrices of one input, their rows given in two parts, and their products for `tokens` tokens.
    fn products(helpers: Option<Box<dyn Helpers>>, quarters: usize, tokens: usize) -> [Vec<f32>; 2] {
        let mut team = Team::new(helpers);
        let columns = 256;
        let matrices = [(DType::Q4_0, 517), (DType::Q6_K, 10)].map(|(dtype, rows)| {
            let tensor = TensorInfo { name: "w".into(), dtype, shape: vec![rows, columns] };
            let bytes = random_blocks(dtype, rows * columns, 7);
            let mut matrix = Matrix::with_room_for(&tensor).expect("room");
            let (first, rest) = bytes.split_at(tensor.row_bytes() * 8);
            for (row, bytes) in [(0, first), (8, rest)] {
                matrix.append(row, bytes).expect("rows");
                team.give(&mut matrix, &tensor, row, bytes);
            }
            matrix
        });
        let floats: Vec<f32> = (0..tokens * columns).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
        let mut x = Activations::default();
        x.take(floats.clone(), columns);
        team.quarters = quarters;
        let [a, b] = &matrices;
        let mut out = [vec![0.0; tokens * a.rows()], vec![0.0; tokens * b.rows()]];
        for _ in 0..2 {
            let [out_a, out_b] = &mut out;
            let products = [(a, &mut out_a[..]), (b, &mut out_b[..])];
            pollster::block_on(team.multiply(&mut x, &mut Scratch::default(), products));
        }
        out
    }

    #[test]
    fn products_are_the_same_bits_whoever_computes_which_rows() {
        for tokens in [1, 7] {
            let alone = products(None, 4, tokens);
            for (helpers, quarters, shares) in
                [(1, 4, false), (1, 4, true), (1, 1, true), (2, 3, false), (3, 4, true), (3, 0, true)]
            {
                let all = Rc::new(Cell::new(usize::MAX));
                let shared = products(Some(Threads::new(helpers, &all, shares)), quarters, tokens);
                assert_eq!(shared, alone, "{helpers} helpers, {quarters} quarters, {tokens} tokens, shares: {shares}");
                let asked = if quarters == 0 { 0 } else { 2 * helpers };
                assert_eq!(usize::MAX - all.get(), asked, "products asked for");
            }
        }
    }

    #[test]
    fn what_a_lost_helper_owes_is_computed_here_and_none_is_asked_again() {
        for (answered, shares) in [(0, false), (0, true), (1, false), (3, true)] {
            let left = Rc::new(Cell::new(answered));
            let lost = products(Some(Threads::new(2, &left, shares)), 4, 7);
            assert_eq!(lost, products(None, 4, 7), "{answered} answered, shares: {shares}");
            assert_eq!(left.get(), 0);
        }
    }

    /// What a share becomes when a step takes so many milliseconds with so many quarters.
    fn settled(share: &mut Share, ms: impl Fn(usize) -> f64) -> usize {
        for _ in 0..80 * TRIAL {
            let quarters = share.choose();
            share.took(quarters, ms(quarters), ms(quarters));
        }
        let mut chosen: Vec<usize> = (0..TRIAL).map(|_| share.choose()).collect();
        chosen.sort_unstable();
        chosen[TRIAL / 2]
    }

    #[test]
    fn helpers_are_given_what_has_been_fastest_lately() {
        let mut share = Share::default();
        assert_eq!(settled(&mut share, |quarters| 10.0 - quarters as f64), 4, "a processor of its own");
        assert_eq!(settled(&mut share, |quarters| 10.0 + quarters as f64), 0, "a busy one");
        let mut share = Share::default();
        for step in 1..=TRIAL + 1 {
            let quarters = share.choose();
            assert_eq!(quarters, if step < TRIAL { 4 } else { 0 }, "one that is busy from the start, step {step}");
            share.took(quarters, 10.0 + quarters as f64, 10.0);
        }
        let mut share = Share::default();
        assert_eq!(settled(&mut share, |quarters| (quarters as f64 - 2.0).abs()), 2, "something between");
        assert_eq!(
            settled(&mut share, |quarters| [10.0, 12.0, 11.0, 9.0, 8.0][quarters]),
            4,
            "one that is slow to wake"
        );
    }

    #[test]
    fn nothing_is_tried_while_helpers_are_not_waited_for() {
        let mut share = Share::default();
        for step in 1..=6 * TRIAL {
            let quarters = share.choose();
            assert_eq!(quarters, if step == 6 * TRIAL { 0 } else { 4 }, "step {step}");
            share.took(quarters, 10.0, if step < 5 * TRIAL { 1.0 } else { 5.0 });
        }
    }
}
