//! Rooms: each with its members, its log, and the resend records of its entries.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use weft_proto::{ClientId, Entry, RoomId, RoomKind, UserId, partition_of};

use super::super::error::Error;
use super::super::line::{Plain, ResendLine};
use super::super::snapshots::Snapshots;
use super::super::writer::ExportWriter;
use super::Begin;
use crate::engine::Snapshot;
use crate::tables::head::{self, Head};
use crate::tables::log::{self, Limit, Logged};
use crate::tables::member::{self, Member};
use crate::tables::mention::{self, Mention};
use crate::tables::message::{self, Message, Pinned};
use crate::tables::pin::Pin;
use crate::tables::reaction::{self, Reaction};
use crate::tables::resend::{self, Resend};
use crate::tables::table::{Page, line};
use crate::tables::thread;

const HEADS_AT_ONCE: usize = 1_000;
/// How much of a log is read at once.
const LOG_AT_ONCE: Limit = Limit { entries_max: 500, bytes_max: 1_000_000 };

/// An entry and, while that is kept, what its client id got; and of a message, what became of it.
type Kept = (Logged, Option<(ClientId, Resend)>, Option<Became>);

/// What became of a message, who has put which emoji on it, and whom it mentions.
#[derive(Default)]
struct Became {
    row: Message,
    reactions: Page<Reaction>,
    mentions: Page<Mention>,
}

/// Entries that a store ought to have and has not: it is damaged.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Absent {
    /// How many they are.
    pub entries: u64,
    /// In so many rooms.
    pub rooms: u64,
    /// The first one.
    pub first: Option<(RoomId, u64)>,
}

impl Absent {
    fn add(&mut self, room: &RoomId, seqs: Range<u64>) {
        if !seqs.is_empty() {
            self.entries += seqs.end - seqs.start;
            self.first.get_or_insert_with(|| (room.clone(), seqs.start));
        }
    }
}

/// Writes all rooms. What their logs lack.
pub async fn write<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut ExportWriter<'_, W>,
    begin: &Begin,
) -> Result<Absent, Error> {
    let (mut after, mut absent) = (None, Absent::default());
    loop {
        let read = async |snapshot: &dyn Snapshot| {
            head::page_after(snapshot, after.as_ref(), HEADS_AT_ONCE).await
        };
        let page = snapshots.read(read).await?;
        let Some((last, _)) = page.last() else { return Ok(absent) };
        after = Some(last.clone());
        for (room, head) in page {
            let before = absent.entries;
            room_lines(snapshots, out, begin, (room, head), &mut absent).await?;
            absent.rooms += u64::from(absent.entries > before);
        }
    }
}

async fn room_lines<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut ExportWriter<'_, W>,
    begin: &Begin,
    (room, head): (RoomId, Head),
    absent: &mut Absent,
) -> Result<(), Error> {
    let (head, members) = match room.kind() {
        RoomKind::Direct => (head, Vec::new()),
        RoomKind::Group => {
            snapshots.read(async |snapshot: &dyn Snapshot| group(snapshot, &room).await).await?
        }
    };
    let last = head.seq;
    out.line("room", line("room", &room, &head))?;
    for (user, member) in members {
        out.line("member", line("member", &(&room, user), &member))?;
    }
    let mut next = head.first_seq.max(1);
    while next <= last {
        let read = async |snapshot: &dyn Snapshot| page(snapshot, begin, &room, (next, last)).await;
        let (first_seq, kept) = snapshots.read(read).await?;
        if kept.is_empty() {
            break;
        }
        for (logged, record, became) in kept {
            let entry = &logged.entry;
            absent.add(&room, next.max(first_seq)..entry.seq);
            out.line("entry", entry.to_frame())?;
            if let Some((id, row)) = record {
                out.line("resend", resend_line(entry, &id, &row))?;
            }
            if let Some(Became { row, reactions, mentions }) = became {
                out.line("message", line("message", &(&room, entry.seq), &row))?;
                if let Some(Pinned { seq, .. }) = row.pinned {
                    out.line("pin", line("pin", &(&room, entry.seq), &Pin { seq }))?;
                }
                for (key, row) in reactions {
                    out.line("reaction", line("reaction", &key, &row))?;
                }
                for (key, row) in mentions {
                    out.line("mention", line("mention", &key, &row))?;
                }
            }
            next = entry.seq + 1;
        }
    }
    Ok(())
}

