//! The names on the wire: subjects, streams, buckets, headers. Nobody else spells one.

use std::borrow::Cow;
use std::fmt;

use weft_proto::ids::is_token;
use weft_proto::svc::Method;
use weft_proto::{NodeId, Partition, RoomId, UserId};

/// The client id of a command. Outsiders may leave it out.
pub const WEFT_ID: &str = "Weft-Id";
/// The client id of the sender's command to the same room before this one, while that one is
/// unanswered. Where it is not applied, this one is answered `resend_in_order`.
pub const WEFT_AFTER: &str = "Weft-After";
/// Header of a command whose client id was made by a server, because its sender gave none: by whom.
pub const WEFT_MADE: &str = "Weft-Made";
/// Where the answer to a command goes: see [`ReplyTo`](crate::ReplyTo).
pub const WEFT_REPLY: &str = "Weft-Reply";
/// The head of an event ([`weft_proto::EventHead`]).
pub const WEFT_ENTRY: &str = "Weft-Entry";
/// The head of a change that is not an entry ([`weft_proto::ChangeHead`]).
pub const WEFT_CHANGE: &str = "Weft-Change";
/// The code of the error that an answer to a command carries; absent beside an `ack`.
pub const WEFT_ERROR: &str = "Weft-Error";
/// A device whose login has ended, or [`ALL_DEVICES`]: edges end its sessions. Beside an empty payload on
/// [`Subject::User`]; it may be lost.
pub const WEFT_LOGOUT: &str = "Weft-Logout";
/// No device has this name.
pub const ALL_DEVICES: &str = "*";
/// Beside [`WEFT_LOGOUT`]: the user is suspended.
pub const WEFT_SUSPENDED: &str = "Weft-Suspended";
/// `application/json` where the payload of a command is an entry, not plain text.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The value of [`CONTENT_TYPE`] for entries.
pub const JSON: &str = "application/json";
/// Added by the server to what comes from another account. Its absence proves nothing: a
/// malformed header block can hide it, so outsiders are known by their subject
/// ([`Subject::Outside`]).
pub const NATS_REQUEST_INFO: &str = "Nats-Request-Info";
/// Beside a status: `<boot> <number>` of the presence node that published it. Numbers have no gap.
pub const WEFT_PRESENCE: &str = "Weft-Presence";
/// The jobs of `weft push`: `weft.push.<lane>`.
pub const PUSH_STREAM: &str = "WEFT_PUSH";
/// What could not be delivered.
pub const PUSH_DEAD_STREAM: &str = "WEFT_PUSH_DEAD";
pub const PUSH_DEAD_SUBJECT: &str = "weft.push.dead";
/// The feeds of bots: `weft.bot.<bot>.<room>`.
pub const BOTS_STREAM: &str = "WEFT_BOTS";
/// Headers of an entry in a feed: its room, its seq, the seq of the room's entry before it in the feed (0: it is the first of its
/// membership), and how many bytes the feed has carried so far.
pub const WEFT_ROOM: &str = "Weft-Room";
pub const WEFT_SEQ: &str = "Weft-Seq";
pub const WEFT_BEFORE: &str = "Weft-Before";
pub const WEFT_BYTES: &str = "Weft-Bytes";
/// What was put into a feed before this moment, Unix milliseconds, may not be in it any more.
pub const WEFT_EXPIRED: &str = "Weft-Expired";
/// What is to be delivered to webhooks: `weft.webhook.<webhook>.<owner>`.
pub const WEBHOOKS_STREAM: &str = "WEFT_WEBHOOKS";
pub const WEBHOOKS_SUBJECTS: &str = "weft.webhook.*.*";
/// What could not be delivered: `weft.webhook-dead.<webhook>`.
pub const WEBHOOKS_DEAD_STREAM: &str = "WEFT_WEBHOOKS_DEAD";
pub const WEBHOOKS_DEAD_SUBJECTS: &str = "weft.webhook-dead.*";
/// The NATS account of bots.
pub const BOTS_ACCOUNT: &str = "BOTS";
/// Where nats-server asks about logins that its configuration does not know.
pub(crate) const BOT_LOGIN: &str = "$SYS.REQ.USER.AUTH";
/// What bots ask: `weft.api.<bot>.<method>`.
pub(crate) const BOT_REQUESTS: &str = "weft.api.*.*";
/// Where each nats-server tells its connections.
pub(crate) const CONNECTIONS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
pub const NODES_BUCKET: &str = "WEFT_NODES";
/// The bucket that keeps how far each ingest log was trimmed: `<partition>`.
pub const TRIMMED_BUCKET: &str = "WEFT_TRIMMED";
/// The bucket of users with sessions: `<user>.<edge>`.
pub const PRESENCE_BUCKET: &str = "WEFT_PRESENCE";
/// The bucket of the bytes of files, where they are in JetStream: an object store.
pub const FILES_BUCKET: &str = "WEFT_FILES";
/// Its stream.
pub const FILES_STREAM: &str = "OBJ_WEFT_FILES";

