// A block is 32 consecutive weights of a row; w = s·q − m with one (s, m) for each half of 16, whatever the type.
// K is the row length, NB = K / 32; gpu/planes.rs fills the planes p0..p3.
struct Quants { // q of one row's block, in order
  a0 : vec4<f32>, a1 : vec4<f32>, a2 : vec4<f32>, a3 : vec4<f32>, // elements 0..16
  b0 : vec4<f32>, b1 : vec4<f32>, b2 : vec4<f32>, b3 : vec4<f32>, // elements 16..32
}
struct Block { // 32 numbers in the same order
  a0 : vec4<f32>, a1 : vec4<f32>, a2 : vec4<f32>, a3 : vec4<f32>,
  b0 : vec4<f32>, b1 : vec4<f32>, b2 : vec4<f32>, b3 : vec4<f32>,
}
struct Scales { s0 : vec4<f32>, m0 : vec4<f32>, s1 : vec4<f32>, m1 : vec4<f32> } // of 4 rows; halves 0 and 1

#include $QUANTS
#include $SCALES
