//! The rooms that a user has hidden, each as it was then: it is in no list until it has something new.

use std::collections::BTreeMap;

use tracing::error;
use weft_proto::kind::HiddenAt;
use weft_proto::limits::SETTINGS_PER_USER_MAX;
use weft_proto::{RoomId, UserId};
use weft_storage::tables::head::Head;
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::setting;
use weft_storage::{Error, Snapshot};

/// Beside the rooms there is the user's own notebook, for all of them.
const ROWS_MAX: usize = SETTINGS_PER_USER_MAX + 1;

pub(super) struct HiddenRooms(BTreeMap<RoomId, HiddenAt>);

impl HiddenRooms {
    pub(super) async fn of(snapshot: &dyn Snapshot, user: &UserId) -> Result<Self, Error> {
        let rows = snapshot.scan(setting::range(user), ROWS_MAX, false).await?;
        let mut rooms = BTreeMap::new();
        for (key, row) in &rows {
            let room = setting::room(key)?;
            match setting::decode(row) {
                Ok((_, setting)) => rooms.extend(setting.hidden.map(|hidden| (room, hidden))),
                // What can't be read hides nothing.
                Err(error) => error!(%user, %room, %error, "a setting can't be read"),
            }
        }
        Ok(Self(rooms))
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.0.keys()
    }

    /// Of each of these rooms, whether the user has hidden it, and it has nothing new.
    pub(super) async fn are_hidden(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        rooms: &[(RoomId, Head)],
    ) -> Result<Vec<bool>, Error> {
        let named = || rooms.iter().map(|(room, head)| (room, head, self.0.get(room)));
        let groups = named().filter(|(room, _, at)| at.is_some() && room.direct_users().is_none());
        let keys = groups.map(|(room, ..)| member::key(room, user)).collect();
        let mut rows = snapshot.get_many(keys).await?.into_iter();
        let hidden = |(room, head, at): (&RoomId, &Head, Option<&HiddenAt>)| {
            let Some(at) = at else { return Ok(false) };
            if room.direct_users().is_some() {
                return Ok(is_hidden(*at, head, None));
            }
            let member = rows.next().flatten().map(|row| Member::decode(&row)).transpose()?;
            Ok(member.is_some_and(|member| is_hidden(*at, head, Some(&member))))
        };
        named().map(hidden).collect()
    }
}

/// Whether a room that was hidden then has nothing new since: no entry; in a group (`member`) no message that counts, and its
/// user did not come in again.
pub(super) fn is_hidden(at: HiddenAt, head: &Head, member: Option<&Member>) -> bool {
    match member {
        None => head.seq <= at.seq,
        Some(member) => head.ordinal <= at.ordinal && member.since_seq <= at.seq,
    }
}
