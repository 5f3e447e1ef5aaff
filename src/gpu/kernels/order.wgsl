// Where the fours of a vector of activations, of so many blocks, lie. INTERLEAVED (decode on hardware): the first fours of all blocks,
// then the second ones, and so on, so that lanes which take a block each read neighbouring words. Else one after the other.
fn place(four : u32, blocks : u32) -> u32 {
#if INTERLEAVED
  return four % 8u * blocks + four / 8u;
#else
  return four;
#endif
}
