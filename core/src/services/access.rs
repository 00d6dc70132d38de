//! Who may see what of a room. The one place that decides it for everything but syncs.

use bytes::Bytes;
use weft_proto::{ErrorCode, History, Position, Role, RoomId, UserId};
use weft_storage::Snapshot;
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::member::{self, Member};

use super::failure::Failure;

/// A room as a user finds it who is or was a member.
pub(super) struct Access {
    pub(super) position: Position,
    /// The room as that entry left it.
    pub(super) head: Head,
    /// What the user may do; `None`: not a member any more.
    pub(super) role: Option<Role>,
    pub(super) visible: Visible,
    /// The user's row; `None` in direct rooms.
    pub(super) member: Option<Member>,
}

/// The seqs of a room that a user may read: parts, each with its first and its last one, ascending. At least one
/// part, perhaps with nothing in it.
#[derive(Clone)]
pub(super) struct Visible(Vec<(u64, u64)>);

impl Visible {
    /// `parts` without what was removed from the room.
    fn new(parts: Vec<(u64, u64)>, first_seq: u64) -> Self {
        let first_seq = first_seq.max(1);
        let last = parts.last().copied().unwrap_or((1, 0));
        let parts = parts.into_iter().map(|(first, last)| (first.max(first_seq), last));
        let mut parts: Vec<_> = parts.filter(|(first, last)| first <= last).collect();
        if parts.is_empty() {
            parts.push((last.0.max(first_seq), last.1));
        }
        Self(parts)
    }

    pub(super) fn first(&self) -> u64 {
        self.0[0].0
    }

    pub(super) fn last(&self) -> u64 {
        self.0[self.0.len() - 1].1
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    /// What of it is in `first..=last`.
    pub(super) fn within(
        &self,
        first: u64,
        last: u64,
    ) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let parts = self.0.iter().map(move |part| (part.0.max(first), part.1.min(last)));
        parts.filter(|(first, last)| first <= last)
    }

    /// Without what is before a seq.
    pub(super) fn from(&self, first: u64) -> Self {
        Self::new(self.0.clone(), first)
    }
}

impl Access {
    /// Looks the room up for a user.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchRoom`] (a direct room without an entry is none; a group of which the user never was a
    /// member is none to them); [`ErrorCode::NotMember`] for a direct room of others; or the store's.
    pub(super) async fn of(
        snapshot: &dyn Snapshot,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Self, Failure> {
        if room.direct_users().is_some() {
            let row = snapshot.get(head::key(room)).await?;
            return Self::by_rows(room, user, (row, None));
        }
        let keys = vec![head::key(room), member::key(room, user)];
        let mut rows = snapshot.get_many(keys).await?.into_iter();
        Self::by_rows(room, user, (rows.next().flatten(), rows.next().flatten()))
    }

    /// Looks rooms up for a user, in one read; each as [`of`](Self::of).
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn of_each(
        snapshot: &dyn Snapshot,
        rooms: &[RoomId],
        user: &UserId,
    ) -> Result<Vec<Result<Self, Failure>>, Failure> {
        let keys = rooms.iter().flat_map(|room| [head::key(room), member::key(room, user)]);
        let rows = snapshot.get_many(keys.collect()).await?;
        let rows = rows.chunks(2).map(|rows| (rows[0].clone(), rows[1].clone()));
        Ok(rooms.iter().zip(rows).map(|(room, rows)| Self::by_rows(room, user, rows)).collect())
    }

    /// With the rows of the head and, of a group, of the member.
    fn by_rows(
        room: &RoomId,
        user: &UserId,
        (head_row, member_row): (Option<Bytes>, Option<Bytes>),
    ) -> Result<Self, Failure> {
        let no_such_room = || Failure::new(ErrorCode::NoSuchRoom, "there is no such room");
        if let Some((low, high)) = room.direct_users() {
            if *user != low && *user != high {
                return Err(not_member());
            }
            let (position, head) = head::decode(&head_row.ok_or_else(no_such_room)?)?;
            let visible = Visible::new(vec![(1, u64::MAX)], head.first_seq);
            return Ok(Self { position, head, role: Some(Role::Member), visible, member: None });
        }
        let (position, head) = head::decode(&head_row.ok_or_else(no_such_room)?)?;
        let member = Member::decode(&member_row.ok_or_else(no_such_room)?)?;
        let visible = Visible::new(member.visible(history_of(&head)), head.first_seq);
        let (role, member) = (member.role(), Some(member));
        Ok(Self { position, head, role, visible, member })
    }

    /// The role of a member.
    ///
    /// # Errors
    /// [`ErrorCode::NotMember`] for a former one.
    pub(super) fn member_role(&self) -> Result<Role, Failure> {
        self.role.ok_or_else(not_member)
    }
}

/// From where on members see the room. What this Weft does not know is shown least.
pub(super) fn history_of(head: &Head) -> History {
    History::try_from(head.history).unwrap_or(History::Joined)
}

fn not_member() -> Failure {
    Failure::new(ErrorCode::NotMember, "not a member of the room")
}
