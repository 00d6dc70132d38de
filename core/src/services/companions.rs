//! Whom a user may see: partners of direct rooms, and members of the same groups.
//!
//! Only present members count: who left a group sees nobody through it, and is seen by nobody. And of two users of
//! whom one has blocked the other, neither sees the other, whatever they share. A direct room that is a request shows nobody.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use bytes::Bytes;
use weft_proto::{ErrorCode, RoomId, RoomKind, UserId, svc};
use weft_storage::engine::Pair;
use weft_storage::tables::head;
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

use super::access::Access;
use super::failure::Failure;
use super::relations::{blocked, hidden_rooms};
use super::rooms::{broken, room_page};
use super::status::check_count;
use super::{Context, ServiceLimits};

/// Most rows that one call looks at.
pub(super) const LOOKUPS_MAX: usize = 20_000;
/// Rows of one `get_many`.
const LOOKUPS_AT_ONCE: usize = 1_000;
/// What a scan costs beside its rows, in rows: the way to the store and back.
const SCAN_LOOKUPS: usize = 20;

impl Context {
    /// Whom the caller sees without asking: partners of direct rooms, then members of groups that
    /// are not large. What is left out because there are too many users, or too many rows to find
    /// them in, is said (`more`).
    ///
    /// # Errors
    /// Those of the token, or the store's.
    pub async fn companions(
        &self,
        request: svc::ListCompanions,
    ) -> Result<svc::Companions, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let (users, more) = self.companions_of(&*snapshot, user).await?;
        let users = users.iter().map(ToString::to_string).collect();
        Ok(svc::Companions { users, more })
    }

    /// Who hears of a user's changed profile: the user first, then their companions.
    pub(super) async fn who_hears(&self, user: &UserId) -> Result<Vec<UserId>, Error> {
        let snapshot = self.store.snapshot().await?;
        let (companions, _) = self.companions_of(&*snapshot, user.clone()).await?;
        Ok(std::iter::once(user.clone()).chain(companions).collect())
    }

    async fn companions_of(
        &self,
        snapshot: &dyn Snapshot,
        user: UserId,
    ) -> Result<(Vec<UserId>, bool), Error> {
        let mut search = Search::new(user, self.limits);
        search.add_partners(snapshot).await?;
        search.add_groups(snapshot).await?;
        let blocked = blocked(snapshot, &search.user, &search.found).await?;
        let users = search.found.into_iter().filter(|user| !blocked.contains(user));
        Ok((users.collect(), search.more))
    }

    /// Which of these users share a room with the caller, or the group that is named. The caller
    /// does in any case.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for too many users, [`ErrorCode::BadId`] (a direct room too),
    /// [`ErrorCode::NoSuchRoom`], [`ErrorCode::NotMember`], [`ErrorCode::TooLarge`] where no group
    /// is named and all of them are too many for this many users; those of the token, or the store's.
    pub async fn visible(&self, request: svc::AreVisible) -> Result<svc::Visible, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?.user;
        check_count(request.users.len())?;
        let users = request.users.iter().map(|user| UserId::new(user));
        let users = users.collect::<Result<Vec<_>, _>>()?;
        let mut hidden: BTreeSet<_> =
            users.iter().filter(|user| **user != caller).cloned().collect();
        if request.room.is_empty() {
            self.without_companions(&*snapshot, &mut hidden, &caller).await?;
        } else {
            let room = RoomId::new(&request.room)?;
            if room.kind() == RoomKind::Direct {
                return Err(Failure::new(ErrorCode::BadId, "the field room is a group id"));
            }
            Access::of(&*snapshot, &room, &caller).await?.member_role()?;
            without_members(&*snapshot, &mut hidden, &[room]).await?;
        }
        hidden.extend(blocked(&*snapshot, &caller, &users).await?);
        let visible = users.iter().filter(|user| !hidden.contains(*user));
        Ok(svc::Visible { users: visible.map(ToString::to_string).collect() })
    }

    /// Takes out of `hidden` who shares any room with the caller.
    async fn without_companions(
        &self,
        snapshot: &dyn Snapshot,
        hidden: &mut BTreeSet<UserId>,
        caller: &UserId,
    ) -> Result<(), Failure> {
        without_partners(snapshot, hidden, caller).await?;
        if hidden.is_empty() {
            return Ok(());
        }
        let groups_max = self.limits.lookups_max / hidden.len();
        let range = user_room::groups_after(caller, None);
        let (groups, more) = room_page(snapshot, range, groups_max).await?;
        if more {
            let message = "too many users for as many groups: name the room";
            return Err(Failure::new(ErrorCode::TooLarge, message));
        }
        let mut groups = groups.as_slice();
        while !groups.is_empty() && !hidden.is_empty() {
            let at_once = (LOOKUPS_AT_ONCE / hidden.len()).clamp(1, groups.len());
            let (now, later) = groups.split_at(at_once);
            without_members(snapshot, hidden, now).await?;
            groups = later;
        }
        Ok(())
    }
}

