//! Who is invited to come into a group, in the place of being added (see [`consent`](super::consent)): commands without an
//! entry, of which the devices of who is invited hear. A joining, an `add` or a ban ends it, in the entry's commit; a `decline`
//! does, too, of theirs or of who may add. What was planned and is not committed counts: see
//! [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tracing::error;
use weft_proto::kind::Decline;
use weft_proto::limits::{INVITATION_ROWS_MAX, INVITATIONS_PER_USER_MAX, INVITED_PER_GROUP_MAX};
use weft_proto::{
    ApiError, Body, Entry, ErrorCode, Membership, Position, Role, RoomId, RoomKind, UserId, svc,
};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::group_invitation::{self, GroupInvitation, InvitationKey};
use weft_storage::tables::journal::JournalMark;
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::Command;
use super::consent::FoundConsent;
use super::rights::{self, Action};
use super::rooms::Room;
use super::rules;
use super::state::{Place, PlanNo, State};
use crate::invitations;

/// The places of invitations in a commit are after those of relations.
const FIRST_ORDER: u16 = 31 << 11;

/// An invitation as its newest commit writes it.
pub type WrittenInvitation = Written<GroupInvitation>;

/// What the store says of the invitations that a run of commands is about.
#[derive(Default, Debug)]
pub struct FoundInvitations {
    rows: HashMap<InvitationKey, WrittenInvitation>,
    /// All who are invited, of groups that may invite somebody: as many as there may be.
    of_groups: HashMap<RoomId, BTreeSet<UserId>>,
    /// All rows of users who may be invited.
    of_users: HashMap<UserId, BTreeMap<RoomId, GroupInvitation>>,
}

/// Reads what a run of commands has to know.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    commands: &[&Command],
    consent: &FoundConsent,
) -> Result<FoundInvitations, Error> {
    let mut keys: BTreeSet<InvitationKey> = BTreeSet::new();
    let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
    for Command { room, sender, body, .. } in commands {
        if room.kind() == RoomKind::Direct {
            continue;
        }
        let about = match body {
            // To a group that is made nobody was invited.
            Body::Create(_) => Vec::new(),
            Body::Decline(Decline { user }) => vec![user],
            Body::Ban(it) => vec![&it.user],
            body if body.membership() == Membership::Joins => body.users(sender),
            _ => continue,
        };
        keys.extend(about.into_iter().map(|user| (user.clone(), room.clone())));
        for user in consent.may_be_invited(sender, body) {
            users.insert(user.clone());
            groups.insert(room.clone());
        }
    }
    let mut found = FoundInvitations::default();
    if !keys.is_empty() {
        let rows = snapshot.get_many(keys.iter().map(group_invitation::key).collect()).await?;
        for (key, row) in keys.into_iter().zip(rows) {
            if let Some((position, row)) = row.and_then(|row| read(&key, &row)) {
                found.rows.insert(key, Written { row, place: Place::At(position) });
            }
        }
    }
    for room in groups {
        let invited =
            group_invitation::invited(snapshot, &room, None, INVITED_PER_GROUP_MAX).await?;
        found.of_groups.insert(room, invited.into_iter().collect());
    }
    for user in users {
        let rows =
            snapshot.scan(group_invitation::range(&user), INVITATION_ROWS_MAX, false).await?;
        let rows = rows.iter().map(|(key, row)| {
            let key = group_invitation::read_key(key)?;
            // One that can't be read counts among the others.
            let row = read(&key, row).map(|(_, row)| row).unwrap_or_default();
            Ok((key.1, row))
        });
        found.of_users.insert(user, rows.collect::<Result<_, Error>>()?);
    }
    Ok(found)
}

/// One that can't be read is none: it must not stop whom it is about.
fn read(key: &InvitationKey, row: &[u8]) -> Option<(Position, GroupInvitation)> {
    group_invitation::decode(row)
        .inspect_err(
            |error| error!(user = %key.0, room = %key.1, %error, "an invitation can't be read"),
        )
        .ok()
}

impl FoundInvitations {
    fn written<'a>(
        &'a self,
        state: &'a State,
        key: &InvitationKey,
    ) -> Option<&'a WrittenInvitation> {
        state.invitations.get(key).or_else(|| self.rows.get(key))
    }

    /// Whether the user may come into the group by an invitation.
    #[must_use]
    pub fn is_open(&self, state: &State, key: &InvitationKey, now_ms: u64) -> bool {
        self.written(state, key).is_some_and(|written| written.row.is_open(now_ms))
    }

    fn count_of_group(&self, state: &State, room: &RoomId) -> usize {
        let mut invited = self.of_groups.get(room).cloned().unwrap_or_default();
        for ((user, _), written) in state.invitations.iter().filter(|((_, of), _)| of == room) {
            match written.row.by.is_empty() {
                true => drop(invited.remove(user)),
                false => drop(invited.insert(user.clone())),
            }
        }
        invited.len()
    }

    /// How many of the user are open, and how many rows there are.
    fn count_of_user(&self, state: &State, user: &UserId, now_ms: u64) -> (usize, usize) {
        let mut rows = self.of_users.get(user).cloned().unwrap_or_default();
        for ((_, room), written) in state.invitations.iter().filter(|((of, _), _)| of == user) {
            rows.insert(room.clone(), written.row.clone());
        }
        (rows.values().filter(|row| row.is_open(now_ms)).count(), rows.len())
    }
}

