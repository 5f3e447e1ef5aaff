//! Every way to fail: a kind (the stable code a caller can match on), what happened, and what to do about it.

use std::fmt;

/// The category of a failure. [`ErrorKind::code`] is the public name; it never changes once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No usable WebGPU (or Vulkan, Metal, DX12) adapter.
    WebgpuUnavailable,
    /// The device computes wrong numbers.
    SelfTestFailed,
    /// The device went away while in use.
    DeviceLost,
    /// The device or the wasm heap has no room left.
    OutOfMemory,
    /// The file's bytes are not what its format allows.
    MalformedFile,
    /// A well-formed file of a model this engine does not run.
    UnsupportedModel,
    /// An option or argument of the wrong type or outside its range.
    InvalidArgument,
    /// The prompt does not fit the context.
    ContextOverflow,
    /// The object is in use and cannot do this now.
    Busy,
    /// The caller gave up.
    Aborted,
    /// A defect of this engine.
    Internal,
}

impl ErrorKind {
    /// The stable code, as in `Qwen3Error.code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::WebgpuUnavailable => "webgpu-unavailable",
            Self::SelfTestFailed => "self-test-failed",
            Self::DeviceLost => "device-lost",
            Self::OutOfMemory => "out-of-memory",
            Self::MalformedFile => "malformed-file",
            Self::UnsupportedModel => "unsupported-model",
            Self::InvalidArgument => "invalid-argument",
            Self::ContextOverflow => "context-overflow",
            Self::Busy => "busy",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call can succeed later without a change by the caller's user.
    pub fn recoverable(self) -> bool {
        matches!(self, Self::DeviceLost | Self::OutOfMemory | Self::ContextOverflow | Self::Busy | Self::Aborted)
    }
}

/// A failure as data: it keeps its kind, message and hint to the edge of the engine and beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The category.
    pub kind: ErrorKind,
    /// What was expected and what came.
    pub message: String,
    /// What the caller can do; may be empty.
    pub hint: String,
}

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure of `kind` with no hint yet.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: String::new() }
    }

    /// The same failure with advice attached.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// [`ErrorKind::MalformedFile`].
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::MalformedFile, message)
    }

    /// [`ErrorKind::UnsupportedModel`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::UnsupportedModel, message)
    }

    /// [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code(), self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
