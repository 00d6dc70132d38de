//! The lines of an export: JSON objects, each of a `type`. A row of a table is `type`, `key` and
//! `row`; an entry's line *is* its frame of `docs/protocol.md`, byte for byte.

use serde::{Deserialize, Serialize};
use weft_proto::{Entry, RoomId, UserId};

use super::{ExportCounts, VERSION, older};
use crate::tables::head::Head;
use crate::tables::hex;
use crate::tables::member::Member;
use crate::tables::table::{AnyTable, Keyed, Row};
use crate::tables::{Carried, Tag};

/// How the line of an entry begins.
const ENTRY: &str = r#"{"type":"entry","#;

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`](super::FORMAT).
    pub format: String,
    /// [`VERSION`] of the Weft that wrote it.
    pub version: u32,
    /// The Weft that wrote it: for people.
    pub weft: String,
    /// When it was begun, Unix milliseconds.
    pub time: u64,
    /// The id of the store that it was made from. The new store has one of its own.
    #[serde(with = "hex::number")]
    pub store: u64,
    pub partitions: u16,
}

/// What a client id got: so that a resend gets the same answer. Directly after its entry.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendLine {
    pub room: RoomId,
    pub from: UserId,
    pub client_id: String,
    pub seq: u64,
    #[serde(with = "hex::number")]
    pub content_hash: u64,
    /// Whom it has invited in the place of adding them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invited: Vec<String>,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// Nothing was committed while the export was made.
    pub whole: bool,
    /// How many lines there are of each type before this one.
    pub counts: ExportCounts,
    /// SHA-256 of all bytes before this line.
    #[serde(with = "hex")]
    pub sha256: Vec<u8>,
}

/// A line that has neither key nor row.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Plain {
    Header(Header),
    Resend(ResendLine),
    Trailer(Trailer),
}

pub enum ExportLine {
    Header(Header),
    Row(Row),
    /// Opens a room: its members, and its entries from seq 1, follow.
    Room(Keyed<RoomId, Head>),
    Member(Keyed<(RoomId, UserId), Member>),
    Entry(Box<Entry>),
    Resend(ResendLine),
    Trailer(Trailer),
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    name: String,
}

impl Plain {
    /// The line, without its end.
    pub fn text(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

impl ExportLine {
    /// The word of its type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "header",
            Self::Row(row) => row.tag.name(),
            Self::Room(_) => Tag::Head.name(),
            Self::Member(_) => Tag::Member.name(),
            Self::Entry(_) => Tag::Log.name(),
            Self::Resend(_) => Tag::Resend.name(),
            Self::Trailer(_) => "trailer",
        }
    }

    /// Reads a line of a file of this version of the format; else why it can't be.
    pub fn parse(text: &str, version: u32) -> Result<Self, String> {
        let because = |error: serde_json::Error| error.to_string();
        if text.starts_with(ENTRY) {
            let entry = Entry::from_frame(text).map_err(|error| error.to_string())?;
            return Ok(Self::Entry(Box::new(entry)));
        }
        let Typed { name } = serde_json::from_str(text).map_err(because)?;
        if matches!(name.as_str(), "header" | "resend" | "trailer") {
            return Ok(match serde_json::from_str(text).map_err(because)? {
                Plain::Header(header) => Self::Header(header),
                Plain::Resend(line) => Self::Resend(line),
                Plain::Trailer(trailer) => Self::Trailer(trailer),
            });
        }
        if version <= older::VERSION {
            return Self::parse(&older::upgraded(&name, text)?, VERSION);
        }
        match name.as_str() {
            "room" => Ok(Self::Room(serde_json::from_str(text).map_err(because)?)),
            "member" => Ok(Self::Member(serde_json::from_str(text).map_err(because)?)),
            name => table(name)?.read(text).map(Self::Row),
        }
    }
}

fn table(name: &str) -> Result<&'static dyn AnyTable, String> {
    let found = Tag::all().find_map(|tag| match tag.carried() {
        Carried::Rows(table) | Carried::Partitions(table) | Carried::Entries(table)
            if table.name() == name =>
        {
            Some(table)
        }
        _ => None,
    });
    found.ok_or_else(|| format!("a line of a type that this Weft does not know: {name:?}"))
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
