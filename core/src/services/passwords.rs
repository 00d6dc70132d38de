//! Password hashing: argon2id, off the reactor, few at a time, with bounded queues: one for strangers,
//! and one for who is known. So a flood of strangers does not keep the others out.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weft_proto::{ApiError, ErrorCode};

use super::sign_ins::SignInAttempt;

/// Most hashes that are computed at once: each takes a core for some 20 ms, and 19 MiB.
const RUNNING_MAX: usize = 8;
/// Most calls in each queue that wait for one that runs.
const WAITING_PER_RUNNING: usize = 32;
/// When a refused caller should try again, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// Compared with where there is no account or no password, so that this takes the same time as a
/// wrong password. Nobody knows a password that has this hash.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                            $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(super) struct Passwords {
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Passwords {
    /// Uses half of the machine's cores: the others go on with messages.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let running_max = (cores / 2).clamp(1, RUNNING_MAX);
        Self::with_bounds(running_max, running_max * WAITING_PER_RUNNING)
    }

    fn with_bounds(running_max: usize, waiting_max: usize) -> Self {
        Self {
            known: Arc::new(Semaphore::new(running_max + waiting_max)),
            strangers: Arc::new(Semaphore::new(running_max + waiting_max)),
            running: Arc::new(Semaphore::new(running_max)),
        }
    }

    /// The PHC string to store.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`], [`ErrorCode::Internal`].
    pub(super) async fn hash(
        &self,
        password: String,
        attempt: SignInAttempt,
    ) -> Result<String, ApiError> {
        let hash = move || {
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
        };
        let hashed = self.run(attempt, hash).await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            ApiError::new(ErrorCode::Internal, "a defect in the service")
        })
    }

    /// Whether the password is the one that was hashed; never true without a hash, and then it
    /// takes the same time.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`].
    pub(super) async fn verify(
        &self,
        password: String,
        hash: Option<String>,
        attempt: SignInAttempt,
    ) -> Result<bool, ApiError> {
        self.run(attempt, move || {
            let stored = hash.as_deref().unwrap_or(NOBODYS_HASH);
            let matches = PasswordHash::new(stored).is_ok_and(|stored| {
                Argon2::default().verify_password(password.as_bytes(), &stored).is_ok()
            });
            matches && hash.is_some()
        })
        .await
    }

    async fn run<T, F>(&self, attempt: SignInAttempt, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let permits = self.enter(attempt).await?;
        // The permits live as long as the work, also where the caller is dropped meanwhile.
        let done = tokio::task::spawn_blocking(move || {
            let _permits = permits;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            ApiError::new(ErrorCode::Internal, "a defect in the service")
        })
    }

    async fn enter(&self, attempt: SignInAttempt) -> Result<[OwnedSemaphorePermit; 2], ApiError> {
        let overloaded = || {
            ApiError::new(ErrorCode::Overloaded, "too many logins at once")
                .retry_after_ms(RETRY_AFTER_MS)
        };
        let queue = match attempt {
            SignInAttempt::Known => &self.known,
            SignInAttempt::Stranger => &self.strangers,
        };
        let admitted = Arc::clone(queue).try_acquire_owned().map_err(|_| overloaded())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| overloaded())?;
        Ok([admitted, running])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("hunter22".into(), SignInAttempt::Known).await.expect("hash");
        let verify = |password: &str, hash: Option<&String>| {
            passwords.verify(password.to_owned(), hash.cloned(), SignInAttempt::Known)
        };
        assert!(verify("hunter22", Some(&hash)).await.expect("verify"));
        assert!(!verify("hunter23", Some(&hash)).await.expect("verify"));
        assert!(!verify("hunter22", None).await.expect("verify"));
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_a_real_one_costs() {
        let hash =
            Passwords::new().hash("hunter22".into(), SignInAttempt::Known).await.expect("hash");
        let parameters = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(parameters(&hash), parameters(NOBODYS_HASH));
        assert!(PasswordHash::new(NOBODYS_HASH).is_ok_and(|hash| hash.hash.is_some()));
    }

    #[tokio::test]
    async fn what_exceeds_the_queue_is_refused_at_once() {
        let passwords = Arc::new(Passwords::with_bounds(1, 1));
        let running = passwords.enter(SignInAttempt::Stranger).await.expect("first");
        let waiting = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move { passwords.enter(SignInAttempt::Stranger).await.map(drop) }
        });
        while passwords.strangers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.enter(SignInAttempt::Stranger).await.expect_err("third");
        assert_eq!(refused.code, ErrorCode::Overloaded);
        assert!(refused.temporary && refused.retry_after_ms.is_some());
        // Who is known waits in a queue of their own.
        let known = tokio::spawn({
            let passwords = Arc::clone(&passwords);
            async move { passwords.enter(SignInAttempt::Known).await.map(drop) }
        });
        drop(running);
        waiting.await.expect("join").expect("second");
        known.await.expect("join").expect("known");
    }
}
