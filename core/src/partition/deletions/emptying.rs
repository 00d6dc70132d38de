//! The messages of an account that is being deleted are deleted, where that was asked for: in each room that its user is in,
//! before they leave, as by a `delete` of theirs.
//!
//! The rooms of a partition are gone through in the order of the user's list, and each from its first entry on. The row of the
//! deletion says how far that is, so whoever owns the partition next goes on there; to delete a message twice changes nothing.

use tokio::time::sleep;
use weft_proto::kind::Delete;
use weft_proto::{Body, RoomId, UserId, partition_of};
use weft_storage::Batch;
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::log::Logged;
use weft_storage::tables::{head, user_room};

use super::super::duties::{Duties, PAUSE};
use super::super::load::readable;
use super::super::ports::CommandLog;
use super::ROWS_AT_ONCE;
use crate::error::Error;

/// Entries that are looked at before the place is kept, and what people send comes in between.
const PIECE: u64 = 512;
/// Entries that are read at once: with the largest ones 6 MB.
const ENTRIES_AT_ONCE: usize = 16;

impl<L: CommandLog> Duties<L> {
    /// Deletes the user's messages in the rooms of this partition; false: the next look goes on.
    pub(super) async fn empty(&self, user: &UserId, deletion: &Deletion) -> Result<bool, Error> {
        let mut next = match deletion.emptied_in(self.partition)? {
            None => self.room_after(user, None).await?,
            place => place,
        };
        while let Some((room, seq)) = next {
            let (own, after) = self.written(user, &room, seq).await?;
            let mut told_at = None;
            for target in own {
                let delete = Body::Delete(Delete { target, reason: None });
                told_at = Some(self.tell(user, &room, &delete).await?);
            }
            if let Some(told_at) = told_at {
                if !self.is_applied(told_at).await {
                    return Ok(false);
                }
                sleep(PAUSE).await;
            }
            next = match after {
                Some(seq) => Some((room, seq)),
                None => self.room_after(user, Some(room)).await?,
            };
            if let Some((room, seq)) = &next {
                self.keep_place(user, room, *seq).await?;
            }
        }
        Ok(true)
    }

    /// The user's next room that is in this partition, from its beginning. What the notebook has is removed in the end.
    async fn room_after(
        &self,
        user: &UserId,
        mut after: Option<RoomId>,
    ) -> Result<Option<(RoomId, u64)>, Error> {
        let notebook = RoomId::direct(user, user);
        loop {
            let range = user_room::range_after(user, after.as_ref());
            let snapshot = self.store.snapshot().await?;
            let rows = snapshot.scan(range, ROWS_AT_ONCE, false).await?;
            for (key, _) in &rows {
                let room = user_room::room(key)?;
                if partition_of(&room, self.partitions) == self.partition && room != notebook {
                    return Ok(Some((room, 1)));
                }
                after = Some(room);
            }
            if rows.len() < ROWS_AT_ONCE {
                return Ok(None);
            }
        }
    }

    /// The seqs of the user's messages in a piece of a room, and where the next piece begins; `None`: there is none.
    async fn written(
        &self,
        user: &UserId,
        room: &RoomId,
        seq: u64,
    ) -> Result<(Vec<u64>, Option<u64>), Error> {
        let snapshot = self.store.snapshot().await?;
        let Some(row) = snapshot.get(head::key(room)).await? else { return Ok((Vec::new(), None)) };
        let (_, head) = head::decode(&row)?;
        let begin = seq.max(head.first_seq);
        let end = (begin + PIECE).min(head.seq + 1);
        let seqs: Vec<(RoomId, u64)> = (begin..end).map(|seq| (room.clone(), seq)).collect();
        let is_own = |it: &Logged| it.entry.from == *user && it.entry.body.as_message().is_some();
        let mut own = Vec::new();
        for some in seqs.chunks(ENTRIES_AT_ONCE) {
            let read = readable(&*snapshot, some).await?.into_iter().flatten();
            own.extend(read.filter(is_own).map(|it| it.entry.seq));
        }
        Ok((own, (end <= head.seq).then_some(end)))
    }

    /// Where the owner of another partition is faster, the place is kept after the next piece.
    async fn keep_place(&self, user: &UserId, room: &RoomId, seq: u64) -> Result<(), Error> {
        let key = deletion::key(user);
        let row = self.store.snapshot().await?.get(key.clone()).await?;
        let Some(row) = row else { return Ok(()) };
        let deletion = Deletion::decode(&row)?;
        if deletion.partitions.contains(&u32::from(self.partition)) {
            let mut batch = Batch::new(rand::random());
            batch.guard(key.clone(), Some(row));
            batch.set(key, deletion.emptied_to(self.partition, room, seq).encode());
            self.store.commit(batch).await?;
        }
        Ok(())
    }
}
