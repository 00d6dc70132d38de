//! What messages may have beside their text: a row for each file. Its bytes are elsewhere, with `weft files`. Written by core's
//! services alone, each time guarded by the row as it was.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::svc::FileState;
use weft_proto::{ApiError, FileId, UserId, word};

use super::key::{Key, KeyReader};
use super::table::{KeyPart, Table};
use super::{Tag, file_due, hex, record};
use crate::error::Error;

/// So long after it was marked as dying a file's bytes are deleted, in milliseconds: whatever an owner planned while the
/// file was ready is committed by then, or never.
pub const DYING_MS: u64 = 3_600_000;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Who has uploaded it; empty: nobody, it is the image of a preview.
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// In bytes; while it is uploaded: how many will come.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    #[prost(enumeration = "FileState", tag = "4")]
    #[serde(serialize_with = "word::write::<FileState, _>")]
    #[serde(deserialize_with = "word::read::<FileState, _>")]
    pub state: i32,
    /// When it was begun, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    /// Of a dying one: since when, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub dying_ms: u64,
    /// From here on nothing while it is uploaded.
    #[prost(bytes = "vec", tag = "7")]
    #[serde(with = "hex")]
    pub sha256: Vec<u8>,
    #[prost(string, tag = "8")]
    pub content_type: String,
    #[prost(message, optional, tag = "9")]
    pub image: Option<Image>,
    /// Of sound and video, milliseconds; 0: not known.
    #[prost(uint64, tag = "10")]
    pub duration_ms: u64,
    /// Of an image without a preview: why, in a word. Empty: there is one, or it is none.
    #[prost(string, tag = "11")]
    pub no_preview: String,
}

/// What is known of an image.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Image {
    #[prost(uint32, tag = "1")]
    pub width: u32,
    #[prost(uint32, tag = "2")]
    pub height: u32,
    #[prost(bytes = "vec", tag = "3")]
    #[serde(with = "hex")]
    pub thumbhash: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub animated: bool,
    #[prost(bool, tag = "5")]
    pub has_thumbnails: bool,
}

impl Table for File {
    const TAG: Tag = Tag::File;
    const NAME: &str = "file";
    type Key = FileId;
    type Row = Self;

    /// It is listed, too.
    fn pairs(id: &FileId, row: &Self) -> Vec<(Bytes, Bytes)> {
        vec![(key(*id), row.encode()), (file_due::key(row.due_ms(), *id), Bytes::new())]
    }
}

impl KeyPart for FileId {
    fn write(&self, key: Key) -> Key {
        key.raw(&self.to_bytes())
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
        Ok(Self::from_bytes(reader.array()?))
    }
}

#[must_use]
pub fn key(id: FileId) -> Bytes {
    File::key(&id)
}

impl File {
    /// True while messages may get it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state() == FileState::Ready
    }

    /// True where it is the image of a preview.
    #[must_use]
    pub fn is_nobodys(&self) -> bool {
        self.owner.is_empty()
    }

    /// When it is looked at, where no message has it.
    #[must_use]
    pub fn due_ms(&self) -> u64 {
        match self.state() {
            FileState::Dying => self.dying_ms.saturating_add(DYING_MS),
            _ => self.created_ms.saturating_add(weft_proto::limits::FILE_WAITS_MS),
        }
    }

    /// # Errors
    /// Where the owner's name is none.
    pub fn owner(&self) -> Result<UserId, ApiError> {
        UserId::new(&self.owner)
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form, and nothing less than all of it: it is written anew.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(Self::NAME, bytes)
    }
}
