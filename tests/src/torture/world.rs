//! The processes and links of a torture run, what is being done to them, and whoever ends by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::away::PUSH_ARGS;
use super::outage::{CutOff, Span};
use super::schedule::{FILES, PUSHES, Planned, SEARCH, Shape};
use weft_harness::cluster::OlderCopy;
use weft_harness::history::Recorder;
use weft_harness::proxy::{Kind, Proxy};
use weft_harness::system::{Engine, Options, System};
use weft_runtime::lock;

/// One may be away while the other has to do its duty.
const PRESENCES: usize = 2;
/// How often processes are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// How long a service manager waits before it starts again what has ended.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Everything that can be broken.
#[derive(Debug)]
pub(super) struct World {
    pub(super) system: System,
    pub(super) shape: Shape,
    pub(super) engine: Engine,
    pub(super) recorder: Recorder,
    pub(super) client_links: Vec<Proxy>,
    /// What lies between clients and the files node.
    pub(super) files_link: Proxy,
    /// An orderly end may take longer than planned: one fault of a process at a time.
    turns: BTreeMap<String, tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// Processes that a fault has ended.
    down: BTreeSet<String>,
    faults: Vec<Done>,
    exits: Vec<String>,
    findings: Vec<String>,
    copies: BTreeMap<String, OlderCopy>,
}

/// A fault that was made.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) planned: Planned,
    pub(super) from: Duration,
    /// `None`: it is not over.
    pub(super) to: Option<Duration>,
}

impl World {
    pub(super) async fn start(recorder: Recorder, torture: &super::Options) -> Result<Arc<Self>> {
        let rates = ["--accounts-per-s", "10000", "--accounts-burst", "10000"];
        let servers = if torture.cluster { 3 } else { 1 };
        let (store, cores) = (torture.store, torture.cores);
        let options = Options { store, cores, nats_servers: servers, ..Options::default() };
        let options = Options { proxied: true, presences: PRESENCES, searches: 1, ..options };
        let push_args = PUSH_ARGS.map(str::to_owned).to_vec();
        let options = Options { pushes: PUSHES, push_args, ..options };
        let mut options = options.edge(&rates);
        options.core_args.extend(torture.core_args.clone());
        options.edge_args.extend(torture.edge_args.clone());
        let mut system = System::split(options.clone()).await?;
        let files = system.add_files(&options).await?;
        let files_link = Proxy::start(files, Kind::Tcp).await?;
        let mut client_links = Vec::new();
        for edge in system.edges() {
            client_links.push(Proxy::start(*edge, Kind::Tcp).await?);
        }
        let fdb = store == Engine::Fdb;
        let edges = client_links.len();
        let shape = Shape { edges, cores, presences: PRESENCES, fdb, servers };
        let (turns, state) = (BTreeMap::new(), Mutex::default());
        let mut world =
            Self { system, shape, engine: store, recorder, client_links, files_link, turns, state };
        world.turns = world.parts().into_iter().map(|part| (part, Default::default())).collect();
        Ok(Arc::new(world))
    }

    /// Waits until nothing else is done to a process.
    pub(super) async fn turn(&self, part: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.turns.get(part) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    /// Where clients connect: through the proxies, `first` first.
    pub(super) fn doors(&self, first: usize) -> Vec<SocketAddr> {
        let mut doors: Vec<SocketAddr> = self.client_links.iter().map(Proxy::addr).collect();
        let by = first % doors.len();
        doors.rotate_left(by);
        doors
    }

    pub(super) fn parts(&self) -> Vec<String> {
        let edges = (0..self.shape.edges).map(|i| format!("edge-{i}"));
        let mut parts = self.system.server_names();
        parts.extend_from_slice(self.system.core_names());
        parts.extend(edges);
        parts.extend((0..self.shape.presences).map(|i| format!("presence-{i}")));
        parts.extend((0..PUSHES).map(|i| format!("push-{i}")));
        parts.extend([SEARCH, FILES].map(str::to_owned));
        parts.extend(self.shape.fdb.then(|| "fdb".to_owned()));
        parts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// From now on the process may be down.
    pub(super) fn takes_down(&self, part: &str) {
        self.state().down.insert(part.to_owned());
    }

    /// From now on the process must run.
    pub(super) fn brings_up(&self, part: &str) {
        self.state().down.remove(part);
    }

    pub(super) fn found(&self, what: String) {
        eprintln!("{:9.3} found: {what}", self.recorder.now().as_secs_f64());
        self.state().findings.push(what);
    }

    pub(super) fn take_findings(&self) -> Vec<String> {
        std::mem::take(&mut self.state().findings)
    }

    pub(super) fn exits(&self) -> Vec<String> {
        self.state().exits.clone()
    }

    pub(super) fn faults(&self) -> Vec<Done> {
        self.state().faults.clone()
    }

    pub(super) fn copy(&self, server: &str) -> Option<OlderCopy> {
        self.state().copies.get(server).cloned()
    }

    pub(super) fn keep_copy(&self, server: &str, copy: OlderCopy) -> Option<OlderCopy> {
        self.state().copies.insert(server.to_owned(), copy)
    }

    pub(super) fn forget_copy(&self, copy: Option<OlderCopy>) {
        if let Some(Err(error)) = copy.map(OlderCopy::remove) {
            eprintln!("an old copy stays: {error:#}");
        }
    }

    pub(super) fn fault_begins(&self, planned: Planned) -> usize {
        let from = self.recorder.now();
        let mut state = self.state();
        state.faults.push(Done { planned, from, to: None });
        state.faults.len() - 1
    }

    pub(super) fn fault_ends(&self, number: usize) {
        let now = self.recorder.now();
        if let Some(fault) = self.state().faults.get_mut(number) {
            fault.to = Some(now);
        }
    }

    /// What kept senders from being answered.
    pub(super) fn cut_offs(&self) -> Vec<CutOff> {
        let now = self.recorder.now();
        let faults = self.faults().into_iter();
        let cut_off = |done: Done| CutOff {
            span: Span { from: done.from, to: done.to.unwrap_or(now) },
            edges: done.planned.cuts_off(self.shape),
        };
        faults.map(cut_off).filter(|cut_off| cut_off.edges != 0).collect()
    }

    /// Starts what has ended by itself again, as a service manager would, and writes it down.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            sleep(WATCH_EVERY).await;
            for part in self.parts() {
                let process = self.system.process(&part);
                if self.state().down.contains(&part) {
                    continue;
                }
                let Some(status) = process.reap() else { continue };
                let output = process.output();
                let last = output.lines().last().unwrap_or_default();
                let at = self.recorder.now().as_secs_f64();
                let exit = format!("{at:.3} {part} ended by itself: {status}: {last}");
                eprintln!("{exit}");
                self.state().exits.push(exit);
                sleep(START_AGAIN_AFTER).await;
                if !self.state().down.contains(&part)
                    && let Err(error) = process.restart()
                {
                    self.found(format!("{part} can't be started again: {error:#}"));
                }
            }
        }
    }
}
