//! Who follows which thread, and up to where they have read it. Who writes in a thread follows it, and so do the
//! sender of the message with which it begins and whoever is mentioned in it, unless they have said that they
//! do not. Following, and a thread's mark, is told by nothing but the user's row (`thread_follower.rs`).

use std::collections::{BTreeSet, HashMap, HashSet};

use tracing::error;
use weft_proto::kind::Mark;
use weft_proto::{ApiError, Body, Entry, ErrorCode, RoomId, UserId};
use weft_storage::tables::thread_follower::{self, FollowerKey, ThreadFollower};
use weft_storage::{Batch, Error, Snapshot};

use super::command::{Command, Incoming};
use super::marks::may_mark;
use super::messages::{FoundMessages, sees};
use super::rooms::Room;
use super::state::{PlanNo, State};
use super::threads;

/// What the store says of those whom a run of commands may make follow a thread, or whose threads it marks.
#[derive(Default, Debug)]
pub struct FoundFollowers {
    rows: HashMap<FollowerKey, ThreadFollower>,
    /// Those whose rows can't be read: they are not written anew.
    unreadable: HashSet<FollowerKey>,
}

/// Those whom a message in a thread concerns: its sender, the sender of the message with which the thread
/// begins, and whom it mentions.
fn concerned(from: &UserId, body: &Body, root_from: Option<&UserId>) -> BTreeSet<UserId> {
    let mut users: BTreeSet<UserId> = root_from.into_iter().cloned().collect();
    if let Body::Text(_) = body {
        users.extend(body.mentions().users);
    }
    users.insert(from.clone());
    users
}

/// Reads what a run of commands has to know.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &State,
    run: &[Incoming],
    messages: &FoundMessages,
) -> Result<FoundFollowers, Error> {
    let mut wanted: BTreeSet<FollowerKey> = BTreeSet::new();
    for Command { room, sender, body, .. } in run.iter().filter_map(|it| it.command.as_ref().ok()) {
        let (Body::Text(_) | Body::Mark(_), Some(root)) = (body, body.thread()) else { continue };
        let at = (room.clone(), root);
        // Of a message that this run adds there is nobody yet.
        let root_from = messages.entry(state, &at).map(|it| &it.entry.from);
        let users = concerned(sender, body, root_from);
        wanted.extend(users.into_iter().map(|user| (user, at.clone())));
    }
    let mut found = FoundFollowers::default();
    if wanted.is_empty() {
        return Ok(found);
    }
    let keys = wanted.iter().map(thread_follower::key).collect();
    for (at, row) in wanted.into_iter().zip(snapshot.get_many(keys).await?) {
        match row.as_deref().map(thread_follower::decode).transpose() {
            Ok(None) => {}
            Ok(Some((_, row))) => drop(found.rows.insert(at, row)),
            Err(error) => {
                error!(user = %at.0, room = %at.1.0, %error, "who follows a thread can't be read");
                found.unreadable.insert(at);
            }
        }
    }
    Ok(found)
}

impl FoundFollowers {
    fn row(&self, state: &State, at: &FollowerKey) -> Option<ThreadFollower> {
        state.followers.get(at).or_else(|| self.rows.get(at)).cloned()
    }
}

/// Decides about a mark of a thread; `None`: it changes nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    wanted: &Mark,
    (found, messages, state): (&FoundFollowers, &FoundMessages, &State),
) -> Result<Option<(FollowerKey, ThreadFollower)>, ApiError> {
    may_mark(id, room, sender)?;
    let Some(root) = wanted.thread else { return Ok(None) };
    let row = threads::root((id, room, root), sender, (messages, state))?;
    let at = (sender.clone(), (id.clone(), root));
    if found.unreadable.contains(&at) {
        return Err(ApiError::new(ErrorCode::Internal, "the sender's thread can't be read"));
    }
    let before = found.row(state, &at);
    let held = before.clone().unwrap_or_default();
    let after = match (wanted.follow, wanted.read) {
        (Some(true), _) if held.follows => held,
        // What there is by now is not new to who begins to follow.
        (Some(true), _) => {
            let last = row.thread.map_or(0, |thread| thread.last_reply);
            ThreadFollower { follows: true, read: held.read.max(last) }
        }
        (Some(false), _) => ThreadFollower { follows: false, ..held },
        (None, Some(read)) if read > room.head.seq || !sees(room, sender, read) => {
            return Err(ApiError::new(ErrorCode::NotFound, "there is no such entry"));
        }
        // Who does not follow a thread has nothing unread in it.
        (None, Some(read)) if held.follows => ThreadFollower { read: held.read.max(read), ..held },
        (None, _) => return Ok(None),
    };
    Ok((before.as_ref() != Some(&after)).then_some((at, after)))
}

/// Writes that a message makes users follow the thread that it is in. What comes before it is not new to them.
pub fn write_reply(
    (batch, order): (&mut Batch, u16),
    (state, no): (&mut State, PlanNo),
    entry: &Entry,
    (found, messages): (&FoundFollowers, &FoundMessages),
) {
    let (Body::Text(_), Some(root)) = (&entry.body, entry.body.thread()) else { return };
    let thread = (entry.room.clone(), root);
    let root_from = messages.entry(state, &thread).map(|it| it.entry.from.clone());
    for user in concerned(&entry.from, &entry.body, root_from.as_ref()) {
        let is_own = user == entry.from;
        let at = (user, thread.clone());
        if found.unreadable.contains(&at) {
            continue;
        }
        let row = match found.row(state, &at) {
            None => ThreadFollower { follows: true, read: entry.seq - 1 },
            Some(row) if is_own && !row.follows => ThreadFollower { follows: true, ..row },
            Some(_) => continue,
        };
        write((&mut *batch, order), (&mut *state, no), at, row);
    }
}

/// Writes a row.
pub fn write(
    (batch, order): (&mut Batch, u16),
    (state, no): (&mut State, PlanNo),
    at: FollowerKey,
    row: ThreadFollower,
) {
    thread_follower::put(batch, order, &at, &row);
    state.followers.remember(no, at, row);
}
