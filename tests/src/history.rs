//! What a run looked like from outside: every send, answer and entry that any client saw, in the
//! order in which it was recorded. The checker ([`crate::check`]) judges nothing else.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One installation of a user: `alice/phone`. It keeps its entries over its sessions.
pub type Device = Arc<str>;
/// A room id.
pub type Room = Arc<str>;
/// A client id.
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
    #[must_use]
    pub fn read(frame: &Value) -> Option<Self> {
        Some(Self {
            room: frame["room"].as_str()?.into(),
            seq: frame["seq"].as_u64()?,
            from: frame["from"].as_str()?.into(),
            client_id: frame["client_id"].as_str().map(Into::into),
            digest: hash(&without_request_id(frame).to_string()),
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
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish().max(1)
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// `welcome` came. Where the `hello` had a cursor, the device has kept what it had when that
    /// cursor came, and nothing that came later.
    Opened {
        /// Whose socket.
        device: Device,
        /// The new session.
        session: SessionId,
        /// What the `hello` had.
        cursor: Option<Cursor>,
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
        /// As it says.
        cursor: Cursor,
    },
    /// A `cursor` was pushed: everything up to it was on the socket.
    Cursor {
        /// Who.
        device: Device,
        /// On which socket.
        session: SessionId,
        /// As it says.
        cursor: Cursor,
    },
    /// The device has loaded its rooms anew, as it was told to: from now on the cursor counts.
    LoadedAll {
        /// Who.
        device: Device,
        /// The newest one.
        cursor: Cursor,
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
    /// At the end: this device had its time to get everything that its user may see.
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
    /// When each was recorded, since the recorder's start.
    pub times: Vec<Duration>,
}

/// Takes events from many clients at once.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    began: Instant,
}

#[derive(Default, Debug)]
struct Inner {
    history: History,
    sessions: u64,
    counts: Counts,
}

/// What a recorder has seen, of forgotten histories too.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    /// Sends, resends included.
    pub sends: u64,
    /// Acks.
    pub acks: u64,
    /// Entries pushed on sockets.
    pub deliveries: u64,
    /// Cursors pushed on sockets.
    pub cursors: u64,
    /// When the last ack came, since the recorder's start.
    pub acked_at: Duration,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { inner: Arc::default(), began: Instant::now() }
    }
}

impl Recorder {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds an event.
    pub fn record(&self, event: Event) {
        self.with(|inner| {
            let now = self.began.elapsed();
            match &event {
                Event::Sent { .. } => inner.counts.sends += 1,
                Event::Received { .. } => inner.counts.deliveries += 1,
                Event::Cursor { .. } => inner.counts.cursors += 1,
                Event::Acked { .. } => {
                    inner.counts.acks += 1;
                    inner.counts.acked_at = now;
                }
                _ => {}
            }
            inner.history.events.push(event);
            inner.history.times.push(now);
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
        self.counts().acks
    }

    /// All that was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.with(|inner| inner.counts)
    }

    /// The time in which events are recorded.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// All that was recorded so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.with(|inner| inner.history.clone())
    }

    /// All that was recorded so far; the recorder forgets it.
    #[must_use]
    pub fn take(&self) -> History {
        self.with(|inner| std::mem::take(&mut inner.history))
    }
}

impl History {
    /// One line per event, for a file that is kept when a run fails.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        for at in 0..self.events.len() {
            lines.push_str(&self.line(at));
            lines.push('\n');
        }
        lines
    }

    /// One event in a line, with its time.
    #[must_use]
    pub fn line(&self, at: usize) -> String {
        let time = self.times.get(at).copied().unwrap_or_default();
        match self.events.get(at) {
            // Found among the other lines by whoever looks for its entries.
            Some(Event::Final { room, entries }) => entries.iter().fold(
                format!("{:9.3} Final {room}: {} entries", time.as_secs_f64(), entries.len()),
                |mut text, entry| {
                    let id = entry.client_id.as_deref().unwrap_or("-");
                    text.push_str(&format!(" {}={id}", entry.seq));
                    text
                },
            ),
            Some(event) => format!("{:9.3} {event:?}", time.as_secs_f64()),
            None => String::new(),
        }
    }
}
