//! The edge: JavaScript values in and out. One source for three builds: an engine for each device, and the grammars that
//! either of them fetches when a reply has to keep to a form.

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
mod thrown;
#[cfg(any(feature = "gpu", feature = "cpu"))]
mod values;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}
