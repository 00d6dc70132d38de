//! What the owner of a partition does for an account that is being deleted: its user deletes their messages, where that was
//! asked for, and leaves the partition's groups, and in the end, by the owner of their notebook, loses what they have kept for
//! themselves.
//!
//! A row (`storage/src/tables/deletion.rs`) says what is left. It is taken away step by step, each when it is done, so whoever
//! owns the partition next goes on. What changes a room is a command in the user's name that the owner tells itself: decided as
//! any other one, and of no effect when it comes twice.

use bytes::Bytes;
use tokio::time::sleep;
use tracing::{info, warn};
use weft_proto::kind::{ChangeRole, Leave};
use weft_proto::limits::INVITATION_ROWS_MAX;
use weft_proto::{Body, Role, RoomId, UserId, partition_of};
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{expiry, group_invitation, join_request, user_room};
use weft_storage::{Batch, Outcome, Snapshot};

use super::duties::{Duties, PAUSE};
use super::files;
use super::ports::CommandLog;
use crate::error::Error;

mod emptying;

/// Accounts that are looked at together.
const ACCOUNTS_AT_ONCE: usize = 16;
/// Groups of one user that are left together.
const GROUPS_AT_ONCE: usize = 16;
/// A user's groups that are read at once.
const ROWS_AT_ONCE: usize = 500;
/// What the user sent just before may still be under way. After this long nothing is.
const UNDER_WAY_MS: u64 = 10 * 60_000;

