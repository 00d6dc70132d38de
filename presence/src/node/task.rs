//! The loop: takes in what there is, and says what follows from it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use weft_nats::nodes::Nodes;
use weft_nats::presence::Probe;
use weft_nats::subject::WEFT_PRESENCE;
use weft_nats::{
    Bus, Connection, Message, Registration, Subject, Subscription, UserChange, UserWatch, assign,
};
use weft_proto::presence::PresenceTick;
use weft_proto::svc::KeptStatus;
use weft_proto::{NodeId, Presence, UserId};
use weft_runtime::when_some;

use super::kept::Kept;
use super::{ROLE, Shared, State, lock, now};
use crate::ledger::SHARES;
use crate::metrics;

/// Changes that are taken in before what follows from them is said.
const CHANGES_MAX: usize = 1_024;
/// Between two signs of life.
const TICK: Duration = Duration::from_secs(1);
/// How often the bucket is asked whether the watch has shown all of it.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// What the bucket has had for this long, a live watch has shown.
const SHOWN_AFTER: Duration = Duration::from_secs(2);

pub(super) struct Task {
    bus: Bus,
    node: NodeId,
    boot: String,
    state: Shared,
    /// What is published, this node's own too.
    statuses: Subscription,
    /// `None`: to be opened at the next tick.
    watch: Option<UserWatch>,
    opening: Option<Opening>,
    edges: watch::Receiver<Nodes>,
    peers: watch::Receiver<Nodes>,
    connection: watch::Receiver<Connection>,
    generation: u64,
    kept: Kept,
    /// Of the last status that was published.
    number: u64,
    probe_at: Instant,
    probing: Option<BoxFuture<'static, Option<Probe>>>,
    probed: Option<(Probe, Instant)>,
}

type Opening = BoxFuture<'static, Result<(UserWatch, Vec<UserChange>), weft_nats::Error>>;

impl Task {
    pub(super) fn new(
        bus: Bus,
        registration: &Arc<Registration>,
        boot: String,
        state: Shared,
        statuses: Subscription,
    ) -> Self {
        let connection = bus.connection();
        let generation = connection.borrow().generation;
        Self {
            node: bus.node().clone(),
            kept: Kept::new(bus.clone()),
            bus,
            boot,
            state,
            statuses,
            watch: None,
            opening: None,
            edges: registration.live("edge"),
            peers: registration.live(ROLE),
            connection,
            generation,
            number: 0,
            probe_at: Instant::now() + PROBE_EVERY,
            probing: None,
            probed: None,
        }
    }

    /// Opens the watch, and takes in all that it begins with.
    pub(super) async fn read_all(&mut self) -> Result<(), weft_nats::Error> {
        self.on_edges();
        let (watch, changes) = UserWatch::open(&self.bus).await?;
        self.on_opened(watch, &changes);
        Ok(())
    }

    fn on_opened(&mut self, watch: UserWatch, changes: &[UserChange]) {
        let here = changes.iter().filter(|change| change.here.is_some());
        let present: HashSet<_> =
            here.map(|change| (change.user.clone(), change.edge.clone())).collect();
        self.on_changes(changes);
        lock(&self.state).merge.reconcile(&present, now());
        self.watch = Some(watch);
        self.probed = None;
    }

    /// Waits until everybody's choice is known.
    pub(super) async fn load_all(&mut self) {
        let to_load = lock(&self.state).merge.take_to_load();
        self.kept.load(to_load);
        while !self.kept.is_loaded() {
            let loaded = self.kept.next().await;
            self.on_loaded(&loaded);
        }
    }

    /// From here on changes are said. Who is found now is not announced: whoever watched before
    /// knows, or asks.
    pub(super) fn take_up_duties(&mut self) {
        let duties = self.duties(true);
        let now = now();
        let mut state = lock(&self.state);
        let State { merge, ledger } = &mut *state;
        // Nobody is told anything yet, so nothing is owed.
        let _ = ledger.set_duties(duties, std::iter::empty(), now);
        merge.take_changed();
        for (user, shown) in merge.users() {
            ledger.found(user, shown.clone(), now);
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due_at = lock(&self.state).merge.due_at();
            let mut changes = Vec::new();
            tokio::select! {
                biased; // what makes the rest uncertain comes first
                () = stop.cancelled() => break,
                Ok(()) = self.connection.changed() => self.on_connection(),
                Ok(()) = self.edges.changed() => self.on_edges(),
                Ok(()) = self.peers.changed() => self.on_peers().await,
                _ = ticks.tick() => self.on_tick().await,
                Some(message) = self.statuses.next() => self.on_heard(&message),
                goes_on = take(self.watch.as_mut(), &mut changes) => {
                    if !goes_on {
                        self.watch = None;
                    }
                }
                loaded = self.kept.next() => self.on_loaded(&loaded),
                opened = when_some(self.opening.as_mut()) => {
                    self.opening = None;
                    match opened {
                        Ok((watch, changes)) => self.on_opened(watch, &changes),
                        Err(error) => {
                            tracing::warn!(%error, "the users can't be watched: trying again");
                        }
                    }
                }
                probe = when_some(self.probing.as_mut()) => {
                    self.probing = None;
                    self.probed = probe.map(|probe| (probe, Instant::now()));
                }
                () = when_some(due_at.map(sleep_until)) => lock(&self.state).merge.on_time(now()),
            }
            self.on_changes(&changes);
            self.act().await;
        }
        self.act().await;
        let lost = lock(&self.state).merge.lost();
        self.kept.note(lost);
        self.kept.finish().await;
    }

