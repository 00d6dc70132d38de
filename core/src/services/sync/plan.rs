//! Which parts of groups' logs a sync carries.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use weft_proto::{Position, RoomId, RoomKind, UserId};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{inbox, user_room};
use weft_storage::{Error, Snapshot};

use super::super::page::first_after;
use super::todo::Span;

/// Groups whose spans are looked for at once: on the way to a store that is elsewhere, each takes a
/// dozen reads that follow one another.
const GROUPS_AT_ONCE: usize = 32;
/// The spans go with each page, there and back: more of them, with a full page, would outgrow what NATS
/// takes as one message.
const SPANS_MAX: usize = 2_000;
/// Rows read at once: small ones.
const ROWS_PER_READ: usize = 1_000;

/// The seqs of a user's pointers, per room, ascending.
type Pointers = BTreeMap<RoomId, Vec<u64>>;

/// The spans, sorted by room, oldest first. `None`: together with the inbox they are more than
/// `entries_max` entries, or not all memberships are known any more. `through` is the snapshot's read version.
pub(super) async fn plan(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Position,
    through: Position,
    entries_max: usize,
) -> Result<Option<Vec<Span>>, Error> {
    let Some((pointers, pointer_count)) =
        read_pointers(snapshot, user, (after, through), entries_max).await?
    else {
        return Ok(None);
    };
    // Groups that the user has left since have a pointer at least to the leaving.
    let mut groups = current_groups(snapshot, user).await?;
    groups.extend(pointers.keys().filter(|room| room.kind() == RoomKind::Group).cloned());

    let changed = changed_groups(snapshot, groups, after).await?;
    if changed.len() > entries_max.min(SPANS_MAX) {
        return Ok(None);
    }
    let pointed = |room: &RoomId| pointers.get(room).map_or(&[][..], Vec::as_slice);
    let reads: Vec<BoxFuture<'_, _>> = changed
        .iter()
        .map(|(room, head)| spans_of(snapshot, user, (room, head), pointed(room), after).boxed())
        .collect();
    let mut reads = stream::iter(reads).buffered(GROUPS_AT_ONCE);
    let mut spans = Vec::new();
    let (mut entries, mut replaced) = (0_u64, 0);
    for (room, _) in &changed {
        let Some(found) = reads.try_next().await? else { break };
        let Some(found) = found else { return Ok(None) };
        if !found.is_empty() {
            replaced += pointed(room).len();
        }
        entries += found.iter().map(|span| span.through - span.from + 1).sum::<u64>();
        if entries > entries_max as u64 {
            return Ok(None);
        }
        spans.extend(found);
    }
    drop(reads);
    let entries = entries + (pointer_count - replaced) as u64;
    Ok((entries <= entries_max as u64).then_some(spans))
}

/// The pointers, and how many they are; `None`: more than `entries_max`.
async fn read_pointers(
    snapshot: &dyn Snapshot,
    user: &UserId,
    (mut after, through): (Position, Position),
    entries_max: usize,
) -> Result<Option<(Pointers, usize)>, Error> {
    let (mut pointers, mut count) = (Pointers::new(), 0);
    loop {
        let rows = snapshot.scan(inbox::range(user, after, through), ROWS_PER_READ, false).await?;
        count += rows.len();
        if count > entries_max {
            return Ok(None);
        }
        for (key, value) in &rows {
            let (position, room, seq) = inbox::decode(key, value)?;
            pointers.entry(room).or_default().push(seq);
            after = position;
        }
        if rows.len() < ROWS_PER_READ {
            return Ok(Some((pointers, count)));
        }
    }
}

async fn current_groups(snapshot: &dyn Snapshot, user: &UserId) -> Result<BTreeSet<RoomId>, Error> {
    let mut groups = BTreeSet::new();
    let mut range = user_room::groups_after(user, None);
    loop {
        let rows = snapshot.scan(range.clone(), ROWS_PER_READ, false).await?;
        for (key, _) in &rows {
            groups.insert(user_room::room(key)?);
        }
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_PER_READ => {
                range.start = user_room::groups_after(user, Some(&user_room::room(key)?)).start;
            }
            _ => return Ok(groups),
        }
    }
}

/// Those that have entries after `after`, sorted.
async fn changed_groups(
    snapshot: &dyn Snapshot,
    groups: BTreeSet<RoomId>,
    after: Position,
) -> Result<Vec<(RoomId, Head)>, Error> {
    let groups: Vec<RoomId> = groups.into_iter().collect();
    let mut changed = Vec::new();
    for some in groups.chunks(ROWS_PER_READ) {
        let rows = snapshot.get_many(some.iter().map(head::key).collect()).await?;
        for (room, row) in some.iter().zip(rows) {
            let row: Bytes = row.ok_or_else(|| {
                Error::Corrupt(format!("room {room}: it has members, but no head"))
            })?;
            let (position, head) = head::decode(&row)?;
            if position > after {
                changed.push((room.clone(), head));
            }
        }
    }
    Ok(changed)
}

/// When the user was a member, as far as it is after `after`; `None`: that is not known. `pointed`: the user's
/// pointers after it.
async fn spans_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
    (room, head): (&RoomId, &Head),
    pointed: &[u64],
    after: Position,
) -> Result<Option<Vec<Span>>, Error> {
    let row = snapshot.get(member::key(room, user)).await?;
    let row = row.ok_or_else(|| {
        Error::Corrupt(format!("room {room}: {user} has no row of a present or former member"))
    })?;
    let member = Member::decode(&row)?;
    let first = first_after(snapshot, room, (head.first_seq, head.seq), after).await?;
    // A row of before level 3 knows the last membership alone. There was none before it where the user's first
    // pointer is to its joining: each joining and leaving has one.
    if !member.knows_from(first) && pointed.first() != Some(&member.since_seq) {
        return Ok(None);
    }
    let spans = member.memberships().map(|(since, until)| Span {
        room: room.clone(),
        from: since.max(first),
        through: until.min(head.seq),
    });
    Ok(Some(spans.filter(|span| span.from <= span.through).collect()))
}
