//! What this Weft does not know of: who moves a store must not leave out what a newer one wrote.

use std::ops::Range;

use bytes::Bytes;

use super::Tag;
use crate::engine::Snapshot;
use crate::error::Error;

/// The tag of a table that this Weft does not have, where there is a row of one.
///
/// # Errors
/// Those of the snapshot.
pub async fn first_tag(snapshot: &dyn Snapshot) -> Result<Option<u8>, Error> {
    for range in between(&tags()) {
        if let Some((key, _)) = snapshot.scan(range, 1, false).await?.first() {
            return Ok(key.first().copied());
        }
    }
    Ok(None)
}

/// True where there is no row at all.
///
/// # Errors
/// Those of the snapshot.
pub async fn is_empty(snapshot: &dyn Snapshot) -> Result<bool, Error> {
    for range in between(&[]) {
        if !snapshot.scan(range, 1, false).await?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tags() -> Vec<u8> {
    Tag::all().map(|tag| tag as u8).collect()
}

/// The ranges of keys with none of these tags, which ascend. 0xff is never a tag.
fn between(tags: &[u8]) -> Vec<Range<Bytes>> {
    let starts = std::iter::once(0).chain(tags.iter().map(|tag| tag + 1));
    let ends = tags.iter().copied().chain([u8::MAX]);
    let key = |tag: u8| Bytes::copy_from_slice(&[tag]);
    let gaps = starts.zip(ends).filter(|(start, end)| start < end);
    gaps.map(|(start, end)| key(start)..key(end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::engine::Store;
    use crate::memory::Memory;

    async fn with_tags(tags: &[u8]) -> Store {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        for tag in tags {
            batch.set(Bytes::copy_from_slice(&[*tag, 7]), "x");
        }
        store.commit(batch).await.expect("commit");
        store
    }

    #[tokio::test]
    async fn a_table_of_a_newer_weft_is_seen() {
        let known = tags();
        assert!(known.is_sorted());
        let snapshot = with_tags(&known).await.snapshot().await.expect("snapshot");
        assert_eq!(first_tag(&*snapshot).await.expect("scan"), None);
        assert!(!is_empty(&*snapshot).await.expect("scan"));
        for tag in (0..u8::MAX).filter(|tag| !known.contains(tag)) {
            let snapshot = with_tags(&[0x01, tag, 0x30]).await.snapshot().await.expect("snapshot");
            assert_eq!(first_tag(&*snapshot).await.expect("scan"), Some(tag));
        }
        let snapshot = with_tags(&[]).await.snapshot().await.expect("snapshot");
        assert!(is_empty(&*snapshot).await.expect("scan"));
    }
}
