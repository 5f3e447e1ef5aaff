//! Which of the kernels that compute the same an adapter runs fastest. Each candidate must give the plain kernels' very bits
//! before its time counts, so that no choice changes a reply, and a driver that miscompiles one does without it. The one
//! choice that changes bits is f16 in a prefill: it must come near enough, and be faster by a tenth, lest the clock's noise decide.

use std::str::FromStr;

use web_time::Instant;

use super::device::{Device, Variant};
use super::kernels::linear::{Columns, Input, Linear, Output};
use super::self_test;
use super::state::{Sequence, State};
use super::weights::Matrix;
use crate::error::{Error, Result};
use crate::formats::DType;

/// A product as a layer has them.
const ROWS: usize = 2048;
const COLUMNS: usize = 1024;
/// Tokens of a prefill's product: two tiles, as a first chunk has.
const TOKENS: usize = 64;
/// Products of one submit at most, so that the clock's grain and the way to the device matter little.
const REPETITIONS: usize = 24;
/// Milliseconds of such a submit, by which a slow device gets by with fewer.
const SUBMIT_MS: f64 = 20.0;
/// Submits of which the fastest counts.
const ROUNDS: usize = 3;
/// Milliseconds after which no further candidate is tried: where products take that long, launches matter little.
const BUDGET_MS: f64 = 300.0;
/// ‖f16 − f32‖² / ‖f32‖² of a product at most.
pub const F16_ERROR: f64 = 5e-6;
/// Of f32's time that f16 may take at most.
const F16_TIME: f64 = 0.9;

/// The device with its fastest kernels, once they have passed the self-test; or with those of `known`, an earlier result's text
/// on this adapter. Fails with `self-test-failed` when even the plain kernels compute garbage.
pub async fn tuned(device: Device, known: Option<&str>) -> Result<Device> {
    let known = known.and_then(|text| text.parse::<Variant>().ok());
    if let Some(variant) = known.filter(|variant| device.has_f16() || !variant.f16) {
        return Ok(device.with_variant(variant));
    }
    let variant = if device.software { Variant::default() } else { choose(&device).await? };
    let candidate = device.clone().with_variant(variant);
    match self_test::run(&candidate).await {
        Err(_) if variant != Variant::default() => {
            let plain = device.with_variant(Variant::default());
            self_test::run(&plain).await?;
            Ok(plain)
        }
        result => result.map(|()| candidate),
    }
}

/// The fastest variant: subgroups or not first, then the size of workgroups, then the numbers of a prefill.
async fn choose(device: &Device) -> Result<Variant> {
    let bench = Bench::new(device, Columns::Sequences(1), 1);
    let begun = Instant::now();
    let plain = bench.run(Variant::default()).await?;
    let mut best = (Variant::default(), plain.milliseconds);
    for subgroups in [true, false] {
        for workgroup in [128, 64, 256] {
            let variant = Variant { subgroups, workgroup, ..Variant::default() };
            let decided = subgroups != best.0.subgroups && workgroup != Variant::default().workgroup;
            let late = begun.elapsed().as_secs_f64() * 1e3 > BUDGET_MS;
            if decided || late || variant == Variant::default() {
                continue;
            }
            // A shader that the browser refuses, or that computes something else, is no candidate.
            if let Ok(run) = bench.run(variant).await
                && run.bits == plain.bits
                && run.milliseconds < best.1
            {
                best = (variant, run.milliseconds);
            }
        }
    }
    Ok(Variant { f16: device.has_f16() && prefers_f16(device).await?, ..best.0 })
}

/// Whether f16 does for a prefill, and pays.
async fn prefers_f16(device: &Device) -> Result<bool> {
    let bench = Bench::new(device, Columns::Tokens, TOKENS);
    let plain = bench.run(Variant::default()).await?;
    let Ok(half) = bench.run(Variant { f16: true, ..Variant::default() }).await else { return Ok(false) };
    Ok(square_error(&half.bits, &plain.bits) <= F16_ERROR && half.milliseconds <= F16_TIME * plain.milliseconds)
}

/// ‖a − b‖² / ‖b‖².
fn square_error(a: &[u8], b: &[u8]) -> f64 {
    let numbers = bytemuck::pod_collect_to_vec::<u8, f32>;
    let b: Vec<f64> = numbers(b).into_iter().map(f64::from).collect();
    self_test::relative_error(&numbers(a), &b).powi(2)
}

/// One product, to be computed by every candidate.
struct Bench {
    device: Device,
    columns: Columns,
    tokens: usize,
    matrix: Matrix,
    x: wgpu::Buffer,
    weight: wgpu::Buffer,
    y: wgpu::Buffer,
    state: State,
}

struct Run {
    bits: Vec<u8>,
    milliseconds: f64,
}

