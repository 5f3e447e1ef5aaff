// The tile in f32: 64 rows of W, then 32 tokens.
const XS : u32 = 64u;
var<workgroup> tile : array<vec4<f32>, 96 * PITCH>;

fn stage_row(row : u32, q : Quants, s0 : f32, m0 : f32, s1 : f32, m1 : f32) {
  let at = row * PITCH;
  tile[at] = q.a0 * s0 - m0; tile[at + 1u] = q.a1 * s0 - m0; tile[at + 2u] = q.a2 * s0 - m0; tile[at + 3u] = q.a3 * s0 - m0;
  tile[at + 4u] = q.b0 * s1 - m1; tile[at + 5u] = q.b1 * s1 - m1; tile[at + 6u] = q.b2 * s1 - m1; tile[at + 7u] = q.b3 * s1 - m1;
}

fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  for (var i = lid; i < 256u; i += 64u) {
    tile[(XS + i / 8u) * PITCH + i % 8u] = x[(token0 + i / 8u) * (K / 4u) + b * 8u + i % 8u];
  }
}
