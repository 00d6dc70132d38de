//! What others are to a user: whom they know, and of whom they want nothing.

use std::collections::HashSet;

use tracing::error;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::relation::{self, RelationKey};
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
        let user = self.caller(&*snapshot, &request.token).await?.user;
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
        let user = self.caller(&*snapshot, &request.token).await?.user;
        let (low, high) = RoomId::new(&request.room)?.direct_users().ok_or_else(|| {
            Failure::new(ErrorCode::BadId, "the field room is the id of a direct room")
        })?;
        if user != low && user != high {
            return Err(Failure::new(ErrorCode::NotMember, "not a member of the room"));
        }
        let other = if user == low { high } else { low };
        let blocked = blocked(&*snapshot, &user, [&other]).await?;
        Ok(svc::Reached { reached: blocked.is_empty() })
    }
}

/// Those of these users who want nothing of the user, or of whom the user wants nothing.
pub(super) async fn blocked<'a>(
    snapshot: &dyn Snapshot,
    user: &UserId,
    others: impl IntoIterator<Item = &'a UserId>,
) -> Result<HashSet<UserId>, Error> {
    let others: Vec<UserId> = others.into_iter().filter(|other| *other != user).cloned().collect();
    let pairs: Vec<RelationKey> =
        others.iter().map(|other| (user.clone(), other.clone())).collect();
    let are_blocked = are_blocked(snapshot, &pairs).await?;
    let blocked = others.into_iter().zip(are_blocked).filter(|(_, is_blocked)| *is_blocked);
    Ok(blocked.map(|(other, _)| other).collect())
}

/// Those of these direct rooms where one of the two wants nothing of the other one.
pub(super) async fn blocked_rooms<'a>(
    snapshot: &dyn Snapshot,
    rooms: impl IntoIterator<Item = &'a RoomId>,
) -> Result<HashSet<RoomId>, Error> {
    let users = |room: &RoomId| Some((room.clone(), room.direct_users()?));
    let rooms = rooms.into_iter().filter_map(users).filter(|(_, (low, high))| low != high);
    let (rooms, pairs): (Vec<RoomId>, Vec<RelationKey>) = rooms.unzip();
    let are_blocked = are_blocked(snapshot, &pairs).await?;
    let blocked = rooms.into_iter().zip(are_blocked).filter(|(_, is_blocked)| *is_blocked);
    Ok(blocked.map(|(room, _)| room).collect())
}

/// What each of the two says of the other.
pub(super) fn both_ways(one: &UserId, other: &UserId) -> [RelationKey; 2] {
    [(one.clone(), other.clone()), (other.clone(), one.clone())]
}

/// Whether this row says that the user wants nothing of the other one. One that can't be read does: what was hidden is not shown.
pub(super) fn blocks((user, other): &RelationKey, row: Option<&[u8]>) -> bool {
    match row.map(relation::decode).transpose() {
        Ok(row) => row.is_some_and(|(_, relation)| relation.blocked),
        Err(error) => {
            error!(%user, %other, %error, "a relation can't be read: it hides both");
            true
        }
    }
}

/// Of each two: whether one of them wants nothing of the other.
async fn are_blocked(snapshot: &dyn Snapshot, pairs: &[RelationKey]) -> Result<Vec<bool>, Error> {
    let mut blocked = Vec::with_capacity(pairs.len());
    for pairs in pairs.chunks(USERS_AT_ONCE) {
        let keys: Vec<RelationKey> =
            pairs.iter().flat_map(|(one, other)| both_ways(one, other)).collect();
        let rows = snapshot.get_many(keys.iter().map(relation::key).collect()).await?;
        let each: Vec<bool> =
            keys.iter().zip(&rows).map(|(key, row)| blocks(key, row.as_deref())).collect();
        blocked.extend(each.chunks(2).map(|both| both.contains(&true)));
    }
    Ok(blocked)
}

#[cfg(test)]
mod tests {
    use weft_storage::tables::relation::Relation;

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
