//! Who asks to come into a group: commands without an entry, of which owners and admins hear, and no other member.
//! Who is brought in, comes in or is banned asks no more, in the entry's commit. What was planned and is not committed
//! counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_proto::frame::{AskState, AskingFrame};
use weft_proto::kind::{Add, Ask, Decline};
use weft_proto::limits::ASKING_MAX;
use weft_proto::{
    ApiError, Body, ChangeHead, Entry, ErrorCode, JoinRule, Membership, Role, RoomId, UserId, svc,
};
use weft_storage::tables::join_request::{self, JoinRequest};
use weft_storage::{Batch, Error, Snapshot};

use super::command::Command;
use super::rights::{self, Action};
use super::rooms::{Members, Room};
use super::rules::{self, Known};
use super::state::{PlanNo, State};

/// A group, and who asks to come into it.
pub type AskKey = (RoomId, UserId);

/// Who asks, as far as a run of commands has to know.
#[derive(Default, Debug)]
pub struct FoundAsks {
    rows: HashMap<AskKey, JoinRequest>,
    /// All who ask, of groups that somebody new asks: at most one more than there may be.
    users: HashMap<RoomId, BTreeSet<UserId>>,
}

/// Reads what a run of commands has to know.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, commands: &[&Command]) -> Result<FoundAsks, Error> {
    let (mut keys, mut rooms): (BTreeSet<AskKey>, BTreeSet<&RoomId>) = Default::default();
    for Command { room, sender, body, .. } in commands {
        match body {
            Body::Ask(ask) => {
                keys.insert((room.clone(), sender.clone()));
                if !ask.withdraw {
                    rooms.insert(room);
                }
            }
            Body::Decline(Decline { user }) | Body::Add(Add { user, .. }) => {
                keys.insert((room.clone(), user.clone()));
            }
            _ => {}
        }
    }
    let mut found = FoundAsks::default();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows = keys.iter().map(|(room, user)| join_request::key(room, user)).collect();
    for (key, row) in keys.iter().zip(snapshot.get_many(rows).await?) {
        // One that can't be read is there: it may be withdrawn and declined.
        if let Some(row) = row {
            let row = JoinRequest::decode(&row).unwrap_or_default();
            found.rows.insert(key.clone(), row);
        }
    }
    for room in rooms {
        let users = join_request::users(snapshot, room, ASKING_MAX).await?;
        found.users.insert(room.clone(), users.into_iter().collect());
    }
    Ok(found)
}

impl FoundAsks {
    fn get<'a>(&'a self, state: &'a State, key: &AskKey) -> Option<&'a JoinRequest> {
        match state.asks.get(key) {
            Some(planned) => planned.as_ref(),
            None => self.rows.get(key),
        }
    }

    /// Whether the user asks to come into the group.
    #[must_use]
    pub fn has(&self, state: &State, key: &AskKey) -> bool {
        self.get(state, key).is_some()
    }

    /// How many ask.
    fn count(&self, state: &State, room: &RoomId) -> usize {
        let found = self.users.get(room).into_iter().flatten();
        let mut asks: BTreeMap<&UserId, bool> = found.map(|user| (user, true)).collect();
        let planned = state.asks.iter().filter(|((of, _), _)| of == room);
        asks.extend(planned.map(|((_, user), row)| (user, row.is_some())));
        asks.values().filter(|asks| **asks).count()
    }
}

/// What a command changes: who asks, and how.
pub struct AskChange {
    key: AskKey,
    row: Option<JoinRequest>,
    state: AskState,
}

