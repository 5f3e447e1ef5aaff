// y = epilogue(W · prologue(x)): one team of TEAM lanes computes a row group (4 rows) for COLS columns of x, each in the same
// order whatever COLS is, so that a sequence draws the same tokens alone and beside others.
//   prologue  NORM: RMSNorm with weight g; COMBINE: merge of the attention's NSPLIT partial results; else none
//   epilogue  RESIDUAL: y += ; SWIGLU: W = [gate; up], y = silu(gate) * up; else y =
// Lane b takes blocks b, b + TEAM, …, so neighbouring lanes read neighbouring words, of x too, which with INTERLEAVED lies as
// order.wgsl says, and with Y_INTERLEAVED y; TEAM = 1 needs no barrier at all.
// SUBGROUPS adds the lanes up by shuffles, and through workgroup memory only as far as a subgroup is smaller than a team:
// the same additions in the same order as without.
#if SUBGROUPS
#if IN_BROWSER
enable subgroups;
#endif
#endif
const K : u32 = $K;           // columns of W
const NB : u32 = K / 32u;     // blocks of a row
const GROUPS : u32 = $GROUPS; // row groups of this dispatch's result
const TEAM : u32 = $TEAM;
const TEAMS : u32 = $WG / TEAM;
const X_STRIDE : u32 = $K / 4u; // vec4s from one column of x to the next
const Y_STRIDE : u32 = $Y_STRIDE; // vec4s from one column of y to the next
const Y_OFFSET : u32 = $Y_OFFSET; // vec4 of the first row group's result

#include state
#include quant
#include order

#if COMBINE
const HD4 : u32 = $HEAD_DIM / 4u;
@group(0) @binding(4) var<storage, read> partials : array<vec4<f32>>; // [column][split][K/4], not normalised
@group(0) @binding(5) var<storage, read> softmax : array<vec2<f32>>;  // [column][head][split] (maximum, sum)
const HEADS : u32 = $HEADS;
const NSPLIT : u32 = $NSPLIT;
var<workgroup> shares : array<f32, $COLS * HEADS * NSPLIT>; // of a split's partial result in its head's
#else
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>; // [column][K/4]
#endif
#if NORM
@group(0) @binding(5) var<storage, read> g : array<vec4<f32>>; // [K/4]
#endif
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [column][rows/4]

#if COMBINE
fn share_out(first : u32, lid : u32) {
  for (var i = lid; i < $COLS * HEADS * NSPLIT; i += $WG) {
    let at = first * HEADS * NSPLIT + i / NSPLIT * NSPLIT;
    var top = -1e30; var sum = 0.0;
#for s in 0..$NSPLIT
    let part$s = softmax[at + $s];
    top = max(top, part$s.x);
#end
#for s in 0..$NSPLIT
    sum += part$s.y * exp(part$s.x - top);
#end
    shares[i] = exp(softmax[at + i % NSPLIT].x - top) / sum;
  }
  workgroupBarrier();
}
// Block b of the c-th column from the first on.
fn load(first : u32, c : u32, b : u32) -> Block {
  var v = Block();
  let column = first + c;
  // A split has tiles of positions, four at a time, or none; four splits are read at once.
  let splits = min(NSPLIT, (pos_of(column) + 127u) / 128u);
  for (var s = 0u; s < max(splits, 1u); s += 4u) {
#for t in 0..4
    let at$t = (column * NSPLIT + s + $t) * X_STRIDE;
#for i in 0..4
    v.a$i += partials[at$t + place(b * 8u + ${i}u, NB)] * shares[(c * HEADS + (b * 8u + ${i}u) / HD4) * NSPLIT + s + $t];
    v.b$i += partials[at$t + place(b * 8u + ${i}u + 4u, NB)] * shares[(c * HEADS + (b * 8u + ${i}u + 4u) / HD4) * NSPLIT + s + $t];
#end
#end
  }
  return v;
}
#else
fn load(first : u32, c : u32, b : u32) -> Block {
  let at = (first + c) * X_STRIDE; let four = b * 8u;
  return Block(x[at + place(four, NB)], x[at + place(four + 1u, NB)], x[at + place(four + 2u, NB)], x[at + place(four + 3u, NB)],
    x[at + place(four + 4u, NB)], x[at + place(four + 5u, NB)], x[at + place(four + 6u, NB)], x[at + place(four + 7u, NB)]);
}
#endif

#if NORM
fn weigh(v : Block, b : u32) -> Block {
  let at = b * 8u;
  return Block(v.a0 * g[place(at, NB)], v.a1 * g[place(at + 1u, NB)], v.a2 * g[place(at + 2u, NB)], v.a3 * g[place(at + 3u, NB)],
    v.b0 * g[place(at + 4u, NB)], v.b1 * g[place(at + 5u, NB)], v.b2 * g[place(at + 6u, NB)], v.b3 * g[place(at + 7u, NB)]);
}
fn squares(v : Block) -> f32 {
  return dot(v.a0, v.a0) + dot(v.a1, v.a1) + dot(v.a2, v.a2) + dot(v.a3, v.a3)
    + dot(v.b0, v.b0) + dot(v.b1, v.b1) + dot(v.b2, v.b2) + dot(v.b3, v.b3);
}
#endif

