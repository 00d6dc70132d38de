//! All devices and survivors, and what they do together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::device::{Device, DeviceOptions, Outcome};
use super::groups::{Groups, Log, device_name, room, survivor_name};
use super::seen::Seen;
use super::tally::{Phase, Tally};
use crate::bench::account::sign_up_all;
use crate::bench::pair::User;
use crate::bench::send::progress;
use crate::error::Error;

/// Devices that connect at once, before the storm.
const PLACES: usize = 64;
/// Everybody is connected and sees all contacts after so long, or something is broken.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);
/// All are back after so long, or something is broken.
const RESUME_TIMEOUT: Duration = Duration::from_secs(180);
/// An edge gives up a send after a minute.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(90);
/// An audit finds what was lost within 15 s.
const REST_TIMEOUT: Duration = Duration::from_secs(45);
/// Between two looks at the counts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Accounts between two words of progress.
const ACCOUNTS_SAID: usize = 500;

pub struct Crowd {
    groups: Groups,
    survivors: Vec<Survivor>,
    tally: Arc<Tally>,
    phase: watch::Sender<Phase>,
    tasks: JoinSet<Outcome>,
}

/// Its account, beside its own session: for making groups, and for reading logs.
struct Survivor {
    name: String,
    token: String,
    edge: SocketAddr,
}

impl Survivor {
    fn user(&self) -> User {
        User { name: self.name.clone(), token: self.token.clone(), edge: self.edge }
    }
}

impl Crowd {
    /// Makes accounts and groups, and lets all connect: the devices to the first edge, the survivors
    /// to the others.
    pub async fn gather(
        groups: Groups,
        talk_every: Duration,
        edges: &[SocketAddr],
    ) -> Result<Self, Error> {
        let [home, refuges @ ..] = edges else {
            return Err(Error::Failed("no edges".to_owned()));
        };
        let mut tokens = sign_up(refuges[0], groups).await?;
        let at = refuges.iter().copied().cycle();
        let survivor =
            |((index, token), edge)| Survivor { name: survivor_name(index), token, edge };
        let survivors: Vec<Survivor> =
            (0..).zip(tokens.split_off(groups.devices)).zip(at).map(survivor).collect();
        let users = survivors.iter().map(Survivor::user);
        try_join_all((0..).zip(users).map(|(index, user)| groups.create(index, user))).await?;
        progress(&format!("{} groups are made; everybody connects", groups.count()));
        let (phase, _) = watch::channel(Phase::Settle);
        let (tally, tasks) = (Arc::new(Tally::new()), JoinSet::new());
        let mut crowd = Self { groups, survivors, tally, phase, tasks };
        let places = Arc::new(Semaphore::new(PLACES));
        let options = |home, token, talk, seen| DeviceOptions {
            token,
            home,
            refuges: refuges.to_vec(),
            talk,
            seen,
            phase: crowd.phase.subscribe(),
            places: Arc::clone(&places),
            tally: Arc::clone(&crowd.tally),
        };
        let mut all = Vec::new();
        for (index, survivor) in crowd.survivors.iter().enumerate() {
            let contacts = groups.contacts_of_survivor(index);
            let seen = Seen::new(survivor.name.clone(), groups.of_survivor(index), contacts);
            all.push(options(survivor.edge, survivor.token.clone(), None, seen));
        }
        for (device, token) in tokens.into_iter().enumerate() {
            let group = groups.group_of(device);
            let contacts = groups.contacts_of_device(device);
            let seen = Seen::new(device_name(device), group..group + 1, contacts);
            all.push(options(*home, token, Some((room(group), talk_every)), seen));
        }
        for options in all {
            crowd.tasks.spawn(Device::new(options).run());
        }
        Ok(crowd)
    }

    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits until everybody is connected and sees all contacts.
    pub async fn settle(&self) -> Result<(), Error> {
        let all = self.tasks.len();
        let tally = &self.tally;
        let is_settled = || tally.live() == all && tally.seeing() == all;
        if reached(SETTLE_TIMEOUT, is_settled).await {
            progress("everybody is connected and sees all contacts");
            return Ok(());
        }
        let (live, seeing) = (tally.live(), tally.seeing());
        Err(Error::Failed(format!("of {all}, {live} are connected and {seeing} see all contacts")))
    }

    /// Lets them talk, from now on.
    pub async fn talk_for(&self, time: Duration) {
        self.phase.send_replace(Phase::Talk);
        sleep(time).await;
    }

    /// Waits until all devices are back, or time is over.
    pub async fn resume(&self) {
        let (devices, all, tally) = (self.groups.devices, self.tasks.len(), &self.tally);
        reached(RESUME_TIMEOUT, || tally.resumed() == devices && tally.live() == all).await;
        let (resumed, after) = (tally.resumed(), tally.last_resumed_s());
        progress(&format!("{resumed} devices are back, the last one after {after:.1} s"));
    }

    /// Lets them send nothing new, and waits for the answers.
    pub async fn answers(&self) {
        self.phase.send_replace(Phase::Answers);
        let counts = &self.tally.counts;
        let made = counts.made.load(Ordering::Relaxed);
        reached(ANSWERS_TIMEOUT, || counts.answered.load(Ordering::Relaxed) == made).await;
    }

    /// All groups' logs, in their order.
    pub async fn read_logs(&self) -> Result<Vec<Log>, Error> {
        let users = self.survivors.iter().map(Survivor::user);
        let reads = (0..).zip(users).map(|(index, user)| self.groups.read_logs(index, user));
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// Waits until everybody has seen all entries and all contacts, or time is over.
    pub async fn rest(&self, heads: Arc<[u64]>) {
        let (all, tally) = (self.tasks.len(), &self.tally);
        self.phase.send_replace(Phase::Rest(heads));
        reached(REST_TIMEOUT, || tally.complete() == all).await;
    }

    /// Lets all go.
    pub async fn leave(mut self) -> Result<Vec<Outcome>, Error> {
        self.phase.send_replace(Phase::Leave);
        let mut outcomes = Vec::with_capacity(self.tasks.len());
        while let Some(joined) = self.tasks.join_next().await {
            outcomes.push(joined.map_err(|error| Error::Failed(error.to_string()))?);
        }
        Ok(outcomes)
    }
}

/// The tokens of the devices, then those of the survivors.
async fn sign_up(edge: SocketAddr, groups: Groups) -> Result<Vec<String>, Error> {
    let devices = (0..groups.devices).map(device_name);
    let names: Vec<String> = devices.chain((0..groups.survivors()).map(survivor_name)).collect();
    let mut tokens = Vec::with_capacity(names.len());
    for some in names.chunks(ACCOUNTS_SAID) {
        tokens.extend(sign_up_all(edge, some).await?);
        progress(&format!("{} of {} accounts are made", tokens.len(), names.len()));
    }
    Ok(tokens)
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
