//! What a line adds to the store.

use bytes::Bytes;
use weft_proto::{ClientId, Partition, RoomId, UserId, partition_of};

use super::super::check::{ExportCheck, OpenRoom};
use super::super::error::Error;
use super::super::line::{ExportLine, ResendLine};
use crate::batch::Batch;
use crate::tables::activity::{self, ActivityBucket};
use crate::tables::head::{self, Head};
use crate::tables::member::{self, Member};
use crate::tables::resend::{self, Resend};
use crate::tables::sent::{self, Sent};
use crate::tables::table::{Keyed, Row};
use crate::tables::{Tag, expiry, group_invitation, log, open_group, scheduled, thread, user_room};

/// Files of versions before this one say nothing of what is read: all of it is then, as after an upgrade.
const WITH_MARKS: u32 = 5;
/// Long ago.
const LISTED_HOUR: u32 = 1;

/// Adds a line's rows. `order` is the place of the next entry inside of the batch; `check` has taken the line.
pub fn add(
    batch: &mut Batch,
    order: &mut u16,
    line: &ExportLine,
    check: &ExportCheck,
) -> Result<(), Error> {
    let room = check.room();
    let header = check.header();
    let is_read = header.is_some_and(|header| header.version < WITH_MARKS);
    match line {
        ExportLine::Header(_) | ExportLine::Trailer(_) => {}
        ExportLine::Row(row) => {
            for (key, value) in &row.pairs {
                batch.set(key.clone(), value.clone());
            }
            match row.tag {
                Tag::Scheduled => {
                    add_due(batch, row, header.map_or(1, |header| header.partitions))?;
                }
                Tag::GroupInvitation => add_invited(batch, row)?,
                _ => {}
            }
        }
        ExportLine::Room(line) => {
            add_direct_users(batch, line, is_read);
            if line.row.retention_days > 0 {
                let partitions = header.map_or(1, |header| header.partitions);
                add_expired(batch, *order, line, partitions);
                *order += 1;
            }
        }
        ExportLine::Member(line) => add_member(batch, line, room, is_read),
        ExportLine::Entry(entry) => {
            log::put(batch, *order, entry);
            let first_seq = room.map_or(0, |room| room.head.first_seq);
            if entry.body.thread().is_none_or(|root| root >= first_seq) {
                thread::put(batch, entry);
            }
            // The head has the position of the room's last entry: the same commit and order.
            if let Some(room) = room.filter(|room| room.is_at_end()) {
                head::put(batch, &entry.room, *order, &room.head_at_end(LISTED_HOUR));
                add_names(batch, &entry.room, &room.head);
            }
            *order += 1;
        }
        ExportLine::Resend(line) => {
            add_resend(batch, line, header.map_or(1, |header| header.partitions))?;
        }
    }
    Ok(())
}

/// Writes the head of a room whose entries expire, as if all of them had: for where they did while the export was
/// written. Its last entry, where it comes, writes it again. The room is looked at soon, whatever hour it was listed under.
fn add_expired(
    batch: &mut Batch,
    order: u16,
    Keyed { key: room, row: head, .. }: &Keyed<RoomId, Head>,
    partitions: Partition,
) {
    let (first_seq, expired_ordinal) = (head.seq + 1, head.ordinal);
    let mut head = Head { first_seq, expired_ordinal, expiry_hour: 0, ..head.clone() };
    expiry::list(batch, partition_of(room, partitions), room, &mut head, LISTED_HOUR);
    add_names(batch, room, &head);
    head::put(batch, room, order, &head);
}

/// By what the room is found, where everybody may find it.
fn add_names(batch: &mut Batch, room: &RoomId, head: &Head) {
    open_group::put(batch, room, &[], &open_group::names(room, head));
}

/// Lists a scheduled message by when it is due.
fn add_due(batch: &mut Batch, row: &Row, partitions: Partition) -> Result<(), Error> {
    let Some((key, value)) = row.pairs.first() else { return Ok(()) };
    let (key, (_, scheduled)) = (scheduled::read_key(key)?, scheduled::decode(value)?);
    if scheduled.state() == scheduled::State::Waiting {
        scheduled::list(batch, partition_of(&key.1, partitions), scheduled.at_ms, &key);
    }
    Ok(())
}

/// Lists an invitation by its group.
fn add_invited(batch: &mut Batch, row: &Row) -> Result<(), Error> {
    let Some((key, value)) = row.pairs.first() else { return Ok(()) };
    let (at, (_, row)) = (group_invitation::read_key(key)?, group_invitation::decode(value)?);
    group_invitation::list(batch, &at, &row);
    Ok(())
}

fn add_direct_users(
    batch: &mut Batch,
    Keyed { key: room, row: head, .. }: &Keyed<RoomId, Head>,
    is_read: bool,
) {
    let Some((low, high)) = room.direct_users() else { return };
    let other = (low != high).then_some(&high);
    for user in std::iter::once(&low).chain(other) {
        add_to_list(batch, (room, user), head, is_read);
    }
}

fn add_member(
    batch: &mut Batch,
    line: &Keyed<(RoomId, UserId), Member>,
    of: Option<&OpenRoom>,
    is_read: bool,
) {
    let (room, user) = &line.key;
    batch.set(member::key(room, user), line.row.encode());
    if line.row.role().is_some()
        && let Some(of) = of
    {
        add_to_list(batch, (room, user), &of.head, is_read);
    }
}

/// Puts a room into its member's list.
fn add_to_list(batch: &mut Batch, (room, user): (&RoomId, &UserId), head: &Head, is_read: bool) {
    batch.set(user_room::key(user, room), Bytes::new());
    batch.set(activity::key(user, ActivityBucket::of(head), room), Bytes::new());
    if is_read {
        sent::put(batch, room, user, Sent { seq: head.seq, ordinal: head.ordinal });
    }
}

fn add_resend(batch: &mut Batch, line: &ResendLine, partitions: Partition) -> Result<(), Error> {
    let id = ClientId::parse(&line.client_id).map_err(|error| Error::damaged(error.message))?;
    let partition = partition_of(&line.room, partitions);
    let (seq, content_hash, invited) = (line.seq, line.content_hash, line.invited.clone());
    let row = Resend { seq, content_hash, invited };
    batch.set(resend::key(partition, &line.room, &line.from, &id), row.encode());
    Ok(())
}