// Sums of the two halves of a block.
fn sums(v : Block) -> vec2<f32> {
  return vec2<f32>(dot(v.a0 + v.a1 + v.a2 + v.a3, vec4(1.0)), dot(v.b0 + v.b1 + v.b2 + v.b3, vec4(1.0)));
}
fn dot0(q : Quants, v : Block) -> f32 { return dot(q.a0, v.a0) + dot(q.a1, v.a1) + dot(q.a2, v.a2) + dot(q.a3, v.a3); }
fn dot1(q : Quants, v : Block) -> f32 { return dot(q.b0, v.b0) + dot(q.b1, v.b1) + dot(q.b2, v.b2) + dot(q.b3, v.b3); }

// The partial result of 4 rows from one block: Σ (s·q − m)·x.
fn rows4(q0 : Quants, q1 : Quants, q2 : Quants, q3 : Quants, s : Scales, v : Block) -> vec4<f32> {
  let d0 = vec4<f32>(dot0(q0, v), dot0(q1, v), dot0(q2, v), dot0(q3, v));
  let d1 = vec4<f32>(dot1(q0, v), dot1(q1, v), dot1(q2, v), dot1(q3, v));
  let sum = sums(v);
  return s.s0 * d0 - s.m0 * sum.x + s.s1 * d1 - s.m1 * sum.y;
}

struct Partial {
  y : vec4<f32>,
#if SWIGLU
  u : vec4<f32>,
#endif
#if NORM
  squares : f32,
#endif
}
fn sum(a : Partial, b : Partial) -> Partial {
  var total = a;
  total.y += b.y;
#if SWIGLU
  total.u += b.u;
#endif
#if NORM
  total.squares += b.squares;
#endif
  return total;
}

#if TEAM > 1
var<workgroup> partial : array<Partial, $WG>;

// Halves the number of partial results until `least` of each team are left, in its first lanes.
fn fold(mine : Partial, lid : u32, least : u32) -> Partial {
  partial[lid] = mine;
  workgroupBarrier();
  for (var m = TEAM / 2u; m >= least; m = m >> 1u) {
    if ((lid & (TEAM - 1u)) < m) { partial[lid] = sum(partial[lid], partial[lid + m]); }
    workgroupBarrier();
  }
  let folded = partial[lid];
  workgroupBarrier();
  return folded;
}
#if SUBGROUPS
fn across(mine : Partial, m : u32) -> Partial {
  var other = mine;
  other.y = subgroupShuffleXor(mine.y, m);
#if SWIGLU
  other.u = subgroupShuffleXor(mine.u, m);
#endif
#if NORM
  other.squares = subgroupShuffleXor(mine.squares, m);
#endif
  return sum(mine, other);
}
// The team's sum, in its first lane.
fn team_sum(mine : Partial, lid : u32, subgroup : u32) -> Partial {
  var total = mine;
  if (subgroup < TEAM) { total = fold(total, lid, subgroup); }
  for (var m = min(subgroup, TEAM) / 2u; m > 0u; m = m >> 1u) { total = across(total, m); }
  return total;
}
#else
fn team_sum(mine : Partial, lid : u32, subgroup : u32) -> Partial { return fold(mine, lid, 1u); }
#endif
#else
fn team_sum(mine : Partial, lid : u32, subgroup : u32) -> Partial { return mine; }
#endif

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32
#if SUBGROUPS
  , @builtin(subgroup_size) subgroup : u32
#endif
) {
  let column = wg.x * $COLS;
#if COLS == 1
  if (is_done(column)) { return; }
#endif
#if SUBGROUPS
#else
  let subgroup = 1u;
#endif
  let lane = lid % TEAM;
  let group = wg.y * TEAMS + lid / TEAM;
  let rg = min(group, GROUPS - 1u); // surplus teams repeat the last group and drop the result
#if COMBINE
  share_out(column, lid);
#endif
#for c in 0..$COLS
  var p$c = Partial();
#end
  for (var b = lane; b < NB; b += TEAM) {
    let s = scales(rg, b);
    let q0 = quants(rg * 4u, b); let q1 = quants(rg * 4u + 1u, b);
    let q2 = quants(rg * 4u + 2u, b); let q3 = quants(rg * 4u + 3u, b);
#if SWIGLU
    let t = scales(rg + GROUPS, b); let r = (rg + GROUPS) * 4u;
    let r0 = quants(r, b); let r1 = quants(r + 1u, b); let r2 = quants(r + 2u, b); let r3 = quants(r + 3u, b);
#endif
#for c in 0..$COLS
    {
#if NORM
      let raw = load(column, $c, b);
      p$c.squares += squares(raw);
      let v = weigh(raw, b);
#else
      let v = load(column, $c, b);
#endif
      p$c.y += rows4(q0, q1, q2, q3, s, v);
#if SWIGLU
      p$c.u += rows4(r0, r1, r2, r3, t, v);
#endif
    }
#end
  }
#for c in 0..$COLS
  let total$c = team_sum(p$c, lid, subgroup);
#end
  if (lane != 0u || group >= GROUPS) { return; }
#for c in 0..$COLS
  if (column + $c < state.columns) {
#if Y_INTERLEAVED
    let at = (column + $c) * Y_STRIDE + place(Y_OFFSET + rg, Y_STRIDE / 8u);
#else
    let at = (column + $c) * Y_STRIDE + Y_OFFSET + rg;
#endif
    var out = total$c.y;
#if NORM
    let inv = inverseSqrt(total$c.squares / f32(K) + $EPS);
    out *= inv;
#endif
#if SWIGLU
#if NORM
    let up = total$c.u * inv;
#else
    let up = total$c.u;
#endif
    out = out / (1.0 + exp(-out)) * up;
#endif
#if RESIDUAL
    y[at] += out;
#else
    y[at] = out;
#endif
  }
#end
}
