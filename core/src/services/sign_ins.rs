//! How fast passwords may be tried.
//!
//! Edges bound what one address does, whatever the accounts. Here it is counted by account: from one
//! network, and from all networks that the account is not known at. So neither one machine nor
//! many can try a password often, and who floods an account from elsewhere does not keep its
//! owner out: a network from which somebody has signed in lately has its own count alone.
//!
//! Right and wrong passwords count alike, and users that do not exist like those that do: an answer
//! says nothing about either. Every table is bounded; what falls out of it begins anew.
//!
//! What is counted is this process's own: of several cores, each counts for itself.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use tokio::time::Instant;
use weft_proto::{ApiError, DeviceId, ErrorCode, UserId};

/// Attempts of one account from one network: a burst, then one per interval.
const NETWORK_BURST: NonZeroU32 = NonZeroU32::new(20).expect("not zero");
const NETWORK_EVERY: Duration = Duration::from_secs(30);
/// The same, from all networks together that the account is not known at.
const STRANGERS_BURST: NonZeroU32 = NonZeroU32::new(100).expect("not zero");
const STRANGERS_EVERY: Duration = Duration::from_secs(10);
/// Entries of each table, some 200 bytes each.
const ENTRIES_MAX: u64 = 100_000;
/// For how long an account stays known at a network where it signed in or refreshed its tokens.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The longest text of a network that is looked at.
const NETWORK_BYTES_MAX: usize = 64;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, NoOpMiddleware<Nanos>>;
/// An account, and where it is used from.
type Where = (UserId, Box<str>);

/// The runtime's clock, which tests can pause.
#[derive(Clone, Debug)]
struct Monotonic(Instant);

impl governor::clock::Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

pub(super) struct SignIns {
    clock: Monotonic,
    networks: Cache<Where, Arc<Limiter>>,
    strangers: Cache<UserId, Arc<Limiter>>,
    known: Cache<Where, ()>,
}

/// An attempt that may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignInAttempt {
    /// From a network where the account has signed in lately.
    Known,
    /// From anywhere else.
    Stranger,
}

impl SignIns {
    pub(super) fn new() -> Self {
        Self {
            clock: Monotonic(Instant::now()),
            networks: Cache::builder()
                .max_capacity(ENTRIES_MAX)
                .time_to_idle(NETWORK_EVERY * NETWORK_BURST.get())
                .build(),
            strangers: Cache::builder()
                .max_capacity(ENTRIES_MAX)
                .time_to_idle(STRANGERS_EVERY * STRANGERS_BURST.get())
                .build(),
            known: Cache::builder().max_capacity(ENTRIES_MAX).time_to_idle(KNOWN_FOR).build(),
        }
    }

    /// Counts an attempt to sign in.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`]: the password is not looked at.
    pub(super) fn admit(&self, user: &UserId, network: &str) -> Result<SignInAttempt, ApiError> {
        if let Some(here) = place(user, network) {
            self.take_one_of(&here)?;
            if self.known.contains_key(&here) {
                return Ok(SignInAttempt::Known);
            }
        }
        let limiter = || Arc::new(self.limiter(STRANGERS_EVERY, STRANGERS_BURST));
        self.take(&self.strangers.get_with(user.clone(), limiter))?;
        Ok(SignInAttempt::Stranger)
    }

    /// Counts an attempt of who is signed in to prove the password once more.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`]: the password is not looked at.
    pub(super) fn admit_device(&self, user: &UserId, device: &DeviceId) -> Result<(), ApiError> {
        // No network has a blank in it.
        self.take_one_of(&(user.clone(), format!("device {device}").into()))
    }

    /// The account was used from there with the right password, or a good refresh token.
    pub(super) fn proved(&self, user: &UserId, network: &str) {
        if let Some(here) = place(user, network) {
            self.known.insert(here, ());
        }
    }

    fn take_one_of(&self, here: &Where) -> Result<(), ApiError> {
        let limiter = || Arc::new(self.limiter(NETWORK_EVERY, NETWORK_BURST));
        self.take(&self.networks.get_with(here.clone(), limiter))
    }

