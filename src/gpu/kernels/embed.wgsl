// x = the embedding's row of each column's token, dequantised, in the step's order (order.wgsl). The matrix may be cut by rows: other
// shards' tokens are left alone.
const K : u32 = $K;
const NB : u32 = K / 32u;
const FIRST_ROW : u32 = $FIRST_ROW;
const ROWS : u32 = $ROWS;

#include state
#include quant
#include order

#if PREFILL
@group(0) @binding(4) var<storage, read> tokens : array<u32>; // [token]
#endif
@group(0) @binding(6) var<storage, read_write> x : array<vec4<f32>>; // [token][K/4]

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  let b = id.x; let column = id.y;
  if (b >= NB || is_done(column)) { return; }
#if PREFILL
  let token = tokens[column];
#else
  let ahead = state.offsets[column];
  var token = state.sequences[slot_of(column)].token;
  if (ahead > 0u) { token = state.sequences[slot_of(column)].guesses[ahead - 1u]; }
#endif
  if (token < FIRST_ROW || token >= FIRST_ROW + ROWS) { return; }
  let row = token - FIRST_ROW;
  let w = weights(quants(row, b), scales(row / 4u, b), row % 4u);
#for i in 0..8
  x[column * (K / 4u) + place(b * 8u + ${i}u, NB)] = w.f$i;
#end
}
