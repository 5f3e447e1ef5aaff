//! Random bytes for crates that ask `getrandom` for them. Its own way to the browser's would fill the engine's memory in place, which
//! browsers refuse where that memory is shared.

use getrandom::Error;
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(bytes: &Uint8Array) -> Result<(), JsValue>;
}

/// The name is `getrandom`'s (`getrandom_backend="custom"`, which xtask sets).
#[unsafe(no_mangle)]
extern "Rust" fn __getrandom_v03_custom(to: *mut u8, length: usize) -> Result<(), Error> {
    // SAFETY: `getrandom` calls it with memory of that length.
    let to = unsafe { core::slice::from_raw_parts_mut(to, length) };
    // Browsers give at most so many at a time.
    for to in to.chunks_mut(65_536) {
        let bytes = Uint8Array::new_with_length(to.len() as u32);
        get_random_values(&bytes).map_err(|_| Error::UNSUPPORTED)?;
        bytes.copy_to(to);
    }
    Ok(())
}
