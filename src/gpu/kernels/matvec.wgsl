// y = epilogue(W · prologue(x)): one team of TEAM lanes computes a row group (4 rows) for COLS columns of x, each in the same
// order whatever COLS is, so that a sequence draws the same tokens alone and beside others.
//   prologue  NORM: RMSNorm with weight g; PARTIALS: merge of attention's partial results, of one column; else none
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

#if PARTIALS
#include shares
var<workgroup> whole : array<vec4<f32>, X_STRIDE>; // x of the one column
#else
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>; // [column][K/4]
#endif
#if NORM
@group(0) @binding(5) var<storage, read> g : array<vec4<f32>>; // [K/4]
#endif
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [column][rows/4]

struct Sums { // of a lane, later of a team
  y : vec4<f32>,
#if SWIGLU
  u : vec4<f32>,
#endif
#if NORM
  squares : f32,
#endif
}
fn sum(a : Sums, b : Sums) -> Sums {
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
var<workgroup> lanes : array<Sums, $WG>;

// Halves the number of partial results until `least` of each team are left, in its first lanes.
fn fold(mine : Sums, lid : u32, least : u32) -> Sums {
  lanes[lid] = mine;
  workgroupBarrier();
  for (var m = TEAM / 2u; m >= least; m = m >> 1u) {
    if ((lid & (TEAM - 1u)) < m) { lanes[lid] = sum(lanes[lid], lanes[lid + m]); }
    workgroupBarrier();
  }
  let folded = lanes[lid];
  workgroupBarrier();
  return folded;
}
#if SUBGROUPS
fn across(mine : Sums, m : u32) -> Sums {
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
fn team_sum(mine : Sums, lid : u32, subgroup : u32) -> Sums {
  var total = mine;
  if (subgroup < TEAM) { total = fold(total, lid, subgroup); }
  for (var m = min(subgroup, TEAM) / 2u; m > 0u; m = m >> 1u) { total = across(total, m); }
  return total;
}
#else
fn team_sum(mine : Sums, lid : u32, subgroup : u32) -> Sums { return fold(mine, lid, 1u); }
#endif
#else
fn team_sum(mine : Sums, lid : u32, subgroup : u32) -> Sums { return mine; }
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
#if PARTIALS
  share_out(column, lid);
  for (var four = lid; four < X_STRIDE; four += $WG) { whole[four] = merged(column, four); }
  workgroupBarrier();
#endif
#for c in 0..$COLS
  var p$c = Sums();
#end
  for (var b = lane; b < NB; b += TEAM) {
    let s = scales(rg, b);
#for r in 0..4
    let q$r = quants(rg * 4u + $r, b);
#end
#if SWIGLU
    let t = scales(rg + GROUPS, b);
#for r in 0..4
    let r$r = quants((rg + GROUPS) * 4u + $r, b);
#end
#endif
    // Sums of the rows' quants times x, and of x. Columns are innermost, so that a four of quants is unpacked once for all.
#for c in 0..$COLS
    var d$c = vec4(0.0); var e$c = vec4(0.0); var sum$c = 0.0;
#end
#for i in 0..8
#if i == 4
#if HALVES > 1
#for c in 0..$COLS
    p$c.y += s.s0 * d$c - s.m0 * sum$c; d$c = vec4(0.0);
#if SWIGLU
    p$c.u += t.s0 * e$c - t.m0 * sum$c; e$c = vec4(0.0);
#endif
    sum$c = 0.0;
#end
#endif
#endif
    let at$i = place(b * 8u + ${i}u, NB);
#for c in 0..$COLS
    {
#if PARTIALS
      let v = whole[at$i];
#else
#if NORM
      let raw = x[(column + $c) * X_STRIDE + at$i];
      p$c.squares += dot(raw, raw);
      let v = raw * g[at$i];
#else
      let v = x[(column + $c) * X_STRIDE + at$i];
#endif
#endif
      sum$c += dot(v, vec4(1.0));
      d$c += vec4<f32>(dot(q0.f$i, v), dot(q1.f$i, v), dot(q2.f$i, v), dot(q3.f$i, v));
#if SWIGLU
      e$c += vec4<f32>(dot(r0.f$i, v), dot(r1.f$i, v), dot(r2.f$i, v), dot(r3.f$i, v));
#endif
    }
#end
#end
#for c in 0..$COLS
    p$c.y += s.s1 * d$c - s.m1 * sum$c;
#if SWIGLU
    p$c.u += t.s1 * e$c - t.m1 * sum$c;
#endif
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
