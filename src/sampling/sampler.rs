//! Draws one token after another, keeping count of what was drawn.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::{Sampling, uniform};

/// The sampler of one reply: the options and what the penalties look at.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    /// How often each token of prompt or reply occurs in the reply; 0 for those of the prompt alone.
    reply_counts: HashMap<u32, u32>,
    step: u32,
}

impl Sampler {
    /// A sampler that goes on after `reply`, the tokens drawn so far (empty at the start of a reply).
    pub fn new(sampling: Sampling, prompt: &[u32], reply: &[u32]) -> Self {
        let mut reply_counts: HashMap<u32, u32> = prompt.iter().map(|&token| (token, 0)).collect();
        for &token in reply {
            *reply_counts.entry(token).or_default() += 1;
        }
        Self { sampling, reply_counts, step: reply.len() as u32 }
    }

    /// Draws the next token from `logits: [vocabulary]` and counts it. 0 if there are no logits.
    pub fn draw(&mut self, logits: &[f32]) -> u32 {
        self.draw_among(logits, (0..logits.len() as u32).collect())
    }

    /// Draws the next token among `allowed`, which are ids in ascending order, and counts it. 0 if there are none.
    pub fn draw_among(&mut self, logits: &[f32], allowed: Vec<u32>) -> u32 {
        let mut logits = logits.to_vec();
        self.penalise(&mut logits);
        let token = choose(&logits, allowed, &self.sampling, uniform(self.sampling.seed, self.step));
        *self.reply_counts.entry(token).or_default() += 1;
        self.step = self.step.wrapping_add(1);
        token
    }

    /// Bias and penalties, in place; tokens outside the vocabulary are left out.
    fn penalise(&self, logits: &mut [f32]) {
        let s = &self.sampling;
        for &(token, bias) in &s.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for (&token, &count) in &self.reply_counts {
            let Some(logit) = logits.get_mut(token as usize) else { continue };
            if s.repetition_penalty != 1.0 {
                *logit = if *logit > 0.0 { *logit / s.repetition_penalty } else { *logit * s.repetition_penalty };
            }
            if count > 0 {
                *logit -= s.frequency_penalty * count as f32 + s.presence_penalty;
            }
        }
    }
}

