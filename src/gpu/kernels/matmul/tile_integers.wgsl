// The tile in integers of 8 bits, four to a word: the levels of 64 rows of W, and 32 tokens, a block of which is a scale times
// integers of 256 · upper + lower, at most 32639. HALVES is 2 where half blocks have scales of their own; MINS: blocks have minimums.
var<workgroup> levels : array<u32, 64 * PITCH>;
var<workgroup> tokens : array<vec2<u32>, 32 * PITCH>;    // (upper, lower)
var<workgroup> row_scales : array<vec2<f32>, 64>;        // of a row's block: (s, m), or s of both halves
var<workgroup> token_scales : array<vec2<f32>, 32>;      // of a token's block, and the sum of its integers

fn level(q : vec4<f32>) -> u32 { return pack4xI8(vec4<i32>(q - $OFFSET)); }

fn stage_row(row : u32, q : Quants, s0 : f32, m0 : f32, s1 : f32, m1 : f32) {
  let at = row * PITCH;
  levels[at] = level(q.a0); levels[at + 1u] = level(q.a1); levels[at + 2u] = level(q.a2); levels[at + 3u] = level(q.a3);
  levels[at + 4u] = level(q.b0); levels[at + 5u] = level(q.b1); levels[at + 6u] = level(q.b2); levels[at + 7u] = level(q.b3);
#if HALVES > 1
  row_scales[row] = vec2<f32>(s0, s1);
#else
  row_scales[row] = vec2<f32>(s0, m0);
#endif
}

fn parts(v : vec4<f32>) -> vec2<u32> {
  let whole = vec4<i32>(round(v));
  let upper = (whole + 128) >> vec4<u32>(8u);
  return vec2<u32>(pack4xI8(upper), pack4xI8(whole - upper * 256));
}
fn sum_of(part : vec2<u32>) -> i32 {
  return 256 * dot4I8Packed(0x01010101u, part.x) + dot4I8Packed(0x01010101u, part.y);
}

fn stage_tokens(lid : u32, token0 : u32, b : u32) {
  if (lid >= 32u) { return; }
  let v = activations(token0 + lid, b);
  let scale = max(largest(v), 1e-30) / 32639.0; // finite in both directions
  let inverse = 1.0 / scale;
  let at = lid * PITCH;
  let a0 = parts(v.a0 * inverse); let a1 = parts(v.a1 * inverse); let a2 = parts(v.a2 * inverse); let a3 = parts(v.a3 * inverse);
  let b0 = parts(v.b0 * inverse); let b1 = parts(v.b1 * inverse); let b2 = parts(v.b2 * inverse); let b3 = parts(v.b3 * inverse);
  tokens[at] = a0; tokens[at + 1u] = a1; tokens[at + 2u] = a2; tokens[at + 3u] = a3;
  tokens[at + 4u] = b0; tokens[at + 5u] = b1; tokens[at + 6u] = b2; tokens[at + 7u] = b3;
#if MINS
  let sum = sum_of(a0) + sum_of(a1) + sum_of(a2) + sum_of(a3) + sum_of(b0) + sum_of(b1) + sum_of(b2) + sum_of(b3);
  token_scales[lid] = vec2<f32>(scale, f32(sum));
#else
  token_scales[lid].x = scale;
#endif
}
