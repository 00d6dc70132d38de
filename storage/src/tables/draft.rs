//! What a user has typed for a room and not sent. Written by the owner of the user's notebook `u~u`, with the
//! position of the commit before the record: there the user's row of what changed is (see [`change`](super::change)).
//! The text is in rows beside it, so that versions are read without texts.
//!
//! A draft that is dismissed stays, without a text, until no cursor is from before it: it tells that to devices that
//! were away, and its version tells a late writer that it is late.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::error;
use weft_proto::kind::DraftText;
use weft_proto::{ApiError, Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::log::CHUNK_BYTES_MAX;
use super::record;
use super::table::{KeyPart, Page, Stored, Table, before_everything};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Whose draft, and for which room.
pub type DraftKey = (UserId, RoomId);

/// A draft without its text.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Draft {
    /// It grows with each change.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// When it was changed, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
    /// In how many rows its text is; 0: it is dismissed.
    #[prost(uint32, tag = "3")]
    pub parts: u32,
}

/// A whole draft.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Line")]
pub struct Kept {
    pub version: u64,
    pub time_ms: u64,
    /// `None`: it is dismissed.
    pub content: Option<DraftText>,
}

/// As it is in an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    version: u64,
    time_ms: u64,
    content: Option<DraftText>,
}

impl TryFrom<Line> for Kept {
    type Error = ApiError;

    fn try_from(Line { version, time_ms, content }: Line) -> Result<Self, ApiError> {
        let content = content.map(DraftText::check).transpose()?;
        Ok(Self { version, time_ms, content })
    }
}

impl Draft {
    #[must_use]
    pub fn is_dismissed(&self) -> bool {
        self.parts == 0
    }
}

#[must_use]
pub fn key(user: &UserId, room: &RoomId) -> Bytes {
    Key::new(Tag::Draft).name(user.as_str()).name(room.as_str()).build()
}

fn text_key((user, room): (&UserId, &RoomId), part: u8) -> Bytes {
    Key::new(Tag::DraftText).name(user.as_str()).name(room.as_str()).u8(part).build()
}

/// All rows of a user, or those of rooms after this one.
#[must_use]
pub fn range_after(user: &UserId, after: Option<&RoomId>) -> Range<Bytes> {
    let mut range = Key::new(Tag::Draft).name(user.as_str()).prefix_range();
    if let Some(room) = after {
        range.start = next_key(&key(user, room));
    }
    range
}

/// Reads a row's key: the room.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn room(key: &[u8]) -> Result<RoomId, Error> {
    let mut reader = KeyReader::new(Tag::Draft, key)?;
    reader.name()?;
    RoomId::read(&mut reader)
}

/// Writes a draft with the commit's position, in place of one whose text was in `parts_before` rows.
pub fn put(
    batch: &mut Batch,
    order: u16,
    (user, room): (&UserId, &RoomId),
    kept: &Kept,
    parts_before: u32,
) {
    let (draft, chunks) = kept.rows();
    batch.set_positioned(key(user, room), order, record::encode(&draft));
    for (part, chunk) in (0..).zip(chunks) {
        batch.set(text_key((user, room), part), chunk);
    }
    for part in (draft.parts..parts_before).filter_map(|part| u8::try_from(part).ok()) {
        batch.clear(text_key((user, room), part));
    }
}

/// Reads the stored form: the position of the commit that wrote it, and the draft without its text.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Draft), Error> {
    let (position, record) = record::split_position(Draft::NAME, bytes)?;
    let draft: Draft = record::decode_whole(Draft::NAME, record)?;
    match u8::try_from(draft.parts) {
        Ok(_) => Ok((position, draft)),
        Err(_) => Err(Error::Corrupt("draft: too many parts".into())),
    }
}

