//! Who may see what of a room. The one place that decides it for everything but syncs.

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
    /// The seqs that the user may read: first and last.
    pub(super) visible: (u64, u64),
    /// Seq of the entry by which the user joined last.
    pub(super) since_seq: u64,
}

impl Access {
    /// Looks the room up for a user.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchRoom`] (a direct room without an entry is none);
    /// [`ErrorCode::NotMember`] where the user never was one; or the store's.
    pub(super) async fn of(
        snapshot: &dyn Snapshot,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Self, Failure> {
        let no_such_room = || Failure::new(ErrorCode::NoSuchRoom, "there is no such room");
        if let Some((low, high)) = room.direct_users() {
            if *user != low && *user != high {
                return Err(not_member());
            }
            let row = snapshot.get(head::key(room)).await?.ok_or_else(no_such_room)?;
            let (position, head) = head::decode(&row)?;
            let (role, since_seq) = (Some(Role::Member), 1);
            let visible = (head.first_seq.max(1), u64::MAX);
            return Ok(Self { position, head, role, visible, since_seq });
        }
        let keys = vec![head::key(room), member::key(room, user)];
        let mut rows = snapshot.get_many(keys).await?.into_iter();
        let (head_row, member_row) = (rows.next().flatten(), rows.next().flatten());
        let (position, head) = head::decode(&head_row.ok_or_else(no_such_room)?)?;
        let member = Member::decode(&member_row.ok_or_else(not_member)?)?;
        let (first, last) = member.visible(history_of(&head));
        let visible = (first.max(head.first_seq), last);
        Ok(Self { position, head, role: member.role(), visible, since_seq: member.since_seq })
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
