//! A user's groups, one room, and a room's members. The list of a user's rooms: `rooms/list.rs`.

use std::ops::Range;

use bytes::Bytes;
use prost::Message as _;
use weft_proto::kind::CONVERSATIONS_LEVEL;
use weft_proto::{ErrorCode, Role, RoomId, RoomKind, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::setting::receipts_off;
use weft_storage::tables::user_room;

use super::access::Access;
use super::accounts::profiles;
use super::failure::Failure;
use super::{Caller, Context};

use self::summary::Reader;

mod hidden;
mod list;
mod summary;
pub(super) mod unread;

impl Context {
    /// The caller's groups, ascending by id: what an edge subscribes to. With the direct rooms after them where that
    /// is asked for.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn groups(&self, request: svc::ListGroups) -> Result<svc::Groups, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        if let Some(mut rooms) = rooms_of_scope(&*snapshot, &caller).await? {
            rooms.retain(|room| request.with_direct || room.kind() == RoomKind::Group);
            let rooms = rooms.iter().map(ToString::to_string).collect();
            return Ok(svc::Groups { rooms, more: false });
        }
        let user = caller.user;
        let after = room_after(&request.after)?;
        let range = if request.with_direct {
            user_room::range_after(&user, after.as_ref())
        } else if after.as_ref().is_some_and(|room| room.kind() == RoomKind::Direct) {
            return Err(Failure::new(ErrorCode::BadId, "the field after is a group id"));
        } else {
            user_room::groups_after(&user, after.as_ref())
        };
        let (rooms, more) = room_page(&*snapshot, range, self.limits.rows_max).await?;
        Ok(svc::Groups { rooms: rooms.iter().map(ToString::to_string).collect(), more })
    }

    /// One room of the caller.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchRoom`], [`ErrorCode::NotMember`] (former members too),
    /// [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn get(&self, request: svc::GetRoom) -> Result<svc::RoomSummary, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &user).await?;
        let member = (access.member_role()?, access.member.as_ref());
        let keeps_lists = keeps_lists(&*snapshot).await?;
        let receipts_off = !receipts_off(&*snapshot, [&user]).await?.is_empty();
        let (snapshot, now_ms) = (&*snapshot, self.clock.now_ms());
        let reader = Reader { snapshot, user: &user, keeps_lists, receipts_off, now_ms };
        Ok(reader.of_member((&room, access.head), member).await?.room)
    }

    /// A room's members, ascending by user id.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn members(&self, request: svc::ListMembers) -> Result<svc::Members, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        if !request.after.is_empty() {
            UserId::new(&request.after)?;
        }
        Access::of(&*snapshot, &room, &user).await?.member_role()?;
        let limit = self.rows_max(request.limit);
        let mut page = page_of_members(&*snapshot, &room, request.after, limit).await?;
        add_profiles(&*snapshot, &mut page, self.limits.page.bytes_max).await?;
        Ok(page)
    }
}

/// The members of a room after a user (empty: from the first).
pub(super) async fn page_of_members(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: String,
    limit: usize,
) -> Result<svc::Members, Failure> {
    match room.direct_users() {
        Some((low, high)) => Ok(direct_members(low, high, &after, limit)),
        None => group_members(snapshot, room, after, limit).await,
    }
}

/// Says what others see of the members. The page ends after the one that passes so many bytes.
async fn add_profiles(
    snapshot: &dyn Snapshot,
    page: &mut svc::Members,
    bytes_max: usize,
) -> Result<(), Failure> {
    let users = page.members.iter().map(|member| UserId::new(&member.user));
    let profiles = profiles(snapshot, users.collect::<Result<_, _>>()?).await?;
    let mut bytes = 0;
    let mut count = 0;
    for (member, profile) in page.members.iter_mut().zip(profiles) {
        if bytes >= bytes_max {
            break;
        }
        // Who asks for what they show, asks for these.
        member.profile = profile.map(|it| svc::Profile { about: String::new(), ..it });
        bytes += member.encoded_len();
        count += 1;
    }
    page.more |= count < page.members.len();
    page.members.truncate(count);
    Ok(())
}

