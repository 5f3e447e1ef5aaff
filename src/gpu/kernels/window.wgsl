// The oldest position that one may look back to.
#if WINDOW > 0
fn window_start(pos : u32) -> u32 { return max(pos + 1u, ${WINDOW}u) - ${WINDOW}u; }
#else
fn window_start(pos : u32) -> u32 { return 0u; }
#endif
