//! What a step works on, as `state.wgsl` declares it: which sequences, where each of them is, and their pages of the cache.

use bytemuck::{Pod, Zeroable};

use super::device::Device;
use super::kernels::guess::GUESSES;

/// Sequences there can be at the same time, and columns of a decode step.
pub const SLOTS: usize = 16;

/// Where a sequence is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Sequence {
    /// Position of its next token; in a prefill of the chunk's first.
    pub pos: u32,
    /// The token to take in (decode); after sampling, the drawn one.
    pub token: u32,
    /// Not 0: the reply has ended.
    pub done: u32,
    /// Tokens drawn so far.
    pub step: u32,
    /// And when the last step began.
    pub first: u32,
    /// Steps so far whose first draw was the first guess.
    pub guessed: u32,
    /// The last step's tokens.
    pub drawn: [u32; GUESSES + 1],
    /// Of what comes after `token`.
    pub guesses: [u32; GUESSES],
}

/// The part of the buffer that changes from step to step; the pages follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct Header {
    columns: u32,
    slots: [u32; SLOTS],
    offsets: [u32; SLOTS],
    /// By slot.
    pub sequences: [Sequence; SLOTS],
}

/// The buffer on the device.
pub struct State {
    /// Binding 7 of the kernels.
    pub buffer: wgpu::Buffer,
    /// Tiles of the cache that one sequence can have.
    pub pages: usize,
    queue: wgpu::Queue,
}

impl State {
    /// A state for sequences of so many tiles.
    pub fn new(device: &Device, pages: usize) -> Self {
        let buffer = device.storage("state", size_of::<Header>() + SLOTS * pages * 4);
        Self { buffer, pages, queue: device.queue.clone() }
    }

    /// The slots of the next steps' columns, and how many guesses each is ahead; for a prefill the one slot of so many
    /// tokens.
    pub fn write_columns(&self, columns: usize, slots: &[(usize, usize)]) {
        let mut words = [0; 1 + 2 * SLOTS];
        words[0] = columns as u32;
        for (at, (slot, ahead)) in slots.iter().enumerate() {
            (words[1 + at], words[1 + SLOTS + at]) = (*slot as u32, *ahead as u32);
        }
        self.queue.write_buffer(&self.buffer, 0, bytemuck::cast_slice(&words));
    }

    /// Where a sequence is.
    pub fn write_sequence(&self, slot: usize, sequence: Sequence) {
        let offset = std::mem::offset_of!(Header, sequences) + slot * size_of::<Sequence>();
        self.queue.write_buffer(&self.buffer, offset as u64, bytemuck::bytes_of(&sequence));
    }

    /// A sequence's pages from its page `first` on.
    pub fn write_pages(&self, slot: usize, first: usize, pages: &[u32]) {
        let offset = size_of::<Header>() + (slot * self.pages + first) * 4;
        self.queue.write_buffer(&self.buffer, offset as u64, bytemuck::cast_slice(pages));
    }
}
