// One scale a block: p1 d [row/4][block], 4 x f16; w = d·(q − OFFSET).
@group(0) @binding(1) var<storage, read> p1 : array<vec2<u32>>;

fn scales(rg : u32, b : u32) -> Scales {
  let w = p1[rg * NB + b];
  let d = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
  return Scales(d, d * $OFFSET, d, d * $OFFSET);
}
