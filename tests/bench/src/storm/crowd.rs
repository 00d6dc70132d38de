//! All devices and survivors, and what they do together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rand::seq::SliceRandom;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use weft_harness::account::{Login, sign_up_all};
use weft_harness::client::{Client, ClientOptions};
use weft_harness::history::{Entry, Event, Recorder};
use weft_harness::reading::read_room;

use super::groups::{Groups, room};
use crate::progress;
use crate::timeline::{add, get};

/// Devices that connect at once, before the storm.
const PLACES: usize = 64;
/// Everybody is connected and sees all companions after this long, or something is broken.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);
/// All are back after this long, or something is broken.
const RESUME_TIMEOUT: Duration = Duration::from_secs(180);
/// An edge gives up a send after a minute.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(90);
/// An audit finds what was lost within 15 s.
const REST_TIMEOUT: Duration = Duration::from_secs(45);
/// Between two looks at everybody.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Accounts between two words of progress, and those that are made at once: each costs two password
/// hashes.
const ACCOUNTS_SAID: usize = 500;
const ACCOUNTS_AT_ONCE: usize = 4;
/// The protocol's.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
const TEXT_BYTES: usize = 200;

pub struct Crowd {
    pub groups: Groups,
    pub recorder: Recorder,
    /// Of the devices, then of the survivors.
    pub clients: Vec<Arc<Client>>,
    logins: Vec<Login>,
    refuges: Vec<SocketAddr>,
    /// Messages that were made.
    made: Arc<AtomicU64>,
    talkers: JoinSet<()>,
    stop: CancellationToken,
}

impl Crowd {
    /// Makes accounts and groups, and lets all connect: the devices to the first edge, the survivors
    /// to the others.
    pub async fn gather(groups: Groups, edges: &[SocketAddr]) -> Result<Self> {
        let (home, refuges) = edges.split_first().context("no edges")?;
        let names = groups.names();
        let mut logins = Vec::with_capacity(names.len());
        for some in names.chunks(ACCOUNTS_SAID) {
            logins.extend(sign_up_all(refuges[0], some, ACCOUNTS_AT_ONCE).await?);
            progress(&format!("{} of {} accounts are made", logins.len(), names.len()));
        }
        for (number, owner) in logins.iter().enumerate().skip(groups.devices) {
            for group in groups.of(number) {
                groups.create(group, owner, refuges[0]).await?;
            }
        }
        progress(&format!("{} groups are made; everybody connects", groups.count()));
        let recorder = Recorder::default();
        let start = |(number, login): (usize, &Login)| {
            let survivor = number.checked_sub(groups.devices);
            let edge = survivor.map_or(*home, |survivor| refuges[survivor % refuges.len()]);
            let options = ClientOptions {
                back_off: BACK_OFF,
                ..ClientOptions::new(login.clone(), vec![edge], recorder.clone())
            };
            async {
                let client = Arc::new(Client::start(options));
                let is_synced = reached(SETTLE_TIMEOUT, || client.is_synced()).await;
                ensure!(is_synced, "{} was not synced in time", client.name());
                Ok(client)
            }
        };
        let connecting = stream::iter(logins.iter().enumerate()).map(start);
        let clients = connecting.buffered(PLACES).try_collect().await?;
        let (talkers, stop) = (JoinSet::new(), CancellationToken::new());
        let (refuges, made) = (refuges.to_vec(), Arc::default());
        let crowd = Self { groups, recorder, clients, logins, refuges, made, talkers, stop };
        crowd.settle().await?;
        Ok(crowd)
    }

    async fn settle(&self) -> Result<()> {
        let are_seen = || (0..self.clients.len()).all(|number| self.unseen_by(number) == 0);
        let is_settled = reached(SETTLE_TIMEOUT, || self.are_synced() && are_seen()).await;
        let unseen: usize = (0..self.clients.len()).map(|number| self.unseen_by(number)).sum();
        ensure!(is_settled, "not everybody is connected, or sees all companions: {unseen} unseen");
        progress("everybody is connected and sees all companions");
        Ok(())
    }

    pub fn devices(&self) -> &[Arc<Client>] {
        &self.clients[..self.groups.devices]
    }

    fn are_synced(&self) -> bool {
        self.clients.iter().all(|client| client.is_synced())
    }

    /// Companions of which the client with this number has not heard that they are online.
    pub fn unseen_by(&self, number: usize) -> usize {
        self.groups.companions_of(number).saturating_sub(self.clients[number].seen())
    }

    /// Each device sends a message every so often, from now on; the first one after a part of it.
    pub async fn talk_for(&mut self, every: Duration, time: Duration) {
        for (number, client) in self.devices().to_vec().into_iter().enumerate() {
            let room = room(self.groups.of(number).start);
            let (made, stop) = (Arc::clone(&self.made), self.stop.clone());
            let mut next_at = Instant::now() + every.mul_f64(rand::random());
            self.talkers.spawn(async move {
                let text = "x".repeat(TEXT_BYTES);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep_until(next_at) => next_at += every,
                    }
                    add(&made, 1);
                    // What is refused for good remains unanswered.
                    let _ = client.send(&room, &text).await;
                }
            });
        }
        sleep(time).await;
    }

    /// From now on all know where to go. Each begins with any of the edges that live.
    pub fn flee(&self) {
        for client in self.devices() {
            let mut refuges = self.refuges.clone();
            refuges.shuffle(&mut rand::rng());
            client.go_to(refuges);
        }
    }

    /// Waits until all devices are back, or time is over.
    pub async fn resume(&self) {
        reached(RESUME_TIMEOUT, || self.are_synced()).await;
        let back = self.devices().iter().filter(|client| client.is_synced()).count();
        progress(&format!("{back} devices are back"));
    }

    /// Lets them send nothing new, and waits for the answers.
    pub async fn answers(&mut self) {
        self.stop.cancel();
        let all = async { while self.talkers.join_next().await.is_some() {} };
        let _ = timeout(ANSWERS_TIMEOUT, all).await;
    }

    /// Messages with an answer, and without one.
    pub fn answered(&self) -> (u64, u64) {
        let answered = self.recorder.counts().acks.min(get(&self.made));
        (answered, get(&self.made) - answered)
    }

    /// All groups' logs, in their order.
    pub async fn read_logs(&self) -> Result<Vec<Vec<Entry>>> {
        let mut logs = Vec::new();
        for (number, owner) in self.logins.iter().enumerate().skip(self.groups.devices) {
            for group in self.groups.of(number) {
                let log = read_room(self.refuges[0], owner, &room(group)).await?;
                let room = room(group).as_str().into();
                self.recorder.record(Event::Final { room, entries: log.clone() });
                logs.push(log);
            }
        }
        Ok(logs)
    }

    /// Waits until everybody has seen all entries and all companions, or time is over.
    pub async fn rest(&self, heads: &[u64]) {
        let has_all = |(number, client): (usize, &Arc<Client>)| {
            let has = |group: usize| client.has(&room(group)) >= heads[group];
            self.unseen_by(number) == 0 && self.groups.of(number).all(has)
        };
        reached(REST_TIMEOUT, || self.clients.iter().enumerate().all(has_all)).await;
    }
}

/// False where it does not come true in time.
async fn reached(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let becoming = async {
        while !is_so() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(patience, becoming).await.is_ok()
}
