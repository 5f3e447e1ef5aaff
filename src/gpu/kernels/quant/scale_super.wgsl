// Scale and minimum a block within a super-block of 256: p1 (scale, min) [row/4][block], 4 x 2 u8;
// p2 (d, dmin) [row/4][K/256], 4 x 2 f16; w = d·scale·q − dmin·min.
@group(0) @binding(1) var<storage, read> p1 : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> p2 : array<vec4<u32>>;

fn scales(rg : u32, b : u32) -> Scales {
  let w = p1[rg * NB + b]; let v = p2[rg * (NB / 8u) + (b >> 3u)];
  let u0 = vec4<f32>(unpack4xU8(w.x)); let u1 = vec4<f32>(unpack4xU8(w.y));
  let r0 = unpack2x16float(v.x); let r1 = unpack2x16float(v.y); let r2 = unpack2x16float(v.z); let r3 = unpack2x16float(v.w);
  let d = vec4<f32>(r0.x, r1.x, r2.x, r3.x) * vec4<f32>(u0.xz, u1.xz);
  let m = vec4<f32>(r0.y, r1.y, r2.y, r3.y) * vec4<f32>(u0.yw, u1.yw);
  return Scales(d, m, d, m);
}
