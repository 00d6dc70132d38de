//! One batch of the library's journal, read from bytes.
//!
//! ```text
//! 01 item count (4) sequence number (8)
//! 02 kind compression keyspace (8) key bytes (2) value bytes (4) stored bytes (4) key value   an item
//! 04 keyspace (8)                                                                  a cleared one
//! 03 checksum of all items (8) "FJL" 03
//! ```
//! Numbers are little-endian. The file is made 64 MB long, so zeros follow the last batch, until it is
//! opened again: then it ends with it. This is format 3 of fjall; a test compares both.

use xxhash_rust::xxh3::xxh3_64;

use crate::embedded::keys::{self, State};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Ends each batch.
pub const MAGIC: [u8; 4] = *b"FJL\x03";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalBatch {
    /// Its bytes in the journal.
    pub len: usize,
    /// The library's number: grows along the journal.
    pub seqno: u64,
    /// Our state row, where it has one that we know.
    pub state: Option<State>,
}

/// Why there is no whole batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// This byte can't be there; the end of the file counts as one.
    At(usize),
    /// All is there, with another checksum.
    Checksum,
}

/// Reads the batch that begins with the first byte.
pub fn read(bytes: &[u8]) -> Result<JournalBatch, Broken> {
    read_items(bytes, |_, _| {})
}

/// As [`read`], and shows each item's key, and whether it is set or removed. The items count only
/// where the batch is whole.
pub fn read_items(bytes: &[u8], mut item: impl FnMut(&[u8], bool)) -> Result<JournalBatch, Broken> {
    let mut reader = Reader { bytes, at: 0 };
    reader.tag(START)?;
    let items = reader.u32()?;
    let seqno = reader.u64()?;
    let content = reader.at;
    let mut state = None;
    for _ in 0..items {
        match reader.any_tag(&[ITEM, CLEAR])? {
            CLEAR => {
                reader.u64()?;
            }
            _ => {
                let kind = reader.any_tag(&[0, 1, 2])?;
                let compression = reader.any_tag(&[0, 1])?;
                reader.u64()?;
                let key_len = reader.u16()?;
                let value_len = reader.u32()?;
                let stored_len = reader.u32()?;
                let key = reader.take(key_len.into())?;
                let value = reader.take(stored_len as usize)?;
                if compression == 0 && value_len != stored_len {
                    return Err(Broken::At(reader.at));
                }
                item(key, kind == 0);
                if key == keys::STATE && compression == 0 {
                    state = keys::State::decode(value);
                }
            }
        }
    }
    let content = &bytes[content..reader.at];
    reader.tag(END)?;
    let checksum = reader.u64()?;
    for byte in MAGIC {
        reader.tag(byte)?;
    }
    if checksum != xxh3_64(content) {
        return Err(Broken::Checksum);
    }
    Ok(JournalBatch { len: reader.at, seqno, state })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(Broken::At(self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Broken::At(self.at))
    }

    fn u16(&mut self) -> Result<u16, Broken> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Broken> {
        self.array().map(u64::from_le_bytes)
    }

    fn tag(&mut self, tag: u8) -> Result<(), Broken> {
        self.any_tag(&[tag]).map(|_| ())
    }

    fn any_tag(&mut self, tags: &[u8]) -> Result<u8, Broken> {
        match self.bytes.get(self.at) {
            Some(byte) if tags.contains(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            _ => Err(Broken::At(self.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_library_writes_is_read_and_every_changed_byte_but_the_number_is_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let database = fjall::Database::builder(folder.path()).open().expect("open");
        let data = database.keyspace("data", fjall::KeyspaceCreateOptions::default).expect("data");
        let state = State { version: 77, synced: 66, mark: 5 };
        let mut batch = database.batch();
        batch.insert(&data, "key", "value");
        batch.insert(&data, "long", vec![7; 10_000]);
        batch.remove(&data, "other");
        batch.insert(&data, keys::STATE, state.encode());
        batch.commit().expect("commit");
        data.insert("single", "").expect("insert");
        database.persist(fjall::PersistMode::SyncAll).expect("sync");
        let bytes = std::fs::read(folder.path().join("0.jnl")).expect("journal");

        let mut items = Vec::new();
        let first = read_items(&bytes, |key, set| items.push((key.to_vec(), set))).expect("whole");
        assert_eq!(first.state, Some(state));
        let expected: [(&[u8], bool); 4] =
            [(b"key", true), (b"long", true), (b"other", false), (&keys::STATE, true)];
        assert!(items.iter().map(|(key, set)| (key.as_slice(), *set)).eq(expected));
        let second = read(&bytes[first.len..]).expect("whole");
        assert!(second.seqno > first.seqno && second.state.is_none());
        let end = first.len + second.len;
        assert_eq!(read(&bytes[end..]), Err(Broken::At(0)), "zeros");
        for at in (0..first.len).filter(|at| !(5..13).contains(at)) {
            let mut damaged = bytes[..end].to_vec();
            damaged[at] ^= 0x10;
            let broken = read(&damaged).expect_err("seen");
            if let Broken::At(found) = broken {
                assert!(found >= at.min(13), "{found} is before {at}");
            }
        }
        for end in 0..first.len {
            assert_eq!(read(&bytes[..end]), Err(Broken::At(end)), "torn off");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = START;
            }
            let _ = read(&bytes);
        }
    }
}
