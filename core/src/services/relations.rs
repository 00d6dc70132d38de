//! What others are to a user: whom they know, and of whom they want nothing.

use std::collections::HashSet;

use tracing::error;
use weft_proto::consent::Strangers;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::installation::{self, Installation};
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::tables::{sent, setting};
use weft_storage::{Error, Snapshot};

use super::Context;
use super::failure::Failure;

/// Rows that are read at once.
const ROWS_PER_SCAN: usize = 512;
/// The same of users whose rows are read one by one.
const USERS_AT_ONCE: usize = 500;

impl Context {
    /// The users who are something to the caller, ascending by id.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn relations(&self, request: svc::ListRelations) -> Result<svc::Relations, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let mut range = relation::range(&user);
        if !request.after.is_empty() {
            range = relation::range_after(&user, &UserId::new(&request.after)?);
        }
        let limit = self.rows_max(request.limit);
        let mut relations = Vec::new();
        loop {
            let rows = snapshot.scan(range.clone(), ROWS_PER_SCAN, false).await?;
            let is_last = rows.len() < ROWS_PER_SCAN;
            for (key, row) in rows {
                let other = relation::other(&key)?;
                let (_, row) = relation::decode(&row)?;
                range = relation::range_after(&user, &other);
                // Rows that say nothing any more stay for a while.
                if row.is_default() {
                    continue;
                }
                if relations.len() == limit {
                    return Ok(svc::Relations { relations, more: true });
                }
                let (contact, blocked) = (row.contact, row.blocked);
                relations.push(svc::RelatedUser { user: other.to_string(), contact, blocked });
            }
            if is_last {
                return Ok(svc::Relations { relations, more: false });
            }
        }
    }

    /// Whether the other user of a direct room is to hear what the caller does there beside entries.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::NotMember`], those of the token, or the store's.
    pub async fn reaches(&self, request: svc::Reaches) -> Result<svc::Reached, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let (low, high) = room.direct_users().ok_or_else(|| {
            Failure::new(ErrorCode::BadId, "the field room is the id of a direct room")
        })?;
        if user != low && user != high {
            return Err(Failure::new(ErrorCode::NotMember, "not a member of the room"));
        }
        let hidden = hidden_rooms(&*snapshot, [&room]).await?;
        Ok(svc::Reached { reached: hidden.is_empty() })
    }
}

/// Those of these users who want nothing of the user, or of whom the user wants nothing.
pub(super) async fn blocked<'a>(
    snapshot: &dyn Snapshot,
    user: &UserId,
    others: impl IntoIterator<Item = &'a UserId>,
) -> Result<HashSet<UserId>, Error> {
    let others: Vec<UserId> = others.into_iter().filter(|other| *other != user).cloned().collect();
    let mut blocked = HashSet::new();
    for others in others.chunks(USERS_AT_ONCE) {
        let keys: Vec<RelationKey> =
            others.iter().flat_map(|other| both_ways(user, other)).collect();
        let rows = snapshot.get_many(keys.iter().map(relation::key).collect()).await?;
        for (other, (keys, rows)) in others.iter().zip(keys.chunks(2).zip(rows.chunks(2))) {
            let said = keys.iter().zip(rows).map(|(key, row)| said(key, row.as_deref()));
            if said.into_iter().any(|relation| relation.blocked) {
                blocked.insert(other.clone());
            }
        }
    }
    Ok(blocked)
}

/// What the two users of a direct room are to each other.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Between {
    /// One of them wants nothing of the other one.
    is_blocked: bool,
    /// To whom it is a request, of the other one.
    pub(super) asked: Vec<UserId>,
}

impl Between {
    /// Neither hears of the other one beside the room's entries.
    pub(super) fn is_hidden(&self) -> bool {
        self.is_blocked || !self.asked.is_empty()
    }
}

/// Those of these direct rooms where neither hears of the other one beside the entries: one of the two wants nothing of the
/// other one, or has not accepted that they write.
pub(super) async fn hidden_rooms<'a>(
    snapshot: &dyn Snapshot,
    rooms: impl IntoIterator<Item = &'a RoomId>,
) -> Result<HashSet<RoomId>, Error> {
    let is_of_two = |room: &&RoomId| room.direct_users().is_some_and(|(low, high)| low != high);
    let rooms: Vec<RoomId> = rooms.into_iter().filter(is_of_two).cloned().collect();
    let between = between(snapshot, &rooms).await?;
    let hidden = rooms.into_iter().zip(between).filter(|(_, between)| between.is_hidden());
    Ok(hidden.map(|(room, _)| room).collect())
}

