// Biases, QK-norm and RoPE in place, and the keys and values appended to the cache: one team of TEAM lanes a head of a
// token.
const HD : u32 = $HEAD_DIM;
const HALF : u32 = HD / 2u;
const HEADS : u32 = $HEADS;       // query heads
const KV_HEADS : u32 = $KV_HEADS;
const ROWS : u32 = HEADS + 2u * KV_HEADS; // heads in qkv: queries, keys, values
const TEAM : u32 = $TEAM;
const TEAMS : u32 = $WG / TEAM;

#include state
@group(0) @binding(0) var<storage, read_write> qkv : array<f32>;      // [token][head][head_dim]
#include heads
@group(0) @binding(2) var<storage, read> rope : array<vec2<f32>>;     // [position][head_dim/2] (cos, sin)
#include kv

#if TEAM > 1
#if NORMED
var<workgroup> part : array<f32, $WG>;
#endif
#endif

fn from_qkv(at : u32) -> vec4<f32> { return vec4<f32>(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]); }

fn new_value(base : u32, row : u32, d : u32) -> vec4<f32> { return from_qkv(base + d * 4u) + bias4(row * HD + d * 4u); }
#if KV_Q8
fn largest(v : vec4<f32>) -> f32 { return max(max(abs(v.x), abs(v.y)), max(abs(v.z), abs(v.w))); }
fn key_scale(base : u32, b : u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) { top = max(top, largest(from_qkv(base + b * 32u + i * 4u))); }
  return top / 127.0;
}
fn value_scale(base : u32, row : u32, b : u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) { top = max(top, largest(new_value(base, row, b * 8u + i))); }
  return top / 127.0;
}
#else
fn key_scale(base : u32, b : u32) -> f32 { return 1.0; }
fn value_scale(base : u32, row : u32, b : u32) -> f32 { return 1.0; }
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32) {
  let lane = lid % TEAM;
  let row = wg.x * TEAMS + lid / TEAM;
  let token = wg.y;
  let pos = pos_of(token);
  let live = !is_done(token) && row < ROWS;
  let base = (token * ROWS + min(row, ROWS - 1u)) * HD;
  let rotated = live && row < HEADS + KV_HEADS;
#if NORMED
  var squares = 0.0;
  if (rotated) {
    for (var i = lane; i < HD; i += TEAM) {
      let a = qkv[base + i] + bias(row * HD + i);
      squares += a * a;
    }
  }
#if TEAM > 1
  part[lid] = squares;
  workgroupBarrier();
  for (var m = TEAM / 2u; m > 0u; m = m >> 1u) {
    if (lane < m) { part[lid] += part[lid + m]; }
    workgroupBarrier();
  }
  squares = part[lid - lane];
#endif
  let inv = inverseSqrt(squares / f32(HD) + $EPS);
#else
  let inv = 1.0;
#endif
  if (rotated) {
    for (var i = lane; i < HALF; i += TEAM) {
      let j = first(i); let k = second(i);
      let a = (qkv[base + j] + bias(row * HD + j)) * inv * norm(row >= HEADS, j);
      let b = (qkv[base + k] + bias(row * HD + k)) * inv * norm(row >= HEADS, k);
      let cs = rope[pos * HALF + i];
      qkv[base + j] = a * cs.x - b * cs.y;
      qkv[base + k] = b * cs.x + a * cs.y;
    }
  }
#if TEAM > 1
  storageBarrier();
#endif
  if (!live || row < HEADS) { return; }
  let head = (row - HEADS) % KV_HEADS;
  let cell = cell_of(token, pos / 32u, head);
  if (row < HEADS + KV_HEADS) {
    for (var d = lane; d < HD / 8u; d += TEAM) {
      put_key(cell, d, pos % 32u, Eight(from_qkv(base + d * 8u), from_qkv(base + d * 8u + 4u)), key_scale(base, d / 4u));
    }
#if KV_Q8
    for (var j = lane; j < HD / 64u; j += TEAM) {
      put_key_scales(cell, j, pos % 32u, vec2<f32>(key_scale(base, j * 2u), key_scale(base, j * 2u + 1u)));
    }
#endif
  } else {
    for (var d = lane; d < HD / 4u; d += TEAM) {
      put_value(cell, pos % 32u, d, new_value(base, row, d), value_scale(base, row, d / 8u));
    }
#if KV_Q8
    for (var b = lane; b < HD / 32u; b += TEAM) { put_value_scale(cell, pos % 32u, b, value_scale(base, row, b)); }
#endif
  }
}
