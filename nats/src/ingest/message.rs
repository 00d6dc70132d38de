//! A command as the log holds it, and where its answer may go.

use bytes::Bytes;
use weft_proto::ids::is_token;
use weft_proto::{ApiError, ErrorCode, NodeId, RoomId, UserId};

use crate::subject::{CONTENT_TYPE, JSON, Subject, WEFT_AFTER, WEFT_ID, WEFT_MADE, WEFT_REPLY};

/// Where the answer to a command goes.
///
/// Header `Weft-Reply` is `<edge>.<token>` from an edge and `<token>` from everybody else; the
/// subject is built here, so nobody makes core speak on a subject of their choice. Who is an edge
/// is read off the subject, which the server's mapping wrote: an outsider's `<edge>.<token>` is
/// malformed, and its `<token>` leads to an address that its own user alone may read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyTo {
    Edge {
        edge: NodeId,
        /// The edge's name for the command.
        token: String,
    },
    User {
        user: UserId,
        /// The sender's name for the command.
        token: String,
    },
}

impl ReplyTo {
    /// The header's value for a command of `edge`.
    pub(crate) fn header(edge: &NodeId, token: &str) -> String {
        format!("{edge}.{token}")
    }

    fn parse(header: &str, sender: &str, is_outsider: bool) -> Option<Self> {
        match header.split_once('.') {
            Some((edge, token)) if !is_outsider && is_token(token) => {
                Some(Self::Edge { edge: NodeId::new(edge).ok()?, token: token.to_owned() })
            }
            None if is_token(header) => {
                Some(Self::User { user: UserId::new(sender).ok()?, token: header.to_owned() })
            }
            _ => None,
        }
    }

    /// The subject that the answer is published on.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self.clone() {
            Self::Edge { edge, token } => Subject::AckEdge { edge, token },
            Self::User { user, token } => Subject::AckUser { user, token },
        }
    }
}

/// What is wrong with a message's envelope. The payload is looked at by the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The subject is not that of a command. Sender and room are empty.
    Subject,
    /// The header block can't be read. Without it there is nobody to answer to.
    Headers,
    /// `Weft-Reply` has no allowed form. There is nobody to answer to.
    Reply,
}

impl Problem {
    /// How it is told to a sender.
    #[must_use]
    pub fn error(self) -> ApiError {
        match self {
            Self::Subject => ApiError::new(ErrorCode::BadId, "the subject has no valid ids"),
            Self::Headers => ApiError::new(ErrorCode::BadRequest, "the header block is malformed"),
            Self::Reply => ApiError::new(
                ErrorCode::BadRequest,
                "Weft-Reply is a token: 1 to 64 characters of A-Z, a-z, 0-9, _ and -",
            ),
        }
    }
}

/// Who made a command, or its id where its sender gave none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MadeBy {
    /// The edge that took the command: it publishes it again for a minute at the most.
    Edge,
    /// Who relays other systems' messages: from the message's place and time. It may relay the
    /// message again for as long as that is not deleted.
    Relay,
    /// There is no id: the owner of the log's partition tells itself what is due.
    Owner,
}

impl MadeBy {
    /// The header's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Relay => "relay",
            Self::Owner => "owner",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Edge, Self::Relay, Self::Owner].into_iter().find(|made_by| made_by.as_str() == text)
    }
}

/// One message of an ingest log. Ids are as they came; the worker checks them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngestMessage {
    pub stream_seq: u64,
    /// When the stream took it, Unix milliseconds by the server's clock.
    pub stored_at_ms: u64,
    /// The user that speaks: for outsiders their identity on NATS, for edges whom they verified.
    pub sender: String,
    pub room: String,
    /// The kind that the subject names: the body has to be of it. Servers know by the subject whether a bot may send it.
    pub kind: Option<String>,
    /// Header `Weft-Id`.
    pub client_id: Option<String>,
    /// Header `Weft-Made`: the id is not the sender's own.
    pub made_by: Option<MadeBy>,
    /// Header `Weft-After`.
    pub after: Option<String>,
    pub reply: Option<ReplyTo>,
    /// The payload is an entry in JSON; else it is plain text.
    pub is_json: bool,
    /// It came from another system, not from an edge.
    pub is_outsider: bool,
    pub payload: Bytes,
    /// The envelope is malformed: refuse it, and count it as applied.
    pub problem: Option<Problem>,
}

/// Looks a header up by its name.
type Lookup<'l, 'h> = &'l dyn Fn(&str) -> Option<&'h str>;

impl IngestMessage {
    /// What the owner of a partition tells itself, as its log has it: for logs that are none of NATS.
    #[must_use]
    pub fn of_owner(sender: &UserId, room: &RoomId, payload: Bytes) -> Self {
        Self {
            stream_seq: 0,
            stored_at_ms: 0,
            sender: sender.to_string(),
            room: room.to_string(),
            kind: None,
            client_id: None,
            made_by: Some(MadeBy::Owner),
            after: None,
            reply: None,
            is_json: true,
            is_outsider: true,
            payload,
            problem: None,
        }
    }

