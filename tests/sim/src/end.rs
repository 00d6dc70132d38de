//! The last look: what the store holds when all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use weft_nats::MadeBy;
use weft_proto::{Body, Position, RoomId, UserId};
use weft_storage::tables::log::{self, Limit};
use weft_storage::tables::{head, inbox, resend};
use weft_storage::{Engine, Snapshot};

use super::check::{Checker, Judged, Kept};
use super::marks::{Changes, judge_changes};
use super::store::now;
use super::world::World;

/// Decides about the store as a whole.
pub fn judge(world: &World) {
    let check = world.check.lock().expect("check");
    let judged = judge_all(world, &check);
    drop(check);
    if let Err(violation) = judged {
        world.violate(violation);
    }
}

fn judge_all(world: &World, check: &Checker) -> Judged<()> {
    check.all_stored()?;
    check.due.all_out(world.config.devices)?;
    if check.row.published_up_to < check.row.last_commit_no() {
        return Err(format!("left without saying that all is published: {:?}", check.row));
    }
    let snapshot = now(world.memory.snapshot());
    let rooms: BTreeSet<&RoomId> = check.entries.keys().map(|(room, _)| room).collect();
    let mut pointers = Pointers::new();
    for room in rooms {
        let range = (room.clone(), 0)..=(room.clone(), u64::MAX);
        let kept: Vec<&Kept> = check.entries.range(range).map(|(_, kept)| kept).collect();
        judge_log(&*snapshot, check, room, &kept)?;
        judge_head(&*snapshot, room, &kept)?;
        judge_resends(&*snapshot, check, &kept)?;
        point(&mut pointers, room, &kept);
    }
    check.messages.judge(&*snapshot)?;
    check.marks.judge(&*snapshot, &check.entries)?;
    check.settings.judge(&*snapshot)?;
    check.relations.judge(&*snapshot)?;
    check.scheduled.judge(world.now_ms())?;
    let mut changes = Changes::new();
    check.marks.changes(&mut changes);
    check.settings.changes(&mut changes);
    check.relations.changes(&mut changes);
    check.scheduled.changes(&mut changes);
    judge_changes(&*snapshot, changes)?;
    for (user, known) in check.due.all_known() {
        check.judge_known(user, known, Position::MAX)?;
    }
    judge_inboxes(&*snapshot, &pointers)
}

/// The log holds what was committed, without a hole, and in its places; of what was deleted, what is left.
fn judge_log(
    snapshot: &dyn Snapshot,
    check: &Checker,
    room: &RoomId,
    kept: &[&Kept],
) -> Judged<()> {
    let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
    let logged = now(log::read(snapshot, room, 0..u64::MAX, limit));
    if logged.len() != kept.len() {
        return Err(format!("{room} has {} entries of {}", logged.len(), kept.len()));
    }
    let mut messages = 0;
    for ((logged, kept), seq) in logged.iter().zip(kept).zip(1..) {
        let entry = &logged.entry;
        messages += u64::from(matches!(kept.entry.body, Body::Text(_)));
        if entry.seq != seq || entry.ordinal != messages {
            return Err(format!("{room} has {} where {seq} is due", entry.seq));
        }
        if *entry != check.messages.now(&kept.entry) {
            return Err(format!("{room} {seq} is not what it was"));
        }
        if logged.position != kept.position {
            return Err(format!("{room} {seq} is not where it was"));
        }
    }
    let times = logged.windows(2).all(|pair| {
        pair[0].position < pair[1].position && pair[0].entry.time_ms <= pair[1].entry.time_ms
    });
    if times { Ok(()) } else { Err(format!("{room} goes back in time")) }
}

fn judge_head(snapshot: &dyn Snapshot, room: &RoomId, kept: &[&Kept]) -> Judged<()> {
    let row = now(snapshot.get(head::key(room))).ok_or_else(|| format!("{room} has no head"))?;
    let (position, head) = head::decode(&row).map_err(|error| error.to_string())?;
    let last = kept.last().ok_or("a room without an entry")?;
    let is_right = position == last.position
        && (head.seq, head.ordinal) == (last.entry.seq, last.entry.ordinal);
    if is_right { Ok(()) } else { Err(format!("the head of {room} is not its last entry")) }
}

/// Whoever still sends one of them again gets its seq.
fn judge_resends(snapshot: &dyn Snapshot, check: &Checker, kept: &[&Kept]) -> Judged<()> {
    for Kept { entry, .. } in kept {
        let Some(id) = entry.client_id else { continue };
        let (room, from) = (&entry.room, &entry.from);
        let key = match check.made.get(&(room.clone(), from.clone(), id.to_bytes())) {
            // No edge sends it again after this long, and entries don't carry a relay's.
            Some(MadeBy::Edge | MadeBy::Relay | MadeBy::Owner) => continue,
            None if id.hour() < check.row.floor_hour => continue,
            None => resend::key(0, room, from, &id),
        };
        let row = now(snapshot.get(key));
        let seq = row.and_then(|row| resend::Resend::decode(&row).ok()).map(|row| row.seq);
        if seq != Some(entry.seq) {
            return Err(format!("a resend of {} {} gets {seq:?}", entry.room, entry.seq));
        }
    }
    Ok(())
}

/// Per user: what the inbox has to hold.
type Pointers = BTreeMap<UserId, BTreeMap<Position, (RoomId, u64)>>;

/// Plays a room from its first entry, and notes who has to find each of them.
fn point(pointers: &mut Pointers, room: &RoomId, kept: &[&Kept]) {
    for Kept { entry, position, .. } in kept {
        let concerned = weft_core::partition::rules::concerned(entry);
        for user in concerned {
            let of_user = pointers.entry(user).or_default();
            of_user.insert(*position, (room.clone(), entry.seq));
        }
    }
}

fn judge_inboxes(snapshot: &dyn Snapshot, pointers: &Pointers) -> Judged<()> {
    for (user, wanted) in pointers {
        let range = inbox::range(user, Position::MIN, Position::MAX);
        let rows = now(snapshot.scan(range, usize::MAX, false));
        let found: Result<BTreeMap<_, _>, _> = rows
            .iter()
            .map(|(key, value)| {
                inbox::decode(key, value).map(|(position, room, seq)| (position, (room, seq)))
            })
            .collect();
        if found.map_err(|error| error.to_string())? != *wanted {
            return Err(format!("the inbox of {user} is not what its rooms say"));
        }
    }
    Ok(())
}
