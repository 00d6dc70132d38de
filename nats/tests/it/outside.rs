//! What other systems send comes into the ingest log by way of a stream of its own.

use std::time::{Duration, Instant};

use weft_nats::{Bus, IngestLog, IngestMessage, OutsideLog, OutsideMessage, Problem, Relayed};

use crate::common::{Fixture, soon};
use crate::raw::Raw;

/// Puts what is there into the ingest log, as the partition's owner does.
pub async fn relay(core: &Bus) -> Vec<OutsideMessage> {
    let mut outside = OutsideLog::open(core, 0);
    let mut all: Vec<OutsideMessage> = Vec::new();
    loop {
        let next_seq = all.last().map_or(1, |last| last.seq + 1);
        let messages = outside.read(next_seq, usize::MAX).await.expect("read");
        if messages.is_empty() {
            return all;
        }
        let readable: Vec<_> =
            messages.iter().filter(|message| message.problem.is_none()).cloned().collect();
        for relayed in outside.relay(&readable).await {
            assert!(matches!(relayed, Relayed::At(_)), "{relayed:?}");
        }
        all.extend(messages);
    }
}

async fn log_of(core: &Bus) -> Vec<IngestMessage> {
    let log = IngestLog::open(core, 0);
    let last_seq = log.info().await.expect("info").last_seq;
    let mut reader = log.read_from(1, 0).await.expect("reader");
    let mut messages = Vec::new();
    for _ in 0..last_seq {
        messages.push(soon("a command", reader.next()).await.expect("command"));
    }
    messages
}

async fn publish(bot: &mut Raw, headers: &[u8], payload: &[u8]) {
    bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.1", headers, payload).await;
    assert!(String::from_utf8_lossy(&bot.message().await.1).contains("WEFT_OUT_0"));
}

#[tokio::test]
async fn a_message_that_is_relayed_twice_has_the_same_id_twice() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    let id = b"NATS/1.0\r\nWeft-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\nX: y\r\n\r\n";
    // Nobody makes core think that it made an id.
    let forged = b"NATS/1.0\r\nWeft-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\nWeft-Made: relay\r\n\r\n";
    for headers in [&b""[..], id, b"NATS/1.0\r\nno colon\r\n\r\n", forged, b""] {
        publish(&mut bot, headers, b"hello").await;
    }
    let relayed = relay(&core).await;
    let problems: Vec<_> = relayed.iter().map(|message| message.problem).collect();
    assert_eq!(problems, [None, None, Some(Problem::Headers), None, None]);
    relay(&core).await;
    let log = log_of(&core).await;
    let ids: Vec<_> = log.iter().map(|m| (m.client_id.clone(), m.made_by.is_some())).collect();
    assert_eq!(ids[..4], ids[4..]);
    let made: Vec<bool> = ids[..4].iter().map(|(_, is_made)| *is_made).collect();
    assert_eq!(made, [true, false, false, true]);
    assert!(ids[0].0.is_some() && ids[0] != ids[3], "{ids:?}");
    assert!(log.iter().all(|message| message.is_outsider && message.sender == "bot"));
}

#[tokio::test]
async fn the_bell_rings_for_a_message_and_does_not_bring_it() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    let mut outside = OutsideLog::open(&core, 0);
    // Nothing there: it comes back by itself.
    soon("the end of a pull", outside.wait(1)).await.expect("wait");
    for seq in 1..=3 {
        // The client library would lose its connection on it.
        publish(&mut bot, b"NATS/1.0\r\nno colon\r\n\r\n", b"x").await;
        let began = Instant::now();
        outside.wait(seq).await.expect("wait");
        assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
        let messages = outside.read(seq, 1_000).await.expect("read");
        assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [seq]);
        outside.trim_below(seq + 1).await.expect("trim");
    }
    assert_eq!(core.connection().borrow().generation, 1, "the connection stands");
}

#[tokio::test]
async fn a_full_stream_refuses_other_systems_alone() {
    let fixture = Fixture::new(1).await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    let large = vec![b'x'; 1_400_000];
    let mut refused = false;
    for _ in 0..60 {
        bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.1", b"", &large).await;
        let answer = String::from_utf8_lossy(&bot.message().await.1).into_owned();
        refused |= answer.contains("maximum bytes exceeded");
        assert!(refused || answer.contains("WEFT_OUT_0"), "{answer}");
    }
    assert!(refused, "64 MiB are enough");
    let mut edge = Raw::connect(&fixture, "edge").await;
    edge.subscribe("_INBOX_edge.>").await;
    edge.publish(b"weft.in.alice.public", "_INBOX_edge.1", b"", b"x").await;
    assert!(String::from_utf8_lossy(&edge.message().await.1).contains("WEFT_IN_0"));
}
