// The options of a reply's sampling and the candidates that pass between its two kernels.
struct Sampler {
  temperature : f32, // 0: the most likely token
  top_k : u32,       // 1..=MAX_K candidates
  top_p : f32,
  min_p : f32,
  repetition : f32,
  presence : f32,
  frequency : f32,
  penalised : u32,   // 0: neither penalties nor biases, `history` is not read
  seed : vec2<u32>,  // (low, high)
  max_tokens : u32,
  context : u32,     // positions of the KV cache
  stop_count : u32,
  stop : array<u32, $MAX_STOP>,
}
struct Candidate { value : f32, id : u32 } // a logit after penalties and its token
const NONE : Candidate = Candidate(-3.4028234e38, 0xffffffffu);

// The order of candidates: by logit, equal ones by token id.
fn before(a : Candidate, b : Candidate) -> bool { return a.value > b.value || (a.value == b.value && a.id < b.id); }
