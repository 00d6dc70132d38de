//! What a line adds to the store.

use bytes::Bytes;
use weft_proto::{ClientId, Partition, RoomId, UserId, partition_of};

use super::super::check::OpenRoom;
use super::super::error::Error;
use super::super::line::{ExportLine, ResendLine};
use crate::batch::Batch;
use crate::tables::activity::{self, ActivityBucket};
use crate::tables::head::{self, Head};
use crate::tables::member::{self, Member};
use crate::tables::resend::{self, Resend};
use crate::tables::table::Keyed;
use crate::tables::{log, thread, user_room};

/// Adds a line's rows. `order` is the place of the next entry inside of the batch; `room` is the
/// one that the line belongs to.
pub fn add(
    batch: &mut Batch,
    order: &mut u16,
    line: &ExportLine,
    room: Option<&OpenRoom>,
    partitions: Partition,
) -> Result<(), Error> {
    match line {
        ExportLine::Header(_) | ExportLine::Trailer(_) => {}
        ExportLine::Row(row) => {
            for (key, value) in &row.pairs {
                batch.set(key.clone(), value.clone());
            }
        }
        ExportLine::Room(line) => add_direct_users(batch, line),
        ExportLine::Member(line) => add_member(batch, line, room),
        ExportLine::Entry(entry) => {
            log::put(batch, *order, entry);
            thread::put(batch, entry);
            // The head has the position of the room's last entry: the same commit and order.
            if let Some(room) = room.filter(|room| room.is_at_end()) {
                head::put(batch, &entry.room, *order, &room.head);
            }
            *order += 1;
        }
        ExportLine::Resend(line) => add_resend(batch, line, partitions)?,
    }
    Ok(())
}

fn add_direct_users(batch: &mut Batch, Keyed { key: room, row: head, .. }: &Keyed<RoomId, Head>) {
    let set = |batch: &mut Batch, user: &UserId| {
        batch.set(user_room::key(user, room), Bytes::new());
        batch.set(activity::key(user, ActivityBucket::of(head), room), Bytes::new());
    };
    if let Some((a, b)) = room.direct_users() {
        set(batch, &a);
        if a != b {
            set(batch, &b);
        }
    }
}

fn add_member(batch: &mut Batch, line: &Keyed<(RoomId, UserId), Member>, of: Option<&OpenRoom>) {
    let (room, user) = &line.key;
    batch.set(member::key(room, user), line.row.encode());
    if line.row.role().is_some() {
        batch.set(user_room::key(user, room), Bytes::new());
        if let Some(of) = of {
            batch.set(activity::key(user, ActivityBucket::of(&of.head), room), Bytes::new());
        }
    }
}

fn add_resend(batch: &mut Batch, line: &ResendLine, partitions: Partition) -> Result<(), Error> {
    let id = ClientId::parse(&line.client_id).map_err(|error| Error::damaged(error.message))?;
    let partition = partition_of(&line.room, partitions);
    let row = Resend { seq: line.seq, content_hash: line.content_hash };
    batch.set(resend::key(partition, &line.room, &line.from, &id), row.encode());
    Ok(())
}
