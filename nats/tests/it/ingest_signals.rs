//! An edge hears what became of each of its commands.

use bytes::Bytes;
use weft_nats::{Answer, AssetOptions, EventPublisher, IngestLog, IngestPublisher, Signal, assets};
use weft_proto::{ApiError, ErrorCode};

use crate::common::{Fixture, node, room, soon, user};

#[tokio::test]
async fn a_command_is_stored_and_then_answered() {
    let fixture = Fixture::new(4).await;
    let (edge, core) = (fixture.bus("edge", "e1").await, fixture.bus("core", "c").await);
    let (publisher, mut signals) =
        IngestPublisher::start(&edge, &node("e1")).await.expect("publisher");
    let team = room("team");
    let n = weft_proto::partition_of(&team, 4);
    let entry = Bytes::from_static(b"{}");
    publisher.publish("t-1", &user("alice"), &team, ("id", None), entry).await.expect("publish");
    let stored = soon("stored", signals.next()).await;
    assert_eq!(stored, Some(Signal::Stored { token: "t-1".into(), stream_seq: 1 }));
    // The server's mapping and this crate agree on the partition.
    let mut reader = IngestLog::open(&core, n).read_from(1, 0).await.expect("reader");
    let message = soon("the command", reader.next()).await.expect("command");
    let (to, events) = (message.reply.expect("reply"), EventPublisher::start(&core).await);
    let events = events.expect("publisher");
    let refused = Answer::error(&ApiError::new(ErrorCode::ResendInOrder, "not yet"));
    for answer in [Answer::ack(b"ack".to_vec()), refused] {
        events.answer(&to, answer.clone()).await.expect("publish");
        let answered = soon("answered", signals.next()).await;
        assert_eq!(answered, Some(Signal::Answered { token: "t-1".into(), answer }));
    }
    assert_eq!(signals.try_next(), None);
}

#[tokio::test]
async fn a_full_log_refuses_with_the_time_to_wait() {
    let fixture = Fixture::bare(1).await;
    let core = fixture.bus("core", "c").await;
    let options = AssetOptions { ingest_bytes_max: 200_000, ..fixture.assets.clone() };
    assets::ensure(&core, &options).await.expect("assets");
    let edge = fixture.bus("edge", "e1").await;
    let (publisher, mut signals) =
        IngestPublisher::start(&edge, &node("e1")).await.expect("publisher");
    let payload = Bytes::from(vec![b'x'; 20_000]);
    for n in 0..20 {
        let token = format!("t{n}");
        let (alice, team) = (user("alice"), room("team"));
        publisher
            .publish(&token, &alice, &team, ("id", None), payload.clone())
            .await
            .expect("publish");
    }
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..20 {
        match soon("a signal", signals.next()).await {
            Some(Signal::Stored { stream_seq, .. }) => {
                stored += 1;
                assert_eq!(stream_seq, stored);
            }
            Some(Signal::Refused { error, .. }) => {
                refused += 1;
                assert_eq!(error.code, ErrorCode::Overloaded);
                assert!(error.temporary && error.retry_after_ms.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(stored > 5 && refused > 5, "{stored} stored, {refused} refused");
    // Room again, as soon as something is applied.
    IngestLog::open(&core, 0).purge_below(stored).await.expect("purge");
    publisher
        .publish("t", &user("alice"), &room("team"), ("id", None), payload)
        .await
        .expect("publish");
    let signal = soon("a signal", signals.next()).await;
    assert_eq!(signal, Some(Signal::Stored { token: "t".into(), stream_seq: stored + 1 }));
}

#[tokio::test]
async fn without_a_stream_it_is_unavailable() {
    let fixture = Fixture::bare(1).await;
    let edge = fixture.bus("edge", "e1").await;
    let (publisher, mut signals) =
        IngestPublisher::start(&edge, &node("e1")).await.expect("publisher");
    let payload = Bytes::from_static(b"{}");
    publisher
        .publish("t", &user("alice"), &room("team"), ("id", None), payload)
        .await
        .expect("publish");
    match soon("a signal", signals.next()).await {
        Some(Signal::Refused { token, error }) => {
            assert_eq!((token.as_str(), error.code), ("t", ErrorCode::Unavailable));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_with_a_dot_is_not_sent() {
    let fixture = Fixture::new(1).await;
    let edge = fixture.bus("edge", "e1").await;
    let (publisher, _signals) =
        IngestPublisher::start(&edge, &node("e1")).await.expect("publisher");
    for token in ["", "a.b", "*", ">"] {
        let sent =
            publisher.publish(token, &user("a"), &room("team"), ("id", None), Bytes::new()).await;
        assert!(sent.is_err(), "{token}");
    }
}
