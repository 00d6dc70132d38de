//! The bucket of users with sessions: an edge's writes, a presence node's watch.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{Entry, Operation, Watch};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::Deserialize;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, timeout_at};
use weft_proto::presence::EdgePresence;
use weft_proto::{NodeId, UserId};

use crate::acks::Acks;
use crate::bus::{Bus, Link, SEND_TIMEOUT, within};
use crate::error::Error;
use crate::jetstream;
use crate::subject::PRESENCE_BUCKET;

/// A user's last word from an edge stays for this long: whoever starts meanwhile learns when the user
/// left. Seconds, as the server counts.
const LEFT_TTL_S: u64 = 120;
const NATS_TTL: &str = "Nats-TTL";
/// A message with it is taken only where the newest one of its subject has this sequence.
const NATS_EXPECTED_SEQ: &str = "Nats-Expected-Last-Subject-Sequence";
/// The longest wait for the keys that a new watch begins with.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);
/// The same for the keys of one user.
const KEYS_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes the keys of one edge, and notices where the bucket has lost some of them: nats-server came
/// back with older data, or the bucket was made anew.
pub struct UserKeys {
    acks: Acks,
    edge: NodeId,
    /// The last write that the bucket acknowledged: while it has this one, it has those before it.
    newest: Option<Newest>,
    /// Of the connection over which it had that.
    generation: u64,
    is_lost: bool,
}

struct Newest {
    seq: u64,
    user: UserId,
    here: EdgePresence,
}

/// What the bucket answers to a write.
#[derive(Deserialize)]
struct Written {
    seq: u64,
}

impl UserKeys {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn start(bus: &Bus, edge: &NodeId) -> Result<Self, Error> {
        let generation = bus.link().state().generation;
        let acks = Acks::start(bus.link()).await?;
        Ok(Self { acks, edge: edge.clone(), newest: None, generation, is_lost: false })
    }

    /// Writes keys and waits until the bucket has them. A user without devices is forgotten after
    /// two minutes.
    ///
    /// # Errors
    /// [`Error::NotStored`] with the indices of those that the bucket has not taken; any other
    /// error: it may lack all of them.
    pub async fn put(&mut self, keys: &[(UserId, EdgePresence)]) -> Result<(), Error> {
        let batch = self.acks.batch(keys.len());
        let ttl = format!("{LEFT_TTL_S}s");
        for (index, (user, here)) in keys.iter().enumerate() {
            // Plain publishes: the library's own calls would read the key first, and lose the
            // time-to-live of one that had expired.
            let headers = [(NATS_TTL, ttl.as_str())];
            let headers = if here.devices.is_empty() { &headers[..] } else { &[] };
            let payload = here.encode().into();
            self.acks.publish(&batch, index, self.subject(user), headers, payload).await?;
        }
        let (stored, outcome) = batch.sequences().await;
        if self.acks.link().state().generation != self.generation {
            // They may be from before the break, and what came back may lack them.
            return Err(Error::Timeout("writing users: the connection was made anew"));
        }
        let stored = stored.iter().zip(keys).filter_map(|(seq, key)| Some(((*seq)?, key)));
        if let Some((seq, (user, here))) = stored.max_by_key(|(seq, _)| *seq) {
            self.is_lost |= self.newest.as_ref().is_some_and(|newest| seq <= newest.seq);
            self.newest = Some(Newest { seq, user: user.clone(), here: here.clone() });
        }
        outcome
    }

    /// False, once, where the bucket may have lost what it acknowledged: everything is to be written
    /// again. After the connection was made anew it is asked, by a write of the newest key that it
    /// takes only where that is still its newest; else this costs nothing. To be called before each
    /// [`put`](Self::put).
    ///
    /// # Errors
    /// Where the bucket can't be asked.
    pub async fn has_all(&mut self) -> Result<bool, Error> {
        let link = self.acks.link();
        let generation = link.state().generation;
        if std::mem::take(&mut self.is_lost) {
            return Ok(false);
        }
        let Some(newest) = self.newest.as_ref().filter(|_| generation != self.generation) else {
            self.generation = generation;
            return Ok(true);
        };
        let (seq, ttl) = (newest.seq.to_string(), format!("{LEFT_TTL_S}s"));
        let headers = [(NATS_EXPECTED_SEQ, seq.as_str()), (NATS_TTL, ttl.as_str())];
        // What it was before, so that nobody sees a change.
        let headers = if newest.here.devices.is_empty() { &headers[..] } else { &headers[..1] };
        let (subject, payload) = (self.subject(&newest.user), newest.here.encode().into());
        let answer = jetstream::publish::<Written>(link, subject, headers, payload).await?;
        if link.state().generation != generation {
            return Err(Error::Timeout("asking for the newest user"));
        }
        let has_all = match answer {
            Ok(written) => {
                self.newest =
                    self.newest.take().map(|newest| Newest { seq: written.seq, ..newest });
                true
            }
            // The key has another sequence, or is not there.
            Err(error) if matches!(error.err_code, 10_071 | 10_164) => {
                self.newest = None;
                false
            }
            Err(error) => return Err(error.into_error("write the newest user")),
        };
        self.generation = generation;
        Ok(has_all)
    }

    fn subject(&self, user: &UserId) -> String {
        format!("$KV.{PRESENCE_BUCKET}.{user}.{}", self.edge)
    }
}

/// What the bucket says of one key.
#[derive(Clone, PartialEq, Debug)]
pub struct UserChange {
    pub user: UserId,
    /// The edge that speaks of them.
    pub edge: NodeId,
    /// What it says; `None`: the bucket has forgotten it.
    pub here: Option<EdgePresence>,
}

