//! Commands in quarantine: applying them failed in a way that would have taken their
//! partition down. Kept whole, so that a person can look, and have them sent again.
//!
//! Row of part 0: the record with the payload's first chunk. Rows of further parts: their chunk.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::Partition;

use super::key::{Key, KeyReader};
use super::log::CHUNK_BYTES_MAX;
use super::table::{Page, Stored, Table};
use super::{Tag, hex, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Longer names and reasons are cut: four of them fit beside a chunk under the limit for values.
const TEXT_BYTES_MAX: usize = 1_000;

/// Rows that are read at once where they are counted: one may have 100 kB.
const ROWS_AT_ONCE: usize = 64;

/// A command in quarantine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetter {
    pub sender: String,
    pub room: String,
    /// The sender's id for it, as it came.
    pub client_id: Option<String>,
    /// It came from another system, not from an edge.
    pub is_outsider: bool,
    /// The payload is an entry in JSON; else it is plain text.
    pub is_json: bool,
    /// Why it could not be applied.
    pub reason: String,
    /// When the ingest log took it, Unix milliseconds.
    pub time_ms: u64,
    #[serde(with = "hex::or_text")]
    pub payload: Bytes,
}

/// A row, and where its command was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub partition: Partition,
    /// The command's place in the partition's ingest log.
    pub stream_seq: u64,
    pub letter: DeadLetter,
}

/// Whose command a row is of, as it came, and where that was in the partition's ingest log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    pub stream_seq: u64,
    pub sender: String,
    pub room: String,
    pub client_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    sender: String,
    #[prost(string, tag = "2")]
    room: String,
    #[prost(string, optional, tag = "3")]
    client_id: Option<String>,
    #[prost(bool, tag = "4")]
    is_outsider: bool,
    #[prost(bool, tag = "5")]
    is_json: bool,
    #[prost(string, tag = "6")]
    reason: String,
    #[prost(uint64, tag = "7")]
    time_ms: u64,
    #[prost(uint32, tag = "8")]
    parts: u32,
    /// The payload's first chunk.
    #[prost(bytes = "bytes", tag = "9")]
    chunk: Bytes,
}

fn key(partition: Partition, stream_seq: u64, part: u8) -> Bytes {
    Key::new(Tag::DeadLetter).u16(partition).u64(stream_seq).u8(part).build()
}

/// Keeps a command. It fits whatever it is; only names and reasons are cut.
pub fn put(batch: &mut Batch, partition: Partition, stream_seq: u64, letter: &DeadLetter) {
    for (key, value) in DeadLetter::pairs(&(partition, stream_seq), letter) {
        batch.set(key, value);
    }
}

/// Removes a partition's commands up to a stream sequence.
pub fn remove_up_to(batch: &mut Batch, partition: Partition, stream_seq: u64) {
    let all = of(partition);
    let end = stream_seq.checked_add(1).map_or(all.end, |next| key(partition, next, 0));
    batch.clear_range(all.start, end);
}

/// Removes one command.
pub fn remove(batch: &mut Batch, partition: Partition, stream_seq: u64) {
    let parts = Key::new(Tag::DeadLetter).u16(partition).u64(stream_seq).prefix_range();
    batch.clear_range(parts.start, parts.end);
}

fn of(partition: Partition) -> Range<Bytes> {
    Key::new(Tag::DeadLetter).u16(partition).prefix_range()
}

/// A partition's oldest commands in quarantine, of about so many rows: the stream sequence of each, and
/// when the ingest log took it (Unix milliseconds; `None` where this Weft can't read it).
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn oldest(
    snapshot: &dyn Snapshot,
    partition: Partition,
    rows_max: usize,
) -> Result<Vec<(u64, Option<u64>)>, Error> {
    let mut letters = Vec::new();
    for (key, value) in snapshot.scan(of(partition), rows_max, false).await? {
        if let (stream_seq, 0) = place(&key)? {
            let record = record::decode::<Record>("dead letter", &value);
            letters.push((stream_seq, record.ok().map(|record| record.time_ms)));
        }
    }
    Ok(letters)
}

/// The names of a partition's next commands in quarantine, after this stream sequence; empty: there are no more.
/// Of one that this Weft can't read, the name is empty.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn names_after(
    snapshot: &dyn Snapshot,
    partition: Partition,
    after: Option<u64>,
) -> Result<Vec<Name>, Error> {
    let mut range = of(partition);
    if let Some(stream_seq) = after {
        range.start = key(partition, stream_seq, u8::MAX);
    }
    let mut names = Vec::new();
    for (key, value) in snapshot.scan(range, ROWS_AT_ONCE, false).await? {
        if let (stream_seq, 0) = place(&key)? {
            let record = record::decode::<Record>("dead letter", &value).unwrap_or_default();
            let Record { sender, room, client_id, .. } = record;
            names.push(Name { stream_seq, sender, room, client_id });
        }
    }
    Ok(names)
}

