//! A connection says what is wrong, and comes back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_nats::{AssetOptions, Bus, Error, Subject, assets};

use crate::common::{Fixture, eventually, soon, user};

#[tokio::test]
async fn a_wrong_password_is_refused_at_once() {
    let fixture = Fixture::bare(1).await;
    let mut options = fixture.bus_options("core", "c");
    options.password = "wrong".into();
    let started = Instant::now();
    let error = Bus::connect(&options).await.err().expect("refused");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("core") && !error.to_string().contains("wrong\""));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_there_is_said_after_a_while() {
    let mut fixture = Fixture::bare(1).await;
    fixture.kill().await;
    let error = Bus::connect(&fixture.bus_options("core", "c")).await.err().expect("unreachable");
    assert!(matches!(error, Error::Unreachable { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn each_reconnect_is_a_new_generation() {
    let mut fixture = Fixture::bare(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e").await;
    let alice = Subject::User(user("alice"));
    let mut subscription = edge.subscribe(&alice).await.expect("subscribe");
    let mut connections = [core.connection(), edge.connection()];
    for round in 1..=3 {
        fixture.kill().await;
        fixture.restart().await;
        for connection in &mut connections {
            let anew = connection.wait_for(|now| now.connected && now.generation > round);
            soon("a reconnect", anew).await.expect("open");
        }
        // Subscriptions come back by themselves.
        edge.flush().await.expect("flush");
        core.publish(&alice, &[("X", "y")], Bytes::from_static(b"hi")).await.expect("publish");
        let message = soon("a message", subscription.next()).await.expect("open");
        assert_eq!(
            (message.header("X"), message.parse_subject()),
            (Some("y"), Some(alice.clone()))
        );
    }
    core.close().await;
    let refused = async || core.publish(&alice, &[], Bytes::new()).await.is_err();
    eventually("closed", async || refused().await).await;
}

#[tokio::test]
async fn a_full_subscription_is_a_loss_that_is_seen() {
    let fixture = Fixture::bare(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e").await;
    let alice = Subject::User(user("alice"));
    let mut subscription = edge.subscribe(&alice).await.expect("subscribe");
    edge.flush().await.expect("flush");
    let mut losses = edge.losses();
    assert_eq!(*losses.borrow(), 0);
    for _ in 0..70_000 {
        core.publish(&alice, &[], Bytes::new()).await.expect("publish");
    }
    soon("a loss", losses.wait_for(|count| *count > 0)).await.expect("open");
    let mut kept = 0;
    while subscription.try_next().is_some() {
        kept += 1;
    }
    assert_eq!(kept, 65_536, "what fitted is whole, in one go");
}

#[tokio::test]
async fn making_the_streams_is_idempotent_and_concurrent() {
    let fixture = Fixture::bare(1).await;
    let core = fixture.bus("core", "c").await;
    let options = AssetOptions { partitions: 4, ..fixture.assets.clone() };
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let (core, options) = (core.clone(), options.clone());
            tokio::spawn(async move { assets::ensure(&core, &options).await })
        })
        .collect();
    for maker in makers {
        maker.await.expect("joined").expect("made");
    }
    let larger = AssetOptions { event_bytes_max: 65 << 20, ..options.clone() };
    assets::ensure(&core, &larger).await.expect("updated");
    let fewer = AssetOptions { partitions: 2, ..options };
    let error = assets::ensure(&core, &fewer).await.expect_err("fewer partitions");
    assert!(matches!(error, Error::AssetMismatch { .. }) && !error.is_retryable(), "{error}");
}
