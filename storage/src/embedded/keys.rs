//! The bytes of this engine's own key space.
//!
//! ```text
//! 00 00          → format (1 byte), version, synced version, mark (8 bytes each): see State
//! 00 01 from     → to                   a cleared range that is not swept yet
//! 01 key         → value                everything else
//! ```
//! The first byte also makes the empty key possible, which fjall doesn't take.

use bytes::Bytes;

/// The key of the row that every batch of the journal writes.
pub const STATE: [u8; 2] = [0, 0];
/// In front of a cleared range's first key.
pub const CLEARED: [u8; 2] = [0, 1];
/// After the last cleared range.
pub const CLEARED_END: [u8; 2] = [0, 2];
/// In front of a caller's key.
pub const USER: u8 = 1;

/// The first byte of the state row. Another one was written by another Weft.
const FORMAT: u8 = 2;
/// Had the version alone.
const FORMAT_OF_VERSION: u8 = 1;

/// The stored form of a caller's key.
pub fn user(key: &[u8]) -> Vec<u8> {
    let mut physical = Vec::with_capacity(1 + key.len());
    physical.push(USER);
    physical.extend_from_slice(key);
    physical
}

/// The caller's key, read back.
pub fn user_key(physical: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&physical[1..])
}

/// The key of a cleared range.
pub fn cleared(from: &[u8]) -> Vec<u8> {
    [&CLEARED, from].concat()
}

/// The smallest key after this one.
pub fn next(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// The state row: what every batch says about those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The last position's version.
    pub version: u64,
    /// Everything up to this version had been synced when this was written: it ends the sync group
    /// before this batch's.
    pub synced: u64,
    /// The store's own number, which nobody outside of it knows: so that no message, written by
    /// somebody who knows the journal's format, passes for a batch. 0: written before there was one.
    pub mark: u64,
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let mut value = vec![FORMAT];
        for number in [self.version, self.synced, self.mark] {
            value.extend_from_slice(&number.to_be_bytes());
        }
        value
    }

    /// `None` where it was written by another format.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (format, rest) = value.split_first()?;
        let (numbers, []) = rest.as_chunks::<8>() else { return None };
        match (*format, numbers) {
            (FORMAT, [version, synced, mark]) => Some(Self {
                version: u64::from_be_bytes(*version),
                synced: u64::from_be_bytes(*synced),
                mark: u64::from_be_bytes(*mark),
            }),
            // Nobody knows where its group began: so each commit counts as one that ends a group.
            (FORMAT_OF_VERSION, [version]) => {
                let version = u64::from_be_bytes(*version);
                Some(Self { version, synced: version.saturating_sub(1), mark: 0 })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_row_reads_back_and_so_does_an_older_one() {
        let state = State { version: 9, synced: 8, mark: u64::MAX };
        assert_eq!(State::decode(&state.encode()), Some(state));
        let older = [vec![1], 9_u64.to_be_bytes().to_vec()].concat();
        assert_eq!(State::decode(&older), Some(State { version: 9, synced: 8, mark: 0 }));
        for foreign in [&[][..], &[1], &[3, 0, 0, 0, 0, 0, 0, 0, 0], &state.encode()[..24]] {
            assert_eq!(State::decode(foreign), None);
        }
    }
}
