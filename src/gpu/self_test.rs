//! The first-load self-test: a network of one layer with known weights runs through the whole path, from repacking to
//! logits and drawn tokens, and must agree with plain arithmetic. An adapter or driver that computes garbage is found before a
//! reply is.

use super::device::{Device, Numbers};
use super::sink::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{DType, TensorInfo, quant};
use crate::model::{Config, DecodePlan, Rope, Sampling, Weight, WeightSink};
use crate::sampling::philox4x32_10;

/// ‖device − reference‖ / ‖reference‖ at most; f16 keys and values account for nearly all of it.
const TOLERANCE: f64 = 2e-3;
/// The same where the prefill is in f16, which takes 1.6e-3 with numbers rounded to the nearest; an adapter may cut them off.
const F16_TOLERANCE: f64 = 5e-3;
const TOKENS: [u32; 4] = [3, 14, 15, 9];
/// Tokens to draw after them: the first from a prefill's logits, the others from a decode step's.
const DRAWN: usize = 4;

/// ‖a − b‖ / ‖b‖, in f64; both are of one length.
pub fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

/// Passes, or fails with `self-test-failed` and the figures.
pub async fn run(device: &Device) -> Result<()> {
    let config = config();
    let mut sink = Box::new(Sink::new(device, &config, 32)?);
    let weights = weights(&config, |weight, tensor, bytes| sink.rows(weight, tensor, 0, bytes))?;
    let mut runtime = sink.finish().await?;
    let sequence = runtime.open()?;
    runtime.prefill(sequence, &TOKENS).await?;
    let logits = runtime.logits(sequence).await?;
    let expected = reference(&config, &weights, &TOKENS);
    let error = relative_error(&logits, &expected);
    let allowed = if device.variant.numbers == Numbers::F16 { F16_TOLERANCE } else { TOLERANCE };
    if error.is_nan() || error > allowed {
        return Err(failed(device, format!("is off by {error:.1e} on a known network, {allowed:.0e} is allowed")));
    }
    let plan = DecodePlan {
        sampling: Sampling::default(),
        prompt: TOKENS.to_vec(),
        reply: Vec::new(),
        stop: Vec::new(),
        max_tokens: DRAWN,
    };
    runtime.decode(sequence, plan)?;
    let known = continued(&config, &weights);
    let mut drawn = TOKENS.to_vec();
    while drawn.len() < known.len() {
        let next = runtime.next(sequence).await?;
        if next.is_empty() {
            break;
        }
        drawn.extend(next);
    }
    if drawn != known {
        return Err(failed(device, format!("draws {drawn:?} from a known network that says {known:?}")));
    }
    Ok(())
}

fn failed(device: &Device, what: String) -> Error {
    let message = format!("the adapter ({}) {what}", device.description);
    Error::new(ErrorKind::SelfTestFailed, message).hint("update the graphics driver, or use device 'cpu'")
}

fn config() -> Config {
    Config {
        architecture: "qwen3".to_owned(),
        name: None,
        layers: 1,
        hidden: 64,
        intermediate: 96,
        heads: 2,
        kv_heads: 1,
        head_dim: 32,
        vocab: 32,
        rms_eps: 1e-6,
        rope: Rope::unscaled(1e4),
        qk_norm: true,
        qkv_bias: false,
        windows: Vec::new(),
        max_context: 32,
        tied: true,
    }
}

fn tensors(config: &Config) -> Vec<(Weight, DType, usize, usize)> {
    let (hidden, attention, kv) = (config.hidden, config.heads * config.head_dim, config.kv_heads * config.head_dim);
    vec![
        (Weight::Embedding, DType::Q8_0, config.vocab, hidden),
        (Weight::AttentionNorm(0), DType::F32, 1, hidden),
        (Weight::Query(0), DType::Q4_0, attention, hidden),
        (Weight::Key(0), DType::Q4_0, kv, hidden),
        (Weight::Value(0), DType::Q4_0, kv, hidden),
        (Weight::QueryNorm(0), DType::F32, 1, config.head_dim),
        (Weight::KeyNorm(0), DType::F32, 1, config.head_dim),
        (Weight::Output(0), DType::F16, hidden, attention),
        (Weight::FeedForwardNorm(0), DType::F32, 1, hidden),
        (Weight::Gate(0), DType::Q5_1, config.intermediate, hidden),
        (Weight::Up(0), DType::Q5_1, config.intermediate, hidden),
        (Weight::Down(0), DType::Q8_0, hidden, config.intermediate),
        (Weight::FinalNorm, DType::F32, 1, hidden),
    ]
}

