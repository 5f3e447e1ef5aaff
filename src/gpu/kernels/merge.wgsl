// y = attention's partial results, merged: one workgroup a column. For steps of several columns; alone it is part of matvec.wgsl.
#include state
#include order
#include shares
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [column][HEADS * HD4], see order.wgsl

@compute @workgroup_size($WG)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32) {
  let column = wg.x;
  share_out(column, lid);
  for (var at = lid; at < HEADS * HD4; at += $WG) { y[column * HEADS * HD4 + at] = merged(column, at); }
}
