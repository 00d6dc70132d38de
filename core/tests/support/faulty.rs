//! A store whose commits can go wrong in each way that a real one's can.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use weft_storage::{Batch, Engine, Op, Outcome, Snapshot, Store};

/// How the next commit ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It happens, and nobody hears of it.
    DoneUnknown,
    /// It does not happen, and nobody hears of it.
    UndoneUnknown,
    /// The store is away.
    Unavailable,
    /// It has no room.
    Full,
}

/// A store whose commits fail as they are told to, and wait while the gate is closed.
#[derive(Clone)]
pub struct Faulty {
    pub inner: Store,
    pub faults: Arc<Mutex<VecDeque<Fault>>>,
    pub gate: watch::Sender<bool>,
    /// The newest commit that has begun.
    pub last: Arc<Mutex<Option<Batch>>>,
    /// How many commits have begun.
    pub commits: watch::Sender<u64>,
    /// How many snapshots were taken.
    pub snapshots: watch::Sender<u64>,
}

#[async_trait]
impl Engine for Faulty {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, weft_storage::Error> {
        let snapshot = self.inner.snapshot().await;
        self.snapshots.send_modify(|count| *count += 1);
        snapshot
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, weft_storage::Error> {
        self.commits.send_modify(|count| *count += 1);
        *self.last.lock().expect("last") = Some(batch.clone());
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
        if let Some(refused) = refused(&batch) {
            return Err(refused);
        }
        let fault = self.faults.lock().expect("faults").pop_front();
        let unknown = || weft_storage::Error::Unknown("on purpose".into());
        match fault {
            None => self.inner.commit(batch).await,
            Some(Fault::DoneUnknown) => {
                self.inner.commit(batch).await?;
                Err(unknown())
            }
            Some(Fault::UndoneUnknown) => Err(unknown()),
            Some(Fault::Unavailable) => Err(weft_storage::Error::Unavailable("on purpose".into())),
            Some(Fault::Full) => Err(weft_storage::Error::Full("on purpose".into())),
        }
    }
}

/// The text of an entry that no store takes.
pub const TOO_LARGE: &str = "too large for any store";

fn refused(batch: &Batch) -> Option<weft_storage::Error> {
    let is_too_large = |op: &Op| match op {
        Op::SetPositioned { value, .. } => {
            value.windows(TOO_LARGE.len()).any(|text| text == TOO_LARGE.as_bytes())
        }
        _ => false,
    };
    let (what, bytes_max) = ("value", weft_storage::limits::VALUE_BYTES_MAX);
    let error = weft_storage::Error::Limit { what, bytes: bytes_max + 1, bytes_max };
    batch.ops().iter().any(is_too_large).then_some(error)
}
