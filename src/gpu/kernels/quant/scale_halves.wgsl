// A scale for each half block within a super-block of 256: p1 [row/4][block], 4 x 2 i8; p2 d [row/4][K/256], 4 x f16;
// w = d·scale·(q − OFFSET).
@group(0) @binding(1) var<storage, read> p1 : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> p2 : array<vec2<u32>>;

fn scales(rg : u32, b : u32) -> Scales {
  let w = p1[rg * NB + b]; let v = p2[rg * (NB / 8u) + (b >> 3u)];
  let d = vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
  let u0 = vec4<f32>(unpack4xI8(w.x)); let u1 = vec4<f32>(unpack4xI8(w.y));
  let s0 = d * vec4<f32>(u0.xz, u1.xz); let s1 = d * vec4<f32>(u0.yw, u1.yw);
  return Scales(s0, s0 * $OFFSET, s1, s1 * $OFFSET);
}
