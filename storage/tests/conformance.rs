//! The conformance suite on the engines of this build, and random histories between them.

mod suite;

use tempfile::TempDir;
use weft_storage::Store;
use weft_storage::embedded::{Embedded, Options};
use weft_storage::memory::Memory;

use suite::histories::{Subject, compare, history};

mod memory {
    use super::{Memory, Store, suite};

    suite::conformance!((Store::new(Memory::new()), ()));
}

mod embedded {
    use super::{Embedded, Store, TempDir, suite};

    fn open() -> (Store, TempDir) {
        let folder = TempDir::new().expect("folder");
        (Store::new(Embedded::open(folder.path()).expect("open")), folder)
    }

    suite::conformance!(open());
}

struct InMemory(Store);

impl Subject for InMemory {
    fn store(&self) -> Store {
        self.0.clone()
    }
}

struct OnDisk {
    store: Option<Store>,
    folder: TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let mut new = Self { store: None, folder: TempDir::new().expect("folder") };
        new.reopen();
        new
    }
}

impl Subject for OnDisk {
    fn store(&self) -> Store {
        self.store.clone().expect("open")
    }

    fn reopen(&mut self) {
        self.store = None;
        // Nearly every range is swept later, and tables are written all the time.
        let options =
            Options { clear_now_keys_max: 2, memtable_bytes: 4_096, ..Options::default() };
        let embedded = Embedded::open_with(self.folder.path(), options).expect("open");
        self.store = Some(Store::new(embedded));
    }
}

#[test]
fn random_histories_end_alike_on_disk_and_in_memory() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("runtime");
    let result = suite::runner(48).run(&history(60), |steps| {
        let (mut disk, mut memory) = (OnDisk::new(), InMemory(Store::new(Memory::new())));
        runtime.block_on(compare(&mut disk, &mut memory, &steps));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
