// Causal grouped-query flash attention: one workgroup of 4 teams a KV head (and split of the positions, and column).
//   FUSED (decode): biases, QK-norm, RoPE and the append of the new key and value happen here too, and the positions are split
//     among NSPLIT workgroups whose partial results the next kernel merges. Split 0 owns the new position; no other
//     workgroup reads it, so there is no race within the dispatch.
//   else (prefill): queries and cache were made by append.wgsl; TOKENS of them share a workgroup; the result is whole.
// With LAST only the last column of the grid does anything: a guess needs the keys of those before it.
// Loops over loads are unrolled, AT_ONCE keys and eight values at a time, so that a lane waits for several of them at once.
// The Q queries of a workgroup, G heads of each token, share every load of keys and values. In the scores a lane is a position (K lies so
// that 32 positions are one coalesced load); in the sum over values a lane is 4 dimensions.
const HD : u32 = $HEAD_DIM;
const HD4 : u32 = HD / 4u;
const HALF : u32 = HD / 2u;
const G : u32 = $G;
const TOKENS : u32 = $TOKENS; // 1 if FUSED
const Q : u32 = $Q;           // G * TOKENS
const HEADS : u32 = $HEADS;
const KV_HEADS : u32 = $KV_HEADS;
const ROWS : u32 = HEADS + 2u * KV_HEADS;
const NSPLIT : u32 = $NSPLIT;

#include state
#if FUSED
@group(0) @binding(0) var<storage, read> qkv : array<f32>;            // [column][head][head_dim]
@group(0) @binding(2) var<storage, read> rope : array<vec2<f32>>;     // [position][head_dim/2] (cos, sin)
@group(0) @binding(5) var<storage, read_write> softmax : array<vec2<f32>>;  // [column][head][split] (maximum, sum)
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>;  // [column][split][heads * head_dim/4], see order.wgsl; not normalised
#include order
#else
@group(0) @binding(0) var<storage, read> qkv : array<f32>;            // [token][head][head_dim]
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>;  // [token][head][head_dim/4]
#endif
#if FUSED
#include heads
#endif
#include kv
#include window

var<workgroup> query : array<vec4<f32>, Q * HD4>; // scaled; at last the weighted sums of values
var<workgroup> scores : array<f32, 128 * Q>;      // [team][query][position]
#if FUSED
var<workgroup> part : array<f32, 128>;
var<workgroup> fresh : array<f32, Q>;             // scores of the new position
#endif
var<workgroup> merged : array<vec3<f32>, Q>;      // (maximum, sum, weight of the new position)
var<workgroup> team_top : array<f32, 4 * Q>;
var<workgroup> team_sum : array<f32, 4 * Q>;
#if FUSED
var<workgroup> heads : array<f32, (G + 1u) * HD>; // queries and the new key, rotated
#endif

#if FUSED
fn new_value(own : u32, at : u32) -> vec4<f32> { return from_qkv(own + at) + bias4(at); }
fn from_heads(at : u32) -> vec4<f32> { return vec4<f32>(heads[at], heads[at + 1u], heads[at + 2u], heads[at + 3u]); }
#endif
#if FUSED
#else
fn sees(pos : u32, p : u32) -> bool { return p <= pos && p >= window_start(pos); }
#endif
#if FUSED
#if KV_Q8
fn largest(v : vec4<f32>) -> f32 { return max(max(abs(v.x), abs(v.y)), max(abs(v.z), abs(v.w))); }
fn key_scale(b : u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) { top = max(top, largest(from_heads(G * HD + b * 32u + i * 4u))); }
  return top / 127.0;
}
fn value_scale(own : u32, at : u32, b : u32) -> f32 {
  var top = 0.0;
  for (var i = 0u; i < 8u; i++) { top = max(top, largest(new_value(own, at + b * 32u + i * 4u))); }
  return top / 127.0;
}
#else
fn key_scale(b : u32) -> f32 { return 1.0; }
fn value_scale(own : u32, at : u32, b : u32) -> f32 { return 1.0; }
#endif
#endif
fn from_qkv(at : u32) -> vec4<f32> { return vec4<f32>(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]); }

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32
#if LAST
  , @builtin(num_workgroups) grid : vec3<u32>
