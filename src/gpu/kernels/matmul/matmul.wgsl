// Y = epilogue(W · X) for the tokens of a prefill: one workgroup of 8 x 8 threads makes a tile of 64 rows of W x 32 tokens,
// a thread 8 x 4 of it. Blocks are unpacked into workgroup memory once for all 32 tokens.
//   epilogue   RESIDUAL: Y += ; SWIGLU: W = [gate; up], Y = silu(gate) * up, 32 rows of each; else Y =
//   numbers    of the products: NUMBERS is f32, f16 or integers, see tile_*.wgsl and products_*.wgsl
#if NUMBERS == f16
enable f16;
#endif
const K : u32 = $K;             // columns of W
const NB : u32 = K / 32u;       // blocks of a row
const ROWS : u32 = $GROUPS * 4u; // rows of the result of this dispatch
const Y_STRIDE : u32 = $Y_STRIDE * 4u; // from one token of Y to the next
const Y_OFFSET : u32 = $Y_OFFSET * 4u; // of the first row's result
const PITCH : u32 = 9u;         // fours of a tile's row: 8 and one to spread the banks

#include state
#include quant
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>;  // [token][K/4]
@group(0) @binding(6) var<storage, read_write> y : array<f32>;  // [token][rows]

// Block b of a token.
fn activations(token : u32, b : u32) -> Block {
  let at = token * (K / 4u) + b * 8u;
  return Block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
}
fn largest(v : Block) -> f32 {
  let four = max(max(max(abs(v.f0), abs(v.f1)), max(abs(v.f2), abs(v.f3))), max(max(abs(v.f4), abs(v.f5)), max(abs(v.f6), abs(v.f7))));
  return max(max(four.x, four.y), max(four.z, four.w));
}
#include tile_$NUMBERS

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
  let row = min(row0 + lid % 32u, ROWS - 1u) + lid / 32u * ROWS; // of W, which this thread unpacks
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
    stage_row(lid, quants(row, b), scales(row / 4u, b), row % 4u);
    stage_tokens(lid, token0, b);
    workgroupBarrier();
#include products_$NUMBERS
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