/// What the users of these direct rooms are to each other, in their order; of a room that is none of two, nothing.
pub(super) async fn between(
    snapshot: &dyn Snapshot,
    rooms: &[RoomId],
) -> Result<Vec<Between>, Error> {
    let mut found = vec![Between::default(); rooms.len()];
    // Who is asked unless they have written.
    let mut decide: Vec<(usize, (RoomId, UserId))> = Vec::new();
    for (chunk_no, chunk) in rooms.chunks(USERS_AT_ONCE).enumerate() {
        let of_two = chunk.iter().enumerate().filter_map(|(index, room)| {
            let (low, high) = room.direct_users().filter(|(low, high)| low != high)?;
            Some((chunk_no * USERS_AT_ONCE + index, room, low, high))
        });
        let of_two: Vec<_> = of_two.collect();
        let keys = of_two.iter().flat_map(|(_, _, low, high)| {
            let [one, other] = both_ways(low, high);
            let settings = [setting::of_user(low), setting::of_user(high)];
            [relation::key(&one), relation::key(&other)].into_iter().chain(settings)
        });
        let keys = keys.chain(std::iter::once(installation::key()));
        let rows = snapshot.get_many(keys.collect()).await?;
        let Some((installation, rows)) = rows.split_last() else { continue };
        let installation = what_holds(installation.as_deref());
        for ((index, room, low, high), rows) in of_two.into_iter().zip(rows.chunks(4)) {
            let [of_low, of_high, low_wants, high_wants] = rows else { continue };
            let both = both_ways(&low, &high);
            let of_low = said(&both[0], of_low.as_deref());
            let of_high = said(&both[1], of_high.as_deref());
            found[index].is_blocked = of_low.blocked || of_high.blocked;
            for (user, knows, row) in
                [(low, of_low.contact, low_wants), (high, of_high.contact, high_wants)]
            {
                let own = setting::strangers(&user, row.as_deref());
                if !knows && installation.strangers_of(own) == Strangers::Request {
                    decide.push((index, (room.clone(), user)));
                }
            }
        }
    }
    for decide in decide.chunks(USERS_AT_ONCE) {
        let keys = decide.iter().map(|(_, (room, user))| sent::key(room, user)).collect();
        for ((index, (_, user)), row) in decide.iter().zip(snapshot.get_many(keys).await?) {
            if row.is_none() {
                found[*index].asked.push(user.clone());
            }
        }
    }
    Ok(found)
}

/// What the installation has for who has said nothing. A row that can't be read says nothing.
fn what_holds(row: Option<&[u8]>) -> Installation {
    let row = row.map(Installation::decode).transpose();
    let row =
        row.inspect_err(|error| error!(%error, "what holds for the installation can't be read"));
    row.unwrap_or_default().unwrap_or_default()
}

/// What each of the two says of the other.
fn both_ways(one: &UserId, other: &UserId) -> [RelationKey; 2] {
    [(one.clone(), other.clone()), (other.clone(), one.clone())]
}

/// What this row says that the other one is to the user. One that can't be read blocks: what was hidden is not shown.
fn said((user, other): &RelationKey, row: Option<&[u8]>) -> Relation {
    match row.map(relation::decode).transpose() {
        Ok(row) => row.map(|(_, relation)| relation).unwrap_or_default(),
        Err(error) => {
            error!(%user, %other, %error, "a relation can't be read: it hides both");
            Relation { contact: false, blocked: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, code};
    use super::*;

    #[tokio::test]
    async fn whom_one_knows_and_blocks_is_listed_page_by_page() {
        let world = World::new().await;
        for (other, contact, blocked) in
            [("bob", true, false), ("cem", false, false), ("dan", false, true), ("eve", true, true)]
        {
            world.relate("alice", other, Relation { contact, blocked }).await;
        }
        world.relate("bob", "alice", Relation { contact: false, blocked: true }).await;
        let page = async |after: &str, limit| {
            let token = world.token("alice");
            let request = svc::ListRelations { token, after: after.into(), limit };
            world.context.relations(request).await
        };
        let listed = async |after: &str, limit| {
            let page = page(after, limit).await.expect("a page");
            let row = |it: svc::RelatedUser| (it.user, it.contact, it.blocked);
            (page.relations.into_iter().map(row).collect::<Vec<_>>(), page.more)
        };
        let row = |user: &str, contact, blocked| (user.to_owned(), contact, blocked);
        let [bob, dan, eve] =
            [row("bob", true, false), row("dan", false, true), row("eve", true, true)];
        assert_eq!(listed("", 0).await, (vec![bob.clone(), dan.clone(), eve.clone()], false));
        assert_eq!(listed("", 2).await, (vec![bob, dan], true));
        assert_eq!(listed("dan", 2).await, (vec![eve], false));
        assert_eq!(code(page("a.b", 2).await), ErrorCode::BadId);
    }

    #[tokio::test]
    async fn who_is_blocked_or_blocks_is_not_reached() {
        let world = World::new().await;
        world.relate("alice", "bob", Relation { contact: true, blocked: true }).await;
        world.relate("alice", "cem", Relation { contact: true, blocked: false }).await;
        let reached = async |who: &str, room: &str| {
            let request = svc::Reaches { token: world.token(who), room: room.into() };
            world.context.reaches(request).await.map(|answer| answer.reached)
        };
        for (who, room, expected) in [
            ("alice", "alice~bob", false),
            ("bob", "alice~bob", false),
            ("alice", "alice~cem", true),
            ("cem", "alice~cem", true),
            ("bob", "bob~cem", true),
            ("bob", "bob~bob", true),
        ] {
            assert_eq!(reached(who, room).await.expect("an answer"), expected, "{who} in {room}");
        }
        assert_eq!(code(reached("bob", "alice~cem").await), ErrorCode::NotMember);
        assert_eq!(code(reached("bob", "team").await), ErrorCode::BadId);
    }
}
