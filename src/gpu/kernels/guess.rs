//! Guesses of the next tokens: those after the last earlier place where the sequence's last two tokens stood together
//! (prompt lookup decoding, Saxena, 2023). See `guess.wgsl`. What is guessed changes how fast a reply comes, never the reply.

use crate::error::Result;
use crate::gpu::device::{Device, Dispatch};
use crate::gpu::shader::Defines;

/// Tokens that are guessed at a time.
pub const GUESSES: usize = 7;

/// Writes guesses into the state, for the sequence of each column; `text: [slot][context]` are the tokens by position.
pub fn dispatch(device: &Device, context: usize, text: &wgpu::Buffer, state: &wgpu::Buffer) -> Result<Dispatch> {
    let defines = Defines::new().set("CONTEXT", context).flag("ADVANCES", true);
    let bindings = [(4, text.as_entire_binding()), (7, state.as_entire_binding())];
    Ok(device.dispatch("guess", defines, &bindings, [1, 1, 1])?.for_tokens(0, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::state::{Header, SLOTS, Sequence, State};
    use crate::gpu::testing::{Random, devices, run};

    fn reference(text: &[u32]) -> [u32; GUESSES] {
        let last = text.len() - 1;
        let found = (1..last).rev().find(|at| text[*at] == text[last] && text[at - 1] == text[last - 1]);
        std::array::from_fn(|i| found.and_then(|at| text.get(at + 1 + i)).copied().unwrap_or(u32::MAX))
    }

    #[test]
    fn guesses_are_those_of_the_reference() {
        let context = 512;
        let mut random = Random(12);
        for device in devices() {
            // Few different tokens for many repetitions, many for none; lengths around the workgroup's.
            for (length, kinds) in [(1, 1), (2, 1), (3, 1), (5, 2), (64, 3), (65, 5), (300, 7), (512, 9), (300, 5000)] {
                let texts: Vec<Vec<u32>> =
                    (0..2).map(|_| (0..length).map(|_| random.bits() as u32 % kinds).collect()).collect();
                let text = device.storage("text", SLOTS * context * 4);
                let state = State::new(&device, 1);
                let slots = [7, 4];
                for (slot, tokens) in slots.iter().zip(&texts) {
                    device.queue.write_buffer(&text, (slot * context * 4) as u64, bytemuck::cast_slice(tokens));
                    state.write_sequence(*slot, Sequence { pos: length as u32 - 1, ..Sequence::default() });
                }
                state.write_columns(2, &slots.map(|slot| (slot, 0)));
                let dispatch = dispatch(&device, context, &text, &state.buffer).unwrap();
                let words = run(&device, 2, &[dispatch], &state.buffer, size_of::<Header>() / 4);
                let header: Header = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
                for (slot, tokens) in slots.iter().zip(&texts) {
                    let expected = if length < 2 { [u32::MAX; GUESSES] } else { reference(tokens) };
                    assert_eq!(header.sequences[*slot].guesses, expected, "{length} tokens of {kinds} kinds");
                }
            }
        }
    }
}
