//! What a user hears, on their own devices, of the messages that they have scheduled: the same where it is published,
//! audited and synced.

use bytes::Bytes;
use weft_proto::frame::ScheduledNow;
use weft_proto::{ChangeHead, Position, svc};
use weft_storage::tables::scheduled::{Scheduled, ScheduledKey, State};

#[must_use]
pub fn change(key: &ScheduledKey, position: Position, row: &Scheduled) -> svc::Change {
    let (user, room, id) = key;
    svc::Change {
        users: vec![user.to_string()],
        group: String::new(),
        head: ChangeHead::scheduled(user, room, id, position).to_string(),
        frame: frame(key, row),
    }
}

#[must_use]
pub fn frame(key: &ScheduledKey, row: &Scheduled) -> Bytes {
    now(key, row).to_frame()
}

#[must_use]
pub fn now<'a>((_, room, _): &'a ScheduledKey, row: &'a Scheduled) -> ScheduledNow<'a> {
    ScheduledNow {
        room,
        schedule: &row.id,
        at: row.at_ms,
        state: word(row),
        seq: Some(row.seq).filter(|seq| *seq > 0),
        code: Some(&*row.code).filter(|code| !code.is_empty()),
        message: None,
    }
}

#[must_use]
pub fn word(row: &Scheduled) -> &'static str {
    match row.state() {
        State::Waiting => "waiting",
        State::Sent => "sent",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}
