//! `threads`: the threads of a room that the caller follows.

use serde::Serialize;

use super::{Query, Request, read_part};
use crate::error::ApiError;
use crate::room::RoomId;
use crate::svc;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let (room, before, limit) = read_part(text)?;
    Ok(Query::Threads { room, before, limit }.into())
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "threads")]
struct Frame<'a> {
    room: &'a RoomId,
    more: bool,
    threads: Vec<Followed>,
}

#[derive(Serialize)]
struct Followed {
    thread: u64,
    replies: Replies,
    read: u64,
    unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unread_exact: Option<bool>,
}

#[derive(Serialize)]
struct Replies {
    count: u64,
    last: u64,
}

/// `{"type":"threads",…}`, without a request id.
#[must_use]
pub fn threads_frame(room: &RoomId, page: &svc::FollowedThreads) -> Vec<u8> {
    let followed = |it: &svc::FollowedThread| Followed {
        thread: it.root,
        replies: Replies { count: it.replies, last: it.last_reply },
        read: it.read,
        unread: it.unread,
        unread_exact: it.has_more_unread.then_some(false),
    };
    let threads = page.threads.iter().map(followed).collect();
    serde_json::to_vec(&Frame { room, more: page.more, threads }).expect("plain fields serialise")
}
