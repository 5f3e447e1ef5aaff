// Y = epilogue(W · X) for the tokens of a prefill: one workgroup of 8 x 8 threads makes a tile of 64 rows of W x 32 tokens,
// a thread 8 x 4 of it. Blocks are dequantised into workgroup memory once for all 32 tokens.
//   epilogue  RESIDUAL: Y += ; SWIGLU: W = [gate; up], Y = silu(gate) * up, 32 rows of each; else Y =
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
var<workgroup> ws : array<vec4<f32>, 64 * PITCH>;

fn store(token : u32, row : u32, result : f32) {
  if (row >= ROWS || token >= state.columns) { return; }
  let at = token * Y_STRIDE + Y_OFFSET + row;
#if RESIDUAL
  y[at] += result;
#else
  y[at] = result;
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg : vec3<u32>, @builtin(local_invocation_index) lid : u32) {
  let tx = lid % 8u; let ty = lid / 8u;
  let token0 = wg.y * 32u;
#if SWIGLU
  let row0 = wg.x * 32u;
  let row = min(row0 + lid % 32u, ROWS - 1u) + lid / 32u * ROWS; // of W, which this thread dequantises
#else
  let row0 = wg.x * 64u;
  let row = min(row0 + lid, ROWS - 1u);
#endif
#for j in 0..4
#for i in 0..4
  var v${i}_$j = 0.0; // rows tx + 8i
  var w${i}_$j = 0.0; // rows tx + 8i + 32: of up, if SWIGLU
#end
#end
  for (var b = 0u; b < NB; b++) {
    let q = quants(row, b); let s = scales(row / 4u, b); let r = row % 4u;
    let s0 = s.s0[r]; let m0 = s.m0[r]; let s1 = s.s1[r]; let m1 = s.m1[r];
    let at = lid * PITCH;
    ws[at] = q.a0 * s0 - m0; ws[at + 1u] = q.a1 * s0 - m0; ws[at + 2u] = q.a2 * s0 - m0; ws[at + 3u] = q.a3 * s0 - m0;
    ws[at + 4u] = q.b0 * s1 - m1; ws[at + 5u] = q.b1 * s1 - m1; ws[at + 6u] = q.b2 * s1 - m1; ws[at + 7u] = q.b3 * s1 - m1;
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
      let b$i = ws[(tx + ${i}u * 8u + 32u) * PITCH + k];
#for j in 0..4
      v${i}_$j += dot(a$i, x$j);
      w${i}_$j += dot(b$i, x$j);
#end
#end
    }
    workgroupBarrier();
  }
#for j in 0..4
#for i in 0..4
  {
    let token = token0 + ty + ${j}u * 8u; let row = row0 + tx + ${i}u * 8u;
#if SWIGLU
    store(token, row, v${i}_$j / (1.0 + exp(-v${i}_$j)) * w${i}_$j);
#else
    store(token, row, v${i}_$j);
    store(token, row + 32u, w${i}_$j);
#endif
  }
#end
#end
}
