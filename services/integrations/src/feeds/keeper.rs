//! What is too much or too old goes out of the feeds, and a bot is told of it before: whoever is up to date passes over the word, whoever
//! is not catches up from the rooms' history.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use weft_journal::Error;
use weft_nats::feeds::{self, FEEDS_BYTES_MAX, Filled, Kept};
use weft_proto::UserId;
use weft_proto::svc::{FeedEntry, ListFeeds};
use weft_runtime::lock;

use super::Feeds;
use super::share::Share;
use crate::metrics::EXPIRED;

/// How often it looks for what is too old; more often where that is soon.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);
/// How often it looks whether the stream is nearly full.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Of a stream with more than this part of its bytes (in tenths) the oldest goes, whosesoever it is.
const FILLED_TENTHS: u64 = 9;
/// Bots that are asked about, or told, at once.
const BOTS_AT_ONCE: usize = 32;
/// The age is halved so often at the most, until the stream has room again.
const HALVINGS_MAX: u32 = 20;

/// When the stream was last looked at.
#[derive(Default)]
pub(super) struct LookedAt {
    filled: Option<Instant>,
    swept: Option<Instant>,
}

impl Feeds {
    /// The bots that are to get something; of those that are not known yet, what their feeds have is looked up.
    pub(super) async fn load_shares(&self, entries: &[FeedEntry]) -> Result<Vec<UserId>, Error> {
        let ids = entries.iter().flat_map(|entry| &entry.bots).map(|bot| bot.bot.as_str());
        let ids: BTreeSet<&str> = ids.collect();
        let bots = ids.into_iter().map(UserId::new).collect::<Result<Vec<_>, _>>()?;
        let is_unknown = |bot: &&UserId| !lock(&self.shares).contains(bot.as_str());
        let unknown: Vec<UserId> = bots.iter().filter(is_unknown).cloned().collect();
        let loads = unknown.into_iter().map(|bot| async move {
            feeds::make_consumer(&self.options.bus, &bot).await?;
            let share = self.stored_share(&bot).await?;
            lock(&self.shares).put(bot, share);
            Ok::<_, Error>(())
        });
        stream::iter(loads).buffer_unordered(BOTS_AT_ONCE).try_collect::<()>().await?;
        Ok(bots)
    }

    async fn stored_share(&self, bot: &UserId) -> Result<Share, Error> {
        let bus = &self.options.bus;
        let Some(newest) = feeds::newest(bus, bot).await? else { return Ok(Share::default()) };
        let oldest = feeds::first_from(bus, bot, 1).await?.unwrap_or(newest);
        let bytes = newest.feed_bytes.saturating_sub(oldest.feed_bytes);
        Ok(Share::of_stored(newest.feed_bytes, newest.stream_seq, bytes))
    }

    /// Takes out of feeds what is beyond their share.
    pub(super) async fn bound_shares(&self, bots: &[UserId]) -> Result<(), Error> {
        let bytes_max = self.options.bytes_max;
        for bot in bots {
            let excess =
                lock(&self.shares).get_mut(bot).and_then(|share| share.take_excess(bytes_max));
            if let Some(through) = excess {
                self.expire(bot, through + 1).await?;
            }
        }
        Ok(())
    }

    /// Tells a bot, and removes what its feed has before a sequence.
    async fn expire(&self, bot: &UserId, stream_seq: u64) -> Result<(), Error> {
        let bus = &self.options.bus;
        let kept = feeds::first_from(bus, bot, stream_seq).await?;
        let before_ms = kept.map_or_else(|| self.options.clock.now_ms(), |kept| kept.time_ms);
        self.tell(bot, before_ms).await?;
        feeds::remove_before(bus, bot, stream_seq).await?;
        Ok(())
    }

    async fn tell(&self, bot: &UserId, before_ms: u64) -> Result<(), Error> {
        let known = lock(&self.shares).peek(bot).map(Share::carried);
        let carried = match known {
            Some(carried) => carried,
            None => self.stored_share(bot).await?.carried(),
        };
        let bus = &self.options.bus;
        while feeds::tell_expired(bus, bot, before_ms, carried).await? == Kept::Full {
            // Nothing is removed without a word, so the word has to get in: the oldest of the same feed make room for it.
            let Some(oldest) = feeds::first_from(bus, bot, 1).await? else { return Ok(()) };
            feeds::remove_before(bus, bot, oldest.stream_seq + 1).await?;
        }
        EXPIRED.increment();
        Ok(())
    }

