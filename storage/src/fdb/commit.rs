//! From a batch to a transaction, and the one loop that tries again.

use foundationdb::options::{ConflictRangeType, MutationType};
use foundationdb::{FdbResult, Transaction};
use tokio::time::{Instant, timeout_at};
use weft_proto::Position;

use super::{Fdb, PATIENCE, away, failure, plain};
use crate::batch::{Batch, Op, POSITION_BYTES};
use crate::engine::Outcome;
use crate::error::Error;

/// The commit's own part of a position: the cluster writes it over these bytes.
const VERSIONSTAMP: [u8; 10] = [0xff; 10];

impl Fdb {
    /// Tries until the batch is committed, a guard fails, or the outcome is unknown. It begins
    /// again only where the cluster said for sure that nothing was committed.
    pub(super) async fn commit_batch(&self, batch: &Batch) -> Result<Outcome, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut transaction = self.transaction()?;
        loop {
            let prepared = timeout_at(deadline, self.prepare(&transaction, batch)).await;
            let failed = match prepared.map_err(|_| away())? {
                Ok(Some(guard)) => return Ok(Outcome::Rejected { guard }),
                Ok(None) => {
                    let versionstamp = transaction.get_versionstamp();
                    match transaction.commit().await {
                        Ok(_committed) => {
                            let versionstamp = versionstamp.await.map_err(no_versionstamp)?;
                            return Ok(Outcome::Committed(position(&versionstamp)?));
                        }
                        Err(error) if error.is_maybe_committed() => {
                            return Err(failure::describe(*error));
                        }
                        Err(error) => {
                            let reason = *error;
                            (error.reset(), reason)
                        }
                    }
                }
                Err(error) => (transaction, error),
            };
            let (unfinished, error) = failed;
            if Instant::now() >= deadline {
                return Err(failure::describe(error));
            }
            // Waits a little, longer each time, where it makes sense to try again.
            let again = timeout_at(deadline, unfinished.on_error(error)).await;
            transaction = again.map_err(|_| away())?.map_err(failure::describe)?;
        }
    }

    /// Checks the guards, then adds the operations. The index of a guard that failed, if any.
    async fn prepare(&self, transaction: &Transaction, batch: &Batch) -> FdbResult<Option<usize>> {
        // An attempt before this one has reset it.
        plain(transaction)?;
        // Asked for here, where a time limit is harmless: the commit would ask too, without one.
        transaction.get_read_version().await?;
        let read = |key: &[u8]| transaction.get(&self.namespace.key(key), false);
        // All underway at one version; each is a conflict range of its own.
        let reads: Vec<_> = batch.guards().iter().map(|guard| read(&guard.key)).collect();
        let mut failed = None;
        for (index, (guard, read)) in batch.guards().iter().zip(reads).enumerate() {
            let value = read.await?;
            if value.as_deref() != guard.expected.as_deref() {
                failed = failed.or(Some(index));
            }
        }
        if failed.is_some() {
            return Ok(failed);
        }
        for op in batch.ops() {
            self.add(transaction, op);
        }
        // Else a batch without operations would get no place in commit order.
        let beside = self.namespace.beside();
        let end = [beside.as_slice(), b"\0"].concat();
        if batch.ops().iter().all(writes_nothing) {
            transaction.add_conflict_range(&beside, &end, ConflictRangeType::Write)?;
        }
        Ok(None)
    }

    fn add(&self, transaction: &Transaction, op: &Op) {
        let name = |key: &[u8]| self.namespace.key(key);
        match op {
            Op::Set { key, value } => transaction.set(&name(key), value),
            Op::Clear { key } => transaction.clear(&name(key)),
            // The library takes an inverted range for an error.
            op @ Op::ClearRange { .. } if writes_nothing(op) => {}
            Op::ClearRange { from, to } => transaction.clear_range(&name(from), &name(to)),
            Op::Max { key, value } => {
                transaction.atomic_op(&name(key), value, MutationType::ByteMax);
            }
            Op::SetPositioned { key, order, value } => {
                let value = with_versionstamp(&[], *order, value);
                transaction.atomic_op(&name(key), &value, MutationType::SetVersionstampedValue);
            }
            Op::SetAtPosition { prefix, order, value } => {
                let key = with_versionstamp(&name(prefix), *order, &[]);
                transaction.atomic_op(&key, value, MutationType::SetVersionstampedKey);
            }
        }
    }
}

fn writes_nothing(op: &Op) -> bool {
    matches!(op, Op::ClearRange { from, to } if from >= to)
}

/// Bytes with a position to be, and after them where it is, as the library wants it.
fn with_versionstamp(before: &[u8], order: u16, after: &[u8]) -> Vec<u8> {
    let offset = u32::try_from(before.len()).unwrap_or(u32::MAX).to_le_bytes();
    [before, &VERSIONSTAMP, &order.to_be_bytes(), after, &offset].concat()
}

fn position(versionstamp: &[u8]) -> Result<Position, Error> {
    let mut bytes = [0; POSITION_BYTES];
    let Some(own) = bytes.get_mut(..versionstamp.len()).filter(|own| own.len() == 10) else {
        let text = format!("committed, but its versionstamp has {} bytes", versionstamp.len());
        return Err(Error::Unknown(text));
    };
    own.copy_from_slice(versionstamp);
    Ok(Position(bytes))
}

/// Committed, but where is not known: the evidence tells.
fn no_versionstamp(error: foundationdb::FdbError) -> Error {
    Error::Unknown(format!("committed, but at which position is not known: {error}"))
}
