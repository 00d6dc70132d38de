//! The rooms' logs. An entry is one row or, where it is large, several: compressed, and split under
//! the store's limit for values.
//!
//! Row of part 0: the entry's position, the number of parts, the codec, the first chunk. Rows of
//! further parts: their chunk.
//!
//! **Below a room's [`first_seq`](super::head::Head::first_seq) there is nothing; from there on every entry
//! has its row.** One that is missing is damage. Whoever reads a log passes it over, so that the rest is of
//! use, and says so; readers are told that it is hidden.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Entry, Position, RoomId};

use super::Tag;
use super::key::{Key, KeyReader};
use crate::batch::{Batch, POSITION_BYTES};
use crate::engine::{Pair, Snapshot};
use crate::error::Error;

/// Most bytes of an entry (or another record) in one row: under the limit for values, with room for what comes before.
pub(super) const CHUNK_BYTES_MAX: usize = 90_000;
/// Smaller entries are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 2_048;
/// Rows read at once: with the largest rows 6 MB.
const ROWS_PER_SCAN: usize = 64;

const CODEC_PLAIN: u8 = 1;
const CODEC_LZ4: u8 = 2;

/// An entry as the store gives it back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    /// Its place in commit order.
    pub position: Position,
    pub entry: Entry,
}

/// How much one read gives at the most; it ends after the entry that passes `bytes_max`.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub entries_max: usize,
    /// Stored bytes after which no further entry is read.
    pub bytes_max: usize,
}

fn key(room: &RoomId, seq: u64, part: u8) -> Bytes {
    Key::new(Tag::Log).name(room.as_str()).u64(seq).u8(part).build()
}

/// The rows of a room's entries with a seq in `seqs`.
#[must_use]
pub fn range(room: &RoomId, seqs: Range<u64>) -> Range<Bytes> {
    key(room, seqs.start, 0)..key(room, seqs.end, 0)
}

/// Writes an entry with the commit's position.
pub fn put(batch: &mut Batch, order: u16, entry: &Entry) {
    let (first, rest) = rows(entry);
    batch.set_positioned(key(&entry.room, entry.seq, 0), order, first);
    for (chunk, part) in rest.into_iter().zip(1..) {
        batch.set(key(&entry.room, entry.seq, part), chunk);
    }
}

/// Where an entry is that is written anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// In the same commit, with this order.
    Order(u16),
    /// In an earlier one.
    Position(Position),
}

/// Puts an entry in the place of the one with its seq; it keeps the position.
pub fn put_again(batch: &mut Batch, at: At, entry: &Entry) {
    let room = &entry.room;
    batch.clear_range(key(room, entry.seq, 1), key(room, entry.seq + 1, 0));
    match at {
        At::Order(order) => put(batch, order, entry),
        At::Position(position) => {
            let (first, rest) = rows(entry);
            batch.set(key(room, entry.seq, 0), [&position.0[..], &first].concat());
            for (chunk, part) in rest.into_iter().zip(1..) {
                batch.set(key(room, entry.seq, part), chunk);
            }
        }
    }
}

/// What is in an entry's rows: in the first one after the position.
fn rows(entry: &Entry) -> (Vec<u8>, Vec<Vec<u8>>) {
    let plain = entry.to_stored();
    let (codec, bytes) = if plain.len() < COMPRESS_BYTES_MIN {
        (CODEC_PLAIN, plain)
    } else {
        let packed = lz4_flex::compress_prepend_size(&plain);
        if packed.len() < plain.len() { (CODEC_LZ4, packed) } else { (CODEC_PLAIN, plain) }
    };
    let parts = bytes.len().div_ceil(CHUNK_BYTES_MAX).max(1);
    // The longest text is 400 kB: five parts.
    let parts_byte = u8::try_from(parts).expect("an entry has a few parts");
    let (first, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES_MAX));
    let mut value = Vec::with_capacity(2 + first.len());
    value.extend_from_slice(&[parts_byte, codec]);
    value.extend_from_slice(first);
    (value, rest.chunks(CHUNK_BYTES_MAX).map(<[u8]>::to_vec).collect())
}

/// The first entries with a seq in `seqs`, oldest first.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn read(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    limit: Limit,
) -> Result<Vec<Logged>, Error> {
    walk(snapshot, room, seqs, limit, false).await
}

/// The last entries with a seq in `seqs`, newest first.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn read_back(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    limit: Limit,
) -> Result<Vec<Logged>, Error> {
    walk(snapshot, room, seqs, limit, true).await
}

