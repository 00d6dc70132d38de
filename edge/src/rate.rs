//! Rates: GCRA by `governor`, for one caller or for a bounded table of them, each request at its cost.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Mutex;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::{Instant, sleep};
use weft_proto::{ApiError, ErrorCode};
use weft_runtime::lock;

/// A full table is searched for forgotten callers at most so often.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// Faster is not counted: `governor` counts whole nanoseconds.
const PER_SECOND_MAX: u32 = 1_000_000;

/// A rate per second in the long run, and a burst at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// On the long run. At least 1, and at most 1,000,000.
    pub per_second: u32,
    /// At once, after a pause. At least 1.
    pub burst: u32,
}

impl Rate {
    fn quota(self) -> Quota {
        let per_second = self.per_second.min(PER_SECOND_MAX);
        Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(self.burst))
    }

    /// What costs more than a burst holds would never pass: it takes all of one.
    fn units(self, cost: u32) -> NonZeroU32 {
        at_least_one(cost.min(self.burst))
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// Tokio's clock, so that tests can move it.
#[derive(Clone, Copy, Default, Debug)]
struct TokioClock;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct At(Instant);

impl Add<Nanos> for At {
    type Output = Self;

    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for At {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

impl Clock for TokioClock {
    type Instant = At;

    fn now(&self) -> At {
        At(Instant::now())
    }
}

type Limiter<K, S> = RateLimiter<K, S, TokioClock, NoOpMiddleware<At>>;

/// One caller's rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    limiter: Limiter<NotKeyed, InMemoryState>,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        let limiter = RateLimiter::direct_with_clock(rate.quota(), TokioClock);
        Self { rate, limiter }
    }

    /// Takes what something costs, or says how long to wait for it. A cost of 0 is 1.
    pub(crate) fn take(&self, cost: u32) -> Result<(), Duration> {
        match self.limiter.check_n(self.rate.units(cost)) {
            Ok(Err(not_until)) => Err(not_until.wait_time_from(TokioClock.now())),
            // Nothing costs more than the burst.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Waits until it has what something costs; nothing for 0.
    pub(crate) async fn pay(&self, cost: u32) {
        if cost == 0 {
            return;
        }
        while let Err(wait) = self.take(cost) {
            sleep(wait).await;
        }
    }
}

/// A rate for each caller, in a bounded table. Where that is full of callers who came just now, those
/// who are not served by their own share one more.
pub(crate) struct PerCaller<K: Clone + Eq + Hash> {
    rate: Rate,
    callers_max: usize,
    limiter: Limiter<K, HashMapStateStore<K>>,
    others: Bucket,
    swept_at: Mutex<Option<Instant>>,
}

impl<K: Clone + Eq + Hash> PerCaller<K> {
    pub(crate) fn new(rate: Rate, callers_max: usize) -> Self {
        let limiter = RateLimiter::new(rate.quota(), HashMapStateStore::default(), TokioClock);
        let (others, swept_at) = (Bucket::new(rate), Mutex::default());
        Self { rate, callers_max, limiter, others, swept_at }
    }

    /// Takes what something costs a caller, or says how long to wait for it.
    pub(crate) fn take(&self, caller: &K, cost: u32) -> Result<(), Duration> {
        if self.is_full() {
            return self.others.take(cost);
        }
        match self.limiter.check_key_n(caller, self.rate.units(cost)) {
            Ok(Err(not_until)) => Err(not_until.wait_time_from(TokioClock.now())),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    /// Waits until the caller has what something costs, if that is not longer than `patience`.
    pub(crate) async fn pay(
        &self,
        caller: &K,
        cost: u32,
        patience: Duration,
    ) -> Result<(), Duration> {
        if cost == 0 {
            return Ok(());
        }
        let late_at = Instant::now() + patience;
        while let Err(wait) = self.take(caller, cost) {
            if Instant::now() + wait > late_at {
                return Err(wait);
            }
            sleep(wait).await;
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        if self.limiter.len() < self.callers_max {
            return false;
        }
        let now = Instant::now();
        let mut swept_at = lock(&self.swept_at);
        if swept_at.is_none_or(|at| now >= at + SWEEP_PAUSE) {
            *swept_at = Some(now);
            self.limiter.retain_recent();
        }
        self.limiter.len() >= self.callers_max
    }
}

/// The error for a rate that is used up.
pub(crate) fn rate_limited(message: &str, wait: Duration) -> ApiError {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    ApiError::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms)
}

/// Lets whoever is refused come back after 1 to 5 s, each at another time: they were refused because
/// too many came together.
pub(crate) fn come_back_later(error: ApiError) -> ApiError {
    error.retry_after_ms(rand::random_range(1_000..5_000))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use std::net::IpAddr;

    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_the_rate_holds() {
        let bucket = Bucket::new(RATE);
        for _ in 0..3 {
            bucket.take(1).expect("burst");
        }
        let wait = bucket.take(1).expect_err("used up");
        assert_eq!(wait, Duration::from_millis(100));
        advance(wait).await;
        bucket.take(1).expect("after the wait");
        bucket.take(1).expect_err("one alone");
        advance(Duration::from_secs(60)).await;
        for _ in 0..3 {
            bucket.take(1).expect("a full burst, not more");
        }
        bucket.take(1).expect_err("not more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_more_takes_more_and_never_too_much_to_pass() {
        let bucket = Bucket::new(RATE);
        bucket.take(2).expect("fits");
        assert_eq!(bucket.take(2).expect_err("one is left"), Duration::from_millis(100));
        bucket.take(1).expect("one is left");
        let began = Instant::now();
        bucket.pay(1_000).await;
        assert_eq!(began.elapsed().as_millis(), 300);
        bucket.pay(0).await;
        assert_eq!(began.elapsed().as_millis(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_callers_is_bounded() {
        let table = PerCaller::new(RATE, 2);
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        table.take(&address(1), 3).expect("first");
        table.take(&address(2), 3).expect("second");
        // The others have one rate together.
        table.take(&address(3), 2).expect("all others");
        table.take(&address(4), 2).expect_err("all others");
        assert_eq!(table.limiter.len(), 2);
        // Whose rate is as good as new is forgotten.
        advance(Duration::from_secs(2)).await;
        table.take(&address(3), 3).expect("a place again");
        table.take(&address(4), 3).expect("a place again");
        assert_eq!(table.limiter.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_within_the_patience_or_not_at_all() {
        let table = PerCaller::new(RATE, 10);
        let began = Instant::now();
        for _ in 0..3 {
            table.pay(&"alice", 3, Duration::from_millis(400)).await.expect("in time");
        }
        assert_eq!(began.elapsed().as_millis(), 600);
        table.pay(&"alice", 3, Duration::from_millis(200)).await.expect_err("not in time");
        assert_eq!(began.elapsed().as_millis(), 600);
    }
}
