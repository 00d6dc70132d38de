//! Reads what a run of commands needs before it can be planned: one round for resends and heads,
//! a second one where groups or users are not known yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_proto::{Body, Entry, Partition, Position, RoomId, RoomKind, UserId};
use weft_storage::tables::head::Head;
use weft_storage::tables::member::Member;
use weft_storage::tables::resend::Resend;
use weft_storage::tables::{account, head, log, member, resend};
use weft_storage::{Error, Snapshot};

use super::command::{Command, Incoming};
use super::plan::Found;
use super::state::{Answered, Members, Place, ResendKey, Room, State};

/// Member rows read at once.
const ROWS_PER_SCAN: usize = 256;
/// Entries of resends read at once: with the largest ones 6 MB.
const ENTRIES_AT_ONCE: usize = 16;

/// Brings the commands' rooms into `state`, and looks up the rest. Rooms that are in memory are not
/// read: the store may be older than they are.
///
/// # Errors
/// Those of the store. `state` may hold some of the rooms then; all of them are right.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &mut State,
    partition: Partition,
    run: &[Incoming],
) -> Result<Found, Error> {
    let commands: Vec<&Command> = run.iter().filter_map(|i| i.command.as_ref().ok()).collect();
    let resends = load_heads_and_resends(snapshot, state, partition, &commands).await?;
    let resends = load_answered(snapshot, &commands, resends).await?;
    load_members(snapshot, state, &commands).await?;
    let accounts = load_accounts(snapshot, state, &commands).await?;
    Ok(Found { resends, accounts })
}

async fn load_heads_and_resends(
    snapshot: &dyn Snapshot,
    state: &mut State,
    partition: Partition,
    commands: &[&Command],
) -> Result<HashMap<ResendKey, Resend>, Error> {
    let ids: Vec<_> = commands
        .iter()
        .flat_map(|c| {
            let id = |id| (c.room.clone(), c.sender.clone(), id);
            // What it comes after is in memory, as a rule.
            let after = c.after.map(id).filter(|key| state.recent(key).is_none());
            c.client_id.map(id).into_iter().chain(after)
        })
        .collect();
    let unknown: BTreeSet<&RoomId> =
        commands.iter().map(|c| &c.room).filter(|room| !state.rooms.contains_key(room)).collect();
    let keys = ids
        .iter()
        .map(|(room, sender, id)| resend::key(partition, room, sender, id))
        .chain(unknown.iter().map(|room| head::key(room)))
        .collect();
    let mut rows = snapshot.get_many(keys).await?.into_iter();
    let mut resends = HashMap::new();
    for (key, row) in ids.into_iter().zip(rows.by_ref()) {
        if let Some(row) = row {
            resends.insert(key, Resend::decode(&row)?);
        }
    }
    for (id, row) in unknown.into_iter().zip(rows) {
        let (position, head) = match row {
            Some(row) => head::decode(&row).map(|(position, head)| (Some(position), head))?,
            None => (None, Head::default()),
        };
        let room = read_room(snapshot, id, position, head).await?;
        state.rooms.insert(id.clone(), room);
    }
    Ok(resends)
}

/// What an `ack` says of the entries of resends: it stands in the log. Entries may be large, and
/// few of a run are resends as a rule, so only some are read at once.
async fn load_answered(
    snapshot: &dyn Snapshot,
    commands: &[&Command],
    resends: HashMap<ResendKey, Resend>,
) -> Result<HashMap<ResendKey, Answered>, Error> {
    let answered = |resend: &Resend, of: Option<&Entry>| Answered {
        seq: resend.seq,
        content_hash: resend.content_hash,
        ordinal: of.map(|entry| entry.ordinal),
        time_ms: of.map(|entry| entry.time_ms),
    };
    // Of what a command comes after it only matters that it is there.
    let found = resends.iter().map(|(key, resend)| (key.clone(), answered(resend, None)));
    let mut found: HashMap<ResendKey, Answered> = found.collect();
    if found.is_empty() {
        return Ok(found);
    }
    let key = |c: &&Command| Some((c.room.clone(), c.sender.clone(), c.client_id?));
    let again: Vec<_> = commands.iter().filter_map(key).collect();
    let again: Vec<_> = again.iter().filter_map(|key| resends.get_key_value(key)).collect();
    for some in again.chunks(ENTRIES_AT_ONCE) {
        let wanted: Vec<_> = some.iter().map(|(key, row)| (key.0.clone(), row.seq)).collect();
        for ((key, row), logged) in some.iter().zip(log::get_many(snapshot, &wanted).await?) {
            let entry = logged.map(|logged| logged.entry);
            found.insert(Clone::clone(*key), answered(row, entry.as_ref()));
        }
    }
    Ok(found)
}

