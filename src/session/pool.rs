//! The sequences of a device and which tokens each of them holds, so that a prompt finds the cache of its beginning.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Runtime, SequenceId};

/// Conversations that can run at the same time.
const MAX_SEQUENCES: usize = 16;

/// A further sequence is opened only to keep another conversation's cache while all of them together stay below this.
const IDLE_BYTES: u64 = 512 << 20;

/// One sequence.
pub(super) struct Slot {
    pub(super) id: SequenceId,
    /// The tokens it holds, in order.
    pub(super) tokens: Vec<u32>,
    busy: bool,
    last_use: u64,
}

/// All sequences; a slot keeps its index.
#[derive(Default)]
pub(super) struct Pool {
    slots: Vec<Slot>,
    uses: u64,
}

impl Pool {
    /// A sequence for these tokens, which it already holds the beginning of if any does; `busy` if all are in use.
    pub(super) fn acquire(&mut self, runtime: &mut dyn Runtime, tokens: &[u32]) -> Result<usize> {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| !slot.busy);
        let best = idle.max_by_key(|(_, slot)| (common(&slot.tokens, tokens), std::cmp::Reverse(slot.last_use)));
        let index = match best.map(|(index, slot)| (index, self.worth_keeping(runtime, slot, tokens))) {
            Some((index, false)) => index,
            Some((index, true)) => self.open(runtime).unwrap_or(index),
            None if self.slots.len() >= MAX_SEQUENCES => return Err(busy(self.slots.len())),
            None => match self.open(runtime) {
                Err(error) if error.kind == ErrorKind::OutOfMemory && !self.slots.is_empty() => {
                    return Err(busy(self.slots.len()));
                }
                opened => opened?,
            },
        };
        self.uses += 1;
        let slot = &mut self.slots[index];
        slot.busy = true;
        slot.last_use = self.uses;
        Ok(index)
    }

    /// The same sequence once more, unless it is in use or has been since `last_use`.
    pub(super) fn take_again(&mut self, index: usize, last_use: u64) -> bool {
        let slot = &mut self.slots[index];
        let free = !slot.busy && slot.last_use == last_use;
        slot.busy |= free;
        free
    }

    /// When a sequence was acquired.
    pub(super) fn last_use(&self, index: usize) -> u64 {
        self.slots[index].last_use
    }

    /// Hands a sequence back.
    pub(super) fn release(&mut self, index: usize) {
        self.slots[index].busy = false;
    }

    pub(super) fn slot(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }

    /// Cuts a sequence back to what it shares with `tokens`, leaving at least one of them to be read. Ends a running
    /// decode. Gives the number of tokens that remain.
    pub(super) fn rewind(&mut self, runtime: &mut dyn Runtime, index: usize, tokens: &[u32]) -> Result<usize> {
        let slot = &mut self.slots[index];
        let keep = common(&slot.tokens, tokens).min(tokens.len().saturating_sub(1));
        self.settle(runtime, index, keep)
    }

    /// Cuts a sequence to `length` tokens or to fewer, if the device has cached fewer, and gives their number.
    pub(super) fn settle(&mut self, runtime: &mut dyn Runtime, index: usize, length: usize) -> Result<usize> {
        let slot = &mut self.slots[index];
        runtime.truncate(slot.id, length)?;
        slot.tokens.truncate(length.min(runtime.length(slot.id)));
        Ok(slot.tokens.len())
    }

    /// After a failure nobody knows what a sequence holds: it is given up, and the next use opens a fresh one.
    pub(super) fn discard(&mut self, runtime: &mut dyn Runtime, index: usize) {
        let slot = &mut self.slots[index];
        slot.tokens.clear();
        slot.busy = false;
        if runtime.truncate(slot.id, 0).is_err() {
            let id = slot.id;
            runtime.release(id);
            if let Ok(fresh) = runtime.open() {
                slot.id = fresh;
            }
        }
    }

    fn open(&mut self, runtime: &mut dyn Runtime) -> Result<usize> {
        let id = runtime.open()?;
        self.slots.push(Slot { id, tokens: Vec::new(), busy: false, last_use: 0 });
        Ok(self.slots.len() - 1)
    }

    /// Whether taking this idle sequence would throw most of another conversation away though there is room for both.
    fn worth_keeping(&self, runtime: &dyn Runtime, slot: &Slot, tokens: &[u32]) -> bool {
        let bytes = (self.slots.len() as u64 + 1).saturating_mul(runtime.info().kv_cache_bytes);
        let lost = slot.tokens.len() - common(&slot.tokens, tokens);
        lost > slot.tokens.len() / 2 && self.slots.len() < MAX_SEQUENCES && bytes <= IDLE_BYTES
    }
}

fn busy(n: usize) -> Error {
    Error::new(ErrorKind::Busy, format!("expected a free conversation, {n} are running"))
        .hint("wait for a reply to end, or abort one")
}

/// Tokens that both begin with.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