    /// Makes the consumers by which bots read their feeds.
    pub(super) async fn make_consumers(&self) -> Result<(), Error> {
        let mut after = Some(String::new());
        while let Some(bots) = self.next_bots(&mut after).await? {
            let bus = &self.options.bus;
            let makes = bots.into_iter().map(|bot| async move {
                feeds::make_consumer(bus, &bot).await.map_err(Error::from)
            });
            stream::iter(makes).buffer_unordered(BOTS_AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Tells all bots that they may have missed something.
    pub(super) async fn tell_all(&self) -> Result<(), Error> {
        let now_ms = self.options.clock.now_ms();
        let mut after = Some(String::new());
        while let Some(bots) = self.next_bots(&mut after).await? {
            let tells = bots.into_iter().map(|bot| async move { self.tell(&bot, now_ms).await });
            stream::iter(tells).buffer_unordered(BOTS_AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    /// Removes what is too old, and what has to go where the stream is nearly full: each once in a while.
    pub(super) async fn sweep_if_due(&self) -> Result<(), Error> {
        let age_max = self.options.age_max;
        let (is_look_due, is_sweep_due) = {
            let mut at = lock(&self.looked_at);
            let is_due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
            let due =
                (is_due(at.filled, LOOK_EVERY), is_due(at.swept, SWEEP_EVERY.min(age_max / 4)));
            if due.0 {
                at.filled = Some(Instant::now());
            }
            if due.1 {
                at.swept = Some(Instant::now());
            }
            due
        };
        if is_sweep_due {
            self.sweep(age_max).await?;
        }
        if is_look_due {
            self.make_room().await?;
        }
        Ok(())
    }

    /// Where the stream is nearly full, removes the oldest entries until it is not.
    pub(super) async fn make_room(&self) -> Result<(), Error> {
        let _one = self.makes_room.lock().await;
        let mut age = self.options.age_max;
        for _ in 0..HALVINGS_MAX {
            if !is_nearly_full(feeds::filled(&self.options.bus).await?) {
                break;
            }
            age /= 2;
            tracing::warn!(
                kept_s = age.as_secs(),
                "the stream of feeds is nearly full: entries are removed before their time, and bots told so"
            );
            self.sweep(age).await?;
        }
        Ok(())
    }

    /// Removes what is older than an age.
    async fn sweep(&self, age: Duration) -> Result<(), Error> {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.options.clock.now_ms().saturating_sub(age_ms);
        let Some(stream_seq) = self.first_since(before_ms).await? else { return Ok(()) };
        let mut after = Some(String::new());
        while let Some(bots) = self.next_bots(&mut after).await? {
            let sweeps =
                bots.into_iter().map(|bot| async move { self.sweep_one(&bot, stream_seq).await });
            stream::iter(sweeps).buffer_unordered(BOTS_AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn sweep_one(&self, bot: &UserId, stream_seq: u64) -> Result<(), Error> {
        let bus = &self.options.bus;
        let mut oldest = feeds::first_from(bus, bot, 1).await?;
        if let Some(word) = oldest.filter(|it| it.is_word) {
            oldest = feeds::first_from(bus, bot, word.stream_seq + 1).await?;
        }
        if oldest.is_some_and(|oldest| oldest.stream_seq < stream_seq) {
            self.expire(bot, stream_seq).await?;
            // What it has now is counted anew.
            lock(&self.shares).pop(bot);
        }
        Ok(())
    }

    /// Before which sequence everything is older than a moment; `None`: nothing is.
    async fn first_since(&self, time_ms: u64) -> Result<Option<u64>, Error> {
        let bus = &self.options.bus;
        let Filled { messages, first_seq, last_seq, .. } = feeds::filled(bus).await?;
        let oldest = feeds::first_of_all_from(bus, first_seq).await?;
        if messages == 0 || oldest.is_none_or(|oldest| oldest.time_ms >= time_ms) {
            return Ok(None);
        }
        let (mut low, mut high) = (first_seq, last_seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match feeds::first_of_all_from(bus, middle).await? {
                Some(found) if found.time_ms < time_ms => low = found.stream_seq + 1,
                _ => high = middle,
            }
        }
        Ok(Some(low))
    }

    /// The next bots with feeds, and after whom to go on; `None`: there are no more.
    async fn next_bots(&self, after: &mut Option<String>) -> Result<Option<Vec<UserId>>, Error> {
        let Some(from) = after.take() else { return Ok(None) };
        let page = self.options.bus.call(&ListFeeds { after: from }).await?;
        *after = Some(page.after).filter(|after| !after.is_empty());
        for bot in page.ended {
            feeds::remove_feed(&self.options.bus, &UserId::new(&bot)?).await?;
        }
        Ok(Some(page.bots.iter().map(|bot| UserId::new(bot)).collect::<Result<_, _>>()?))
    }
}

fn is_nearly_full(filled: Filled) -> bool {
    filled.bytes > FEEDS_BYTES_MAX / 10 * FILLED_TENTHS
}
