//! Whatever bytes a bot puts into a header block: each message is read once, and what is relayed is
//! read once more, as an outsider's.

use std::time::Instant;

use weft_fuzz::{duration, sample};
use weft_nats::{IngestLog, OutsideLog, Relayed};

use crate::common::{Fixture, soon};
use crate::raw::Raw;

/// Messages that are published and then read.
const ROUND: usize = 200;

const BLOCKS: [&[u8]; 7] = [
    b"",
    b"NATS/1.0\r\nWeft-Id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\nWeft-Reply: t1\r\n\r\n",
    b"NATS/1.0\r\nContent-Type: application/json; charset=utf-8\r\nWeft-After: x\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\n\r\n",
    b"NATS/1.0\r\nNats-Request-Info: {}\r\nWeft-Reply: e1.t1\r\nWeft-Made: relay\r\n\r\n",
    b"NATS/1.0\r\nno colon here\r\n\r\n",
    b"NATS/1.0\r\nX: a\rb\r\nY:\xff\r\n\r\n",
];

#[tokio::test]
async fn header_blocks_of_a_bot() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let log = IngestLog::open(&core, 0);
    let mut outside = OutsideLog::open(&core, 0);
    let until = Instant::now() + duration();
    let (mut tried, mut next_outside, mut next_inside) = (0, 1, 1);
    while tried == 0 || Instant::now() < until {
        let mut bot = Raw::connect(&fixture, "bot").await;
        bot.subscribe("_INBOX_bot_t-bot.>").await;
        for block in sample(&BLOCKS, ROUND) {
            bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.1", &block, b"x").await;
            tried += 1;
        }
        bot.sync().await;
        // What JetStream did not take, because the block asks for something that it does not do,
        // is not there.
        let last = outside.last_seq().await.expect("last");
        let mut relayed = 0;
        while next_outside <= last {
            let messages = outside.read(next_outside, usize::MAX).await.expect("read");
            let seqs = messages.iter().map(|message| message.seq);
            assert!(seqs.eq(next_outside..next_outside + messages.len() as u64));
            next_outside += messages.len() as u64;
            assert!(messages.iter().all(|message| message.sender == "bot"));
            let readable: Vec<_> =
                messages.into_iter().filter(|message| message.problem.is_none()).collect();
            for outcome in outside.relay(&readable).await {
                match outcome {
                    Relayed::At(_) => relayed += 1,
                    Relayed::Never(_) => {}
                    Relayed::Later(error) => panic!("{error}"),
                }
            }
        }
        let mut reader = log.read_from(next_inside, 0).await.expect("reader");
        for _ in 0..relayed {
            let message = soon("a command", reader.next()).await.expect("command");
            assert_eq!(message.stream_seq, next_inside);
            assert!(message.is_outsider && message.sender == "bot", "{message:?}");
            next_inside += 1;
        }
        // Else they would be full some time.
        outside.trim_below(next_outside).await.expect("trim");
        log.purge_below(next_inside).await.expect("purge");
    }
    println!("header blocks: {tried} inputs, {} of them relayed", next_inside - 1);
}
