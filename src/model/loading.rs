//! From pushed bytes to a sink full of weights: what the file is, which tensors it must hold, and in which shapes.
