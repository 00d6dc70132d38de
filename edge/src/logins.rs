//! Whether logins last. A token's signature tells who somebody is, until the token ends; that the
//! login has ended before, by a logout, a new password or a new login of the device, core alone
//! knows.
//!
//! Core looks itself in every call that carries a token. It is asked for what goes past it: the
//! beginning of a session, what is published for a user over HTTP (the answer is kept for 5 s), and
//! once a minute for all live sessions, beside the notice that core gives when a login ends.
//!
//! No answer is no refusal: while core is silent, during a take-over for example, the last answer
//! holds until the token ends. That a login has ended is never asked twice: it is for good.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::{Instant, sleep, timeout};
use weft_nats::Bus;
use weft_proto::frame::CloseCode;
use weft_proto::limits::CHECKED_LOGINS_MAX;
use weft_proto::svc::{CheckLogins, CheckedLogins};
use weft_proto::{ApiError, ErrorCode};
use weft_runtime::lock;

use crate::auth::Caller;
use crate::delivery::TokenCell;
use crate::delivery::mailbox::End;

/// How long an answer is kept for what is published over HTTP.
pub(crate) const ANSWER_AGE_MAX: Duration = Duration::from_secs(5);
/// How long a caller waits for core: then the last answer holds.
const WAIT: Duration = Duration::from_secs(2);
/// After core was silent nobody waits for it for this long.
const SILENCE: Duration = Duration::from_secs(1);
/// Answers that are remembered, some 500 bytes each.
const ANSWERS_MAX: u64 = 50_000;
/// The longest time for which an answer is remembered: longer than most tokens live.
const ANSWER_LIFE: Duration = Duration::from_secs(3_600);
/// Before a round that core did not answer is done again.
const ROUND_RETRY: Duration = Duration::from_secs(5);

/// What core said of a token's login.
#[derive(Clone, Copy)]
struct Answer {
    state: LoginState,
    at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LoginState {
    Lasts,
    Ended,
    /// Its user is suspended, or who has the bot is: a person's has ended, a bot's may last again.
    Suspended,
}

impl LoginState {
    /// How a session of it is closed; `None`: it goes on.
    fn close(self) -> Option<CloseCode> {
        match self {
            Self::Lasts => None,
            Self::Ended => Some(CloseCode::LoggedOut),
            Self::Suspended => Some(CloseCode::Suspended),
        }
    }

    /// What core said, in the order of the question. A core of before there were suspensions says nothing of them.
    fn read(answer: &CheckedLogins) -> Vec<Self> {
        let suspended = answer.suspended.iter().copied().chain(std::iter::repeat(false));
        let states = answer.lasts.iter().zip(suspended).map(|state| match state {
            (true, _) => Self::Lasts,
            (false, false) => Self::Ended,
            (false, true) => Self::Suspended,
        });
        states.collect()
    }
}

pub(crate) struct Logins {
    bus: Bus,
    answers: Cache<Arc<str>, Answer>,
    silent_until: Mutex<Option<Instant>>,
    live: Mutex<HashMap<u64, (TokenCell, End)>>,
    next_live: AtomicU64,
}

/// A live session whose login is asked about. Dropping it ends that.
pub(crate) struct LiveLogin {
    logins: Arc<Logins>,
    number: u64,
}

impl Drop for LiveLogin {
    fn drop(&mut self) {
        lock(&self.logins.live).remove(&self.number);
    }
}

impl Logins {
    pub(crate) fn new(bus: Bus) -> Arc<Self> {
        let answers = Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(ANSWER_LIFE).build();
        let (silent_until, live) = (Mutex::default(), Mutex::default());
        Arc::new(Self { bus, answers, silent_until, live, next_live: AtomicU64::new(0) })
    }

    /// Asks core, where its last answer is older than `age_max`.
    ///
    /// # Errors
    /// `unauthorized` where the login has ended, `suspended` where that is why.
    pub(crate) async fn check(&self, caller: &Caller, age_max: Duration) -> Result<(), ApiError> {
        let known = self.answers.get(&caller.token);
        // What has ended is so for good; what rests for a suspension, a bot's, may last again.
        let is_known =
            known.is_some_and(|it| it.state == LoginState::Ended || it.at.elapsed() < age_max);
        if !is_known && !self.is_silent() {
            // Boxed: it would be a large part of every session.
            Box::pin(self.ask(std::slice::from_ref(&caller.token))).await;
        }
        match self.answers.get(&caller.token) {
            Some(Answer { state: LoginState::Ended, .. }) => Err(has_ended()),
            Some(Answer { state: LoginState::Suspended, .. }) => Err(is_suspended()),
            Some(Answer { state: LoginState::Lasts, .. }) | None => Ok(()),
        }
    }

    /// Core's answers, which are remembered; `None`: it is silent.
    async fn ask(&self, tokens: &[Arc<str>]) -> Option<Vec<LoginState>> {
        let at = Instant::now();
        let request = CheckLogins { tokens: tokens.iter().map(ToString::to_string).collect() };
        let answer = timeout(WAIT, self.bus.call(&request)).await;
        let states = match answer {
            Ok(Ok(answer)) if answer.lasts.len() == tokens.len() => LoginState::read(&answer),
            silent => {
                tracing::debug!(?silent, "core does not say whether logins last");
                *lock(&self.silent_until) = Some(Instant::now() + SILENCE);
                return None;
            }
        };
        for (token, state) in tokens.iter().zip(&states) {
            self.answers.insert(Arc::clone(token), Answer { state: *state, at });
        }
        Some(states)
    }

    fn is_silent(&self) -> bool {
        lock(&self.silent_until).is_some_and(|until| Instant::now() < until)
    }

    /// From now on the session's login is asked about.
    pub(crate) fn enter(self: &Arc<Self>, token: TokenCell, end: End) -> LiveLogin {
        let number = self.next_live.fetch_add(1, Ordering::Relaxed);
        lock(&self.live).insert(number, (token, end));
        LiveLogin { logins: Arc::clone(self), number }
    }

    /// Asks about all live sessions, again and again, and ends those whose logins have ended.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            sleep(every).await;
            while !self.round().await {
                sleep(ROUND_RETRY.min(every)).await;
            }
        }
    }

    /// False: core is silent. One question at a time, so that core's answers to others do not wait.
    async fn round(&self) -> bool {
        let live: Vec<_> = lock(&self.live).values().cloned().collect();
        for sessions in live.chunks(CHECKED_LOGINS_MAX) {
            let tokens: Vec<_> = sessions.iter().map(|(token, _)| token.get()).collect();
            let Some(states) = self.ask(&tokens).await else { return false };
            for ((_, end), state) in sessions.iter().zip(states) {
                if let Some(code) = state.close() {
                    end.end(code);
                }
            }
        }
        true
    }
}

fn is_suspended() -> ApiError {
    ApiError::new(ErrorCode::Suspended, "an administrator has suspended this account")
}

fn has_ended() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "the login has ended: log in again")
}
