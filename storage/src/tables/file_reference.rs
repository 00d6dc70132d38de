//! Which messages have a file, and until when: written in the commit of the message, and removed in the one by which it goes.
//! A file that has none whose time is not over is needed by nobody. An avatar has its file in the same way, without an end: a
//! group's in the group, a user's in their notebook, and both at seq 0, which no message has.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{FileId, RoomId};

use super::file::DYING_MS;
use super::key::Key;
use super::table::{Page, Table};
use super::{Tag, file_due, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// A file, and the message that has it: room and seq.
pub type ReferenceKey = (FileId, (RoomId, u64));

#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileReference {
    /// From then on the message has it no more, Unix milliseconds; 0: it has no end, an avatar's.
    #[prost(uint64, tag = "1")]
    pub expires_ms: u64,
}

impl FileReference {
    #[must_use]
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }
}

impl Table for FileReference {
    const TAG: Tag = Tag::FileReference;
    const NAME: &str = "file_reference";
    type Key = ReferenceKey;
    type Row = Self;

    /// Its end is listed, too, where it has one.
    fn pairs(reference: &ReferenceKey, row: &Self) -> Vec<(Bytes, Bytes)> {
        let due = file_due::key(row.expires_ms, reference.0);
        let listed = (row.expires_ms != 0).then(|| (due, Bytes::new()));
        let own = (key(reference), record::encode(row).into());
        std::iter::once(own).chain(listed).collect()
    }
}

#[must_use]
pub fn key(reference: &ReferenceKey) -> Bytes {
    FileReference::key(reference)
}

/// All of a file.
#[must_use]
pub fn range(file: FileId) -> Range<Bytes> {
    Key::new(Tag::FileReference).raw(&file.to_bytes()).prefix_range()
}

/// The first ones of a file.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn first(
    snapshot: &dyn Snapshot,
    file: FileId,
    limit: usize,
) -> Result<Page<FileReference>, Error> {
    let rows = snapshot.scan(range(file), limit, false).await?;
    rows.iter().map(|(key, row)| Ok((FileReference::read_key(key)?, decode(row)?))).collect()
}

/// # Errors
/// [`Error::Corrupt`].
pub fn decode(row: &[u8]) -> Result<FileReference, Error> {
    record::decode(FileReference::NAME, row)
}

/// A message has the file from now on. When its time is over, the file is looked at.
pub fn put(batch: &mut Batch, reference: &ReferenceKey, expires_ms: u64) {
    for (key, row) in FileReference::pairs(reference, &FileReference { expires_ms }) {
        batch.set(key, row);
    }
}

/// Changes which file is the avatar of a group, or of the user whose notebook it is; empty: none. What is no file's id has
/// no reference.
pub fn change_avatar(batch: &mut Batch, room: &RoomId, before: &str, after: &str, now_ms: u64) {
    if before == after {
        return;
    }
    let reference = |id: &str| Some((FileId::new(id).ok()?, (room.clone(), 0)));
    if let Some(before) = reference(before) {
        clear(batch, &before, now_ms);
    }
    if let Some(after) = reference(after) {
        put(batch, &after, 0);
    }
}

/// The message has it no more. Soon the file is looked at.
pub fn clear(batch: &mut Batch, reference: &ReferenceKey, now_ms: u64) {
    batch.clear(key(reference));
    batch.set(file_due::key(now_ms.saturating_add(DYING_MS), reference.0), Bytes::new());
}
