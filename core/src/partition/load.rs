//! Reads what a run of commands needs before it can be planned: one round for resends and heads,
//! a second one where groups or users are not known yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future, stream};
use tracing::error;
use weft_proto::{Entry, Membership, Partition, RoomId, RoomKind, UserId};
use weft_storage::tables::account::Account;
use weft_storage::tables::head::Head;
use weft_storage::tables::log::Logged;
use weft_storage::tables::member::Member;
use weft_storage::tables::resend::Resend;
use weft_storage::tables::{account, head, log, member, resend};
use weft_storage::{Error, Snapshot};

use super::command::{Command, Incoming};
use super::consent::{FoundConsent, WantedConsent};
use super::groups::GroupCounts;
use super::plan::Found;
use super::rooms::{Former, LookedUp, Members, Room};
use super::state::{Answered, Place, ResendKey, State};
use super::{
    asks, bans, drafts, expiry, files, followers, forwards, invitations, links, marks, messages,
    relations, scheduled, settings,
};
use crate::absent;

/// Groups whose members are read at once.
const GROUPS_AT_ONCE: usize = 32;
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
    (counts, now_ms): (&GroupCounts, u64),
) -> Result<Found, Error> {
    let commands: Vec<&Command> = run.iter().filter_map(|i| i.command.as_ref().ok()).collect();
    let records = resend_rows(state, partition, run);
    let (resends, consent) = load_first(snapshot, state, records, &commands).await?;
    let resends = load_answered(snapshot, &commands, resends).await?;
    let accounts = load_accounts(snapshot, named(state, &commands));
    let groups = counts.of(snapshot, joining(&commands), now_ms);
    let members = load_members(snapshot, state, &commands);
    let beside = future::try_join4(
        bans::load(snapshot, &commands),
        links::load(snapshot, &commands),
        asks::load(snapshot, &commands),
        invitations::load(snapshot, &commands, &consent),
    );
    let ((), accounts, groups, (bans, links, asks, invitations)) =
        future::try_join4(members, accounts, groups, beside).await?;
    let messages = messages::load(snapshot, state, run, &accounts).boxed();
    let marks = marks::load(snapshot, state, run).boxed();
    let settings = settings::load(snapshot, run).boxed();
    let drafts = drafts::load(snapshot, state, run).boxed();
    let relations = relations::load(snapshot, run).boxed();
    let origins = forwards::load(snapshot, &commands).boxed();
    let files = files::load(snapshot, &commands).boxed();
    let of_rooms = future::try_join4(messages, marks, origins, files);
    let of_notebooks = future::try_join3(settings, drafts, relations);
    let (of_rooms, of_notebooks) = future::try_join(of_rooms, of_notebooks).await?;
    let (messages, marks, origins, files) = of_rooms;
    let (settings, drafts, relations) = of_notebooks;
    let followers = followers::load(snapshot, state, run, &messages).await?;
    state.letters.load(snapshot, partition, run).await?;
    let expired = expiry::load(snapshot, run, now_ms).await?;
    let scheduled = scheduled::load(snapshot, run).await?;
    Ok(Found {
        resends,
        accounts,
        groups,
        messages,
        marks,
        settings,
        drafts,
        relations,
        consent,
        origins,
        files,
        followers,
        bans,
        links,
        asks,
        invitations,
        expired,
        scheduled,
    })
}

/// The rows that hold what the run's client ids got, and of the ids that they come after.
fn resend_rows(state: &State, partition: Partition, run: &[Incoming]) -> Vec<(ResendKey, Bytes)> {
    let mut rows = Vec::new();
    for incoming in run {
        let Ok(command) = &incoming.command else { continue };
        let key = |id| (command.room.clone(), command.sender.clone(), id);
        if let Some(id) = command.client_id {
            let own = command.resend_rows(partition, incoming.stored_at_ms);
            rows.extend(own.into_iter().map(|row| (key(id), row)));
        }
        // What it comes after is in memory, as a rule.
        if let Some(after) = command.after.filter(|id| state.recent(&key(*id)).is_none()) {
            let row = resend::key(partition, &command.room, &command.sender, &after);
            rows.push((key(after), row));
        }
    }
    rows
}

