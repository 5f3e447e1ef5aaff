// F32: p0 [row][K/4].
@group(0) @binding(0) var<storage, read> p0 : array<vec4<f32>>;

fn quants(row : u32, b : u32) -> Block {
  let at = row * (K / 4u) + b * 8u;
  return Block(p0[at], p0[at + 1u], p0[at + 2u], p0[at + 3u], p0[at + 4u], p0[at + 5u], p0[at + 6u], p0[at + 7u]);
}
