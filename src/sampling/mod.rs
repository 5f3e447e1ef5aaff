//! Logits and history to a token: the reference of the GPU sampler; pure.
