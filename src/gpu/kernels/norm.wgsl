// y = RMSNorm(x) · g for every token of a prefill: one team of TEAM lanes a token. Only g lies as decode reads it.
const K4 : u32 = $K / 4u;
const TEAM : u32 = $TEAM;

#include order

@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>;       // [token][K/4]
@group(0) @binding(5) var<storage, read> g : array<vec4<f32>>;       // [K/4], see order.wgsl
@group(0) @binding(6) var<storage, read_write> y : array<vec4<f32>>; // [token][K/4]

#if TEAM > 1
var<workgroup> part : array<f32, TEAM>;
#endif

@compute @workgroup_size($TEAM)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lane : u32) {
  let base = wg.x * K4;
  var squares = 0.0;
  for (var i = lane; i < K4; i += TEAM) { squares += dot(x[base + i], x[base + i]); }
#if TEAM > 1
  part[lane] = squares;
  workgroupBarrier();
  for (var m = TEAM / 2u; m > 0u; m = m >> 1u) {
    if (lane < m) { part[lane] += part[lane + m]; }
    workgroupBarrier();
  }
  squares = part[0];
#endif
  let inv = inverseSqrt(squares / f32($K) + $EPS);
  for (var i = lane; i < K4; i += TEAM) { y[base + i] = x[base + i] * inv * g[place(i, K4 / 8u)]; }
}
