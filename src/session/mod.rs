//! One conversation: prompt to a stream of events; stop rules, budget, prefix reuse, cancellation. It knows no device
//! and no clock but the one it is given.

mod engine;
mod event;
mod info;
mod loops;
mod options;
mod pool;
mod reply;
mod saved;
mod step;
mod stop;
mod structure;
mod warm;

pub use engine::{Clock, Engine, tokenizer_of};
pub use event::{Event, FinishReason, GpuTimings, ReplyResult, Timings, TokenLogprob, TokenLogprobs, Usage};
pub use info::ModelInfo;
pub use reply::Reply;
