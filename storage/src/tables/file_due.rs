//! Which files are to be looked at, by when: whether a message has them. A file that no message has is listed here from its
//! first day on, or from the one on which it lost the last one.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::FileId;

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::table::KeyPart;
use crate::engine::Snapshot;
use crate::error::Error;

/// When, Unix milliseconds, and which file.
pub type DueFile = (u64, FileId);

/// The row's key. Its value is empty.
#[must_use]
pub fn key(at_ms: u64, file: FileId) -> Bytes {
    Key::new(Tag::FileDue).u64(at_ms).raw(&file.to_bytes()).build()
}

/// The first ones whose time has come, after one (`None`: from the first).
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn due(
    snapshot: &dyn Snapshot,
    after: Option<DueFile>,
    now_ms: u64,
    limit: usize,
) -> Result<Vec<DueFile>, Error> {
    let start = |at_ms| Key::new(Tag::FileDue).u64(at_ms).build();
    let from = after.map_or_else(|| start(0), |(at_ms, file)| next_key(&key(at_ms, file)));
    let range = Range { start: from, end: start(now_ms.saturating_add(1)) };
    if range.start >= range.end {
        return Ok(Vec::new());
    }
    let read = |(key, _): &(Bytes, Bytes)| {
        let mut reader = KeyReader::new(Tag::FileDue, key)?;
        Ok((reader.u64()?, FileId::read(&mut reader)?))
    };
    snapshot.scan(range, limit, false).await?.iter().map(read).collect()
}
