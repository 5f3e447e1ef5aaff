//! GGUF versions 2 and 3 as a stream (specification: ggml `docs/gguf.md`).
