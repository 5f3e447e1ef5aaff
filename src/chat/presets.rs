//! The sampling that Qwen3's model card recommends for each mode ("Best Practices").

/// The four numbers of a mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preset {
    /// See `sampling`.
    pub temperature: f32,
    /// See `sampling`.
    pub top_p: f32,
    /// See `sampling`.
    pub top_k: u32,
    /// See `sampling`.
    pub min_p: f32,
}

/// For replies that think first.
pub const THINKING: Preset = Preset { temperature: 0.6, top_p: 0.95, top_k: 20, min_p: 0.0 };

/// For replies that do not.
pub const NON_THINKING: Preset = Preset { temperature: 0.7, top_p: 0.8, top_k: 20, min_p: 0.0 };
