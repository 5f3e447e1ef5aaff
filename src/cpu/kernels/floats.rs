//! Loops in f32, in an order that does not depend on the target.

use super::lanes::Lanes;

/// Elements that [`dot_f32`] takes at once: four vectors of four, which every target has.
const LANES: usize = 16;

/// `Σ a[i] · b[i]`
pub fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] += a[l] * b[l];
        }
    }
    for (l, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[l] += a * b;
    }
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] += lanes[l + half];
        }
    }
    lanes[0]
}

/// `out[j] = scale · Σ query[i] · keys[j][i]` for keys that lie one behind the other, of a multiple of four elements. A
/// result does not depend on which keys are beside it.
pub fn scores<V: Lanes>(query: &[f32], keys: &[f32], scale: f32, out: &mut [f32]) {
    let (scale, (query, rest)) = (V::splat_f32(scale), query.as_chunks::<4>());
    assert!(rest.is_empty() && keys.len() == query.len() * 4 * out.len(), "keys as long as the query");
    let four = |keys: [&[[f32; 4]]; 4]| {
        let mut lanes = [V::splat(0); 4];
        for (i, query) in query.iter().enumerate() {
            let query = V::load(query);
            for (lanes, key) in lanes.iter_mut().zip(keys) {
                *lanes = lanes.add_f32(query.mul_f32(V::load(&key[i])));
            }
        }
        let [a, b, c, d] = V::transpose(lanes);
        a.add_f32(b).add_f32(c.add_f32(d)).mul_f32(scale)
    };
    let key = |j: usize| &keys.as_chunks().0[j * query.len()..][..query.len()];
    let (whole, rest) = out.as_chunks_mut::<4>();
    for (j, out) in whole.iter_mut().enumerate() {
        four(std::array::from_fn(|i| key(j * 4 + i))).store(out);
    }
    let mut last = [0.0; 4];
    if !rest.is_empty() {
        four(std::array::from_fn(|i| key(whole.len() * 4 + i.min(rest.len() - 1)))).store(&mut last);
    }
    rest.copy_from_slice(&last[..rest.len()]);
}

/// `out[i] += Σ weights[j] · rows[j][i]`, `j` in order, for rows that lie one behind the other, of a multiple of four
/// elements.
pub fn add_weighted<V: Lanes>(weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let (out, rest) = out.as_chunks_mut::<4>();
    let (rows, width) = (rows.as_chunks::<4>().0, out.len());
    assert!(rest.is_empty() && rows.len() == width * weights.len(), "as many rows as weights");
    let (fours, last) = weights.as_chunks::<4>();
    for (weights, rows) in fours.iter().zip(rows.chunks_exact(width * 4)) {
        let weights = weights.map(V::splat_f32);
        let rows: [&[[f32; 4]]; 4] = std::array::from_fn(|j| &rows[j * width..][..width]);
        for (i, out) in out.iter_mut().enumerate() {
            let mut sum = V::load(out);
            for (weight, row) in weights.into_iter().zip(rows) {
                sum = sum.add_f32(weight.mul_f32(V::load(&row[i])));
            }
            sum.store(out);
        }
    }
    for (weight, row) in last.iter().zip(rows[fours.len() * 4 * width..].chunks_exact(width)) {
        let weight = V::splat_f32(*weight);
        for (out, row) in out.iter_mut().zip(row) {
            V::load(out).add_f32(weight.mul_f32(V::load(row))).store(out);
        }
    }
}

/// eˣ to within 2e-7 of itself; the ends of f32's range instead of 0 and infinity. Without a branch, so that loops over
/// it become vector instructions. The polynomial is Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to the nearest integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (p * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::super::{Native, portable::Portable};
    use super::{add_weighted, dot_f32, exp, scores};

    fn numbers(n: usize, factor: usize) -> Vec<f32> {
        (0..n).map(|i| (i * factor % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    #[test]
    fn f32_dot_takes_lengths_that_are_no_multiple_of_its_lanes() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(dot_f32(&a, &vec![2.0; n]), (n * n) as f32 - n as f32, "{n}");
        }
    }

    #[test]
    fn scores_are_dot_products_whatever_number_of_keys_is_beside_them() {
        let (query, keys) = (numbers(64, 7919), numbers(64 * 9, 104_729));
        let mut all = [0.0; 9];
        scores::<Native>(&query, &keys, 0.125, &mut all);
        for n in 1..=9 {
            let (mut some, mut portable) = (vec![0.0; n], vec![0.0; n]);
            scores::<Native>(&query, &keys[..64 * n], 0.125, &mut some);
            scores::<Portable>(&query, &keys[..64 * n], 0.125, &mut portable);
            assert_eq!(some, all[..n]);
            assert_eq!(portable, all[..n]);
        }
        for (key, score) in keys.chunks(64).zip(all) {
            assert!((score - 0.125 * dot_f32(&query, key)).abs() < 1e-5);
        }
    }

    #[test]
    fn weighted_rows_are_added_in_order() {
        for n in [1, 3, 4, 9] {
            let (weights, rows, before) = (numbers(n, 31), numbers(n * 8, 7919), numbers(8, 3));
            let mut expected = before.clone();
            for (weight, row) in weights.iter().zip(rows.chunks(8)) {
                expected.iter_mut().zip(row).for_each(|(y, x)| *y += weight * x);
            }
            let (mut native, mut portable) = (before.clone(), before);
            add_weighted::<Native>(&weights, &rows, &mut native);
            add_weighted::<Portable>(&weights, &rows, &mut portable);
            assert_eq!(native, expected);
            assert_eq!(portable, expected);
        }
    }

    #[test]
    fn exp_is_that_of_f64() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let expected = (x as f64).exp();
            assert!((exp(x) as f64 / expected - 1.0).abs() < 2e-7, "exp({x}) = {}, not {expected}", exp(x));
        }
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(1e9) > 1e38 && exp(f32::NAN).is_nan());
    }
}
