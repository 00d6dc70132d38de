//! The fixed share of all rooms that one owner writes.

use std::io::{self, Write as _};

use crate::room::RoomId;

/// A partition's number, from 0 to the partition count (exclusive).
pub type Partition = u16;

/// The partition of a room: FNV-1a (32 bit) of its id, modulo `count`. It is the hash of NATS's
/// `partition()` mapping, so the server and Weft put a room into the same partition.
///
/// # Panics
/// Where `count` is 0.
#[must_use]
pub fn partition_of(room: &RoomId, count: Partition) -> Partition {
    (fnv1a_32(room.as_str().as_bytes()) % u32::from(count)) as Partition
}

fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// FNV-1a, 64 bit, of what is written to it: a hash that stays the same for ever, for what is written
/// to disk.
pub struct Fnv64(u64);

impl Fnv64 {
    #[must_use]
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0
    }
}

impl Default for Fnv64 {
    fn default() -> Self {
        Self::new()
    }
}

impl io::Write for Fnv64 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// [`Fnv64`] of all of `bytes`.
#[must_use]
pub fn fnv1a_64(bytes: &[u8]) -> u64 {
    let mut hash = Fnv64::new();
    hash.write_all(bytes).expect("a hash takes all");
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv1a() {
        // Test vectors of the FNV reference.
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