#[must_use]
pub fn ingest_stream(partition: Partition) -> String {
    format!("WEFT_IN_{partition}")
}

/// The name of the stream of what other systems send to a partition: `weft.o.<n>.<sender>.<room>`, or
/// `weft.o.<n>.<sender>.<room>.<kind>`.
#[must_use]
pub fn outside_stream(partition: Partition) -> String {
    format!("WEFT_OUT_{partition}")
}

/// Where a message of [`outside_stream`] goes in the ingest log: [`Subject::Outside`] of the same
/// partition, sender, room and kind, whatever form these have.
pub(crate) fn relayed_subject(subject: &str) -> Option<String> {
    subject.strip_prefix("weft.o.").map(|rest| format!("weft.x.{rest}"))
}

#[must_use]
pub fn event_stream(partition: Partition) -> String {
    format!("WEFT_EV_{partition}")
}

/// A literal subject.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// `weft.in.<sender>.<room>`: where commands are published. The server maps it to
    /// [`Partition`](Self::Partition) (edges) or into [`outside_stream`] (other systems).
    In { sender: UserId, room: RoomId },
    /// `weft.p.<partition>.<sender>.<room>`: a command of an edge, as its stream keeps it.
    Partition { partition: Partition, sender: UserId, room: RoomId },
    /// `weft.x.<partition>.<sender>.<room>`: a command of another system, as the ingest log keeps it. With the kind that its
    /// sender named after it, where that was told ([`IngestMessage::kind`](crate::IngestMessage::kind)).
    /// Core alone publishes on it: what it takes from [`outside_stream`], and what the log's owner tells itself.
    Outside { partition: Partition, sender: UserId, room: RoomId },
    /// `weft.ev.<partition>.group.<room>`: committed entries of a group.
    EventGroup { partition: Partition, room: RoomId },
    /// `weft.ev.<partition>.direct`: committed entries of all direct rooms of a partition.
    EventDirect { partition: Partition },
    /// `weft.u.<user>`: what concerns one user.
    User(UserId),
    /// `weft.ack.e.<edge>.<token>`: an answer to an edge.
    AckEdge {
        edge: NodeId,
        /// Which command, in the edge's words: `[A-Za-z0-9_-]{1,64}`.
        token: String,
    },
    /// `weft.ack.u.<user>.<token>`: an answer to another system.
    AckUser {
        user: UserId,
        /// Which command, in the user's words: `[A-Za-z0-9_-]{1,64}`.
        token: String,
    },
    /// `weft.sig.tick.<partition>`: the owner's sign of life ([`weft_proto::Tick`]).
    Tick { partition: Partition },
    /// `weft.sig.presence.<node>`: a presence node's sign of life
    /// ([`weft_proto::presence::PresenceTick`]).
    PresenceTick { node: NodeId },
    /// `weft.sig.drain.<node>`: an operator's word to an edge that it is to end.
    Drain { node: NodeId },
    /// `weft.status.<user>`: a change of what others see of a user ([`weft_proto::Presence`]).
    Status(UserId),
    /// `weft.typing.<user>.<room>`: the user types, as an edge tells the others. The payload is empty.
    Typing { user: UserId, room: RoomId },
    /// `weft.svc.<service>.<method>`: a request.
    Svc {
        /// `accounts`, `admin`, `operator`, `rooms`, `log`, `journal`, `index`, `search`, `files`, `status`, `presence`.
        service: Cow<'static, str>,
        method: Cow<'static, str>,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In { sender, room } => write!(f, "weft.in.{sender}.{room}"),
            Self::Partition { partition, sender, room } => {
                write!(f, "weft.p.{partition}.{sender}.{room}")
            }
            Self::Outside { partition, sender, room } => {
                write!(f, "weft.x.{partition}.{sender}.{room}")
            }
            Self::EventGroup { partition, room } => write!(f, "weft.ev.{partition}.group.{room}"),
            Self::EventDirect { partition } => write!(f, "weft.ev.{partition}.direct"),
            Self::User(user) => write!(f, "weft.u.{user}"),
            Self::AckEdge { edge, token } => write!(f, "weft.ack.e.{edge}.{token}"),
            Self::AckUser { user, token } => write!(f, "weft.ack.u.{user}.{token}"),
            Self::Tick { partition } => write!(f, "weft.sig.tick.{partition}"),
            Self::PresenceTick { node } => write!(f, "weft.sig.presence.{node}"),
            Self::Drain { node } => write!(f, "weft.sig.drain.{node}"),
            Self::Status(user) => write!(f, "weft.status.{user}"),
            Self::Typing { user, room } => write!(f, "weft.typing.{user}.{room}"),
            Self::Svc { service, method } => write!(f, "weft.svc.{service}.{method}"),
        }
    }
}

