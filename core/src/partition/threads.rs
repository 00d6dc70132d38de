//! Threads: replies that are entries of the room like others, and are counted beside the message with which
//! their thread begins.

use weft_proto::{ApiError, Body, Entry, ErrorCode, RoomId, UserId};
use weft_storage::Batch;
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::thread;

use super::messages::{EntryKey, FoundMessages, no, sees};
use super::rooms::Room;
use super::state::{PlanNo, State};

/// What an allowed command changes of a thread.
#[derive(Clone, PartialEq, Debug)]
pub struct ThreadChange {
    /// The message with which it begins.
    root: u64,
    /// Its row.
    row: Message,
}

/// Decides about an entry that is in a thread, or deletes one that is; `None`: it is neither. `seq` is the
/// entry's.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room, seq): (&RoomId, &Room, u64),
    sender: &UserId,
    body: &Body,
    (found, state): (&FoundMessages, &State),
) -> Result<Option<ThreadChange>, ApiError> {
    if let Body::Delete(_) = body {
        return Ok(deleted_reply((id, room, body), (found, state)));
    }
    let Some(root) = body.thread() else { return Ok(None) };
    let mut row = self::root((id, room, root), sender, (found, state))?;
    if row.deleted_by != 0 {
        let message = "the message with which the thread begins was deleted";
        return Err(no(ErrorCode::Deleted, message));
    }
    let thread = row.thread.get_or_insert_default();
    thread.replies += 1;
    thread.last_reply = seq;
    Ok(Some(ThreadChange { root, row }))
}

/// The row of a message with which a thread begins, or may: one that the user sees.
///
/// # Errors
/// [`ErrorCode::NotFound`], [`ErrorCode::BadRequest`].
pub fn root(
    (id, room, root): (&RoomId, &Room, u64),
    user: &UserId,
    (found, state): (&FoundMessages, &State),
) -> Result<Message, ApiError> {
    let at = (id.clone(), root);
    let message = found.entry(state, &at).filter(|_| sees(room, user, root));
    let row = found.row(state, &at);
    let body = message.map(|it| &it.entry.body);
    match body.map(|body| (body, body.as_message())) {
        Some((_, Some(_)) | (Body::Deleted(_), _)) if row.deleted_by != 0 => Ok(row),
        Some((_, Some(text))) if text.extras().thread.is_some() => {
            Err(no(ErrorCode::BadRequest, "a message in a thread begins no other"))
        }
        Some((_, Some(_))) => Ok(row),
        _ => Err(no(ErrorCode::NotFound, "there is no message with which the thread begins")),
    }
}

/// The thread of a message that is to be deleted, with one reply less.
fn deleted_reply(
    (id, room, body): (&RoomId, &Room, &Body),
    (found, state): (&FoundMessages, &State),
) -> Option<ThreadChange> {
    let root = thread_of(found, state, &(id.clone(), body.target()?))?;
    // Of a thread that begins with what has expired nothing is kept.
    if root < room.head.first_seq {
        return None;
    }
    let mut row = found.row(state, &(id.clone(), root));
    let thread = row.thread.as_mut()?;
    thread.replies = thread.replies.saturating_sub(1);
    Some(ThreadChange { root, row })
}

/// In which thread a message is.
pub fn thread_of(found: &FoundMessages, state: &State, at: &EntryKey) -> Option<u64> {
    found.entry(state, at)?.entry.body.thread()
}

/// Writes a change. `by`: the entry that makes it.
pub fn write(batch: &mut Batch, state: &mut State, no: PlanNo, by: &Entry, change: ThreadChange) {
    let ThreadChange { root, row } = change;
    batch.set(message::key(&by.room, root), row.encode());
    thread::put(batch, by);
    state.messages.rows.remember(no, (by.room.clone(), root), row);
}
