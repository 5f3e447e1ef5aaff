//! What every runtime promises, for any of them.

use pollster::block_on;
use qwen3_web::error::ErrorKind;
use qwen3_web::model::{DecodePlan, Runtime, Sampling, SequenceId, SinkFactory};

use crate::checkpoints::{all, named};

type MakeSink = fn(usize) -> Box<SinkFactory>;

const CONTEXT: usize = 256;

fn relative_l2(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let square = |sum: f64, x: f32| sum + (x as f64).powi(2);
    let error = got.iter().zip(expected).map(|(a, b)| a - b).fold(0.0, square);
    (error / expected.iter().copied().fold(0.0, square)).sqrt() as f32
}

fn greedy(max_tokens: usize) -> DecodePlan {
    DecodePlan { sampling: Sampling::default(), prompt: Vec::new(), reply: Vec::new(), stop: Vec::new(), max_tokens }
}

fn decoded(runtime: &mut dyn Runtime, sequence: SequenceId, plan: DecodePlan) -> Vec<u32> {
    runtime.decode(sequence, plan).expect("decode");
    let mut tokens = Vec::new();
    loop {
        let next = block_on(runtime.next(sequence)).expect("next");
        if next.is_empty() {
            return tokens;
        }
        tokens.extend(next);
    }
}

fn prefilled(runtime: &mut dyn Runtime, sequence: SequenceId, tokens: &[u32]) -> Vec<f32> {
    block_on(runtime.prefill(sequence, tokens)).expect("prefill");
    block_on(runtime.logits(sequence)).expect("logits")
}

pub fn logits_are_those_of_transformers(sink: MakeSink) {
    logits_are_within(0.0, sink);
}

/// As `transformers` computes them, to the tolerance of the checkpoint's types or to `allowed` where that is more.
pub fn logits_are_within(allowed: f32, sink: MakeSink) {
    let mut wrong = Vec::new();
    for checkpoint in all() {
        let mut runtime = checkpoint.load(sink, CONTEXT);
        for (position, expected) in &checkpoint.logits {
            let sequence = runtime.open().expect("open");
            let got = prefilled(&mut *runtime, sequence, &checkpoint.tokens[..=*position]);
            let error = relative_l2(&got, expected);
            println!("{} at {position}: {error:.2e}", checkpoint.name);
            if error.is_nan() || error > checkpoint.tolerance().max(allowed) {
                wrong.push(format!("{} at {position}: {error:.2e}", checkpoint.name));
            }
            runtime.release(sequence);
        }
    }
    assert!(wrong.is_empty(), "relative L2 errors too large: {wrong:#?}");
}

/// What is drawn after each token of a text that the quantised checkpoints wrote themselves: the most likely token is the same
/// for 99 of 100, and the divergence of the distributions (KL) is 1e-3 on average at most.
pub fn draws_agree(exact: MakeSink, other: MakeSink) {
    let (mut steps, mut same, mut divergence) = (0, 0, 0.0);
    for checkpoint in all().iter().filter(|checkpoint| checkpoint.is_quantised()) {
        let mut runtimes = [exact, other].map(|sink| checkpoint.load(sink, CONTEXT));
        let written = {
            let sequence = runtimes[0].open().expect("open");
            prefilled(&mut *runtimes[0], sequence, &checkpoint.tokens);
            let sampling = Sampling { temperature: 1.0, top_k: 20, seed: 5, ..Sampling::default() };
            decoded(&mut *runtimes[0], sequence, DecodePlan { sampling, ..greedy(CONTEXT / 4) })
        };
        let sequences = runtimes.each_mut().map(|runtime| runtime.open().expect("open"));
        for token in checkpoint.tokens.iter().chain(&written) {
            let mut logits = |at: usize| prefilled(&mut *runtimes[at], sequences[at], &[*token]);
            let [exact, other] = [logits(0), logits(1)].map(|logits| log_probabilities(&logits));
            let best = |of: &[f64]| (0..of.len()).max_by(|a, b| of[*a].total_cmp(&of[*b]));
            steps += 1;
            same += usize::from(best(&exact) == best(&other));
            divergence += exact.iter().zip(&other).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        }
    }
    println!("{same} of {steps} agree, mean KL {:.1e}", divergence / steps as f64);
    assert!(steps >= 512 && same * 100 >= steps * 99, "{same} of {steps} agree");
    assert!(divergence / steps as f64 <= 1e-3, "mean KL {:.1e}", divergence / steps as f64);
}

