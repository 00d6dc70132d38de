//! The conformance suite and more, against a real FoundationDB.
//!
//! - `WEFT_FDB_CLUSTER` names a cluster file: everything but kills runs there, each test in a
//!   namespace of its own that is emptied afterwards.
//! - `WEFT_FDB_BIN` names a folder with `fdbserver` and `fdbcli` (7.3): a server of this test's own
//!   is started, runs everything where no cluster is given, and is killed.
//!
//! This test has its own `main`, because the library's network thread starts once per process and
//! must be stopped before its end, and so that it can say plainly what was not run. An argument
//! picks the tests whose names contain it.

mod kills;
mod moving;
mod promises;
mod server;
#[path = "../suite/mod.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Instant;

use tokio::runtime::Runtime;
use weft_storage::Store;
use weft_storage::fdb::{Fdb, Namespace, Network};
use weft_storage::limits::KEY_BYTES_MAX;
use weft_storage::memory::Memory;

use server::Server;
use suite::histories::{Subject, compare, history};
use suite::{b, batch};

/// Histories are short: each of their steps waits for the cluster, and a snapshot lives for 5 s.
const HISTORIES: u32 = 24;
const HISTORY_STEPS_MAX: usize = 16;

/// A cluster, and the one client of this process.
pub struct Cluster {
    /// Starts once.
    pub network: Network,
    /// What names the cluster.
    pub file: PathBuf,
}

impl Cluster {
    /// A handle of its own to the store in a namespace.
    pub fn open(&self, namespace: &Namespace) -> Store {
        let opened = Fdb::open(&self.network, &self.file, namespace.clone());
        Store::new(opened.expect("open"))
    }
}

/// A namespace that nobody has used.
pub fn fresh() -> Namespace {
    Namespace::new(&format!("test-{:016x}", rand::random::<u64>())).expect("name")
}

async fn empty(store: &Store) {
    let mut all = batch();
    all.clear_range(b(""), b([0xff; KEY_BYTES_MAX]));
    store.commit(all).await.expect("clear the namespace");
}

struct InCluster<'a> {
    cluster: &'a Cluster,
    namespace: Namespace,
    store: Store,
}

impl<'a> InCluster<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let namespace = fresh();
        let store = cluster.open(&namespace);
        Self { cluster, namespace, store }
    }
}

impl Subject for InCluster<'_> {
    fn store(&self) -> Store {
        self.store.clone()
    }

    fn reopen(&mut self) {
        self.store = self.cluster.open(&self.namespace);
    }
}

struct InMemory(Store);

impl Subject for InMemory {
    fn store(&self) -> Store {
        self.0.clone()
    }
}

fn random_histories_end_alike_in_the_cluster_and_in_memory(runtime: &Runtime, cluster: &Cluster) {
    let result = suite::runner(HISTORIES).run(&history(HISTORY_STEPS_MAX), |steps| {
        let (mut fdb, mut memory) = (InCluster::new(cluster), InMemory(Store::new(Memory::new())));
        runtime.block_on(async {
            compare(&mut fdb, &mut memory, &steps).await;
            empty(&fdb.store).await;
        });
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[derive(Default)]
struct Report {
    filter: String,
    passed: usize,
    failed: Vec<String>,
}

impl Report {
    /// The argument names this test, and no other.
    fn is_named(&self, name: &str) -> bool {
        self.filter == name
    }

    fn run(&mut self, name: &str, test: impl FnOnce()) {
        if !name.contains(&self.filter) {
            return;
        }
        let begun = Instant::now();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test fdb::{name} ... {word} ({:.1} s)", begun.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => self.passed += 1,
            Err(_) => self.failed.push(name.to_owned()),
        }
    }

    fn end(&self, not_run: &str) -> ExitCode {
        let Self { passed, failed, .. } = self;
        println!("\nfdb: {passed} passed, {} failed{not_run}", failed.len());
        for name in failed {
            println!("  FAILED {name}");
        }
        if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn run_on(cluster: &Cluster, runtime: &Runtime, report: &mut Report) {
    for (name, case) in suite::conformance!(list) {
        report.run(name, || {
            let store = cluster.open(&fresh());
            runtime.block_on(case(store.clone()));
            runtime.block_on(empty(&store));
        });
    }
    for (name, promise) in promises::ALL {
        report.run(name, || runtime.block_on(promise(cluster)));
    }
    moving::run(cluster, runtime, report);
    report.run("random_histories_end_alike_in_the_cluster_and_in_memory", || {
        random_histories_end_alike_in_the_cluster_and_in_memory(runtime, cluster);
    });
}

fn main() -> ExitCode {
    let cluster_file = std::env::var_os("WEFT_FDB_CLUSTER").map(PathBuf::from);
    let programs = std::env::var_os("WEFT_FDB_BIN").map(PathBuf::from);
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if cluster_file.is_none() && programs.is_none() {
        println!(
            "fdb: NOT RUN. Nothing was checked against FoundationDB: neither WEFT_FDB_CLUSTER (a \
             cluster file) nor WEFT_FDB_BIN (a folder with fdbserver and fdbcli) is set."
        );
        return ExitCode::SUCCESS;
    }
    let mut report = Report { filter: arguments.next().unwrap_or_default(), ..Report::default() };
    // The last to go: see `Network`.
    let network = Network::start().expect("network");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("runtime");
    let mut own = programs.as_deref().map(|programs: &Path| Server::start(programs));
    let file = cluster_file.or_else(|| own.as_ref().map(|own| own.file().to_owned()));
    let cluster = Cluster { network: network.clone(), file: file.expect("one of the two is set") };
    println!("fdb: running on {}", cluster.file.display());
    run_on(&cluster, &runtime, &mut report);
    let mut not_run = "; kills NOT RUN: WEFT_FDB_BIN is not set";
    if let Some(server) = &mut own {
        not_run = "";
        let cluster = Cluster { network, file: server.file().to_owned() };
        report.run("what_was_answered_survives_kills_and_nothing_happens_twice", || {
            runtime.block_on(kills::run(&cluster, server));
        });
    }
    report.end(not_run)
}

/// A promise of this engine alone.
pub type Promise = for<'a> fn(&'a Cluster) -> Pin<Box<dyn Future<Output = ()> + 'a>>;
