// Scale and minimum a block: p1 (d, m) [row/4][block], 4 x 2 f16; w = d·q + m.
@group(0) @binding(1) var<storage, read> p1 : array<vec4<u32>>;

fn scales(rg : u32, b : u32) -> Scales {
  let w = p1[rg * NB + b];
  let r0 = unpack2x16float(w.x); let r1 = unpack2x16float(w.y); let r2 = unpack2x16float(w.z); let r3 = unpack2x16float(w.w);
  let d = vec4<f32>(r0.x, r1.x, r2.x, r3.x); let m = -vec4<f32>(r0.y, r1.y, r2.y, r3.y);
  return Scales(d, m, d, m);
}
