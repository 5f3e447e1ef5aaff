// Signed bytes p0 [row][half][block], so that the loads of both halves coalesce.
@group(0) @binding(0) var<storage, read> p0 : array<vec4<u32>>;

fn bytes(w : u32) -> vec4<f32> { return vec4<f32>(unpack4xI8(w)); }

fn quants(row : u32, b : u32) -> Block {
  let w = p0[row * NB * 2u + b]; let v = p0[row * NB * 2u + NB + b];
  return Block(bytes(w.x), bytes(w.y), bytes(w.z), bytes(w.w), bytes(v.x), bytes(v.y), bytes(v.z), bytes(v.w));
}
