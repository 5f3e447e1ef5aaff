// What one step of the network works on. In decode the sampler advances it, so that no step waits for the CPU.
struct State {
  pos : u32,   // position of the step's first token
  count : u32, // tokens of the step; 1 in decode
  token : u32, // the token to take in (decode)
  done : u32,  // not 0: the reply has ended and every kernel returns at once
  step : u32,  // tokens drawn so far
}
#if ADVANCES
@group(0) @binding(7) var<storage, read_write> state : State;
#else
@group(0) @binding(7) var<storage, read> state : State;
#endif
