//! What an export promises, as functions over stores that are empty, whatever their engines.

pub mod content;
pub mod engines;
pub mod interrupted;
pub mod large;
mod room;
pub mod running;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use bytes::Bytes;
use serde_json::Value;
use weft_proto::StoreId;
use weft_storage::Store;
use weft_storage::export::{self, Error, Exported};
use weft_storage::tables::applied::Applied;
use weft_storage::tables::layout::Layout;

use super::everything;
use content::{Content, Size};

/// Something of everything, in a second or so.
pub const SIZE: Size = Size { users: 8, rooms: 12, entries: 40, large_one_in: 60 };
/// A store of which every line matters: for tests that go through it byte by byte.
pub const SMALL: Size = Size { users: 2, rooms: 2, entries: 3, large_one_in: 0 };

/// The tags of the keyspace's drawing in `tables/mod.rs`.
mod tag {
    pub const LAYOUT: u8 = 0x01;
    pub const APPLIED: u8 = 0x02;
    pub const MINUTE: u8 = 0x06;
    pub const FOLLOWER: u8 = 0x07;
    pub const LOG: u8 = 0x10;
    pub const HEAD: u8 = 0x11;
    pub const MARK: u8 = 0x17;
    pub const THREAD_FOLLOWER: u8 = 0x1b;
    pub const INBOX: u8 = 0x20;
    pub const INBOX_TRIMMED: u8 = 0x22;
    pub const CHANGE: u8 = 0x23;
    pub const SETTING: u8 = 0x24;
    pub const DRAFT: u8 = 0x25;
    pub const RELATION: u8 = 0x29;
    pub const SCHEDULED: u8 = 0x2a;
    pub const GROUP_INVITATION: u8 = 0x2e;
    pub const FILE_QUOTA: u8 = 0x3f;
}

pub async fn exported(store: &Store) -> (Exported, Vec<u8>) {
    let mut file = Vec::new();
    let exported = export::export(store, &mut file, 7, &mut |_| {}).await.expect("export");
    (exported, file)
}

/// Imports what must be taken.
pub async fn imported(store: &Store, file: &[u8]) {
    import(store, file).await.expect("import");
}

/// Verifies and imports.
pub async fn import(store: &Store, file: &[u8]) -> Result<(), Error> {
    let verified = export::verify(file, &mut |_| {})?;
    export::import(store, Cursor::new(file), &verified, StoreId(rand::random()), &mut |_| {}).await
}

/// The lines of an export.
pub fn lines(file: &[u8]) -> Vec<String> {
    let mut text = String::new();
    zstd::Decoder::new(file).expect("zstd").read_to_string(&mut text).expect("text");
    text.lines().map(str::to_owned).collect()
}

/// The lines between header and trailer, and the trailer without its checksum: what must not depend
/// on the store that an export is made from.
pub fn content_of(file: &[u8]) -> Vec<String> {
    let mut lines = lines(file);
    lines.remove(0);
    let mut trailer: Value = serde_json::from_str(&lines.pop().expect("trailer")).expect("json");
    trailer["sha256"].take();
    lines.push(trailer.to_string());
    lines
}

/// Every row, but for what an import makes new: positions, the store's id, who owned a partition
/// last, inboxes, minutes and quotas of a day; and for journal rows that are published.
pub async fn rows(store: &Store) -> BTreeMap<Bytes, Bytes> {
    let snapshot = store.snapshot().await.expect("snapshot");
    let rows = snapshot.scan(everything(), usize::MAX, false).await.expect("scan");
    let mut kept = BTreeMap::new();
    for (key, value) in rows {
        let value = match (key[0], key.last()) {
            (tag::INBOX | tag::INBOX_TRIMMED | tag::MINUTE | tag::FOLLOWER | tag::CHANGE, _)
            | (tag::FILE_QUOTA, _) => continue,
            (tag::LAYOUT, _) => {
                let row = Layout::decode(&value).expect("layout");
                assert!(row.epoch > 0);
                Layout { store_id: 0, epoch: 0, ..row }.encode()
            }
            (tag::APPLIED, _) => {
                let row = Applied::decode(&value).expect("applied");
                let trimmed_up_to = row.published_up_to;
                let row =
                    Applied { owner: String::new(), batch_id: Vec::new(), trimmed_up_to, ..row };
                if row == Applied::default() {
                    continue;
                }
                row.encode()
            }
            // Part 0 of an entry, a head, a mark, a setting, a draft and a relation begin with a position.
            (tag::LOG, Some(0)) => value.slice(12..),
            (tag::HEAD | tag::MARK | tag::THREAD_FOLLOWER, _)
            | (tag::SETTING | tag::DRAFT | tag::RELATION | tag::GROUP_INVITATION, _) => {
                value.slice(12..)
            }
            (tag::SCHEDULED, _) if is_scheduled_row(&key) => value.slice(12..),
            _ => value,
        };
        kept.insert(key, value);
    }
    without_published(kept)
}

