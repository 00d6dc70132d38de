//! Which store a process uses: `--store`.

use std::any::Any;
use std::path::{Path, PathBuf};

use weft_storage::Store;
use weft_storage::embedded::Embedded;

use crate::error::Error;
use crate::process::until_free;

/// What FoundationDB's part of the keyspace is called where nobody says.
const NAMESPACE: &str = "weft";

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// On disk, for one process.
    Embedded(PathBuf),
    /// In a cluster, for many.
    Fdb {
        /// What names the cluster.
        cluster: PathBuf,
        /// Whose part of its keyspace.
        namespace: String,
    },
}

/// Reads `embedded:<folder>` or `fdb:<cluster file>[#<namespace>]`.
pub fn store_place(text: &str) -> Result<StorePlace, String> {
    match text.split_once(':') {
        Some(("embedded", folder)) if !folder.is_empty() => {
            Ok(StorePlace::Embedded(PathBuf::from(folder)))
        }
        Some(("fdb", place)) if !place.is_empty() => {
            let (cluster, namespace) = place.rsplit_once('#').unwrap_or((place, NAMESPACE));
            Ok(StorePlace::Fdb { cluster: cluster.into(), namespace: namespace.to_owned() })
        }
        _ => Err("a store is embedded:<folder> or fdb:<cluster file>".to_owned()),
    }
}

/// A store, and what must live for as long as it. Keep it until everything that uses the store has
/// ended.
pub struct OpenStore {
    /// The store.
    pub store: Store,
    _kept: Option<Box<dyn Any + Send>>,
}

impl StorePlace {
    /// Opens it. An embedded store that another process holds is waited for, for a second.
    pub fn open(&self) -> Result<OpenStore, Error> {
        match self {
            Self::Embedded(folder) => {
                let in_use =
                    |error: &weft_storage::Error| matches!(error, weft_storage::Error::Locked(_));
                let store = Store::new(until_free(|| Embedded::open(folder), in_use)?);
                Ok(OpenStore { store, _kept: None })
            }
            Self::Fdb { cluster, namespace } => open_fdb(cluster, namespace),
        }
    }

    /// A folder of this store's own on this machine.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Embedded(folder) => Some(folder),
            Self::Fdb { .. } => None,
        }
    }
}

#[cfg(feature = "fdb")]
fn open_fdb(cluster: &Path, namespace: &str) -> Result<OpenStore, Error> {
    use weft_storage::fdb::{Fdb, Namespace, Network};

    let namespace = Namespace::new(namespace)?;
    let network = Network::start()?;
    let store = Store::new(Fdb::open(&network, cluster, namespace)?);
    Ok(OpenStore { store, _kept: Some(Box::new(network)) })
}

#[cfg(not(feature = "fdb"))]
fn open_fdb(_cluster: &Path, _namespace: &str) -> Result<OpenStore, Error> {
    let how = "this weft was built without FoundationDB; build it with `cargo build --release -p \
               weft --features fdb` (needs libclang and FoundationDB's client library, 7.3)";
    Err(Error::Failed(how.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_engine_and_place() {
        assert_eq!(store_place("embedded:/x/y"), Ok(StorePlace::Embedded("/x/y".into())));
        for bad in ["", "embedded:", "/x/y", "redis:x"] {
            assert!(store_place(bad).is_err(), "{bad}");
        }
    }

    #[cfg(not(feature = "fdb"))]
    #[test]
    fn without_foundationdb_it_is_said_how_to_build_it() {
        let place = store_place("fdb:/etc/fdb.cluster").expect("a place");
        let error = place.open().map(|_| ()).expect_err("not built in").one_line();
        assert!(error.contains("--features fdb"), "{error}");
    }

    #[test]
    fn a_cluster_is_named_by_its_file_and_perhaps_a_namespace() {
        let place = |namespace: &str| {
            let cluster = PathBuf::from("/etc/fdb.cluster");
            Ok(StorePlace::Fdb { cluster, namespace: namespace.to_owned() })
        };
        assert_eq!(store_place("fdb:/etc/fdb.cluster"), place("weft"));
        assert_eq!(store_place("fdb:/etc/fdb.cluster#two"), place("two"));
        assert!(store_place("fdb:").is_err());
    }
}
