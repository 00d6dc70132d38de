//! Who wants nothing of whom, and who may put whom into a group: what a user has said in their own notebook's partition, and
//! owners of all partitions decide by.
//!
//! It is read with the run of commands that it decides about, from a snapshot that was taken after they had come. So what is
//! sent after a block was answered is refused, in whatever partition its room is; of what is sent in that moment, the order of the
//! room's own log tells what came before.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use tracing::error;
use weft_proto::kind::AddBy;
use weft_proto::{ApiError, Body, ErrorCode, Membership, RoomId, RoomKind, UserId};
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::tables::{sent, setting};

use super::asks::FoundAsks;
use super::command::Command;
use super::sabotage::{self, Rule};
use super::state::State;

/// What the store says of the users whom a run of commands concerns.
#[derive(Default, Debug)]
pub struct FoundConsent {
    relations: HashMap<RelationKey, Relation>,
    /// Who may add users to groups, where that is not everybody.
    add_by: HashMap<UserId, AddBy>,
    /// Those of whom both have written in their direct room.
    have_talked: HashSet<RelationKey>,
}

/// What a run of commands has to know.
#[derive(Default)]
pub struct WantedConsent {
    /// What others are to whom.
    relations: BTreeSet<RelationKey>,
    /// Whom a command puts into a group, and who that is who does so.
    added: BTreeSet<RelationKey>,
}

impl WantedConsent {
    #[must_use]
    pub fn of(commands: &[&Command]) -> Self {
        let mut wanted = Self::default();
        for Command { room, sender, body, .. } in commands {
            if let Some(partner) = partner(room, sender) {
                // Both say it of each other.
                wanted.relations.insert((partner.clone(), sender.clone()));
                wanted.relations.insert((sender.clone(), partner));
            } else if body.membership() == Membership::Joins {
                let joining = body.users(sender).into_iter().filter(|user| *user != sender);
                wanted.added.extend(joining.map(|user| (user.clone(), sender.clone())));
            }
        }
        wanted.relations.extend(wanted.added.iter().cloned());
        wanted
    }

    /// The rows that say it.
    pub fn keys(&self) -> impl Iterator<Item = Bytes> {
        let relations = self.relations.iter().map(relation::key);
        let of_added = self.added.iter().flat_map(|(user, adder)| {
            let room = RoomId::direct(user, adder);
            [setting::of_user(user), sent::key(&room, user), sent::key(&room, adder)]
        });
        relations.chain(of_added)
    }

    /// Takes in these rows, in their order.
    pub fn found(self, mut rows: impl Iterator<Item = Option<Bytes>>) -> FoundConsent {
        let mut found = FoundConsent::default();
        for (key, row) in self.relations.into_iter().zip(rows.by_ref()) {
            match row.as_deref().map(relation::decode).transpose() {
                Ok(Some((_, relation))) => {
                    found.relations.insert(key, relation);
                }
                Ok(None) => {}
                // It says nothing: it must not stop whom it is about.
                Err(error) => {
                    error!(user = %key.0, other = %key.1, %error, "a relation can't be read");
                }
            }
        }
        for key in self.added {
            let (setting, own, others) = (rows.next(), rows.next(), rows.next());
            match setting.flatten().as_deref().map(setting::decode).transpose() {
                Ok(Some((_, setting))) if setting.add_by() != AddBy::All => {
                    found.add_by.insert(key.0.clone(), setting.add_by());
                }
                Ok(_) => {}
                Err(error) => error!(user = %key.0, %error, "a setting can't be read"),
            }
            if own.flatten().is_some() && others.flatten().is_some() {
                found.have_talked.insert(key);
            }
        }
        found
    }
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
    /// What the other one is to the user. What this owner has planned itself counts.
    fn relation<'a>(&'a self, state: &'a State, key: &RelationKey) -> Option<&'a Relation> {
        let planned = state.relations.get(key).filter(|_| !sabotage::is_out(Rule::BlocksPlanned));
        let planned = planned.map(|written| &written.row.relation);
        planned.or_else(|| self.relations.get(key))
    }

    fn blocks(&self, state: &State, key: &RelationKey) -> bool {
        self.relation(state, key).is_some_and(|relation| relation.blocked)
    }

    /// Whether one of the two users of a direct room wants nothing of the other one.
    #[must_use]
    pub fn is_blocked(&self, state: &State, room: &RoomId, sender: &UserId) -> bool {
        let Some(partner) = partner(room, sender) else { return false };
        self.blocks(state, &(partner.clone(), sender.clone()))
            || self.blocks(state, &(sender.clone(), partner))
    }

    /// Those of whom a command puts into a group who may be invited in the place of that, as far as the store knows.
    pub fn may_be_invited<'a>(
        &'a self,
        sender: &'a UserId,
        body: &'a Body,
    ) -> impl Iterator<Item = &'a UserId> {
        let joins = body.membership() == Membership::Joins;
        let users = if joins { body.users(sender) } else { Vec::new() };
        users.into_iter().filter(move |user| *user != sender && self.add_by.contains_key(*user))
    }

    /// What becomes of the user, whom the other one puts into a group. Who asks to come in is let in.
    fn adding(&self, state: &State, key: &RelationKey, asks: bool) -> Adding {
        if self.blocks(state, key) {
            return Adding::Refused;
        }
        if asks || self.may_be_added(state, key) { Adding::Added } else { Adding::Invited }
    }

    fn may_be_added(&self, state: &State, key: &RelationKey) -> bool {
        let user = &key.0;
        let planned = state.settings.get(&(user.clone(), RoomId::direct(user, user)));
        let planned = planned.map(|written| written.row.add_by());
        let is_contact = || self.relation(state, key).is_some_and(|relation| relation.contact);
        match planned.or_else(|| self.add_by.get(user).copied()) {
            None | Some(AddBy::All) => true,
            Some(AddBy::Known) => is_contact() || self.have_talked.contains(key),
            Some(AddBy::None) => false,
        }
    }
}

/// What becomes of a user whom somebody puts into a group.
enum Adding {
    Added,
    /// The user decides.
    Invited,
    Refused,
}

/// Refuses what the one whom it is for does not want. Of those who are put into a group, those who are invited in the place
/// of that.
///
/// # Errors
/// [`ErrorCode::NotAllowed`]: it says no more than that.
pub fn check(
    room: &RoomId,
    sender: &UserId,
    body: &Body,
    (found, asks, state): (&FoundConsent, &FoundAsks, &State),
) -> Result<Vec<UserId>, ApiError> {
    match room.kind() {
        // Who takes back what they have written says nothing; an administrator need not ask.
        RoomKind::Direct if matches!(body, Body::Delete(_) | Body::Close(_)) => Ok(Vec::new()),
        RoomKind::Direct if found.is_blocked(state, room, sender) => {
            Err(ApiError::new(ErrorCode::NotAllowed, "it can't be delivered to the other user"))
        }
        RoomKind::Direct => Ok(Vec::new()),
        RoomKind::Group if body.membership() == Membership::Joins => {
            let mut invited = Vec::new();
            for user in body.users(sender).into_iter().filter(|user| *user != sender) {
                let is_asking = asks.has(state, &(room.clone(), user.clone()));
                match found.adding(state, &(user.clone(), sender.clone()), is_asking) {
                    Adding::Added => {}
                    Adding::Invited => invited.push(user.clone()),
                    Adding::Refused => {
                        let message = format!("the sender may not put {user} into a group");
                        return Err(ApiError::new(ErrorCode::NotAllowed, message));
                    }
                }
            }
            Ok(invited)
        }
        RoomKind::Group => Ok(Vec::new()),
    }
}
