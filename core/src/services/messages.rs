//! Messages as they are now: with their newest text, and what is on them.

use std::collections::{BTreeMap, HashMap, HashSet};

use weft_proto::entry::{MessageNow, Reactions};
use weft_proto::kind::Edit;
use weft_proto::kind::formatting::Range;
use weft_proto::{Body, Entry, RoomId, UserId};
use weft_storage::tables::log::{self, Logged};
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::reaction;
use weft_storage::{Error, Snapshot};

/// Edits read at once: with the largest ones 6 MB.
const EDITS_AT_ONCE: usize = 16;

/// Entries of a room in the order of the log or the other way round, each message with its newest text
/// and what became of it. One scan beside the entries', one read of the newest edits, and one of the
/// reader's own reactions, however much was done to a message.
pub(super) async fn now(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    reader: &UserId,
    read: Vec<Logged>,
) -> Result<Vec<(Logged, Option<MessageNow>)>, Error> {
    let seqs = read.iter().map(|logged| logged.entry.seq);
    let (Some(first), Some(last)) = (seqs.clone().min(), seqs.max()) else {
        return Ok(Vec::new());
    };
    let rows = message::scan(snapshot, room, first..last + 1, read.len()).await?;
    let rows: BTreeMap<u64, Message> = rows.into_iter().collect();
    let mut texts = newest_texts(snapshot, room, &rows).await?;
    let own = own_reactions(snapshot, room, reader, &rows).await?;
    let shown = read.into_iter().map(|mut logged| {
        let seq = logged.entry.seq;
        let is_message = matches!(logged.entry.body, Body::Text(_));
        let Some(row) = rows.get(&seq).filter(|_| is_message) else { return (logged, None) };
        if let (Some((text, ranges)), Body::Text(message)) =
            (texts.remove(&seq), &mut logged.entry.body)
        {
            (message.text, message.ranges) = (text, ranges);
        }
        let reactions = row.reactions.iter().map(|it| {
            let own = own.contains(&(seq, &*it.emoji));
            Reactions { emoji: it.emoji.clone(), count: it.count, own }
        });
        let now = MessageNow {
            edited_at: (row.edited_at_ms != 0).then_some(row.edited_at_ms),
            edits: row.edits.clone(),
            reactions: reactions.collect(),
        };
        (logged, Some(now))
    });
    Ok(shown.collect())
}

/// The texts of edited messages with their ranges, by the message's seq.
async fn newest_texts(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    rows: &BTreeMap<u64, Message>,
) -> Result<HashMap<u64, (String, Vec<Range>)>, Error> {
    let newest = |(seq, row): (&u64, &Message)| Some((*seq, (room.clone(), *row.edits.last()?)));
    let (edited, wanted): (Vec<u64>, Vec<_>) = rows.iter().filter_map(newest).unzip();
    let mut texts = HashMap::new();
    for (edited, wanted) in edited.chunks(EDITS_AT_ONCE).zip(wanted.chunks(EDITS_AT_ONCE)) {
        for (seq, logged) in edited.iter().zip(log::get_many(snapshot, wanted).await?) {
            let body = logged.map(|Logged { entry: Entry { body, .. }, .. }| body);
            let Some(Body::Edit(Edit { text, ranges, .. })) = body else {
                let what = format!("room {room}: the edit of message {seq} is not there");
                return Err(Error::Corrupt(what));
            };
            texts.insert(*seq, (text, ranges));
        }
    }
    Ok(texts)
}

async fn own_reactions<'a>(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    reader: &UserId,
    rows: &'a BTreeMap<u64, Message>,
) -> Result<HashSet<(u64, &'a str)>, Error> {
    let of_row = |(seq, row): (&u64, &'a Message)| {
        let seq = *seq;
        row.reactions.iter().map(move |it| (seq, &*it.emoji))
    };
    let all: Vec<(u64, &str)> = rows.iter().flat_map(of_row).collect();
    if all.is_empty() {
        return Ok(HashSet::new());
    }
    let keys = all.iter().map(|(seq, emoji)| reaction::key(room, *seq, emoji, reader)).collect();
    let rows = snapshot.get_many(keys).await?;
    Ok(all.into_iter().zip(rows).filter(|(_, row)| row.is_some()).map(|(it, _)| it).collect())
}