/// These entries, in the given order; `None`: it is missing.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[(RoomId, u64)],
) -> Result<Vec<Option<Logged>>, Error> {
    let keys = wanted.iter().map(|(room, seq)| key(room, *seq, 0)).collect();
    let firsts = snapshot.get_many(keys).await?;
    let mut found = Vec::with_capacity(wanted.len());
    for ((room, seq), first) in wanted.iter().zip(firsts) {
        let Some(first) = first else {
            found.push(None);
            continue;
        };
        let parts = part_count(&first)?;
        let rest_keys = (1..parts).map(|part| key(room, *seq, part)).collect::<Vec<_>>();
        let mut rows = vec![first];
        if !rest_keys.is_empty() {
            for row in snapshot.get_many(rest_keys).await? {
                rows.push(row.ok_or_else(|| corrupt(room, *seq, "a part is missing"))?);
            }
        }
        found.push(Some(assemble(room, *seq, &rows)?));
    }
    Ok(found)
}

async fn walk(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    limit: Limit,
    reverse: bool,
) -> Result<Vec<Logged>, Error> {
    let mut range = range(room, seqs);
    let mut entries = Vec::new();
    let mut rows: Vec<Pair> = Vec::new();
    let mut read_bytes = 0;
    while range.start < range.end {
        let wanted = (limit.entries_max - entries.len()).clamp(1, ROWS_PER_SCAN);
        let scanned = snapshot.scan(range.clone(), wanted, reverse).await?;
        let is_last = scanned.len() < wanted;
        if let Some((last_key, _)) = scanned.last() {
            if reverse {
                range.end = last_key.clone();
            } else {
                range.start = [last_key.as_ref(), &[0]].concat().into();
            }
        }
        for row in scanned {
            read_bytes += row.1.len();
            rows.push(row);
            if let Some(logged) = take_entry(room, &mut rows, reverse)? {
                entries.push(logged);
                if entries.len() >= limit.entries_max || read_bytes >= limit.bytes_max {
                    return Ok(entries);
                }
            }
        }
        if is_last {
            break;
        }
    }
    if rows.is_empty() { Ok(entries) } else { Err(corrupt(room, 0, "a part is missing")) }
}

/// Takes the entry whose parts are complete in `rows`; `None` while some are still to come.
fn take_entry(room: &RoomId, rows: &mut Vec<Pair>, reverse: bool) -> Result<Option<Logged>, Error> {
    let first = if reverse { rows.last() } else { rows.first() };
    let Some((first_key, first_value)) = first else { return Ok(None) };
    let mut reader = KeyReader::new(Tag::Log, first_key)?;
    reader.name()?;
    let (seq, part) = (reader.u64()?, reader.u8()?);
    if part != 0 {
        // Backwards, the further parts come before the first.
        return if reverse {
            Ok(None)
        } else {
            Err(corrupt(room, seq, "its first part is missing"))
        };
    }
    if rows.len() < usize::from(part_count(first_value)?) {
        return Ok(None);
    }
    let mut values: Vec<Bytes> = rows.drain(..).map(|(_, value)| value).collect();
    if reverse {
        values.reverse();
    }
    assemble(room, seq, &values).map(Some)
}

fn part_count(first: &[u8]) -> Result<u8, Error> {
    first.get(POSITION_BYTES).copied().ok_or_else(|| Error::Corrupt("log: row is too short".into()))
}

fn assemble(room: &RoomId, seq: u64, rows: &[Bytes]) -> Result<Logged, Error> {
    let [first, rest @ ..] = rows else { return Err(corrupt(room, seq, "no rows")) };
    let (position, codec, chunk) = first
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, rest)| {
            let (codec, chunk) = rest.get(1..)?.split_first()?;
            Some((Position::from_slice(position)?, *codec, chunk))
        })
        .ok_or_else(|| corrupt(room, seq, "row is too short"))?;
    let joined;
    let bytes = if rest.is_empty() {
        chunk
    } else {
        let mut all = chunk.to_vec();
        rest.iter().for_each(|part| all.extend_from_slice(part));
        joined = all;
        &joined
    };
    let unpacked;
    let plain = match codec {
        CODEC_PLAIN => bytes,
        CODEC_LZ4 => {
            unpacked = lz4_flex::decompress_size_prepended(bytes)
                .map_err(|error| corrupt(room, seq, &error.to_string()))?;
            &unpacked
        }
        other => return Err(corrupt(room, seq, &format!("unknown codec {other}"))),
    };
    let entry = Entry::from_stored(room.clone(), plain)
        .map_err(|error| corrupt(room, seq, &error.to_string()))?;
    // Who reads on goes by the entry's own seq: a smaller one would have no end.
    if entry.seq != seq {
        return Err(corrupt(room, seq, &format!("it says that it is entry {}", entry.seq)));
    }
    Ok(Logged { position, entry })
}

