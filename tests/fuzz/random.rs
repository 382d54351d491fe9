//! Random choices that a seed repeats.

use std::ops::Range;

/// A generator of random numbers (`SplitMix64`).
pub struct Random {
    state: u64,
}

impl Random {
    /// The generator of one case: neighbouring seeds and cases have nothing in common.
    pub fn new(seed: u64, case: u64) -> Self {
        let mut random = Self { state: seed };
        random.state = random.next() ^ case.wrapping_mul(0xd134_2543_de82_ef95);
        random
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap_or(0) % end.max(1)
    }

    /// A number of a range.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.len())
    }

    /// A number below `end`, mostly a small one.
    pub fn small(&mut self, end: usize) -> usize {
        let most = self.below(end) + 1;
        self.below(most)
    }

    /// Whether an event happens that does so once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub fn one<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }

    /// One of several inputs.
    pub fn input<'c>(&mut self, choices: &'c [Vec<u8>]) -> &'c [u8] {
        self.one(choices).as_slice()
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[4]
    }
}
