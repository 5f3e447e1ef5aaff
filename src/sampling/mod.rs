//! Logits and history to a token: the reference every device's sampler agrees with; pure.
//!
//! One token is drawn in this order, which is that of `transformers` (logits processors, then warpers; `generation/
//! utils.py`), with the two OpenAI penalties as vLLM places them (`v1/sample/ops/penalties.py`):
//!
//! 1. `logit_bias` is added.
//! 2. `repetition_penalty` divides the positive and multiplies the other logits of every token of prompt and reply.
//! 3. `frequency_penalty · count + presence_penalty` is subtracted from every token of the reply.
//! 4. At `temperature` 0 the largest logit wins. Otherwise tokens are ranked by descending logit.
//! 5. Weights are `exp((logit − largest) / temperature)`.
//! 6. `top_k` keeps the first k, and exactly k (`transformers` also keeps what ties with the k-th).
//! 7. `top_p` keeps every token whose preceding weights sum to less than `top_p` of what `top_k` left.
//! 8. `min_p` keeps the tokens whose weight is at least `min_p`, the largest weight being 1.
//! 9. With one uniform number `u` in [0, 1), the first token at which the running sum exceeds `u ·` sum is drawn.
//!
//! Where a constraint allows some tokens only, the others leave the ranking before step 4.
//!
//! Ties rank by the lower id. All arithmetic is f32 and all sums run in rank order. A NaN counts as −∞.

mod logprobs;
mod philox;
mod sampler;

pub use logprobs::log_probabilities;
pub use philox::{philox4x32_10, uniform};
pub use sampler::Sampler;

/// The ids of a set of tokens below `vocabulary`, in ascending order: bit `id % 32` of word `id / 32` of its words.
pub fn ids_of(words: &[u32], vocabulary: usize) -> Vec<u32> {
    let held = |id: &u32| words.get(*id as usize / 32).is_some_and(|word| word & (1 << (id % 32)) != 0);
    (0..vocabulary as u32).filter(held).collect()
}

/// How the next token is drawn from logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Keep this many of the most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of every token seen in prompt or reply; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once from every token of the reply so far.
    pub presence_penalty: f32,
    /// Subtracted per occurrence in the reply so far.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens; several entries of one token add up.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the random stream; the same seed, logits and options give the same tokens on every device.
    pub seed: u64,
}

impl Default for Sampling {
    /// Greedy, nothing penalised.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}
