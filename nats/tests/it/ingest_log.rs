//! A reader returns every sequence, in order, or says which one is missing.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_nats::{
    Bus, Error, IngestLog, IngestPublisher, IngestReader, IngestSignals, Signal, Trimmed,
};

use crate::common::{Fixture, eventually, node, room, soon, user};

struct Sender {
    publisher: IngestPublisher,
    signals: IngestSignals,
    bus: Bus,
}

impl Sender {
    async fn new(fixture: &Fixture) -> Self {
        let bus = fixture.bus("edge", "e1").await;
        let (publisher, signals) =
            IngestPublisher::start(&bus, &node("e1")).await.expect("publisher");
        Self { publisher, signals, bus }
    }

    /// Publishes `count` commands and waits until the log has them; their sequences.
    async fn send(&mut self, count: usize) -> BTreeSet<u64> {
        for n in 0..count {
            let payload = Bytes::from(n.to_string());
            let (alice, team) = (user("alice"), room("team"));
            self.publisher
                .publish("t", &alice, &team, ("id", None), payload)
                .await
                .expect("publish");
        }
        let mut seqs = BTreeSet::new();
        while seqs.len() < count {
            match soon("a signal", self.signals.next()).await {
                Some(Signal::Stored { stream_seq, .. }) => assert!(seqs.insert(stream_seq)),
                other => panic!("{other:?}"),
            }
        }
        seqs
    }
}

async fn read(reader: &mut IngestReader, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let message = soon("a command", reader.next()).await.expect("command");
        assert_eq!(message.stream_seq, seq);
    }
}

#[tokio::test]
async fn a_reader_is_contiguous_across_a_server_restart() {
    let mut fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut sender = Sender::new(&fixture).await;
    let mut reader = log.read_from(1, 0).await.expect("reader");
    sender.send(5_000).await;
    read(&mut reader, 1..=3_000).await;

    let before = core.connection().borrow().generation;
    fixture.kill().await;
    fixture.restart().await;
    let mut connection = core.connection();
    soon("a reconnect", connection.wait_for(|c| c.connected && c.generation > before))
        .await
        .expect("open");
    let mut connection = sender.bus.connection();
    soon("a reconnect", connection.wait_for(|c| c.connected)).await.expect("open");

    // What came before the break is returned; then the loss is said, with the place to go on from.
    let lost = loop {
        match soon("the loss", reader.next()).await {
            Ok(message) => assert!(message.stream_seq > 3_000),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, Error::ReaderLost { .. }) && lost.is_retryable(), "{lost}");
    let next = reader.next_seq();
    // The crash may have taken a tail that was not synced: the owner moves the log forward.
    if log.info().await.expect("info").last_seq + 1 < next {
        log.purge_below(next).await.expect("purge");
    }
    let mut reader = log.read_from(next, 0).await.expect("reader");
    let last = *sender.send(100).await.last().expect("some");
    read(&mut reader, next..=last).await;
}

#[tokio::test]
async fn a_purge_forward_gives_exactly_that_sequence() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut sender = Sender::new(&fixture).await;
    sender.send(90).await;
    // The store has applied 100: the log went back.
    let error = log.read_from(101, 0).await.err().expect("behind");
    assert!(matches!(error, Error::LogBehind { last_seq: 90, next_seq: 101, .. }), "{error}");
    log.purge_below(101).await.expect("purge");
    let info = log.info().await.expect("info");
    assert_eq!((info.first_seq, info.last_seq), (101, 100));
    let mut reader = log.read_from(101, 0).await.expect("reader");
    assert_eq!(sender.send(3).await, BTreeSet::from([101, 102, 103]));
    read(&mut reader, 101..=103).await;
}

