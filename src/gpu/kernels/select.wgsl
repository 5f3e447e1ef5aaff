// The best top_k candidates of each slice of a column's logits, in order. Penalties are applied here, in the order of
// `sampling`: bias, repetition, presence, frequency.
const VOCAB : u32 = $VOCAB;
const LANES : u32 = $LANES;
const SLICE : u32 = (VOCAB + $SLICES - 1u) / $SLICES;
const WORDS : u32 = 1u + (VOCAB + 31u) / 32u; // of one slot's allowed tokens

#include state
#include sampler
@group(0) @binding(0) var<storage, read> logits : array<f32>; // [column][LOGITS]
@group(0) @binding(1) var<storage, read> history : array<vec2<u32>>; // [slot][VOCAB] (uses in the reply | in the prompt << 31, f32 bias)
@group(0) @binding(2) var<storage, read> samplers : array<Sampler, $SLOTS>; // [slot]
@group(0) @binding(4) var<storage, read> allowed : array<u32>; // [slot] whether it holds, then one bit a token
@group(0) @binding(3) var<storage, read_write> candidates : array<Candidate>; // [column][slice][MAX_K]

fn adjusted(column : u32, slot : u32, id : u32) -> f32 {
  var v = logits[column * $LOGITS + id];
  if (samplers[slot].penalised != 0u) {
    let h = history[slot * VOCAB + id];
    v += bitcast<f32>(h.y);
    if (h.x != 0u) { v = select(v * samplers[slot].repetition, v / samplers[slot].repetition, v > 0.0); }
    let uses = h.x & 0x7fffffffu;
    if (uses != 0u) { v -= samplers[slot].presence + samplers[slot].frequency * f32(uses); }
  }
  return v;
}

// The lane's best candidate that comes after `last`.
fn next(column : u32, slot : u32, first : u32, end : u32, last : Candidate) -> Candidate {
  var best = NONE;
  let bound = allowed[slot * WORDS] != 0u;
  for (var id = first; id < end; id += LANES) {
    if (bound && ((allowed[slot * WORDS + 1u + id / 32u] >> (id % 32u)) & 1u) == 0u) { continue; }
    let c = Candidate(adjusted(column, slot, id), id);
    if (before(last, c) && before(c, best)) { best = c; }
  }
  return best;
}

#if LANES > 1
var<workgroup> best : array<Candidate, LANES>;
#endif

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lane : u32
#if LAST
  , @builtin(num_workgroups) grid : vec3<u32>
#endif
) {
#if LAST
  if (wg.y + 1u < grid.y) { return; } // only the last column: penalties need the draws before it
#endif
  let column = wg.y; let slot = slot_of(column);
  if (is_done(column)) { return; }
  let first = wg.x * SLICE + lane; let end = min((wg.x + 1u) * SLICE, VOCAB);
  var mine = next(column, slot, first, end, Candidate(3.4028234e38, 0u));
  for (var k = 0u; k < samplers[slot].top_k; k++) {
#if LANES > 1
    best[lane] = mine;
    workgroupBarrier();
    for (var m = LANES / 2u; m > 0u; m = m >> 1u) {
      if (lane < m && before(best[lane + m], best[lane])) { best[lane] = best[lane + m]; }
      workgroupBarrier();
    }
    let winner = best[0];
    workgroupBarrier();
#else
    let winner = mine;
#endif
    if (lane == 0u) { candidates[(column * $SLICES + wg.x) * $MAX_K + k] = winner; }
    if (mine.id == winner.id && winner.id != NONE.id) { mine = next(column, slot, first, end, mine); }
  }
}
