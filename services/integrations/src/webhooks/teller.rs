//! The journal, and the jobs that are made of it: each at least once, those of one webhook in their order, and the queue knows
//! those that come again.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use weft_journal::{Error, Follow, Page, Underway};
use weft_nats::Bus;
use weft_nats::webhooks::{self, WebhookJob};
use weft_proto::svc::{
    JournalCommit, ListWebhookTargets, NoteWebhook, Place, WebhookPlace, WebhookTarget,
};
use weft_proto::{ApiError, RoomId, WebhookId};
use weft_runtime::Clock;

use super::metrics::{JOBS, LAG, LEFT_OUT};

/// Entries that one call asks of.
const PLACES_PER_CALL: usize = 128;
/// Webhooks whose jobs are put into the queue at once.
const PUTS_AT_ONCE: usize = 64;

pub(crate) struct Teller {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Follow for Teller {
    type Items = Vec<JournalCommit>;

    async fn read(&self, partition: u32, after: u64) -> Result<Page<Vec<JournalCommit>>, ApiError> {
        weft_journal::read(&self.bus, partition, after).await
    }

    async fn take(&self, commits: Vec<JournalCommit>, _: &Underway) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        let mut left_out: HashMap<WebhookPlace, u64> = HashMap::new();
        for commit in commits {
            let at_ms = if commit.time_ms == 0 { now_ms } else { commit.time_ms };
            LAG.set(now_ms.saturating_sub(at_ms) as f64 / 1_000.0);
            let entries = commit.entries.into_iter();
            let places = entries.map(|entry| Place { room: entry.room, seq: entry.seq });
            let places: Vec<Place> = places.collect();
            for some in places.chunks(PLACES_PER_CALL) {
                for (webhook, count) in self.of_places(some, at_ms).await? {
                    *left_out.entry(webhook).or_default() += count;
                }
            }
        }
        for (webhook, missed) in left_out {
            LEFT_OUT.add(missed);
            let webhook = Some(webhook);
            self.bus.call(&NoteWebhook { webhook, missed, ..NoteWebhook::default() }).await?;
        }
        Ok(())
    }
}

impl Teller {
    /// How much of which webhooks was left out.
    async fn of_places(
        &self,
        places: &[Place],
        at_ms: u64,
    ) -> Result<Vec<(WebhookPlace, u64)>, Error> {
        let (mut left, mut after) = (places, String::new());
        let mut left_out = Vec::new();
        while !left.is_empty() {
            let page = self.bus.call(&ListWebhookTargets { places: left.to_vec(), after }).await?;
            left_out.extend(self.put(page.targets, at_ms).await?);
            left = &left[(page.done as usize).min(left.len())..];
            after = page.after;
            if page.done == 0 && after.is_empty() {
                // Whatever it says, this ends.
                left = &left[1..];
            }
        }
        Ok(left_out)
    }

    async fn put(
        &self,
        targets: Vec<WebhookTarget>,
        at_ms: u64,
    ) -> Result<Vec<(WebhookPlace, u64)>, Error> {
        let mut by_webhook: HashMap<WebhookPlace, Vec<(String, u64)>> = HashMap::new();
        for WebhookTarget { webhook, room, seq } in targets {
            by_webhook.entry(webhook.unwrap_or_default()).or_default().push((room, seq));
        }
        let puts = by_webhook.into_iter().map(|(webhook, entries)| async move {
            let (owner, id) = (RoomId::new(&webhook.owner)?, WebhookId::new(&webhook.id)?);
            let mut left_out = 0;
            // One after the other: the queue's order is that of the deliveries.
            for (room, seq) in entries {
                let (owner, webhook, room) = (owner.clone(), id.clone(), RoomId::new(&room)?);
                let job = WebhookJob { owner, webhook, room, seq, at_ms };
                match webhooks::put(&self.bus, &job, &job.id()).await? {
                    true => JOBS.increment(),
                    false => left_out += 1,
                }
            }
            Ok::<_, Error>((webhook, left_out))
        });
        let all: Vec<_> = stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await?;
        Ok(all.into_iter().filter(|(_, left_out)| *left_out > 0).collect())
    }
}
