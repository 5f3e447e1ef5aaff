//! What a model thought of the tokens: log probabilities of the logits as the model gave them, before any penalty or
//! temperature.

use std::cmp::Ordering;

/// The natural logarithm of the probability of `token`, and of the `top` most likely tokens in descending order (ties:
/// the lower id first). −∞ for a token outside the logits.
pub fn log_probabilities(logits: &[f32], token: u32, top: usize) -> (f32, Vec<(u32, f32)>) {
    let number = |logit: f32| if logit.is_nan() { f64::NEG_INFINITY } else { f64::from(logit) };
    let largest = logits.iter().map(|&logit| number(logit)).fold(f64::NEG_INFINITY, f64::max);
    let log_sum = largest + logits.iter().map(|&logit| (number(logit) - largest).exp()).sum::<f64>().ln();
    let of = |id: u32| logits.get(id as usize).map_or(f32::NEG_INFINITY, |&logit| (number(logit) - log_sum) as f32);
    let rank = |&a: &u32, &b: &u32| {
        let (a_logit, b_logit) = (number(logits[a as usize]), number(logits[b as usize]));
        b_logit.partial_cmp(&a_logit).unwrap_or(Ordering::Equal).then(a.cmp(&b))
    };
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    if top < ids.len() {
        ids.select_nth_unstable_by(top, rank);
        ids.truncate(top);
    }
    ids.sort_unstable_by(rank);
    (of(token), ids.into_iter().map(|id| (id, of(id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_log_softmax() {
        let logits = [0.0, 2f32.ln(), f32::NAN, 5f32.ln(), 0.0];
        let (of_one, top) = log_probabilities(&logits, 1, 3);
        assert!((of_one - (2.0f32 / 9.0).ln()).abs() < 1e-6);
        let ids: Vec<u32> = top.iter().map(|&(id, _)| id).collect();
        assert_eq!(ids, [3, 1, 0]);
        assert!((top[0].1 - (5.0f32 / 9.0).ln()).abs() < 1e-6);
        assert_eq!(log_probabilities(&logits, 2, 0), (f32::NEG_INFINITY, vec![]));
        assert_eq!(log_probabilities(&logits, 9, 99).1.len(), 5);
        let (large, _) = log_probabilities(&[1e30, 0.0], 0, 0);
        assert_eq!(large, 0.0);
    }
}
