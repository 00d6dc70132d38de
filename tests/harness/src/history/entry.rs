//! What is known of an entry, read from frames.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::words::words_in;
use super::{ClientId, Room, Rule, hash};

/// An entry as somebody saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub room: Room,
    pub seq: u64,
    pub from: Arc<str>,
    /// The sender's id for it.
    pub client_id: Option<ClientId>,
    /// A hash of all that never changes: two readers of one (room, seq) must see the same.
    pub digest: u64,
    /// When it was taken, Unix milliseconds.
    pub time_ms: u64,
    /// A hash of the text alone: to compare with what was sent. 0 where there is no text.
    pub text: u64,
    /// Which of [`super::WORDS`] the text has, a bit each.
    pub words: u8,
    /// How many messages the room has up to it, as it says.
    pub ordinal: u64,
    /// What it says beside its text; `None`: nothing.
    pub said: Option<Box<Said>>,
    /// What it does to the room's members.
    pub change: Option<Box<Change>>,
    /// What it says about who may do what.
    pub rules: Vec<Rule>,
    /// What it does to a message.
    pub act: Option<Box<Act>>,
    /// Of a message in an answer to `history`: what had become of it.
    pub now: Option<Box<Now>>,
}

/// What an entry does to a message, by seq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    Edits(u64),
    Deletes(u64),
    /// The emoji, and whether it is put on or taken off.
    Reacts(u64, String, bool),
    /// It is pinned, or not any more.
    Pins(u64, bool),
    /// It was a message, or an edit, until this entry deleted it.
    DeletedBy(u64),
}

/// What became of a message, as `history` tells it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Now {
    /// The room's newest entry then: what comes after it is news.
    pub as_of: u64,
    /// The seqs of its edits.
    pub edits: Vec<u64>,
    /// Emoji, count, and whether the reader's is among them.
    pub reactions: Vec<(String, u64, bool)>,
    /// The seq of the `pin`, where it is pinned.
    pub pinned: Option<u64>,
    /// How many replies its thread has, and the newest one; `None`: it has none.
    pub replies: Option<(u64, u64)>,
}

/// In the place of a user who is mentioned: all members.
pub const EVERYONE: &str = "";

/// What a message or an edit says beside its text.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Said {
    pub silent: bool,
    /// The seq of the message with which its thread begins.
    pub thread: Option<u64>,
    pub reply_to: Option<u64>,
    /// Users, and [`EVERYONE`], in the order of their names.
    pub mentions: Vec<Arc<str>>,
    /// The ids of its files.
    pub files: Vec<Arc<str>>,
    pub forwards: Option<Forward>,
}

/// Whom a message repeats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Forward {
    /// As it is asked for: a message.
    Of(Room, u64),
    /// As the entry says it: who wrote that message.
    From(Arc<str>),
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
    /// Reads an `entry` frame; `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        Some(Self {
            room: frame["room"].as_str()?.into(),
            seq: frame["seq"].as_u64()?,
            from: frame["from"].as_str()?.into(),
            client_id: frame["client_id"].as_str().map(Into::into),
            digest: hash(&lasting(frame).to_string()),
            time_ms: frame["time"].as_u64().unwrap_or(0),
            text: frame["text"].as_str().map_or(0, hash),
            words: frame["text"].as_str().map_or(0, words_in),
            ordinal: frame["ordinal"].as_u64()?,
            said: Said::read(frame).map(Box::new),
            change: Change::read(frame).map(Box::new),
            rules: Rule::read(frame),
            act: Act::read(frame).map(Box::new),
            now: None,
        })
    }

    /// Reads an element of an answer to `history`. `newest`: of that answer.
    pub fn read_shown(frame: &Value, newest: u64) -> Option<Self> {
        let mut entry = Self::read(frame)?;
        let pair = |of: &Value, a: &str, b: &str| Some((of[a].as_u64()?, of[b].as_u64()?));
        let replies = pair(&frame["replies"], "count", "last");
        // With a thread, a deleted message still has more to tell.
        if entry.is_message() || replies.is_some() {
            let edits = frame["edits"].as_array().into_iter().flatten();
            let reactions = frame["reactions"].as_array().into_iter().flatten();
            let reaction = |it: &Value| {
                Some((it["emoji"].as_str()?.to_owned(), it["count"].as_u64()?, it["own"] == true))
            };
            entry.now = Some(Box::new(Now {
                as_of: newest,
                edits: edits.map(Value::as_u64).collect::<Option<_>>()?,
                reactions: reactions.map(reaction).collect::<Option<_>>()?,
                pinned: frame["pinned"]["seq"].as_u64(),
                replies,
            }));
        }
        Some(entry)
    }

    /// True where its text has this one of [`super::WORDS`].
    pub fn has_word(&self, word: usize) -> bool {
        self.words & 1 << word != 0
    }

    /// Whom it mentions.
    pub fn mentions(&self) -> &[Arc<str>] {
        self.said.as_ref().map_or(&[], |said| &said.mentions)
    }

    /// The ids of the files that it has.
    pub fn files(&self) -> &[Arc<str>] {
        self.said.as_ref().map_or(&[], |said| &said.files)
    }

    /// The message with which its thread begins, where it is in one.
    pub fn thread(&self) -> Option<u64> {
        self.said.as_ref()?.thread
    }

    pub fn is_silent(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.silent)
    }

    /// True of a text that is there.
    pub fn is_message(&self) -> bool {
        self.text != 0 && self.act.is_none()
    }

    /// True where it says what its sender said.
    pub fn is_as_taken(&self) -> bool {
        let is_deleted = matches!(self.act.as_deref(), Some(Act::DeletedBy(_)));
        !is_deleted && self.now.as_ref().is_none_or(|now| now.edits.is_empty())
    }
}

