//! Links by which one joins a group: they are made and taken back by commands without an entry, and used up by
//! joinings, in the joining's commit. What was planned and is not committed counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weft_proto::kind;
use weft_proto::limits::LINKS_PER_ROOM_MAX;
use weft_proto::{ApiError, Body, ErrorCode, LinkId, LinkToken, Role, RoomId, UserId};
use weft_storage::tables::link::{self, Link};
use weft_storage::{Batch, Error, Snapshot};

use super::command::Command;
use super::rights::{self, Action};
use super::state::{PlanNo, State};

/// A group, and a link of it.
pub type LinkKey = (RoomId, LinkId);

/// What the store says of the links that a run of commands is about.
#[derive(Default, Debug)]
pub struct FoundLinks(HashMap<LinkKey, Link>);

/// What a command changes of a link; `None`: it is removed.
pub type LinkChange = (LinkId, Option<Link>);

/// Reads what a run of commands has to know of links.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, commands: &[&Command]) -> Result<FoundLinks, Error> {
    let (mut rooms, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for Command { room, body, .. } in commands {
        match body {
            // How many there are has to be known.
            Body::Link(_) => drop(rooms.insert(room.clone())),
            Body::Unlink(it) => drop(keys.insert((room.clone(), it.link_id.clone()))),
            Body::Join(kind::Join { link: Some(token) }) => {
                keys.insert((room.clone(), token.id()));
            }
            _ => {}
        }
    }
    let mut found = HashMap::new();
    if !keys.is_empty() {
        let keys: Vec<LinkKey> = keys.into_iter().collect();
        let rows = link::get_many(snapshot, &keys).await?;
        found.extend(keys.into_iter().zip(rows).filter_map(|(key, row)| Some((key, row?))));
    }
    for room in rooms {
        for (id, row) in link::of_room(snapshot, &room).await? {
            found.insert((room.clone(), id), row);
        }
    }
    Ok(FoundLinks(found))
}

impl FoundLinks {
    fn get(&self, state: &State, key: &LinkKey) -> Option<Link> {
        match state.links.get(key) {
            Some(planned) => planned.clone(),
            None => self.0.get(key).cloned(),
        }
    }

    /// Those of a room of which all were read.
    fn of_room(&self, state: &State, room: &RoomId) -> BTreeMap<LinkId, Link> {
        let found = self.0.iter().filter(|((of, _), _)| of == room);
        let mut links: BTreeMap<LinkId, Link> =
            found.map(|((_, id), row)| (id.clone(), row.clone())).collect();
        for ((_, id), row) in state.links.iter().filter(|((of, _), _)| of == room) {
            match row {
                Some(row) => drop(links.insert(id.clone(), row.clone())),
                None => drop(links.remove(id)),
            }
        }
        links
    }

    /// The link after one joining by it.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchLink`], [`ErrorCode::LinkExpired`], [`ErrorCode::LinkUsedUp`].
    pub fn used_once(
        &self,
        state: &State,
        room: &RoomId,
        token: &LinkToken,
        now_ms: u64,
    ) -> Result<(LinkId, Link), ApiError> {
        let id = token.id();
        let mut link = self.get(state, &(room.clone(), id.clone())).ok_or_else(no_such_link)?;
        if link.is_expired(now_ms) {
            return Err(ApiError::new(ErrorCode::LinkExpired, "the link's time is over"));
        }
        if link.is_used_up() {
            let message = "as many have joined by the link as may";
            return Err(ApiError::new(ErrorCode::LinkUsedUp, message));
        }
        link.used = link.used.saturating_add(1);
        Ok((id, link))
    }
}

/// Where a group has no such link, and where there is no such group.
pub fn no_such_link() -> ApiError {
    ApiError::new(ErrorCode::NoSuchLink, "there is no such link")
}

/// Decides about a new link: what changes. The same one again changes nothing.
///
/// # Errors
/// The refusal.
pub fn make(
    room: &RoomId,
    (sender, role): (&UserId, Role),
    wanted: &kind::Link,
    now_ms: u64,
    (found, state): (&FoundLinks, &State),
) -> Result<Vec<LinkChange>, ApiError> {
    rights::check(role, Action::Link)?;
    let (id, expires_ms) = (wanted.link.id(), wanted.expires_at.unwrap_or(0));
    let uses_max = wanted.uses.unwrap_or(0);
    let links = found.of_room(state, room);
    if let Some(there) = links.get(&id) {
        if (there.expires_ms, there.uses_max) == (expires_ms, uses_max) {
            return Ok(Vec::new());
        }
        let message = "there is this link already, with another end";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let link = Link { by: sender.to_string(), made_ms: now_ms, expires_ms, uses_max, used: 0 };
    if link.is_expired(now_ms) {
        let message = "the field expires_at is in the past";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    let mut changes = Vec::new();
    if links.len() >= LINKS_PER_ROOM_MAX {
        // Those by which nobody joins any more make room.
        let ended = links.iter().filter(|(_, row)| row.is_expired(now_ms) || row.is_used_up());
        changes.extend(ended.map(|(id, _)| (id.clone(), None)));
        if changes.is_empty() {
            let message = format!("the group has {LINKS_PER_ROOM_MAX} links already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
    }
    changes.push((id, Some(link)));
    Ok(changes)
}

/// Decides about a link that is taken back.
///
/// # Errors
/// The refusal.
pub fn take_back(
    room: &RoomId,
    role: Role,
    id: &LinkId,
    (found, state): (&FoundLinks, &State),
) -> Result<Vec<LinkChange>, ApiError> {
    rights::check(role, Action::Link)?;
    found.get(state, &(room.clone(), id.clone())).ok_or_else(no_such_link)?;
    Ok(vec![(id.clone(), None)])
}

/// Writes what was allowed.
pub fn write(
    batch: &mut Batch,
    state: &mut State,
    no: PlanNo,
    room: &RoomId,
    changes: impl IntoIterator<Item = LinkChange>,
) {
    for (id, row) in changes {
        let key = link::key(room, &id);
        match &row {
            Some(row) => batch.set(key, row.encode()),
            None => batch.clear(key),
        }
        state.links.remember(no, (room.clone(), id), row);
    }
}
