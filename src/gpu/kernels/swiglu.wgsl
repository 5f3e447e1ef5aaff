// y = silu(gate) · up, for layers whose gate and up projections have different types and so cannot share a dispatch.
const K4 : u32 = $K / 4u;

@group(0) @binding(4) var<storage, read> up : array<vec4<f32>>;      // [token][K/4]
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [token][K/4], holds the gate

@compute @workgroup_size($WG)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  if (id.x >= K4) { return; }
  let at = id.y * K4 + id.x;
  let gate = y[at];
  y[at] = gate / (1.0 + exp(-gate)) * up[at];
}
