//! What a run looked like from outside: every send, answer and entry that any client saw, in the
//! order in which it was recorded. The checker ([`crate::check`]) judges nothing else.

mod recorder;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use recorder::{Counts, Recorder};

/// One installation of a user: `alice/phone`. It keeps its entries over its sessions.
pub type Device = Arc<str>;
pub type Room = Arc<str>;
pub type ClientId = Arc<str>;
/// A cursor, as it came.
pub type Cursor = Arc<str>;

/// One live socket of a device, from its `welcome` to its end. Unique within a history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// An entry as somebody saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub room: Room,
    pub seq: u64,
    pub from: Arc<str>,
    /// The sender's id for it.
    pub client_id: Option<ClientId>,
    /// A hash of all that never changes: two readers of one (room, seq) must see the same.
    pub digest: u64,
    /// A hash of the text alone: to compare with what was sent. 0 where there is no text.
    pub text: u64,
    /// What it does to the room's members.
    pub change: Option<Box<Change>>,
    /// What it does to a message.
    pub act: Option<Box<Act>>,
    /// Of a message in an answer to `history`: what had become of it.
    pub now: Option<Box<Now>>,
}

/// What an entry does to a message, by seq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    Edits(u64),
    Deletes(u64),
    /// The emoji, and whether it is put on or taken off.
    Reacts(u64, String, bool),
    /// It was a message, or an edit, until this entry deleted it.
    DeletedBy(u64),
}

/// What became of a message, as `history` tells it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Now {
    /// The room's newest entry then: what comes after it is news.
    pub as_of: u64,
    /// The seqs of its edits.
    pub edits: Vec<u64>,
    /// Emoji, count, and whether the reader's is among them.
    pub reactions: Vec<(String, u64, bool)>,
}

/// Up to where a user has read a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub room: Room,
    pub user: Arc<str>,
    /// The seq of an entry; 0: nothing.
    pub read: u64,
    /// Up to where they have got it; 0: nothing was said of that.
    pub delivered: u64,
}

/// Who is a member from an entry on, or no longer after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// They see the room from this entry on.
    Joined(Vec<Arc<str>>),
    /// This entry is the last one that the user sees.
    Left(Arc<str>),
}

impl Entry {
    /// Reads an `entry` frame; `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        Some(Self {
            room: frame["room"].as_str()?.into(),
            seq: frame["seq"].as_u64()?,
            from: frame["from"].as_str()?.into(),
            client_id: frame["client_id"].as_str().map(Into::into),
            digest: hash(&lasting(frame).to_string()),
            text: frame["text"].as_str().map_or(0, hash),
            change: Change::read(frame).map(Box::new),
            act: Act::read(frame).map(Box::new),
            now: None,
        })
    }

    /// Reads an element of an answer to `history`. `newest`: of that answer.
    pub fn read_shown(frame: &Value, newest: u64) -> Option<Self> {
        let mut entry = Self::read(frame)?;
        if entry.is_message() {
            let edits = frame["edits"].as_array().into_iter().flatten();
            let reactions = frame["reactions"].as_array().into_iter().flatten();
            let reaction = |it: &Value| {
                Some((it["emoji"].as_str()?.to_owned(), it["count"].as_u64()?, it["own"] == true))
            };
            entry.now = Some(Box::new(Now {
                as_of: newest,
                edits: edits.map(Value::as_u64).collect::<Option<_>>()?,
                reactions: reactions.map(reaction).collect::<Option<_>>()?,
            }));
        }
        Some(entry)
    }

    /// True of a text that is there.
    pub fn is_message(&self) -> bool {
        self.text != 0 && self.act.is_none()
    }

    /// True where it says what its sender said.
    pub fn is_as_taken(&self) -> bool {
        let is_deleted = matches!(self.act.as_deref(), Some(Act::DeletedBy(_)));
        !is_deleted && self.now.as_ref().is_none_or(|now| now.edits.is_empty())
    }
}

impl Act {
    fn read(frame: &Value) -> Option<Self> {
        let target = || frame["target"].as_u64();
        let reacts =
            |is_on| Some(Self::Reacts(target()?, frame["emoji"].as_str()?.to_owned(), is_on));
        match frame["kind"].as_str()? {
            "edit" => target().map(Self::Edits),
            "delete" => target().map(Self::Deletes),
            "deleted" => frame["by"].as_u64().map(Self::DeletedBy),
            "react" => reacts(true),
            "unreact" => reacts(false),
            _ => None,
        }
    }
}

impl Change {
    fn read(frame: &Value) -> Option<Self> {
        let from = || frame["from"].as_str().map(Into::into);
        let user = || frame["user"].as_str().map(Into::into);
        match frame["kind"].as_str()? {
            "create" => {
                let others = frame["members"].as_array().into_iter().flatten();
                let others = others.filter_map(|user| user.as_str().map(Into::into));
                Some(Self::Joined(others.chain(from()).collect()))
            }
            "add" => Some(Self::Joined(vec![user()?])),
            "remove" => user().map(Self::Left),
            "leave" => from().map(Self::Left),
            _ => None,
        }
    }
}

/// Without what may become of a message, and without a request's id.
fn lasting(frame: &Value) -> Value {
    let mut frame = frame.clone();
    let Some(fields) = frame.as_object_mut() else { return frame };
    let may_be_deleted =
        matches!(fields.get("kind").and_then(Value::as_str), Some("message" | "edit" | "deleted"));
    let of_content =
        ["kind", "target", "by", "reply_to", "meta"].into_iter().filter(|_| may_be_deleted);
    for name in
        ["id", "text", "ranges", "edited_at", "edits", "reactions"].into_iter().chain(of_content)
    {
        fields.remove(name);
    }
    frame
}

