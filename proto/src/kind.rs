//! The kinds of entries. A kind is one file in this folder and one line of the list below. Its file
//! has its fields, how they are checked, and what others have to know of it without knowing which
//! kind it is ([`Kind`]).
//!
//! A body travels in two forms. In frames and in the ingest log it is a flat JSON object: `kind` and
//! the kind's fields. In the store its fields are a part of the entry's message ([`Entry`]): tags are
//! never reused, and no two kinds use one tag for different things. A new kind is a sub-message under
//! a tag of its own.
//!
//! [`Entry`]: crate::Entry

use std::borrow::Cow;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::check::{missing, not_zero};
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::{read_object, text_of};
use crate::partition::Fnv64;
use crate::room::RoomId;

use self::formatting::Mentions;

mod add;
mod ask;
mod attachments;
mod ban;
mod buttons;
mod close;
mod create;
mod decline;
mod delete;
mod deleted;
mod dnd;
mod draft;
mod due;
mod edit;
mod expire;
pub mod formatting;
mod join;
mod leave;
mod link;
mod mark;
mod pin;
mod preview;
mod react;
mod relation;
mod remove;
mod rename;
mod role;
mod schedule;
mod setting;
mod text;
mod unban;
mod unlink;
mod unpin;
mod unpreview;
mod unreact;
mod unschedule;
mod update;

/// The only list of all kinds: makes [`Body`] of them.
macro_rules! kinds {
    ($($Kind:ident in $file:ident,)+) => {
        $(pub use $file::$Kind;)+

        /// The content of an entry, checked.
        #[derive(Clone, PartialEq, Eq, Debug, Serialize)]
        #[serde(untagged)]
        pub enum Body {
            $(#[doc = concat!("See [`", stringify!($Kind), "`].")] $Kind($Kind),)+
        }

        impl Body {
            #[must_use]
            pub fn kind(&self) -> &'static Kind {
                match self { $(Self::$Kind(_) => &$Kind::KIND,)+ }
            }

            /// The one user whom an entry of this body concerns beside all members: who joins, leaves
            /// or gets a role. `from` sends it.
            #[must_use]
            pub fn user<'a>(&'a self, from: &'a UserId) -> Option<&'a UserId> {
                match self { $(Self::$Kind(it) => it.user(from),)+ }
            }

            /// All whom it concerns, each once: [`user`](Self::user), or several.
            #[must_use]
            pub fn users<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
                match self { $(Self::$Kind(it) => it.users(from),)+ }
            }

            /// The users, beside its sender, of whose membership a decision about it has to know.
            #[must_use]
            pub fn members<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
                match self { $(Self::$Kind(it) => it.members(from),)+ }
            }

            /// What becomes of those whom it concerns.
            #[must_use]
            pub fn membership(&self) -> Membership {
                match self { $(Self::$Kind(it) => it.membership(),)+ }
            }

            /// The users of whose accounts a decision about it has to know.
            #[must_use]
            pub fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
                match self { $(Self::$Kind(it) => it.accounts(from),)+ }
            }

            /// The seq of the message that it changes, where it does.
            #[must_use]
            pub fn target(&self) -> Option<u64> {
                match self { $(Self::$Kind(it) => it.target(),)+ }
            }

            /// The seq of the message that it answers, where it does.
            #[must_use]
            pub fn reply_to(&self) -> Option<u64> {
                match self { $(Self::$Kind(it) => it.reply_to(),)+ }
            }

            /// Whether an entry of this body is counted by ordinals, and so by unread counts.
            #[must_use]
            pub fn counts(&self) -> bool {
                match self { $(Self::$Kind(it) => it.counts(),)+ }
            }

            /// Whether a list of rooms may show it as the newest entry of its room: what only changes a
            /// message is not shown there.
            #[must_use]
            pub fn is_preview(&self) -> bool {
                match self { $(Self::$Kind(it) => it.is_preview(),)+ }
            }

            /// Whom it mentions.
            #[must_use]
            pub fn mentions(&self) -> Mentions {
                match self { $(Self::$Kind(it) => it.mentions(),)+ }
            }

            /// The seq of the message whose thread it is in, where it is in one.
            #[must_use]
            pub fn thread(&self) -> Option<u64> {
                match self { $(Self::$Kind(it) => it.thread(),)+ }
            }

            /// Somebody may send a kind of this word.
            #[must_use]
            pub fn is_sent(word: &str) -> bool {
                $((word == $Kind::KIND.word && !$Kind::KIND.is_made))||+
            }

            /// The feature level that a store needs before it takes the entry.
            #[must_use]
            pub fn level(&self) -> u32 {
                match self { $(Self::$Kind(it) => it.level(),)+ }
            }

            /// Reads the JSON form.
            ///
            /// # Errors
            /// Those of [`read_object`]; [`ErrorCode::UnknownType`]; what the kind's check says.
            pub fn from_text(json: &str) -> Result<Self, ApiError> {
                #[derive(Deserialize)]
                struct Head<'a> {
                    #[serde(borrow)]
                    kind: Option<Cow<'a, str>>,
                }
                if let Some(message) = Text::read_plain(json) {
                    return Ok(Self::Text(message));
                }
                let head: Head<'_> = read_object(json)?;
                let word = head.kind.as_deref().unwrap_or(Text::KIND.word);
                $(if word == $Kind::KIND.word {
                    return $Kind::check(read_object(json)?).map(Self::$Kind);
                })+
                let shown: String = word.chars().take(32).collect();
                Err(ApiError::new(ErrorCode::UnknownType, format!("unknown kind {shown:?}")))
            }

            /// Adds the stored form of its fields.
            pub(crate) fn store(&self, entry: &mut Vec<u8>) {
                match self { $(Self::$Kind(it) => add(entry, &it.fields()),)+ }
            }

            /// Reads the fields of a stored entry, and how many of its bytes they are. `None`: of a
            /// kind that this Weft does not know.
            pub(crate) fn from_stored(
                number: i32,
                entry: &[u8],
            ) -> Option<Result<(Self, usize), String>> {
                $(if number == $Kind::KIND.number {
                    return Some(take::<$Kind>(entry).map(|(it, len)| (Self::$Kind(it), len)));
                })+
                None
            }
        }

        /// The words of all kinds.
        pub const WORDS: &[&str] = &[$($Kind::KIND.word,)+];

        #[cfg(test)]
        const ALL: &[&Kind] = &[$(&$Kind::KIND,)+];
    };
}

