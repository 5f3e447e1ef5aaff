//! Which of the kernels that compute the same an adapter runs fastest. Each candidate must give the plain kernels' very bits
//! before its time counts, so that no choice changes a reply, and a driver that miscompiles one does without it. The one
//! choice that changes bits is that of the numbers that a prefill multiplies: f16 and integers must come near enough, and be faster
//! than f32 by a tenth, lest the clock's noise decide.

use std::str::FromStr;

use web_time::Instant;

use super::device::{Device, Dispatch, Numbers, Variant};
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
/// Products of one submit at most, so that the clock's grain matters little.
const REPETITIONS: usize = 512;
/// Milliseconds of work in such a submit, by which a slow device gets by with fewer; where the way to it is long, so that its
/// jitter would tell more than the work, up to [`STEP`] times as many.
const SUBMIT_MS: f64 = 16.0;
/// How many times as many products are tried when that was far off.
const STEP: usize = 8;
/// Submits of which the fastest counts.
const ROUNDS: usize = 3;
/// Milliseconds after which no further candidate is tried: where products take that long, launches matter little, and where
/// it is the way to the device, nobody shall wait longer for it.
const BUDGET_MS: f64 = 300.0;
/// ‖y − f32's‖² / ‖f32's‖² of a prefill's product y at most.
pub const SQUARE_ERROR: f64 = 5e-6;
/// Of f32's time that other numbers may take at most.
const SHARE: f64 = 0.9;

