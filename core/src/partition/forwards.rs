//! Forwarded messages. The sender names one that they may read, in any room; the entry says who wrote it. Rooms
//! of other partitions are read here, and never written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use tracing::error;
use weft_proto::kind::{Attachment, Forwarded, Origin};
use weft_proto::{ApiError, Body, ErrorCode, FileId, History, RoomId, UserId};
use weft_storage::tables::head;
use weft_storage::tables::log::Logged;
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::message::{self, Message};
use weft_storage::{Error, Snapshot};

use super::command::Command;
use super::load::readable;

/// Entries read at once: with the largest ones 6 MB.
const ENTRIES_AT_ONCE: usize = 16;

/// The messages that commands forward, each as far as the command's sender may read it.
#[derive(Default, Debug)]
pub struct Origins(HashMap<(UserId, Origin), Original>);

/// A message that is forwarded.
#[derive(Clone, Debug)]
struct Original {
    /// Who wrote it.
    author: UserId,
    files: Vec<Attachment>,
}

fn asked(body: &Body) -> Option<&Forwarded> {
    body.as_message()?.extras().forwarded.as_ref()
}

/// Reads what a run of commands forwards.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, commands: &[&Command]) -> Result<Origins, Error> {
    let wanted =
        |command: &&Command| Some((command.sender.clone(), asked(&command.body)?.origin.clone()?));
    let wanted: Vec<(UserId, Origin)> = commands.iter().filter_map(wanted).collect();
    let mut origins = Origins::default();
    if wanted.is_empty() {
        return Ok(origins);
    }
    let mut allowed: BTreeMap<(RoomId, u64), BTreeSet<UserId>> = BTreeMap::new();
    let keys = wanted.iter().flat_map(|(user, Origin { room, seq })| {
        [head::key(room), member::key(room, user), message::key(room, *seq)]
    });
    let rows = snapshot.get_many(keys.collect()).await?;
    for ((user, origin), rows) in wanted.into_iter().zip(rows.chunks(3)) {
        let may = may_read(&user, &origin, rows).unwrap_or_else(|error| {
            // As an entry that can't be read: a command that names it is no reason to stop.
            error!(room = %origin.room, seq = origin.seq, %error, "what is forwarded can't be read");
            false
        });
        if may {
            allowed.entry((origin.room, origin.seq)).or_default().insert(user);
        }
    }
    let places: Vec<(RoomId, u64)> = allowed.keys().cloned().collect();
    for some in places.chunks(ENTRIES_AT_ONCE) {
        for ((room, seq), logged) in some.iter().zip(readable(snapshot, some).await?) {
            let Some(Logged { entry, .. }) = logged else { continue };
            // Of what was forwarded before, the first one counts.
            let author = asked(&entry.body).and_then(|forwarded| forwarded.from.clone());
            if entry.body.as_message().is_none() {
                continue;
            }
            let files = entry.body.files().to_vec();
            let original = Original { author: author.unwrap_or(entry.from), files };
            for user in &allowed[&(room.clone(), *seq)] {
                let origin = Origin { room: room.clone(), seq: *seq };
                origins.0.insert((user.clone(), origin), original.clone());
            }
        }
    }
    Ok(origins)
}

/// `rows`: the room's head, the user's row of a member, and what became of the message.
fn may_read(user: &UserId, origin: &Origin, rows: &[Option<Bytes>]) -> Result<bool, Error> {
    let [Some(head), member, became] = rows else { return Ok(false) };
    let (_, head) = head::decode(head)?;
    let may = match (origin.room.direct_users(), member) {
        (Some((a, b)), _) => *user == a || *user == b,
        (None, Some(member)) => {
            let history = History::try_from(head.history).unwrap_or(History::Joined);
            Member::decode(member)?.sees(history, origin.seq)
        }
        (None, None) => false,
    };
    let became = became.as_ref().map(|row| Message::decode(row)).transpose()?;
    let is_deleted = became.is_some_and(|row| row.deleted_by != 0);
    Ok(may && origin.seq >= head.first_seq && !is_deleted)
}

impl Origins {
    /// The sender may read a message that has the file, and has it still.
    #[must_use]
    pub fn has_file(&self, sender: &UserId, origin: &Origin, file: FileId, now_ms: u64) -> bool {
        let Some(original) = self.0.get(&(sender.clone(), origin.clone())) else { return false };
        let facts =
            original.files.iter().filter(|it| it.id == file).find_map(|it| it.facts.as_ref());
        facts.is_some_and(|facts| facts.expires > now_ms)
    }

    /// The body as the room `id` gets it.
    ///
    /// # Errors
    /// The refusal.
    pub fn resolve(&self, id: &RoomId, sender: &UserId, mut body: Body) -> Result<Body, ApiError> {
        let Some(forwarded) = asked(&body) else { return Ok(body) };
        let Forwarded { origin: Some(origin), from: None } = forwarded else {
            let message = "the field forwarded has to have room and seq, and nothing else";
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        };
        let original = self.0.get(&(sender.clone(), origin.clone())).ok_or_else(|| {
            ApiError::new(ErrorCode::NotFound, "there is no such message to forward")
        })?;
        let origin = Some(origin.clone()).filter(|origin| origin.room == *id);
        let forwarded = Some(Forwarded { origin, from: Some(original.author.clone()) });
        if let Some(extras) = body.as_message_mut().and_then(|it| it.extras.as_deref_mut()) {
            extras.forwarded = forwarded;
        }
        Ok(body)
    }
}
