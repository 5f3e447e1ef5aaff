// Does nothing, in a way that no compiler can know: what is left of a dispatch is its launch.
@group(0) @binding(0) var<storage, read_write> never : array<u32>;

@compute @workgroup_size(1)
fn main(@builtin(global_invocation_id) id : vec3<u32>) {
  if (never[0] != 0u) { never[id.x] = 0u; }
}
