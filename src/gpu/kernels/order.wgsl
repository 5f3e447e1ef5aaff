// Where the fours of a vector of activations, of so many blocks, lie. INTERLEAVED (decode on hardware): the first fours of all blocks,
// then the second ones, and so on, so that lanes which take a block each read neighbouring words. Else one after the other.
#if INTERLEAVED
fn place(four : u32, blocks : u32) -> u32 { return four % 8u * blocks + four / 8u; }
fn four_at(at : u32, blocks : u32) -> u32 { return at % blocks * 8u + at / blocks; }
#else
fn place(four : u32, blocks : u32) -> u32 { return four; }
#endif