/// The device with its fastest kernels, once they have passed the self-test; or with those of `known`, an earlier result's text
/// on this adapter. Fails with `self-test-failed` when even the plain kernels compute garbage.
pub async fn tuned(device: Device, known: Option<&str>) -> Result<Device> {
    let known = known.and_then(|text| text.parse::<Variant>().ok());
    if let Some(variant) = known.filter(|variant| device.has(variant.numbers)) {
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
    let begun = Instant::now();
    let bench = Bench::new(device, Columns::Sequences(1), 1).measured().await?;
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
    Ok(Variant { numbers: choose_numbers(device, bench.latency).await?, ..best.0 })
}

/// Those in which a prefill is near enough and fastest; f32 where the way to the device takes so long that its jitter would decide.
async fn choose_numbers(device: &Device, latency: f64) -> Result<Numbers> {
    if latency > SUBMIT_MS {
        return Ok(Numbers::F32);
    }
    let bench = Bench { latency, ..Bench::new(device, Columns::Tokens, TOKENS) };
    let plain = bench.run(Variant::default()).await?;
    if plain.submit < latency {
        return Ok(Numbers::F32);
    }
    let mut best = (Numbers::F32, SHARE * plain.milliseconds);
    for numbers in [Numbers::F16, Numbers::Integers].into_iter().filter(|numbers| device.has(*numbers)) {
        if let Ok(run) = bench.run(Variant { numbers, ..Variant::default() }).await
            && square_error(&run.bits, &plain.bits) <= SQUARE_ERROR
            && run.milliseconds < best.1
        {
            best = (numbers, run.milliseconds);
        }
    }
    Ok(best.0)
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
    /// Milliseconds from a submit of nothing to its result, which some browsers poll for.
    latency: f64,
}

struct Run {
    bits: Vec<u8>,
    /// Milliseconds of a product, and of as many as one submit had.
    milliseconds: f64,
    submit: f64,
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
        Self { device: device.clone(), columns, tokens, matrix, x, weight, y, state, latency: 0.0 }
    }

    /// With its latency.
    async fn measured(mut self) -> Result<Self> {
        // The first waits for the weights.
        self.timed(&[], 1).await?;
        self.latency = self.fastest(&[], 1).await?;
        Ok(self)
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
            feeds: false,
            columns: self.columns,
            state: &self.state.buffer,
        };
        let bytes = self.tokens * ROWS * 4;
        device.queue.write_buffer(&self.y, 0, &vec![0; bytes]);
        let dispatches = device.checked(|| linear.dispatches(&device)).await?;
        let bits = self.submit(&dispatches, 1, bytes).await?;
        let mut times = 1;
        let enough = self.latency.clamp(SUBMIT_MS / STEP as f64, SUBMIT_MS);
        while times < REPETITIONS && self.timed(&dispatches, times).await? < enough {
            times *= STEP;
        }
        let submit = self.fastest(&dispatches, times).await?;
        Ok(Run { bits, milliseconds: submit / times as f64, submit })
    }

    /// Milliseconds that so many products take, without the way to the device.
    async fn timed(&self, dispatches: &[Dispatch], times: usize) -> Result<f64> {
        let begun = Instant::now();
        self.submit(dispatches, times, 4).await?;
        Ok((begun.elapsed().as_secs_f64() * 1e3 - self.latency).max(0.0))
    }

    async fn fastest(&self, dispatches: &[Dispatch], times: usize) -> Result<f64> {
        let mut milliseconds = f64::INFINITY;
        for _ in 0..ROUNDS {
            milliseconds = milliseconds.min(self.timed(dispatches, times).await?);
        }
        Ok(milliseconds)
    }

    async fn submit(&self, dispatches: &[Dispatch], times: usize, bytes: usize) -> Result<Vec<u8>> {
        let mut encoder = self.device.encoder();
        self.device.encode(&mut encoder, self.tokens as u32, std::iter::repeat_n(dispatches, times).flatten());
        let staged = self.device.stage(&mut encoder, &self.y, bytes);
        self.device.read(self.device.submit(encoder, staged)).await
    }
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", if self.subgroups { "subgroups" } else { "shared" }, self.workgroup)?;
        if self.numbers == Numbers::F32 { Ok(()) } else { write!(f, "-{}", self.numbers.name()) }
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = || {
            let (adds, rest) = text.split_once('-')?;
            let (workgroup, numbers) = rest.split_once('-').unwrap_or((rest, Numbers::F32.name()));
            let subgroups = ["shared", "subgroups"].iter().position(|word| *word == adds)? == 1;
            let workgroup = workgroup.parse().ok().filter(|threads| [64, 128, 256].contains(threads))?;
            let numbers = Numbers::ALL.into_iter().find(|known| known.name() == numbers)?;
            Some(Self { subgroups, workgroup, numbers })
        };
        parsed().ok_or_else(|| Error::invalid(format!("{text} names no variant of the kernels")))
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
    fn a_prefill_in_other_numbers_comes_near_enough() {
        let device = hardware();
        assert!(device.has(Numbers::F16), "{} has no shader-f16", device.description);
        let bench = Bench::new(&device, Columns::Tokens, TOKENS);
        let run = |numbers| block_on(bench.run(Variant { numbers, ..Variant::default() })).unwrap();
        let plain = run(Numbers::F32);
        for (numbers, allowed) in [(Numbers::F16, SQUARE_ERROR), (Numbers::Integers, 1e-8)] {
            let run = run(numbers);
            let (name, share) = (numbers.name(), run.milliseconds / plain.milliseconds);
            let error = square_error(&run.bits, &plain.bits);
            println!("{name}: off by {error:.1e}, {share:.2} of f32's {:.0} ms", plain.milliseconds);
            assert!(error > 0.0 && error <= allowed, "{name}: {error:.1e}");
        }
    }

    #[test]
    fn the_choice_is_one_of_the_variants_and_is_kept_as_text() {
        let device = hardware();
        let chosen = block_on(tuned(device.clone(), None)).unwrap().variant;
        assert!(variants(&device).contains(&Variant { numbers: Numbers::F32, ..chosen }), "{chosen}");
        let again = block_on(tuned(device.clone(), Some(&chosen.to_string()))).unwrap().variant;
        assert_eq!(again, chosen);
        let text = if chosen.workgroup == 64 { "shared-256" } else { "shared-64" };
        let told = block_on(tuned(device, Some(text))).unwrap().variant;
        assert_eq!(told.to_string(), text, "what is known is not measured again");
    }

    #[test]
    fn a_text_of_another_version_is_not_taken() {
        let others = ["shared-96", "warps-64", "subgroups-64-2", "shared-64-f16-f16"];
        for text in ["", "shared", "shared-", "f16", "shared-64-"].into_iter().chain(others) {
            assert!(text.parse::<Variant>().is_err(), "{text}");
        }
    }
}
