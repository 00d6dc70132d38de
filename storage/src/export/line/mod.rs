//! The lines of an export: JSON objects, each of a `type`. Field names are those of the frames in
//! `docs/protocol.md`; an entry's line *is* its frame, byte for byte.

mod partitions;
mod people;
mod rooms;

use serde::{Deserialize, Serialize};
use weft_proto::Entry;

pub use partitions::{DeadLetterLine, JournalLine, PartitionLine};
pub use people::{AccountLine, ChosenLine, DeviceLine, LastActiveLine, SigningKeyLine};
pub use rooms::{MemberLine, ResendLine, RoomLine};

use super::{Counts, hex};

/// How the line of an entry begins.
const ENTRY: &str = r#"{"type":"entry","#;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// [`VERSION`](super::VERSION).
    pub version: u32,
    /// The Weft that wrote it: for people.
    pub weft: String,
    /// When it was begun, Unix milliseconds.
    pub time: u64,
    /// The id of the store that it was made from. The new store has one of its own.
    #[serde(with = "hex::number")]
    pub store: u64,
    /// How many partitions the store has.
    pub partitions: u16,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// Nothing was committed while the export was made.
    pub whole: bool,
    /// How many lines there are of each type before this one.
    pub counts: Counts,
    /// SHA-256 of all bytes before this line.
    #[serde(with = "hex")]
    pub sha256: Vec<u8>,
}

/// A line. In the order in which they stand in an export.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Header(Header),
    SigningKey(SigningKeyLine),
    Account(AccountLine),
    Device(DeviceLine),
    Chosen(ChosenLine),
    LastActive(LastActiveLine),
    /// Opens a room: its members, and its entries from seq 1, follow.
    Room(RoomLine),
    Member(MemberLine),
    /// Its own form: see [`Line::text`].
    #[serde(skip)]
    Entry(Box<Entry>),
    /// Stands behind its entry.
    Resend(ResendLine),
    DeadLetter(DeadLetterLine),
    Partition(PartitionLine),
    Journal(JournalLine),
    Trailer(Trailer),
}

impl Line {
    /// The word of its type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::SigningKey(_) => "signing_key",
            Self::Account(_) => "account",
            Self::Device(_) => "device",
            Self::Chosen(_) => "chosen",
            Self::LastActive(_) => "last_active",
            Self::Room(_) => "room",
            Self::Member(_) => "member",
            Self::Entry(_) => "entry",
            Self::Resend(_) => "resend",
            Self::DeadLetter(_) => "dead_letter",
            Self::Partition(_) => "partition",
            Self::Journal(_) => "journal",
            Self::Trailer(_) => "trailer",
        }
    }

    /// The line, without its end.
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::Entry(entry) => entry.to_frame(),
            other => serde_json::to_vec(other).expect("plain fields serialise"),
        }
    }

    /// Reads a line; else why it can't be.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(ENTRY) {
            let entry = Entry::from_frame(text).map_err(|error| error.to_string())?;
            return Ok(Self::Entry(Box::new(entry)));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
