//! Messages as they are now: with their newest text, and what is on them; and what history does not
//! show of that: their earlier texts, and who has reacted.

use std::collections::{BTreeMap, HashMap, HashSet};

use weft_proto::entry::{MessageNow, Pinned, PreviewNow, Reactions, ThreadNow};
use weft_proto::frame::Version;
use weft_proto::kind::formatting::Range;
use weft_proto::kind::{Edit, check_emoji};
use weft_proto::{Body, Entry, ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::log::{self, Logged};
use weft_storage::tables::message::{self, Message, ReactionCount};
use weft_storage::tables::reaction;
use weft_storage::{Error, Snapshot};

use super::Context;
use super::access::Access;
use super::at_once::AtOnce;
use super::failure::Failure;
use crate::absent;

/// For each entry so many rows are scanned: where they lie further apart, their rows are read one by one.
const SCANNED_PER_ENTRY: usize = 4;
/// Texts read at once: a page may end with the first of them.
const TEXTS_AT_ONCE: usize = 4;
/// For each reaction that may be the reader's so many rows are scanned: where others have put more, the reader's
/// are read one by one.
const REACTIONS_SCANNED_PER_KEY: usize = 4;

impl Context {
    /// The texts that a message has had, oldest first: its own, and those of its edits. Former members
    /// read what there was when they left.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::NoSuchRoom`], [`ErrorCode::NotMember`],
    /// [`ErrorCode::NotFound`], [`ErrorCode::Deleted`], those of the token, or the store's.
    pub async fn versions(&self, request: svc::ReadVersions) -> Result<svc::Versions, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &user).await?;
        let row = message_row(&*snapshot, &room, &access, request.target).await?;
        let all = std::iter::once(request.target).chain(row.edits);
        // A member reads what history shows, and that has the newest text, whenever it was written.
        let may = |seq: &u64| access.role.is_some() || access.visible.contains(*seq);
        let wanted = all.filter(|seq| *seq > request.after && may(seq));
        let wanted: Vec<(RoomId, u64)> = wanted.map(|seq| (room.clone(), seq)).collect();
        let (mut versions, mut bytes) = (Vec::new(), 0);
        for some in wanted.chunks(TEXTS_AT_ONCE) {
            for (logged, (_, seq)) in log::get_many(&*snapshot, some).await?.into_iter().zip(some) {
                if bytes >= self.limits.page.bytes_max {
                    return Ok(svc::Versions { versions, more: true });
                }
                let is_missing = logged.is_none();
                let Some(version) = version(logged) else {
                    if is_missing {
                        absent::note(&*snapshot, &room, *seq..seq + 1).await?;
                    }
                    continue;
                };
                bytes += version.len();
                versions.push(version.into());
            }
        }
        Ok(svc::Versions { versions, more: false })
    }

    /// Who has put an emoji on a message, ascending by user id.
    ///
    /// # Errors
    /// As [`versions`](Self::versions) (former members are none here), and those of the emoji.
    pub async fn reactions(
        &self,
        request: svc::ListReactions,
    ) -> Result<svc::ReactionUsers, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        check_emoji(&request.emoji)?;
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let access = Access::of(&*snapshot, &room, &user).await?;
        access.member_role()?;
        message_row(&*snapshot, &room, &access, request.target).await?;
        let limit = self.rows_max(request.limit);
        let of = (&room, request.target, &*request.emoji);
        let users = reaction::users_after(&*snapshot, of, after.as_ref(), limit + 1).await?;
        let more = users.len() > limit;
        let users = users.iter().take(limit).map(ToString::to_string).collect();
        Ok(svc::ReactionUsers { users, more })
    }
}

/// What became of a message that the caller may see.
pub(super) async fn message_row(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    access: &Access,
    target: u64,
) -> Result<Message, Failure> {
    let is_visible = access.visible.contains(target);
    let mut found = log::get_many(snapshot, &[(room.clone(), target)]).await?;
    let body = found.pop().flatten().filter(|_| is_visible).map(|logged| logged.entry.body);
    let row = snapshot.get(message::key(room, target)).await?;
    let row = row.map(|row| Message::decode(&row)).transpose()?.unwrap_or_default();
    match body {
        Some(body) if body.as_message().is_some() => Ok(row),
        // An edit of a deleted message is no message either.
        Some(Body::Deleted(_)) if row.deleted_by != 0 => {
            Err(Failure::new(ErrorCode::Deleted, "the message was deleted"))
        }
        _ => Err(Failure::new(ErrorCode::NotFound, "there is no such message")),
    }
}

