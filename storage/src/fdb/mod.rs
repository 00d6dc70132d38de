//! The engine for clusters: FoundationDB 7.3 or newer. Several processes may use one store.
//!
//! - All of a store's keys are below the prefix of its [`Namespace`].
//! - A position is the commit's versionstamp (10 bytes, given by the cluster) and the order
//!   inside of the commit. A recovery of the cluster jumps a hundred million versions: positions
//!   are an order, never a clock.
//! - A guard is a read with a conflict range as narrow as its key; nothing else conflicts.
//!   Snapshots read without conflict ranges, at one version.
//! - **Unknown outcomes.** The engine never commits a batch again after the cluster said "perhaps
//!   committed": it answers [`Error::Unknown`], and the caller reads the evidence that it put into
//!   the batch itself (the batch id in the row that is also guarded), as with every engine. A row
//!   of the engine's own would cost a write per commit and a sweep, to say the same. By the time
//!   of that answer the client library has made sure that the transaction is not underway any
//!   more (it waits until one that conflicts with it is committed), so what the evidence says is
//!   final. That is also why a commit that was sent has no time limit: giving up would leave it
//!   underway. Whoever drops the future leaves the outcome open.
//! - A snapshot lives for 5 s, the cluster's window of old versions. Later reads of it are
//!   [`Error::Unavailable`]; a new snapshot helps.
//! - While the cluster is away reads, and commits that were not sent yet, end with
//!   [`Error::Unavailable`] after 5 s. The client library finds the cluster again by itself.

mod commit;
mod failure;
mod keys;
mod network;
mod view;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foundationdb::options::TransactionOption;
use foundationdb::{Database, FdbResult, Transaction};
use tokio::time::timeout;

pub use self::keys::{NAMESPACE_BYTES_MAX, Namespace};
pub use self::network::Network;
use self::view::View;
use crate::batch::Batch;
use crate::engine::{Engine, Outcome, Snapshot};
use crate::error::Error;

/// How long the cluster may take for an answer before it counts as away. A recovery takes some
/// seconds; callers try again.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Fdb {
    database: Database,
    namespace: Namespace,
    /// Last: the thread runs for as long as something uses it.
    network: Network,
}

impl Fdb {
    /// A store in the cluster that this file names. Does not wait for the cluster.
    ///
    /// # Errors
    /// [`Error::Open`] where the file can't be read or names no cluster.
    pub fn open(network: &Network, cluster: &Path, namespace: Namespace) -> Result<Self, Error> {
        let cannot = |error: &dyn std::fmt::Display| {
            Error::Open(format!("{} (a FoundationDB cluster file): {error}", cluster.display()))
        };
        // The library would create what is missing, or wait for ever.
        std::fs::File::open(cluster).map_err(|error| cannot(&error))?;
        let path = cluster.to_str().ok_or_else(|| cannot(&"its path is not UTF-8"))?;
        let database = Database::from_path(path).map_err(|error| cannot(&error))?;
        Ok(Self { database, namespace, network: network.clone() })
    }

    fn transaction(&self) -> Result<Transaction, Error> {
        let transaction = self.database.create_trx().map_err(failure::describe)?;
        plain(&transaction).map_err(failure::describe)?;
        Ok(transaction)
    }
}

/// Sends operations as they come: no cache of own writes, which nobody reads here and which would
/// order operations anew.
fn plain(transaction: &Transaction) -> FdbResult<()> {
    transaction.set_option(TransactionOption::ReadYourWritesDisable)
}

/// The cluster's answer, if it comes in time.
async fn answered<T>(answer: impl Future<Output = FdbResult<T>>) -> Result<T, Error> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(failure::describe),
        Err(_) => Err(away()),
    }
}

fn away() -> Error {
    Error::Unavailable(format!("FoundationDB has not answered for {PATIENCE:?}"))
}

#[async_trait]
impl Engine for Fdb {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let transaction = self.transaction()?;
        let version = answered(transaction.get_read_version()).await?;
        let (namespace, network) = (self.namespace.clone(), self.network.clone());
        Ok(Arc::new(View::new(transaction, version, namespace, network)))
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        self.commit_batch(&batch).await
    }
}