/// These drafts, in the given order, each whole; `None`: there is none, or it can't be read, which is told in
/// the log: one must not hide the others.
///
/// # Errors
/// Those of the snapshot.
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[DraftKey],
) -> Result<Vec<Option<(Position, Kept)>>, Error> {
    let keys = wanted.iter().map(|(user, room)| key(user, room)).collect();
    let rows = snapshot.get_many(keys).await?;
    let read = |(key, row): (&DraftKey, Option<Bytes>)| readable(key, decode(&row?));
    let drafts: Vec<_> = wanted.iter().zip(rows).map(read).collect();
    let found = wanted.iter().zip(&drafts);
    let found = found.filter_map(|(key, draft)| Some((key.clone(), draft.as_ref()?.1)));
    let mut contents = contents(snapshot, &found.collect::<Vec<_>>()).await?.into_iter();
    let whole = |(key, draft): (&DraftKey, Option<(Position, Draft)>)| {
        let (position, Draft { version, time_ms, .. }) = draft?;
        let content = readable(key, contents.next()?)?;
        Some((position, Kept { version, time_ms, content }))
    };
    Ok(wanted.iter().zip(drafts).map(whole).collect())
}

fn readable<T>((user, room): &DraftKey, read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| error!(%user, %room, %error, "a draft can't be read")).ok()
}

/// What was typed, of drafts that were read in the same snapshot; each `None` where it is dismissed.
async fn contents(
    snapshot: &dyn Snapshot,
    drafts: &[(DraftKey, Draft)],
) -> Result<Vec<Result<Option<DraftText>, Error>>, Error> {
    let keys = drafts.iter().flat_map(|((user, room), draft)| {
        let parts = 0..u8::try_from(draft.parts).unwrap_or(u8::MAX);
        parts.map(move |part| text_key((user, room), part))
    });
    let mut chunks = snapshot.get_many(keys.collect()).await?.into_iter();
    let mut content = |parts: u32| -> Result<Option<DraftText>, Error> {
        let chunks: Vec<_> = chunks.by_ref().take(parts as usize).collect();
        let missing = || Error::Corrupt("draft: a part of its text is missing".into());
        let chunks: Option<Vec<Bytes>> = chunks.into_iter().collect();
        match chunks.ok_or_else(missing)?.concat() {
            bytes if bytes.is_empty() => Ok(None),
            bytes => record::decode_whole(Draft::NAME, &bytes).map(Some),
        }
    };
    Ok(drafts.iter().map(|(_, draft)| content(draft.parts)).collect())
}

impl Kept {
    /// The row, and those with the text.
    fn rows(&self) -> (Draft, Vec<Bytes>) {
        let Self { version, time_ms, content } = self;
        let text: Bytes = content.as_ref().map(record::encode).unwrap_or_default().into();
        let chunks: Vec<Bytes> =
            text.chunks(CHUNK_BYTES_MAX).map(|chunk| text.slice_ref(chunk)).collect();
        // The longest text is 400 kB, with what is beside it: five parts.
        let parts = u8::try_from(chunks.len()).expect("a text has a few parts").into();
        (Draft { version: *version, time_ms: *time_ms, parts }, chunks)
    }

    /// In how many rows its text is.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.rows().0.parts
    }
}

/// Of the row without its text.
impl Stored for Kept {
    fn to_stored(&self) -> Bytes {
        record::encode(&self.rows().0).into()
    }

    fn from_stored(table: &str, bytes: &[u8]) -> Result<Self, Error> {
        let Draft { version, time_ms, .. } = record::decode_whole(table, bytes)?;
        Ok(Self { version, time_ms, content: None })
    }
}

impl Table for Draft {
    const TAG: Tag = Tag::Draft;
    const NAME: &str = "draft";
    const ROWS_AT_ONCE: usize = 16;
    type Key = DraftKey;
    type Row = Kept;