impl Subject {
    /// Of a method that one node is asked by its name.
    #[must_use]
    pub fn of_method_at<M: Method>(node: &NodeId) -> Self {
        Self::Svc { service: M::SERVICE.into(), method: format!("{}-{node}", M::METHOD).into() }
    }

    /// Reads a subject; `None` for any other one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("weft.")?.split('.');
        let kind = words.next()?;
        let rest: Vec<&str> = words.collect();
        let user = |text: &str| UserId::new(text).ok();
        let room = |text: &str| RoomId::new(text).ok();
        let token = |text: &str| is_token(text).then(|| text.to_owned());
        Some(match (kind, rest.as_slice()) {
            ("in", [s, r]) => Self::In { sender: user(s)?, room: room(r)? },
            ("p", [n, s, r]) => {
                Self::Partition { partition: number(n)?, sender: user(s)?, room: room(r)? }
            }
            ("x", [n, s, r]) => {
                Self::Outside { partition: number(n)?, sender: user(s)?, room: room(r)? }
            }
            ("ev", [n, "group", r]) => Self::EventGroup { partition: number(n)?, room: room(r)? },
            ("ev", [n, "direct"]) => Self::EventDirect { partition: number(n)? },
            ("u", [u]) => Self::User(user(u)?),
            ("ack", ["e", e, t]) => Self::AckEdge { edge: NodeId::new(e).ok()?, token: token(t)? },
            ("ack", ["u", u, t]) => Self::AckUser { user: user(u)?, token: token(t)? },
            ("sig", ["tick", n]) => Self::Tick { partition: number(n)? },
            ("sig", ["presence", n]) => Self::PresenceTick { node: NodeId::new(n).ok()? },
            ("sig", ["drain", n]) => Self::Drain { node: NodeId::new(n).ok()? },
            ("status", [u]) => Self::Status(user(u)?),
            ("typing", [u, r]) => Self::Typing { user: user(u)?, room: room(r)? },
            ("svc", [s, m]) => Self::Svc { service: token(s)?.into(), method: token(m)?.into() },
            _ => return None,
        })
    }

    /// The form on the wire. Ids are well-formed by their types; tokens and words are not, so they
    /// are looked at here: a dot in one would name another subject.
    pub(crate) fn to_wire(&self) -> Result<String, crate::Error> {
        let valid = match self {
            Self::AckEdge { token, .. } | Self::AckUser { token, .. } => is_token(token),
            Self::Svc { service, method } => is_token(service) && is_token(method),
            _ => true,
        };
        valid.then(|| self.to_string()).ok_or(crate::Error::Malformed("subject token"))
    }
}

