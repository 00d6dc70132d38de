//! What users and administrators do that is no entry, mark, setting or draft, and what is told of it.

use std::fmt;
use std::sync::Arc;

use super::{Attempt, ClientId, Device, Entry, Room, Scheduled, WORDS};

/// What somebody asks for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wanted {
    /// The user wants nothing of the other one, or not any more.
    Block { user: Arc<str>, other: Arc<str>, is_on: bool },
    /// A message of the user is to be sent at a time, Unix milliseconds. `text`: its hash.
    Schedule { user: Arc<str>, room: Room, id: ClientId, at_ms: u64, text: u64 },
    /// It is not to be sent.
    Unschedule { user: Arc<str>, room: Room, id: ClientId },
    /// The user wants to come into a group.
    Ask { user: Arc<str>, room: Room },
    /// Not any more, or an owner declines it.
    EndAsking { user: Arc<str>, room: Room },
    /// Somebody wants the user to come into a group, who decides that by themselves.
    Invite { user: Arc<str>, room: Room },
    /// Not any more, or the user declines it.
    EndInvitation { user: Arc<str>, room: Room },
    /// An administrator suspends the user, or not any more.
    Suspend { user: Arc<str>, is_on: bool },
    /// First messages of who is not known to the user are a request, or not any more.
    AskStrangers { user: Arc<str>, is_on: bool },
    /// The other one is a contact of the user, or not any more.
    Contact { user: Arc<str>, other: Arc<str>, is_on: bool },
    /// The others of a room hear that the user types.
    Type { user: Arc<str>, room: Room },
}

/// What somebody read of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Got {
    /// Its SHA-256, in hexadecimal digits.
    Whole(Arc<str>),
    /// What was served as the whole file, and can't be it.
    Broken(String),
    /// There is none, or they may not see it.
    NotFound,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// The user is an administrator of the installation, before anything was said.
    Administers {
        user: Arc<str>,
    },
    /// The user lets nobody put them into groups: they decide by themselves.
    Decides {
        user: Arc<str>,
    },
    /// It was written to a socket, or sent by HTTP: the first time or again.
    Asked {
        wanted: Wanted,
        attempt: Attempt,
    },
    /// The answer was that it is done.
    Done {
        wanted: Wanted,
        attempt: Attempt,
    },
    /// The answer was that it is not taken, for good.
    Refused {
        wanted: Wanted,
        attempt: Attempt,
        code: Arc<str>,
    },
    /// A device was told whether its user blocks somebody.
    BlockTold {
        device: Device,
        other: Arc<str>,
        is_on: bool,
    },
    /// The device loaded whom its user blocks (after a `resync`).
    BlocksLoaded {
        device: Device,
        others: Vec<Arc<str>>,
    },
    /// At the end, in silence: whom a user blocks, as a fresh device asks for it.
    Blocks {
        user: Arc<str>,
        others: Vec<Arc<str>>,
    },
    /// A device was told what became of a message that its user has scheduled.
    ScheduleTold {
        device: Device,
        told: Scheduled,
    },
    /// The device loaded what of it waits or has failed (after a `resync`).
    ScheduledLoaded {
        device: Device,
        all: Vec<Scheduled>,
    },
    /// At the end, in silence: the same, as a fresh device asks for it.
    Scheduled {
        user: Arc<str>,
        all: Vec<Scheduled>,
    },
    /// A device was told whether its user is invited into a group.
    InvitationTold {
        device: Device,
        room: Room,
        is_on: bool,
    },
    /// The device loaded into which groups its user is invited (after a `resync`).
    InvitationsLoaded {
        device: Device,
        rooms: Vec<Room>,
    },
    /// At the end, in silence: the same, as a fresh device asks for it.
    Invitations {
        user: Arc<str>,
        rooms: Vec<Room>,
    },
    /// At the end, in silence: who is invited into a group, as its owner finds it.
    Invited {
        room: Room,
        users: Vec<Arc<str>>,
    },
    /// All entries that a room had up to here are days older now, on purpose: those whose time is over by the room's rule.
    Aged {
        room: Room,
        up_to: u64,
    },
    /// At the end, in silence: the first entry that a room has. Those before it, as `Final` names them, were seen before.
    Begins {
        room: Room,
        first: u64,
    },
    /// At the end, in silence: who asks to come into a group, as its owner finds it.
    Asking {
        room: Room,
        users: Vec<Arc<str>>,
    },
    /// A device was told that somebody types.
    TypingTold {
        device: Device,
        room: Room,
        user: Arc<str>,
    },
    /// A device was told that somebody else is here.
    SeenHere {
        device: Device,
        other: Arc<str>,
    },
    /// A user asks by HTTP how far the other one of a direct room has read it.
    Looks {
        user: Arc<str>,
        room: Room,
        attempt: Attempt,
    },
    /// The answer said it, or not.
    Sees {
        user: Arc<str>,
        room: Room,
        attempt: Attempt,
        is_shown: bool,
    },
    /// A user has uploaded a file, and was told what it is. `sha256` in hexadecimal digits.
    Uploaded {
        user: Arc<str>,
        file: Arc<str>,
        sha256: Arc<str>,
        is_as_sent: bool,
    },
    /// A user does not want it any more.
    Discards {
        user: Arc<str>,
        file: Arc<str>,
    },
    /// A user asks for a file of a message.
    Fetches {
        user: Arc<str>,
        room: Room,
        seq: u64,
        attempt: Attempt,
    },
    Fetched {
        user: Arc<str>,
        room: Room,
        seq: u64,
        file: Arc<str>,
        attempt: Attempt,
        got: Got,
    },
    /// At the end, in silence: all files that messages have are read from now on.
    FilesRead,
    /// A user searches for something.
    Searches {
        user: Arc<str>,
        attempt: Attempt,
    },
    /// What they were answered: messages as they are now. `word`: which of [`super::WORDS`] they look for.
    Finds {
        user: Arc<str>,
        word: usize,
        attempt: Attempt,
        entries: Vec<Entry>,
    },
    /// At the end, in silence: all that a user finds of a word.
    FoundAll {
        user: Arc<str>,
        word: usize,
        places: Vec<(Room, u64)>,
    },
    /// At the end, in silence: the direct rooms that are a request to a user, as they find them.
    Requests {
        user: Arc<str>,
        rooms: Vec<Room>,
    },
}

