//! What a partition's owner has to do without being asked, when its time has come: it tells itself so by its own log, as
//! a command. So it is decided in the log's order with everything else, and a defect in it is put in quarantine as any other
//! command is. To be told twice changes nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};
use weft_proto::kind::{Due, Expire};
use weft_proto::{Body, Partition, RoomId, UserId};
use weft_runtime::lock;
use weft_storage::tables::scheduled;
use weft_storage::tables::{expiry, head};
use weft_storage::{Snapshot, Store};

use super::clocks::Clocks;
use super::ports::CommandLog;
use super::quarantine::Told;
use super::watch::Reading;
use crate::error::Error;

/// Between two looks at which scheduled messages are due...
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// ...and at which rooms have expired entries, and which accounts are being deleted. The first one comes after it too: a partition is taken when others have ended.
const EXPIRY_PAUSE: Duration = Duration::from_secs(10);
/// Messages that are due of which the owner is told at once.
const MESSAGES_AT_ONCE: usize = 64;
/// Before it is told once more of one that is still listed: it can't be read.
const TELL_AGAIN: Duration = Duration::from_secs(60);
/// Rooms with expired entries of which the owner is told at once.
const ROOMS_AT_ONCE: usize = 16;
/// Before it is told of more: what people send comes in between.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks whether what it was told is done, and how long it is waited for.
const APPLIED_PAUSE: Duration = Duration::from_millis(20);
const APPLIED_PATIENCE: Duration = Duration::from_secs(30);
/// Who tells it: nobody's name.
const SENDER: &str = "weft";

pub(super) struct Duties<L> {
    pub(super) partition: Partition,
    /// How many there are.
    pub(super) partitions: Partition,
    pub(super) store: Store,
    /// Beside the one that the owner's loop reads.
    pub(super) log: L,
    pub(super) clocks: Clocks,
    pub(super) reading: Arc<Reading>,
    /// The scheduled messages of which the owner was told lately.
    pub(super) told: Told,
}

impl<L: CommandLog> Duties<L> {
    /// Looks for as long as it is polled. What is sent at its time does not wait for accounts' deletions.
    pub(super) async fn run(self) -> Infallible {
        tokio::join!(self.watch_times(), self.watch_accounts()).0
    }

    async fn watch_accounts(&self) -> Infallible {
        loop {
            sleep(EXPIRY_PAUSE).await;
            self.say(self.delete_accounts().await);
        }
    }

    async fn watch_times(&self) -> Infallible {
        let mut expired_at = Instant::now();
        loop {
            sleep(LOOK_PAUSE).await;
            lock(&self.told).retain(|_, at| at.elapsed() < TELL_AGAIN);
            self.say(self.send_due().await);
            if expired_at.elapsed() >= EXPIRY_PAUSE {
                self.say(self.expire().await);
                expired_at = Instant::now();
            }
        }
    }

    fn say(&self, done: Result<(), Error>) {
        let partition = self.partition;
        match done {
            Ok(()) => {}
            // That NATS or the store is away, others say.
            Err(error) if error.is_retryable() => debug!(partition, %error, "what is due waits"),
            Err(error) => warn!(partition, %error, "what is due waits"),
        }
    }

    /// Tells of all scheduled messages that are due, some at a time.
    async fn send_due(&self) -> Result<(), Error> {
        let mut after = None;
        loop {
            if !self.clocks.agree() {
                return Ok(());
            }
            let snapshot = self.store.snapshot().await?;
            let until = (after.as_ref(), self.clocks.now_ms());
            let due = scheduled::due(&*snapshot, self.partition, until, MESSAGES_AT_ONCE).await?;
            drop(snapshot);
            let Some(last) = due.last().cloned() else { return Ok(()) };
            let mut told_at = None;
            for (at, key) in due {
                if lock(&self.told).contains_key(&key) {
                    continue;
                }
                let body = Body::Due(Due { schedule: key.2, at });
                told_at = Some(self.log.tell_itself(&key.0, &key.1, &body).await?);
                lock(&self.told).insert(key, Instant::now());
            }
            if let Some(stream_seq) = told_at
                && !self.is_applied(stream_seq).await
            {
                return Ok(());
            }
            after = Some(last);
        }
    }

    /// Tells of all rooms that have expired entries, some at a time, until none has.
    async fn expire(&self) -> Result<(), Error> {
        // Where each room began when the owner was last told of it.
        let mut told: HashMap<RoomId, u64> = HashMap::new();
        let mut after = None;
        loop {
            if !self.clocks.agree() {
                return Ok(());
            }
            let snapshot = self.store.snapshot().await?;
            let until = (after.as_ref(), expiry::hour_of(self.clocks.now_ms()));
            let due = expiry::due(&*snapshot, self.partition, until, ROOMS_AT_ONCE).await?;
            let Some(last) = due.last().cloned() else { return Ok(()) };
            let first_seqs = first_seqs(&*snapshot, &due).await?;
            drop(snapshot);
            let mut told_at = None;
            for ((hour, room), first_seq) in due.into_iter().zip(first_seqs) {
                // One that can't be read stays as it is.
                let Some(first_seq) = first_seq else { continue };
                if told.insert(room.clone(), first_seq) != Some(first_seq) {
                    let nobody = UserId::new(SENDER).expect("an id");
                    told_at =
                        Some(self.tell(&nobody, &room, &Body::Expire(Expire { hour })).await?);
                }
            }
            match told_at {
                Some(stream_seq) if !self.is_applied(stream_seq).await => return Ok(()),
                Some(_) => {}
                None => (told, after) = (HashMap::new(), Some(last)),
            }
            sleep(PAUSE).await;
        }
    }

    /// In somebody's name. Its stream sequence.
    pub(super) async fn tell(
        &self,
        sender: &UserId,
        room: &RoomId,
        body: &Body,
    ) -> Result<u64, Error> {
        self.log.tell_itself(sender, room, body).await
    }

    /// Waits for it; false: it takes too long.
    pub(super) async fn is_applied(&self, stream_seq: u64) -> bool {
        let began = Instant::now();
        while self.reading.applied() < stream_seq {
            if began.elapsed() >= APPLIED_PATIENCE {
                return false;
            }
            sleep(APPLIED_PAUSE).await;
        }
        true
    }
}

/// Where these rooms begin; `None`: that can't be read.
async fn first_seqs(
    snapshot: &dyn Snapshot,
    rooms: &[(u32, RoomId)],
) -> Result<Vec<Option<u64>>, weft_storage::Error> {
    let rows = snapshot.get_many(rooms.iter().map(|(_, room)| head::key(room)).collect()).await?;
    let first_seq = |row: Option<Bytes>| Some(head::decode(&row?).ok()?.1.first_seq);
    Ok(rows.into_iter().map(first_seq).collect())
}
