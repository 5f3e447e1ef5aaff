//! The rotary embedding: by how much each pair of a head's elements turns at each position.

use std::f64::consts::TAU;
use std::ops::Range;

/// The rotary embedding of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Pair `i` turns by `theta^(−2i / head_dim)` a position.
    pub theta: f64,
    /// What stretches that beyond the positions of the first training.
    pub scaling: Scaling,
    /// Which elements of a head make a pair.
    pub pairing: Pairing,
}

/// Which elements of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `i` and `i + head_dim / 2`.
    Halves,
    /// `2i` and `2i + 1`: how llama.cpp's converter orders the rows of Llama's queries and keys.
    Neighbours,
}

/// How frequencies are changed; formulas as in `transformers` `modeling_rope_utils.py`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by the factor.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Llama 3.1's: slow pairs divided by the factor, fast ones kept, those between blended.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Turns within the first training up to which a pair is slow.
        low: f64,
        /// Turns from which it is fast.
        high: f64,
        /// Positions of the first training.
        original_context: f64,
    },
    /// YaRN (arXiv 2309.00071): as Llama 3's but blended by pair, and all angles' sines and cosines grow a little.
    Yarn {
        /// At least 1.
        factor: f64,
        /// Positions of the first training.
        original_context: f64,
    },
    /// Each divided by its number in the file's `rope_freqs.weight`, `[head_dim / 2]`; empty until the file is read.
    Factors(Vec<f32>),
}

impl Rope {
    /// Unscaled, pairs of halves.
    pub fn unscaled(theta: f64) -> Self {
        Self { theta, scaling: Scaling::None, pairing: Pairing::Halves }
    }

    /// Radians a position, of each pair of a head.
    fn frequencies(&self, head_dim: usize) -> Vec<f64> {
        let plain = (0..head_dim / 2).map(|i| self.theta.powf(-2.0 * i as f64 / head_dim as f64));
        match &self.scaling {
            Scaling::None => plain.collect(),
            Scaling::Linear { factor } => plain.map(|frequency| frequency / factor).collect(),
            Scaling::Factors(factors) => plain.zip(factors).map(|(frequency, f)| frequency / f64::from(*f)).collect(),
            Scaling::Llama3 { factor, low, high, original_context } => plain
                .map(|frequency| {
                    let turns = original_context * frequency / TAU;
                    let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                })
                .collect(),
            Scaling::Yarn { factor, original_context } => {
                let pair_with =
                    |turns: f64| head_dim as f64 * (original_context / (turns * TAU)).ln() / (2.0 * self.theta.ln());
                let (fast, slow) = (pair_with(32.0).floor().max(0.0), pair_with(1.0).ceil().min(head_dim as f64 - 1.0));
                let width = if slow == fast { 0.001 } else { slow - fast };
                plain
                    .enumerate()
                    .map(|(i, frequency)| {
                        let kept = 1.0 - ((i as f64 - fast) / width).clamp(0.0, 1.0);
                        frequency * (kept + (1.0 - kept) / factor)
                    })
                    .collect()
            }
        }
    }

    /// Cosine and sine of every pair at every position, `[positions, head_dim / 2]`, computed in f64.
    pub fn table(&self, head_dim: usize, positions: Range<usize>) -> Vec<[f32; 2]> {
        let frequencies = self.frequencies(head_dim);
        let growth = match self.scaling {
            Scaling::Yarn { factor, .. } => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        };
        let row = |position: usize| {
            frequencies.iter().map(move |frequency| {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                [(growth * cos) as f32, (growth * sin) as f32]
            })
        };
        positions.flat_map(row).collect()
    }
}
