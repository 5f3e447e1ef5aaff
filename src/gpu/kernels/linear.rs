//! Products with a weight matrix, everything around them fused: `matvec.wgsl` for decode, `matmul/` for prefill.
//!
//! y = epilogue(W · prologue(x)), see [`Input`] and [`Output`]. On hardware a prefill uses the tiled kernel; on a
//! software adapter it uses the matvec kernel for several tokens at once, without a barrier.

use super::WORKGROUP;
use super::merge::Partials;
use super::order::interleaved;
use crate::error::Result;
use crate::gpu::device::{Device, Dispatch, Numbers};
use crate::gpu::planes::{self, BLOCK};
use crate::gpu::weights::Matrix;

/// Columns of x that the matvec kernel can multiply with one reading of the weights, by variant.
pub const WIDTHS: [u32; 4] = [1, 2, 4, 8];
/// Tokens, and rows of each half, of one tile of the matmul kernel.
const TILE: u32 = 32;

/// What a lane of the matvec kernel keeps in workgroup memory: the sums of four rows.
const LANE_BYTES: usize = 16;

/// What the columns of a step are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Tokens of one sequence: a prefill.
    Tokens,
    /// The next tokens of sequences, so many to one reading of the weights: one of [`WIDTHS`].
    Sequences(u32),
}

/// What is multiplied.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// x: `[token][columns]`, in decode as `order.wgsl` says.
    Plain(&'a wgpu::Buffer),
    /// RMSNorm(x) · weight; decode only.
    Norm {
        /// `[column][columns]`
        x: &'a wgpu::Buffer,
        /// `[columns]`, [`super::order::arranged`]
        weight: &'a wgpu::Buffer,
        /// Added to the mean square.
        eps: f32,
    },
    /// Attention's partial results, which are merged first; decode only.
    Partials(Partials<'a>),
}

/// What becomes of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// y = product
    Store,
    /// y += product
    Residual,
    /// W holds the rows of gate and up: y = silu(gate) · up. The matrix must be in one shard.
    Swiglu,
}

/// One product and where it goes.
pub struct Linear<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// The prologue.
    pub input: Input<'a>,
    /// The epilogue.
    pub output: Output,
    /// `[token][y_columns]`
    pub y: &'a wgpu::Buffer,
    /// Elements of y from one token to the next; a multiple of 4.
    pub y_columns: usize,
    /// The element of y that the first row goes to; a multiple of 4.
    pub y_offset: usize,
    /// Whether y is an input of further products, which a decode step reads in an order of its own, see `order.wgsl`.
    pub feeds: bool,
    /// What x has columns for.
    pub columns: Columns,
    /// The step's `State`.
    pub state: &'a wgpu::Buffer,
}