#[tokio::test]
async fn a_hole_is_said_and_skipped_only_where_that_is_asked_for() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut sender = Sender::new(&fixture).await;
    sender.send(10).await;
    let mut reader = log.read_from(1, 0).await.expect("reader");
    read(&mut reader, 1..=10).await;
    log.purge_below(51).await.expect("purge");
    sender.send(2).await;
    let error = soon("the gap", reader.next()).await.expect_err("gap");
    assert!(matches!(error, Error::Gap { expected: 11, found: 51, .. }), "{error}");
    let mut reader = log.read_from(11, 50).await.expect("reader");
    read(&mut reader, 51..=52).await;

    // Somebody removes a message out of the middle.
    sender.send(10).await;
    let admin = crate::raw::Raw::connect(&fixture, "admin");
    let mut admin = admin.await;
    admin.subscribe("_INBOX_admin.1").await;
    let delete = b"$JS.API.STREAM.MSG.DELETE.WEFT_IN_0";
    admin.publish(delete, "_INBOX_admin.1", b"", br#"{"seq":55}"#).await;
    admin.message().await;
    let mut reader = log.read_from(53, 0).await.expect("reader");
    read(&mut reader, 53..=54).await;
    let error = soon("the gap", reader.next()).await.expect_err("gap");
    assert!(matches!(error, Error::Gap { expected: 55, found: 56, .. }), "{error}");
    assert!(!error.is_retryable());
    let mut reader = log.read_from(53, 55).await.expect("reader");
    read(&mut reader, 53..=54).await;
    read(&mut reader, 56..=62).await;
    let first = async |seq| log.first_from(seq).await.expect("asked");
    assert_eq!((first(1).await, first(55).await), (Some(51), Some(56)));
    assert_eq!((first(62).await, first(63).await), (Some(62), None));
}

#[tokio::test]
async fn a_log_that_begins_too_late_is_a_gap() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    Sender::new(&fixture).await.send(20).await;
    log.purge_below(11).await.expect("purge");
    let error = log.read_from(5, 0).await.err().expect("gap");
    assert!(matches!(error, Error::Gap { expected: 5, found: 11, .. }), "{error}");
    let mut reader = log.read_from(11, 0).await.expect("reader");
    read(&mut reader, 11..=20).await;
}

#[tokio::test]
async fn a_deleted_consumer_is_noticed() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut sender = Sender::new(&fixture).await;
    sender.send(3).await;
    let mut reader = log.read_from(1, 0).await.expect("reader");
    read(&mut reader, 1..=3).await;
    let mut admin = crate::raw::Raw::connect(&fixture, "admin").await;
    admin.subscribe("_INBOX_admin.1").await;
    admin.publish(b"$JS.API.CONSUMER.NAMES.WEFT_IN_0", "_INBOX_admin.1", b"", b"").await;
    let names = String::from_utf8(admin.message().await.1).expect("text");
    let name = names.split('"').find(|word| word.starts_with("owner-")).expect("consumer");
    let delete = format!("$JS.API.CONSUMER.DELETE.WEFT_IN_0.{name}");
    admin.publish(delete.as_bytes(), "_INBOX_admin.1", b"", b"").await;
    admin.message().await;
    let error = soon("the loss", reader.next()).await.expect_err("lost");
    assert!(matches!(error, Error::ReaderLost { next_seq: 4, .. }), "{error}");
    let mut reader = log.read_from(4, 0).await.expect("reader");
    sender.send(1).await;
    read(&mut reader, 4..=4).await;
}

/// More than the pulls that are underway, in messages and in bytes.
#[tokio::test]
async fn a_backlog_is_read_whole() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut sender = Sender::new(&fixture).await;
    sender.send(6_000).await;
    let large = Bytes::from(vec![b'x'; 1_300_000]);
    for _ in 0..20 {
        let (alice, team) = (user("alice"), room("team"));
        sender
            .publisher
            .publish("t", &alice, &team, ("id", None), large.clone())
            .await
            .expect("publish");
    }
    let info = async || log.info().await.expect("info").last_seq;
    eventually("all stored", async || info().await == 6_020).await;
    let mut reader = log.read_from(1, 0).await.expect("reader");
    read(&mut reader, 1..=6_020).await;
    assert!(reader.try_next().expect("open").is_none());
}

#[tokio::test]
async fn what_was_trimmed_is_kept_and_never_goes_back() {
    let fixture = Fixture::new(2).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 1);
    assert_eq!(log.trimmed().await.expect("read"), None);
    let made_at_ns = log.info().await.expect("info").made_at_ns;
    let mark = |seq| Trimmed { store_id: u64::MAX, made_at_ns, seq };
    let raised = async |to| {
        log.raise_trimmed(to).await.expect("raised");
        log.trimmed().await.expect("read").expect("kept")
    };
    assert_eq!(raised(mark(7)).await, mark(7));
    assert_eq!(raised(mark(5)).await, mark(7));
    // Two owners at once: the higher one wins.
    let (first, second) = tokio::join!(log.raise_trimmed(mark(9)), log.raise_trimmed(mark(8)));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(log.trimmed().await.expect("read"), Some(mark(9)));
    // Of another store, or a stream that was made anew.
    let other = Trimmed { store_id: 1, ..mark(3) };
    assert_eq!(raised(other).await, other);
    assert_eq!(IngestLog::open(&core, 0).trimmed().await.expect("read"), None);
}
