//! When a user was last seen: Unix milliseconds, 8 bytes, big-endian. It only grows, so whoever
//! writes it needs neither to read it first nor a guard, and may write it twice.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::Tag;
use super::key::Key;
use super::table::{Stored, Table};
use crate::batch::Batch;
use crate::error::Error;

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::LastActive).name(user.as_str()).build()
}

/// Keeps that the user was seen at `time_ms`, unless a later time is known.
pub fn note(batch: &mut Batch, user: &UserId, time_ms: u64) {
    batch.max(key(user), time_ms.to_be_bytes().to_vec());
}

/// Reads the stored form: Unix milliseconds.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<u64, Error> {
    let array = bytes.try_into();
    let array = array.map_err(|_| Error::Corrupt("last active: not 8 bytes".into()))?;
    Ok(u64::from_be_bytes(array))
}

/// A row, as an export reads it: Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastActive(pub u64);

impl Table for LastActive {
    const TAG: Tag = Tag::LastActive;
    const NAME: &str = "last_active";
    type Key = UserId;
    type Row = Self;
}

impl Stored for LastActive {
    fn to_stored(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_be_bytes())
    }

    fn from_stored(_table: &str, bytes: &[u8]) -> Result<Self, Error> {
        decode(bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_time_only_grows() {
        let store = Store::new(Memory::new());
        let (a, b) = (UserId::new("a").expect("id"), UserId::new("b").expect("id"));
        // Numbers whose order is not that of their last bytes.
        for time_ms in [0x1ff, 0x0200, 0x0101] {
            let mut batch = Batch::new([1; 16]);
            note(&mut batch, &a, time_ms);
            note(&mut batch, &b, time_ms / 2);
            store.commit(batch).await.expect("commit");
        }
        let snapshot = store.snapshot().await.expect("snapshot");
        let all = LastActive::page(&*snapshot, None).await.expect("page");
        let (a, b) = ((a, LastActive(0x0200)), (b, LastActive(0x0100)));
        assert_eq!(all, [a.clone(), b.clone()]);
        assert_eq!(LastActive::page(&*snapshot, Some(&a.0)).await.expect("page"), [b]);
        assert!(decode(b"1234567").is_err());
    }
}
