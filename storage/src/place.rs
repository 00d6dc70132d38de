//! A store by its name on a command line.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::embedded::Embedded;
use crate::{Error, Store};

/// What FoundationDB's part of the keyspace is called where nobody says.
const NAMESPACE: &str = "weft";

/// Which store: `embedded:<folder>` or `fdb:<cluster file>[#<namespace>]`.
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

impl FromStr for StorePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", folder)) if !folder.is_empty() => {
                Ok(Self::Embedded(PathBuf::from(folder)))
            }
            Some(("fdb", place)) if !place.is_empty() => {
                let (cluster, namespace) = place.rsplit_once('#').unwrap_or((place, NAMESPACE));
                Ok(Self::Fdb { cluster: cluster.into(), namespace: namespace.to_owned() })
            }
            _ => Err("a store is embedded:<folder> or fdb:<cluster file>".to_owned()),
        }
    }
}

/// A store, and what must live for as long as it. Keep it until everything that uses the store has
/// ended.
pub struct OpenStore {
    pub store: Store,
    _kept: Option<Box<dyn Any + Send>>,
}

impl StorePlace {
    /// Opens it.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process has an embedded store open; [`Error::Open`], also
    /// where this build has no FoundationDB.
    pub fn open(&self) -> Result<OpenStore, Error> {
        match self {
            Self::Embedded(folder) => {
                Ok(OpenStore { store: Store::new(Embedded::open(folder)?), _kept: None })
            }
            Self::Fdb { cluster, namespace } => open_fdb(cluster, namespace),
        }
    }

    /// A folder of this store's own on this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Embedded(folder) => Some(folder),
            Self::Fdb { .. } => None,
        }
    }
}

#[cfg(feature = "fdb")]
fn open_fdb(cluster: &Path, namespace: &str) -> Result<OpenStore, Error> {
    use crate::fdb::{Fdb, Namespace, Network};

    let namespace = Namespace::new(namespace)?;
    let network = Network::start()?;
    let store = Store::new(Fdb::open(&network, cluster, namespace)?);
    Ok(OpenStore { store, _kept: Some(Box::new(network)) })
}

#[cfg(not(feature = "fdb"))]
fn open_fdb(cluster: &Path, _namespace: &str) -> Result<OpenStore, Error> {
    Err(Error::Open(format!(
        "{}: this weft was built without FoundationDB; build it with `cargo build --release -p weft \
         --features fdb` (needs libclang and FoundationDB's client library, 7.3)",
        cluster.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_engine_and_place() {
        assert_eq!("embedded:/x/y".parse(), Ok(StorePlace::Embedded("/x/y".into())));
        for bad in ["", "embedded:", "/x/y", "redis:x", "fdb:"] {
            assert!(bad.parse::<StorePlace>().is_err(), "{bad}");
        }
    }

    #[cfg(not(feature = "fdb"))]
    #[test]
    fn without_foundationdb_it_is_said_how_to_build_it() {
        let place: StorePlace = "fdb:/etc/fdb.cluster".parse().expect("a place");
        let error = place.open().map(|_| ()).expect_err("not built in").to_string();
        assert!(error.contains("--features fdb"), "{error}");
    }

    #[test]
    fn a_cluster_is_named_by_its_file_and_perhaps_a_namespace() {
        let place = |namespace: &str| {
            let cluster = PathBuf::from("/etc/fdb.cluster");
            Ok(StorePlace::Fdb { cluster, namespace: namespace.to_owned() })
        };
        assert_eq!("fdb:/etc/fdb.cluster".parse(), place("weft"));
        assert_eq!("fdb:/etc/fdb.cluster#two".parse(), place("two"));
    }
}
