//! A service refuses what is too much, survives a panic, and finishes what it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::Semaphore;
use weft_nats::{CALLER_BYTES_MAX, CALLER_CALLS_MAX, HELD_BYTES_MAX, Services};
use weft_proto::svc::{Empty, GetKeys, GetProfile, Keys, Login, Logout, Profile, Tokens};
use weft_proto::{ApiError, ErrorCode};

use crate::common::{Fixture, eventually, soon};

#[tokio::test]
async fn a_call_is_answered_and_an_absent_service_is_unavailable() {
    let fixture = Fixture::bare(1).await;
    let (core, edge) = (fixture.bus("core", "c").await, fixture.bus("edge", "e").await);
    let mut services = Services::start(&core, "1.2.3");
    let echo = async |request: GetProfile| {
        if request.user.is_empty() {
            return Err(ApiError::new(ErrorCode::NoSuchUser, "nobody"));
        }
        Ok(Profile { user: request.user, ..Profile::default() })
    };
    services.handle(4, echo).await.expect("handle");
    core.flush().await.expect("flush");
    let ask = |name: &str| GetProfile { user: name.into(), ..GetProfile::default() };
    assert_eq!(edge.call(&ask("alice")).await.expect("profile").user, "alice");
    assert_eq!(edge.call(&ask("")).await.expect_err("nobody").code, ErrorCode::NoSuchUser);
    let absent = edge.call(&Login::default()).await.expect_err("absent");
    assert_eq!(absent.code, ErrorCode::Unavailable);
    assert!(absent.retry_after_ms.is_some());
    services.shutdown().await;
    let gone = edge.call(&ask("alice")).await.expect_err("gone");
    assert_eq!(gone.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn past_the_bound_it_is_overloaded_and_the_taken_ones_finish() {
    let fixture = Fixture::bare(1).await;
    let (core, edge) = (fixture.bus("core", "c").await, fixture.bus("edge", "e").await);
    let mut services = Services::start(&core, "0.1.0");
    let gate = Arc::new(Semaphore::new(0));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (gate, running, most) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
        move |_: GetKeys| {
            let (gate, running, most) =
                (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.expect("open").forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Keys::default())
            }
        }
    };
    services.handle(2, handler).await.expect("handle");
    core.flush().await.expect("flush");
    let calls: Vec<_> = (0..30)
        .map(|_| {
            let edge = edge.clone();
            tokio::spawn(async move { edge.call(&GetKeys {}).await })
        })
        .collect();
    // 2 run, 8 wait, the others are refused at once, before the gate opens.
    eventually("20 refusals", async || calls.iter().filter(|c| c.is_finished()).count() == 20)
        .await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let shutdown = tokio::spawn(services.shutdown());
    gate.add_permits(10);
    let (mut answered, mut refused) = (0, 0);
    for call in calls {
        match call.await.expect("joined") {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_eq!(error.code, ErrorCode::Overloaded);
                assert!(error.retry_after_ms.is_some());
                refused += 1;
            }
        }
    }
    assert_eq!((answered, refused), (10, 20));
    soon("the end", shutdown).await.expect("joined");
}

#[tokio::test]
async fn a_panic_costs_its_own_request_alone() {
    let fixture = Fixture::bare(1).await;
    let (core, edge) = (fixture.bus("core", "c").await, fixture.bus("edge", "e").await);
    let mut services = Services::start(&core, "0.1.0");
    let handler = async |request: Logout| {
        assert!(request.token != "boom", "a test's panic");
        Ok(Empty {})
    };
    services.handle(1, handler).await.expect("handle");
    services.handle(1, async |_: Login| Ok(Tokens::default())).await.expect("handle");
    core.flush().await.expect("flush");
    for _ in 0..3 {
        let error = edge
            .call(&Logout { token: "boom".into(), ..Logout::default() })
            .await
            .expect_err("panic");
        assert_eq!(error.code, ErrorCode::Internal);
        assert!(edge.call(&Logout::default()).await.is_ok());
    }
    services.shutdown().await;
}

#[tokio::test]
async fn without_nats_a_call_fails_at_once() {
    let mut fixture = Fixture::bare(1).await;
    let edge = fixture.bus("edge", "e").await;
    fixture.kill().await;
    let mut connection = edge.connection();
    soon("a disconnect", connection.wait_for(|now| !now.connected)).await.expect("open");
    let error = edge.call(&GetKeys {}).await.expect_err("away");
    assert_eq!(error.code, ErrorCode::Unavailable);
}

