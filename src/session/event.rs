//! What a reply sends: events and, with the last of them, its result. They serialise to the objects of the public API.

use serde::Serialize;

use crate::chat::ToolCall;

/// One event of a reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The prompt is being read.
    Prefill {
        /// Tokens of the prompt that the cache holds now.
        processed: usize,
        /// Tokens of the prompt.
        total: usize,
        /// Tokens of the prompt that the cache held from an earlier call.
        cached: usize,
    },
    /// More thinking.
    Thinking {
        /// The new part.
        text: String,
    },
    /// More of the answer.
    Content {
        /// The new part.
        text: String,
    },
    /// More of the arguments of the call that is being written.
    ToolCallDelta {
        /// Counts the calls of this reply from 0.
        index: usize,
        /// The tool.
        name: String,
        /// The next part of the arguments' JSON text.
        arguments: String,
    },
    /// A whole tool call.
    ToolCall {
        /// Counts the calls of this reply from 0.
        index: usize,
        /// The call.
        #[serde(flatten)]
        call: ToolCall,
    },
    /// Something the caller may want to know.
    Notice {
        /// Stable name.
        code: &'static str,
        /// For people.
        message: String,
        /// With `dropped-turns`: the places in `messages` of those that were left out.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<usize>,
    },
    /// The reply is over.
    Done {
        /// All of it.
        result: ReplyResult,
    },
}

impl Event {
    /// A notice with nothing but its words.
    pub(super) fn notice(code: &'static str, message: impl Into<String>) -> Self {
        Self::Notice { code, message: message.into(), dropped: Vec::new() }
    }
}

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FinishReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// `maxTokens` were drawn or the context is full.
    Length,
    /// The model ended it after calling tools.
    ToolCalls,
    /// The caller ended it.
    Abort,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyResult {
    /// All thinking deltas.
    pub thinking: String,
    /// All content deltas.
    pub content: String,
    /// The calls in order.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens.
    pub usage: Usage,
    /// Speed.
    pub timings: Timings,
    /// The seed it was drawn with, given or chosen.
    pub seed: u64,
    /// With `logprobs`: how likely each token outside the thinking was, tags and end token left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<TokenLogprobs>>,
}

/// How likely the model held a drawn token, before penalties and temperature.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenLogprobs {
    /// The token that was drawn.
    #[serde(flatten)]
    pub token: TokenLogprob,
    /// The most likely tokens, `topLogprobs` of them, the likeliest first.
    pub top_logprobs: Vec<TokenLogprob>,
}

/// A token and the natural logarithm of its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenLogprob {
    /// Its text; U+FFFD where it holds part of a character.
    pub token: String,
    /// Its id.
    pub token_id: u32,
    /// ln of its probability.
    pub logprob: f32,
}

/// Tokens of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: usize,
    /// Of the prompt, taken from the cache.
    pub cached_tokens: usize,
    /// Inside the thinking block, its tags not counted.
    pub thinking_tokens: usize,
    /// All others of the reply: the answer, tool calls, tags and the end token.
    pub content_tokens: usize,
    /// Of the reply: `thinking_tokens + content_tokens`.
    pub completion_tokens: usize,
}

/// Speed of a reply; 0 where there was nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// From the call to the first drawn token.
    pub time_to_first_token_ms: f64,
    /// Of prompt tokens that were not cached.
    pub prefill_tokens_per_second: f64,
    /// Of drawn tokens after the first.
    pub decode_tokens_per_second: f64,
    /// From the call to the end.
    pub total_ms: f64,
    /// What the GPU's own clock says, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuTimings>,
}

/// How long a GPU itself has worked for a reply: without the way to it and back, and without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuTimings {
    /// Reading the prompt.
    pub prefill_ms: f64,
    /// Everything after it; of steps that several replies share, an equal part.
    pub decode_ms: f64,
    /// The same by drawn tokens; 0 where there is none.
    pub decode_ms_per_token: f64,
}
