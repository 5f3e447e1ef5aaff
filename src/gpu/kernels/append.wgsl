// QK-norm and RoPE in place, and the keys and values appended to the cache: one team of TEAM lanes a head of a token.
const HD : u32 = $HEAD_DIM;
const HALF : u32 = HD / 2u;
const HEADS : u32 = $HEADS;       // query heads
const KV_HEADS : u32 = $KV_HEADS;
const ROWS : u32 = HEADS + 2u * KV_HEADS; // heads in qkv: queries, keys, values
const TEAM : u32 = $TEAM;
const TEAMS : u32 = $WG / TEAM;

#include state
@group(0) @binding(0) var<storage, read_write> qkv : array<f32>;      // [token][head][head_dim]
@group(0) @binding(1) var<storage, read> norms : array<f32>;          // q_norm [head_dim] | k_norm [head_dim]
@group(0) @binding(2) var<storage, read> rope : array<vec2<f32>>;     // [position][head_dim/2] (cos, sin)
@group(0) @binding(3) var<storage, read_write> kc : array<vec4<u32>>; // [pos/32][kv_head][head_dim/8][pos%32] 8 x f16
@group(0) @binding(4) var<storage, read_write> vc : array<vec2<u32>>; // [pos/32][kv_head][pos%32][head_dim/4] 4 x f16

#if TEAM > 1
var<workgroup> part : array<f32, $WG>;
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32) {
  let lane = lid % TEAM;
  let row = wg.x * TEAMS + lid / TEAM;
  let token = wg.y;
  let pos = state.pos + token;
  let live = state.done == 0u && row < ROWS;
  let base = (token * ROWS + min(row, ROWS - 1u)) * HD;
  let rotated = live && row < HEADS + KV_HEADS;
  var squares = 0.0;
  if (rotated) {
    for (var i = lane; i < HALF; i += TEAM) {
      let a = qkv[base + i]; let b = qkv[base + HALF + i];
      squares += a * a + b * b;
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
  if (rotated) {
    let inv = inverseSqrt(squares / f32(HD) + $EPS);
    let w = select(0u, HD, row >= HEADS);
    for (var i = lane; i < HALF; i += TEAM) {
      let a = qkv[base + i] * inv * norms[w + i]; let b = qkv[base + HALF + i] * inv * norms[w + HALF + i];
      let cs = rope[pos * HALF + i];
      qkv[base + i] = a * cs.x - b * cs.y;
      qkv[base + HALF + i] = b * cs.x + a * cs.y;
    }
  }
#if TEAM > 1
  storageBarrier();
#endif
  if (!live || row < HEADS) { return; }
  let head = (row - HEADS) % KV_HEADS;
  let tile = (pos / 32u) * KV_HEADS + head;
  if (row < HEADS + KV_HEADS) {
    for (var d = lane; d < HD / 8u; d += TEAM) {
      let at = base + d * 8u;
      kc[(tile * (HD / 8u) + d) * 32u + pos % 32u] = vec4<u32>(
        pack2x16float(vec2(qkv[at], qkv[at + 1u])), pack2x16float(vec2(qkv[at + 2u], qkv[at + 3u])),
        pack2x16float(vec2(qkv[at + 4u], qkv[at + 5u])), pack2x16float(vec2(qkv[at + 6u], qkv[at + 7u])));
    }
  } else {
    for (var d = lane; d < HD / 4u; d += TEAM) {
      let at = base + d * 4u;
      vc[(tile * 32u + pos % 32u) * (HD / 4u) + d] = vec2<u32>(
        pack2x16float(vec2(qkv[at], qkv[at + 1u])), pack2x16float(vec2(qkv[at + 2u], qkv[at + 3u])));
    }
  }
}