/// Answers of 800 kB over a connection on which nothing moves: what is made and can't be written stays
/// within the budget, and once the connection moves all goes on.
#[tokio::test]
async fn large_answers_that_can_not_be_written_stay_within_the_budget() {
    const CALLS: usize = 250;
    const ANSWER_BYTES: usize = 800_000;
    const CALL_BYTES: u32 = 3 << 20;
    let fixture = Fixture::bare(1).await;
    let (core, edge) = (fixture.bus("core", "c").await, fixture.bus("edge", "e").await);
    let mut services = Services::start(&core, "0.1.0");
    let gate = Arc::new(Semaphore::new(0));
    let made = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (gate, made) = (Arc::clone(&gate), Arc::clone(&made));
        move |_: GetProfile| {
            let (gate, made) = (Arc::clone(&gate), Arc::clone(&made));
            async move {
                drop(gate.acquire().await.expect("open"));
                made.fetch_add(1, Ordering::SeqCst);
                Ok(Profile { display_name: "x".repeat(ANSWER_BYTES), ..Profile::default() })
            }
        }
    };
    services.handle_large(CALLS, CALL_BYTES, |_| None, handler).await.expect("handle");
    core.flush().await.expect("flush");
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let edge = edge.clone();
            tokio::spawn(async move { edge.call(&GetProfile::default()).await })
        })
        .collect();
    edge.flush().await.expect("flush");
    core.flush().await.expect("flush");
    fixture.signal(Signal::STOP);
    gate.add_permits(1);
    // What fits is made; then nothing more, however long it takes.
    let mut last = (0, Instant::now());
    eventually("no more answers are made", async || {
        let now = made.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_secs(1)
    })
    .await;
    let (made, budget) = (last.0, HELD_BYTES_MAX as usize);
    eprintln!("{made} answers of 800 kB waited for the connection, at most");
    // Beside the budget the kernel's buffers take some.
    assert!((budget / ANSWER_BYTES / 2..budget / ANSWER_BYTES + 16).contains(&made), "{made}");
    fixture.signal(Signal::CONT);
    // Who has waited for too long may have given up.
    for call in calls {
        match call.await.expect("joined") {
            Ok(profile) => assert_eq!(profile.display_name.len(), ANSWER_BYTES),
            Err(error) => assert_eq!(error.code, ErrorCode::Unknown),
        }
    }
    let profile = edge.call(&GetProfile::default()).await.expect("an answer");
    assert_eq!(profile.display_name.len(), ANSWER_BYTES);
    services.shutdown().await;
}

/// Whoever asks for far more than a share waits, or is refused, and nobody else does.
#[tokio::test]
async fn one_caller_does_not_take_all_of_the_budget() {
    const CALLS: usize = 100;
    const CALL_BYTES: u32 = 3 << 20;
    let fixture = Fixture::bare(1).await;
    let (core, edge) = (fixture.bus("core", "c").await, fixture.bus("edge", "e").await);
    let mut services = Services::start(&core, "0.1.0");
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
        move |request: GetProfile| {
            let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
            async move {
                if request.user == "greedy" {
                    running.fetch_add(1, Ordering::SeqCst);
                    drop(gate.acquire().await.expect("open"));
                }
                Ok(Profile::default())
            }
        }
    };
    let caller = |request: &GetProfile| Some(request.user.clone());
    services.handle_large(64, CALL_BYTES, caller, handler).await.expect("handle");
    core.flush().await.expect("flush");
    let ask = |name: &str| {
        let (edge, user) = (edge.clone(), name.to_owned());
        tokio::spawn(async move { edge.call(&GetProfile { user, ..GetProfile::default() }).await })
    };
    let greedy: Vec<_> = (0..CALLS).map(|_| ask("greedy")).collect();
    let refused = CALLS - CALLER_CALLS_MAX;
    eventually("some are refused", async || {
        greedy.iter().filter(|call| call.is_finished()).count() == refused
    })
    .await;
    for _ in 0..8 {
        soon("an answer to somebody else", ask("calm")).await.expect("joined").expect("answered");
    }
    assert_eq!(running.load(Ordering::SeqCst), (CALLER_BYTES_MAX / CALL_BYTES) as usize);
    gate.add_permits(1);
    let mut answered = 0;
    for call in greedy {
        match call.await.expect("joined") {
            Ok(_) => answered += 1,
            Err(error) => assert_eq!(error.code, ErrorCode::Overloaded),
        }
    }
    assert_eq!(answered, CALLER_CALLS_MAX);
    services.shutdown().await;
}