async fn read_room(
    snapshot: &dyn Snapshot,
    id: &RoomId,
    position: Option<Position>,
    head: Head,
) -> Result<Room, Error> {
    let members = if head.large {
        Members::Some(HashMap::new())
    } else if id.kind() == RoomKind::Group && head.seq > 0 {
        Members::All(read_members(snapshot, id).await?)
    } else {
        Members::All(BTreeMap::new())
    };
    Ok(Room { head, place: position.map_or(Place::Nowhere, Place::At), members, touched: 0 })
}

async fn read_members(
    snapshot: &dyn Snapshot,
    id: &RoomId,
) -> Result<BTreeMap<UserId, Member>, Error> {
    let mut members = BTreeMap::new();
    let mut after = String::new();
    loop {
        let range = member::range_after(id, &after);
        let rows = snapshot.scan(range, ROWS_PER_SCAN, false).await?;
        let is_last = rows.len() < ROWS_PER_SCAN;
        for (key, value) in rows {
            let user = member::user(&key)?;
            after = user.to_string();
            let row = Member::decode(&value)?;
            if row.role().is_some() {
                members.insert(user, row);
            }
        }
        if is_last {
            return Ok(members);
        }
    }
}

/// Of large groups only those members are read whom a command names.
async fn load_members(
    snapshot: &dyn Snapshot,
    state: &mut State,
    commands: &[&Command],
) -> Result<(), Error> {
    let mut wanted: BTreeSet<(&RoomId, &UserId)> = BTreeSet::new();
    for command in commands {
        if let Some(Room { members: Members::Some(known), .. }) = state.rooms.get(&command.room) {
            let users = std::iter::once(&command.sender).chain(command.body.user());
            wanted.extend(
                users.filter(|user| !known.contains_key(*user)).map(|user| (&command.room, user)),
            );
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let keys = wanted.iter().map(|(room, user)| member::key(room, user)).collect();
    for ((room, user), row) in wanted.into_iter().zip(snapshot.get_many(keys).await?) {
        let row = row.map(|row| Member::decode(&row)).transpose()?;
        let row = row.filter(|row| row.role().is_some());
        if let Some(Room { members: Members::Some(known), .. }) = state.rooms.get_mut(room) {
            known.insert(user.clone(), row);
        }
    }
    Ok(())
}

async fn load_accounts(
    snapshot: &dyn Snapshot,
    state: &State,
    commands: &[&Command],
) -> Result<std::collections::HashSet<UserId>, Error> {
    let mut wanted: BTreeSet<UserId> = BTreeSet::new();
    for command in commands {
        let is_new = state.rooms.get(&command.room).is_none_or(|room| room.head.seq == 0);
        match &command.body {
            Body::Create { members, .. } => {
                wanted.insert(command.sender.clone());
                wanted.extend(members.iter().cloned());
            }
            Body::Add { user, .. } => {
                wanted.insert(user.clone());
            }
            _ if is_new => {
                wanted.extend(command.room.direct_users().into_iter().flat_map(|(a, b)| [a, b]));
            }
            _ => {}
        }
    }
    if wanted.is_empty() {
        return Ok(std::collections::HashSet::new());
    }
    let rows = snapshot.get_many(wanted.iter().map(account::key).collect()).await?;
    Ok(wanted
        .into_iter()
        .zip(rows)
        .filter(|(_, row)| row.is_some())
        .map(|(user, _)| user)
        .collect())
}