/// As clients get it; `None`: it is missing, or no text.
fn version(logged: Option<Logged>) -> Option<Vec<u8>> {
    let Entry { seq, time_ms: time, body, .. } = logged?.entry;
    let (text, ranges) = match &body {
        Body::Edit(Edit { text, ranges, .. }) => (text, ranges),
        body => body.as_message().map(|message| (&message.text, &message.extras().ranges))?,
    };
    Some(Version { seq, time, text, ranges }.to_json())
}

/// Entries of a room in the order of the log or the other way round, each message with its newest text
/// and what became of it. One scan beside the entries' (of entries far from each other: one read of their rows), one read of the newest edits, and one of the
/// reader's own reactions, however much was done to a message. Of entries whose edits have more than
/// `bytes_max` only the first ones are given: a message may be small, and its newest text large.
pub(super) async fn now(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (reader, now_ms): (&UserId, u64),
    (mut read, bytes_max): (Vec<Logged>, usize),
) -> Result<Vec<(Logged, Option<MessageNow>)>, Error> {
    for logged in &mut read {
        say_expired(&mut logged.entry.body, now_ms);
    }
    let seqs = read.iter().map(|logged| logged.entry.seq);
    let (Some(first), Some(last)) = (seqs.clone().min(), seqs.clone().max()) else {
        return Ok(Vec::new());
    };
    // One that is missing may have a row.
    let count = usize::try_from(last - first).unwrap_or(usize::MAX).saturating_add(1);
    let is_dense = count <= read.len() * SCANNED_PER_ENTRY;
    let rows = if is_dense {
        message::scan(snapshot, room, first..last + 1, count).await?
    } else {
        message::get_many(snapshot, room, &seqs.collect::<Vec<_>>()).await?
    };
    let rows: BTreeMap<u64, Message> = rows.into_iter().collect();
    let mut texts = newest_texts(snapshot, room, &rows, (&mut read, bytes_max)).await?;
    let own = own_reactions(snapshot, room, reader, (&rows, is_dense)).await?;
    let mut previews = previews(snapshot, room, (&rows, &read), now_ms).await?;
    let shown = read.into_iter().map(|mut logged| {
        let seq = logged.entry.seq;
        let Some(row) = rows.get(&seq) else { return (logged, None) };
        let thread = row.thread.map(|it| ThreadNow { count: it.replies, last: it.last_reply });
        let Some(message) = logged.entry.body.as_message_mut() else {
            // Of a deleted message its thread is left.
            let now = thread.map(|it| MessageNow { thread: Some(it), ..MessageNow::default() });
            return (logged, now);
        };
        if let Some((text, ranges)) = texts.remove(&seq) {
            message.text = text;
            message.set_ranges(ranges);
        }
        let reactions = row.reactions.iter().map(|it| {
            let own = own.contains(&(seq, &*it.emoji));
            Reactions { emoji: it.emoji.clone(), count: it.count, own }
        });
        let now = MessageNow {
            edited_at: (row.edited_at_ms != 0).then_some(row.edited_at_ms),
            edits: row.edits.clone(),
            reactions: reactions.collect(),
            pinned: row.pinned.as_ref().map(|it| Pinned {
                seq: it.seq,
                by: it.by.clone(),
                time: it.time_ms,
            }),
            thread,
            preview: previews.remove(&seq),
        };
        (logged, Some(now))
    });
    Ok(shown.collect())
}

/// Files whose time is over are said to be: no commit is made for it.
fn say_expired(body: &mut Body, now_ms: u64) {
    for facts in body.files_mut().iter_mut().filter_map(|file| file.facts.as_mut()) {
        facts.expired = (facts.expires <= now_ms).then_some(true);
    }
    if let Body::Preview(it) = body
        && let Some(facts) = it.link.image.as_mut().and_then(|image| image.facts.as_mut())
    {
        facts.expired = (facts.expires <= now_ms).then_some(true);
    }
}

