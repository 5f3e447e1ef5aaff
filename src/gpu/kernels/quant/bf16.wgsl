// BF16: p0 [row][K/8], 8 numbers each, every one the upper half of an f32.
@group(0) @binding(0) var<storage, read> p0 : array<vec4<u32>>;

fn pair(w : vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}

fn quants(row : u32, b : u32) -> Block {
  let at = row * (K / 8u) + b * 4u;
  let w0 = p0[at]; let w1 = p0[at + 1u]; let w2 = p0[at + 2u]; let w3 = p0[at + 3u];
  return Block(pair(w0.xy), pair(w0.zw), pair(w1.xy), pair(w1.zw), pair(w2.xy), pair(w2.zw), pair(w3.xy), pair(w3.zw));
}
