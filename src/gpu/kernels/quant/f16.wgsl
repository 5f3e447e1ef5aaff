// F16: p0 [row][K/8], 8 halves each.
@group(0) @binding(0) var<storage, read> p0 : array<vec4<u32>>;

fn first(w : vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }
fn second(w : vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w)); }

fn quants(row : u32, b : u32) -> Block {
  let at = row * (K / 8u) + b * 4u;
  let w0 = p0[at]; let w1 = p0[at + 1u]; let w2 = p0[at + 2u]; let w3 = p0[at + 3u];
  return Block(first(w0), second(w0), first(w1), second(w1), first(w2), second(w2), first(w3), second(w3));
}