impl Said {
    /// What a frame, or the fields of a request, say beside a text; `None`: nothing.
    pub fn read(frame: &Value) -> Option<Self> {
        let ranges = frame["ranges"].as_array().into_iter().flatten();
        let mention = |range: &Value| match range["everyone"].is_string() {
            true => Some(EVERYONE.into()),
            false => range["user"].as_str().map(Into::into),
        };
        let mut mentions: Vec<Arc<str>> = ranges.filter_map(mention).collect();
        mentions.sort();
        mentions.dedup();
        let files = frame["files"].as_array().into_iter().flatten();
        let said = Self {
            silent: frame["silent"] == true,
            thread: frame["thread"].as_u64(),
            reply_to: frame["reply_to"].as_u64(),
            mentions,
            files: files.filter_map(|file| file["id"].as_str()).map(Into::into).collect(),
            forwards: Forward::read(&frame["forwarded"]),
        };
        (said != Self::default()).then_some(said)
    }
}

impl Forward {
    fn read(forwarded: &Value) -> Option<Self> {
        if let Some(from) = forwarded["from"].as_str() {
            return Some(Self::From(from.into()));
        }
        Some(Self::Of(forwarded["room"].as_str()?.into(), forwarded["seq"].as_u64()?))
    }
}

impl Act {
    fn read(frame: &Value) -> Option<Self> {
        let target = || frame["target"].as_u64();
        let reacts =
            |is_on| Some(Self::Reacts(target()?, frame["emoji"].as_str()?.to_owned(), is_on));
        match frame["kind"].as_str()? {
            "edit" => target().map(Self::Edits),
            "delete" => target().map(Self::Deletes),
            "deleted" => frame["by"].as_u64().map(Self::DeletedBy),
            "react" => reacts(true),
            "unreact" => reacts(false),
            "pin" => Some(Self::Pins(target()?, true)),
            "unpin" => Some(Self::Pins(target()?, false)),
            _ => None,
        }
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
            "join" => Some(Self::Joined(vec![from()?])),
            "remove" => user().map(Self::Left),
            "ban" if frame["removed"] == true => user().map(Self::Left),
            "leave" => from().map(Self::Left),
            _ => None,
        }
    }
}

/// Without what may become of a message, and without a request's id.
fn lasting(frame: &Value) -> Value {
    let mut frame = frame.clone();
    let Some(fields) = frame.as_object_mut() else { return frame };
    let may_be_deleted = matches!(
        fields.get("kind").and_then(Value::as_str),
        Some("message" | "image" | "file" | "edit" | "deleted")
    );
    let of_content =
        ["kind", "target", "by", "reply_to", "meta", "silent", "skip_push", "forwarded", "files"]
            .into_iter()
            .filter(|_| may_be_deleted);
    // When it was taken is compared by itself.
    let of_now =
        ["id", "time", "text", "ranges", "edited_at", "edits", "reactions", "pinned", "replies"];
    for name in of_now.into_iter().chain(of_content) {
        fields.remove(name);
    }
    frame
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, seq, from, digest, .. } = self;
        let id = self.client_id.as_deref().unwrap_or("-");
        write!(f, "{room} {seq}: {id} of {from}, {digest:x}")?;
        self.said.as_ref().map_or(Ok(()), |said| write!(f, ", {said:?}"))?;
        self.change.as_ref().map_or(Ok(()), |change| write!(f, ", {change:?}"))?;
        self.rules.iter().try_for_each(|rule| write!(f, ", {rule:?}"))?;
        self.act.as_ref().map_or(Ok(()), |act| write!(f, ", {act:?}"))?;
        self.now.as_ref().map_or(Ok(()), |now| write!(f, ", {now:?}"))
    }
}
