//! Threads that compute beside the CPU engine, on its own memory: instances of the same module, which know nothing but pieces of
//! work that is somewhere in that memory.

use wasm_bindgen::prelude::*;

use super::engine::now;
use crate::cpu;

/// Bytes of a thread's stack.
const STACK: usize = 256 * 1024;

#[wasm_bindgen]
extern "C" {
    /// `Threads` of `js/threads.ts`.
    pub type JsThreads;

    #[wasm_bindgen(method, getter)]
    fn count(this: &JsThreads) -> usize;

    #[wasm_bindgen(method)]
    fn start(this: &JsThreads, stack_end: usize);

    #[wasm_bindgen(method)]
    fn run(this: &JsThreads, work: usize, pieces: usize);

    #[wasm_bindgen(method)]
    fn end(this: &JsThreads);
}

/// Threads on stacks of this memory.
pub struct Threads {
    js: JsThreads,
    /// Of all but this one.
    _stacks: Vec<Vec<u128>>,
}

impl Threads {
    /// Starts as many as `js` counts.
    pub fn start(js: JsThreads) -> Self {
        let mut stacks: Vec<_> = (1..js.count()).map(|_| vec![0; STACK / size_of::<u128>()]).collect();
        // Stacks grow downwards.
        stacks.iter_mut().for_each(|stack| js.start(stack.as_mut_ptr_range().end.expose_provenance()));
        Self { js, _stacks: stacks }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.js.end();
    }
}

/// What [`qwen3_piece`] calls.
struct Work<'a>(&'a (dyn Fn(usize, usize) + Sync));

impl cpu::Threads for Threads {
    fn count(&self) -> usize {
        self.js.count()
    }

    fn run(&self, pieces: usize, piece: &(dyn Fn(usize, usize) + Sync)) {
        let work = Work(piece);
        self.js.run((&raw const work).expose_provenance(), pieces);
    }

    fn now(&self) -> f64 {
        now()
    }
}

/// A thread computes one piece of the work that [`Threads::run`] has announced.
#[unsafe(no_mangle)]
extern "C" fn qwen3_piece(work: *const Work<'_>, thread: usize, piece: usize) {
    // SAFETY: `js/threads.ts` gives what it was given by `run`, which keeps it until no thread is at work; the closure may be called
    // from any thread, since all have one memory and, as instances of one module, the same function tables.
    let work = unsafe { &*work };
    (work.0)(thread, piece);
}
