// Six bits: nibbles p0 as in nibbles.wgsl; upper two bits p3 [row][block]: .x for elements 0..16, .y for 16..32,
// byte i bits 2w..2w+2 = element 4w+i.
@group(0) @binding(0) var<storage, read> p0 : array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> p3 : array<vec2<u32>>;

fn six(nibbles : u32, bits : u32) -> vec4<f32> {
  return vec4<f32>(unpack4xU8((nibbles & 0x0f0f0f0fu) | ((bits & 0x03030303u) << 4u)));
}

fn quants(row : u32, b : u32) -> Block {
  let w = p0[row * NB + b]; let h = p3[row * NB + b];
  return Block(six(w.x, h.x), six(w.y, h.x >> 2u), six(w.z, h.x >> 4u), six(w.w, h.x >> 6u),
    six(w.x >> 4u, h.y), six(w.y >> 4u, h.y >> 2u), six(w.z >> 4u, h.y >> 4u), six(w.w >> 4u, h.y >> 6u));
}
