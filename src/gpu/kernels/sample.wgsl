// Draws each column's next token and advances its sequence: merges the slices' candidates, then temperature, top-k, top-p, min-p and
// one draw by inverse distribution function, as `sampling` does.
const LANES : u32 = $LANES;
const LISTS : u32 = $SLICES / LANES; // slices of one lane

#include state
#include sampler
@group(0) @binding(1) var<storage, read_write> history : array<vec2<u32>>; // [slot][VOCAB]
@group(0) @binding(2) var<storage, read> samplers : array<Sampler, $SLOTS>; // [slot]
@group(0) @binding(3) var<storage, read> candidates : array<Candidate>; // [column][slice][MAX_K]

@group(0) @binding(4) var<storage, read_write> text : array<u32>; // [slot][CONTEXT] tokens by position

var<workgroup> best : array<Candidate, LANES>;
var<workgroup> chosen : array<Candidate, $MAX_K>;
var<workgroup> own : vec2<u32>; // slot, and whether its reply has ended

// The 64-bit product as (high, low): WGSL has no wide multiplication.
fn wide(a : u32, b : u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let ll = al * bl; let lh = al * bh; let hl = ah * bl;
  let middle = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
  return vec2(ah * bh + (lh >> 16u) + (hl >> 16u) + (middle >> 16u), (ll & 0xffffu) | (middle << 16u));
}

// Philox4x32-10 with counter (step, 0, 0, 0): its first word as a number in [0, 1), 24 bits
// (source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
fn uniform_draw(seed : vec2<u32>, step : u32) -> f32 {
  var c = vec4<u32>(step, 0u, 0u, 0u);
  var key = seed;
  for (var round = 0u; round < 10u; round++) {
    let p = wide(0xD2511F53u, c.x); let q = wide(0xCD9E8D57u, c.z);
    c = vec4<u32>(q.x ^ c.y ^ key.x, q.y, p.x ^ c.w ^ key.y, p.y);
    key += vec2(0x9E3779B9u, 0xBB67AE85u);
  }
  return f32(c.x >> 8u) * 5.9604644775390625e-8;
}

fn draw(slot : u32, step : u32) -> u32 {
  let top_k = samplers[slot].top_k; let temperature = samplers[slot].temperature;
  if (temperature == 0.0) { return chosen[0].id; }
  // Probabilities relative to the most likely token, most likely first.
  var total = 0.0;
  for (var k = 0u; k < top_k; k++) {
    if (chosen[k].id != NONE.id) { total += exp((chosen[k].value - chosen[0].value) / temperature); }
  }
  var kept = 0u; var mass = 0.0;
  for (var k = 0u; k < top_k; k++) {
    if (chosen[k].id == NONE.id) { break; }
    let p = exp((chosen[k].value - chosen[0].value) / temperature);
    if (k > 0u && (mass >= samplers[slot].top_p * total || p < samplers[slot].min_p)) { break; }
    mass += p;
    kept = k + 1u;
  }
  let target_mass = uniform_draw(samplers[slot].seed, step) * mass;
  var below = 0.0;
  for (var k = 0u; k < kept; k++) {
    below += exp((chosen[k].value - chosen[0].value) / temperature);
    if (below > target_mass) { return chosen[k].id; }
  }
  return chosen[kept - 1u].id;
}

// Whether nothing is drawn from a column: its reply has ended, or its token was guessed and is not what was drawn.
fn is_idle(column : u32) -> bool {
  let sequence = state.sequences[slot_of(column)];
  let ahead = state.offsets[column];
  if (sequence.done != 0u || ahead == 0u) { return sequence.done != 0u; }
  return sequence.step != sequence.first + ahead || sequence.token != sequence.guesses[ahead - 1u];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lane : u32
#if LAST
  , @builtin(num_workgroups) grid : vec3<u32>
#endif
) {
#if LAST
  if (wg.x + 1u < grid.x) { return; }
#endif
  let column = wg.x;
  if (lane == 0u) { own = vec2(slot_of(column), u32(is_idle(column))); }
  let known = workgroupUniformLoad(&own);
  if (known.y != 0u) { return; }
  let slot = known.x; let top_k = samplers[slot].top_k;
  var at : array<u32, LISTS>; // how much of each list is taken
  for (var k = 0u; k < top_k; k++) {
    var mine = NONE; var list = 0u;
    for (var l = 0u; l < LISTS; l++) {
      if (at[l] < top_k) {
        let c = candidates[(column * $SLICES + l * LANES + lane) * $MAX_K + at[l]];
        if (before(c, mine)) { mine = c; list = l; }
      }
    }
    best[lane] = mine;
    workgroupBarrier();
    for (var m = LANES / 2u; m > 0u; m = m >> 1u) {
      if (lane < m && before(best[lane + m], best[lane])) { best[lane] = best[lane + m]; }
      workgroupBarrier();
    }
    if (best[0].id == mine.id && mine.id != NONE.id) { at[list]++; }
    if (lane == 0u) { chosen[k] = best[0]; }
    workgroupBarrier();
  }
  if (lane != 0u) { return; }
  var now = state.sequences[slot];
  let ahead = state.offsets[column];
  now.token = draw(slot, now.step);
  history[slot * $VOCAB + now.token].x += 1u;
  if (ahead == 0u) {
    now.first = now.step;
    if (now.token == now.guesses[0]) { now.guessed += 1u; }
  }
  now.drawn[ahead] = now.token;
  now.step += 1u;
  now.pos += 1u;
  var done = now.step >= samplers[slot].max_tokens || now.pos >= samplers[slot].context;
  for (var i = 0u; i < samplers[slot].stop_count; i++) { done = done || now.token == samplers[slot].stop[i]; }
  now.done = u32(done);
  state.sequences[slot] = now;
  if (now.pos < $CONTEXT) { text[slot * $CONTEXT + now.pos] = now.token; }
}
