// Y = epilogue(W · X) for the tokens of a prefill: one workgroup of 8 x 8 threads makes a tile of 32 rows x 32 tokens,
// a thread 4 x 4 of it. Blocks are dequantised into workgroup memory once for all 32 tokens.
//   epilogue  RESIDUAL: Y += ; SWIGLU: W = [gate; up], Y = silu(gate) * up; else Y =
const K : u32 = $K;             // columns of W
const NB : u32 = K / 32u;       // blocks of a row
const ROWS : u32 = $GROUPS * 4u; // rows of the result of this dispatch
const Y_STRIDE : u32 = $Y_STRIDE * 4u; // from one token of Y to the next
const Y_OFFSET : u32 = $Y_OFFSET * 4u; // of the first row's result
const PITCH : u32 = 9u;         // vec4s of a tile's row: 8 and one to spread the banks

#include state
#include quant
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>;  // [token][K/4]
@group(0) @binding(6) var<storage, read_write> y : array<f32>;  // [token][rows]

var<workgroup> xs : array<vec4<f32>, 32 * PITCH>;
var<workgroup> ws : array<vec4<f32>, 32 * PITCH>;
#if SWIGLU
var<workgroup> us : array<vec4<f32>, 32 * PITCH>;
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32) {
  let tx = lid % 8u; let ty = lid / 8u;
  let row0 = wg.x * 32u; let token0 = wg.y * 32u;
#for i in 0..4
#for j in 0..4
  var w${i}_$j = 0.0;
#if SWIGLU
  var u${i}_$j = 0.0;
#endif
#end
#end
  for (var b = 0u; b < NB; b++) {
    if (lid < 32u) {
      let row = min(row0 + lid, ROWS - 1u);
      let q = quants(row, b); let s = scales(row / 4u, b); let r = row % 4u;
      let s0 = s.s0[r]; let m0 = s.m0[r]; let s1 = s.s1[r]; let m1 = s.m1[r];
      let at = lid * PITCH;
      ws[at] = q.a0 * s0 - m0; ws[at + 1u] = q.a1 * s0 - m0; ws[at + 2u] = q.a2 * s0 - m0; ws[at + 3u] = q.a3 * s0 - m0;
      ws[at + 4u] = q.b0 * s1 - m1; ws[at + 5u] = q.b1 * s1 - m1; ws[at + 6u] = q.b2 * s1 - m1; ws[at + 7u] = q.b3 * s1 - m1;
    } else {
#if SWIGLU
      let row = min(row0 + lid - 32u, ROWS - 1u) + ROWS;
      let q = quants(row, b); let s = scales(row / 4u, b); let r = row % 4u;
      let s0 = s.s0[r]; let m0 = s.m0[r]; let s1 = s.s1[r]; let m1 = s.m1[r];
      let at = (lid - 32u) * PITCH;
      us[at] = q.a0 * s0 - m0; us[at + 1u] = q.a1 * s0 - m0; us[at + 2u] = q.a2 * s0 - m0; us[at + 3u] = q.a3 * s0 - m0;
      us[at + 4u] = q.b0 * s1 - m1; us[at + 5u] = q.b1 * s1 - m1; us[at + 6u] = q.b2 * s1 - m1; us[at + 7u] = q.b3 * s1 - m1;
#endif
    }
    for (var i = lid; i < 256u; i += 64u) {
      xs[i / 8u * PITCH + i % 8u] = x[(token0 + i / 8u) * (K / 4u) + b * 8u + i % 8u];
    }
    workgroupBarrier();
    for (var k = 0u; k < 8u; k++) {
#for j in 0..4
      let x$j = xs[(ty + ${j}u * 8u) * PITCH + k];
#end
#for i in 0..4
      let a$i = ws[(tx + ${i}u * 8u) * PITCH + k];
#for j in 0..4
      w${i}_$j += dot(a$i, x$j);
#end
#if SWIGLU
      let b$i = us[(tx + ${i}u * 8u) * PITCH + k];
#for j in 0..4
      u${i}_$j += dot(b$i, x$j);
#end
#endif
#end
    }
    workgroupBarrier();
  }
#for i in 0..4
#for j in 0..4
  {
    let row = row0 + tx + ${i}u * 8u; let token = token0 + ty + ${j}u * 8u;
    if (row < ROWS && token < state.count) {
      let at = token * Y_STRIDE + Y_OFFSET + row;
#if SWIGLU
      y[at] = w${i}_$j / (1.0 + exp(-w${i}_$j)) * u${i}_$j;
#else
#if RESIDUAL
      y[at] += w${i}_$j;
#else
      y[at] = w${i}_$j;
#endif
#endif
    }
  }
#end
#end
}
