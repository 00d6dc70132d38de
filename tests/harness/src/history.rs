//! What a run looked like from outside: every send, answer and entry that any client saw, in the
//! order in which it was recorded. The checker ([`crate::check`]) judges nothing else.

mod deeds;
mod entry;
mod recorder;
mod rule;
mod told;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

pub use deeds::{Deed, Got, Wanted};
pub use entry::{Act, Change, EVERYONE, Entry, Forward, Now, Said};
pub use recorder::{Counts, Recorder};
pub use rule::Rule;
pub use told::{Became, Draft, Followed, Listed, Scheduled, Setting};
pub use words::WORDS;

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

/// Up to where a user has read a room.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Mark {
    pub room: Room,
    pub user: Arc<str>,
    /// The seq of an entry; 0: nothing.
    pub read: u64,
    /// Up to where they have got it; 0: nothing was said of that.
    pub delivered: u64,
    /// From where on they want it to count as unread; 0: nothing was said of that.
    pub unread_from: u64,
    /// It is of a thread of the room, and of nothing else.
    pub thread: Option<OfThread>,
    /// How many messages the room has up to there, as the user's own devices are told it.
    pub read_ordinal: Option<u64>,
}

/// What a mark is about that is of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OfThread {
    /// The seq of the message with which it begins.
    pub root: u64,
    /// The user follows it from now on, or no more; `None`: the mark says up to where they have read it.
    pub follow: Option<bool>,
}

/// How a user says that they want a room to be, on all of their devices; `None`: as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    pub room: Room,
    pub user: Arc<str>,
    pub muted_until: Option<u64>,
    pub pinned: Option<bool>,
}

