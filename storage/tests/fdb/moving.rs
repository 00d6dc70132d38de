//! Exports and imports, between the cluster and memory.

use std::cell::RefCell;

use tokio::runtime::Runtime;
use weft_storage::Store;
use weft_storage::fdb::Namespace;
use weft_storage::memory::Memory;

use super::suite::moving::{everything_moves, interrupted, large, running};
use super::suite::seed;
use super::{Cluster, Report, empty, fresh};

/// Runs only where it is named: it takes minutes.
const LARGE: &str = "a_million_entries_move_in_bounded_memory";

fn memory() -> Store {
    Store::new(Memory::new())
}

/// Stores in the cluster; all are emptied in the end.
struct Places<'a> {
    cluster: &'a Cluster,
    made: RefCell<Vec<Namespace>>,
}

impl Places<'_> {
    fn make(&self) -> (Store, Namespace) {
        let namespace = fresh();
        self.made.borrow_mut().push(namespace.clone());
        (self.cluster.open(&namespace), namespace)
    }

    fn store(&self) -> Store {
        self.make().0
    }
}

async fn whole(places: &Places<'_>) {
    everything_moves(memory(), places.store(), memory(), seed()).await;
    everything_moves(places.store(), memory(), places.store(), seed()).await;
}

async fn in_use(places: &Places<'_>) {
    running::each_room_is_whole(places.store(), places.store(), seed()).await;
}

async fn goes_on(places: &Places<'_>) {
    let open = async || places.make();
    let reopen = async |_, namespace: &Namespace| places.cluster.open(namespace);
    interrupted::goes_on(memory(), open, reopen, seed()).await;
}

async fn a_million(places: &Places<'_>) {
    let ((_, source), (_, target)) = (places.make(), places.make());
    let open = |namespace: &Namespace| places.cluster.open(namespace);
    large::a_million_entries_move(async || open(&source), async || open(&target)).await;
}

pub fn run(cluster: &Cluster, runtime: &Runtime, report: &mut Report) {
    let with_places = |promise: &dyn Fn(&Places<'_>)| {
        let places = Places { cluster, made: RefCell::default() };
        promise(&places);
        for namespace in places.made.take() {
            runtime.block_on(empty(&cluster.open(&namespace)));
        }
    };
    report.run("what_is_exported_is_imported_whole", || {
        with_places(&|places| runtime.block_on(whole(places)));
    });
    report.run("a_store_that_is_in_use_gives_whole_rooms", || {
        with_places(&|places| runtime.block_on(in_use(places)));
    });
    report.run("an_import_goes_on_where_it_was_interrupted", || {
        with_places(&|places| runtime.block_on(goes_on(places)));
    });
    if report.is_named(LARGE) {
        report.run(LARGE, || with_places(&|places| runtime.block_on(a_million(places))));
    }
}