pub use attachments::{Attachment, Attachments, FileFacts};
pub use buttons::{Button, ButtonRow};
pub use dnd::DndHours;
pub use draft::DraftText;
pub use preview::{LinkPreview, PreviewImage};
pub use react::check_emoji;
pub use setting::{HiddenAt, MUTED_FOR_EVER};
pub use text::{Extras, Forwarded, Origin};

kinds! {
    Text in text,
    Create in create,
    Rename in rename,
    Add in add,
    Remove in remove,
    Leave in leave,
    ChangeRole in role,
    Edit in edit,
    Delete in delete,
    Deleted in deleted,
    React in react,
    Unreact in unreact,
    Mark in mark,
    Pin in pin,
    Unpin in unpin,
    Setting in setting,
    Draft in draft,
    Update in update,
    Ban in ban,
    Unban in unban,
    Join in join,
    Link in link,
    Unlink in unlink,
    Relation in relation,
    Ask in ask,
    Decline in decline,
    Expire in expire,
    Close in close,
    Schedule in schedule,
    Unschedule in unschedule,
    Due in due,
    Image in attachments,
    File in attachments,
    Preview in preview,
    Unpreview in unpreview,
}

/// What everybody has to know of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The word on the wire.
    pub word: &'static str,
    /// The number in the store. Never reused.
    pub number: i32,
    /// The feature level that a store needs before it takes entries of the kind.
    pub level: u32,
    /// What becomes of the users whom an entry concerns, as far as [`Body::membership`] does not say otherwise.
    pub membership: Membership,
    /// Entries of it are counted by unread counts, as far as [`Body::counts`] does not say otherwise.
    pub is_unread: bool,
    /// A direct room takes it, too.
    pub is_for_direct: bool,
    /// Core makes it. Nobody sends it.
    pub is_made: bool,
    /// The room's log gets it, with a seq. Else it is a command alone.
    pub is_entry: bool,
}