/// Draws one of the tokens `ranked`, which come in any order, from penalised logits with the uniform number `u`: steps 4
/// to 9 of the module's order.
fn choose(logits: &[f32], mut ranked: Vec<u32>, sampling: &Sampling, u: f32) -> u32 {
    let logit = |token: u32| match logits[token as usize] {
        value if value.is_nan() => f32::NEG_INFINITY,
        value => value,
    };
    let rank = |&a: &u32, &b: &u32| logit(b).partial_cmp(&logit(a)).unwrap_or(Ordering::Equal).then(a.cmp(&b));
    let Some(first) = ranked.iter().copied().min_by(rank) else { return 0 };
    if sampling.temperature <= 0.0 {
        return first;
    }
    if sampling.top_k > 0 && (sampling.top_k as usize) < ranked.len() {
        ranked.select_nth_unstable_by(sampling.top_k as usize, rank);
        ranked.truncate(sampling.top_k as usize);
    }
    ranked.sort_unstable_by(rank);

    let largest = logit(first);
    let mut kept: Vec<(u32, f32)> = ranked
        .iter()
        .map(|&token| {
            // ∞ − ∞ is no number: what equals the largest has weight 1 whatever that is.
            let value = logit(token);
            (token, if value == largest { 1.0 } else { ((value - largest) / sampling.temperature).exp() })
        })
        .collect();

    if sampling.top_p < 1.0 {
        let enough = sampling.top_p * kept.iter().map(|&(_, weight)| weight).sum::<f32>();
        let mut before = 0.0;
        let keep = kept.iter().take_while(|&&(_, weight)| {
            let keeps = before < enough;
            before += weight;
            keeps
        });
        let keep = keep.count().max(1);
        kept.truncate(keep);
    }
    kept.truncate(kept.partition_point(|&(_, weight)| weight >= sampling.min_p).max(1));

    let threshold = u * kept.iter().map(|&(_, weight)| weight).sum::<f32>();
    let mut running = 0.0;
    for &(token, weight) in &kept {
        running += weight;
        if running > threshold {
            return token;
        }
    }
    // Rounding can leave the threshold at the sum itself; the last token that has any weight is then the one.
    kept.iter().rev().find(|&&(_, weight)| weight > 0.0).map_or(first, |&(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Sampling = Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        logit_bias: Vec::new(),
        seed: 1,
    };

    fn choose(logits: &[f32], sampling: &Sampling, u: f32) -> u32 {
        super::choose(logits, (0..logits.len() as u32).collect(), sampling, u)
    }

    /// Every token that some u out of a fine grid draws.
    fn support(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
        let mut tokens: Vec<u32> = (0..4096).map(|i| choose(logits, sampling, i as f32 / 4096.0)).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    fn penalised(sampling: Sampling, prompt: &[u32], reply: &[u32], logits: &[f32]) -> Vec<f32> {
        let mut logits = logits.to_vec();
        Sampler::new(sampling, prompt, reply).penalise(&mut logits);
        logits
    }

    #[test]
    fn greedy_takes_the_largest_and_the_lower_id_of_equals() {
        let greedy = Sampling { temperature: 0.0, ..PLAIN };
        assert_eq!(choose(&[1.0, 3.0, 3.0, 2.0], &greedy, 0.9), 1);
        assert_eq!(choose(&[f32::NAN, -1.0, f32::NAN], &greedy, 0.0), 1);
        assert_eq!(choose(&[f32::NAN, f32::NAN], &greedy, 0.5), 0);
        assert_eq!(choose(&[], &greedy, 0.5), 0);
    }

    #[test]
    fn ranks_draw_in_descending_order_of_probability() {
        // Probabilities 1/7, 4/7, 2/7: ranks are 1, 2, 0.
        let logits = [0.0, 4f32.ln(), 2f32.ln()];
        for (u, token) in [(0.0, 1), (0.57, 1), (0.58, 2), (0.85, 2), (0.86, 0), (0.999_999_9, 0)] {
            assert_eq!(choose(&logits, &PLAIN, u), token, "u = {u}");
        }
    }

    #[test]
    fn top_k_keeps_exactly_k() {
        let logits = [1.0, 1.0, 2.0, 1.0, 0.0];
        assert_eq!(support(&logits, &Sampling { top_k: 1, ..PLAIN }), [2]);
        assert_eq!(support(&logits, &Sampling { top_k: 3, ..PLAIN }), [0, 1, 2]);
        assert_eq!(support(&logits, &Sampling { top_k: 99, ..PLAIN }), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_it() {
        let logits = [0.5f32.ln(), 0.25f32.ln(), 0.15f32.ln(), 0.1f32.ln()];
        for (top_p, expected) in [(0.0, 1), (0.49, 1), (0.51, 2), (0.74, 2), (0.76, 3), (0.91, 4), (1.0, 4)] {
            let kept = support(&logits, &Sampling { top_p, ..PLAIN });
            assert_eq!(kept.len(), expected, "top_p = {top_p}");
        }
        // What top_k leaves is renormalised first: 0.5 of 0.75 already reaches 0.6.
        assert_eq!(support(&logits, &Sampling { top_p: 0.6, top_k: 2, ..PLAIN }), [0]);
    }

    #[test]
    fn min_p_is_relative_to_the_most_likely() {
        let logits = [0.5f32.ln(), 0.25f32.ln(), 0.15f32.ln(), 0.1f32.ln()];
        assert_eq!(support(&logits, &Sampling { min_p: 0.49, ..PLAIN }), [0, 1]);
        assert_eq!(support(&logits, &Sampling { min_p: 1.0, ..PLAIN }), [0]);
    }

    #[test]
    fn infinite_logits_are_drawn_and_forbidden_ones_never() {
        assert_eq!(support(&[0.0, f32::INFINITY, f32::NEG_INFINITY], &PLAIN), [1]);
        assert_eq!(support(&[0.0, f32::NEG_INFINITY, f32::NAN], &PLAIN), [0]);
        assert_eq!(choose(&[f32::NEG_INFINITY, 0.0], &PLAIN, 0.999_999_94), 1);
    }

    #[test]
    fn penalties_apply_in_order_and_to_the_right_tokens() {
        let logits = [4.0, -4.0, 1.0, 1.0];
        let repetition = Sampling { repetition_penalty: 2.0, ..PLAIN };
        assert_eq!(penalised(repetition.clone(), &[0], &[1], &logits), [2.0, -8.0, 1.0, 1.0]);
        let counted = Sampling { presence_penalty: 0.5, frequency_penalty: 0.25, ..PLAIN };
        assert_eq!(penalised(counted, &[0, 3], &[1, 2, 2, 99], &logits), [4.0, -4.75, 0.0, 1.0]);
        let biased = Sampling { logit_bias: vec![(0, -3.0), (0, -5.0), (9, 1.0)], ..repetition };
        assert_eq!(penalised(biased, &[0, 0], &[], &logits), [-8.0, -4.0, 1.0, 1.0]);
    }

    #[test]
    fn a_sampler_that_goes_on_draws_what_the_whole_one_draws() {
        let options = Sampling { presence_penalty: 1.5, frequency_penalty: 0.5, repetition_penalty: 1.1, ..PLAIN };
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin() * 3.0).collect();
        let mut whole = Sampler::new(options.clone(), &[3, 4], &[]);
        let drawn: Vec<u32> = (0..40).map(|_| whole.draw(&logits)).collect();
        let mut rest = Sampler::new(options, &[3, 4], &drawn[..15]);
        let again: Vec<u32> = (15..40).map(|_| rest.draw(&logits)).collect();
        assert_eq!(again, drawn[15..]);
    }

    #[test]
    fn only_what_is_allowed_is_drawn() {
        // Among the allowed it is a draw from their logits alone, whatever the others are.
        let all = [9.0, 0.0, f32::NAN, 4f32.ln(), f32::INFINITY, 2f32.ln()];
        let few = [0.0, 4f32.ln(), 2f32.ln()];
        for seed in 0..200 {
            let sampling = Sampling { seed, top_p: 0.9, ..PLAIN };
            let token = Sampler::new(sampling.clone(), &[], &[]).draw_among(&all, vec![1, 3, 5]);
            assert_eq!(token, [1, 3, 5][Sampler::new(sampling, &[], &[]).draw(&few) as usize]);
        }
        let impossible = Sampler::new(PLAIN, &[], &[]).draw_among(&[0.0, f32::NEG_INFINITY, f32::NAN], vec![1, 2]);
        assert!([1, 2].contains(&impossible));
    }

    #[test]
    fn frequencies_match_the_softmax() {
        // χ² with 15 degrees of freedom is below 37.7 with probability 0.999.
        let logits: Vec<f32> = (0..16).map(|i| ((i * 7) % 16) as f32 * 0.15).collect();
        let options = Sampling { temperature: 0.8, seed: 0xDEAD_BEEF_0BAD_CAFE, ..PLAIN };
        let draws = 50_000;
        let mut counts = [0u32; 16];
        for step in 0..draws {
            counts[choose(&logits, &options, uniform(options.seed, step)) as usize] += 1;
        }
        let weights: Vec<f64> = logits.iter().map(|&l| (f64::from(l) / 0.8).exp()).collect();
        let total: f64 = weights.iter().sum();
        let chi_square: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(&n, w)| {
                let expected = f64::from(draws) * w / total;
                (f64::from(n) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_square < 37.7, "χ² = {chi_square}");
    }
}
