// The tile in integers of 8 bits, four to a word: the levels of 64 rows of W, and 32 tokens, a block of which is a scale times
// integers of 256 · upper + lower, at most 32639. HALVES is 2 where half blocks have scales of their own; MINS: blocks have minimums.
var<workgroup> levels : array<u32, 64 * PITCH>;
var<workgroup> tokens : array<vec2<u32>, 32 * PITCH>;    // (upper, lower)
var<workgroup> row_scales : array<vec2<f32>, 64>;        // of a row's block: (s, m), or s of both halves
var<workgroup> token_scales : array<vec2<f32>, 32>;      // of a token's block, and with MINS the sum of its integers

fn stage_row(row : u32, q : Block, s : Scales, r : u32) {
#for i in 0..8
  levels[row * PITCH + ${i}u] = pack4xI8(vec4<i32>(q.f$i - $OFFSET));
#end
#if HALVES > 1
  row_scales[row] = vec2<f32>(s.s0[r], s.s1[r]);
#else
  row_scales[row] = vec2<f32>(s.s0[r], s.m0[r]);
#endif
}

fn parts(v : vec4<f32>) -> vec2<u32> {
  let whole = vec4<i32>(round(v));
  let upper = (whole + 128) >> vec4<u32>(8u);
  return vec2<u32>(pack4xI8(upper), pack4xI8(whole - upper * 256));
}
fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  if (lid >= 32u) { return; }
  let v = activations(token0 + lid, b);
  let scale = max(largest(v), 1e-30) / 32639.0; // finite in both directions
  let inverse = 1.0 / scale;
  var sum = 0;
#for i in 0..8
  let part$i = parts(v.f$i * inverse);
  tokens[lid * PITCH + ${i}u] = part$i;
#if MINS
  sum += 256 * dot4I8Packed(0x01010101u, part$i.x) + dot4I8Packed(0x01010101u, part$i.y);
#endif
#end
  token_scales[lid] = vec2<f32>(scale, f32(sum));
}
