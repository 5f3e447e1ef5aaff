//! The runtime on candle.