impl Linear<'_> {
    /// One dispatch for each shard of the matrix, and one before them where partial results of several columns are merged, or of
    /// one that is too long for workgroup memory.
    pub fn dispatches(&self, device: &Device) -> Result<Vec<Dispatch>> {
        if let Input::Partials(partials) = self.input
            && (self.columns != Columns::Sequences(1) || !partials.fit(device.variant.workgroup as usize * LANE_BYTES))
        {
            let mut dispatches = vec![partials.merge(device)?];
            dispatches.extend(Linear { input: Input::Plain(partials.whole), ..*self }.dispatches(device)?);
            return Ok(dispatches);
        }
        let halves = if self.output == Output::Swiglu { 2 } else { 1 };
        let tiled = self.columns == Columns::Tokens && !device.software;
        let team = device.team(self.matrix.columns / BLOCK);
        let one = |shard: &crate::gpu::weights::Shard| {
            let groups = (shard.groups() / halves) as u32;
            let mut defines = planes::defines(self.matrix.dtype)
                .set("K", self.matrix.columns)
                .set("GROUPS", groups)
                .set("Y_STRIDE", self.y_columns / 4)
                .set("Y_OFFSET", (self.y_offset + shard.first_row) / 4)
                .flag("SWIGLU", self.output == Output::Swiglu)
                .flag("RESIDUAL", self.output == Output::Residual)
                .flag("NORM", matches!(self.input, Input::Norm { .. }))
                .flag("PARTIALS", matches!(self.input, Input::Partials(_)));
            let mut bindings = shard.bindings();
            match self.input {
                Input::Plain(x) => bindings.push((4, x.as_entire_binding())),
                Input::Norm { x, weight, eps } => {
                    bindings.push((4, x.as_entire_binding()));
                    bindings.push((5, weight.as_entire_binding()));
                    defines = defines.set("EPS", format!("{eps:e}"));
                }
                Input::Partials(partials) => {
                    bindings.extend(partials.bindings());
                    defines = partials.defines(defines);
                }
            }
            bindings.push((6, self.y.as_entire_binding()));
            bindings.push((7, self.state.as_entire_binding()));
            if tiled {
                let grid = [(groups * halves as u32 * 4).div_ceil(2 * TILE), 1, 1];
                // Unquantised weights are for who wants them exact.
                let numbers = if self.matrix.dtype.is_quantised() { device.variant.numbers } else { Numbers::F32 };
                let defines = defines.set("NUMBERS", numbers.name());
                return Ok(device.dispatch("matmul", defines, &bindings, grid)?.for_tokens(1, TILE));
            }
            let columns = match self.columns {
                Columns::Tokens => WIDTHS[WIDTHS.len() - 1],
                Columns::Sequences(columns) => columns,
            };
            let workgroup = device.variant.workgroup;
            // A prefill comes here on a software adapter alone, where nothing is.
            let interleaved = interleaved(device);
            let defines = defines
                .flag("INTERLEAVED", interleaved)
                .flag("Y_INTERLEAVED", interleaved && self.feeds)
                .set("TEAM", team)
                .set("WG", workgroup)
                .set("COLS", columns)
                .flag("PREFILL", self.columns == Columns::Tokens)
                .flag("SUBGROUPS", team > 1 && device.variant.subgroups);
            let grid = [1, groups.div_ceil(workgroup / team), 1];
            Ok(device.dispatch("matvec", defines, &bindings, grid)?.for_tokens(0, columns))
        };
        self.matrix.shards.iter().map(one).collect()
    }
}

/// Tokens for which every input of a prefill must have room, when `tokens` are taken in.
pub fn padded_tokens(tokens: usize) -> usize {
    tokens.next_multiple_of(TILE as usize)
}

