// In what architectures differ before attention: norms and biases of the heads, and which elements of a head RoPE pairs.
#if NORMED
@group(0) @binding(1) var<storage, read> vectors : array<f32>; // q_norm [HD] | k_norm [HD] | biases [ROWS][HD]
fn norm(is_key : bool, d : u32) -> f32 { return vectors[select(0u, HD, is_key) + d]; }
#else
#if BIASED
@group(0) @binding(1) var<storage, read> vectors : array<f32>; // biases [ROWS][HD]
#endif
fn norm(is_key : bool, d : u32) -> f32 { return 1.0; }
#endif
#if BIASED
fn bias(at : u32) -> f32 { return vectors[$BIASES + at]; }
#else
fn bias(at : u32) -> f32 { return 0.0; }
#endif
fn bias4(at : u32) -> vec4<f32> { return vec4<f32>(bias(at), bias(at + 1u), bias(at + 2u), bias(at + 3u)); }

// The two elements of pair i.
#if NEIGHBOURS
fn first(i : u32) -> u32 { return 2u * i; }
fn second(i : u32) -> u32 { return 2u * i + 1u; }
#else
fn first(i : u32) -> u32 { return i; }
fn second(i : u32) -> u32 { return HALF + i; }
#endif