#endif
) {
  let kv = wg.x; let split = wg.y; let column = wg.z * TOKENS;
#if LAST
  if (wg.z + 1u < grid.z) { return; }
#endif
  if (is_done(column)) { return; }
  let lane = lid % 32u; let team = lid / 32u;
  let pos = pos_of(column);
#if FUSED
  let cached = pos; // positions to read from the cache
  let own = column * ROWS * HD; // this column's part of qkv
  // Normalise and rotate: one team a head, the key last.
  for (var begin = 0u; begin < G + 1u; begin += 4u) {
    let h = min(begin + team, G); // surplus teams repeat the key
    let row = select(kv * G + h, HEADS + kv, h == G);
    let base = row * HD;
#if NORMED
    var squares = 0.0;
    for (var i = lane; i < HD; i += 32u) { let a = qkv[own + base + i] + bias(base + i); squares += a * a; }
    part[lid] = squares;
    workgroupBarrier();
    squares = 0.0;
#for j in 0..32
    squares += part[team * 32u + ${j}u];
#end
    let inv = inverseSqrt(squares / f32(HD) + $EPS);
#else
    let inv = 1.0;
#endif
    if (begin + team <= G) {
      for (var i = lane; i < HALF; i += 32u) {
        let j = first(i); let k = second(i);
        let a = (qkv[own + base + j] + bias(base + j)) * inv * norm(h == G, j);
        let b = (qkv[own + base + k] + bias(base + k)) * inv * norm(h == G, k);
        let cs = rope[pos * HALF + i];
        heads[h * HD + j] = a * cs.x - b * cs.y;
        heads[h * HD + k] = b * cs.x + a * cs.y;
      }
    }
    workgroupBarrier();
  }
  for (var i = lid; i < G * HD4; i += 128u) {
    query[i] = from_heads(i * 4u) * $SCALE;
  }
#else
  let tokens = min(TOKENS, state.columns - column);
  let cached = pos + tokens;
  for (var i = lid; i < Q * HD4; i += 128u) {
    let token = min(i / (G * HD4), tokens - 1u); // surplus ones repeat the last
    query[i] = from_qkv(((column + token) * ROWS + kv * G) * HD + i % (G * HD4) * 4u) * $SCALE;
  }
#endif
  workgroupBarrier();

  // Every team takes tiles of 32 positions.
#for q in 0..$Q
  var top$q = -1e30; var sum$q = 0.0;
#for c in 0..$CHUNKS
  var o${q}_$c = vec4<f32>(0.0);
#end
#end
  let tiles = (cached + 31u) / 32u;
  let rounds = (tiles + NSPLIT * 4u - 1u) / (NSPLIT * 4u);
  let oldest = window_start(pos);
  for (var round = oldest / (NSPLIT * 128u); round < rounds; round++) {
    let tile = (round * NSPLIT + split) * 4u + team;
    let p = tile * 32u + lane;
    let cell = cell_of(column, min(tile, $PAGES - 1u), kv); // of surplus teams nothing is used
    let slot = team * 32u * Q + lane;
#for q in 0..$Q
    var s$q = -1e30;
#end
    if (p < cached && p >= oldest) {
#for q in 0..$Q
      s$q = 0.0;
#end
      for (var d = 0u; d < HD / 8u; d += ${AT_ONCE}u) {
#for u in 0..$AT_ONCE
        let k$u = key(cell, d + ${u}u, lane);
#end
#for u in 0..$AT_ONCE
#for q in 0..$Q
        s$q += dot(query[${q}u * HD4 + (d + ${u}u) * 2u], k$u.a) + dot(query[${q}u * HD4 + (d + ${u}u) * 2u + 1u], k$u.b);
#end
#end
      }
#if FUSED
#else
#for q in 0..$Q
      s$q = select(-1e30, s$q, sees(pos + ${q}u / G, p));
#end
#endif
    }
#for q in 0..$Q
    scores[slot + ${q}u * 32u] = s$q;
#end
    workgroupBarrier();
#for q in 0..$Q
    var higher$q = top$q;
#for j in 0..32
    higher$q = max(higher$q, scores[team * 32u * Q + ${q}u * 32u + ${j}u]);
#end
    let e$q = select(0.0, exp(s$q - higher$q), s$q > -1e30);
#end
    workgroupBarrier();
#for q in 0..$Q
    scores[slot + ${q}u * 32u] = e$q;
    let keep$q = exp(top$q - higher$q);
    sum$q = sum$q * keep$q + e$q;
    top$q = higher$q;
#for c in 0..$CHUNKS
    o${q}_$c *= keep$q;
#end
#end
    workgroupBarrier();
    // Scores beyond the last position are 0, and its value stands for those that are not there.
    let count = min(32u, max(cached, tile * 32u) - tile * 32u);
    for (var j = 0u; j < count; j += 8u) {
#for c in 0..$CHUNKS
      if (lane + ${c}u * 32u < HD4) {
#for u in 0..8
        let v$u = value(cell, min(j + ${u}u, count - 1u), lane + ${c}u * 32u);
#end
#for u in 0..8
#for q in 0..$Q
        o${q}_$c += scores[team * 32u * Q + ${q}u * 32u + j + ${u}u] * v$u;
#end
#end
      }
#end
    }
    workgroupBarrier();
  }

  // Merge the teams, and in split 0 the new position.
#for q in 0..$Q
  scores[team * 32u * Q + ${q}u * 32u + lane] = sum$q;
  if (lane == 0u) { team_top[${q}u * 4u + team] = top$q; }
#end
  workgroupBarrier();
  for (var q = lane; q < Q; q += 32u) {
    var sum = 0.0;
#for j in 0..32
    sum += scores[team * 32u * Q + q * 32u + ${j}u];
#end
    team_sum[q * 4u + team] = sum;
  }
#if FUSED
  let at_key = G * HD; let at_value = (HEADS + KV_HEADS + kv) * HD;
  if (split == 0u) {
    for (var begin = 0u; begin < Q; begin += 4u) {
      let q = min(begin + team, Q - 1u); // surplus teams repeat the last
      var score = 0.0;
      for (var i = lane; i < HD4; i += 32u) {
        score += dot(query[q * HD4 + i], rounded(from_heads(at_key + i * 4u), key_scale(i / 8u)));
      }
      part[lid] = score;
      workgroupBarrier();
      score = 0.0;
#for j in 0..32
      score += part[team * 32u + ${j}u];
#end
      if (lane == 0u && begin + team < Q) { fresh[q] = score; }
      workgroupBarrier();
    }
  }
#endif
  workgroupBarrier();
  for (var q = lid; q < Q; q += 128u) {
    var score = -1e30;
#if FUSED
    if (split == 0u) { score = fresh[q]; }
#endif
    var top = score;
    for (var t = 0u; t < 4u; t++) { top = max(top, team_top[q * 4u + t]); }
    let newest = select(0.0, exp(score - top), score > -1e30);
    var sum = newest;
    for (var t = 0u; t < 4u; t++) { sum += team_sum[q * 4u + t] * exp(team_top[q * 4u + t] - top); }
    merged[q] = vec3<f32>(top, sum, newest);
  }
  workgroupBarrier();
  // The queries have been used: their place takes the sums, team by team.
  for (var t = 0u; t < 4u; t++) {
    if (team == t) {
#for q in 0..$Q
      let weight$q = exp(top$q - merged[${q}u].x);
#for c in 0..$CHUNKS
      if (lane + ${c}u * 32u < HD4) {
        let at = ${q}u * HD4 + lane + ${c}u * 32u;
        query[at] = select(query[at], vec4(0.0), t == 0u) + o${q}_$c * weight$q;
      }
#end
#end
    }
    workgroupBarrier();
  }
  for (var i = lid; i < Q * HD4; i += 128u) {
    let q = i / HD4; let d = i % HD4;
    let head = kv * G + q % G;
#if FUSED
    var out = query[i];
    if (split == 0u) { out += merged[q].z * rounded(new_value(own, at_value + d * 4u), value_scale(own, at_value, d / 8u)); }
    y[(column * NSPLIT + split) * HEADS * HD4 + place(head * HD4 + d, HEADS * HD4 / 8u)] = out;
    if (d == 0u) { softmax[(column * HEADS + head) * NSPLIT + split] = merged[q].xy; }
#else
    let token = column + q / G;
    if (token < state.columns) { y[(token * HEADS + head) * HD4 + d] = query[i] / merged[q].y; }
#endif
  }
#if FUSED
  if (split == 0u) {
    let cell = cell_of(column, pos / 32u, kv);
    for (var d = lid; d < HD / 8u; d += 128u) {
      put_key(cell, d, pos % 32u, Eight(from_heads(at_key + d * 8u), from_heads(at_key + d * 8u + 4u)), key_scale(d / 4u));
    }
    for (var d = lid; d < HD4; d += 128u) {
      put_value(cell, pos % 32u, d, new_value(own, at_value + d * 4u), value_scale(own, at_value, d / 8u));
    }
#if KV_Q8
    for (var j = lid; j < HD / 64u; j += 128u) {
      put_key_scales(cell, j, pos % 32u, vec2<f32>(key_scale(j * 2u), key_scale(j * 2u + 1u)));
    }
    for (var b = lid; b < HD / 32u; b += 128u) { put_value_scale(cell, pos % 32u, b, value_scale(own, at_value, b)); }
#endif
  }
#endif
}
