//! When a user was last seen: Unix milliseconds, 8 bytes, big-endian. It only grows, so whoever
//! writes it needs neither to read it first nor a guard, and may write it twice.

use bytes::Bytes;
use weft_proto::UserId;

use super::key::{Key, KeyReader, Tag, behind};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// The row's key.
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

/// When at most `limit` users behind a user (`None`: from the first) were last seen, by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, u64)>, Error> {
    let mut range = Key::new(Tag::LastActive).prefix_range();
    if let Some(user) = after {
        range.start = behind(&key(user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, value)| Ok((user(key)?, decode(value)?))).collect()
}

fn user(key: &[u8]) -> Result<UserId, Error> {
    UserId::new(KeyReader::new(Tag::LastActive, key)?.name()?)
        .map_err(|error| Error::Corrupt(format!("last active: {error}")))
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
        let all = page_after(&*snapshot, None, 9).await.expect("page");
        assert_eq!(all, [(a.clone(), 0x0200), (b.clone(), 0x0100)]);
        assert_eq!(page_after(&*snapshot, Some(&a), 9).await.expect("page"), [(b, 0x0100)]);
        assert!(decode(b"1234567").is_err());
    }
}