/// Decides about users who are invited to a group: whose rows are written. Who is invited already stays so.
///
/// # Errors
/// [`ErrorCode::LimitReached`].
pub fn invite<'a>(
    id: &RoomId,
    invited: &'a [UserId],
    now_ms: u64,
    (found, state): (&FoundInvitations, &State),
) -> Result<Vec<&'a UserId>, ApiError> {
    let too_many = |message| Err(ApiError::new(ErrorCode::LimitReached, message));
    let is_new = |user: &&UserId| !found.is_open(state, &(Clone::clone(*user), id.clone()), now_ms);
    let new: Vec<&UserId> = invited.iter().filter(is_new).collect();
    if new.is_empty() {
        return Ok(new);
    }
    if found.count_of_group(state, id) + new.len() > INVITED_PER_GROUP_MAX {
        return too_many(format!("the group may have {INVITED_PER_GROUP_MAX} invited users"));
    }
    for user in &new {
        let (open, rows) = found.count_of_user(state, user, now_ms);
        if open >= INVITATIONS_PER_USER_MAX || rows >= INVITATION_ROWS_MAX {
            return too_many(format!("{user} is invited to as many groups as one may be"));
        }
    }
    Ok(new)
}

/// Decides about a `decline`: whose invitation it ends. `None`: it is about none.
///
/// # Errors
/// The refusal.
pub fn decline(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    user: &UserId,
    now_ms: u64,
    (found, state): (&FoundInvitations, &State),
) -> Result<Option<InvitationKey>, ApiError> {
    let key = (user.clone(), id.clone());
    if !found.is_open(state, &key, now_ms) {
        return Ok(None);
    }
    if user != sender {
        let role = rules::role_of(room, sender)?;
        rights::check(role, Action::Add(Role::Member))?;
    }
    Ok(Some(key))
}

/// Whose invitation an entry ends: who comes in by it needs none any more, and who is banned has none.
#[must_use]
pub fn ended_by(by: &Entry, (found, state): (&FoundInvitations, &State)) -> Vec<InvitationKey> {
    let users = match &by.body {
        Body::Create(_) => Vec::new(),
        Body::Ban(it) => vec![&it.user],
        body if body.membership() == Membership::Joins => body.users(&by.from),
        _ => Vec::new(),
    };
    let keys = users.into_iter().map(|user| (user.clone(), by.room.clone()));
    let is_there = |key: &InvitationKey| {
        found.written(state, key).is_some_and(|written| !written.row.by.is_empty())
    };
    keys.filter(is_there).collect()
}

/// The invitations that a commit writes, each once, by its newest command.
pub struct PlannedInvitations(PlannedRows<InvitationKey, GroupInvitation>);

/// An invitation that a commit has written.
pub type ChangedInvitation = ChangedRow<InvitationKey, GroupInvitation>;

impl Default for PlannedInvitations {
    fn default() -> Self {
        Self(PlannedRows::new(FIRST_ORDER))
    }
}

impl PlannedInvitations {
    /// What they will take in the commit at the most, about: they are written when it is closed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        /// Of each: two rows and a change, with the longest names.
        const BYTES: usize = 600;
        self.0.count() * BYTES
    }

    /// Takes what was decided. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (state, found, no): (&mut State, &FoundInvitations, PlanNo),
        key: InvitationKey,
        row: GroupInvitation,
    ) -> usize {
        let before = found.written(state, &key).map_or(Place::Nowhere, |written| written.place);
        let journal_bytes = journal_row(&key).size_bytes();
        let is_new = self.0.take((&mut state.invitations, no), before, key, row);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what the syncs of who is invited are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalMark> {
        for (key, row, order, before) in self.0.rows(state) {
            let changed = Changed::Invitation(key.1.clone());
            change::put_again(batch, &key.0, before, order, &changed);
            group_invitation::put(batch, order, key, row);
        }
        self.0.named().map(|(key, _)| journal_row(key)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedInvitation> {
        self.0.into_changed()
    }
}

/// What the devices of who is invited are told of what the commit at this position has written.
pub fn told(
    changed: &[ChangedInvitation],
    position: Position,
) -> impl Iterator<Item = svc::Change> {
    changed.iter().map(move |ChangedRow { key, row, order }| {
        invitations::change(key, position.with_order(*order), row)
    })
}

fn journal_row((user, room): &InvitationKey) -> JournalMark {
    JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own: false }
}