    fn on_connection(&mut self) {
        let generation = self.connection.borrow_and_update().generation;
        if std::mem::replace(&mut self.generation, generation) != generation {
            // What was on its way is lost.
            self.watch = None;
        }
    }

    fn on_edges(&mut self) {
        let edges = self.edges.borrow_and_update().clone();
        let edges: Vec<_> = edges.into_iter().map(|(edge, info)| (edge, info.boot)).collect();
        lock(&self.state).merge.on_edges(&edges, now());
    }

    async fn on_peers(&mut self) {
        let duties = self.duties(false);
        let owed = {
            let mut state = lock(&self.state);
            let State { merge, ledger } = &mut *state;
            ledger.set_duties(duties, merge.users(), now())
        };
        self.publish(owed).await;
    }

    /// The shares that are this node's. `begins`: it counts itself among those who serve.
    fn duties(&mut self, begins: bool) -> BTreeSet<u16> {
        let peers = self.peers.borrow_and_update();
        let serving = peers.iter().filter(|(_, info)| !info.draining).map(|(node, _)| node);
        let own = begins.then_some(&self.node);
        let owners = assign(serving.chain(own), SHARES);
        owners
            .into_iter()
            .filter(|(_, owner)| *owner == self.node)
            .map(|(share, _)| share)
            .collect()
    }

    fn on_changes(&mut self, changes: &[UserChange]) {
        let mut state = lock(&self.state);
        for UserChange { user, edge, here } in changes {
            match here {
                Some(here) => state.merge.on_key(user, edge, here, now()),
                None => state.merge.on_key_gone(user, edge, now()),
            }
        }
    }

    fn on_loaded(&mut self, loaded: &[(UserId, KeptStatus)]) {
        let mut state = lock(&self.state);
        for (user, kept) in loaded {
            state.merge.on_loaded(user, kept, now());
        }
    }

    fn on_heard(&mut self, message: &Message) {
        let source = message.header(WEFT_PRESENCE).and_then(|it| it.split(' ').next());
        if source == Some(&self.boot) {
            return;
        }
        match Presence::from_json(message.payload()) {
            Ok(presence) => {
                let mut state = lock(&self.state);
                let State { merge, ledger } = &mut *state;
                ledger.on_heard(&presence, merge.shown(&presence.user), now());
            }
            Err(error) => tracing::error!(%error, "a status can't be read"),
        }
    }

    async fn on_tick(&mut self) {
        let tick = PresenceTick { boot: self.boot.clone(), number: self.number };
        let subject = Subject::PresenceTick { node: self.node.clone() };
        if let Err(error) = self.bus.publish(&subject, &[], tick.encode().into()).await {
            tracing::debug!(%error, "no tick");
        }
        let owed = lock(&self.state).ledger.on_time(now());
        self.publish(owed).await;
        if self.watch.is_none() && self.opening.is_none() {
            let bus = self.bus.clone();
            self.opening = Some(Box::pin(async move { UserWatch::open(&bus).await }));
        }
        self.look_after_the_watch();
    }

    fn look_after_the_watch(&mut self) {
        let (Some(watch), now) = (&self.watch, Instant::now()) else { return };
        if let Some((probe, at)) = self.probed
            && at + SHOWN_AFTER <= now
        {
            self.probed = None;
            if !watch.has_shown(probe) {
                tracing::warn!("the watch of the users does not show all: opening another one");
                self.watch = None;
                return;
            }
        }
        if self.probe_at <= now && self.probing.is_none() {
            self.probe_at = now + PROBE_EVERY;
            let probe = watch.probe();
            self.probing = Some(Box::pin(async move { probe.await.ok() }));
        }
    }

    /// Says what has changed, and asks for what is missing.
    async fn act(&mut self) {
        let (told, to_load) = self.what_follows();
        if !to_load.is_empty() {
            self.kept.load(to_load);
        }
        self.publish(told).await;
    }

    /// What is to be published, and whose choices are to be loaded.
    fn what_follows(&mut self) -> (Vec<Presence>, Vec<UserId>) {
        let mut state = lock(&self.state);
        let State { merge, ledger } = &mut *state;
        let now = now();
        let mut told = Vec::new();
        for user in merge.take_changed() {
            if let Some(shown) = merge.shown(&user) {
                told.extend(ledger.on_change(&user, shown, now));
            }
        }
        self.kept.note(merge.take_seen());
        (told, merge.take_to_load())
    }

    async fn publish(&mut self, told: Vec<Presence>) {
        for presence in told {
            self.number += 1;
            let source = format!("{} {}", self.boot, self.number);
            let subject = Subject::Status(presence.user.clone());
            let headers = [(WEFT_PRESENCE, source.as_str())];
            // The number counts though it did not go out: so watchers know that they miss one.
            if !self.connection.borrow().connected {
                continue;
            }
            if let Err(error) =
                self.bus.publish(&subject, &headers, presence.to_json().into()).await
            {
                tracing::debug!(%error, "a status was not published");
            } else {
                metrics::CHANGES.increment();
            }
        }
    }
}

/// True where the watch goes on; pending for ever where there is none.
async fn take(watch: Option<&mut UserWatch>, changes: &mut Vec<UserChange>) -> bool {
    match watch {
        Some(watch) => watch.take(changes, CHANGES_MAX).await,
        None => std::future::pending().await,
    }
}
