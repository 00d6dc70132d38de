//! The feeds of bots ([ADR 29](../../../docs/adr/0029-feeds.md)): each entry of a room goes to the bots that were members when it was
//! written, in the order of the room.
//!
//! Everything is put at least once; the stream knows what comes again for some minutes, and a bot knows it by room and seq. What an absent
//! bot does not fetch is bounded by messages, bytes and age, and removed with a word to it before: it holds up nobody.

mod event;
mod keeper;
mod share;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lru::LruCache;
use tokio::time::Instant;
use weft_journal::{Error, Follow, Page, Underway};
use weft_nats::Bus;
use weft_nats::feeds::{self, FeedMessage, Kept};
use weft_proto::svc::{
    CommittedEntry, FeedBot, FeedEntry, FeedPlace, FindBots, JournalCommit, ReadFeeds,
};
use weft_proto::{ApiError, ErrorCode, RoomId, UserId};
use weft_runtime::{Clock, lock};

use self::share::Share;
use crate::metrics::{DURATION, LAG, PUT, READ};

/// Entries that one call asks for.
const PLACES_PER_CALL: usize = 128;
/// Rooms whose entries are put at once, and bots of one room.
const ROOMS_AT_ONCE: usize = 64;
const BOTS_AT_ONCE: usize = 64;
/// Bots of which it is remembered what they have.
const SHARES_MAX: usize = 100_000;

pub(crate) struct FeedsOptions {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    /// As of the follower.
    pub(crate) is_followed: Arc<AtomicBool>,
    /// What a bot's feed may have, in bytes.
    pub(crate) bytes_max: u64,
    /// How long it is kept.
    pub(crate) age_max: Duration,
}

pub(crate) struct Feeds {
    options: FeedsOptions,
    /// By bot: what its feed has.
    shares: Mutex<LruCache<UserId, Share>>,
    /// When the stream was last looked at: for what is too old, and whether it is nearly full.
    looked_at: Mutex<keeper::LookedAt>,
    /// Of those that find it full, one makes room.
    makes_room: tokio::sync::Mutex<()>,
}

impl Follow for Feeds {
    type Items = Vec<JournalCommit>;

    async fn begin(&self) -> Result<(), Error> {
        // Others may have filled the feeds meanwhile.
        lock(&self.shares).clear();
        self.make_consumers().await
    }

    /// The journal does not tell which bots were in which rooms before, or not any more: they are found in the store. What they may have
    /// missed, they are told.
    async fn anew(&self) -> Result<(), Error> {
        match self.find_bots().await {
            Err(Error::Refused(error)) if error.code == ErrorCode::UnknownType => {
                // Before `weft admin upgrade` there are no feeds, and nothing is missing without them.
                self.options.is_followed.store(true, Ordering::Relaxed);
                return Err(error.into());
            }
            found => found?,
        }
        self.tell_all().await
    }

    async fn read(&self, partition: u32, after: u64) -> Result<Page<Self::Items>, ApiError> {
        weft_journal::read(&self.options.bus, partition, after).await
    }

    /// Returns when the stream has all of it.
    async fn take(&self, commits: Self::Items, _: &Underway) -> Result<(), Error> {
        let began_at = Instant::now();
        let newest_ms = commits.iter().map(|commit| commit.time_ms).max().unwrap_or_default();
        let entries = commits.into_iter().flat_map(|commit| commit.entries);
        let places: Vec<FeedPlace> = entries.map(place).collect();
        for some in places.chunks(PLACES_PER_CALL) {
            self.of_places(some).await?;
        }
        if newest_ms > 0 {
            LAG.set(self.options.clock.now_ms().saturating_sub(newest_ms) as f64 / 1_000.0);
        }
        DURATION.record(began_at.elapsed().as_secs_f64());
        Ok(())
    }

    async fn after_look(&self) -> Result<(), Error> {
        self.sweep_if_due().await
    }
}