    async fn page(snapshot: &dyn Snapshot, after: Option<&Self::Key>) -> Result<Page<Self>, Error> {
        let mut range = Key::new(Self::TAG).prefix_range();
        if let Some(key) = after {
            range.start = next_key(&Self::key(key));
        }
        let rows = snapshot.scan(range, Self::ROWS_AT_ONCE, false).await?;
        let read = |(key, row): &(Bytes, Bytes)| Ok((Self::read_key(key)?, decode(row)?.1));
        let drafts = rows.iter().map(read).collect::<Result<Vec<(DraftKey, Self)>, Error>>()?;
        let contents = contents(snapshot, &drafts).await?;
        let whole = |((key, draft), content): ((DraftKey, Self), Result<_, Error>)| {
            let Self { version, time_ms, .. } = draft;
            Ok((key, Kept { version, time_ms, content: content? }))
        };
        drafts.into_iter().zip(contents).map(whole).collect()
    }

    fn pairs((user, room): &Self::Key, kept: &Kept) -> Vec<(Bytes, Bytes)> {
        let (draft, chunks) = kept.rows();
        let mut pairs = vec![(key(user, room), before_everything(&record::encode(&draft)))];
        let keys = (0..).map(|part| text_key((user, room), part));
        pairs.extend(keys.zip(chunks));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    fn kept(version: u64, chars: usize) -> Kept {
        let content = DraftText { text: "é".repeat(chars), ..DraftText::default() };
        Kept { version, time_ms: 7, content: (chars > 0).then_some(content) }
    }

    async fn rows(store: &Store) -> usize {
        let snapshot = store.snapshot().await.expect("snapshot");
        let all = Key::new(Tag::Draft).build()..Key::new(Tag::Account).build();
        snapshot.scan(all, usize::MAX, false).await.expect("scan").len()
    }

    #[tokio::test]
    async fn a_draft_of_any_size_is_kept_whole_and_leaves_nothing_of_the_one_before() {
        let store = Store::new(Memory::new());
        let key = (UserId::new("ann").expect("id"), RoomId::new("team").expect("id"));
        let none = (key.0.clone(), RoomId::new("other").expect("id"));
        let mut before = Kept::default();
        for (version, chars, parts) in [(1, 1, 1), (2, 100_000, 3), (3, 50_000, 2), (4, 0, 0)] {
            let now = kept(version, chars);
            let mut batch = Batch::new([1; 16]);
            put(&mut batch, 9, (&key.0, &key.1), &now, before.parts());
            batch.check().expect("within every limit");
            store.commit(batch).await.expect("commit");
            let snapshot = store.snapshot().await.expect("snapshot");
            let found = get_many(&*snapshot, &[none.clone(), key.clone()]).await.expect("read");
            let position = snapshot.read_version().with_order(9);
            assert_eq!(found, [None, Some((position, now.clone()))]);
            assert_eq!(rows(&store).await, 1 + parts, "version {version}");
            let page = Draft::page(&*snapshot, None).await.expect("page");
            assert_eq!(page, [(key.clone(), now.clone())]);
            assert!(Draft::page(&*snapshot, Some(&key)).await.expect("page").is_empty());
            let pairs = Draft::pairs(&key, &now);
            let (first, _) = decode(&pairs[0].1).expect("read");
            assert_eq!((pairs.len(), first), (1 + parts, Position::MIN));
            before = now;
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_hides_no_other() {
        let store = Store::new(Memory::new());
        let user = UserId::new("ann").expect("id");
        let keys = ["a", "b", "c"].map(|id| (user.clone(), RoomId::new(id).expect("id")));
        let mut batch = Batch::new([1; 16]);
        for (user, room) in &keys {
            put(&mut batch, 0, (user, room), &kept(1, 100_000), 0);
        }
        batch.clear(text_key((&keys[0].0, &keys[0].1), 2));
        batch.set(key(&keys[1].0, &keys[1].1), Bytes::from_static(b"x"));
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let found = get_many(&*snapshot, &keys).await.expect("read");
        let found: Vec<_> = found.into_iter().map(|found| found.map(|(_, kept)| kept)).collect();
        assert_eq!(found, [None, None, Some(kept(1, 100_000))]);
    }
}
