//! How many requests a gateway gets at once, and when it gets none: one that hangs or fails holds up nobody who is at another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Requests to one gateway at once.
const REQUESTS_MAX: usize = 32;
/// After so many failures in a row it gets no request for a while, ...
const FAILURES_MAX: u32 = 5;
/// ... of this length at first, and twice as long each time.
const OPEN_FOR: Duration = Duration::from_secs(1);
const OPEN_FOR_MAX: Duration = Duration::from_secs(30);
/// Gateways that are remembered. Beyond it those are forgotten that have nothing underway: first those that are well, then with
/// their failures.
const KNOWN_MAX: usize = 10_000;

/// The hosts that are asked, by their origins.
#[derive(Default)]
pub struct Gateways(Mutex<HashMap<String, Gateway>>);

struct Gateway {
    permits: Arc<Semaphore>,
    failures: u32,
    open_for: Duration,
    open_until: Option<Instant>,
}

/// Why a gateway gets no request now.
#[derive(PartialEq, Eq, Debug)]
pub enum Refused {
    /// As many are underway as may be.
    Busy,
    /// It has failed: for so long it gets none.
    Open(Duration),
}

impl Gateways {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Gateway>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to a gateway, by its origin, may begin.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn admit(&self, origin: &str) -> Result<OwnedSemaphorePermit, Refused> {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX && !known.contains_key(origin) {
            let is_idle = |it: &Gateway| it.permits.available_permits() == REQUESTS_MAX;
            known.retain(|_, it| it.failures > 0 || !is_idle(it));
            if known.len() >= KNOWN_MAX {
                known.retain(|_, it| !is_idle(it));
            }
        }
        let gateway = known.entry(origin.to_owned()).or_insert_with(|| Gateway {
            permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
            failures: 0,
            open_for: OPEN_FOR,
            open_until: None,
        });
        let now = Instant::now();
        if let Some(until) = gateway.open_until.filter(|until| *until > now) {
            return Err(Refused::Open(until - now));
        }
        Arc::clone(&gateway.permits).try_acquire_owned().map_err(|_| Refused::Busy)
    }

    /// A request has ended.
    pub fn note(&self, origin: &str, has_failed: bool) {
        let mut known = self.known();
        let Some(gateway) = known.get_mut(origin) else { return };
        if !has_failed {
            (gateway.failures, gateway.open_for, gateway.open_until) = (0, OPEN_FOR, None);
            return;
        }
        gateway.failures += 1;
        let now = Instant::now();
        // Those that were underway when it was closed to others say nothing new.
        if gateway.failures >= FAILURES_MAX && gateway.open_until.is_none_or(|until| until <= now) {
            gateway.open_until = Some(now + gateway.open_for);
            gateway.open_for = (gateway.open_for * 2).min(OPEN_FOR_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_fails_gets_nothing_for_longer_and_longer_and_others_do() {
        let gateways = Gateways::default();
        let fail = || {
            drop(gateways.admit("a").expect("admitted"));
            gateways.note("a", true);
        };
        (0..FAILURES_MAX).for_each(|_| fail());
        for open_s in [1, 2, 4, 8, 16, 30, 30] {
            let refused = gateways.admit("a").expect_err("open");
            assert_eq!(refused, Refused::Open(Duration::from_secs(open_s)));
            assert!(gateways.admit("b").is_ok());
            tokio::time::advance(Duration::from_secs(open_s)).await;
            fail();
        }
        tokio::time::advance(OPEN_FOR_MAX).await;
        drop(gateways.admit("a").expect("admitted"));
        gateways.note("a", false);
        (1..FAILURES_MAX).for_each(|_| fail());
        assert!(gateways.admit("a").is_ok(), "it was well in between");
    }

    #[tokio::test]
    async fn however_many_fail_few_are_remembered() {
        let gateways = Gateways::default();
        let held = gateways.admit("held").expect("admitted");
        for number in 0..2 * KNOWN_MAX {
            let origin = number.to_string();
            drop(gateways.admit(&origin).expect("admitted"));
            gateways.note(&origin, true);
        }
        let known = gateways.known();
        assert!(known.len() <= KNOWN_MAX && known.contains_key("held"), "{}", known.len());
        drop(held);
    }

    #[tokio::test]
    async fn a_gateway_has_so_many_at_once() {
        let gateways = Gateways::default();
        let held: Vec<_> = (0..REQUESTS_MAX).map(|_| gateways.admit("a").expect("one")).collect();
        assert_eq!(gateways.admit("a").expect_err("busy"), Refused::Busy);
        assert!(gateways.admit("b").is_ok());
        drop(held);
        assert!(gateways.admit("a").is_ok());
    }
}