/// A partition number as it is written: no sign, no leading zero.
fn number(text: &str) -> Option<Partition> {
    let number: Partition = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A set of subjects to subscribe to. There is deliberately none per user: each wildcard
/// subscription costs the server 50 times a literal one when traffic runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Filter {
    /// `weft.ack.e.<edge>.*`: all answers to an edge.
    AckEdge(NodeId),
    /// `weft.ack.u.<user>.*`: all answers to another system.
    AckUser(UserId),
    /// `weft.ev.<partition>.>`: all events of a partition.
    Events(Partition),
    /// `weft.ev.>`: all events.
    AllEvents,
    /// `weft.sig.tick.*`: the ticks of all partitions.
    Ticks,
    /// `weft.sig.presence.*`: the ticks of all presence nodes.
    PresenceTicks,
    /// `weft.status.*`: what others see of all users. One for a whole node, never one per user.
    Statuses,
    /// `weft.typing.*.*`: who types, anywhere. One for a whole edge, never one per user or room.
    Typing,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AckEdge(edge) => write!(f, "weft.ack.e.{edge}.*"),
            Self::AckUser(user) => write!(f, "weft.ack.u.{user}.*"),
            Self::Events(partition) => write!(f, "weft.ev.{partition}.>"),
            Self::AllEvents => f.write_str("weft.ev.>"),
            Self::Ticks => f.write_str("weft.sig.tick.*"),
            Self::PresenceTicks => f.write_str("weft.sig.presence.*"),
            Self::Statuses => f.write_str("weft.status.*"),
            Self::Typing => f.write_str("weft.typing.*.*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_round_trips() {
        let user = UserId::new("alice").expect("id");
        let direct = RoomId::new("alice~bob").expect("id");
        let group = RoomId::new("team").expect("id");
        let edge = NodeId::new("Edge-1").expect("id");
        let token = "T_0-9".to_owned();
        let subjects = [
            Subject::In { sender: user.clone(), room: direct.clone() },
            Subject::Typing { user: user.clone(), room: direct.clone() },
            Subject::Partition { partition: 0, sender: user.clone(), room: direct.clone() },
            Subject::Outside { partition: 65535, sender: user.clone(), room: direct },
            Subject::EventGroup { partition: 3, room: group },
            Subject::EventDirect { partition: 3 },
            Subject::User(user.clone()),
            Subject::PresenceTick { node: edge.clone() },
            Subject::Drain { node: edge.clone() },
            Subject::Status(user.clone()),
            Subject::AckEdge { edge, token: token.clone() },
            Subject::AckUser { user, token },
            Subject::Tick { partition: 3 },
            Subject::Svc { service: "rooms".into(), method: "list".into() },
        ];
        for subject in subjects {
            let text = subject.to_wire().expect("valid");
            assert_eq!(Subject::parse(&text), Some(subject), "{text}");
        }
    }

    #[test]
    fn other_subjects_are_not_read() {
        for bad in [
            "",
            "weft",
            "weft.",
            "weft.in",
            "weft.in.alice",
            "weft.in.alice.team.x",
            "weft.in.*.team",
            "weft.p.x.alice.team",
            "weft.p.01.alice.team",
            "weft.p.+1.alice.team",
            "weft.p.70000.alice.team",
            "weft.ev.0.other",
            "weft.ack.e.n.",
            "weft.ack.x.n.t",
            "weft.u.",
            "weft.svc.a.b.c",
            "Weft.u.alice",
        ] {
            assert_eq!(Subject::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_cannot_name_another_subject() {
        let edge = NodeId::new("e").expect("id");
        for token in ["", "a.b", "*", ">", "a b"] {
            let subject = Subject::AckEdge { edge: edge.clone(), token: token.to_owned() };
            assert!(subject.to_wire().is_err(), "{token}");
        }
    }
}
