//! How a user wants to be seen. The record is the wire's own [`Chosen`]: it is kept as it was said.

use bytes::Bytes;
use weft_proto::UserId;
use weft_proto::presence::Chosen;

use super::key::{Key, KeyReader, Tag, behind};
use super::record::{self, decode_whole};
use crate::engine::Snapshot;
use crate::error::Error;

/// The row's key.
#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::Chosen).name(user.as_str()).build()
}

/// The stored form.
#[must_use]
pub fn encode(chosen: &Chosen) -> Bytes {
    record::encode(chosen).into()
}

/// Reads the stored form.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<Chosen, Error> {
    record::decode("chosen", bytes)
}

/// At most `limit` users' choices behind a user (`None`: from the first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, Chosen)>, Error> {
    let mut range = Key::new(Tag::Chosen).prefix_range();
    if let Some(user) = after {
        range.start = behind(&key(user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, value): &(Bytes, Bytes)| Ok((user(key)?, decode_whole("chosen", value)?));
    rows.iter().map(read).collect()
}

fn user(key: &[u8]) -> Result<UserId, Error> {
    UserId::new(KeyReader::new(Tag::Chosen, key)?.name()?)
        .map_err(|error| Error::Corrupt(format!("chosen: {error}")))
}

#[cfg(test)]
mod tests {
    use weft_proto::presence::Choice;

    use super::*;
    use crate::batch::Batch;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[tokio::test]
    async fn choices_are_read_back_page_by_page() {
        let store = Store::new(Memory::new());
        let id = |name: &str| UserId::new(name).expect("id");
        let chosen = |text: &str| Chosen {
            choice: Choice::Dnd.into(),
            text: text.into(),
            text_until_ms: 9,
            at_ms: 7,
        };
        let mut batch = Batch::new([1; 16]);
        for name in ["a", "a-b", "b"] {
            batch.set(key(&id(name)), encode(&chosen(name)));
        }
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let first = page_after(&*snapshot, None, 2).await.expect("page");
        assert_eq!(first, [(id("a"), chosen("a")), (id("a-b"), chosen("a-b"))]);
        let rest = page_after(&*snapshot, Some(&id("a-b")), 2).await.expect("page");
        assert_eq!(rest, [(id("b"), chosen("b"))]);
        assert!(decode(b"").is_err());
    }
}
