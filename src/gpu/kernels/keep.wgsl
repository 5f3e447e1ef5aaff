// The activations of a prefill's last token, kept for its slot in the order in which a decode step reads them.
const K4 : u32 = $K / 4u;

#include state
#include order
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>;          // [token][K/4]
@group(0) @binding(6) var<storage, read_write> kept : array<vec4<f32>>; // [slot][K/4]

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  if (id.x >= K4) { return; }
  kept[slot_of(0u) * K4 + place(id.x, K4 / 8u)] = x[(state.columns - 1u) * K4 + id.x];
}