/// All that is asked for at once: heads, resends, and who wants nothing of whom.
async fn load_first(
    snapshot: &dyn Snapshot,
    state: &mut State,
    records: Vec<(ResendKey, Bytes)>,
    commands: &[&Command],
) -> Result<(HashMap<ResendKey, Resend>, FoundConsent), Error> {
    let unknown: BTreeSet<&RoomId> =
        commands.iter().map(|c| &c.room).filter(|room| !state.rooms.knows(room)).collect();
    let (names, mut keys): (Vec<ResendKey>, Vec<Bytes>) = records.into_iter().unzip();
    let wanted = WantedConsent::of(commands, state);
    keys.extend(wanted.keys());
    keys.extend(unknown.iter().map(|room| head::key(room)));
    let mut rows = snapshot.get_many(keys).await?.into_iter();
    let mut resends = HashMap::new();
    for (key, row) in names.into_iter().zip(rows.by_ref()) {
        if let Some(row) = row {
            resends.insert(key, Resend::decode(&row)?);
        }
    }
    let consent = wanted.found(rows.by_ref());
    // Each group's members are a scan of their own: on the way to a store that is elsewhere, many at
    // once. All from the one snapshot.
    let reads: Vec<BoxFuture<'_, _>> = unknown
        .into_iter()
        .zip(rows)
        .map(|(id, row)| read_room(snapshot, id, row).boxed())
        .collect();
    let rooms: Vec<(RoomId, Room)> =
        stream::iter(reads).buffered(GROUPS_AT_ONCE).try_collect().await?;
    for (id, room) in rooms {
        state.rooms.insert(id, room);
    }
    for id in consent.accepted() {
        state.rooms.change(id, |room| room.is_accepted = true);
    }
    Ok((resends, consent))
}

/// What an `ack` says of the entries of resends: it is in the log. Entries may be large, and
/// few of a run are resends as a rule, so only some are read at once.
async fn load_answered(
    snapshot: &dyn Snapshot,
    commands: &[&Command],
    resends: HashMap<ResendKey, Resend>,
) -> Result<HashMap<ResendKey, Answered>, Error> {
    let answered = |resend: &Resend, of: Option<&Entry>| Answered {
        ordinal: of.map(|entry| entry.ordinal),
        time_ms: of.map(|entry| entry.time_ms),
        ..Answered::of(resend)
    };
    // Of what a command comes after it only matters that it is there.
    let found = resends.iter().map(|(key, resend)| (key.clone(), answered(resend, None)));
    let mut found: HashMap<ResendKey, Answered> = found.collect();
    if found.is_empty() {
        return Ok(found);
    }
    let key = |c: &&Command| Some((c.room.clone(), c.sender.clone(), c.client_id?));
    let again: Vec<_> = commands.iter().filter_map(key).collect();
    let again = again.iter().filter_map(|key| resends.get_key_value(key));
    let again: Vec<_> = again.filter(|(_, resend)| resend.seq > 0).collect();
    for some in again.chunks(ENTRIES_AT_ONCE) {
        let wanted: Vec<_> = some.iter().map(|(key, row)| (key.0.clone(), row.seq)).collect();
        for ((key, row), logged) in some.iter().zip(readable(snapshot, &wanted).await?) {
            let entry = logged.map(|logged| logged.entry);
            if entry.is_none() {
                absent::note(snapshot, &key.0, row.seq..row.seq + 1).await?;
            }
            found.insert(Clone::clone(*key), answered(row, entry.as_ref()));
        }
    }
    Ok(found)
}

