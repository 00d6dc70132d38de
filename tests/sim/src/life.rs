//! One life of a node: from its start to its crash or end. Everything that its worker asks of the
//! world passes [`Life::step`], where it can be slow, stop, or die.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use weft_storage::BatchId;

use super::config::{Fault, Removed};
use super::world::World;

pub struct Life {
    pub world: Arc<World>,
    /// Its place among all lives, from 1.
    pub number: u32,
    pub name: String,
    /// Cancelled when it crashes.
    pub dead: CancellationToken,
    /// Steps until it dies.
    steps_left: AtomicU64,
    /// How far its clock is ahead of everybody's.
    pub skew_ms: AtomicI64,
    frozen_until: Mutex<Instant>,
}

impl Life {
    pub fn new(world: &Arc<World>, name: &str) -> Arc<Self> {
        let number = world.check.lock().expect("check").new_life();
        let steps_left = if world.hit(Fault::Crash) { 1 + world.below(120) } else { u64::MAX };
        let skew_ms = if world.has(Fault::ClockSkew) { world.some_skew_ms() } else { 0 };
        Arc::new(Self {
            world: Arc::clone(world),
            number,
            name: format!("{name}.{number}"),
            dead: CancellationToken::new(),
            steps_left: AtomicU64::new(steps_left),
            skew_ms: AtomicI64::new(skew_ms),
            frozen_until: Mutex::new(Instant::now()),
        })
    }

    /// It dies at one of its next steps.
    pub fn doom(&self) {
        self.steps_left.fetch_min(self.world.below(12), Ordering::SeqCst);
    }

    pub fn set_clock(&self) {
        let skew_ms = self.world.some_skew_ms();
        self.skew_ms.store(skew_ms, Ordering::SeqCst);
        self.world.say(format_args!("the clock of {} is {skew_ms} ms ahead", self.name));
    }

    pub fn freeze(&self, for_ms: u64) {
        let until = Instant::now() + Duration::from_millis(for_ms);
        *self.frozen_until.lock().expect("frozen") = until;
        self.world.say(format_args!("{} stops for {for_ms} ms", self.name));
    }

    /// Between any two steps it may be slow, stop, or die.
    pub async fn step(&self) {
        let left = self.steps_left.load(Ordering::SeqCst);
        if left == 0 && !self.dead.is_cancelled() {
            self.world.say(format_args!("{} crashes", self.name));
            self.dead.cancel();
        }
        if self.dead.is_cancelled() || !self.world.may_step() {
            std::future::pending::<()>().await;
        }
        if left != u64::MAX {
            self.steps_left.store(left - 1, Ordering::SeqCst);
        }
        loop {
            let until = *self.frozen_until.lock().expect("frozen");
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
        self.world.take_time().await;
    }

    /// Batch ids say whose they are; unless the rule that tells them apart is taken out.
    pub fn batch_ids(&self) -> Box<dyn FnMut() -> BatchId + Send> {
        let is_one = self.world.config.removed == Some(Removed::BatchId);
        let (life, mut count) = (self.number, 0_u32);
        Box::new(move || {
            count += 1;
            let mut id = [0; 16];
            if !is_one {
                id[..4].copy_from_slice(&life.to_be_bytes());
                id[4..8].copy_from_slice(&count.to_be_bytes());
            }
            id
        })
    }
}
