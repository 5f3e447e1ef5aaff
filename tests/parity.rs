//! Every runtime computes what `transformers` computes in f32, and the same however the tokens are fed to it.
//!
//! The checkpoints and the expected values come from `tests/fixtures/checkpoints.py`; those in `.cache/fixtures` are
//! larger and taken along where that script has made them (`--all`). One body for every backend: a test names it.

#[path = "parity/checkpoints.rs"]
mod checkpoints;
#[path = "parity/promises.rs"]
mod promises;
#[path = "parity/strict_threads.rs"]
mod strict_threads;

use qwen3_web::gpu::{self, Precision};
use qwen3_web::model::SinkFactory;

/// Runs every promise on one backend; `$sink` makes a sink factory for a context length.
macro_rules! backend {
    ($name:ident, $sink:expr) => {
        mod $name {
            use super::promises;

            #[test]
            fn logits_are_those_of_transformers() {
                promises::logits_are_those_of_transformers($sink);
            }

            #[test]
            fn greedy_continuations_are_those_of_transformers() {
                promises::greedy_continuations_are_those_of_transformers($sink);
            }

            #[test]
            fn chunks_and_reused_prefixes_give_the_same_logits() {
                promises::chunks_and_reused_prefixes_give_the_same_logits($sink);
            }

            #[test]
            fn decoding_leaves_the_state_that_prefilling_the_same_tokens_does() {
                promises::decoding_leaves_the_state_that_prefilling_the_same_tokens_does($sink);
            }

            #[test]
            fn two_sequences_do_not_disturb_each_other() {
                promises::two_sequences_do_not_disturb_each_other($sink);
            }

            #[test]
            fn a_decode_ends_at_a_stop_token_at_its_limit_and_at_a_full_context() {
                promises::a_decode_ends_at_a_stop_token_at_its_limit_and_at_a_full_context($sink);
            }

            #[test]
            fn a_prompt_beyond_the_context_is_an_error_that_changes_nothing() {
                promises::a_prompt_beyond_the_context_is_an_error_that_changes_nothing($sink);
            }

            #[test]
            fn sampled_tokens_follow_from_the_seed() {
                promises::sampled_tokens_follow_from_the_seed($sink);
            }
        }
    };
}

backend!(cpu, super::cpu_sink);
backend!(cpu_threads, super::cpu_threads_sink);

// The GPU's two sets of kernels, both on whatever adapter there is.
backend!(gpu_hardware_kernels, super::gpu_hardware_sink);
backend!(gpu_software_kernels, super::gpu_software_sink);

/// Small models get an f32 KV cache by themselves; an f16 one costs them this much at most.
#[test]
fn an_f16_cache_moves_logits_by_little() {
    promises::logits_are_within(2e-3, |context| {
        Box::new(move |config| {
            let device = pollster::block_on(gpu::Device::open(true, false))?.treat_as_software(false);
            Ok(Box::new(gpu::Sink::new(&device, config, context)?.with_kv_precision(Precision::F16)))
        })
    });
}

/// Rounding every product's numbers costs several times what rounding the cache does.
#[test]
fn an_f16_prefill_moves_logits_by_little() {
    promises::logits_are_within(5e-3, gpu_f16_sink);
}

#[test]
fn an_f16_prefill_draws_what_an_f32_prefill_draws() {
    promises::draws_agree(gpu_hardware_sink, gpu_f16_sink);
}

#[test]
fn an_f16_prefill_is_the_same_however_it_is_cut() {
    promises::chunks_and_reused_prefixes_give_the_same_logits(gpu_f16_sink);
}

/// Integers round activations alone, to 15 bits: less than an f16 cache does.
#[test]
fn an_integer_prefill_moves_logits_by_little() {
    promises::logits_are_those_of_transformers(gpu_integers_sink);
}

#[test]
fn an_integer_prefill_draws_what_an_f32_prefill_draws() {
    promises::draws_agree(gpu_hardware_sink, gpu_integers_sink);
}

/// 8 bits are for who wants the room: they cost more than anything else here.
#[test]
fn a_q8_cache_moves_logits_by_some_percent() {
    promises::logits_are_within(5e-2, |context| {
        Box::new(move |config| {
            let device = pollster::block_on(gpu::Device::open(true, false))?.treat_as_software(false);
            Ok(Box::new(gpu::Sink::new(&device, config, context)?.with_kv_precision(Precision::Q8)))
        })
    });
}

fn cpu_sink(context: usize) -> Box<SinkFactory> {
    Box::new(move |config| Ok(Box::new(qwen3_web::cpu::Sink::new(config, context)?)))
}

fn cpu_threads_sink(context: usize) -> Box<SinkFactory> {
    Box::new(move |config| {
        let threads = Box::new(strict_threads::StrictThreads::new());
        Ok(Box::new(qwen3_web::cpu::Sink::new(config, context)?.with_threads(Some(threads))))
    })
}

fn gpu_hardware_sink(context: usize) -> Box<SinkFactory> {
    gpu_sink(context, false)
}

/// Hardware's kernels with a prefill in f16, as if they had been chosen at load.
fn gpu_f16_sink(context: usize) -> Box<SinkFactory> {
    gpu_variant_sink(context, "shared-128-f16")
}

/// With one in integers.
fn gpu_integers_sink(context: usize) -> Box<SinkFactory> {
    gpu_variant_sink(context, "shared-128-integers")
}

fn gpu_variant_sink(context: usize, variant: &'static str) -> Box<SinkFactory> {
    Box::new(move |config| {
        let device = pollster::block_on(gpu::Device::open(true, false))?.treat_as_software(false);
        let device = pollster::block_on(gpu::tuned(device, Some(variant)))?;
        assert_eq!(device.variant(), variant, "{} cannot run it", device.description);
        Ok(Box::new(gpu::Sink::new(&device, config, context)?))
    })
}

fn gpu_software_sink(context: usize) -> Box<SinkFactory> {
    gpu_sink(context, true)
}

fn gpu_sink(context: usize, software: bool) -> Box<SinkFactory> {
    Box::new(move |config| {
        let device = pollster::block_on(gpu::Device::open(true, false))?.treat_as_software(software);
        Ok(Box::new(gpu::Sink::new(&device, config, context)?))
    })
}