/// The stream sequence of the newest of a partition's commands in quarantine that comes before so many
/// newer ones; `None`: there are no more than those.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn newest_before(
    snapshot: &dyn Snapshot,
    partition: Partition,
    newer: usize,
) -> Result<Option<u64>, Error> {
    let (mut range, mut left) = (of(partition), newer);
    loop {
        let rows = snapshot.scan(range.clone(), ROWS_AT_ONCE, true).await?;
        let Some((first, _)) = rows.last() else { return Ok(None) };
        range.end = first.clone();
        for (key, _) in rows {
            match (place(&key)?, left) {
                ((stream_seq, 0), 0) => return Ok(Some(stream_seq)),
                ((_, 0), _) => left -= 1,
                _ => {}
            }
        }
    }
}

/// Stream sequence and part.
fn place(key: &[u8]) -> Result<(u64, u8), Error> {
    let mut reader = KeyReader::new(Tag::DeadLetter, key)?;
    reader.array::<2>()?;
    Ok((reader.u64()?, reader.u8()?))
}

impl Table for DeadLetter {
    const TAG: Tag = Tag::DeadLetter;
    const NAME: &str = "dead_letter";
    type Key = (Partition, u64);
    type Row = Self;

    async fn page(snapshot: &dyn Snapshot, after: Option<&Self::Key>) -> Result<Page<Self>, Error> {
        let kept = first_after(snapshot, after.copied()).await?;
        Ok(kept.map(|kept| ((kept.partition, kept.stream_seq), kept.letter)).into_iter().collect())
    }

    fn pairs((partition, stream_seq): &Self::Key, letter: &Self) -> Vec<(Bytes, Bytes)> {
        let rest = letter.payload.slice(letter.first_chunk().len()..);
        let chunks = rest.chunks(CHUNK_BYTES_MAX).map(|chunk| rest.slice_ref(chunk));
        let values = std::iter::once(letter.to_stored()).chain(chunks);
        (0..).map(|part| key(*partition, *stream_seq, part)).zip(values).collect()
    }

    fn partition((partition, _): &Self::Key) -> Option<Partition> {
        Some(*partition)
    }
}

impl DeadLetter {
    fn first_chunk(&self) -> Bytes {
        self.payload.slice(..self.payload.len().min(CHUNK_BYTES_MAX))
    }
}

/// Of the first part: the record with the payload's first chunk.
impl Stored for DeadLetter {
    fn to_stored(&self) -> Bytes {
        let further = (self.payload.len() - self.first_chunk().len()).div_ceil(CHUNK_BYTES_MAX);
        let record = Record {
            sender: cut(&self.sender),
            room: cut(&self.room),
            client_id: self.client_id.as_deref().map(cut),
            is_outsider: self.is_outsider,
            is_json: self.is_json,
            reason: cut(&self.reason),
            time_ms: self.time_ms,
            // The server takes 2 MB at the most: 23 parts.
            parts: 1 + u32::from(u8::try_from(further).expect("a few parts")),
            chunk: self.first_chunk(),
        };
        record::encode(&record).into()
    }

    fn from_stored(table: &str, bytes: &[u8]) -> Result<Self, Error> {
        let record: Record = record::decode_whole(table, bytes)?;
        Ok(record.into())
    }
}

