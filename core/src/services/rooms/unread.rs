//! How much of a room is unread for one of its members.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tracing::error;
use weft_proto::{RoomId, UserId};
use weft_storage::tables::head::Head;
use weft_storage::tables::mark::Mark;
use weft_storage::tables::message::Message;
use weft_storage::tables::{mention, message, thread, thread_follower};
use weft_storage::{Error, Snapshot};

/// Changed messages that are looked at. Where there are more after what is read, the number is an upper bound.
const LOOKED_AT_MAX: usize = 1_000;
/// Of them at once: a row may have 8 kB.
const ROWS_PER_READ: usize = 100;
/// What one takes beside its record, about.
const ROW_BYTES: usize = 100;
/// Threads of a room that are looked at, those that began last: what the user follows, or has followed.
const THREADS_MAX: usize = 50;
/// Of each so many of the newest replies.
const REPLIES_MAX: usize = 16;
const THREADS_AT_ONCE: usize = 16;

/// A number of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Unread {
    pub(in super::super) count: u64,
    /// Else it is at most that many.
    pub(in super::super) is_exact: bool,
    /// What was read for it, about.
    pub(in super::super) read_bytes: usize,
}

/// What was counted after what is read, without what was deleted of it.
pub(in super::super) async fn of(
    snapshot: &dyn Snapshot,
    (room, head): (&RoomId, &Head),
    mark: &Mark,
) -> Result<Unread, Error> {
    let counted = head.ordinal.saturating_sub(read_ordinal(head, mark));
    let (mut next, end) = (first_unread(mark).max(head.first_seq), head.seq + 1);
    let (mut deleted, mut looked_at, mut read_bytes) = (0, 0, 0);
    let mut is_exact = true;
    while counted > 0 && next < end {
        if looked_at >= LOOKED_AT_MAX {
            is_exact = false;
            break;
        }
        let rows = match message::scan(snapshot, room, next..end, ROWS_PER_READ).await {
            Err(Error::Corrupt(what)) => {
                error!(%room, what, "what became of messages can't be read");
                is_exact = false;
                break;
            }
            read => read?,
        };
        looked_at += rows.len();
        let bytes = |(_, row): &(u64, message::Message)| ROW_BYTES + row.encoded_len();
        read_bytes += rows.iter().map(bytes).sum::<usize>();
        let is_off =
            |(_, row): &&(u64, message::Message)| row.deleted_by != 0 && !row.was_uncounted;
        deleted += rows.iter().filter(is_off).count() as u64;
        next = match rows.last() {
            Some((seq, _)) if rows.len() == ROWS_PER_READ => seq + 1,
            _ => end,
        };
    }
    Ok(Unread { count: counted.saturating_sub(deleted), is_exact, read_bytes })
}

/// How many messages there were up to what is read: what has expired counts as read.
pub(in super::super) fn read_ordinal(head: &Head, mark: &Mark) -> u64 {
    mark.unread_after().max(head.expired_ordinal)
}

fn first_unread(mark: &Mark) -> u64 {
    if mark.unread_from == 0 { mark.read + 1 } else { mark.unread_from }
}

/// How many messages that mention the user are unread, of those that they see.
pub(super) async fn mentions(
    snapshot: &dyn Snapshot,
    (room, head): (&RoomId, &Head),
    user: &UserId,
    (mark, sees): (&Mark, impl Fn(u64) -> bool),
) -> Result<u64, Error> {
    let first = first_unread(mark);
    if first > head.seq {
        return Ok(0);
    }
    match mention::unread(snapshot, (room, user), (first - 1, sees)).await {
        // As for what is unread: one damaged row does not cost a user the list of all rooms.
        Err(Error::Corrupt(what)) => {
            error!(%room, what, "who is mentioned can't be read");
            Ok(0)
        }
        counted => counted,
    }
}

/// In how many of the threads that the user follows something is unread. Where that is not exact there may be more
/// of them.
pub(super) async fn threads(
    snapshot: &dyn Snapshot,
    (room, head): (&RoomId, &Head),
    user: &UserId,
    mark: &Mark,
) -> Result<Unread, Error> {
    // Who has read the room has read its threads.
    if mark.read >= head.seq {
        return Ok(Unread { count: 0, is_exact: true, read_bytes: 0 });
    }
    match unread_threads(snapshot, room, user, mark.read).await {
        Err(Error::Corrupt(what)) => {
            error!(%room, what, "the threads of a room can't be read");
            Ok(Unread { count: 0, is_exact: false, read_bytes: 0 })
        }
        counted => counted,
    }
}

async fn unread_threads(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    user: &UserId,
    read_room: u64,
) -> Result<Unread, Error> {
    let of = (user, room);
    let rows = thread_follower::of_room(snapshot, of, u64::MAX, THREADS_MAX + 1).await?;
    let has_more = rows.len() > THREADS_MAX;
    let followed = rows.into_iter().take(THREADS_MAX).filter(|(_, row)| row.follows);
    let followed: Vec<_> = followed.map(|(root, row)| (root, row.read.max(read_room))).collect();
    let keys = followed.iter().map(|(root, _)| message::key(room, *root)).collect();
    let (mut reads, mut read_bytes): (Vec<BoxFuture<'_, _>>, _) = (Vec::new(), 0);
    for ((root, read), row) in followed.into_iter().zip(snapshot.get_many(keys).await?) {
        read_bytes += ROW_BYTES + row.as_ref().map_or(0, Bytes::len);
        let thread = row.map(|row| Message::decode(&row)).transpose()?.and_then(|row| row.thread);
        if thread.is_some_and(|thread| thread.last_reply > read) {
            let of_user = (user, read, REPLIES_MAX);
            reads.push(thread::unread(snapshot, (room, root), of_user).boxed());
        }
    }
    let told: Vec<(usize, bool)> =
        stream::iter(reads).buffered(THREADS_AT_ONCE).try_collect().await?;
    let count = told.iter().filter(|(unread, _)| *unread > 0).count() as u64;
    let is_exact = !has_more && !told.contains(&(0, false));
    Ok(Unread { count, is_exact, read_bytes })
}