/// Decides about a command; `None`: it changes nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    body: &Body,
    now_ms: u64,
    (found, state, known): (&FoundAsks, &State, &Known<'_>),
) -> Result<Option<AskChange>, ApiError> {
    if id.direct_users().is_some() {
        let message = "nobody asks to come into a direct room";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    let does_not_ask = |who| ApiError::new(ErrorCode::NotFound, format!("{who} does not ask"));
    match body {
        Body::Ask(Ask { withdraw: true, .. }) => {
            let key = (id.clone(), sender.clone());
            // Of a group that is not there, too: nobody learns whether it is.
            found.get(state, &key).ok_or_else(|| does_not_ask(sender))?;
            Ok(Some(AskChange { key, row: None, state: AskState::Withdrawn }))
        }
        Body::Ask(Ask { text, .. }) => {
            let text = text.clone().unwrap_or_default();
            ask((id, room), sender, JoinRequest { asked_ms: now_ms, text }, (found, state, known))
        }
        Body::Decline(Decline { user }) => {
            let role = rules::role_of(room, sender)?;
            rights::check(role, Action::Add(Role::Member))?;
            let key = (id.clone(), user.clone());
            found.get(state, &key).ok_or_else(|| does_not_ask(user))?;
            Ok(Some(AskChange { key, row: None, state: AskState::Declined }))
        }
        _ => Err(ApiError::new(ErrorCode::Internal, "nobody asks by it")),
    }
}

fn ask(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    wanted: JoinRequest,
    (found, state, known): (&FoundAsks, &State, &Known<'_>),
) -> Result<Option<AskChange>, ApiError> {
    let no = |code, message: &str| Err(ApiError::new(code, message));
    if room.members.role(sender).is_some() {
        return no(ErrorCode::AlreadyMember, "the sender is a member already");
    }
    match room.head.join_rule() {
        JoinRule::Ask if room.head.seq > 0 => {}
        JoinRule::Open if room.head.seq > 0 => {
            return no(ErrorCode::BadRequest, "the group is open: send join");
        }
        _ => return Err(rules::not_member(room, sender)),
    }
    rules::may_come((id, room), sender, known)?;
    let key = (id.clone(), sender.clone());
    match found.get(state, &key) {
        // What is so already is done.
        Some(there) if there.text == wanted.text => return Ok(None),
        Some(_) => {}
        None if found.count(state, id) >= ASKING_MAX => {
            let message = format!("{ASKING_MAX} users ask to come into the group already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
        None => {}
    }
    Ok(Some(AskChange { key, row: Some(wanted), state: AskState::Asked }))
}

/// Writes what was allowed. Who hears of it: the user themselves, and owners and admins, where the group is not
/// large.
pub fn write(
    batch: &mut Batch,
    state: &mut State,
    no: PlanNo,
    AskChange { key: (id, user), row, state: to }: AskChange,
) -> svc::Change {
    set(batch, state, no, (&id, &user), row.clone());
    let mut hears = vec![user.to_string()];
    if let Some(Members::All(members)) = state.rooms.get(&id).map(|room| &room.members) {
        let decides = members.iter().filter(|(_, row)| {
            row.role().is_some_and(|role| rights::may(role, Action::Add(Role::Member)))
        });
        hears.extend(decides.map(|(user, _)| user.to_string()));
    }
    let (time, text) = match &row {
        Some(row) => (Some(row.asked_ms), row.text.as_str()),
        None => (None, ""),
    };
    let frame = AskingFrame { room: &id, user: &user, state: to, time, text };
    svc::Change {
        users: hears,
        group: String::new(),
        head: ChangeHead::asking(&id, &user).to_string(),
        frame: frame.to_frame().into(),
    }
}

/// Who comes in by an entry asks no more, and who is banned.
pub fn end(batch: &mut Batch, state: &mut State, no: PlanNo, by: &Entry) {
    let users = match &by.body {
        // Of a group that is made nobody has asked.
        Body::Create(_) => Vec::new(),
        Body::Ban(it) => vec![&it.user],
        body if body.membership() == Membership::Joins => body.users(&by.from),
        _ => Vec::new(),
    };
    for user in users {
        set(batch, state, no, (&by.room, user), None);
    }
}

fn set(
    batch: &mut Batch,
    state: &mut State,
    no: PlanNo,
    (room, user): (&RoomId, &UserId),
    row: Option<JoinRequest>,
) {
    let key = join_request::key(room, user);
    match &row {
        Some(row) => batch.set(key, row.encode()),
        None => batch.clear(key),
    }
    state.asks.remember(no, (room.clone(), user.clone()), row);
}
