// Guesses what comes next in each column's sequence: what came after the last place where its last two tokens stood together
// (prompt lookup decoding). One workgroup a column.
const LANES : u32 = 64u;
const NONE : u32 = 0xffffffffu; // no token

#include state
@group(0) @binding(4) var<storage, read> text : array<u32>; // [slot][CONTEXT] tokens by position

var<workgroup> latest : array<u32, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  let slot = slot_of(wg.x);
  let start = slot * $CONTEXT;
  // Past a full context there is nothing to guess.
  let last = min(state.sequences[slot].pos, $CONTEXT - 1u);
  var found = 0u;
  for (var at = lane + 1u; at < last; at += LANES) {
    if (text[start + at] == text[start + last] && text[start + at - 1u] == text[start + last - 1u]) { found = at; }
  }
  latest[lane] = found;
  workgroupBarrier();
  if (lane >= $GUESSES) { return; }
  for (var i = 0u; i < LANES; i++) { found = max(found, latest[i]); }
  let at = found + 1u + lane;
  var guess = NONE;
  if (found > 0u && at <= last) { guess = text[start + at]; }
  state.sequences[slot].guesses[lane] = guess;
}