/// Whether the store keeps users' lists of rooms in order, and what they have read.
async fn keeps_lists(snapshot: &dyn Snapshot) -> Result<bool, weft_storage::Error> {
    has_level(snapshot, CONVERSATIONS_LEVEL).await
}

/// Whether a feature level may be written.
pub(super) async fn has_level(
    snapshot: &dyn Snapshot,
    level: u32,
) -> Result<bool, weft_storage::Error> {
    let row = snapshot.get(layout::key()).await?;
    let layout = row.as_deref().map(Layout::decode).transpose()?;
    Ok(layout.is_some_and(|layout| layout.written_level() >= level))
}

/// The caller's rooms that are in the scope of their token, where that names some: few.
pub(super) async fn rooms_of_scope(
    snapshot: &dyn Snapshot,
    caller: &Caller,
) -> Result<Option<Vec<RoomId>>, weft_storage::Error> {
    let Some(rooms) = caller.scope.as_ref().and_then(|scope| scope.rooms.as_ref()) else {
        return Ok(None);
    };
    let keys = rooms.iter().map(|room| user_room::key(&caller.user, room)).collect();
    let rows = snapshot.get_many(keys).await?;
    let there = rooms.iter().zip(rows).filter_map(|(room, row)| row.map(|_| room.clone()));
    Ok(Some(there.collect()))
}

/// The room after which a page begins.
pub(super) fn room_after(text: &str) -> Result<Option<RoomId>, Failure> {
    if text.is_empty() { Ok(None) } else { Ok(Some(RoomId::new(text)?)) }
}

/// The rooms of a range of membership rows, and whether there are more.
pub(super) async fn room_page(
    snapshot: &dyn Snapshot,
    range: Range<Bytes>,
    limit: usize,
) -> Result<(Vec<RoomId>, bool), weft_storage::Error> {
    let rows = snapshot.scan(range, limit + 1, false).await?;
    let rooms = rows.iter().take(limit).map(|(key, _)| user_room::room(key));
    Ok((rooms.collect::<Result<_, _>>()?, rows.len() > limit))
}

/// Both users, there from the first entry on.
fn direct_members(low: UserId, high: UserId, after: &str, limit: usize) -> svc::Members {
    let is_notebook = low == high;
    let mut users = vec![low];
    if !is_notebook {
        users.push(high);
    }
    let mut members: Vec<_> = users
        .iter()
        .filter(|user| user.as_str() > after)
        .map(|user| proto_member(user, Role::Member, 1))
        .collect();
    let more = members.len() > limit;
    members.truncate(limit);
    svc::Members { members, more }
}

async fn group_members(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    mut after: String,
    limit: usize,
) -> Result<svc::Members, Failure> {
    let mut members = Vec::new();
    loop {
        let range = member::range_after(room, &after);
        let rows = snapshot.scan(range, limit + 1, false).await?;
        let is_last = rows.len() <= limit;
        for (key, value) in rows {
            let user = member::user(&key)?;
            let member = Member::decode(&value)?;
            // Rows of former members stay.
            if let Some(role) = member.role() {
                if members.len() == limit {
                    return Ok(svc::Members { members, more: true });
                }
                members.push(proto_member(&user, role, member.since_seq));
            }
            after = user.as_str().to_owned();
        }
        if is_last {
            return Ok(svc::Members { members, more: false });
        }
    }
}

fn proto_member(user: &UserId, role: Role, since_seq: u64) -> svc::Member {
    let (user, role) = (user.to_string(), role.as_str().to_owned());
    svc::Member { user, role, since_seq, profile: None }
}

pub(super) fn broken(room: &RoomId) -> weft_storage::Error {
    weft_storage::Error::Corrupt(format!("room {room}: its rows disagree with its membership"))
}

#[cfg(test)]
mod tests;
