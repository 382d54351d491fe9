//! Which objects a pickle holds already.

/// Maps the identities of the objects of one pickle to the order in which they were written.
///
/// A table with open addressing, whose entries expire by their generation: clearing it for the
/// next record costs nothing.
#[derive(Debug)]
pub(super) struct Memo {
    entries: Vec<Entry>,
    generation: u32,
    /// The number of entries of this generation.
    used: usize,
    /// The number of objects written, with an identity or without.
    written: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    identity: usize,
    index: u32,
    generation: u32,
}

const INITIAL: usize = 128;

impl Memo {
    pub(super) fn new() -> Self {
        Self { entries: vec![Entry::default(); INITIAL], generation: 1, used: 0, written: 0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        if self.generation == u32::MAX {
            *self = Self::new();
        }
        self.generation += 1;
        self.used = 0;
        self.written = 0;
    }

    /// The number of objects written.
    pub(super) fn len(&self) -> u32 {
        self.written
    }

    /// The index of the object with this identity, if it was written. 0 identifies nothing.
    pub(super) fn find(&self, identity: usize) -> Option<u32> {
        if identity == 0 {
            return None;
        }
        let entry = self.entries[self.slot(identity)];
        (entry.generation == self.generation).then_some(entry.index)
    }

    /// Adds an object, under the next index.
    pub(super) fn add(&mut self, identity: usize) {
        let index = self.written;
        self.written += 1;
        if identity == 0 {
            return;
        }
        if self.used * 2 >= self.entries.len() {
            self.grow();
        }
        let slot = self.slot(identity);
        self.used += usize::from(self.entries[slot].generation != self.generation);
        self.entries[slot] = Entry { identity, index, generation: self.generation };
    }

    /// Where the identity is, or would be put.
    fn slot(&self, identity: usize) -> usize {
        let mask = self.entries.len() - 1;
        // Addresses are neighbours and multiples of 16: multiplying spreads them.
        let mut slot = (identity ^ (identity.wrapping_mul(0x9e37_79b9) >> 12)) & mask;
        loop {
            let entry = &self.entries[slot];
            if entry.generation != self.generation || entry.identity == identity {
                return slot;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let len = self.entries.len() * 2;
        let old = std::mem::replace(&mut self.entries, vec![Entry::default(); len]);
        for entry in old.into_iter().filter(|entry| entry.generation == self.generation) {
            let slot = self.slot(entry.identity);
            self.entries[slot] = entry;
        }
    }
}