impl Wanted {
    fn concerns(&self, of: &str) -> bool {
        match self {
            Self::Block { user, other, .. } | Self::Contact { user, other, .. } => {
                [user, other].iter().any(|it| ***it == *of)
            }
            Self::Schedule { user, .. }
            | Self::Unschedule { user, .. }
            | Self::Ask { user, .. }
            | Self::EndAsking { user, .. }
            | Self::Invite { user, .. }
            | Self::EndInvitation { user, .. }
            | Self::Suspend { user, .. }
            | Self::AskStrangers { user, .. }
            | Self::Type { user, .. } => **user == *of,
        }
    }
}

impl Deed {
    /// True where it has to do with a user.
    pub fn concerns(&self, of: &str) -> bool {
        match self {
            Self::Aged { .. } | Self::Begins { .. } | Self::FilesRead => true,
            Self::Asking { users, .. } | Self::Invited { users, .. } => {
                users.iter().any(|user| **user == *of)
            }
            Self::Administers { user }
            | Self::Decides { user }
            | Self::Invitations { user, .. }
            | Self::Blocks { user, .. }
            | Self::Requests { user, .. }
            | Self::Uploaded { user, .. }
            | Self::Discards { user, .. }
            | Self::Fetches { user, .. }
            | Self::Fetched { user, .. }
            | Self::Searches { user, .. }
            | Self::Finds { user, .. }
            | Self::FoundAll { user, .. }
            | Self::Looks { user, .. }
            | Self::Sees { user, .. }
            | Self::Scheduled { user, .. } => **user == *of,
            Self::Asked { wanted, .. } | Self::Done { wanted, .. } => wanted.concerns(of),
            Self::Refused { wanted, .. } => wanted.concerns(of),
            Self::SeenHere { device, other } => {
                **other == *of || device.split('/').next() == Some(of)
            }
            Self::TypingTold { device, user, .. } => {
                **user == *of || device.split('/').next() == Some(of)
            }
            Self::BlockTold { device, .. }
            | Self::BlocksLoaded { device, .. }
            | Self::ScheduleTold { device, .. }
            | Self::InvitationTold { device, .. }
            | Self::InvitationsLoaded { device, .. }
            | Self::ScheduledLoaded { device, .. } => device.split('/').next() == Some(of),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administers { user } => write!(f, "{user} is an administrator"),
            Self::Asked { wanted, .. } => write!(f, "said: {wanted:?}"),
            Self::Done { wanted, .. } => write!(f, "kept: {wanted:?}"),
            Self::Refused { wanted, code, .. } => write!(f, "refused with {code}: {wanted:?}"),
            Self::BlockTold { device, other, is_on } => {
                write!(f, "{device} is told that {other} is blocked: {is_on}")
            }
            Self::BlocksLoaded { device, others } => {
                write!(f, "{device} finds that its user blocks {others:?}")
            }
            Self::Blocks { user, others } => write!(f, "in the end {user} blocks {others:?}"),
            Self::ScheduleTold { device, told } => write!(f, "{device} is told: {told:?}"),
            Self::ScheduledLoaded { device, all } => write!(f, "{device} finds {all:?}"),
            Self::Decides { user } => write!(f, "{user} lets nobody put them into groups"),
            Self::InvitationTold { device, room, is_on } => {
                write!(f, "{device} is told that it is invited into {room}: {is_on}")
            }
            Self::InvitationsLoaded { device, rooms } => {
                write!(f, "{device} finds that it is invited into {rooms:?}")
            }
            Self::Invitations { user, rooms } => {
                write!(f, "in the end {user} is invited into {rooms:?}")
            }
            Self::Invited { room, users } => {
                write!(f, "in the end {users:?} are invited into {room}")
            }
            Self::Aged { room, up_to } => write!(f, "{room} is days older, up to {up_to}"),
            Self::Begins { room, first } => write!(f, "in the end {room} begins at {first}"),
            Self::Asking { room, users } => {
                write!(f, "in the end {users:?} ask to come into {room}")
            }
            Self::TypingTold { device, room, user } => {
                write!(f, "{device} is told that {user} types in {room}")
            }
            Self::SeenHere { device, other } => write!(f, "{device} is told that {other} is here"),
            Self::Looks { user, room, .. } => {
                write!(f, "{user} asks how far the other one has read {room}")
            }
            Self::Sees { user, room, is_shown, .. } => {
                write!(f, "{user} is shown how far the other one has read {room}: {is_shown}")
            }
            Self::Uploaded { user, file, sha256, is_as_sent } => {
                write!(f, "{user} has uploaded {file}: {sha256}, as sent: {is_as_sent}")
            }
            Self::Discards { user, file } => write!(f, "{user} discards {file}"),
            Self::Fetches { user, room, seq, .. } => {
                write!(f, "{user} asks for a file of {room} {seq}")
            }
            Self::Fetched { user, room, seq, file, got, .. } => {
                write!(f, "{user} gets the file {file} of {room} {seq}: {got:?}")
            }
            Self::FilesRead => f.write_str("in the end all files are read"),
            Self::Searches { user, .. } => write!(f, "{user} searches"),
            Self::Finds { user, word, entries, .. } => {
                write!(f, "{user} finds {}:", WORDS[*word].0)?;
                entries.iter().try_for_each(|entry| write!(f, " {} {},", entry.room, entry.seq))
            }
            Self::FoundAll { user, word, places } => {
                write!(f, "in the end {user} finds {}: {places:?}", WORDS[*word].0)
            }
            Self::Requests { user, rooms } => {
                write!(f, "in the end {rooms:?} are a request to {user}")
            }
            Self::Scheduled { user, all } => write!(f, "in the end {user} finds {all:?}"),
        }
    }
}