/// Of a user's rows the messages, which have no position, come after a 1.
fn is_scheduled_row(key: &[u8]) -> bool {
    let end = key.iter().position(|byte| *byte == 0).expect("a name ends");
    key[end + 1] == 0
}

fn without_published(mut rows: BTreeMap<Bytes, Bytes>) -> BTreeMap<Bytes, Bytes> {
    use weft_storage::tables::{applied, journal};
    for partition in 0..6 {
        let Some(row) = rows.get(&applied::key(partition)) else { continue };
        let published = Applied::decode(row).expect("applied").published_up_to;
        let gone = journal::key(partition, 0)..=journal::key(partition, published);
        rows.retain(|key, _| !gone.contains(key));
    }
    rows
}

/// Each head has the position of its room's last entry, and each log is in commit order.
pub async fn check_positions(store: &Store) {
    use weft_storage::tables::{head, log};
    let snapshot = store.snapshot().await.expect("snapshot");
    let limit = log::Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
    for (room, head) in head::page_after(&*snapshot, None, 1_000).await.expect("heads") {
        let entries = log::read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("log");
        assert!(entries.iter().map(|logged| logged.entry.seq).eq(1..=head.seq), "{room}");
        assert!(entries.is_sorted_by(|a, b| a.position < b.position), "{room}");
        let row = snapshot.get(head::key(&room)).await.expect("get").expect("head");
        let (position, _) = head::decode(&row).expect("head");
        assert_eq!(Some(position), entries.last().map(|logged| logged.position), "{room}");
    }
}

/// Into another store and back again, nothing is lost, and an export of each says the same.
pub async fn everything_moves(source: Store, target: Store, back: Store, seed: u64) {
    Content::fill(&source, seed, SIZE).await;
    let (first, file) = exported(&source).await;
    assert!(first.whole);
    imported(&target, &file).await;
    assert_eq!(rows(&target).await, rows(&source).await);
    check_positions(&target).await;
    let (second, again) = exported(&target).await;
    assert_eq!((&second.counts, second.whole), (&first.counts, true));
    assert_eq!(content_of(&again), content_of(&file));
    imported(&back, &again).await;
    assert_eq!(rows(&back).await, rows(&source).await);
    check_positions(&back).await;
}

/// A store with nothing in it but its layout.
pub async fn nothing_moves_too(source: Store, target: Store, seed: u64) {
    let size = Size { users: 0, rooms: 0, entries: 1, large_one_in: 0 };
    Content::fill(&source, seed, size).await;
    let (exported, file) = exported(&source).await;
    assert!(exported.whole);
    imported(&target, &file).await;
    assert_eq!(rows(&target).await, rows(&source).await);
}

/// A hash of what [`content_of`] gives, of a file that is too large for that.
pub fn lines_hash(file: &std::fs::File) -> u64 {
    use std::hash::{DefaultHasher, Hasher as _};
    use std::io::{BufRead as _, BufReader};
    let mut hasher = DefaultHasher::new();
    for line in BufReader::new(zstd::Decoder::new(file).expect("zstd")).lines() {
        let line = line.expect("text");
        // Header and trailer name the store, and the bytes of the header.
        if !line.starts_with("{\"type\":\"header\"") && !line.starts_with("{\"type\":\"trailer\"") {
            hasher.write(line.as_bytes());
        }
    }
    hasher.finish()
}
