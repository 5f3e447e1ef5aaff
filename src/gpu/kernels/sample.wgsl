// Draws the next token and advances the state: merges the slices' candidates, then temperature, top-k, top-p, min-p and
// one draw by inverse distribution function, as `sampling` does.
const LANES : u32 = $LANES;
const LISTS : u32 = $SLICES / LANES; // slices of one lane

#include state
#include sampler
@group(0) @binding(1) var<storage, read_write> history : array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> sampler : Sampler;
@group(0) @binding(3) var<storage, read> candidates : array<Candidate>; // [slice][MAX_K]

var<workgroup> best : array<Candidate, LANES>;
var<workgroup> chosen : array<Candidate, $MAX_K>;
var<workgroup> ended : u32;

// The 64-bit product as (high, low): WGSL has no wide multiplication.
fn wide(a : u32, b : u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let ll = al * bl; let lh = al * bh; let hl = ah * bl;
  let middle = (ll >> 16u) + (lh & 0xffffu) + (hl & 0xffffu);
  return vec2(ah * bh + (lh >> 16u) + (hl >> 16u) + (middle >> 16u), (ll & 0xffffu) | (middle << 16u));
}

// Philox4x32-10 with counter (step, 0, 0, 0): its first word as a number in [0, 1), 24 bits
// (source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
fn uniform_draw(step : u32) -> f32 {
  var c = vec4<u32>(step, 0u, 0u, 0u);
  var key = sampler.seed;
  for (var round = 0u; round < 10u; round++) {
    let p = wide(0xD2511F53u, c.x); let q = wide(0xCD9E8D57u, c.z);
    c = vec4<u32>(q.x ^ c.y ^ key.x, q.y, p.x ^ c.w ^ key.y, p.y);
    key += vec2(0x9E3779B9u, 0xBB67AE85u);
  }
  return f32(c.x >> 8u) * 5.9604644775390625e-8;
}

fn draw(step : u32) -> u32 {
  if (sampler.temperature == 0.0) { return chosen[0].id; }
  // Probabilities relative to the most likely token, most likely first.
  var total = 0.0;
  for (var k = 0u; k < sampler.top_k; k++) {
    if (chosen[k].id != NONE.id) { total += exp((chosen[k].value - chosen[0].value) / sampler.temperature); }
  }
  var kept = 0u; var mass = 0.0;
  for (var k = 0u; k < sampler.top_k; k++) {
    if (chosen[k].id == NONE.id) { break; }
    let p = exp((chosen[k].value - chosen[0].value) / sampler.temperature);
    if (k > 0u && (mass >= sampler.top_p * total || p < sampler.min_p)) { break; }
    mass += p;
    kept = k + 1u;
  }
  let target_mass = uniform_draw(step) * mass;
  var below = 0.0;
  for (var k = 0u; k < kept; k++) {
    below += exp((chosen[k].value - chosen[0].value) / sampler.temperature);
    if (below > target_mass) { return chosen[k].id; }
  }
  return chosen[kept - 1u].id;
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane : u32) {
  if (lane == 0u) { ended = state.done; }
  if (workgroupUniformLoad(&ended) != 0u) { return; }
  var at : array<u32, LISTS>; // how much of each list is taken
  for (var k = 0u; k < sampler.top_k; k++) {
    var mine = NONE; var list = 0u;
    for (var l = 0u; l < LISTS; l++) {
      if (at[l] < sampler.top_k) {
        let c = candidates[(l * LANES + lane) * $MAX_K + at[l]];
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
  let token = draw(state.step);
  history[token].x += 1u;
  state.token = token;
  state.step += 1u;
  state.pos += 1u;
  var done = state.step >= sampler.max_tokens || state.pos >= sampler.context;
  for (var i = 0u; i < sampler.stop_count; i++) { done = done || token == sampler.stop[i]; }
  state.done = u32(done);
}