impl Kind {
    /// A kind of entries that changes no membership, is not counted, and is for groups alone.
    const fn new(word: &'static str, number: i32, level: u32) -> Self {
        Self {
            word,
            number,
            level,
            membership: Membership::Stays,
            is_unread: false,
            is_for_direct: false,
            is_made: false,
            is_entry: true,
        }
    }

    const fn with(self, membership: Membership) -> Self {
        Self { membership, ..self }
    }

    /// The word of a kind, known to this Weft or not. Only of the others a copy is made.
    pub(crate) fn word(text: &str) -> Cow<'static, str> {
        match WORDS.iter().find(|word| **word == text) {
            Some(word) => Cow::Borrowed(word),
            None => Cow::Owned(text.to_owned()),
        }
    }
}

/// What an entry does to the memberships of those whom it concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// Nothing.
    Stays,
    /// They are members from this entry on.
    Joins,
    /// They are members up to this entry.
    Leaves,
}

pub(crate) const MESSAGE: Kind = Text::KIND;

/// The feature level of a store that was never raised.
const FIRST_LEVEL: u32 = 1;
/// The one with edits, deletions and reactions.
const MESSAGES_LEVEL: u32 = 2;
/// The one with marks, mentions, threads and pins, and with what an unread count leaves out.
pub const CONVERSATIONS_LEVEL: u32 = 3;
/// The one with what groups are beside their title, and with what users are to each other.
pub const PEOPLE_LEVEL: u32 = 4;

trait EntryKind: Sized {
    /// Its fields as they travel: by serde in JSON, by prost in the store. Nothing is checked.
    type Fields: prost::Message + Default + DeserializeOwned;
    const KIND: Kind;

    /// Checks form and lengths. What was taken once passes again: limits are only ever raised.
    fn check(fields: Self::Fields) -> Result<Self, ApiError>;

    /// Takes the fields of a stored entry. Other than in JSON, nothing tells a field that is missing
    /// from one that has its first value: the first release left those out.
    fn from_stored(fields: Self::Fields) -> Result<Self, ApiError> {
        Self::check(fields)
    }

    fn fields(&self) -> Self::Fields;

    fn user<'a>(&'a self, _from: &'a UserId) -> Option<&'a UserId> {
        None
    }

    fn users<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        self.user(from).into_iter().collect()
    }

    fn members<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        self.user(from).into_iter().collect()
    }

    /// That of the kind, where it is not one entry's own.
    fn membership(&self) -> Membership {
        Self::KIND.membership
    }

    /// Who joins has to exist.
    fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        match Self::KIND.membership {
            Membership::Joins => self.users(from),
            Membership::Stays | Membership::Leaves => Vec::new(),
        }
    }

    fn target(&self) -> Option<u64> {
        None
    }

    fn reply_to(&self) -> Option<u64> {
        None
    }

    fn counts(&self) -> bool {
        Self::KIND.is_unread
    }

    fn is_preview(&self) -> bool {
        self.target().is_none()
    }

    fn mentions(&self) -> Mentions {
        Mentions::default()
    }

    fn thread(&self) -> Option<u64> {
        None
    }

    /// That of the kind, or a later one where it has a field that came later.
    fn level(&self) -> u32 {
        Self::KIND.level
    }
}

fn add(entry: &mut Vec<u8>, fields: &impl prost::Message) {
    fields.encode(entry).expect("a vector grows");
}

/// A kind's fields are read from the bytes of the whole entry: what is not theirs is passed over.
fn take<K: EntryKind>(entry: &[u8]) -> Result<(K, usize), String> {
    let fields = <K::Fields as prost::Message>::decode(entry).map_err(|error| error.to_string())?;
    let len = prost::Message::encoded_len(&fields);
    K::from_stored(fields).map(|it| (it, len)).map_err(|error| error.message)
}

impl Body {
    /// A text message, checked.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for an empty text, [`ErrorCode::TooLong`] past the limit.
    pub fn message(text: String) -> Result<Self, ApiError> {
        Text::new(text).map(Self::Text)
    }