impl<L: CommandLog> Duties<L> {
    /// Goes on with all deletions, as far as they are this partition's.
    pub(super) async fn delete_accounts(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let snapshot = self.store.snapshot().await?;
            let rows = deletion::after(&*snapshot, after.as_ref(), ACCOUNTS_AT_ONCE).await?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(last.clone());
            drop(snapshot);
            for (user, row) in rows {
                match Deletion::decode(&row) {
                    Ok(deletion) => self.delete(&user, row, deletion).await?,
                    // The others are deleted all the same.
                    Err(error) => warn!(%user, %error, "an account is not deleted"),
                }
            }
        }
    }

    async fn delete(&self, user: &UserId, row: Bytes, deletion: Deletion) -> Result<(), Error> {
        if deletion.partitions.is_empty() {
            let is_over = self.clocks.now_ms() >= deletion.asked_ms + UNDER_WAY_MS;
            return if is_over && self.has_notebook(user) {
                self.forget(user, row).await
            } else {
                Ok(())
            };
        }
        if !deletion.partitions.contains(&u32::from(self.partition)) {
            return Ok(());
        }
        if deletion.empties && !self.empty(user, &deletion).await? {
            return Ok(());
        }
        self.leave(user).await
    }

    /// Has the user leave their groups of this partition, and takes it off the list when none is left.
    async fn leave(&self, user: &UserId) -> Result<(), Error> {
        let mut before = Vec::new();
        loop {
            let snapshot = self.store.snapshot().await?;
            let groups = self.own_groups(&*snapshot, user).await?;
            if groups.is_empty() {
                let key = deletion::key(user);
                let Some(row) = snapshot.get(key.clone()).await? else { return Ok(()) };
                let left = Deletion::decode(&row)?.without(self.partition);
                let mut batch = Batch::new(rand::random());
                batch.guard(key.clone(), Some(row));
                batch.set(key, left.encode());
                // Where another partition's owner was faster, the next look finds it.
                self.store.commit(batch).await?;
                return Ok(());
            }
            // Those that were not left are left with the next look.
            if groups == before {
                return Ok(());
            }
            let mut told_at = 0;
            for room in &groups {
                if let Some(heir) = heir(&*snapshot, room, user).await? {
                    let role = ChangeRole { user: heir, role: Role::Owner };
                    self.tell(user, room, &Body::ChangeRole(role)).await?;
                }
                told_at = self.tell(user, room, &Body::Leave(Leave {})).await?;
            }
            if !self.is_applied(told_at).await {
                return Ok(());
            }
            before = groups;
            sleep(PAUSE).await;
        }
    }

    fn has_notebook(&self, user: &UserId) -> bool {
        let notebook = RoomId::direct(user, user);
        partition_of(&notebook, self.partitions) == self.partition
    }

    /// Some of the user's groups that are in this partition.
    async fn own_groups(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
    ) -> Result<Vec<RoomId>, Error> {
        let (mut own, mut after) = (Vec::new(), None);
        loop {
            let range = user_room::groups_after(user, after.as_ref());
            let rows = snapshot.scan(range, ROWS_AT_ONCE, false).await?;
            for (key, _) in &rows {
                let room = user_room::room(key)?;
                if partition_of(&room, self.partitions) == self.partition {
                    own.push(room.clone());
                }
                if own.len() == GROUPS_AT_ONCE {
                    return Ok(own);
                }
                after = Some(room);
            }
            if rows.len() < ROWS_AT_ONCE {
                return Ok(own);
            }
        }
    }

    /// The user asks to come into no group any more: nothing of theirs is under way, and nobody else writes these rows
    /// but to remove them.
    async fn withdraw_asks(&self, user: &UserId) -> Result<(), Error> {
        let mut after = None;
        loop {
            let snapshot = self.store.snapshot().await?;
            let rows = join_request::all_after(&*snapshot, after.as_ref(), ROWS_AT_ONCE).await?;
            drop(snapshot);
            let is_last = rows.len() < ROWS_AT_ONCE;
            after = rows.last().map(|(key, _)| key.clone());
            let own = rows.iter().filter(|((_, of), _)| of == user);
            let mut batch = Batch::new(rand::random());
            for ((room, user), _) in own {
                batch.clear(join_request::key(room, user));
            }
            if !batch.ops().is_empty() {
                self.store.commit(batch).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Removes what the user has kept for themselves, the notebook's entries included.
    async fn forget(&self, user: &UserId, row: Bytes) -> Result<(), Error> {
        self.withdraw_asks(user).await?;
        let notebook = RoomId::direct(user, user);
        let now_ms = self.clocks.now_ms();
        let head = self.store.snapshot().await?.get(head::key(&notebook)).await?;
        if let Some(head) = head {
            let last = head::decode(&head)?.1.seq;
            files::forget_all(&self.store, (user, &row), (&notebook, last), now_ms).await?;
        }
        let mut batch = Batch::new(rand::random());
        batch.guard(deletion::key(user), Some(row));
        batch.clear(deletion::key(user));
        for range in deletion::own_rows(user) {
            batch.clear_range(range.start, range.end);
        }
        let snapshot = self.store.snapshot().await?;
        let invited = group_invitation::range(user);
        for (key, _) in snapshot.scan(invited, INVITATION_ROWS_MAX, false).await? {
            batch.clear(group_invitation::listed_key(&group_invitation::read_key(&key)?));
        }
        if let Some(row) = snapshot.get(head::key(&notebook)).await? {
            let (_, head) = head::decode(&row)?;
            batch.guard(head::key(&notebook), Some(row));
            let seqs = 1..head.seq + 1;
            expiry::delete(&mut batch, &notebook, &seqs, std::iter::empty(), (&[], now_ms));
            let empty = Head { first_seq: head.seq + 1, expired_ordinal: head.ordinal, ..head };
            head::put(&mut batch, &notebook, 0, &empty);
        }
        drop(snapshot);
        if let Outcome::Committed(_) = self.store.commit(batch).await? {
            info!(%user, "an account is deleted");
        }
        Ok(())
    }
}

/// Who becomes an owner before the last one leaves: the admin who has been a member for longest, else the
/// member who has; `None`: nobody has to.
async fn heir(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    user: &UserId,
) -> Result<Option<UserId>, Error> {
    let keys = vec![head::key(room), member::key(room, user)];
    let rows = snapshot.get_many(keys).await?;
    let [Some(head), Some(own)] = &rows[..] else { return Ok(None) };
    let (head, own) = (head::decode(head)?.1, Member::decode(own)?);
    if own.role() != Some(Role::Owner) || head.owner_count > 1 || head.member_count < 2 {
        return Ok(None);
    }
    let others = member::all(snapshot, room).await?.into_iter().filter(|(other, _)| other != user);
    let others = others.filter_map(|(other, row)| Some((row.role()?, row.since_seq, other)));
    Ok(others
        .min_by_key(|(role, since, other)| (*role != Role::Admin, *since, other.clone()))
        .map(|it| it.2))
}