/// What the links of messages lead to, by the message's seq: of those entries that are read together, so that it is not much.
async fn previews(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (rows, read): (&BTreeMap<u64, Message>, &[Logged]),
    now_ms: u64,
) -> Result<HashMap<u64, PreviewNow>, Error> {
    let seqs = read.iter().map(|logged| logged.entry.seq);
    let of_row = |seq: u64| Some((seq, rows.get(&seq)?.preview.as_ref()?.seq));
    let wanted: Vec<(u64, u64)> = seqs.filter_map(of_row).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<_> = wanted.iter().map(|(_, preview)| (room.clone(), *preview)).collect();
    let mut previews = HashMap::new();
    for ((seq, preview), logged) in wanted.into_iter().zip(log::get_many(snapshot, &places).await?)
    {
        let Some(mut body) = logged.map(|logged| logged.entry.body) else {
            absent::note(snapshot, room, preview..preview + 1).await?;
            continue;
        };
        say_expired(&mut body, now_ms);
        // Else, in a store that was imported, it was deleted after the message's line was written.
        if let Body::Preview(it) = body {
            previews.insert(seq, PreviewNow { seq: preview, link: *it.link });
        }
    }
    Ok(previews)
}

/// The texts of edited messages with their ranges, by the message's seq. `read` ends before the first
/// one that has no place any more.
pub(super) async fn newest_texts(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    rows: &BTreeMap<u64, Message>,
    (read, bytes_max): (&mut Vec<Logged>, usize),
) -> Result<HashMap<u64, (String, Vec<Range>)>, Error> {
    let edited = |(index, logged): (usize, &Logged)| {
        let seq = logged.entry.seq;
        let row = rows.get(&seq).filter(|_| logged.entry.body.as_message().is_some())?;
        Some((index, seq, *row.edits.last()?))
    };
    let edited: Vec<(usize, u64, u64)> = read.iter().enumerate().filter_map(edited).collect();
    let (mut texts, mut bytes) = (HashMap::new(), 0);
    let (mut left, mut at_once) = (&*edited, AtOnce::default());
    while let [(first, ..), ..] = left {
        if bytes >= bytes_max {
            read.truncate(*first);
            break;
        }
        let (some, rest) = left.split_at(left.len().min(at_once.count()));
        let bytes_before = bytes;
        let wanted: Vec<_> = some.iter().map(|(_, _, edit)| (room.clone(), *edit)).collect();
        for ((_, seq, edit), logged) in some.iter().zip(log::get_many(snapshot, &wanted).await?) {
            match logged.map(|Logged { entry: Entry { body, .. }, .. }| body) {
                Some(Body::Edit(Edit { text, ranges, .. })) => {
                    bytes += text.len();
                    texts.insert(*seq, (text, ranges));
                }
                // In a store that was imported: the message was deleted after its line was written, and
                // before its edit's was. It is shown as it was taken.
                Some(_) => {}
                None => absent::note(snapshot, room, *edit..edit + 1).await?,
            }
        }
        at_once.adapt(bytes - bytes_before);
        left = rest;
    }
    Ok(texts)
}

/// The reader's reactions, with their messages' seqs. `is_dense`: these are all rows between the first and the
/// last one.
async fn own_reactions<'a>(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    reader: &UserId,
    (rows, is_dense): (&'a BTreeMap<u64, Message>, bool),
) -> Result<HashSet<(u64, &'a str)>, Error> {
    let of_row = |(seq, row): (&u64, &'a Message)| {
        let seq = *seq;
        row.reactions.iter().map(move |it| (seq, it))
    };
    let all: Vec<(u64, &ReactionCount)> = rows.iter().flat_map(of_row).collect();
    let (Some((first, _)), Some((last, _))) = (all.first(), all.last()) else {
        return Ok(HashSet::new());
    };
    let count: usize = all.iter().map(|(_, it)| it.count as usize).sum();
    if is_dense && count <= all.len() * REACTIONS_SCANNED_PER_KEY {
        let own = reaction::of_user(snapshot, room, *first..last + 1, reader).await?;
        let counted = |(seq, emoji): &(u64, String)| {
            let it = rows.get(seq)?.reactions.iter().find(|it| it.emoji == *emoji)?;
            Some((*seq, &*it.emoji))
        };
        return Ok(own.iter().filter_map(counted).collect());
    }
    let key = |(seq, it): &(u64, &ReactionCount)| reaction::key(room, *seq, &it.emoji, reader);
    let rows = snapshot.get_many(all.iter().map(key).collect()).await?;
    let own = all.into_iter().zip(rows).filter(|(_, row)| row.is_some());
    Ok(own.map(|((seq, it), _)| (seq, &*it.emoji)).collect())
}

#[cfg(test)]
mod tests;
