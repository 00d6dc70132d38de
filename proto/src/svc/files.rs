//! What `weft files` asks core for (`weft.svc.files.…`): it alone may. Whoever's token a call carries is whose call it is;
//! calls without one are the role's own.

use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::{Empty, Method};

redacted! {
    BeginFile { name, size }
    LookAtFile { file, room, seq, user, report }
    DiscardFile { file }
    UrlKeys {}
}

/// Begins a file: from now on its owner may upload it, for a day.
///
/// Errors: `too_large`; `limit_reached`, with `retry_after_ms`, where the quota of the user's day is used up; `bad_request`.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct BeginFile {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As its owner gives it. [`File::name`] is what it is called.
    #[prost(string, tag = "2")]
    pub name: String,
    /// How many bytes will come: not 0.
    #[prost(uint64, tag = "3")]
    pub size: u64,
}
method!(BeginFile, "files", "begin", File);

/// Asks for a file that the caller may see.
///
/// Errors: `not_found`, whatever the reason is; of a report `forbidden`, `bad_request`, `too_long`; those of a token.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LookAtFile {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub file: String,
    /// The entry by which the caller sees it: they may read it, it has the file, and its time is not over. Without a `seq`: it
    /// is the avatar of the group. Without both, and without a `user`: it is the caller's own, in whatever
    /// [state](FileState) but dying.
    #[prost(string, tag = "3")]
    pub room: String,
    #[prost(uint64, tag = "4")]
    pub seq: u64,
    /// It is the avatar of this user; empty: that is not said.
    #[prost(string, tag = "5")]
    pub user: String,
    /// Instead of an entry: the id of a report about a message that has it, which waits for the caller as an administrator. That
    /// is told in the administrators' log.
    #[prost(string, tag = "6")]
    pub report: String,
    /// Why an administrator looks.
    #[prost(string, tag = "7")]
    pub reason: String,
}
method!(LookAtFile, "files", "look", File);

/// Gives up a file of the caller's own that no message has: an upload that is not wanted any more, finished or not. Its
/// bytes are listed as [due](ListDueFiles) an hour later.
///
/// Errors: `not_found`; `conflict` where a message has it.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DiscardFile {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub file: String,
}
method!(DiscardFile, "files", "discard", Empty);

/// Says that all bytes of a file are there, and will be after a power failure: messages may have it from now on. The same
/// again changes nothing.
///
/// Errors: `not_found`, where it is dying or deleted: its bytes are not needed; `conflict` where it is ready with another
/// content; `bad_request`.
#[derive(Clone, PartialEq, Message)]
pub struct FinishFile {
    #[prost(string, tag = "1")]
    pub file: String,
    /// Of what is kept, which may be other bytes than those that came: without what tells where an image was taken.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub sha256: Vec<u8>,
    /// What its bytes say: `image/png`.
    #[prost(string, tag = "4")]
    pub content_type: String,
    /// None: it is carried as a file, whatever its type is.
    #[prost(message, optional, tag = "5")]
    pub image: Option<ImageFacts>,
    /// Of sound and video, milliseconds; 0: not known.
    #[prost(uint64, tag = "6")]
    pub duration_ms: u64,
    /// Of an image that can't be shown, or has no thumbnails: why ([`NoPreview`](crate::file::NoPreview)). Empty: it can, or
    /// it is none.
    #[prost(string, tag = "7")]
    pub no_preview: String,
}
method!(FinishFile, "files", "ready", File);

/// Asks which files' bytes are to be deleted now. Core looks at what is due when it is asked, so ask every minute or so.
#[derive(Clone, PartialEq, Message)]
pub struct ListDueFiles {
    /// As the page before says it; empty: from the first.
    #[prost(bytes = "vec", tag = "1")]
    pub after: Vec<u8>,
}
method!(ListDueFiles, "files", "due", DueFiles);

#[derive(Clone, PartialEq, Message)]
pub struct DueFiles {
    /// No message has them, none ever will, and nobody may see them.
    #[prost(string, repeated, tag = "1")]
    pub files: Vec<String>,
    /// Ask on after this one; empty: that was all. A page may have no file, and go on even so.
    #[prost(bytes = "vec", tag = "2")]
    pub after: Vec<u8>,
}

/// Says that nothing is kept any more of a file that was due. Until that is said it is due.
///
/// Errors: `not_found`; `conflict` where it is not due.
#[derive(Clone, PartialEq, Message)]
pub struct FileDeleted {
    #[prost(string, tag = "1")]
    pub file: String,
}
method!(FileDeleted, "files", "deleted", Empty);

/// Asks for the keys by which the addresses of files are signed.
#[derive(Clone, PartialEq, Message)]
pub struct GetUrlKeys {}
method!(GetUrlKeys, "files", "keys", UrlKeys);

/// Secrets of the role: all its nodes have the same.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct UrlKeys {
    /// 32 bytes each, newest first, never empty: the first signs, all verify.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub keys: Vec<Vec<u8>>,
}

/// What becomes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum FileState {
    /// Of a newer core: not to be shown.
    Unknown = 0,
    /// Its bytes are on their way.
    Uploading = 1,
    /// Messages may have it.
    Ready = 2,
    /// No message has it, and none will.
    Dying = 3,
}

#[derive(Clone, PartialEq, Message)]
pub struct File {
    #[prost(string, tag = "1")]
    pub file: String,
    /// Who has uploaded it.
    #[prost(string, tag = "2")]
    pub owner: String,
    #[prost(string, tag = "3")]
    pub name: String,
    /// While it is uploaded: how many bytes will come.
    #[prost(uint64, tag = "4")]
    pub size: u64,
    #[prost(enumeration = "FileState", tag = "5")]
    pub state: i32,
    /// When it was begun, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub created_ms: u64,
    /// Until when the caller may see it in this way, Unix milliseconds: while it is uploaded, until when it may be; of an
    /// entry's, for how long the entry has it; 0: it does not end by itself.
    #[prost(uint64, tag = "7")]
    pub until_ms: u64,
    /// From here on as in [`FinishFile`]: nothing while it is uploaded.
    #[prost(bytes = "vec", tag = "8")]
    pub sha256: Vec<u8>,
    #[prost(string, tag = "9")]
    pub content_type: String,
    #[prost(message, optional, tag = "10")]
    pub image: Option<ImageFacts>,
    #[prost(uint64, tag = "11")]
    pub duration_ms: u64,
    #[prost(string, tag = "12")]
    pub no_preview: String,
}

/// What is known of an image.
#[derive(Clone, PartialEq, Message)]
pub struct ImageFacts {
    /// As it is to be seen: turned as its bytes say. Not 0.
    #[prost(uint32, tag = "1")]
    pub width: u32,
    #[prost(uint32, tag = "2")]
    pub height: u32,
    /// At most 32 bytes; empty: none.
    #[prost(bytes = "vec", tag = "3")]
    pub thumbhash: Vec<u8>,
    #[prost(bool, tag = "4")]
    pub animated: bool,
    /// There are thumbnails of it.
    #[prost(bool, tag = "5")]
    pub has_thumbnails: bool,
}
