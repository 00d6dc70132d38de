//! Who wants nothing of whom: what a user has said in their own notebook's partition, and owners of all partitions
//! decide by.
//!
//! It is read with the run of commands that it decides about, from a snapshot that was taken after they had come. So what is
//! sent after a block was answered is refused, in whatever partition its room is; of what is sent in that moment, the order of the
//! room's own log tells what came before.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use tracing::error;
use weft_proto::{ApiError, Body, ErrorCode, Membership, RoomId, RoomKind, UserId};
use weft_storage::tables::relation::{self, Relation, RelationKey};

use super::command::Command;
use super::state::State;

/// What the store says of the users whom a run of commands concerns.
#[derive(Default, Debug)]
pub struct FoundConsent {
    relations: HashMap<RelationKey, Relation>,
}

/// What a run of commands has to know: what others are to whom.
pub fn wanted(commands: &[&Command]) -> BTreeSet<RelationKey> {
    let mut wanted = BTreeSet::new();
    for Command { room, sender, body, .. } in commands {
        if let Some(partner) = partner(room, sender) {
            // Both say it of each other.
            wanted.insert((partner.clone(), sender.clone()));
            wanted.insert((sender.clone(), partner));
        } else if body.kind().membership == Membership::Joins {
            let joining = body.users(sender).into_iter().filter(|user| *user != sender);
            wanted.extend(joining.map(|user| (user.clone(), sender.clone())));
        }
    }
    wanted
}

/// The other user of a direct room, for one of its two.
fn partner(room: &RoomId, sender: &UserId) -> Option<UserId> {
    let (a, b) = room.direct_users()?;
    match (a == *sender, b == *sender) {
        (true, false) => Some(b),
        (false, true) => Some(a),
        _ => None,
    }
}

impl FoundConsent {
    /// Takes in the rows that were read, in their order. One that can't be read says nothing: it is told, and must not stop
    /// whom it is about.
    pub fn take(
        &mut self,
        wanted: BTreeSet<RelationKey>,
        rows: impl Iterator<Item = Option<Bytes>>,
    ) {
        for (key, row) in wanted.into_iter().zip(rows) {
            match row.as_deref().map(relation::decode).transpose() {
                Ok(Some((_, relation))) => {
                    self.relations.insert(key, relation);
                }
                Ok(None) => {}
                Err(error) => {
                    error!(user = %key.0, other = %key.1, %error, "a relation can't be read");
                }
            }
        }
    }

    /// Whether the user wants nothing of the other one. What this owner has planned itself counts.
    fn blocks(&self, state: &State, key: &RelationKey) -> bool {
        let planned = state.relations.get(key).map(|written| &written.row.relation);
        planned.or_else(|| self.relations.get(key)).is_some_and(|relation| relation.blocked)
    }

    /// Whether one of the two users of a direct room wants nothing of the other one.
    #[must_use]
    pub fn is_blocked(&self, state: &State, room: &RoomId, sender: &UserId) -> bool {
        let Some(partner) = partner(room, sender) else { return false };
        self.blocks(state, &(partner.clone(), sender.clone()))
            || self.blocks(state, &(sender.clone(), partner))
    }
}

/// Refuses what the one whom it is for does not want.
///
/// # Errors
/// [`ErrorCode::NotAllowed`]: it says no more than that.
pub fn check(
    room: &RoomId,
    sender: &UserId,
    body: &Body,
    (found, state): (&FoundConsent, &State),
) -> Result<(), ApiError> {
    match room.kind() {
        // Who takes back what they have written says nothing; an administrator need not ask.
        RoomKind::Direct if matches!(body, Body::Delete(_) | Body::Close(_)) => Ok(()),
        RoomKind::Direct if found.is_blocked(state, room, sender) => {
            Err(ApiError::new(ErrorCode::NotAllowed, "it can't be delivered to the other user"))
        }
        RoomKind::Direct => Ok(()),
        RoomKind::Group if body.kind().membership == Membership::Joins => {
            let joining = body.users(sender).into_iter();
            let blocks = |user: &&UserId| found.blocks(state, &((*user).clone(), sender.clone()));
            match joining.filter(|user| *user != sender).find(blocks) {
                Some(user) => {
                    let message = format!("the sender may not put {user} into a group");
                    Err(ApiError::new(ErrorCode::NotAllowed, message))
                }
                None => Ok(()),
            }
        }
        RoomKind::Group => Ok(()),
    }
}