/// Blocks of `count` weights around ±1, the same on every machine.
pub fn blocks(dtype: DType, count: usize, seed: u32) -> Vec<u8> {
    let random = |at: usize| philox4x32_10([at as u32, 0, 0, 0], [seed, 0])[0];
    let value = |at: usize| (random(at) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
    let block = |b: usize| -> Vec<u8> {
        let scale = half(value(b * 64) / 16.0);
        let quants = |bytes: usize| (0..bytes).map(move |i| random(b * 64 + 1 + i) as u8);
        match dtype {
            DType::F32 => (value(b) + 1.5).to_le_bytes().to_vec(),
            DType::F16 => half(value(b)).to_vec(),
            DType::Q5_1 => [scale, half(value(b * 64 + 63) / 4.0)].concat().into_iter().chain(quants(20)).collect(),
            _ => scale.into_iter().chain(quants(dtype.block_bytes() - 2)).collect(),
        }
    };
    (0..count / dtype.block_elements()).flat_map(block).collect()
}

/// The values of all weights, whose blocks are shown to `on_tensor` before.
fn weights(
    config: &Config,
    mut on_tensor: impl FnMut(Weight, &TensorInfo, &[u8]) -> Result<()>,
) -> Result<Vec<(Weight, Vec<f32>)>> {
    let values = |(seed, (weight, dtype, rows, columns)): (usize, (Weight, DType, usize, usize))| {
        let bytes = blocks(dtype, rows * columns, seed as u32);
        let shape = if rows == 1 { vec![columns] } else { vec![rows, columns] };
        on_tensor(weight, &TensorInfo { name: format!("{weight:?}"), dtype, shape }, &bytes)?;
        let mut values = vec![0.0; rows * columns];
        quant::dequantize(dtype, &bytes, &mut values);
        Ok((weight, values))
    };
    tensors(config).into_iter().enumerate().map(values).collect()
}

/// The tokens, and those that the network says are likeliest to follow.
fn continued(config: &Config, weights: &[(Weight, Vec<f32>)]) -> Vec<u32> {
    let mut tokens = TOKENS.to_vec();
    for _ in 0..DRAWN {
        let logits = reference(config, weights, &tokens);
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        tokens.push(best.unwrap_or_default() as u32);
    }
    tokens
}

/// The network in plain f64 arithmetic: logits after the last token.
fn reference(config: &Config, weights: &[(Weight, Vec<f32>)], tokens: &[u32]) -> Vec<f64> {
    let of = |weight: Weight| weights.iter().find(|(w, _)| *w == weight).map_or(&[][..], |(_, values)| values);
    let matmul = |weight: Weight, x: &[f64]| -> Vec<f64> {
        let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
        of(weight).chunks(x.len()).map(dot).collect()
    };
    let norm = |x: &[f64], weight: Weight| -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let inverse = (mean + f64::from(config.rms_eps)).sqrt().recip();
        x.iter().zip(of(weight)).map(|(x, w)| x * inverse * f64::from(*w)).collect()
    };
    let rotate = |x: Vec<f64>, position: usize| -> Vec<f64> {
        let half = x.len() / 2;
        let turned = |i: usize| {
            let (sin, cos) = (position as f64 * config.rope.theta.powf(-((i % half) as f64) / half as f64)).sin_cos();
            if i < half { x[i] * cos - x[i + half] * sin } else { x[i] * cos + x[i - half] * sin }
        };
        (0..x.len()).map(turned).collect()
    };
    let (dim, hidden) = (config.head_dim, config.hidden);
    let (mut keys, mut values, mut logits) = (Vec::new(), Vec::new(), Vec::new());
    for (position, &token) in tokens.iter().enumerate() {
        let row = &of(Weight::Embedding)[token as usize * hidden..][..hidden];
        let mut x: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let normed = norm(&x, Weight::AttentionNorm(0));
        keys.push(rotate(norm(&matmul(Weight::Key(0), &normed), Weight::KeyNorm(0)), position));
        values.push(matmul(Weight::Value(0), &normed));
        let attend = |query: &[f64]| -> Vec<f64> {
            let query = rotate(norm(query, Weight::QueryNorm(0)), position);
            let dot = |key: &Vec<f64>| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (dim as f64).sqrt();
            let weights: Vec<f64> = keys.iter().map(|key| dot(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            (0..dim).map(|d| values.iter().zip(&weights).map(|(v, w)| v[d] * w).sum::<f64>() / sum).collect()
        };
        let attended: Vec<f64> = matmul(Weight::Query(0), &normed).chunks(dim).flat_map(attend).collect();
        x.iter_mut().zip(matmul(Weight::Output(0), &attended)).for_each(|(x, y)| *x += y);
        let normed = norm(&x, Weight::FeedForwardNorm(0));
        let gate = matmul(Weight::Gate(0), &normed).into_iter().zip(matmul(Weight::Up(0), &normed));
        let inner: Vec<f64> = gate.map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        x.iter_mut().zip(matmul(Weight::Down(0), &inner)).for_each(|(x, y)| *x += y);
        logits = matmul(Weight::Embedding, &norm(&x, Weight::FinalNorm));
    }
    logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::testing::prefill_devices;

    #[test]
    fn no_drawn_token_is_a_close_call() {
        let config = config();
        let weights = weights(&config, |_, _, _| Ok(())).unwrap();
        let tokens = continued(&config, &weights);
        for length in TOKENS.len()..tokens.len() {
            let mut logits = reference(&config, &weights, &tokens[..length]);
            let norm = logits.iter().map(|x| x * x).sum::<f64>().sqrt();
            logits.sort_by(|a, b| b.total_cmp(a));
            // Two logits are off by less than all of them together.
            assert!(logits[0] - logits[1] > 2.0 * F16_TOLERANCE * norm, "{length}: {logits:?}");
        }
    }

    #[test]
    fn all_sets_of_kernels_pass() {
        for device in prefill_devices() {
            pollster::block_on(run(&device)).unwrap();
        }
    }
}