fn corrupt(room: &RoomId, seq: u64, what: &str) -> Error {
    Error::Corrupt(format!("log: entry {seq} of room {room}: {what}"))
}

#[cfg(test)]
mod tests {
    use weft_proto::kind::Text;
    use weft_proto::{Body, UserId};

    use super::*;
    use crate::engine::{Outcome, Store};
    use crate::memory::Memory;

    fn entry(seq: u64, text: String) -> Entry {
        Entry {
            room: RoomId::new("team").expect("id"),
            seq,
            ordinal: seq,
            from: UserId::new("alice").expect("id"),
            client_id: None,
            time_ms: seq,
            body: Body::Text(Text { text, ..Text::default() }),
        }
    }

    /// A text that does not compress, so that its entry has several parts.
    fn noise(chars: usize) -> String {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from_u32(0xAC00 + (state >> 33) as u32 % 11_172).expect("hangul")
        };
        (0..chars).map(|_| next()).collect()
    }

    async fn filled() -> (Store, Vec<Entry>) {
        let store = Store::new(Memory::new());
        let texts =
            ["a".to_owned(), noise(100_000), "b".repeat(50_000), noise(40_000), "c".to_owned()];
        let entries: Vec<Entry> = texts.into_iter().zip(1..).map(|(t, s)| entry(s, t)).collect();
        let mut batch = Batch::new([1; 16]);
        for (order, entry) in entries.iter().enumerate() {
            put(&mut batch, order as u16, entry);
        }
        let outcome = store.commit(batch).await.expect("commit");
        assert!(matches!(outcome, Outcome::Committed(_)));
        (store, entries)
    }

    #[tokio::test]
    async fn large_entries_are_split_and_read_back_both_ways() {
        let (store, entries) = filled().await;
        let snapshot = store.snapshot().await.expect("snapshot");
        let room = entries[0].room.clone();
        let limit = Limit { entries_max: 10, bytes_max: usize::MAX };
        let read = read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("read");
        assert_eq!(
            read.iter().map(|l| &l.entry).collect::<Vec<_>>(),
            entries.iter().collect::<Vec<_>>()
        );
        assert!(read.windows(2).all(|pair| pair[0].position < pair[1].position));
        let back = read_back(&*snapshot, &room, 2..5, limit).await.expect("read");
        assert_eq!(back.iter().map(|l| l.entry.seq).collect::<Vec<_>>(), [4, 3, 2]);
        let wanted = [(room.clone(), 4), (room.clone(), 9), (room, 2)];
        let got = get_many(&*snapshot, &wanted).await.expect("get");
        assert_eq!(got[0].as_ref().map(|l| &l.entry), Some(&entries[3]));
        assert!(got[1].is_none());
        assert_eq!(got[2].as_ref().map(|l| &l.entry), Some(&entries[1]));
    }

    #[tokio::test]
    async fn an_entry_in_the_place_of_another_is_damage() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        let (first, _) = rows(&entry(3, "x".into()));
        let room = RoomId::new("team").expect("id");
        batch.set_positioned(key(&room, 7, 0), 0, first);
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let limit = Limit { entries_max: 2, bytes_max: usize::MAX };
        let error = read(&*snapshot, &room, 4..u64::MAX, limit).await.expect_err("damage");
        assert!(error.to_string().contains("it says that it is entry 3"), "{error}");
        assert!(get_many(&*snapshot, &[(room, 7)]).await.is_err());
    }

    #[tokio::test]
    async fn a_read_ends_at_its_limits() {
        let (store, entries) = filled().await;
        let snapshot = store.snapshot().await.expect("snapshot");
        let room = &entries[0].room;
        let limit = Limit { entries_max: 2, bytes_max: usize::MAX };
        let two = read(&*snapshot, room, 0..u64::MAX, limit).await.expect("read");
        assert_eq!(two.iter().map(|l| l.entry.seq).collect::<Vec<_>>(), [1, 2]);
        let limit = Limit { entries_max: 10, bytes_max: 1 };
        let one = read_back(&*snapshot, room, 0..u64::MAX, limit).await.expect("read");
        assert_eq!(one.iter().map(|l| l.entry.seq).collect::<Vec<_>>(), [5]);
        let none = read(&*snapshot, room, 9..20, limit).await.expect("read");
        assert!(none.is_empty());
    }
}
