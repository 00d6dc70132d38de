//! Which commands of the partition are in quarantine. Who was refused there may send the same again later, and be
//! taken: when that message is deleted, what is kept of it goes, too.
//!
//! Dead letters are by their place in the log, and there are few, as a rule none. So an owner reads them once,
//! when the first deletion comes, and takes note of those that it writes itself.

use std::collections::{BTreeSet, HashMap};

use weft_proto::{Body, ClientId, Entry, Partition, RoomId, UserId};
use weft_storage::tables::dead_letter::{self, DeadLetter, Name};
use weft_storage::{Batch, Error, Snapshot};

use super::command::Incoming;
use super::state::ResendKey;

/// The commands in quarantine that have a client id: their places in the log. One that is there no more, since it
/// was old, does no harm.
#[derive(Default)]
pub struct Letters {
    places: HashMap<ResendKey, BTreeSet<u64>>,
    /// What was there before this owner is read.
    is_read: bool,
}

impl Letters {
    /// Reads what is in quarantine, where a command may delete some of it, once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(
        &mut self,
        snapshot: &dyn Snapshot,
        partition: Partition,
        run: &[Incoming],
    ) -> Result<(), Error> {
        let deletes =
            |it: &Incoming| matches!(&it.command, Ok(it) if matches!(it.body, Body::Delete(_)));
        if self.is_read || !run.iter().any(deletes) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = dead_letter::names_after(snapshot, partition, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.stream_seq);
            for Name { stream_seq, sender, room, client_id } in page {
                self.note(stream_seq, (&room, &sender, client_id.as_deref()));
            }
        }
        self.is_read = true;
        Ok(())
    }

    /// Takes note of one that the next commit writes.
    pub fn add(&mut self, stream_seq: u64, letter: &DeadLetter) {
        self.note(stream_seq, (&letter.room, &letter.sender, letter.client_id.as_deref()));
    }

    fn note(&mut self, stream_seq: u64, (room, sender, client_id): (&str, &str, Option<&str>)) {
        let Some(Ok(client_id)) = client_id.map(ClientId::parse) else { return };
        let (Ok(room), Ok(sender)) = (RoomId::new(room), UserId::new(sender)) else { return };
        self.places.entry((room, sender, client_id)).or_default().insert(stream_seq);
    }

    /// Removes what is kept of the command that made this entry.
    pub fn remove(&mut self, batch: &mut Batch, partition: Partition, entry: &Entry) {
        let Some(client_id) = entry.client_id else { return };
        let key = (entry.room.clone(), entry.from.clone(), client_id);
        for stream_seq in self.places.remove(&key).into_iter().flatten() {
            dead_letter::remove(batch, partition, stream_seq);
        }
    }
}
