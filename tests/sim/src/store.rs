//! The store as one life of a node sees it: the reference model, with calls that fail, hang, or
//! leave their outcome open.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use weft_proto::Position;
use weft_storage::tables::{applied, journal};
use weft_storage::{Batch, Engine, Error, Op, Outcome, Snapshot, engine::Pair};

use super::config::{Fault, Removed};
use super::life::Life;
use super::world::World;

#[derive(Clone)]
pub struct SimStore {
    pub life: Arc<Life>,
}

fn unavailable() -> Error {
    Error::Unavailable("on purpose".into())
}

fn unknown() -> Error {
    Error::Unknown("on purpose".into())
}

impl SimStore {
    /// The moment in which a commit happens, or is rejected.
    fn land(&self, batch: &Batch) -> Outcome {
        let world = &self.life.world;
        let batch = match world.config.removed {
            Some(Removed::RowGuard) => &without_guard(batch, &applied::key(0)),
            _ => batch,
        };
        let outcome = now(world.memory.commit(batch.clone()));
        if let Outcome::Committed(position) = outcome {
            let snapshot = now(world.memory.snapshot());
            let mut check = world.check.lock().expect("check");
            let judged = check.committed(&self.life, batch, position, &*snapshot);
            drop(check);
            if let Err(violation) = judged {
                world.violate(violation);
            }
        } else {
            world.say(format_args!("{} is rejected", self.life.name));
        }
        outcome
    }

    async fn land_later(self, batch: Batch, delay_ms: u64) -> Outcome {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        self.land(&batch)
    }

    /// A commit whose outcome the caller does not learn, or learns wrongly.
    fn land_unheard(&self, batch: Batch) -> Result<Outcome, Error> {
        let world = &self.life.world;
        let fate = world.below(5);
        world.say(format_args!("{} loses sight of its commit ({fate})", self.life.name));
        match fate {
            0 | 1 => {
                self.land(&batch);
            }
            2 => {}
            3 => {
                let delay_ms = world.below(4_000);
                tokio::spawn(self.clone().land_later(batch, delay_ms));
            }
            // An engine that tries again by itself is rejected by its own first attempt.
            _ => {
                self.land(&batch);
                return Ok(self.land(&batch));
            }
        }
        Err(unknown())
    }
}

/// The model answers at once.
pub fn now<T>(answer: impl Future<Output = Result<T, Error>>) -> T {
    answer.now_or_never().expect("the model never waits").expect("the model never fails")
}

fn without_guard(batch: &Batch, key: &Bytes) -> Batch {
    let mut without = Batch::new(batch.id());
    for guard in batch.guards().iter().filter(|guard| guard.key != *key) {
        without.guard(guard.key.clone(), guard.expected.clone());
    }
    for op in batch.ops().iter().cloned() {
        match op {
            Op::Set { key, value } => without.set(key, value),
            Op::Clear { key } => without.clear(key),
            Op::ClearRange { from, to } => without.clear_range(from, to),
            Op::Max { key, value } => without.max(key, value),
            Op::SetPositioned { key, order, value } => without.set_positioned(key, order, value),
            Op::SetAtPosition { prefix, order, value } => {
                without.set_at_position(prefix, order, value);
            }
        }
    }
    without
}

#[async_trait]
impl Engine for SimStore {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let view = View { life: Arc::clone(&self.life), inner: None };
        view.ask().await?;
        let inner = Some(self.life.world.memory.snapshot().await?);
        Ok(Arc::new(View { inner, ..view }))
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let world = &self.life.world;
        self.life.step().await;
        if world.is_store_away() || world.hit(Fault::StoreAway) {
            return Err(unavailable());
        }
        let outcome = if world.hit(Fault::Unknown) {
            self.land_unheard(batch)
        } else if world.has(Fault::Slow) && world.below(2) == 0 {
            // On its way it happens, whatever becomes of the caller.
            let delay_ms = if world.below(8) == 0 { world.below(3_000) } else { world.below(30) };
            let landing = tokio::spawn(self.clone().land_later(batch, delay_ms));
            landing.await.map_err(|_| unknown())
        } else {
            Ok(self.land(&batch))
        };
        self.life.step().await;
        outcome
    }
}

struct View {
    life: Arc<Life>,
    inner: Option<Arc<dyn Snapshot>>,
}

impl View {
    async fn ask(&self) -> Result<(), Error> {
        self.life.step().await;
        let is_away = self.world().is_store_away() || self.world().hit(Fault::StoreAway);
        if is_away { Err(unavailable()) } else { Ok(()) }
    }

    fn world(&self) -> &World {
        &self.life.world
    }

    fn inner(&self) -> &dyn Snapshot {
        &**self.inner.as_ref().expect("opened")
    }
}

#[async_trait]
impl Snapshot for View {
    fn read_version(&self) -> Position {
        self.inner().read_version()
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        self.ask().await?;
        self.inner().get(key).await
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        self.ask().await?;
        self.inner().get_many(keys).await
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        self.ask().await?;
        let is_journal = journal::commit_no(&range.start).is_ok();
        if is_journal && self.world().config.removed == Some(Removed::Republish) {
            return Ok(Vec::new());
        }
        self.inner().scan(range, limit, reverse).await
    }
}