    fn take(&self, limiter: &Limiter) -> Result<(), ApiError> {
        limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let message = "too many attempts to sign in to this account";
            ApiError::new(ErrorCode::RateLimited, message).retry_after_ms(wait_ms)
        })
    }

    fn limiter(&self, every: Duration, burst: NonZeroU32) -> Limiter {
        // It is `None` for a period of zero alone.
        let quota = Quota::with_period(every).unwrap_or(Quota::per_second(NonZeroU32::MIN));
        RateLimiter::direct_with_clock(quota.allow_burst(burst), self.clock.clone())
    }
}

/// `None`: the edge does not know where the client is. Everybody is there, so nothing is counted by it.
fn place(user: &UserId, network: &str) -> Option<Where> {
    (1..=NETWORK_BYTES_MAX).contains(&network.len()).then(|| (user.clone(), network.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> UserId {
        UserId::new("alice").expect("id")
    }

    fn is_refused(attempt: Result<SignInAttempt, ApiError>) -> bool {
        attempt.is_err_and(|error| error.code == ErrorCode::RateLimited && error.temporary)
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_tries_an_account_slowly_and_others_are_not_kept_out() {
        let sign_ins = SignIns::new();
        for _ in 0..NETWORK_BURST.get() {
            sign_ins.admit(&alice(), "192.0.2.1").expect("the burst");
        }
        let wait_ms = sign_ins.admit(&alice(), "192.0.2.1").expect_err("too many").retry_after_ms;
        assert_eq!(wait_ms, Some(30_000));
        assert_eq!(sign_ins.admit(&alice(), "192.0.2.2"), Ok(SignInAttempt::Stranger));
        let bob = UserId::new("bob").expect("id");
        assert_eq!(sign_ins.admit(&bob, "192.0.2.1"), Ok(SignInAttempt::Stranger));
        tokio::time::advance(NETWORK_EVERY).await;
        sign_ins.admit(&alice(), "192.0.2.1").expect("one more");
        assert!(is_refused(sign_ins.admit(&alice(), "192.0.2.1")));
    }

    #[tokio::test(start_paused = true)]
    async fn many_networks_try_an_account_slowly_and_keep_its_owner_in() {
        let sign_ins = SignIns::new();
        sign_ins.proved(&alice(), "198.51.100.7");
        let mut tried = 0;
        for n in 0..1_000 {
            tried += usize::from(sign_ins.admit(&alice(), &format!("net {n}")).is_ok());
        }
        assert_eq!(tried, STRANGERS_BURST.get() as usize);
        assert!(is_refused(sign_ins.admit(&alice(), "203.0.113.9")));
        for _ in 0..NETWORK_BURST.get() {
            assert_eq!(sign_ins.admit(&alice(), "198.51.100.7"), Ok(SignInAttempt::Known));
        }
        // Whoever is known there is no safer to guess at.
        assert!(is_refused(sign_ins.admit(&alice(), "198.51.100.7")));
        // From elsewhere too, sooner or later.
        tokio::time::advance(STRANGERS_EVERY).await;
        sign_ins.admit(&alice(), "203.0.113.9").expect("one more");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_from_nowhere_is_counted_as_a_stranger() {
        let sign_ins = SignIns::new();
        sign_ins.proved(&alice(), "");
        for _ in 0..STRANGERS_BURST.get() {
            assert_eq!(sign_ins.admit(&alice(), ""), Ok(SignInAttempt::Stranger));
        }
        assert!(is_refused(sign_ins.admit(&alice(), "")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_tables_are_bounded() {
        let sign_ins = SignIns::new();
        for n in 0..2 * ENTRIES_MAX {
            let user = UserId::new(&format!("u{n}")).expect("id");
            sign_ins.admit(&user, "192.0.2.1").expect("the first");
        }
        sign_ins.networks.run_pending_tasks();
        sign_ins.strangers.run_pending_tasks();
        assert!(sign_ins.networks.entry_count() <= ENTRIES_MAX);
        assert!(sign_ins.strangers.entry_count() <= ENTRIES_MAX);
        let long = "x".repeat(10_000);
        sign_ins.proved(&alice(), &long);
        assert_eq!(sign_ins.admit(&alice(), &long), Ok(SignInAttempt::Stranger), "not kept");
    }
}