impl Bench {
    fn new(device: &Device, columns: Columns, tokens: usize) -> Self {
        let matrix = Matrix::new(device, DType::Q4_0, ROWS, COLUMNS);
        matrix.write(device, 0, &self_test::blocks(DType::Q4_0, ROWS * COLUMNS, 1));
        let numbers = |label, count, seed| device.storage_of(label, &self_test::blocks(DType::F32, count, seed));
        let (x, weight) = (numbers("x", tokens * COLUMNS, 2), numbers("weight", COLUMNS, 3));
        let y = device.storage("y", tokens * ROWS * 4);
        let state = State::new(device, 1);
        state.write_columns(tokens, &[(0, 0)]);
        state.write_sequence(0, Sequence::default());
        Self { device: device.clone(), columns, tokens, matrix, x, weight, y, state }
    }

    async fn run(&self, variant: Variant) -> Result<Run> {
        let device = self.device.clone().with_variant(variant);
        let input = match self.columns {
            Columns::Tokens => Input::Plain(&self.x),
            Columns::Sequences(_) => Input::Norm { x: &self.x, weight: &self.weight, eps: 1e-6 },
        };
        let linear = Linear {
            matrix: &self.matrix,
            input,
            output: Output::Store,
            y: &self.y,
            y_columns: ROWS,
            y_offset: 0,
            columns: self.columns,
            state: &self.state.buffer,
        };
        let bytes = self.tokens * ROWS * 4;
        device.queue.write_buffer(&self.y, 0, &vec![0; bytes]);
        let dispatches = device.checked(|| linear.dispatches(&device)).await?;
        let bits = self.submit(&dispatches, 1, bytes).await?;
        let timed = async |times: usize| -> Result<f64> {
            let begun = Instant::now();
            self.submit(&dispatches, times, 4).await?;
            Ok(begun.elapsed().as_secs_f64() * 1e3 / times as f64)
        };
        let times = ((SUBMIT_MS / timed(1).await?) as usize).clamp(1, REPETITIONS);
        let mut milliseconds = f64::INFINITY;
        for _ in 0..ROUNDS {
            milliseconds = milliseconds.min(timed(times).await?);
        }
        Ok(Run { bits, milliseconds })
    }

    async fn submit(&self, dispatches: &[super::device::Dispatch], times: usize, bytes: usize) -> Result<Vec<u8>> {
        let mut encoder = self.device.encoder();
        self.device.encode(&mut encoder, self.tokens as u32, std::iter::repeat_n(dispatches, times).flatten());
        let staged = self.device.stage(&mut encoder, &self.y, bytes);
        self.device.read(self.device.submit(encoder, staged)).await
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (adds, numbers) = (if self.subgroups { "subgroups" } else { "shared" }, if self.f16 { "-f16" } else { "" });
        write!(f, "{adds}-{}{numbers}", self.workgroup)
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kernels, f16) = text.strip_suffix("-f16").map_or((text, false), |kernels| (kernels, true));
        let parsed = kernels.split_once('-').and_then(|(adds, workgroup)| {
            let subgroups = ["shared", "subgroups"].iter().position(|word| *word == adds)? == 1;
            let workgroup = workgroup.parse().ok().filter(|threads| [64, 128, 256].contains(threads))?;
            Some(Self { subgroups, workgroup, f16 })
        });
        parsed.ok_or_else(|| Error::invalid(format!("{text} names no variant of the kernels")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::{hardware, variants};
    use pollster::block_on;

    #[test]
    fn every_variant_computes_the_same_bits() {
        let device = hardware();
        let bench = Bench::new(&device, Columns::Sequences(1), 1);
        let plain = block_on(bench.run(Variant::default())).unwrap().bits;
        assert!(plain.iter().any(|byte| *byte != 0));
        for variant in variants(&device) {
            assert!(block_on(bench.run(variant)).unwrap().bits == plain, "{variant}");
        }
    }

    #[test]
    fn an_f16_prefill_comes_near_enough() {
        let device = hardware();
        assert!(device.has_f16(), "{} has no shader-f16", device.description);
        let bench = Bench::new(&device, Columns::Tokens, TOKENS);
        let run = |f16| block_on(bench.run(Variant { f16, ..Variant::default() })).unwrap();
        let (plain, half) = (run(false), run(true));
        println!("f16 takes {:.2} of f32's {:.0} ms", half.milliseconds / plain.milliseconds, plain.milliseconds);
        let error = square_error(&half.bits, &plain.bits);
        assert!(error > 0.0 && error <= F16_ERROR, "{error:.1e}");
    }

    #[test]
    fn the_choice_is_one_of_the_variants_and_is_kept_as_text() {
        let device = hardware();
        let chosen = block_on(tuned(device.clone(), None)).unwrap().variant;
        assert!(variants(&device).contains(&Variant { f16: false, ..chosen }), "{chosen}");
        let again = block_on(tuned(device.clone(), Some(&chosen.to_string()))).unwrap().variant;
        assert_eq!(again, chosen);
        let text = if chosen.workgroup == 64 { "shared-256" } else { "shared-64" };
        let told = block_on(tuned(device, Some(text))).unwrap().variant;
        assert_eq!(told.to_string(), text, "what is known is not measured again");
    }

    #[test]
    fn a_text_of_another_version_is_not_taken() {
        for text in ["", "shared", "shared-", "shared-96", "warps-64", "subgroups-64-2", "f16", "shared-64-f16-f16"] {
            assert!(text.parse::<Variant>().is_err(), "{text}");
        }
    }
}
