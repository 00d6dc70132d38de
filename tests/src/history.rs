//! What a run looked like from outside: every send, answer and entry that any client saw, in the
//! order in which it was recorded. The checker ([`crate::check`]) judges nothing else.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// One installation of a user: `alice/phone`. It keeps its entries over its sessions.
pub type Device = Arc<str>;
/// A room id.
pub type Room = Arc<str>;
/// A client id.
pub type ClientId = Arc<str>;

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
    /// Its room.
    pub room: Room,
    /// Its place there.
    pub seq: u64,
    /// Who sent it.
    pub from: Arc<str>,
    /// The sender's id for it.
    pub client_id: Option<ClientId>,
    /// A hash of the whole entry: two readers of one (room, seq) must see the same.
    pub digest: u64,
    /// A hash of the text alone: to compare with what was sent. 0 where there is no text.
    pub text: u64,
}

impl Entry {
    /// Reads an `entry` frame (or an element of `history`); `None` where a field is missing.
    #[must_use]
    pub fn read(frame: &Value) -> Option<Self> {
        Some(Self {
            room: frame["room"].as_str()?.into(),
            seq: frame["seq"].as_u64()?,
            from: frame["from"].as_str()?.into(),
            client_id: frame["client_id"].as_str().map(Into::into),
            digest: hash(&without_request_id(frame).to_string()),
            text: frame["text"].as_str().map_or(0, hash),
        })
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
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish().max(1)
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `welcome` came. `resumed`: the `hello` had a cursor.
    Opened {
        /// Whose socket.
        device: Device,
        /// The new session.
        session: SessionId,
        /// It gave a cursor.
        resumed: bool,
    },
    /// A `send` was written to a socket: the first time or again.
    Sent {
        /// Who.
        device: Device,
        /// On which socket.
        session: SessionId,
        /// Where to.
        room: Room,
        /// Kept over resends.
        client_id: ClientId,
        /// Hash of the text ([`hash`]); 0 for other kinds.
        text: u64,
    },
    /// An `ack` came.
    Acked {
        /// Who.
        device: Device,
        /// On which socket.
        session: SessionId,
        /// As the ack says.
        room: Room,
        /// As the ack says.
        client_id: ClientId,
        /// As the ack says.
        seq: u64,
    },
    /// An error came as the answer to a `send`.
    Refused {
        /// Who.
        device: Device,
        /// Which one.
        client_id: ClientId,
        /// The code.
        code: Arc<str>,
        /// As the error says.
        temporary: bool,
    },
    /// An entry was pushed on a socket.
    Received {
        /// Who.
        device: Device,
        /// On which socket.
        session: SessionId,
        /// What.
        entry: Entry,
    },
    /// The device loaded an entry by `history` (after a `resync`).
    Loaded {
        /// Who.
        device: Device,
        /// What.
        entry: Entry,
    },
    /// A `synced` came.
    Synced {
        /// Who.
        device: Device,
        /// On which socket.
        session: SessionId,
        /// As it says.
        recovered: bool,
    },
    /// The socket ended.
    Closed {
        /// Whose.
        device: Device,
        /// Which.
        session: SessionId,
        /// The close code; `None`: it was cut.
        code: Option<u16>,
    },
    /// At the end, in silence: a room's whole log as a fresh reader sees it.
    Final {
        /// The room.
        room: Room,
        /// Its entries, as they were answered.
        entries: Vec<Entry>,
    },
    /// At the end: this device, a member from the room's first entry on, had its time to get
    /// everything.
    Settled {
        /// Who.
        device: Device,
        /// Where.
        room: Room,
    },
}

/// A whole run.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// In the order of recording.
    pub events: Vec<Event>,
}

/// Takes events from many clients at once.
#[derive(Clone, Default, Debug)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default, Debug)]
struct Inner {
    history: History,
    sessions: u64,
    acked: u64,
}

impl Recorder {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an event.
    pub fn record(&self, event: Event) {
        self.with(|inner| {
            inner.acked += u64::from(matches!(event, Event::Acked { .. }));
            inner.history.events.push(event);
        });
    }

    /// A name for a new session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.with(|inner| {
            inner.sessions += 1;
            SessionId(inner.sessions)
        })
    }

    /// How many acks came so far.
    #[must_use]
    pub fn acked(&self) -> u64 {
        self.with(|inner| inner.acked)
    }

    /// All that was recorded so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.with(|inner| inner.history.clone())
    }
}

impl History {
    /// One line per event, for a file that is kept when a run fails.
    #[must_use]
    pub fn to_lines(&self) -> String {
        self.events.iter().fold(String::new(), |mut lines, event| {
            let _ = fmt::Write::write_fmt(&mut lines, format_args!("{event:?}\n"));
            lines
        })
    }
}