/// The bucket's changes, in order.
pub struct UserWatch {
    link: Arc<Link>,
    watch: Watch,
    /// The last of the bucket's revisions that was seen, or that were there before the watch was opened.
    seen: u64,
}

#[derive(Deserialize)]
struct StreamInfo {
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    messages: u64,
    last_seq: u64,
}

impl UserWatch {
    /// Reads all keys, and watches from there on.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::NoStream`], [`Error::Timeout`], [`Error::Closed`].
    pub async fn open(bus: &Bus) -> Result<(Self, Vec<UserChange>), Error> {
        let link = Arc::clone(bus.link());
        let info = info(&link).await?;
        let watch = open(&link, ">").await?;
        let mut own = Self { link, watch, seen: info.state.last_seq };
        let mut present = Vec::new();
        if info.state.messages > 0 {
            let late_at = Instant::now() + SNAPSHOT_TIMEOUT;
            loop {
                let entry = timeout_at(late_at, own.watch.next()).await;
                let entry = entry.map_err(|_| Error::Timeout("reading the users"))?;
                let entry = entry.ok_or(Error::Closed)?;
                let entry = entry.map_err(|e| failed("read the bucket of users", &e))?;
                let is_last = entry.seen_current;
                present.extend(own.read(entry));
                if is_last {
                    break;
                }
            }
        }
        Ok((own, present))
    }

    /// Waits for changes and takes up to `count_max` that are there; false: the watch has ended, and
    /// another one is to be opened. Cancel-safe.
    pub async fn take(&mut self, into: &mut Vec<UserChange>, count_max: usize) -> bool {
        let Some(Ok(first)) = self.watch.next().await else { return false };
        into.extend(self.read(first));
        while into.len() < count_max {
            // Unconstrained: tokio's budget would say "nothing there" in the middle of a batch.
            match unconstrained(self.watch.next()).now_or_never() {
                None => break,
                Some(Some(Ok(entry))) => into.extend(self.read(entry)),
                Some(_) => return false,
            }
        }
        true
    }

    /// Asks how far the bucket is.
    ///
    /// # Errors
    /// Where the bucket can't be asked.
    pub fn probe(&self) -> impl Future<Output = Result<Probe, Error>> + Send + use<> {
        let (link, seen) = (Arc::clone(&self.link), self.seen);
        async move { Ok(Probe { last_seq: info(&link).await?.state.last_seq, seen }) }
    }

    /// False where the bucket had something that this watch has not shown: it is dead, or lags far.
    /// False also where the bucket was not as far as what the watch had shown before: it went back,
    /// or was made anew, and what it takes now the watch may never show.
    #[must_use]
    pub fn has_shown(&self, probe: Probe) -> bool {
        probe.seen <= probe.last_seq && probe.last_seq <= self.seen
    }

    fn read(&mut self, entry: Entry) -> Option<UserChange> {
        self.seen = self.seen.max(entry.revision);
        let (user, edge) = entry.key.split_once('.')?;
        let (user, edge) = (UserId::new(user).ok()?, NodeId::new(edge).ok()?);
        let here = match entry.operation {
            Operation::Put => Some(decode(&entry.key, &entry.value)?),
            Operation::Delete | Operation::Purge => None,
        };
        Some(UserChange { user, edge, here })
    }
}

/// How far the bucket was at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    last_seq: u64,
    /// What the watch that asked had seen before.
    seen: u64,
}

impl Probe {
    /// The number of writes that the bucket has taken in its life, markers of expiry included.
    #[must_use]
    pub fn last_seq(self) -> u64 {
        self.last_seq
    }
}

/// How far the bucket is.
///
/// # Errors
/// Where the bucket can't be asked.
pub async fn probe(bus: &Bus) -> Result<Probe, Error> {
    Ok(Probe { last_seq: info(bus.link()).await?.state.last_seq, seen: 0 })
}

/// What the edges say of one user: for people who look into it.
///
/// # Errors
/// As [`UserWatch::open`].
pub async fn keys_of(bus: &Bus, user: &UserId) -> Result<Vec<(NodeId, EdgePresence)>, Error> {
    let link = Arc::clone(bus.link());
    let watch = open(&link, &format!("{user}.*")).await?;
    let mut own = UserWatch { link, watch, seen: 0 };
    let late_at = Instant::now() + KEYS_TIMEOUT;
    let mut keys = Vec::new();
    // Where there is no key nothing comes, and no end is marked.
    while let Ok(Some(Ok(entry))) = timeout_at(late_at, own.watch.next()).await {
        let is_last = entry.seen_current;
        keys.extend(own.read(entry).and_then(|change| Some((change.edge, change.here?))));
        if is_last {
            break;
        }
    }
    Ok(keys)
}

async fn open(link: &Link, keys: &str) -> Result<Watch, Error> {
    let mut context: Context = async_nats::jetstream::new(link.client().clone());
    context.set_timeout(SEND_TIMEOUT);
    within("watching the users", async {
        let bucket = context.get_key_value(PRESENCE_BUCKET).await;
        let bucket = bucket.map_err(|e| failed("open the bucket of users", &e))?;
        let watch = bucket.watch_with_history(keys).await;
        watch.map_err(|e| failed("watch the bucket of users", &e))
    })
    .await
}

async fn info(link: &Link) -> Result<StreamInfo, Error> {
    let verb = format!("STREAM.INFO.KV_{PRESENCE_BUCKET}");
    jetstream::request(link, &verb, &serde_json::json!({})).await
}

fn decode(key: &str, value: &Bytes) -> Option<EdgePresence> {
    let here = EdgePresence::decode(value);
    if here.is_none() {
        tracing::warn!(key, "a user's key can't be read");
    }
    here
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Bucket { what, reason: error.to_string() }
}
