// Nibbles p0 [row][block]: byte i = element i | element 16+i << 4; with FIFTH, p3 holds bit 4 of element i in bit i.
@group(0) @binding(0) var<storage, read> p0 : array<vec4<u32>>;
#if FIFTH
@group(0) @binding(3) var<storage, read> p3 : array<u32>;
#endif

fn lo(w : u32) -> vec4<f32> { return vec4<f32>(unpack4xU8(w & 0x0f0f0f0fu)); }
fn hi(w : u32) -> vec4<f32> { return vec4<f32>(unpack4xU8((w >> 4u) & 0x0f0f0f0fu)); }
#if FIFTH
// Bits at..at+4 of w, one in each byte, worth 16.
fn fifth(w : u32, at : u32) -> vec4<f32> {
  return vec4<f32>(unpack4xU8(((((w >> at) & 15u) * 0x00204081u) & 0x01010101u) << 4u));
}
#endif

fn quants(row : u32, b : u32) -> Block {
  let w = p0[row * NB + b];
#if FIFTH
  let h = p3[row * NB + b];
  return Block(lo(w.x) + fifth(h, 0u), lo(w.y) + fifth(h, 4u), lo(w.z) + fifth(h, 8u), lo(w.w) + fifth(h, 12u),
    hi(w.x) + fifth(h, 16u), hi(w.y) + fifth(h, 20u), hi(w.z) + fifth(h, 24u), hi(w.w) + fifth(h, 28u));
#else
  return Block(lo(w.x), lo(w.y), lo(w.z), lo(w.w), hi(w.x), hi(w.y), hi(w.z), hi(w.w));
#endif
}
