//! Safetensors as a stream (specification: huggingface/safetensors `README.md`).