/// Takes out of `hidden` with whom the caller has a direct room.
async fn without_partners(
    snapshot: &dyn Snapshot,
    hidden: &mut BTreeSet<UserId>,
    caller: &UserId,
) -> Result<(), Error> {
    let rooms: Vec<RoomId> = hidden.iter().map(|user| RoomId::direct(caller, user)).collect();
    let heads = snapshot.get_many(rooms.iter().map(head::key).collect()).await?;
    let there = rooms.into_iter().zip(heads).filter_map(|(room, head)| head.map(|_| room));
    let mut there: HashSet<RoomId> = there.collect();
    for room in hidden_rooms(snapshot, &there).await? {
        there.remove(&room);
    }
    hidden.retain(|user| !there.contains(&RoomId::direct(caller, user)));
    Ok(())
}

/// Takes out of `hidden` who is a member of one of these groups.
async fn without_members(
    snapshot: &dyn Snapshot,
    hidden: &mut BTreeSet<UserId>,
    groups: &[RoomId],
) -> Result<(), Error> {
    let users: Vec<UserId> = hidden.iter().cloned().collect();
    let keys = groups.iter().flat_map(|room| users.iter().map(|user| member::key(room, user)));
    let rows = snapshot.get_many(keys.collect()).await?;
    for (user, row) in users.iter().cycle().zip(rows) {
        let Some(row) = row else { continue };
        // Rows of former members stay.
        if Member::decode(&row)?.role().is_some() {
            hidden.remove(user);
        }
    }
    Ok(())
}

/// A search for a user's companions.
struct Search {
    user: UserId,
    found: Vec<UserId>,
    /// The same, to look up.
    known: HashSet<UserId>,
    users_max: usize,
    rows_max: usize,
    /// Rows that it may still look at.
    lookups_left: usize,
    /// It has ended before the end.
    more: bool,
}

impl Search {
    fn new(user: UserId, limits: ServiceLimits) -> Self {
        Self {
            user,
            found: Vec::new(),
            known: HashSet::new(),
            users_max: limits.companions_max,
            rows_max: limits.rows_max,
            lookups_left: limits.lookups_max,
            more: false,
        }
    }

    fn add(&mut self, user: UserId) {
        if user == self.user || self.known.contains(&user) {
            return;
        }
        if self.found.len() == self.users_max {
            self.more = true;
            return;
        }
        self.known.insert(user.clone());
        self.found.push(user);
    }

    /// The first rows of a range; all where they are fewer than `rows_max`.
    async fn scan(
        &mut self,
        snapshot: &dyn Snapshot,
        range: Range<Bytes>,
    ) -> Result<Vec<Pair>, Error> {
        if self.lookups_left == 0 {
            self.more = true;
            return Ok(Vec::new());
        }
        let rows = snapshot.scan(range, self.rows_max, false).await?;
        self.lookups_left = self.lookups_left.saturating_sub(SCAN_LOOKUPS + rows.len());
        Ok(rows)
    }

    async fn add_partners(&mut self, snapshot: &dyn Snapshot) -> Result<(), Error> {
        let mut after = None;
        while !self.more {
            let range = user_room::directs_after(&self.user, after.as_ref());
            let rows = self.scan(snapshot, range).await?;
            let rooms = rows.iter().map(|(key, _)| user_room::room(key));
            let rooms = rooms.collect::<Result<Vec<_>, _>>()?;
            let hidden = hidden_rooms(snapshot, &rooms).await?;
            for room in rooms {
                if hidden.contains(&room) {
                    // It shows neither to the other.
                } else if let Some((low, high)) = room.direct_users() {
                    // One of them is the user, both where it is a notebook.
                    self.add(low);
                    self.add(high);
                }
                after = Some(room);
            }
            if rows.len() < self.rows_max {
                break;
            }
        }
        Ok(())
    }

    async fn add_groups(&mut self, snapshot: &dyn Snapshot) -> Result<(), Error> {
        let mut after = None;
        while !self.more {
            let range = user_room::groups_after(&self.user, after.as_ref());
            let rows = self.scan(snapshot, range).await?;
            let rooms = rows.iter().map(|(key, _)| user_room::room(key));
            let rooms = rooms.collect::<Result<Vec<_>, _>>()?;
            let heads = snapshot.get_many(rooms.iter().map(head::key).collect()).await?;
            for (room, row) in rooms.iter().zip(heads) {
                let (_, head) = head::decode(&row.ok_or_else(|| broken(room))?)?;
                if !head.large && !self.more {
                    self.add_members(snapshot, room).await?;
                }
            }
            if rooms.len() < self.rows_max {
                break;
            }
            after = rooms.into_iter().next_back();
        }
        Ok(())
    }

    async fn add_members(&mut self, snapshot: &dyn Snapshot, room: &RoomId) -> Result<(), Error> {
        let mut after = None;
        while !self.more {
            let range = member::range_after(room, after.as_ref().map_or("", UserId::as_str));
            let rows = self.scan(snapshot, range).await?;
            for (key, value) in &rows {
                let user = member::user(key)?;
                // Rows of former members stay.
                if Member::decode(value)?.role().is_some() {
                    self.add(user.clone());
                }
                after = Some(user);
            }
            if rows.len() < self.rows_max {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