/// `up` and the gate that lies in `y`, both `[token][columns]`: y = silu(y) · up. See `swiglu.wgsl`.
pub fn swiglu(device: &Device, columns: usize, up: &wgpu::Buffer, y: &wgpu::Buffer) -> Result<Dispatch> {
    let defines = crate::gpu::shader::Defines::new().set("K", columns).set("WG", WORKGROUP);
    let bindings = [(4, up.as_entire_binding()), (6, y.as_entire_binding())];
    let grid = [(columns as u32 / 4).div_ceil(WORKGROUP), 1, 1];
    Ok(device.dispatch("swiglu", defines, &bindings, grid)?.for_tokens(1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{DType, quant};
    use crate::gpu::kernels::order::arranged;
    use crate::gpu::self_test::relative_error;
    use crate::gpu::testing::{Random, devices, prefill_devices, random_matrix, run, state, variants};
    use crate::gpu::tune::SQUARE_ERROR;

    /// What a product shall be, in f64.
    #[derive(Clone, Copy)]
    struct Reference<'a> {
        weights: &'a [f32],
        columns: usize,
        norm: Option<(&'a [f32], f32)>,
        output: Output,
    }

    impl Reference<'_> {
        /// One token: `x` in, `y` (what was there before) to the result.
        fn token(&self, x: &[f32], y: &[f32]) -> Vec<f64> {
            let mut x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            if let Some((weight, eps)) = self.norm {
                let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
                let inverse = (mean + f64::from(eps)).sqrt().recip();
                x.iter_mut().zip(weight).for_each(|(x, weight)| *x *= inverse * f64::from(*weight));
            }
            let dot = |row: &[f32]| row.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let product: Vec<f64> = self.weights.chunks(self.columns).map(dot).collect();
            let silu = |x: f64| x / (1.0 + (-x).exp());
            match self.output {
                Output::Store => product,
                Output::Residual => product.iter().zip(y).map(|(p, y)| p + f64::from(*y)).collect(),
                Output::Swiglu => {
                    let (gate, up) = product.split_at(product.len() / 2);
                    gate.iter().zip(up).map(|(gate, up)| silu(*gate) * up).collect()
                }
            }
        }
    }

    /// Shapes that are no powers of two, fewer blocks than lanes, more blocks than lanes.
    const SHAPES: [(usize, usize); 4] = [(8, 32), (24, 96), (80, 320), (40, 1056)];

    /// Every shape with one type, and every type with one shape: few pipelines, all code.
    fn cases() -> impl Iterator<Item = (DType, usize, usize)> {
        let shapes = SHAPES.into_iter().map(|(rows, columns)| (DType::Q4_0, rows, columns));
        shapes.chain(DType::ALL.into_iter().map(|dtype| (dtype, 24, dtype.block_elements().max(96))))
    }

    #[test]
    fn every_type_matches_the_reference_in_decode() {
        let mut random = Random(2);
        for device in devices() {
            // The last has whole blocks of results, which may feed further products.
            for (dtype, rows, columns) in cases().chain([(DType::Q4_0, 64, 96)]) {
                let (matrix, weights) = random_matrix(&device, &mut random, dtype, rows, columns);
                let (x, g) = (random.numbers(columns), random.numbers(columns));
                let stored = |label, vector: &[f32]| device.storage_of(label, &arranged(&device, vector));
                let (xs, gs) = (stored("x", &x), stored("g", &g));
                let plain = (Input::Plain(&xs), None);
                let norm = (Input::Norm { x: &xs, weight: &gs, eps: 1e-6 }, Some((g.as_slice(), 1e-6)));
                let variants = match dtype {
                    DType::Q4_0 => vec![
                        (plain, Output::Store),
                        (plain, Output::Residual),
                        (norm, Output::Store),
                        (norm, Output::Swiglu),
                    ],
                    _ => vec![(norm, Output::Swiglu)],
                };
                for ((input, norm), output) in variants {
                    let results = if output == Output::Swiglu { rows / 2 } else { rows };
                    let before = random.numbers(results);
                    let feeds = results.is_multiple_of(BLOCK);
                    let y = if feeds { stored("y", &before) } else { device.storage_of("y", &before) };
                    let state = &state(&device, 0, 1);
                    let linear = Linear {
                        matrix: &matrix,
                        input,
                        output,
                        y: &y,
                        y_columns: results,
                        y_offset: 0,
                        feeds,
                        columns: Columns::Sequences(1),
                        state,
                    };
                    let actual = run(&device, 1, &linear.dispatches(&device).unwrap(), &y, results);
                    let expected = Reference { weights: &weights, columns, norm, output }.token(&x, &before);
                    let expected = if feeds { arranged(&device, &expected) } else { expected };
                    let error = relative_error(&actual, &expected);
                    assert!(error < 1e-5, "{} {rows}x{columns} software {}: {error}", dtype.name(), device.software);
                }
            }
        }
    }

    /// Sequences are multiplied together as each of them is alone, to the last bit, and by every variant.
    #[test]
    fn columns_depend_neither_on_their_company_nor_on_the_variant() {
        let mut random = Random(7);
        let (rows, columns, n_columns) = (40, 1056, 11);
        let bytes = random.rows(DType::Q4_0, rows, columns);
        let mut weights = vec![0.0; rows * columns];
        quant::dequantize(DType::Q4_0, &bytes, &mut weights);
        let (x, g) = (random.numbers(16 * columns), random.numbers(columns));
        let [hardware, software] = devices();
        let (narrow, wide) = (variants(&hardware)[0], variants(&hardware).pop().unwrap());
        for kind in
            [vec![software], vec![hardware.clone().with_variant(wide), hardware.clone().with_variant(narrow), hardware]]
        {
            for output in [Output::Swiglu, Output::Residual] {
                let results = if output == Output::Swiglu { rows / 2 } else { rows };
                let before = random.numbers(results * n_columns);
                let multiplied = |device: &Device, width: u32| {
                    let matrix = Matrix::new(device, DType::Q4_0, rows, columns);
                    matrix.write(device, 0, &bytes);
                    let x: Vec<f32> = x.chunks(columns).flat_map(|x| arranged(device, x)).collect();
                    let (x, g) = (&device.storage_of("x", &x), &device.storage_of("g", &arranged(device, &g)));
                    let y = device.storage_of("y", &before);
                    let linear = Linear {
                        matrix: &matrix,
                        input: Input::Norm { x, weight: g, eps: 1e-6 },
                        output,
                        y: &y,
                        y_columns: results,
                        y_offset: 0,
                        feeds: false,
                        columns: Columns::Sequences(width),
                        state: &state(device, 0, n_columns),
                    };
                    run(device, n_columns as u32, &linear.dispatches(device).unwrap(), &y, results * n_columns)
                };
                let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let first = multiplied(&kind[0], 1);
                let reference = Reference { weights: &weights, columns, norm: Some((&g, 1e-6)), output };
                let expected: Vec<f64> = (0..n_columns)
                    .flat_map(|c| reference.token(&x[c * columns..][..columns], &before[c * results..][..results]))
                    .collect();
                let error = relative_error(&first, &expected);
                assert!(error < 1e-5, "{output:?} software {}: {error}", kind[0].software);
                let first = bits(first);
                for device in &kind {
                    for width in WIDTHS {
                        let same = bits(multiplied(device, width)) == first;
                        assert!(same, "{width} columns, {output:?}, {}", device.variant());
                    }
                }
            }
        }
    }

    #[test]
    fn every_type_matches_the_reference_in_prefill() {
        let mut random = Random(3);
        let outliers = [false, true].into_iter().flat_map(|some| prefill_devices().into_iter().map(move |d| (d, some)));
        for (device, outliers) in outliers {
            for ((dtype, rows, columns), tokens) in cases().zip([1, 7, 33, 8].into_iter().cycle()) {
                let (matrix, weights) = random_matrix(&device, &mut random, dtype, rows, columns);
                let mut x = random.numbers(padded_tokens(tokens) * columns);
                if outliers {
                    x.iter_mut().step_by(61).for_each(|x| *x *= 1e4);
                }
                let xs = device.storage_of("x", &x);
                let outputs: &[Output] = match dtype {
                    DType::Q4_0 => &[Output::Store, Output::Residual, Output::Swiglu],
                    _ => &[Output::Swiglu],
                };
                for &output in outputs {
                    let results = if output == Output::Swiglu { rows / 2 } else { rows };
                    let before = random.numbers(results * tokens);
                    let y = device.storage_of("y", &before);
                    let (input, state) = (Input::Plain(&xs), &state(&device, 0, tokens));
                    let linear = Linear {
                        matrix: &matrix,
                        input,
                        output,
                        y: &y,
                        y_columns: results,
                        y_offset: 0,
                        feeds: false,
                        columns: Columns::Tokens,
                        state,
                    };
                    let dispatches = linear.dispatches(&device).unwrap();
                    let actual = run(&device, tokens as u32, &dispatches, &y, results * tokens);
                    let reference = Reference { weights: &weights, columns, norm: None, output };
                    let expected: Vec<f64> = (0..tokens)
                        .flat_map(|t| reference.token(&x[t * columns..][..columns], &before[t * results..][..results]))
                        .collect();
                    let error = relative_error(&actual, &expected);
                    let allowed = match device.variant.numbers {
                        _ if !dtype.is_quantised() => 1e-5,
                        Numbers::F32 => 1e-5,
                        Numbers::F16 => SQUARE_ERROR.sqrt(),
                        Numbers::Integers => 2e-4,
                    };
                    let allowed = if output == Output::Swiglu { 2.0 * allowed } else { allowed }; // a product of two
                    let kernels = format!("{}, software {}", device.variant(), device.software);
                    assert!(error < allowed, "{} {rows}x{columns} {output:?} {kernels}: {error}", dtype.name());
                }
            }
        }
    }
}
