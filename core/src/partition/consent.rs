//! Who wants nothing of whom, who may put whom into a group, and to whom a direct room is a request: what a user has said in
//! their own notebook's partition, and owners of all partitions decide by.
//!
//! It is read with the run of commands that it decides about, from a snapshot that was taken after they had come. So what is
//! sent after a block was answered is refused, in whatever partition its room is; of what is sent in that moment, the order of the
//! room's own log tells what came before.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use tracing::error;
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::limits::REQUEST_ENTRIES_MAX;
use weft_proto::{ApiError, Body, ErrorCode, Membership, RoomId, RoomKind, UserId};
use weft_storage::tables::installation::{self, Installation};
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::tables::sent;
use weft_storage::tables::setting::{self, Setting};

use super::asks::FoundAsks;
use super::command::Command;
use super::sabotage::{self, Rule};
use super::state::State;

/// What the store says of the users whom a run of commands concerns.
#[derive(Default, Debug)]
pub struct FoundConsent {
    relations: HashMap<RelationKey, Relation>,
    /// What users want of all rooms, those who have said something.
    settings: HashMap<UserId, Setting>,
    /// Who has written in which direct rooms.
    wrote: HashSet<(RoomId, UserId)>,
    installation: Installation,
}

/// What a run of commands has to know.
#[derive(Default)]
pub struct WantedConsent {
    /// What others are to whom.
    relations: BTreeSet<RelationKey>,
    /// Who decides about somebody who may not be known to them.
    deciders: BTreeSet<UserId>,
    /// In which direct rooms it matters who has written.
    wrote: BTreeSet<(RoomId, UserId)>,
}

impl WantedConsent {
    #[must_use]
    pub fn of(commands: &[&Command], state: &State) -> Self {
        let mut wanted = Self::default();
        for Command { room, sender, body, .. } in commands {
            if let Some(partner) = partner(room, sender) {
                // Both say it of each other.
                wanted.relations.insert((partner.clone(), sender.clone()));
                wanted.relations.insert((sender.clone(), partner.clone()));
                if !is_accepted(state, room) {
                    for user in [&partner, sender] {
                        wanted.deciders.insert(user.clone());
                        wanted.wrote.insert((room.clone(), user.clone()));
                    }
                }
            } else if body.membership() == Membership::Joins {
                for user in body.users(sender).into_iter().filter(|user| *user != sender) {
                    let direct = RoomId::direct(user, sender);
                    wanted.relations.insert((user.clone(), sender.clone()));
                    wanted.deciders.insert(user.clone());
                    wanted.wrote.insert((direct.clone(), user.clone()));
                    wanted.wrote.insert((direct, sender.clone()));
                }
            } else if let Body::Relation(relation) = body {
                wanted.deciders.insert(sender.clone());
                wanted.wrote.insert((RoomId::direct(sender, &relation.user), sender.clone()));
            }
        }
        wanted
    }

    /// The rows that say it.
    pub fn keys(&self) -> impl Iterator<Item = Bytes> {
        let relations = self.relations.iter().map(relation::key);
        let settings = self.deciders.iter().map(setting::of_user);
        let wrote = self.wrote.iter().map(|(room, user)| sent::key(room, user));
        let installation = (!self.deciders.is_empty()).then(installation::key);
        relations.chain(settings).chain(wrote).chain(installation)
    }

