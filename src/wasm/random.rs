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
unsafe extern "Rust" fn __getrandom_v03_custom(to: *mut u8, length: usize) -> Result<(), Error> {
    // Browsers give at most so many at a time.
    const MOST: usize = 65_536;
    for start in (0..length).step_by(MOST) {
        let bytes = Uint8Array::new_with_length(MOST.min(length - start) as u32);
        get_random_values(&bytes).map_err(|_| Error::UNSUPPORTED)?;
        // SAFETY: `getrandom` gives memory of that length, of which these are the next bytes.
        unsafe { bytes.raw_copy_to_ptr(to.add(start)) };
    }
    Ok(())
}
