// Causal grouped-query attention without a barrier: one thread a query head of a token, keys one after another.
// For software adapters, where a barrier costs more than the arithmetic; queries and cache were made by append.wgsl.
const HD : u32 = $HEAD_DIM;
const HD4 : u32 = HD / 4u;
const HEADS : u32 = $HEADS;
const KV_HEADS : u32 = $KV_HEADS;
const ROWS : u32 = HEADS + 2u * KV_HEADS;

#include state
@group(0) @binding(0) var<storage, read> qkv : array<vec4<f32>>;     // [token][head][head_dim/4]
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [token][head][head_dim/4]

#include kv
#include window

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let head = id.x; let token = id.y;
  if (head >= HEADS || is_done(token)) { return; }
  let kv = head / (HEADS / KV_HEADS);
  var q : array<vec4<f32>, HD4>;
  var o : array<vec4<f32>, HD4>;
  for (var d = 0u; d < HD4; d++) {
    q[d] = qkv[(token * ROWS + head) * HD4 + d] * $SCALE;
    o[d] = vec4(0.0);
  }
  var top = -1e30; var sum = 0.0;
  let end = pos_of(token) + 1u;
  for (var p = window_start(end - 1u); p < end; p++) {
    let cell = cell_of(token, p / 32u, kv);
    var s = 0.0;
    for (var d = 0u; d < HD / 8u; d++) {
      let k = key(cell, d, p % 32u);
      s += dot(q[d * 2u], k.a) + dot(q[d * 2u + 1u], k.b);
    }
    let higher = max(top, s);
    let keep = exp(top - higher); let e = exp(s - higher);
    top = higher; sum = sum * keep + e;
    for (var d = 0u; d < HD4; d++) {
      o[d] = o[d] * keep + e * value(cell, p % 32u, d);
    }
  }
  for (var d = 0u; d < HD4; d++) { y[(token * HEADS + head) * HD4 + d] = o[d] / sum; }
}