impl From<Record> for DeadLetter {
    fn from(record: Record) -> Self {
        Self {
            sender: record.sender,
            room: record.room,
            client_id: record.client_id,
            is_outsider: record.is_outsider,
            is_json: record.is_json,
            reason: record.reason,
            time_ms: record.time_ms,
            payload: record.chunk,
        }
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

/// The first command in quarantine, or the first after this partition and stream sequence;
/// `None`: there is no further one.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn first_after(
    snapshot: &dyn Snapshot,
    after: Option<(Partition, u64)>,
) -> Result<Option<Kept>, Error> {
    let mut range = Key::new(Tag::DeadLetter).prefix_range();
    if let Some((partition, stream_seq)) = after {
        range.start = key(partition, stream_seq, u8::MAX);
    }
    let Some((first_key, value)) = snapshot.scan(range, 1, false).await?.pop() else {
        return Ok(None);
    };
    let mut reader = KeyReader::new(Tag::DeadLetter, &first_key)?;
    let (partition, stream_seq) = (u16::from_be_bytes(reader.array()?), reader.u64()?);
    let corrupt = |what| Error::Corrupt(format!("dead letter {stream_seq} of {partition}: {what}"));
    if reader.u8()? != 0 {
        return Err(corrupt("its first part is missing"));
    }
    let record: Record = record::decode_whole("dead letter", &value)?;
    let parts = u8::try_from(record.parts).map_err(|_| corrupt("too many parts"))?;
    let mut letter = DeadLetter::from(record);
    let mut payload = letter.payload.to_vec();
    let rest = (1..parts).map(|part| key(partition, stream_seq, part)).collect();
    for row in snapshot.get_many(rest).await? {
        payload.extend_from_slice(&row.ok_or_else(|| corrupt("a part is missing"))?);
    }
    letter.payload = payload.into();
    Ok(Some(Kept { partition, stream_seq, letter }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[tokio::test]
    async fn letters_are_kept_whole_and_read_in_order() {
        let store = Store::new(Memory::new());
        let bytes = |len: usize| (0..len).map(|i| (i % 251) as u8).collect::<Bytes>();
        let places = [(0, 7), (0, u64::MAX), (1, 2), (u16::MAX, 1)];
        let sizes = [0, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 2 << 20];
        let letters = sizes.map(|len| DeadLetter {
            sender: "alice".into(),
            room: "alice~bob".into(),
            client_id: (len > 0).then(|| "id".into()),
            is_json: true,
            reason: "a defect".into(),
            time_ms: len as u64,
            payload: bytes(len),
            ..DeadLetter::default()
        });
        let mut batch = Batch::new([1; 16]);
        for ((partition, stream_seq), letter) in places.iter().zip(&letters) {
            put(&mut batch, *partition, *stream_seq, letter);
        }
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let mut after = None;
        for ((partition, stream_seq), letter) in places.into_iter().zip(letters) {
            let kept = first_after(&*snapshot, after).await.expect("read").expect("a letter");
            assert_eq!(kept, Kept { partition, stream_seq, letter });
            after = Some((partition, stream_seq));
        }
        assert_eq!(first_after(&*snapshot, after).await.expect("read"), None);
    }

    #[tokio::test]
    async fn the_oldest_ones_are_found_and_removed() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        for stream_seq in 1..=100 {
            // Some have several rows.
            let payload = vec![7; if stream_seq % 10 == 0 { 2 * CHUNK_BYTES_MAX + 1 } else { 1 }];
            let letter = DeadLetter {
                time_ms: stream_seq,
                payload: payload.into(),
                ..DeadLetter::default()
            };
            put(&mut batch, 3, stream_seq, &letter);
        }
        // Neighbours have nothing to do with it.
        put(&mut batch, 2, 7, &DeadLetter::default());
        put(&mut batch, 4, 7, &DeadLetter::default());
        batch.set(key(3, 101, 0), Bytes::from_static(b"\xff of a Weft to come"));
        store.commit(batch).await.expect("commit");
        let before = async |newer| {
            let snapshot = store.snapshot().await.expect("snapshot");
            newest_before(&*snapshot, 3, newer).await.expect("scan")
        };
        assert_eq!([before(0).await, before(1).await], [Some(101), Some(100)]);
        assert_eq!([before(100).await, before(101).await], [Some(1), None]);
        let mut batch = Batch::new([2; 16]);
        remove_up_to(&mut batch, 3, 98);
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let left = oldest(&*snapshot, 3, 100).await.expect("scan");
        assert_eq!(left, [(99, Some(99)), (100, Some(100)), (101, None)]);
        assert_eq!(oldest(&*snapshot, 2, 100).await.expect("scan").len(), 1);
        let mut batch = Batch::new([3; 16]);
        remove_up_to(&mut batch, 3, u64::MAX);
        store.commit(batch).await.expect("commit");
        assert_eq!(before(0).await, None);
        let snapshot = store.snapshot().await.expect("snapshot");
        assert_eq!(oldest(&*snapshot, 4, 100).await.expect("scan").len(), 1);
    }

    #[test]
    fn a_letter_of_any_size_fits() {
        let long = "ü".repeat(100_000);
        let letter = DeadLetter {
            sender: long.clone(),
            room: long.clone(),
            client_id: Some(long.clone()),
            reason: long,
            payload: vec![7; 2 << 20].into(),
            ..DeadLetter::default()
        };
        let mut batch = Batch::new([1; 16]);
        put(&mut batch, 0, 1, &letter);
        batch.check().expect("within every limit");
    }
}
