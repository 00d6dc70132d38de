//! The threads that a user follows.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use weft_proto::{RoomId, UserId, svc};
use weft_storage::tables::mark;
use weft_storage::tables::message::{self, Message, Thread};
use weft_storage::tables::thread;
use weft_storage::tables::thread_follower::{self, ThreadFollower};
use weft_storage::{Error, Snapshot};

use super::Context;
use super::access::Access;
use super::failure::Failure;

/// Threads of a page: of each, up to [`UNREAD_MAX`] replies are looked at.
const THREADS_MAX: usize = 100;
/// So many of a thread's newest replies are looked at.
const UNREAD_MAX: usize = 1_000;
/// Threads whose replies are counted at once.
const COUNTED_AT_ONCE: usize = 16;
/// Rows of threads that are read at once: those that the user does not follow any more are passed over.
const ROWS_AT_ONCE: usize = 256;

impl Context {
    /// The threads of a room that the caller follows, that which began last first.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId),
    /// [`ErrorCode::NoSuchRoom`](weft_proto::ErrorCode::NoSuchRoom),
    /// [`ErrorCode::NotMember`](weft_proto::ErrorCode::NotMember) (former members too), those of the token, or
    /// the store's.
    pub async fn threads(
        &self,
        request: svc::ListThreads,
    ) -> Result<svc::FollowedThreads, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &user).await?;
        access.member_role()?;
        let limit = match request.limit as usize {
            0 => THREADS_MAX,
            limit => limit.min(THREADS_MAX),
        };
        let mut followed = followed(
            &*snapshot,
            (&user, &room),
            (access.head.first_seq, request.before),
            limit + 1,
        )
        .await?;
        let more = followed.len() > limit;
        followed.truncate(limit);
        let threads = summaries(&*snapshot, (&user, &room), followed).await?;
        Ok(svc::FollowedThreads { threads, more })
    }
}

/// At most `limit` threads of the room that the user follows, and up to where they have read each: of those
/// that began before `before` (0: of all) and have not expired.
async fn followed(
    snapshot: &dyn Snapshot,
    of: (&UserId, &RoomId),
    (first_seq, before): (u64, u64),
    limit: usize,
) -> Result<Vec<(u64, ThreadFollower)>, Error> {
    let mut before = if before == 0 { u64::MAX } else { before };
    let mut followed = Vec::new();
    loop {
        let rows = thread_follower::of_room(snapshot, of, before, ROWS_AT_ONCE).await?;
        let is_last = rows.len() < ROWS_AT_ONCE;
        before = rows.last().map_or(0, |(root, _)| *root);
        let is_last = is_last || before < first_seq;
        let rows = rows.into_iter().filter(|(root, row)| row.follows && *root >= first_seq);
        followed.extend(rows);
        if is_last || followed.len() >= limit {
            followed.truncate(limit);
            return Ok(followed);
        }
    }
}

async fn summaries(
    snapshot: &dyn Snapshot,
    (user, room): (&UserId, &RoomId),
    followed: Vec<(u64, ThreadFollower)>,
) -> Result<Vec<svc::FollowedThread>, Error> {
    let held = mark::held(snapshot, &[(room.clone(), user.clone())]).await?;
    // Who has read the room has read its threads.
    let read_room = held.first().map_or(0, |held| held.mark.read);
    let keys = followed.iter().map(|(root, _)| message::key(room, *root)).collect();
    let rows = snapshot.get_many(keys).await?;
    let summary = |((root, row), message): ((u64, ThreadFollower), Option<bytes::Bytes>)| async move {
        let message = message.map(|row| Message::decode(&row)).transpose()?;
        let thread = message.and_then(|message| message.thread);
        let Thread { replies, last_reply } = thread.unwrap_or_default();
        let read = row.read.max(read_room);
        let (unread, is_all) = match last_reply > read {
            true => thread::unread(snapshot, (room, root), (user, read, UNREAD_MAX)).await?,
            false => (0, true),
        };
        let (unread, has_more_unread) = (unread as u64, !is_all);
        Ok(svc::FollowedThread { root, replies, last_reply, read, unread, has_more_unread })
    };
    stream::iter(followed.into_iter().zip(rows).map(summary))
        .buffered(COUNTED_AT_ONCE)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests;
