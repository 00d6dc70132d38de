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
    /// A hash of the whole entry: two readers of one (room, seq) must see the same.
    pub digest: u64,
    /// A hash of the text alone: to compare with what was sent. 0 where there is no text.
    pub text: u64,
    /// What it does to the room's members.
    pub change: Option<Box<Change>>,
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
    /// Reads an `entry` frame (or an element of `history`); `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        Some(Self {
            room: frame["room"].as_str()?.into(),
            seq: frame["seq"].as_u64()?,
            from: frame["from"].as_str()?.into(),
            client_id: frame["client_id"].as_str().map(Into::into),
            digest: hash(&match frame.get("id") {
                Some(_) => without_request_id(frame).to_string(),
                None => frame.to_string(),
            }),
            text: frame["text"].as_str().map_or(0, hash),
            change: Change::read(frame).map(Box::new),
        })
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

fn without_request_id(frame: &Value) -> Value {
    let mut frame = frame.clone();
    if let Some(fields) = frame.as_object_mut() {
        fields.remove("id");
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
        self.change.as_ref().map_or(Ok(()), |change| write!(f, ", {change:?}"))
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
