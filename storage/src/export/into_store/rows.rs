//! What a line adds to the store.

use bytes::Bytes;
use weft_proto::{ClientId, Partition, RoomId, UserId, partition_of};

use super::super::check::OpenRoom;
use super::super::error::Error;
use super::super::line::{Line, MemberLine, ResendLine};
use crate::batch::Batch;
use crate::tables::{
    account, applied, chosen, dead_letter, device, head, journal, last_active, log, member,
    membership, resend, signing_key,
};

/// Adds a line's rows. `order` is the place of the next entry inside of the batch; `room` is the
/// one that the line belongs to.
pub fn add(
    batch: &mut Batch,
    order: &mut u16,
    line: &Line,
    room: Option<&OpenRoom>,
    partitions: Partition,
) -> Result<(), Error> {
    match line {
        Line::Header(_) | Line::Trailer(_) => {}
        Line::SigningKey(line) => batch.set(signing_key::key(&line.key), line.row().encode()),
        Line::Account(line) => batch.set(account::key(&line.user), line.row().encode()),
        Line::Device(line) => {
            batch.set(device::key(&line.user, &line.device), line.row().encode());
        }
        Line::Chosen(line) => batch.set(chosen::key(&line.user), chosen::encode(&line.row())),
        Line::LastActive(line) => last_active::note(batch, &line.user, line.last_active),
        Line::Room(line) => add_direct_users(batch, &line.room),
        Line::Member(line) => add_member(batch, line),
        Line::Entry(entry) => {
            log::put(batch, *order, entry);
            // The head has the position of the room's last entry: the same commit and order.
            if let Some(room) = room.filter(|room| room.is_at_end()) {
                head::put(batch, &entry.room, *order, &room.line.row());
            }
            *order += 1;
        }
        Line::Resend(line) => add_resend(batch, line, partitions)?,
        Line::DeadLetter(line) => {
            dead_letter::put(batch, line.partition, line.stream_seq, &line.row());
        }
        Line::Partition(line) => {
            let row = line.row(batch.id());
            batch.set(applied::key(line.partition), row.encode());
        }
        Line::Journal(line) => {
            batch.set(journal::key(line.partition, line.stream_seq), line.row().encode());
        }
    }
    Ok(())
}

fn add_direct_users(batch: &mut Batch, room: &RoomId) {
    let set = |batch: &mut Batch, user: &UserId| {
        batch.set(membership::key(user, room), Bytes::new());
    };
    if let Some((a, b)) = room.direct_users() {
        set(batch, &a);
        if a != b {
            set(batch, &b);
        }
    }
}

fn add_member(batch: &mut Batch, line: &MemberLine) {
    batch.set(member::key(&line.room, &line.user), line.row().encode());
    if line.role.is_some() {
        batch.set(membership::key(&line.user, &line.room), Bytes::new());
    }
}

fn add_resend(batch: &mut Batch, line: &ResendLine, partitions: Partition) -> Result<(), Error> {
    let id = ClientId::parse(&line.client_id).map_err(|error| Error::damaged(error.message))?;
    let partition = partition_of(&line.room, partitions);
    batch.set(resend::key(partition, &line.room, &line.from, &id), line.row().encode());
    Ok(())
}