/// What became of messages, by seq. Edits, mentions, pins and replies that were taken after the room's `last` entry
/// was are left out: the file does not have them.
async fn became(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (seqs, last): (Range<u64>, u64),
) -> Result<BTreeMap<u64, Became>, crate::Error> {
    let mut all = BTreeMap::new();
    for (seq, mut row) in message::scan(snapshot, room, seqs.clone(), usize::MAX).await? {
        row.edits.retain(|edit| *edit <= last);
        row.mentions.retain(|mentioned| mentioned.seq <= last);
        if row.edits.is_empty() {
            row.edited_at_ms = 0;
        }
        row.pinned = row.pinned.filter(|pinned| pinned.seq <= last);
        if row.thread.is_some_and(|thread| thread.last_reply > last) {
            row.thread = thread::counted(snapshot, (room, seq), last).await?;
        }
        if row != Message::default() {
            all.insert(seq, Became { row, ..Became::default() });
        }
    }
    // Few reads, however many messages there are: a store may forget its snapshots soon.
    if all.values().any(|became| !became.row.reactions.is_empty()) {
        for (key, reaction) in reaction::of_messages(snapshot, room, seqs).await? {
            let ((_, seq), _) = &key;
            if let Some(became) = all.get_mut(seq) {
                became.reactions.push((key, reaction));
            }
        }
    }
    let rows = all.values().map(|became| &became.row);
    for (key, mention) in mention::of_messages(snapshot, room, rows).await? {
        if let Some(became) = all.get_mut(&mention.message) {
            became.mentions.push((key, mention));
        }
    }
    Ok(all)
}

fn resend_line(entry: &Entry, id: &ClientId, row: &Resend) -> Vec<u8> {
    let (room, from) = (entry.room.clone(), entry.from.clone());
    let (client_id, Resend { seq, content_hash, invited }) = (id.to_string(), row.clone());
    Plain::Resend(ResendLine { room, from, client_id, seq, content_hash, invited }).text()
}

/// A group's head and members, of one moment.
async fn group(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<(Head, Vec<(UserId, Member)>), crate::Error> {
    let row = snapshot.get(head::key(room)).await?;
    let row = row.ok_or_else(|| crate::Error::Corrupt(format!("head: {room} has lost its own")))?;
    let (_, head) = head::decode(&row)?;
    Ok((head, member::all(snapshot, room).await?))
}

/// Where the room begins by now, and the first entries with these seqs: at least one, where they have not expired.
async fn page(
    snapshot: &dyn Snapshot,
    begin: &Begin,
    room: &RoomId,
    (first, last): (u64, u64),
) -> Result<(u64, Vec<Kept>), crate::Error> {
    let head = snapshot.get(head::key(room)).await?;
    let head = head.map(|row| head::decode(&row)).transpose()?.unwrap_or_default().1;
    if head.first_seq > last {
        return Ok((head.first_seq, Vec::new()));
    }
    let entries = log::read(snapshot, room, first..last + 1, LOG_AT_ONCE).await?;
    // Others may be missing. Without its last one the room has no position.
    if entries.is_empty() {
        let what = format!("log: room {room} has no entry from {first} on");
        return Err(crate::Error::Corrupt(what));
    }
    let end = entries.last().map_or(first, |logged| logged.entry.seq + 1);
    let mut became = became(snapshot, room, (first..end, last)).await?;
    let partition = partition_of(room, begin.partitions());
    // What is older than the floor has no record any more.
    let floor_hour = begin.applied.get(usize::from(partition)).map_or(0, |row| row.floor_hour);
    let id = |logged: &Logged| logged.entry.client_id.filter(|id| id.hour() >= floor_hour);
    let keys = entries
        .iter()
        .filter_map(|logged| Some(resend::key(partition, room, &logged.entry.from, &id(logged)?)));
    let mut rows = snapshot.get_many(keys.collect()).await?.into_iter();
    let with_record = |logged: Logged| {
        let row = id(&logged).and_then(|id| Some((id, rows.next()??)));
        let record = row.map(|(id, row)| Ok((id, Resend::decode_whole(&row)?)));
        let became = became.remove(&logged.entry.seq);
        Ok((logged, record.transpose()?, became))
    };
    let kept = entries.into_iter().map(with_record).collect::<Result<_, crate::Error>>()?;
    Ok((head.first_seq, kept))
}
