// The tile in f16: 64 rows of W, then 32 tokens. Every block of either is divided by a power of two, so that its largest number
// is between 1 and 2: products stay far from f16's limits however large an activation is.
const XS : u32 = 64u;
var<workgroup> tile : array<vec4<f16>, 96 * PITCH>;
var<workgroup> powers : array<f32, 96>; // by which the tile's rows were divided

fn stage(row : u32, v : Block) {
  let power = bitcast<u32>(largest(v)) & 0x7f800000u;
  powers[row] = bitcast<f32>(power);
  let scale = bitcast<f32>(0x7f000000u - power); // 1 / power, and finite where that is 0
  let at = row * PITCH;
  tile[at] = vec4<f16>(v.a0 * scale); tile[at + 1u] = vec4<f16>(v.a1 * scale);
  tile[at + 2u] = vec4<f16>(v.a2 * scale); tile[at + 3u] = vec4<f16>(v.a3 * scale);
  tile[at + 4u] = vec4<f16>(v.b0 * scale); tile[at + 5u] = vec4<f16>(v.b1 * scale);
  tile[at + 6u] = vec4<f16>(v.b2 * scale); tile[at + 7u] = vec4<f16>(v.b3 * scale);
}

fn stage_row(row : u32, q : Quants, s0 : f32, m0 : f32, s1 : f32, m1 : f32) {
  stage(row, Block(q.a0 * s0 - m0, q.a1 * s0 - m0, q.a2 * s0 - m0, q.a3 * s0 - m0,
    q.b0 * s1 - m1, q.b1 * s1 - m1, q.b2 * s1 - m1, q.b3 * s1 - m1));
}

fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  if (lid < 32u) { stage(XS + lid, activations(token0 + lid, b)); }
}
