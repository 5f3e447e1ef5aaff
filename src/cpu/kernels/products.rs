//! Products of quantised weights with 16-bit activations, four rows of weights at a time.
//!
//! A block of 32 products is summed exactly as an integer, whatever the order: 32 · 4096 · 16383 < 2³¹ (`unpack` gives
//! the 4096, `activations` the 16383). The block's sum, as f32, is multiplied by the product of both scales and added to
//! the row's sum, block after block. So all functions here, on every target, give the same bits.
//!
//! None is inlined: browsers' compilers give registers out by function, and run short of them in one that holds several
//! of these loops (decode then takes half as long again).

use super::lanes::Lanes;
use super::{BLOCK, ROWS, Row};

/// What each function gives: `Σ w · x` of four rows.
type Sums = [f32; ROWS];

/// Unpacked rows with one token's activations.
#[inline(never)]
pub fn dot_rows<V: Lanes>(w: [Row; ROWS], x: Row) -> Sums {
    assert!(w.iter().all(|w| w.blocks() == x.blocks()), "rows of different lengths");
    let values = w.map(|w| &w.values.as_chunks::<BLOCK>().0[..x.blocks()]);
    let scales = w.map(|w| &w.scales[..x.blocks()]);
    let mut sums = V::splat(0);
    for b in 0..x.blocks() {
        let block = V::totals(in_block(x, b, |r| vectors(&values[r][b])));
        sums = scaled(sums, block, V::load(&scales.map(|s| s[b])), x.scales[b]);
    }
    stored(sums)
}

/// [`dot_rows`] with rows of Q4_0 as they lie in the file (layout: `formats::quant`); `totals` are the sums of each 16
/// of the activations' integers.
#[inline(never)]
pub fn dot_q4_0<V: Lanes>(w: [&[[u8; 18]]; ROWS], x: Row, totals: &[[i32; 2]]) -> Sums {
    let blocks = x.blocks();
    let (w, totals, low) = (w.map(|w| &w[..blocks]), &totals[..blocks], V::splat(0x0f0f_0f0f));
    let mut sums = V::splat(0);
    for b in 0..blocks {
        let lanes = in_block(x, b, |r| {
            let [_, _, nibbles @ ..] = &w[r][b];
            let nibbles = V::load(nibbles);
            let ([first, second], [third, fourth]) = (nibbles.and(low).widen(), nibbles.right::<4>().and(low).widen());
            [first, second, third, fourth]
        });
        // The halves of bytes are 8 too large.
        let block = V::totals(lanes).add(V::splat((-8 * (totals[b][0] + totals[b][1])) as u32));
        sums = scaled(sums, block, halves_as_floats::<V>(w.map(|w| [w[b][0], w[b][1]])), x.scales[b]);
    }
    stored(sums)
}

/// [`dot_q4_0`] with rows of Q6_K.
#[inline(never)]
pub fn dot_q6_k<V: Lanes>(w: [&[[u8; 210]]; ROWS], x: Row, totals: &[[i32; 2]]) -> Sums {
    let blocks = x.blocks();
    let (w, totals) = (w.map(|w| &w[..blocks / 8]), &totals[..blocks]);
    let mut sums = V::splat(0);
    for b in 0..blocks / 8 {
        let block = w.map(|w| &w[b]);
        let scales = halves_as_floats::<V>(block.map(|block| [block[208], block[209]]));
        // Each quarter of each half is its own code: what is shifted by how much is then known when compiling.
        sums = sixth_bits::<V, 0, 0>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 0, 1>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 0, 2>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 0, 3>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 1, 0>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 1, 1>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 1, 2>(sums, block, scales, x, b * 8, totals);
        sums = sixth_bits::<V, 1, 3>(sums, block, scales, x, b * 8, totals);
    }
    stored(sums)
}

/// Adds the 32 products of quarter `Q` of half `H` of a Q6_K block, whose activations start at block `first`.
#[inline(never)]
fn sixth_bits<V: Lanes, const H: usize, const Q: usize>(
    sums: V,
    block: [&[u8; 210]; ROWS],
    weight_scales: V,
    x: Row,
    first: usize,
    totals: &[[i32; 2]],
) -> V {
    let b = first + H * 4 + Q;
    let scale = |r: usize, i: usize| block[r][192 + H * 8 + Q * 2 + i] as i8 as i32;
    let lanes = in_block(x, b, |r| {
        let sixteen = |at: usize| V::load(block[r][at..].first_chunk::<16>().expect("inside a block"));
        let vectors = |i: usize| {
            let low = sixteen(H * 64 + Q % 2 * 32 + i * 16);
            let low = if Q < 2 { low } else { low.right::<4>() };
            let high = sixteen(128 + H * 32 + i * 16);
            let high = match Q {
                0 => high.left::<4>(),
                1 => high.left::<2>(),
                2 => high,
                _ => high.right::<2>(),
            };
            let bits = low.and(V::splat(0x0f0f_0f0f)).or(high.and(V::splat(0x3030_3030)));
            let scale = V::splat(bytemuck::cast([scale(r, i) as i16; 2]));
            bits.widen().map(|v| v.mul_halves(scale))
        };
        let ([first, second], [third, fourth]) = (vectors(0), vectors(1));
        [first, second, third, fourth]
    });
    // The bits are 32 too large. Sums may wrap on the way; the difference does not.
    let [t0, t1] = totals[b];
    let excess: [i32; ROWS] = std::array::from_fn(|r| -32 * (scale(r, 0) * t0 + scale(r, 1) * t1));
    scaled(sums, V::totals(lanes).add(V::load(&excess)), weight_scales, x.scales[b])
}