/// Entries in the given order; `None`: there is none, or it can't be read. A command that points at such
/// an entry is no reason to stop: anybody may send one.
///
/// # Errors
/// Those of the store, but [`Error::Corrupt`].
pub(crate) async fn readable(
    snapshot: &dyn Snapshot,
    wanted: &[(RoomId, u64)],
) -> Result<Vec<Option<Logged>>, Error> {
    match log::get_many(snapshot, wanted).await {
        Err(Error::Corrupt(_)) => {}
        read => return read,
    }
    let mut read = Vec::with_capacity(wanted.len());
    for one in wanted.chunks(1) {
        match log::get_many(snapshot, one).await {
            Ok(logged) => read.extend(logged),
            Err(Error::Corrupt(what)) => {
                error!(what, "an entry that a command points at can't be read");
                read.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

async fn read_room(
    snapshot: &dyn Snapshot,
    id: &RoomId,
    row: Option<Bytes>,
) -> Result<(RoomId, Room), Error> {
    let (place, head) = match row {
        Some(row) => head::decode(&row).map(|(position, head)| (Place::At(position), head))?,
        None => (Place::Nowhere, Head::default()),
    };
    let members = if head.large {
        Members::Some(LookedUp::default())
    } else if id.kind() == RoomKind::Group && head.seq > 0 {
        Members::All(read_members(snapshot, id).await?)
    } else {
        Members::All(BTreeMap::new())
    };
    let (former, is_accepted) = (Former::default(), false);
    Ok((id.clone(), Room { head, place, members, former, is_accepted, touched: 0 }))
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

/// Of large groups only those members are read whom a command names; and of all groups who has left and may be
/// added again.
async fn load_members(
    snapshot: &dyn Snapshot,
    state: &mut State,
    commands: &[&Command],
) -> Result<(), Error> {
    let mut wanted: BTreeSet<(RoomId, UserId)> = BTreeSet::new();
    let settled = state.settled;
    for Command { room: id, .. } in commands {
        state.rooms.change(id, |room| room.former.forget(settled));
    }
    for Command { room: id, sender, body, .. } in commands {
        state.rooms.change(id, |room| {
            // Who is no member is told less where they never were one.
            let is_out = id.kind() == RoomKind::Group
                && room.head.seq > 0
                && room.members.get(sender).is_none()
                && room.former.get(sender).is_none();
            if is_out {
                wanted.insert((id.clone(), sender.clone()));
            }
            if body.membership() == Membership::Joins && room.head.seq > 0 {
                let joining = body.users(sender).into_iter();
                let is_new = |user: &&UserId| {
                    room.members.get(user).is_none() && room.former.get(user).is_none()
                };
                wanted.extend(joining.filter(is_new).map(|user| (id.clone(), user.clone())));
            }
            let Members::Some(known) = &mut room.members else { return };
            let users = std::iter::once(sender).chain(body.members(sender)).cloned();
            let users = users.chain(body.mentions().users);
            wanted.extend(users.filter(|user| !known.knows(user)).map(|user| (id.clone(), user)));
            known.forget(settled);
        });
    }
    look_up(snapshot, state, wanted).await
}

/// Reads the rows of members of rooms. What is known of large groups already stays: the store may be older.
///
/// # Errors
/// Those of the store.
pub(super) async fn look_up(
    snapshot: &dyn Snapshot,
    state: &mut State,
    wanted: BTreeSet<(RoomId, UserId)>,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys = wanted.iter().map(|(room, user)| member::key(room, user)).collect();
    for ((id, user), row) in wanted.into_iter().zip(snapshot.get_many(keys).await?) {
        let row = row.map(|row| Member::decode(&row)).transpose()?;
        let is_member = row.as_ref().is_some_and(|row| row.role().is_some());
        state.rooms.change(&id, |room| {
            if let Members::Some(known) = &mut room.members
                && !known.knows(&user)
            {
                known.insert(user.clone(), row.clone().filter(|_| is_member));
            }
            if let Some(row) = row.filter(|_| !is_member) {
                room.former.insert(user, row);
            }
        });
    }
    Ok(())
}

/// The accounts of those users that exist, of all that the commands need to know about.
async fn load_accounts(
    snapshot: &dyn Snapshot,
    wanted: BTreeSet<UserId>,
) -> Result<HashMap<UserId, Account>, Error> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = snapshot.get_many(wanted.iter().map(account::key).collect()).await?;
    let exist = wanted.into_iter().zip(rows).filter_map(|(user, row)| Some((user, row?)));
    let accounts = exist.map(|(user, row)| Ok((user, Account::decode(&row)?)));
    // Nobody has anything to do any more with who is deleted.
    accounts.filter(|found| !matches!(found, Ok((_, account)) if account.is_deleted())).collect()
}

/// The users whom the commands put into groups.
fn joining(commands: &[&Command]) -> BTreeSet<UserId> {
    let mut joining = BTreeSet::new();
    for Command { body, sender, .. } in commands {
        if body.membership() == Membership::Joins {
            joining.extend(body.users(sender).into_iter().cloned());
        }
    }
    joining
}

/// The users whose accounts the commands need.
fn named(state: &State, commands: &[&Command]) -> BTreeSet<UserId> {
    let mut wanted: BTreeSet<UserId> = BTreeSet::new();
    for command in commands {
        wanted.extend(command.body.accounts(&command.sender).into_iter().cloned());
        let is_new = state.rooms.get(&command.room).is_none_or(|room| room.head.seq == 0);
        if is_new {
            wanted.extend(command.room.direct_users().into_iter().flat_map(|(a, b)| [a, b]));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::time::{Instant, sleep};
    use weft_proto::{Body, ClientId, Role};
    use weft_storage::engine::Pair;
    use weft_storage::memory::Memory;
    use weft_storage::tables::layout::FEATURE_LEVEL;
    use weft_storage::{Batch, Store};

    use super::*;

    /// A store that is elsewhere.
    struct Far(Arc<dyn Snapshot>);

    const WAY: Duration = Duration::from_millis(10);

    #[async_trait]
    impl Snapshot for Far {
        fn read_version(&self) -> weft_proto::Position {
            self.0.read_version()
        }

        async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
            sleep(WAY).await;
            self.0.get(key).await
        }

        async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
            sleep(WAY).await;
            self.0.get_many(keys).await
        }

        async fn scan(
            &self,
            range: std::ops::Range<Bytes>,
            limit: usize,
            reverse: bool,
        ) -> Result<Vec<Pair>, Error> {
            sleep(WAY).await;
            self.0.scan(range, limit, reverse).await
        }
    }

    fn group(number: usize) -> RoomId {
        RoomId::new(&format!("g{number}")).expect("id")
    }

    #[tokio::test(start_paused = true)]
    async fn many_groups_are_read_at_once() {
        const GROUPS: usize = 300;
        let (store, alice) = (Store::new(Memory::new()), UserId::new("alice").expect("id"));
        let mut batch = Batch::new([1; 16]);
        for room in (0..GROUPS).map(group) {
            let head = Head { seq: 1, member_count: 1, ..Head::default() };
            head::put(&mut batch, &room, 0, &head);
            batch.set(member::key(&room, &alice), Member::joined(Role::Owner, 1).encode());
        }
        store.commit(batch).await.expect("commit");
        let incoming = |number| {
            let body = Body::message("x".into()).expect("text");
            let command = Command {
                sender: alice.clone(),
                room: group(number),
                client_id: Some(ClientId::from_parts(1, 1)),
                made_by: None,
                after: None,
                content_hash: body.content_hash(),
                body,
                scheduled: None,
                bytes: 1,
            };
            let (stream_seq, stored_at_ms) = (1, 1);
            let (sender, reply) = (alice.to_string(), None);
            Incoming { stream_seq, stored_at_ms, sender, reply, command: Ok(command), letter: None }
        };
        let run: Vec<Incoming> = (0..GROUPS).map(incoming).collect();
        let snapshot = Far(store.snapshot().await.expect("snapshot"));
        let (mut state, counts) = (State::new(usize::MAX, FEATURE_LEVEL), GroupCounts::default());
        let began = Instant::now();
        load(&snapshot, &mut state, 0, &run, (&counts, 1)).await.expect("loaded");
        assert!(began.elapsed() < 15 * WAY, "{:?}", began.elapsed());
        for room in (0..GROUPS).map(group) {
            let known = state.rooms.get(&room).expect("loaded");
            assert_eq!((known.head.seq, known.members.role(&alice)), (1, Some(Role::Owner)));
        }
    }
}
