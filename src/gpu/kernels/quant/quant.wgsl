// A block is 32 consecutive weights of a row; w = s·q − m with one (s, m) for each half of 16, whatever the type; HALVES is 2 where
// they differ. K is the row length, NB = K / 32; gpu/planes.rs fills the planes p0..p3.
struct Block { // 32 numbers in order, of which quants() gives the q
  f0 : vec4<f32>, f1 : vec4<f32>, f2 : vec4<f32>, f3 : vec4<f32>,
  f4 : vec4<f32>, f5 : vec4<f32>, f6 : vec4<f32>, f7 : vec4<f32>,
}
struct Scales { s0 : vec4<f32>, m0 : vec4<f32>, s1 : vec4<f32>, m1 : vec4<f32> } // of 4 rows; halves 0 and 1

#include $QUANTS
#include $SCALES

// The weights of row r of four.
fn weights(q : Block, s : Scales, r : u32) -> Block {
  let s0 = s.s0[r]; let m0 = s.m0[r]; let s1 = s.s1[r]; let m1 = s.m1[r];
  return Block(q.f0 * s0 - m0, q.f1 * s0 - m0, q.f2 * s0 - m0, q.f3 * s0 - m0,
    q.f4 * s1 - m1, q.f5 * s1 - m1, q.f6 * s1 - m1, q.f7 * s1 - m1);
}