/// The hash in which texts are compared.
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish().max(1)
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `welcome` came. Where the `hello` had a cursor, the device has kept what it had when that
    /// cursor came, and nothing that came later.
    Opened {
        device: Device,
        session: SessionId,
        cursor: Option<Cursor>,
    },
    /// A `send` was written to a socket: the first time or again.
    Sent {
        device: Device,
        session: SessionId,
        room: Room,
        client_id: ClientId,
        /// Hash of the text ([`hash`]); 0 for other kinds.
        text: u64,
    },
    Acked {
        device: Device,
        session: SessionId,
        room: Room,
        client_id: ClientId,
        seq: u64,
    },
    /// An error came as the answer to a `send`.
    Refused {
        device: Device,
        client_id: ClientId,
        code: Arc<str>,
        temporary: bool,
    },
    /// An entry was pushed on a socket.
    Received {
        device: Device,
        session: SessionId,
        entry: Entry,
    },
    /// The device loaded an entry by `history` (after a `resync`).
    Loaded {
        device: Device,
        entry: Entry,
    },
    Synced {
        device: Device,
        session: SessionId,
        recovered: bool,
        cursor: Cursor,
    },
    /// A `cursor` was pushed: everything up to it was on the socket.
    Cursor {
        device: Device,
        session: SessionId,
        cursor: Cursor,
    },
    /// The device has loaded its rooms anew, as it was told to: from now on the cursor counts.
    LoadedAll {
        device: Device,
        cursor: Cursor,
    },
    Closed {
        device: Device,
        session: SessionId,
        /// The close code; `None`: it was cut.
        code: Option<u16>,
    },
    /// At the end, in silence: a room's whole log as a fresh reader sees it.
    Final {
        room: Room,
        /// Its entries, as they were answered.
        entries: Vec<Entry>,
    },
    /// At the end, in silence: the same, as a member sees it.
    Shown {
        user: Arc<str>,
        room: Room,
        entries: Vec<Entry>,
    },
    /// A mark was written to a socket: the first time or again.
    MarkSent {
        mark: Mark,
    },
    /// The answer to a mark was that it is kept.
    MarkKept {
        mark: Mark,
    },
    /// A device was told of a mark.
    MarkTold {
        device: Device,
        mark: Mark,
    },
    /// At the end, in silence: a member's mark, as the store has it.
    FinalMark {
        mark: Mark,
    },
    /// At the end: this device had its time to get everything that its user may see.
    Settled {
        device: Device,
        room: Room,
    },
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, seq, from, digest, .. } = self;
        let id = self.client_id.as_deref().unwrap_or("-");
        write!(f, "{room} {seq}: {id} of {from}, {digest:x}")?;
        self.change.as_ref().map_or(Ok(()), |change| write!(f, ", {change:?}"))?;
        self.act.as_ref().map_or(Ok(()), |act| write!(f, ", {act:?}"))?;
        self.now.as_ref().map_or(Ok(()), |now| write!(f, ", {now:?}"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, user, read, delivered } = self;
        write!(f, "{user} has read {room} up to {read}, and got it up to {delivered}")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { device, session, cursor } => {
                write!(
                    f,
                    "{device} opens {session} with {}",
                    cursor.as_deref().unwrap_or("nothing")
                )
            }
            Self::Sent { device, session, room, client_id, .. } => {
                write!(f, "{device} sends {client_id} to {room} on {session}")
            }
            Self::Acked { device, session, room, client_id, seq } => {
                write!(f, "{device} hears that {client_id} is {room} {seq} on {session}")
            }
            Self::Refused { device, client_id, code, temporary } => {
                let how = if *temporary { "for now" } else { "for good" };
                write!(f, "{device} hears that {client_id} is refused {how}: {code}")
            }
            Self::Received { device, session, entry } => {
                write!(f, "{device} gets {entry}, on {session}")
            }
            Self::Loaded { device, entry } => write!(f, "{device} loads {entry}"),
            Self::Synced { device, session, recovered, cursor } => {
                let what = if *recovered { "synced" } else { "told to load anew" };
                write!(f, "{device} is {what} up to {cursor} on {session}")
            }
            Self::Cursor { device, session, cursor } => {
                write!(f, "{device} is told {cursor} on {session}")
            }
            Self::LoadedAll { device, cursor } => {
                write!(f, "{device} has loaded all and keeps {cursor}")
            }
            Self::Closed { device, session, code } => {
                write!(f, "{device} loses {session} with {code:?}")
            }
            Self::Final { room, entries } => {
                write!(f, "in the end {room} has {} entries", entries.len())
            }
            Self::Shown { user, room, entries } => {
                write!(f, "in the end {user} sees {} entries of {room}", entries.len())
            }
            Self::MarkSent { mark } => write!(f, "said: {mark}"),
            Self::MarkKept { mark } => write!(f, "kept: {mark}"),
            Self::MarkTold { device, mark } => write!(f, "{device} is told: {mark}"),
            Self::FinalMark { mark } => write!(f, "in the end {mark}"),
            Self::Settled { device, room } => write!(f, "{device} has had its time for {room}"),
        }
    }
}

#[derive(Clone, Default, Debug)]
pub struct History {
    /// In the order of recording.
    pub events: Vec<Event>,
    /// When each was recorded, since the recorder's start.
    pub times: Vec<Duration>,
}

impl History {
    /// One line per event, for a file that is kept when a run fails.
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        for at in 0..self.events.len() {
            lines.push_str(&self.line(at));
            lines.push('\n');
        }
        lines
    }

    /// One event in a line, with its time.
    pub fn line(&self, at: usize) -> String {
        let time = self.times.get(at).copied().unwrap_or_default().as_secs_f64();
        self.events.get(at).map(|event| format!("{time:9.3} {event}")).unwrap_or_default()
    }
}
