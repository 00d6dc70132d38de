//! Rate limits: a leaky bucket that is one instant, and a bounded table of them per address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::{ApiError, ErrorCode};

/// So many per second on the long run, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// On the long run. At least 1.
    pub per_second: u32,
    /// At once, after a pause. At least 1.
    pub burst: u32,
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// How far one caller is ahead of its rate (GCRA): the instant at which the bucket is empty.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Bucket {
    empty_at: Option<Instant>,
}

impl Bucket {
    /// Takes one, or says how long to wait for it.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let full = rate.interval() * rate.burst.max(1);
        let empty_at = self.empty_at.map_or(now, |at| at.max(now)) + rate.interval();
        let level = empty_at - now;
        if level > full {
            return Err(level - full);
        }
        self.empty_at = Some(empty_at);
        Ok(())
    }

    fn is_empty(&self, now: Instant) -> bool {
        self.empty_at.is_none_or(|at| at <= now)
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

/// One bucket per client address. An IPv6 client owns its /64.
#[derive(Debug)]
pub(crate) struct PerAddress {
    rate: Rate,
    addresses_max: usize,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl PerAddress {
    pub(crate) fn new(rate: Rate, addresses_max: usize) -> Self {
        Self { rate, addresses_max, buckets: Mutex::default() }
    }

    /// Takes one for this address.
    ///
    /// # Errors
    /// `rate_limited`, also for a new address where the table is full.
    pub(crate) fn take(&self, address: IpAddr, now: Instant) -> Result<(), ApiError> {
        let address = network(address);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.addresses_max && !buckets.contains_key(&address) {
            buckets.retain(|_, bucket| !bucket.is_empty(now));
            if buckets.len() >= self.addresses_max {
                return Err(rate_limited("too many callers", Duration::from_secs(1)));
            }
        }
        let taken = buckets.entry(address).or_default().take(self.rate, now);
        taken.map_err(|wait| rate_limited("too many requests from this address", wait))
    }
}

/// What one client owns: an IPv4 address, or the first 64 bits of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_then_the_rate_holds() {
        let mut bucket = Bucket::default();
        let start = Instant::now();
        for _ in 0..3 {
            bucket.take(RATE, start).expect("burst");
        }
        let wait = bucket.take(RATE, start).expect_err("used up");
        assert_eq!(wait, Duration::from_millis(100));
        bucket.take(RATE, start + wait).expect("after the wait");
        bucket.take(RATE, start + wait).expect_err("one alone");
        for _ in 0..3 {
            bucket.take(RATE, start + Duration::from_secs(60)).expect("a full burst, not more");
        }
        bucket.take(RATE, start + Duration::from_secs(60)).expect_err("not more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_addresses_is_bounded() {
        let table = PerAddress::new(RATE, 2);
        let now = Instant::now();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        table.take(address(1), now).expect("first");
        table.take(address(2), now).expect("second");
        assert_eq!(table.take(address(3), now).expect_err("full").code, ErrorCode::RateLimited);
        table.take(address(1), now).expect("known");
        // Whose bucket is empty is forgotten.
        table.take(address(3), now + Duration::from_secs(1)).expect("room again");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_client_owns_its_network() {
        let table = PerAddress::new(Rate { per_second: 1, burst: 1 }, 10);
        let now = Instant::now();
        table.take("2001:db8::1".parse().expect("ip"), now).expect("first");
        table.take("2001:db8::2".parse().expect("ip"), now).expect_err("the same client");
        table.take("2001:db8:0:1::2".parse().expect("ip"), now).expect("another");
    }
}
