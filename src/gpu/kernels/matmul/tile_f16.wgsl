// The tile in f16: 64 rows of W, then 32 tokens. Every block of either is divided by a power of two, so that its largest number
// is between 1 and 2: products stay far from f16's limits however large an activation is.
const XS : u32 = 64u;
var<workgroup> tile : array<vec4<f16>, 96 * PITCH>;
var<workgroup> powers : array<f32, 96>; // by which the tile's rows were divided

fn stage(row : u32, v : Block) {
  let power = bitcast<u32>(largest(v)) & 0x7f800000u;
  powers[row] = bitcast<f32>(power);
  let scale = bitcast<f32>(0x7f000000u - power); // 1 / power, and finite where that is 0
#for i in 0..8
  tile[row * PITCH + ${i}u] = vec4<f16>(v.f$i * scale);
#end
}

fn stage_row(row : u32, q : Block, s : Scales, r : u32) { stage(row, weights(q, s, r)); }

fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  if (lid < 32u) { stage(XS + lid, activations(token0 + lid, b)); }
}
