// What a step of the network works on. Its columns are the next tokens of several sequences, or the next token of one and
// guesses of what comes after it (decode), or several tokens of one sequence (PREFILL). In decode the sampler advances the
// sequences, so that no step waits for the CPU.
struct Sequence {
  pos : u32,     // position of its next token; in a prefill of the chunk's first
  token : u32,   // the token to take in (decode)
  done : u32,    // not 0: the reply has ended and nothing of it moves on
  step : u32,    // tokens drawn so far
  first : u32,   // and when the last step began
  guessed : u32, // steps so far whose first draw was the first guess
  drawn : array<u32, $GUESSES + 1>, // the last step's tokens, step - first of them
  guesses : array<u32, $GUESSES>,   // of what comes after token
}
struct State {
  columns : u32,
  slots : array<u32, $SLOTS>,   // the sequence of each column; in a prefill slots[0] is that of all
  offsets : array<u32, $SLOTS>, // how many guesses its token is ahead of the sequence's
  sequences : array<Sequence, $SLOTS>,
  pages : array<u32>,           // [slot][position / 32]: the tile of the cache
}
#if ADVANCES
@group(0) @binding(7) var<storage, read_write> state : State;
#else
@group(0) @binding(7) var<storage, read> state : State;
#endif

#if PREFILL
fn slot_of(column : u32) -> u32 { return state.slots[0]; }
fn pos_of(column : u32) -> u32 { return state.sequences[slot_of(column)].pos + column; }
#else
fn slot_of(column : u32) -> u32 { return state.slots[column]; }
fn pos_of(column : u32) -> u32 { return state.sequences[slot_of(column)].pos + state.offsets[column]; }
#endif
fn is_done(column : u32) -> bool { return state.sequences[slot_of(column)].done != 0u; }
