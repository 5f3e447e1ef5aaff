//! Threads for the CPU runtime that hold it to what it promises of its pieces of work: that they allocate nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use qwen3_web::cpu;

/// The system's allocator, which counts what is asked of it where nothing may be.
struct Counting;

thread_local! {
    static FORBIDDEN: Cell<bool> = const { Cell::new(false) };
}
static ASKED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ASKED.fetch_add(usize::from(FORBIDDEN.get()), Ordering::Relaxed);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps to what the method asks, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Three threads, started anew for each work.
pub struct StrictThreads {
    started: Instant,
}

impl StrictThreads {
    /// They wait for work.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl cpu::Threads for StrictThreads {
    fn count(&self) -> usize {
        3
    }

    fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let take = |thread| {
            FORBIDDEN.set(true);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= pieces {
                    break;
                }
                piece(thread, index);
            }
            FORBIDDEN.set(false);
        };
        thread::scope(|scope| {
            scope.spawn(|| take(1));
            scope.spawn(|| take(2));
            take(0);
        });
        assert_eq!(ASKED.load(Ordering::Relaxed), 0, "a piece of work has allocated");
    }

    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1e3
    }
}