impl Feeds {
    pub(crate) fn new(options: FeedsOptions) -> Self {
        let most = NonZeroUsize::new(SHARES_MAX).unwrap_or(NonZeroUsize::MIN);
        let (shares, looked_at) = (Mutex::new(LruCache::new(most)), Mutex::default());
        Self { options, shares, looked_at, makes_room: tokio::sync::Mutex::default() }
    }

    async fn of_places(&self, places: &[FeedPlace]) -> Result<(), Error> {
        let mut left = places;
        while !left.is_empty() {
            let page = self.options.bus.call(&ReadFeeds { places: left.to_vec() }).await?;
            let put = page.entries.iter().map(|entry| entry.bots.len() as u64).sum();
            self.put(page.entries).await?;
            // It always speaks of one; whatever it says, this ends.
            let done = (page.done as usize).clamp(1, left.len());
            READ.add(done as u64);
            PUT.add(put);
            left = &left[done..];
        }
        Ok(())
    }

    /// Puts entries into feeds: those of a room one after the other, so that a bot has them in their order.
    async fn put(&self, entries: Vec<FeedEntry>) -> Result<(), Error> {
        let bots = self.load_shares(&entries).await?;
        let mut rooms: BTreeMap<String, Vec<FeedEntry>> = BTreeMap::new();
        for entry in entries {
            rooms.entry(entry.room.clone()).or_default().push(entry);
        }
        let rooms = rooms.into_values().map(|entries| async move {
            for entry in entries {
                self.put_one(entry).await?;
            }
            Ok::<_, Error>(())
        });
        stream::iter(rooms).buffer_unordered(ROOMS_AT_ONCE).try_collect::<()>().await?;
        self.bound_shares(&bots).await
    }

    async fn put_one(&self, entry: FeedEntry) -> Result<(), Error> {
        let room = RoomId::new(&entry.room)?;
        let forms = event::Forms::of(&entry);
        let puts = entry.bots.iter().map(|to| self.put_for((&room, entry.seq), to, &forms));
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(BOTS_AT_ONCE).try_collect().await
    }

    async fn put_for(
        &self,
        (room, seq): (&RoomId, u64),
        to: &FeedBot,
        forms: &event::Forms,
    ) -> Result<(), Error> {
        let bot = UserId::new(&to.bot)?;
        let (content_type, payload) = forms.get(to.cloudevents);
        loop {
            let size = payload.len() as u64 + share::OVERHEAD_BYTES;
            let feed_bytes = {
                let mut shares = lock(&self.shares);
                let share = shares.get_or_insert_mut(bot.clone(), Share::default);
                share.add(size)
            };
            let message = FeedMessage {
                bot: bot.clone(),
                room: room.clone(),
                seq,
                before: to.before,
                feed_bytes,
                content_type,
                payload: payload.clone(),
            };
            match feeds::put(&self.options.bus, message).await? {
                Kept::At(stream_seq) => {
                    if let Some(share) = lock(&self.shares).get_mut(&bot) {
                        share.kept_at(stream_seq, self.options.bytes_max);
                    }
                    return Ok(());
                }
                Kept::Full => self.make_room().await?,
            }
        }
    }

    /// Finds which bots are in which rooms.
    async fn find_bots(&self) -> Result<(), Error> {
        let mut at = FindBots::default();
        loop {
            let found = self.options.bus.call(&at).await?;
            if found.after.is_empty() {
                return Ok(());
            }
            at = FindBots { after: found.after, room: found.room };
        }
    }
}

fn place(entry: CommittedEntry) -> FeedPlace {
    let CommittedEntry { room, seq, kind, users, .. } = entry;
    let joins = if joins(&kind) { users } else { Vec::new() };
    FeedPlace { room, seq, joins }
}

/// Whether users may become members by an entry of a kind. Core looks at them, so a kind that this does not know may be one.
fn joins(kind: &str) -> bool {
    !matches!(
        kind,
        "message"
            | "file"
            | "image"
            | "edit"
            | "delete"
            | "deleted"
            | "react"
            | "unreact"
            | "pin"
            | "unpin"
            | "rename"
            | "update"
            | "role"
            | "leave"
            | "remove"
            | "ban"
            | "unban"
            | "close"
            | "preview"
            | "unpreview"
    )
}