/// For each row the lanes that add up to its products with block `b`; `weights(row)` are the row's 32.
#[inline(always)]
fn in_block<V: Lanes>(x: Row, b: usize, weights: impl Fn(usize) -> [V; 4]) -> [V; ROWS] {
    let values: [V; 4] = vectors(&x.values.as_chunks::<BLOCK>().0[b]);
    let row = |r: usize| {
        let w = weights(r);
        let product = |v: usize| w[v].dot(values[v]);
        product(0).add(product(1)).add(product(2).add(product(3)))
    };
    // Written out, because compilers leave a loop over rows as one, and the lanes in memory.
    [row(0), row(1), row(2), row(3)]
}

#[inline(always)]
fn vectors<V: Lanes>(values: &[i16; BLOCK]) -> [V; 4] {
    bytemuck::cast_ref::<_, [[i16; 8]; 4]>(values).each_ref().map(|v| V::load(v))
}

/// Little-endian f16 as f32: exact where finite, infinite where not. Shifting exponent and fraction into place divides
/// by 2¹¹²; what then is 2¹⁶ or more was infinity or NaN, and overflows on the way.
#[inline(always)]
fn halves_as_floats<V: Lanes>(halves: [[u8; 2]; ROWS]) -> V {
    let bits = V::load(&halves.map(|half| u16::from_le_bytes(half) as u32));
    let up = V::splat((112 + 127) << 23);
    let magnitude = bits.and(V::splat(0x7fff)).left_lanes::<13>().mul_f32(up).mul_f32(up);
    magnitude.mul_f32(V::splat((127 - 112) << 23)).or(bits.and(V::splat(0x8000)).left_lanes::<16>())
}

#[inline(always)]
fn stored<V: Lanes>(sums: V) -> Sums {
    let mut out = [0.0; ROWS];
    sums.store(&mut out);
    out
}

#[inline(always)]
fn scaled<V: Lanes>(sums: V, block: V, weight_scales: V, activation_scale: f32) -> V {
    sums.add_f32(block.to_f32().mul_f32(weight_scales.mul_f32(V::splat_f32(activation_scale))))
}

/// Four unpacked rows side by side: a lane of a vector is a row, so that no lanes have to be added up.
#[derive(Default)]
pub struct Panel {
    /// `[columns / 2]` of `[row][2]`
    values: Vec<[i16; 8]>,
    /// `[blocks]`
    scales: Vec<[f32; ROWS]>,
}

impl Panel {
    /// Takes in the rows.
    pub fn set<V: Lanes>(&mut self, rows: [Row; ROWS]) {
        let blocks = rows[0].blocks();
        assert!(rows.iter().all(|row| row.blocks() == blocks), "rows of different lengths");
        self.values.resize(blocks * BLOCK / 2, [0; 8]);
        self.scales.clear();
        self.scales.extend((0..blocks).map(|b| rows.map(|row| row.scales[b])));
        let vectors = rows.map(|row| row.values.as_chunks::<8>().0);
        for (i, to) in self.values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for (column, to) in V::transpose(vectors.map(|row| V::load(&row[i]))).into_iter().zip(to) {
                column.store(to);
            }
        }
    }
}

/// Panels with the activations of some tokens: `[token][panel][row]`. Each weight that is loaded serves all tokens, each
/// activation all panels.
#[inline(never)]
pub fn dot_panels<V: Lanes, const P: usize, const T: usize>(w: [&Panel; P], x: [Row; T]) -> [[Sums; P]; T] {
    let blocks = x[0].blocks();
    let weights = w.map(|w| w.values.as_chunks::<{ BLOCK / 2 }>().0);
    let values = x.map(|x| x.values.as_chunks::<BLOCK>().0);
    assert!(x.iter().all(|x| x.blocks() == blocks), "rows of different lengths");
    assert!(w.iter().all(|w| w.scales.len() == blocks && w.values.len() == blocks * BLOCK / 2), "of other lengths");
    let mut sums = [[V::splat(0); P]; T];
    for b in 0..blocks {
        let weights = weights.map(|w| &w[b]);
        let values = values.map(|x| bytemuck::cast_ref::<[i16; BLOCK], [[i16; 2]; BLOCK / 2]>(&x[b]));
        let mut lanes = [[V::splat(0); P]; T];
        for k in 0..BLOCK / 2 {
            let weights = weights.map(|w| V::load(&w[k]));
            for (lanes, values) in lanes.iter_mut().zip(values) {
                let pair = V::splat(bytemuck::cast(values[k]));
                for (lanes, weights) in lanes.iter_mut().zip(weights) {
                    *lanes = lanes.add(weights.dot(pair));
                }
            }
        }
        for t in 0..T {
            for p in 0..P {
                sums[t][p] = scaled(sums[t][p], lanes[t][p], V::load(&w[p].scales[b]), x[t].scales[b]);
            }
        }
    }
    sums.map(|sums| sums.map(stored))
}
