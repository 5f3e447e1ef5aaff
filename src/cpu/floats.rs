//! The innermost loops over f32, written so that every target makes vectors of them and gives the same bits.

/// Elements that the f32 loops below take at once: four vectors of four, which every target has.
const LANES: usize = 16;

/// `Σ a[i] · b[i]` in f32, in an order that does not depend on the target.
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
    fold(lanes, |a, b| a + b)
}

/// The lanes as one.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], two: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] = two(lanes[l], lanes[l + half]);
        }
    }
    lanes[0]
}

/// `x[i] = e^(x[i] − max x)`, whose sum is returned; the length is a multiple of 16.
pub fn exp_of_all(x: &mut [f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let (x, _) = x.as_chunks_mut::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for x in x.iter() {
        for l in 0..LANES {
            lanes[l] = larger(x[l], lanes[l]);
        }
    }
    let largest = fold(lanes, larger);
    let mut lanes = [0.0; LANES];
    for x in x {
        for l in 0..LANES {
            x[l] = exp(x[l] - largest);
            lanes[l] += x[l];
        }
    }
    fold(lanes, |a, b| a + b)
}

/// Adding and subtracting 1.5 · 2²³ rounds to the nearest integer, on every target in the same way.
pub const ROUND: f32 = 12_582_912.0;

/// `eˣ` to within 2e-7 of itself, with no branch or call, so that loops of it become vector instructions: 2ⁿ times a polynomial
/// for what is left of x, at most ln 2 / 2 (the coefficients are those of Cephes' `expf`, S. Moshier). From −87 down it stays 1.6e-38.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    // The low bits of `shifted` are n.
    (p * r * r + r + 1.0) * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `y[i] += s · x[i]`
pub fn add_scaled(y: &mut [f32], s: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

#[cfg(test)]
mod tests {
    use super::{dot_f32, exp};

    #[test]
    fn exp_is_that_of_f64_to_the_last_bits() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "{x}: {}, not {expected}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn f32_dot_takes_lengths_that_are_no_multiple_of_its_lanes() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(dot_f32(&a, &vec![2.0; n]), (n * n) as f32 - n as f32, "{n}");
        }
    }
}