    /// Takes in these rows, in their order. What can't be read says nothing: it must not stop whom it is about.
    pub fn found(self, mut rows: impl Iterator<Item = Option<Bytes>>) -> FoundConsent {
        let mut found = FoundConsent::default();
        for (key, row) in self.relations.into_iter().zip(rows.by_ref()) {
            match row.as_deref().map(relation::decode).transpose() {
                Ok(row) => found.relations.extend(row.map(|(_, row)| (key, row))),
                Err(error) => {
                    error!(user = %key.0, other = %key.1, %error, "a relation can't be read");
                }
            }
        }
        let decide = !self.deciders.is_empty();
        for (user, row) in self.deciders.into_iter().zip(rows.by_ref()) {
            match row.as_deref().map(setting::decode).transpose() {
                Ok(row) => found.settings.extend(row.map(|(_, row)| (user, row))),
                Err(error) => error!(%user, %error, "a setting can't be read"),
            }
        }
        let wrote = self.wrote.into_iter().zip(rows.by_ref());
        found.wrote.extend(wrote.filter_map(|(key, row)| row.map(|_| key)));
        if decide {
            let row = rows.next().flatten();
            match row.as_deref().map(Installation::decode).transpose() {
                Ok(row) => found.installation = row.unwrap_or_default(),
                Err(error) => error!(%error, "what holds for the installation can't be read"),
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

/// Both have written in the direct room, as far as that is in memory.
fn is_accepted(state: &State, room: &RoomId) -> bool {
    state.rooms.get(room).is_some_and(|room| room.is_accepted)
}

impl FoundConsent {
    /// The direct rooms in which both have written.
    pub fn accepted(&self) -> impl Iterator<Item = &RoomId> {
        let both = |room: &RoomId, user: &UserId| {
            partner(room, user).is_some_and(|other| self.wrote.contains(&(room.clone(), other)))
        };
        self.wrote.iter().filter(move |(room, user)| both(room, user)).map(|(room, _)| room)
    }

    /// What the other one is to the user. What this owner has planned itself counts.
    fn relation<'a>(&'a self, state: &'a State, key: &RelationKey) -> Option<&'a Relation> {
        let planned = state.relations.get(key).filter(|_| !sabotage::is_out(Rule::BlocksPlanned));
        let planned = planned.map(|written| &written.row.relation);
        planned.or_else(|| self.relations.get(key))
    }

    fn blocks(&self, state: &State, key: &RelationKey) -> bool {
        self.relation(state, key).is_some_and(|relation| relation.blocked)
    }

    fn knows(&self, state: &State, key: &RelationKey) -> bool {
        self.relation(state, key).is_some_and(|relation| relation.contact)
    }

    /// The same, of what a user wants of all rooms.
    fn setting<'a>(&'a self, state: &'a State, user: &UserId) -> Option<&'a Setting> {
        let planned = state.settings.get(&(user.clone(), RoomId::direct(user, user)));
        planned.map(|written| &written.row).or_else(|| self.settings.get(user))
    }

    fn has_written(&self, state: &State, room: &RoomId, user: &UserId) -> bool {
        self.wrote.contains(&(room.clone(), user.clone()))
            || state.newest_sent(room, user).is_some()
    }

    fn asks_strangers(&self, state: &State, user: &UserId) -> bool {
        let own = self.setting(state, user).map_or(Strangers::Default, Setting::strangers);
        self.installation.strangers_of(own) == Strangers::Request
    }

    /// Whether it matters to the user's direct room with somebody that they are a contact: else the user is asked.
    #[must_use]
    pub fn is_asked_but_for_contacts(&self, state: &State, user: &UserId, other: &UserId) -> bool {
        self.asks_strangers(state, user)
            && !self.has_written(state, &RoomId::direct(user, other), user)
    }

    /// Whether a direct room is a request to one of its two.
    fn is_request_to(&self, state: &State, room: &RoomId, user: &UserId, other: &UserId) -> bool {
        !is_accepted(state, room)
            && !self.knows(state, &(user.clone(), other.clone()))
            && self.asks_strangers(state, user)
            && !self.has_written(state, room, user)
    }

    /// Whether the sender accepts a request by this: the other one, whom they see from then on.
    #[must_use]
    pub fn accepted_by(
        &self,
        state: &State,
        room: &RoomId,
        sender: &UserId,
        body: &Body,
    ) -> Option<UserId> {
        let other = partner(room, sender).filter(|_| body.counts())?;
        self.is_request_to(state, room, sender, &other).then_some(other)
    }

    /// Whether one of the two users of a direct room wants nothing of the other one.
    fn is_blocked(&self, state: &State, room: &RoomId, sender: &UserId) -> bool {
        let Some(partner) = partner(room, sender) else { return false };
        self.blocks(state, &(partner.clone(), sender.clone()))
            || self.blocks(state, &(sender.clone(), partner))
    }

    /// Whether neither of the two of a direct room hears of the other one's marks.
    #[must_use]
    pub fn is_hidden(&self, state: &State, room: &RoomId, sender: &UserId) -> bool {
        let Some(partner) = partner(room, sender) else { return false };
        self.is_blocked(state, room, sender)
            || self.is_request_to(state, room, sender, &partner)
            || self.is_request_to(state, room, &partner, sender)
    }

    /// Those of whom a command puts into a group who may be invited in the place of that, as far as the store knows.
    pub fn may_be_invited<'a>(
        &'a self,
        sender: &'a UserId,
        body: &'a Body,
    ) -> impl Iterator<Item = &'a UserId> {
        let joins = body.membership() == Membership::Joins;
        let users = if joins { body.users(sender) } else { Vec::new() };
        let decides = |user: &UserId| {
            let own = self.settings.get(user).map_or(AddBy::Default, Setting::add_by);
            self.installation.add_by_of(own) != AddBy::All
        };
        users.into_iter().filter(move |user| *user != sender && decides(user))
    }

    /// What becomes of the user, whom the other one puts into a group. Who asks to come in is let in.
    fn adding(&self, state: &State, key: &RelationKey, asks: bool) -> Adding {
        if self.blocks(state, key) {
            return Adding::Refused;
        }
        if asks || self.may_be_added(state, key) { Adding::Added } else { Adding::Invited }
    }

    fn may_be_added(&self, state: &State, key: &RelationKey) -> bool {
        let (user, adder) = key;
        let own = self.setting(state, user).map_or(AddBy::Default, Setting::add_by);
        let direct = RoomId::direct(user, adder);
        let has_written = |who| self.wrote.contains(&(direct.clone(), Clone::clone(who)));
        match self.installation.add_by_of(own) {
            AddBy::Default | AddBy::All => true,
            AddBy::Known => self.knows(state, key) || (has_written(user) && has_written(adder)),
            AddBy::None => false,
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
/// [`ErrorCode::NotAllowed`], which says no more than that; [`ErrorCode::NotAccepted`].
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
        RoomKind::Direct => may_ask_on(room, sender, (found, state)).map(|()| Vec::new()),
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

/// In a room that is a request a stranger says only so much.
fn may_ask_on(
    room: &RoomId,
    sender: &UserId,
    (found, state): (&FoundConsent, &State),
) -> Result<(), ApiError> {
    let entries = state.rooms.get(room).map_or(0, |room| room.head.seq);
    let Some(partner) = partner(room, sender).filter(|_| entries >= REQUEST_ENTRIES_MAX) else {
        return Ok(());
    };
    if found.is_request_to(state, room, &partner, sender) {
        let message = "the other user has not accepted: nothing more is taken until they do";
        return Err(ApiError::new(ErrorCode::NotAccepted, message));
    }
    Ok(())
}
