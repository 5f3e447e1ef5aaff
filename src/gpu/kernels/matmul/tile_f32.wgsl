// The tile in f32: 64 rows of W, then 32 tokens.
const XS : u32 = 64u;
var<workgroup> tile : array<vec4<f32>, 96 * PITCH>;

fn stage_row(row : u32, q : Block, s : Scales, r : u32) {
  let w = weights(q, s, r);
#for i in 0..8
  tile[row * PITCH + ${i}u] = w.f$i;
#end
}

fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  for (var i = lid; i < 256u; i += 64u) {
    tile[(XS + i / 8u) * PITCH + i % 8u] = x[(token0 + i / 8u) * (K / 4u) + b * 8u + i % 8u];
  }
}