    /// Its text and what is beside it, or the caption of its files; `None`: it is no message.
    #[must_use]
    pub fn as_message(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(Image(it)) | Self::File(File(it)) => Some(&it.caption),
            _ => None,
        }
    }

    /// As [`as_message`](Self::as_message).
    pub fn as_message_mut(&mut self) -> Option<&mut Text> {
        match self {
            Self::Text(text) => Some(text),
            Self::Image(Image(it)) | Self::File(File(it)) => Some(&mut it.caption),
            _ => None,
        }
    }

    /// The files that it has; of a message that is sent later: that it will have.
    #[must_use]
    pub fn files(&self) -> &[Attachment] {
        match self {
            Self::Image(Image(it)) | Self::File(File(it)) => &it.files,
            Self::Schedule(it) => it.files(),
            _ => &[],
        }
    }

    /// As [`files`](Self::files).
    pub fn files_mut(&mut self) -> &mut [Attachment] {
        match self {
            Self::Image(Image(it)) | Self::File(File(it)) => &mut it.files,
            _ => &mut [],
        }
    }

    /// The JSON form, as the ingest log carries it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.write_json(&mut json);
        json
    }

    fn write_json(&self, to: impl io::Write) {
        #[derive(Serialize)]
        struct Flat<'a> {
            kind: &'static str,
            #[serde(flatten)]
            body: &'a Body,
        }
        let flat = Flat { kind: self.kind().word, body: self };
        serde_json::to_writer(to, &flat).expect("plain fields serialise");
    }

    /// Reads the JSON form from bytes that may be anything.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`] where they are not UTF-8; those of
    /// [`from_text`](Self::from_text).
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::from_text(text_of(bytes)?)
    }

    /// A hash of the content: tells a resend from another content under the same client id.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let mut hash = Fnv64::new();
        self.write_json(&mut hash);
        hash.finish()
    }
}

/// Reads what a user keeps of a room that a path has named, in JSON. `room_of`: where it names the room.
///
/// # Errors
/// [`ErrorCode::BadEncoding`] where it is not UTF-8, those of [`read_object`], and
/// [`ErrorCode::BadRequest`] where it names another room.
fn named_by_path<F: DeserializeOwned>(
    room: &RoomId,
    bytes: &[u8],
    room_of: impl Fn(&mut F) -> &mut Option<String>,
) -> Result<F, ApiError> {
    let mut fields: F = read_object(text_of(bytes)?)?;
    if room_of(&mut fields).get_or_insert_with(|| room.to_string()) == room.as_str() {
        return Ok(fields);
    }
    let message = "the field room names another room than the path";
    Err(ApiError::new(ErrorCode::BadRequest, message))
}

/// The seq of a message that an entry changes.
pub(crate) fn target_of(target: Option<u64>) -> Result<u64, ApiError> {
    match target {
        Some(0) => Err(not_zero("target")),
        target => target.ok_or_else(|| missing("target")),
    }
}

/// The seq of a message, as it travels in kinds that have nothing else.
#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Target {
    #[prost(uint64, optional, tag = "1")]
    target: Option<u64>,
}

impl Target {
    fn new(target: u64) -> Self {
        Self { target: Some(target) }
    }

    fn check(self) -> Result<u64, ApiError> {
        target_of(self.target)
    }
}

/// A field of a fixed set of words, of which the store keeps the number.
fn number_of_word<'de, D, W>(deserializer: D) -> Result<Option<i32>, D::Error>
where
    D: Deserializer<'de>,
    W: Deserialize<'de> + Into<i32>,
{
    Ok(Option::<W>::deserialize(deserializer)?.map(Into::into))
}

/// The word of a kept number. One that this Weft does not know is an error: never a guess.
fn word_of_number<W: TryFrom<i32>>(field: &str, number: i32) -> Result<W, ApiError> {
    let unknown = || format!("the field {field} has the unknown number {number}");
    W::try_from(number).map_err(|_| ApiError::new(ErrorCode::BadRequest, unknown()))
}

#[cfg(test)]
mod tests;
