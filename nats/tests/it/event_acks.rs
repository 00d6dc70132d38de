//! Published means acknowledged by the stream.

use std::time::Instant;

use bytes::Bytes;
use weft_nats::subject::WEFT_ENTRY;
use weft_nats::{Error, EventMessage, EventPublisher, Subject};

use crate::common::{Fixture, room, soon, user};

fn event(n: usize, also: &[&str]) -> EventMessage {
    EventMessage {
        subject: Subject::EventGroup { partition: 0, room: room("team") },
        head: format!("head {n}"),
        frame: Bytes::from(n.to_string()),
        also: also.iter().map(|name| user(name)).collect(),
    }
}

#[tokio::test]
async fn acks_resolve_when_the_stream_has_all() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e1").await;
    let team = Subject::EventGroup { partition: 0, room: room("team") };
    let mut group = edge.subscribe(&team).await.expect("subscribe");
    let mut alice = edge.subscribe(&Subject::User(user("alice"))).await.expect("subscribe");
    edge.flush().await.expect("flush");
    let publisher = EventPublisher::start(&core).await.expect("publisher");
    let pending = publisher.send((0..100).map(|n| event(n, &["alice"])).collect()).await;
    soon("acks", pending.expect("sent")).await.expect("stored");
    for n in 0..100 {
        for subscription in [&mut group, &mut alice] {
            let message = soon("an event", subscription.next()).await.expect("open");
            assert_eq!(message.payload(), n.to_string().as_bytes());
            assert_eq!(message.header(WEFT_ENTRY), Some(format!("head {n}").as_str()));
        }
    }
    soon("nothing", publisher.send(Vec::new()).await.expect("sent")).await.expect("stored");
    publisher
        .plain(&Subject::User(user("alice")), Bytes::from_static(b"tick"))
        .await
        .expect("sent");
    assert_eq!(soon("a tick", alice.next()).await.expect("open").payload(), &b"tick"[..]);
}

#[tokio::test]
async fn what_was_not_stored_is_named() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let publisher = EventPublisher::start(&core).await.expect("publisher");
    let mut events: Vec<_> = (0..3).map(|n| event(n, &[])).collect();
    // There is no stream for this partition.
    events[1].subject = Subject::EventDirect { partition: 9 };
    let pending = publisher.send(events).await.expect("sent");
    match soon("the answer", pending).await {
        Err(error @ Error::NotStored { .. }) => {
            assert!(error.is_retryable());
            let Error::NotStored { missing, .. } = error else { unreachable!() };
            assert_eq!(missing, [1]);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_outage_is_said_and_does_not_hang() {
    let mut fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let publisher = EventPublisher::start(&core).await.expect("publisher");
    fixture.kill().await;
    let pending = publisher.send((0..3).map(|n| event(n, &[])).collect()).await.expect("queued");
    let started = Instant::now();
    match soon("the answer", pending).await {
        Err(Error::NotStored { missing, .. }) => assert_eq!(missing, [0, 1, 2]),
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed().as_secs() < 10);
    // The client's queue is bounded, and so is the wait for it.
    let many = (0..10_000).map(|n| event(n, &[])).collect();
    let error = soon("the queue's bound", publisher.send(many)).await.err().expect("full");
    assert!(matches!(error, Error::Timeout(_)), "{error}");
}