fn log_probabilities(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total = logits.iter().map(|x| f64::from(x - top).exp()).sum::<f64>().ln();
    logits.iter().map(|x| f64::from(x - top) - total).collect()
}

/// Tokens must be equal as far as the best was ahead of the second best by more than both can be off.
pub fn greedy_continuations_are_those_of_transformers(sink: MakeSink) {
    let mut wrong = Vec::new();
    for checkpoint in all() {
        let mut runtime = checkpoint.load(sink, CONTEXT);
        let sequence = runtime.open().expect("open");
        prefilled(&mut *runtime, sequence, &checkpoint.tokens);
        let got = decoded(&mut *runtime, sequence, greedy(checkpoint.greedy.len()));
        let (_, row) = checkpoint.logits.iter().max_by_key(|(position, _)| *position).expect("logits");
        let rms = (row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32).sqrt();
        let certain = 4.0 * checkpoint.tolerance() * rms;
        let until = checkpoint.margins.iter().position(|m| *m <= certain).unwrap_or(checkpoint.margins.len());
        println!("{}: {until} tokens certain", checkpoint.name);
        if got[..until] != checkpoint.greedy[..until] {
            wrong.push(format!("{}: {got:?}, not {:?}, certain until {until}", checkpoint.name, checkpoint.greedy));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

pub fn chunks_and_reused_prefixes_give_the_same_logits(sink: MakeSink) {
    for name in ["narrow-f16", "narrow-q4_0", "super-q4_k", "super-q6_k"] {
        let checkpoint = named(name);
        let tokens: Vec<u32> = checkpoint.tokens.iter().chain(&checkpoint.greedy).copied().collect();
        let mut runtime = checkpoint.load(sink, CONTEXT);
        let whole = runtime.open().expect("open");
        let expected = prefilled(&mut *runtime, whole, &tokens);
        for size in [1, 3, 7, 32, 50, 100] {
            let sequence = runtime.open().expect("open");
            for chunk in tokens.chunks(size) {
                block_on(runtime.prefill(sequence, chunk)).expect("prefill");
            }
            assert_eq!(runtime.length(sequence), tokens.len());
            let error = relative_l2(&block_on(runtime.logits(sequence)).expect("logits"), &expected);
            assert!(error <= 1e-5, "{name} in chunks of {size}: {error:.2e}");
            runtime.release(sequence);
        }
        for kept in [tokens.len() - 1, 65, 64, 20, 0] {
            let other: Vec<u32> = tokens.iter().map(|t| (t + 1) % 400).collect();
            runtime.truncate(whole, kept).expect("truncate");
            assert_eq!(runtime.length(whole), kept);
            block_on(runtime.prefill(whole, &other[kept..])).expect("prefill");
            runtime.truncate(whole, kept).expect("truncate");
            let error = relative_l2(&prefilled(&mut *runtime, whole, &tokens[kept..]), &expected);
            assert!(error <= 1e-5, "{name} after a prefix of {kept}: {error:.2e}");
        }
    }
}

pub fn decoding_leaves_the_state_that_prefilling_the_same_tokens_does(sink: MakeSink) {
    let checkpoint = named("narrow-q8_0");
    let mut runtime = checkpoint.load(sink, CONTEXT);
    let (a, b) = (runtime.open().expect("open"), runtime.open().expect("open"));
    prefilled(&mut *runtime, a, &checkpoint.tokens);
    let reply = decoded(&mut *runtime, a, greedy(20));
    assert_eq!(reply.len(), 20);
    runtime.truncate(a, usize::MAX).expect("truncate");
    let cached = runtime.length(a);
    assert!(cached >= checkpoint.tokens.len() && cached <= checkpoint.tokens.len() + 20, "{cached}");
    let all: Vec<u32> = checkpoint.tokens.iter().chain(&reply).chain(&[9, 8, 7]).copied().collect();
    let continued = prefilled(&mut *runtime, a, &all[cached..]);
    let afresh = prefilled(&mut *runtime, b, &all);
    assert!(relative_l2(&continued, &afresh) <= 1e-5);
}

pub fn two_sequences_do_not_disturb_each_other(sink: MakeSink) {
    let checkpoint = named("narrow-q5_1");
    let mut runtime = checkpoint.load(sink, CONTEXT);
    let reversed: Vec<u32> = checkpoint.tokens.iter().rev().copied().collect();
    let mut alone = Vec::new();
    for tokens in [&checkpoint.tokens, &reversed] {
        let sequence = runtime.open().expect("open");
        prefilled(&mut *runtime, sequence, tokens);
        alone.push(decoded(&mut *runtime, sequence, greedy(24)));
        runtime.release(sequence);
    }
    assert_ne!(alone[0], alone[1], "the prompts give different replies");
    let (a, b) = (runtime.open().expect("open"), runtime.open().expect("open"));
    for (x, y) in checkpoint.tokens.chunks(5).zip(reversed.chunks(5)) {
        block_on(runtime.prefill(a, x)).expect("prefill");
        block_on(runtime.prefill(b, y)).expect("prefill");
    }
    runtime.decode(a, greedy(24)).expect("decode");
    runtime.decode(b, greedy(24)).expect("decode");
    let (mut x, mut y): (Vec<u32>, Vec<u32>) = Default::default();
    loop {
        let next = [a, b].map(|s| block_on(runtime.next(s)).expect("next"));
        if next.iter().all(Vec::is_empty) {
            break;
        }
        x.extend(&next[0]);
        y.extend(&next[1]);
    }
    assert_eq!([x, y], [alone[0].clone(), alone[1].clone()]);
}

pub fn a_decode_ends_at_a_stop_token_at_its_limit_and_at_a_full_context(sink: MakeSink) {
    let checkpoint = named("narrow-f32");
    let mut runtime = checkpoint.load(sink, checkpoint.tokens.len() + 5);
    let sequence = runtime.open().expect("open");
    prefilled(&mut *runtime, sequence, &checkpoint.tokens);
    let full = decoded(&mut *runtime, sequence, greedy(100));
    assert!((5..=6).contains(&full.len()), "{} tokens in 5 free places", full.len());

    let mut runtime = checkpoint.load(sink, CONTEXT);
    for (plan, expected) in [
        (greedy(3), &checkpoint.greedy[..3]),
        (DecodePlan { stop: vec![checkpoint.greedy[4]], ..greedy(50) }, {
            let stop = checkpoint.greedy.iter().position(|t| *t == checkpoint.greedy[4]).expect("it is there");
            &checkpoint.greedy[..=stop]
        }),
    ] {
        let sequence = runtime.open().expect("open");
        prefilled(&mut *runtime, sequence, &checkpoint.tokens);
        assert_eq!(decoded(&mut *runtime, sequence, plan), expected);
        assert!(block_on(runtime.next(sequence)).expect("next").is_empty(), "nothing after the end");
    }
}

pub fn a_prompt_beyond_the_context_is_an_error_that_changes_nothing(sink: MakeSink) {
    let checkpoint = named("narrow-f32");
    let mut runtime = checkpoint.load(sink, 40);
    let sequence = runtime.open().expect("open");
    let before = prefilled(&mut *runtime, sequence, &checkpoint.tokens[..30]);
    let error = block_on(runtime.prefill(sequence, &checkpoint.tokens[..11])).expect_err("11 tokens in 10 places");
    assert_eq!(error.kind, ErrorKind::ContextOverflow);
    assert!(!error.hint.is_empty());
    assert_eq!(runtime.length(sequence), 30);
    assert_eq!(block_on(runtime.logits(sequence)).expect("logits"), before);
    let error = block_on(runtime.prefill(sequence, &[512])).expect_err("a token the vocabulary does not have");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    block_on(runtime.prefill(sequence, &checkpoint.tokens[..10])).expect("10 tokens in 10 places");
}

pub fn sampled_tokens_follow_from_the_seed(sink: MakeSink) {
    let checkpoint = named("super-q4_k");
    let mut runtime = checkpoint.load(sink, CONTEXT);
    let mut reply = |seed: u64| {
        let sequence = runtime.open().expect("open");
        prefilled(&mut *runtime, sequence, &checkpoint.tokens);
        let sampling = Sampling { temperature: 1.0, top_k: 20, top_p: 0.95, seed, ..Sampling::default() };
        let reply = decoded(&mut *runtime, sequence, DecodePlan { sampling, ..greedy(20) });
        runtime.release(sequence);
        reply
    };
    let first = reply(1);
    assert_eq!(first.len(), 20);
    assert_eq!(reply(1), first);
    assert_ne!(reply(2), first);
}
