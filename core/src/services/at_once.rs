//! How many entries are read at once. One may have 400 kB, and compressed much less: so a page that ends after a few
//! large ones must not have read all.

/// At the most.
pub(super) const READ_AT_ONCE: usize = 32;
/// In the beginning: nobody knows how large they are.
const READ_FIRST: usize = 4;
/// Where those that were read together had less, twice as many come next.
const READ_MORE_BYTES: usize = 64_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct AtOnce(usize);

impl Default for AtOnce {
    fn default() -> Self {
        Self(READ_FIRST)
    }
}

impl AtOnce {
    /// How many to read next.
    pub(super) fn count(self) -> usize {
        self.0
    }

    /// Those that were read last had so many bytes.
    pub(super) fn adapt(&mut self, bytes: usize) {
        let next = if bytes < READ_MORE_BYTES { self.0 * 2 } else { READ_FIRST };
        self.0 = next.min(READ_AT_ONCE);
    }
}