    /// Reads an envelope. `header` looks a header up; `None`: the header block is unreadable.
    pub(super) fn read<'a>(
        (stream_seq, stored_at_ms): (u64, u64),
        subject: &str,
        header: Option<Lookup<'_, 'a>>,
        payload: Bytes,
    ) -> Self {
        let mut message = Self {
            stream_seq,
            stored_at_ms,
            sender: String::new(),
            room: String::new(),
            kind: None,
            client_id: None,
            made_by: None,
            after: None,
            reply: None,
            is_json: false,
            // Until it is known better, nobody is trusted.
            is_outsider: true,
            payload,
            problem: None,
        };
        let Some(Place { is_outsider, sender, room, kind }) = read_subject(subject) else {
            message.problem = Some(Problem::Subject);
            return message;
        };
        message.is_outsider = is_outsider;
        message.sender = sender.to_owned();
        message.room = room.to_owned();
        message.kind = kind.map(str::to_owned);
        let Some(header) = header else {
            message.problem = Some(Problem::Headers);
            return message;
        };
        message.client_id = header(WEFT_ID).map(str::to_owned);
        // Of what comes here from outside, the headers are a relay's or an owner's: core alone publishes there.
        let may_be = |by: &MadeBy| is_outsider || *by != MadeBy::Owner;
        message.made_by = header(WEFT_MADE).and_then(MadeBy::parse).filter(may_be);
        message.after = header(WEFT_AFTER).map(str::to_owned);
        message.is_json = header(CONTENT_TYPE).is_some_and(is_json);
        if let Some(reply) = header(WEFT_REPLY) {
            message.reply = ReplyTo::parse(reply, sender, is_outsider);
            if message.reply.is_none() {
                message.problem = Some(Problem::Reply);
            }
        }
        message
    }
}

/// What the subject of a command says.
struct Place<'s> {
    is_outsider: bool,
    sender: &'s str,
    room: &'s str,
    kind: Option<&'s str>,
}

/// `weft.p.<n>.<sender>.<room>`, `weft.x.<n>.<sender>.<room>` or `weft.x.<n>.<sender>.<room>.<kind>`.
fn read_subject(subject: &str) -> Option<Place<'_>> {
    let words: Vec<&str> = subject.split('.').collect();
    let (&sender, &room, kind, is_outsider) = match words.as_slice() {
        ["weft", "p", _, sender, room] => (sender, room, None, false),
        ["weft", "x", _, sender, room] => (sender, room, None, true),
        ["weft", "x", _, sender, room, kind] => (sender, room, Some(*kind), true),
        _ => return None,
    };
    Some(Place { is_outsider, sender, room, kind })
}

/// Parameters (`; charset=utf-8`) and case don't matter.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case(JSON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(subject: &str, headers: &[(&str, &'static str)]) -> IngestMessage {
        let find = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        IngestMessage::read((7, 0), subject, Some(&find), Bytes::from_static(b"hi"))
    }

    #[test]
    fn an_edge_is_answered_at_its_own_address() {
        let message = read(
            "weft.p.1.alice.team",
            &[("Weft-Id", "id"), ("Weft-Reply", "e1.t-7"), ("Content-Type", "application/json")],
        );
        assert_eq!((message.sender.as_str(), message.room.as_str()), ("alice", "team"));
        assert_eq!(message.client_id.as_deref(), Some("id"));
        assert!(message.is_json && !message.is_outsider && message.problem.is_none());
        let subject = message.reply.expect("reply").subject();
        assert_eq!(subject.to_string(), "weft.ack.e.e1.t-7");
    }

    #[test]
    fn an_outsider_reaches_its_own_address_alone() {
        let message = read("weft.x.1.bot.team", &[("Weft-Reply", "t1")]);
        assert!(message.is_outsider && !message.is_json);
        assert_eq!(message.reply.expect("reply").subject().to_string(), "weft.ack.u.bot.t1");
        for foreign in ["e1.t1", "e1.", ".t1", "", "*", ">", "a b", "u.alice.t", "t1 ", "ü"] {
            let message = read("weft.x.1.bot.team", &[("Weft-Reply", foreign)]);
            assert_eq!(message.reply, None, "{foreign}");
            assert_eq!(message.problem, Some(Problem::Reply), "{foreign}");
        }
    }

    #[test]
    fn the_servers_mark_on_outsiders_is_not_needed() {
        // A header block without its last line break swallows the line that the server appends.
        let message = read("weft.x.1.bot.team", &[("Weft-Reply", "e1.t1")]);
        assert!(message.is_outsider);
        assert_eq!(message.reply, None);
    }

    #[test]
    fn what_has_no_form_is_returned_with_its_problem() {
        for subject in [
            "weft.p.1.alice",
            "weft.p.1.alice.team.x",
            "weft.x.1.bot.team.message.x",
            "weft.q.1.a.b",
            "",
            "a.b.c.d.e",
        ] {
            let message = read(subject, &[("Weft-Reply", "t1")]);
            assert_eq!(message.problem, Some(Problem::Subject), "{subject}");
            assert_eq!(message.reply, None);
            assert_eq!(message.stream_seq, 7);
        }
        let message = IngestMessage::read((1, 0), "weft.x.0.bot.team", None, Bytes::new());
        assert_eq!(message.problem, Some(Problem::Headers));
        assert_eq!(message.sender, "bot");
    }

    #[test]
    fn a_subject_may_name_the_kind() {
        let message = read("weft.x.1.bot.team.message", &[]);
        assert_eq!((message.room.as_str(), message.kind.as_deref()), ("team", Some("message")));
        assert_eq!(read("weft.x.1.bot.team", &[]).kind, None);
    }

    #[test]
    fn an_edge_speaks_for_no_owner() {
        let made_by = |subject| read(subject, &[("Weft-Made", "owner")]).made_by;
        assert_eq!(made_by("weft.x.1.weft.team"), Some(MadeBy::Owner));
        assert_eq!(made_by("weft.p.1.weft.team"), None);
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("") && !is_json("application/jsonx"));
    }
}
