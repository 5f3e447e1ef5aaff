//! Threads that help with products, as the CPU engine and each of them sees it.

use js_sys::{Float32Array, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::engine::now;
use super::thrown::{JsResult, thrown};
use super::values::caught;
use crate::cpu;
use crate::error::{Error, Result};
use crate::formats::{DType, TensorInfo};
use crate::model::Pending;

#[wasm_bindgen]
extern "C" {
    /// `Helpers` of `js/helpers.ts`.
    pub type JsHelpers;

    #[wasm_bindgen(method, getter)]
    fn count(this: &JsHelpers) -> usize;

    #[wasm_bindgen(method)]
    fn take(this: &JsHelpers, helper: usize, number: u32, dtype: &str, rows: usize, columns: usize, bytes: Uint8Array);

    #[wasm_bindgen(method)]
    fn multiply(this: &JsHelpers, helper: usize, wanted: &[u32], x: &[f32], pieces: usize) -> Option<Promise>;

    #[wasm_bindgen(method, js_name = takeBack)]
    fn take_back(this: &JsHelpers, helper: usize) -> bool;

    #[wasm_bindgen(method)]
    fn answer(this: &JsHelpers, helper: usize) -> Option<Float32Array>;

    /// `Question` of `js/shared-channel.ts`.
    pub type JsQuestion;

    #[wasm_bindgen(method)]
    fn begin(this: &JsQuestion) -> bool;

    #[wasm_bindgen(method)]
    fn answer(this: &JsQuestion, products: &[f32]);
}

/// The engine's side.
pub struct Helpers(pub JsHelpers);

impl cpu::Helpers for Helpers {
    fn count(&self) -> usize {
        self.0.count()
    }

    fn take(&mut self, helper: usize, number: u32, tensor: &TensorInfo, bytes: &[u8]) {
        self.0.take(helper, number, tensor.dtype.name(), tensor.rows(), tensor.columns(), bytes.into());
    }

    fn multiply(&mut self, helper: usize, wanted: &[[u32; 2]], x: &[f32], pieces: usize) -> Pending<'static, Vec<f32>> {
        let asked = self.0.multiply(helper, wanted.as_flattened(), x, pieces);
        let helpers = self.0.clone().unchecked_into::<JsHelpers>();
        Box::pin(async move {
            let products = match asked {
                Some(promise) => {
                    JsFuture::from(promise).await.map_err(|thrown| caught(&thrown))?.unchecked_into::<Float32Array>()
                }
                None => helpers.answer(helper).ok_or_else(|| Error::internal("a helper thread is lost"))?,
            };
            Ok(products.to_vec())
        })
    }

    fn take_back(&mut self, helper: usize) -> bool {
        self.0.take_back(helper)
    }

    fn now(&self) -> f64 {
        now()
    }
}

/// A helper's side.
#[wasm_bindgen]
#[derive(Default)]
pub struct Helper(cpu::Helper);

#[wasm_bindgen]
impl Helper {
    /// One that holds nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// More bytes of the rows it holds of a matrix: in all `rows · columns` elements of type `dtype`, as GGUF names it.
    pub fn take(&mut self, number: usize, dtype: &str, rows: usize, columns: usize, bytes: &[u8]) -> JsResult<()> {
        let tensor = dtype_of(dtype).map(|dtype| TensorInfo { name: String::new(), dtype, shape: vec![rows, columns] });
        tensor.and_then(|tensor| self.0.take(number, &tensor, bytes)).map_err(thrown)
    }

    /// Answers a question for products of `x: [tokens, columns]` with the last rows of some matrices, which `wanted` names by
    /// number and count.
    pub fn multiply(&mut self, wanted: &[u32], x: Vec<f32>, question: &JsQuestion) -> JsResult<()> {
        let products = self.0.multiply(wanted.as_chunks().0, x, || question.begin()).map_err(thrown)?;
        question.answer(products);
        Ok(())
    }
}

fn dtype_of(name: &str) -> Result<DType> {
    let found = DType::ALL.into_iter().find(|dtype| dtype.name() == name);
    found.ok_or_else(|| Error::internal(format!("no such type: {name}")))
}
