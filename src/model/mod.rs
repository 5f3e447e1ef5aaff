//! What a model is: its configuration, the names of its weights, how a file becomes a model, and the `Runtime` seam.

mod config;
mod loading;
mod names;
mod rope;
mod runtime;
mod turns;

pub use config::Config;
pub use loading::{Discard, Loaded, Loader, Vocabulary};
pub use names::{Naming, Weight, weight_of};
pub use rope::{Pairing, Rope, Scaling};
pub use runtime::{DecodePlan, Pending, Positions, Runtime, RuntimeInfo, SequenceId, SinkFactory, WeightSink};
pub use turns::Turns;

pub use crate::sampling::Sampling;