/// One frame that says a mark, a setting or a draft.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Attempt(pub SessionId, pub u64);

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
        /// What it says beside the text; `None`: nothing.
        said: Option<Box<Said>>,
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
        attempt: Attempt,
    },
    /// The answer to a mark was that it is kept.
    MarkKept {
        mark: Mark,
        attempt: Attempt,
    },
    /// The answer to a mark was that it is not taken, for good.
    MarkRefused {
        mark: Mark,
        /// Why.
        code: Arc<str>,
    },
    /// A device was told of a mark; of one of a thread, whether its user follows it.
    MarkTold {
        device: Device,
        mark: Mark,
    },
    /// A setting was written to a socket: the first time or again.
    SettingSent {
        wish: Wish,
        attempt: Attempt,
    },
    /// The answer to a setting was that it is kept.
    SettingKept {
        wish: Wish,
        attempt: Attempt,
    },
    /// The answer to a setting was that it is not taken, for good.
    SettingRefused {
        wish: Wish,
        /// Why.
        code: Arc<str>,
    },
    /// A device was told how its user wants a room to be.
    SettingTold {
        device: Device,
        room: Room,
        setting: Setting,
    },
    /// A draft was written to a socket: the first time or again.
    DraftSent {
        draft: Draft,
        attempt: Attempt,
    },
    /// The answer to a draft was that it is kept.
    DraftKept {
        /// As it was said.
        draft: Draft,
        version: u64,
        attempt: Attempt,
    },
    /// The answer to a draft was that there is another one.
    DraftConflict {
        /// As it was said.
        draft: Draft,
        found: Draft,
    },
    /// The answer to a draft was that it is not taken, for good.
    DraftRefused {
        draft: Draft,
        /// Why.
        code: Arc<str>,
    },
    /// A device was told of a draft.
    DraftTold {
        device: Device,
        draft: Draft,
    },
    /// The device loaded its user's drafts (after a `resync`): all that are not dismissed.
    DraftsLoaded {
        device: Device,
        drafts: Vec<Draft>,
    },
    /// At the end, in silence: a user's drafts that are not dismissed, as a fresh device asks for them.
    Drafts {
        user: Arc<str>,
        drafts: Vec<Draft>,
    },
    /// A user has turned off read receipts, before anything was said.
    ReceiptsOff {
        user: Arc<str>,
    },
    /// At the end, in silence: a member's mark, as the store has it.
    FinalMark {
        mark: Mark,
    },
    /// At the end, in silence: a room in the list of a user's rooms, as a fresh device asks for it.
    Listed {
        user: Arc<str>,
        room: Room,
        listed: Listed,
    },
    /// The device loaded its rooms (after a `resync`): what the list says of one.
    ListLoaded {
        device: Device,
        room: Room,
        listed: Listed,
    },
    /// The device loaded the threads of a room that its user follows (after a `resync`).
    ThreadsLoaded {
        device: Device,
        room: Room,
        threads: Vec<Followed>,
    },
    /// At the end, in silence: a room's pinned messages, as a member finds them: by the seqs of their pins, newest first.
    Pinned {
        user: Arc<str>,
        room: Room,
        /// Seqs of the messages, and of their pins.
        pins: Vec<(u64, u64)>,
    },
    /// At the end, in silence: the threads of a room that a member follows, that which began last comes first.
    Threads {
        user: Arc<str>,
        room: Room,
        threads: Vec<Followed>,
    },
    Deed(Deed),
    /// At the end: this device had its time to get everything that its user may see.
    Settled {
        device: Device,
        room: Room,
    },
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, user, read, delivered, unread_from, thread, read_ordinal } = self;
        if let Some(thread) = thread {
            return write!(f, "{user} has read up to {read} in {room}: {thread:?}");
        }
        write!(f, "{user} has read {room} up to {read}, and got it up to {delivered}")?;
        if *unread_from > 0 {
            write!(f, ", wants it unread from {unread_from}")?;
        }
        read_ordinal.map_or(Ok(()), |ordinal| write!(f, ", {ordinal} messages are read"))
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
            Self::MarkSent { mark, .. } => write!(f, "said: {mark}"),
            Self::MarkKept { mark, .. } => write!(f, "kept: {mark}"),
            Self::MarkRefused { mark, code } => write!(f, "refused with {code}: {mark}"),
            Self::MarkTold { device, mark } => write!(f, "{device} is told: {mark}"),
            Self::SettingSent { wish, .. } => write!(f, "said: {wish:?}"),
            Self::SettingKept { wish, .. } => write!(f, "kept: {wish:?}"),
            Self::SettingRefused { wish, code } => write!(f, "refused with {code}: {wish:?}"),
            Self::SettingTold { device, room, setting } => {
                write!(f, "{device} is told of {room}: {setting:?}")
            }
            Self::DraftSent { draft, .. } => write!(f, "said: {draft:?}"),
            Self::DraftKept { draft, version, .. } => write!(f, "kept as {version}: {draft:?}"),
            Self::DraftConflict { draft, found } => {
                write!(f, "not kept: {draft:?}, there is {found:?}")
            }
            Self::DraftRefused { draft, code } => write!(f, "refused with {code}: {draft:?}"),
            Self::DraftTold { device, draft } => write!(f, "{device} is told: {draft:?}"),
            Self::DraftsLoaded { device, drafts } => write!(f, "{device} finds {drafts:?}"),
            Self::Drafts { user, drafts } => write!(f, "in the end {user} finds {drafts:?}"),
            Self::ReceiptsOff { user } => write!(f, "{user} tells and hears no receipts"),
            Self::FinalMark { mark } => write!(f, "in the end {mark}"),
            Self::Listed { user, room, listed } => {
                write!(f, "in the end {user} finds {room} in the list: {listed:?}")
            }
            Self::ListLoaded { device, room, listed } => {
                write!(f, "{device} finds {room} in the list: {listed:?}")
            }
            Self::ThreadsLoaded { device, room, threads } => {
                write!(f, "{device} finds that it follows in {room}: {threads:?}")
            }
            Self::Pinned { user, room, pins } => {
                write!(f, "in the end {user} finds pinned in {room}: {pins:?}")
            }
            Self::Threads { user, room, threads } => {
                write!(f, "in the end {user} follows in {room}: {threads:?}")
            }
            Self::Deed(deed) => write!(f, "{deed}"),
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
    /// The entries of a room before this one that anybody saw, as they were taken where somebody saw that.
    pub fn seen_before(&self, room: &Room, first: u64) -> Vec<Entry> {
        let mut seen: BTreeMap<u64, &Entry> = BTreeMap::new();
        for event in &self.events {
            let (Event::Received { entry, .. } | Event::Loaded { entry, .. }) = event else {
                continue;
            };
            if entry.room == *room && entry.seq < first {
                let kept = seen.entry(entry.seq).or_insert(entry);
                if !kept.is_as_taken() {
                    *kept = entry;
                }
            }
        }
        seen.into_values().cloned().collect()
    }

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
