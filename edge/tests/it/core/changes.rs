//! What changes beside entries, in the core of a few lines.

use bytes::Bytes;
use weft_nats::subject::WEFT_CHANGE;
use weft_nats::{Answer, Subject};
use weft_proto::frame::Reply;
use weft_proto::kind::Mark;
use weft_proto::svc::Change;
use weft_proto::{ApiError, ChangeHead, ErrorCode, Position, UserId};

use super::{Core, State};
use crate::common::{room, user};

/// A change, as one user or a group hears of it.
#[derive(Clone)]
pub struct Changed {
    head: ChangeHead,
    position: Position,
    /// By which commit.
    pub(super) stream_seq: u64,
    subject: Subject,
    frame: Bytes,
}

impl Changed {
    pub(super) fn to_svc(&self) -> Change {
        let (mut users, mut group) = (Vec::new(), String::new());
        match &self.subject {
            Subject::EventGroup { room, .. } => group = room.to_string(),
            Subject::User(user) => users.push(user.to_string()),
            _ => {}
        }
        Change { users, group, head: self.head.to_string(), frame: self.frame.clone() }
    }
}

impl State {
    /// Whether the user does not hear how far others have read.
    pub(super) fn receipts_off(&self, user: &UserId) -> bool {
        let subject = Subject::User(user.clone());
        let own = self.changes.iter().filter(|it| it.subject == subject);
        own.filter_map(|it| it.head.receipts).next_back() == Some(false)
    }
}

impl Core {
    /// Commits a change of which a user hears; publishes nothing.
    pub fn change(&self, key: &str, name: &str, number: u64) -> Changed {
        self.commit_change((key, None), Subject::User(user(name)), true, number)
    }

    /// The same of whether the user tells and hears how far somebody has read.
    pub fn change_receipts(&self, name: &str, receipts: bool, number: u64) -> Changed {
        let key = (&*format!("setting/{name}/{name}~{name}"), Some(receipts));
        self.commit_change(key, Subject::User(user(name)), true, number)
    }

    /// Commits a change of which a group hears, without a position; publishes nothing.
    pub fn change_group(&self, group: &str, number: u64) -> Changed {
        let subject = Subject::EventGroup { partition: 0, room: room(group) };
        self.commit_change((&format!("marks/{group}"), None), subject, false, number)
    }

    fn commit_change(
        &self,
        (key, receipts): (&str, Option<bool>),
        subject: Subject,
        is_placed: bool,
        number: u64,
    ) -> Changed {
        let mut state = self.lock();
        state.last_position += 1;
        state.applied += 1;
        let position = Position::new(state.last_position, 0);
        let at = is_placed.then_some(position);
        let head = ChangeHead { key: key.to_owned(), position: at, receipts };
        let frame = format!(r#"{{"type":"mark","key":"{key}","number":{number}}}"#).into();
        let changed = Changed { head, position, stream_seq: state.applied, subject, frame };
        // The newest of each key, for each who hears of it.
        let is_other = |it: &Changed| it.head.key != key || it.subject != changed.subject;
        state.changes.retain(is_other);
        state.changes.push(changed.clone());
        changed
    }

    pub async fn publish_change(&self, changed: &Changed) {
        let headers = [(WEFT_CHANGE, &*changed.head.to_string())];
        let Changed { subject, frame, .. } = changed;
        self.bus.publish(subject, &headers, frame.clone()).await.expect("publish");
    }

    /// What was marked, one command after the other.
    pub fn marks(&self) -> Vec<Mark> {
        self.lock().marks.clone()
    }

    /// Entries up to 100 are there to be marked.
    pub(super) fn mark(&self, room: &str, mark: Mark) -> Answer {
        let seqs = [mark.read, mark.delivered, mark.unread_from];
        self.lock().marks.push(mark);
        if seqs.into_iter().flatten().any(|seq| seq > 100) {
            return Answer::error(&ApiError::new(ErrorCode::NotFound, "no such entry"));
        }
        assert_ne!(room, "full");
        Answer::ack(Reply::Done {}.to_frame())
    }
}

impl State {
    /// The frames of changes at these positions, as a sync brings them.
    pub(super) fn changes_of(&self, me: &UserId, since: Position, to: Position) -> Vec<Bytes> {
        let subject = Subject::User(me.clone());
        let is_new =
            |it: &&Changed| it.subject == subject && it.position > since && it.position <= to;
        self.changes.iter().filter(is_new).map(|it| it.frame.clone()).collect()
    }
}
