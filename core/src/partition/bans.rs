//! Who is kept out of a group. What was planned and is not committed counts: see
//! [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeSet, HashSet};

use weft_proto::{Body, Entry, Membership, RoomId, UserId};
use weft_storage::tables::ban;
use weft_storage::{Batch, Error, Snapshot};

use super::command::Command;
use super::state::{PlanNo, State};

/// A group, and who is kept out of it.
pub type BanKey = (RoomId, UserId);

/// Those whom a run of commands bans, or brings in, as far as they are banned already.
#[derive(Default, Debug)]
pub struct FoundBans(HashSet<BanKey>);

/// Reads what a run of commands has to know of bans.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, commands: &[&Command]) -> Result<FoundBans, Error> {
    let mut wanted: BTreeSet<BanKey> = BTreeSet::new();
    for Command { room, sender, body, .. } in commands {
        let users = match body {
            // Whoever is there is not asked for a room that is made.
            Body::Create(_) => Vec::new(),
            Body::Ban(it) => vec![&it.user],
            Body::Unban(it) => vec![&it.user],
            Body::Ask(_) => vec![sender],
            body if body.membership() == Membership::Joins => body.users(sender),
            _ => Vec::new(),
        };
        wanted.extend(users.into_iter().map(|user| (room.clone(), user.clone())));
    }
    if wanted.is_empty() {
        return Ok(FoundBans::default());
    }
    let keys = wanted.iter().map(|(room, user)| ban::key(room, user)).collect();
    let rows = snapshot.get_many(keys).await?;
    let banned = wanted.into_iter().zip(rows).filter_map(|(key, row)| row.map(|_| key));
    Ok(FoundBans(banned.collect()))
}

impl FoundBans {
    /// True where the user is kept out.
    pub fn has(&self, state: &State, key: &BanKey) -> bool {
        state.bans.get(key).copied().unwrap_or_else(|| self.0.contains(key))
    }
}

/// Writes what an entry changes of bans.
pub fn write(batch: &mut Batch, state: &mut State, no: PlanNo, by: &Entry) {
    let (user, is_banned) = match &by.body {
        Body::Ban(it) => (&it.user, true),
        Body::Unban(it) => (&it.user, false),
        _ => return,
    };
    let key = ban::key(&by.room, user);
    match is_banned {
        true => batch.set(key, ban::encode(by.seq)),
        false => batch.clear(key),
    }
    state.bans.remember(no, (by.room.clone(), user.clone()), is_banned);
}
