// Y = epilogue(W · X) for the tokens of a prefill: one workgroup of 8 x 8 threads makes a tile of 64 rows of W x 32 tokens,
// a thread 8 x 4 of it. Blocks are dequantised into workgroup memory once for all 32 tokens.
//   epilogue   RESIDUAL: Y += ; SWIGLU: W = [gate; up], Y = silu(gate) * up, 32 rows of each; else Y =
//   precision  F16: the tile holds f16 numbers; a block's products are added up in f16, the blocks' sums in f32. Every block
//              of a row and of a token is divided by a power of two, so that its largest number is between 1 and 2: products
//              stay far from f16's limits however large an activation is. Else f32
#if F16
enable f16;
#endif
const K : u32 = $K;             // columns of W
const NB : u32 = K / 32u;       // blocks of a row
const ROWS : u32 = $GROUPS * 4u; // rows of the result of this dispatch
const Y_STRIDE : u32 = $Y_STRIDE * 4u; // from one token of Y to the next
const Y_OFFSET : u32 = $Y_OFFSET * 4u; // of the first row's result
const PITCH : u32 = 9u;         // vec4s of a tile's row: 8 and one to spread the banks
const XS : u32 = 64u;           // the tile's rows: 64 of W, then 32 tokens

#include state
#include quant
@group(0) @binding(4) var<storage, read> x : array<vec4<f32>>;  // [token][K/4]
@group(0) @binding(6) var<storage, read_write> y : array<f32>;  // [token][rows]

#if F16
alias Four = vec4<f16>;
var<workgroup> powers : array<f32, 96>; // by which the tile's rows were divided
#else
alias Four = vec4<f32>;
#endif
var<workgroup> tile : array<Four, 96 * PITCH>;

fn stage(row : u32, v : Block) {
#if F16
  let four = max(max(max(abs(v.a0), abs(v.a1)), max(abs(v.a2), abs(v.a3))), max(max(abs(v.b0), abs(v.b1)), max(abs(v.b2), abs(v.b3))));
  let power = bitcast<u32>(max(max(four.x, four.y), max(four.z, four.w))) & 0x7f800000u;
  powers[row] = bitcast<f32>(power);
  let scale = bitcast<f32>(0x7f000000u - power); // 1 / power, and finite where that is 0
#else
  let scale = 1.0;
#endif
  let at = row * PITCH;
  tile[at] = Four(v.a0 * scale); tile[at + 1u] = Four(v.a1 * scale);
  tile[at + 2u] = Four(v.a2 * scale); tile[at + 3u] = Four(v.a3 * scale);
  tile[at + 4u] = Four(v.b0 * scale); tile[at + 5u] = Four(v.b1 * scale);
  tile[at + 6u] = Four(v.b2 * scale); tile[at + 7u] = Four(v.b3 * scale);
}

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
    stage(lid, Block(q.a0 * s0 - m0, q.a1 * s0 - m0, q.a2 * s0 - m0, q.a3 * s0 - m0,
      q.b0 * s1 - m1, q.b1 * s1 - m1, q.b2 * s1 - m1, q.b3 * s1 - m1));
#if F16
    if (lid < 32u) {
      let at = (token0 + lid) * (K / 4u) + b * 8u;
      stage(XS + lid, Block(x[at], x[at + 1u], x[at + 2u], x[at + 3u], x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]));
    }
#for j in 0..4
#for i in 0..4
    var f${i}_$j = vec2<f16>(); // of v
    var g${i}_$j = vec2<f16>(); // of w
#end
#end
#else
    for (var i = lid; i < 256u; i += 64u) {
      tile[(XS + i / 8u) * PITCH + i % 8u] = x[(token0 + i / 8u) * (K / 4u) + b * 8u + i % 8u];
    }
#endif
    workgroupBarrier();
    for (var k = 0u; k < 8u; k++) {
#for j in 0..4
      let x$j = tile[(XS + ty + ${j}u * 8u) * PITCH + k];
#end
#for i in 0..4
      let a$i = tile[(tx + ${i}u * 8u) * PITCH + k];
      let b$i = tile[(tx + ${i}u * 8u + 32u) * PITCH + k];
#for j in 0..4
#if F16
      f${i}_$j = fma(a$i.zw, x$j.zw, fma(a$i.xy, x$j.xy, f${i}_$j));
      g${i}_$j = fma(b$i.zw, x$j.zw, fma(b$i.xy, x$j.xy, g${i}_$j));
#else
      v${i}_$j += dot(a$i, x$j);
      w${i}_$j += dot(b$i, x$j);
#endif
#end
#end
    }
#if F16
#for j in 0..4
    let x$j = powers[XS + ty + ${j}u * 8u];
#end
#for i in 0..4
    let a$i = powers[tx + ${i}u * 8u]; let b$i = powers[tx + ${i}u * 8u + 32u];
#for j in 0..4
    v${i}_$j += (f32(f${i}_$j.x) + f32(f${i}_$j.y)) * (a$i * x$j);
    w${i}_$j += (f32(g${i}_$j.x) + f32(g${i}_$j.y)) * (b$i * x$j);
#end
#end
#endif
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
