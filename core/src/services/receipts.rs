//! Up to where the members of a room have read it.

use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::mark::{self, Held};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::setting::receipts_off;
use weft_storage::{Error, Snapshot};

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::relations::hidden_rooms;
use crate::marks;

impl Context {
    /// Up to where members have read a room, ascending by user id: all of them, or those who have read up to
    /// an entry. Of a large group only all: who has read what would be looked for among too many. Those who have turned
    /// off read receipts are left out, and where one of two users has blocked the other, or has not accepted that they write, the other one.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] where the caller has turned them off, [`ErrorCode::BadId`], [`ErrorCode::NoSuchRoom`], [`ErrorCode::NotMember`] (former members too),
    /// [`ErrorCode::NotFound`] for an entry that the caller does not see, [`ErrorCode::TooLarge`], those of the
    /// token, or the store's.
    pub async fn receipts(&self, request: svc::ListReceipts) -> Result<svc::Receipts, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        if !request.after.is_empty() {
            UserId::new(&request.after)?;
        }
        let access = Access::of(&*snapshot, &room, &user).await?;
        access.member_role()?;
        if !receipts_off(&*snapshot, [&user]).await?.is_empty() {
            let message = "who has turned off read receipts does not see those of others";
            return Err(Failure::new(ErrorCode::Forbidden, message));
        }
        let limit = self.rows_max(request.limit);
        let (seq, after) = (request.seq, request.after.as_str());
        if seq == 0 {
            // One more tells whether there are more.
            let members = members(&*snapshot, &room, after, limit + 1).await?;
            let more = members.len() > limit;
            let members = members.into_iter().take(limit).collect();
            let receipts = receipts(&*snapshot, (&room, &user), members).await?;
            return Ok(svc::Receipts { receipts, more, read_count: None });
        }
        if seq > access.head.seq || !access.visible.contains(seq) {
            return Err(Failure::new(ErrorCode::NotFound, "there is no such entry"));
        }
        if access.head.large {
            let message = "of a large group it is not told who has read up to an entry";
            return Err(Failure::new(ErrorCode::TooLarge, message));
        }
        let all = members(&*snapshot, &room, "", usize::MAX).await?;
        let mut read = receipts(&*snapshot, (&room, &user), all).await?;
        read.retain(|receipt| receipt.read >= seq);
        let read_count = u32::try_from(read.len()).ok();
        let mut receipts = read.into_iter().filter(|receipt| receipt.user.as_str() > after);
        let page = receipts.by_ref().take(limit).collect();
        let more = receipts.next().is_some();
        Ok(svc::Receipts { receipts: page, more, read_count })
    }
}

/// The first members after a user (empty: from the first), by id.
async fn members(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: &str,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    if let Some((low, high)) = room.direct_users() {
        let both = if low == high { vec![low] } else { vec![low, high] };
        return Ok(both.into_iter().filter(|user| user.as_str() > after).take(limit).collect());
    }
    let (mut found, mut after) = (Vec::new(), after.to_owned());
    loop {
        let rows = snapshot.scan(member::range_after(room, &after), ROWS_PER_SCAN, false).await?;
        let is_last = rows.len() < ROWS_PER_SCAN;
        for (key, row) in rows {
            let user = member::user(&key)?;
            user.as_str().clone_into(&mut after);
            // Rows of former members stay.
            if Member::decode(&row)?.role().is_some() {
                found.push(user);
            }
            if found.len() == limit {
                return Ok(found);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// Member rows that are read at once.
const ROWS_PER_SCAN: usize = 512;

async fn receipts(
    snapshot: &dyn Snapshot,
    (room, caller): (&RoomId, &UserId),
    users: Vec<UserId>,
) -> Result<Vec<svc::Receipt>, Error> {
    let off = receipts_off(snapshot, &users).await?;
    let is_apart = hidden_rooms(snapshot, [room]).await?.contains(room);
    let shown = users.into_iter().filter(|user| !off.contains(user));
    let shown = shown.filter(|user| !is_apart || user == caller);
    let marks: Vec<(RoomId, UserId)> = shown.map(|user| (room.clone(), user)).collect();
    let held = mark::held(snapshot, &marks).await?;
    let is_direct = room.direct_users().is_some();
    let receipt = |((_, user), held): (&(RoomId, UserId), Held)| svc::Receipt {
        user: user.to_string(),
        read: held.mark.read,
        delivered: is_direct.then(|| marks::delivered(&held.mark)),
    };
    Ok(marks.iter().zip(held).map(receipt).collect())
}

#[cfg(test)]
mod tests;
