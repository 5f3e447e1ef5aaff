//! The edge: JavaScript values in and out. One source for five builds: an engine for each device and one for several threads of the CPU, and what they
//! fetches when it needs it, the grammars of replies that have to keep to a form and the chat templates of other models.

#[cfg(all(feature = "cpu", not(feature = "gpu")))]
mod cpu;
#[cfg(any(feature = "gpu", feature = "cpu"))]
mod engine;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "grammar")]
mod grammar;
#[cfg(any(feature = "gpu", feature = "cpu"))]
mod grammars;
#[cfg(feature = "jinja")]
mod jinja;
mod random;
#[cfg(any(feature = "gpu", feature = "cpu"))]
mod templates;
#[cfg(all(feature = "cpu", not(feature = "gpu")))]
mod threads;
mod thrown;
#[cfg(any(feature = "gpu", feature = "cpu"))]
mod values;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}
