//! Who may speak as whom: the known attacks, with the bytes of an attacker.

use bytes::Bytes;
use weft_nats::subject::event_stream;
use weft_nats::{
    Bus, Filter, IngestLog, IngestMessage, IngestPublisher, Problem, ReplyTo, Subject,
};
use weft_proto::svc::{GetKeys, Keys};

use crate::common::{Fixture, eventually, node, room, soon, user};
use crate::outside::relay;
use crate::raw::Raw;

/// All that the partition's log holds, when what came from outside is relayed.
async fn log_of(core: &Bus, count: u64) -> Vec<IngestMessage> {
    relay(core).await;
    let log = IngestLog::open(core, 0);
    assert_eq!(log.info().await.expect("info").last_seq, count, "messages in the log");
    let mut reader = log.read_from(1, 0).await.expect("reader");
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(soon("a command", reader.next()).await.expect("command"));
    }
    messages
}

#[tokio::test]
async fn a_bot_speaks_as_itself_and_is_known_as_an_outsider() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    let headers = b"NATS/1.0\r\nWeft-Id: 1\r\nWeft-Reply: t1\r\n\r\n";
    bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.1", headers, b"hello").await;
    let (_, ack) = bot.message().await;
    assert!(String::from_utf8_lossy(&ack).contains("\"stream\":\"WEFT_OUT_0\""));
    let message = log_of(&core, 1).await.remove(0);
    assert_eq!((message.sender.as_str(), message.room.as_str()), ("bot", "public"));
    assert_eq!(message.client_id.as_deref(), Some("1"));
    assert!(message.is_outsider && !message.is_json);
    assert_eq!(message.payload, "hello");
    let reply = message.reply.expect("reply");
    assert_eq!(reply, ReplyTo::User { user: user("bot"), token: "t1".into() });
    // The way back.
    bot.subscribe("weft.ack.u.bot.*").await;
    bot.sync().await;
    core.publish(&reply.subject(), &[], Bytes::from_static(b"yes")).await.expect("publish");
    assert_eq!(bot.message().await, ("weft.ack.u.bot.t1".into(), b"yes".to_vec()));
}

#[tokio::test]
async fn a_bot_can_neither_publish_as_another_nor_name_a_partition() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    for subject in [
        "weft.in.alice.public",
        "weft.in.eve.public",
        "weft.out.alice.public",
        "weft.out.bot.public",
        "weft.p.0.bot.public",
        "weft.p.0.alice.public",
        "weft.x.0.alice.public",
        "weft.o.0.bot.public",
        "weft.ev.0.group.public",
        "weft.ack.e.e1.t",
        "weft.ack.u.eve.t",
        "weft.u.alice",
        "weft.svc.accounts.keys",
        "weft.api.eve.history",
        "weft.bot.bot.public",
        "_INBOX_eve_t-eve.x",
        "_R_.x.y",
        "$JS.API.STREAM.PURGE.WEFT_IN_0",
        "$JS.API.CONSUMER.CREATE.WEFT_BOTS.bot.weft.bot.bot.>",
        // Who makes a consumer says where it delivers to, and nobody looks at that.
        "$JS.WEFT.API.CONSUMER.CREATE.WEFT_BOTS.bot.weft.bot.bot.>",
        "$JS.WEFT.API.CONSUMER.DURABLE.CREATE.WEFT_BOTS.bot",
        "$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.eve",
        "$JS.WEFT.API.CONSUMER.INFO.WEFT_BOTS.eve",
        "$JS.WEFT.API.STREAM.MSG.GET.WEFT_BOTS",
        "$JS.ACK.WEFT_BOTS.eve.1.1.1.1.0",
        "$SYS.REQ.USER.AUTH",
        "$SYS.REQ.SERVER.x.KICK",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$KV.WEFT_NODES.core.x",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.ACCOUNT.WEFT.CONNZ",
    ] {
        bot.errors.clear();
        bot.publish(subject.as_bytes(), "_INBOX_bot_t-bot.1", b"", b"evil").await;
        bot.sync().await;
        let refused = bot.errors.iter().any(|e| e.contains("Permissions Violation for Publish"));
        assert!(refused, "{subject}: {:?}", bot.errors);
    }
    assert!(log_of(&core, 0).await.is_empty());
}

#[tokio::test]
async fn a_reply_subject_reaches_nobody_else() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e1").await;
    let admin = fixture.bus("admin", "a").await;
    let mut acks = edge.subscribe_wildcard(&Filter::AckEdge(node("e1"))).await.expect("subscribe");
    let mut events = admin.subscribe_wildcard(&Filter::AllEvents).await.expect("subscribe");
    edge.flush().await.expect("flush");
    admin.flush().await.expect("flush");
    let mut eve = Raw::connect(&fixture, "eve").await;
    for subject in ["weft.ack.u.eve.*", "_INBOX_eve_t-eve.>"] {
        eve.subscribe(subject).await;
    }
    eve.sync().await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    let replies = [
        "weft.p.0.alice.public",
        "weft.x.0.alice.public",
        "weft.in.alice.public",
        "weft.o.0.eve.public",
        "weft.in.eve.public",
        "weft.in.eve.public.message",
        "weft.ack.e.e1.t",
        "weft.u.eve",
        "weft.ev.0.group.public",
        "weft.api.eve.history",
        "$JS.API.STREAM.PURGE.WEFT_IN_0",
        "$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.eve",
    ];
    for reply in replies {
        bot.publish(b"weft.in.bot.public", reply, b"", b"evil").await;
    }
    // Behind them all: what they could have done is done.
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.last", b"", b"last").await;
    assert_eq!(bot.message().await.0, "_INBOX_bot_t-bot.last");
    let messages = log_of(&core, replies.len() as u64 + 1).await;
    assert!(messages.iter().all(|message| message.sender == "bot" && message.is_outsider));
    edge.flush().await.expect("flush");
    assert!(acks.try_next().is_none(), "a PubAck on an edge's address");
    admin.flush().await.expect("flush");
    assert!(events.try_next().is_none(), "a PubAck among the events");
    eve.sync().await;
    assert!(eve.messages.is_empty(), "another bot heard it: {:?}", eve.messages);
    assert!(log_of_all(&core).await.iter().all(|sender| sender == "bot"));
}

/// Who has sent what other systems have sent.
async fn log_of_all(core: &Bus) -> Vec<String> {
    let mut outside = weft_nats::OutsideLog::open(core, 0);
    let messages = outside.read(1, usize::MAX).await.expect("read");
    messages.into_iter().map(|message| message.sender).collect()
}

/// What a bot listens on is in one account with other bots, whose answers go where they say.
#[tokio::test]
async fn where_a_name_is_known_to_others_they_bring_their_own_answers_there_and_no_more() {
    let fixture = Fixture::new(1).await;
    let mut eve = Raw::connect(&fixture, "eve").await;
    eve.subscribe("weft.ack.u.eve.*").await;
    eve.sync().await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    bot.publish(b"weft.in.bot.public", "weft.ack.u.eve.guessed", b"", b"evil").await;
    let (subject, told) = eve.message().await;
    assert_eq!(subject, "weft.ack.u.eve.guessed");
    assert!(String::from_utf8_lossy(&told).starts_with("{\"stream\":"), "{told:?}");
}

#[tokio::test]
async fn no_header_makes_a_bot_an_insider_or_reaches_an_edge() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    let blocks: [&[u8]; 5] = [
        b"NATS/1.0\r\nWeft-Reply: e1.t1\r\n\r\n",
        // Without its end, the line that the server appends becomes part of the last value.
        b"NATS/1.0\r\nWeft-Reply: e1.t1\r\nX: xx",
        b"NATS/1.0\r\nX: x\r\nWeft-Reply: e1.t1\r\n",
        b"NATS/1.0\r\nNats-Request-Info: {}\r\nWeft-Reply: e1.t1\r\n\r\n",
        b"NATS/1.0\r\nWeft-Reply: t1\r\nWeft-Reply: e1.t1\r\n\r\n",
    ];
    bot.subscribe("_INBOX_bot_t-bot.>").await;
    for block in blocks {
        bot.publish(b"weft.in.bot.public", "_INBOX_bot_t-bot.1", block, b"evil").await;
        bot.message().await;
    }
    for message in log_of(&core, blocks.len() as u64).await {
        assert!(message.is_outsider, "{message:?}");
        assert!(!matches!(message.reply, Some(ReplyTo::Edge { .. })), "{message:?}");
    }
}

/// The client library drops its connection on each of these. Read once more, they would drop it
/// once more, for ever.
#[tokio::test]
async fn a_message_that_cannot_be_parsed_is_returned_as_such() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "admin").await;
    bot.subscribe("_INBOX_admin.>").await;
    let bad: [(&[u8], &[u8], Problem); 4] = [
        (b"weft.x.0.bot.public", b"NATS/1.0\r\nWeft-Id: \xff\xfe\r\n\r\n", Problem::Headers),
        (b"weft.x.0.bot.public", b"NATS/1.0\r\nno colon here\r\n\r\n", Problem::Headers),
        // The library panics on this one.
        (b"weft.x.0.bot.public", b"NATS/1.0\r\nX: a\rb\r\n\r\n", Problem::Headers),
        (b"weft.x.0.bot.\xff\xfe", b"", Problem::Subject),
    ];
    let mut generation = core.connection();
    generation.borrow_and_update();
    for (subject, headers, _) in bad {
        bot.publish(b"weft.x.0.bot.public", "_INBOX_admin.1", b"", b"good").await;
        bot.message().await;
        bot.publish(subject, "_INBOX_admin.1", headers, b"bad").await;
        bot.message().await;
    }
    bot.publish(b"weft.x.0.bot.public", "_INBOX_admin.1", b"NATS/1.0 100 Idle\r\n\r\n", b"").await;
    bot.message().await;
    bot.publish(b"weft.x.0.bot.public", "_INBOX_admin.1", b"", b"end").await;
    bot.message().await;
    let log = IngestLog::open(&core, 0);
    let last = log.info().await.expect("info").last_seq;
    assert_eq!(last, 10);
    let mut reader = log.read_from(1, 0).await.expect("reader");
    let mut problems = Vec::new();
    for seq in 1..=last {
        let message = loop {
            match soon("a command", reader.next()).await {
                Ok(message) => break message,
                Err(error) if error.is_retryable() => {
                    let next = reader.next_seq();
                    let reading = Box::pin(async {
                        loop {
                            match log.read_from(next, 0).await {
                                Ok(reader) => return reader,
                                Err(error) => assert!(error.is_retryable(), "{error}"),
                            }
                        }
                    });
                    reader = soon("a reader", reading).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(message.stream_seq, seq);
        assert!(message.is_outsider && message.reply.is_none());
        problems.extend(message.problem.map(|problem| (seq, problem)));
    }
    let wanted: Vec<_> = [2, 4, 6, 8].into_iter().zip(bad.map(|(_, _, problem)| problem)).collect();
    assert_eq!(problems, wanted);
    assert!(!generation.has_changed().expect("open"), "the main connection was not touched");
}

/// Reads the log as its owner does; how many times a reader had to be opened.
async fn read_all(log: &IngestLog, count: u64) -> (Vec<IngestMessage>, usize) {
    let (mut messages, mut opened) = (Vec::new(), 0);
    while messages.len() as u64 != count {
        let next_seq = messages.len() as u64 + 1;
        let mut reader = match log.read_from(next_seq, 0).await {
            Ok(reader) => reader,
            Err(error) if error.is_retryable() => continue,
            Err(error) => panic!("{error}"),
        };
        opened += 1;
        while messages.len() as u64 != count {
            match soon("a command", reader.next()).await {
                Ok(message) => messages.push(message),
                Err(error) if error.is_retryable() => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    (messages, opened)
}

/// One bad message per reader would be as good as a stop: each costs a connection.
#[tokio::test]
async fn a_stretch_that_cannot_be_parsed_is_read_in_bulk() {
    const BAD: u64 = 2_000;
    let fixture = Fixture::new(2).await;
    let core = fixture.bus("core", "c").await;
    let mut admin = Raw::connect(&fixture, "admin").await;
    admin.subscribe("_INBOX_admin.>").await;
    for number in 0..BAD {
        let block: &[u8] =
            if number % 4 == 3 { b"NATS/1.0\r\nX: y\r\n\r\n" } else { b"NATS/1.0\r\nbad\r\n\r\n" };
        admin.publish(b"weft.p.0.alice.public", "_INBOX_admin.1", block, b"x").await;
    }
    admin.publish(b"weft.p.0.alice.public", "_INBOX_admin.last", b"", b"end").await;
    while admin.message().await.0 != "_INBOX_admin.last" {}
    // The other partition's reader must not notice.
    let mut other = IngestLog::open(&core, 1).read_from(1, 0).await.expect("reader");
    let log = IngestLog::open(&core, 0);
    let (messages, opened) = read_all(&log, BAD + 1).await;
    assert!(messages.iter().zip(1..).all(|(message, seq)| message.stream_seq == seq));
    let bad = messages.iter().filter(|m| m.problem == Some(Problem::Headers)).count() as u64;
    assert_eq!(bad, BAD / 4 * 3);
    assert!(opened <= 3, "{opened} readers were opened");
    admin.publish(b"weft.p.1.alice.public", "_INBOX_admin.2", b"", b"x").await;
    assert_eq!(soon("a command", other.next()).await.expect("not lost").stream_seq, 1);
    // What was held for a reader that stopped is freed.
    drop(other);
    for stream in ["WEFT_IN_0", "WEFT_IN_1"] {
        eventually("no consumer is left", async || {
            admin.messages.clear();
            let names = format!("$JS.API.CONSUMER.NAMES.{stream}");
            admin.publish(names.as_bytes(), "_INBOX_admin.names", b"", b"").await;
            let (_, names) = admin.message().await;
            !String::from_utf8_lossy(&names).contains("owner-")
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_reads_what_is_not_theirs() {
    let fixture = Fixture::new(1).await;
    let forbidden = [
        (
            "bot",
            &[
                "_INBOX_eve_t-eve.>",
                "_INBOX_*.>",
                "_R_.>",
                "weft.u.bot",
                "weft.ev.*.group.public",
                "weft.bot.bot.*",
                "weft.api.*.*",
                "$SYS.REQ.USER.AUTH",
                "_INBOX_core.>",
                "_INBOX_edge.>",
                "_INBOX.>",
                ">",
                "weft.ack.u.eve.*",
                "weft.ack.u.*.*",
                "weft.ack.>",
                "weft.u.alice",
                "weft.u.*",
                "weft.ev.>",
                "weft.ev.*.group.private",
                "weft.ev.*.direct",
                "weft.p.>",
                "weft.in.>",
                "weft.svc.>",
                "$SYS.>",
                "$JS.EVENT.>",
                "$KV.>",
            ][..],
        ),
        (
            "edge",
            &[
                "_INBOX_core.>",
                "_INBOX.>",
                ">",
                "weft.svc.*.*",
                "weft.p.>",
                "$SYS.>",
                "$SYS.REQ.USER.AUTH",
                "weft.ack.u.*.*",
            ][..],
        ),
        ("core", &["_INBOX_edge.>", "_INBOX.>", ">", "$SYS.>"][..]),
        // Bots' tokens pass there.
        ("admin", &["$SYS.REQ.USER.AUTH"][..]),
    ];
    for (name, subjects) in forbidden {
        let mut raw = Raw::connect(&fixture, name).await;
        for subject in subjects {
            raw.errors.clear();
            raw.subscribe(subject).await;
            raw.sync().await;
            let refused =
                raw.errors.iter().any(|e| e.contains("Permissions Violation for Subscription"));
            assert!(refused, "{name} may read {subject}");
        }
    }
}

#[tokio::test]
async fn a_service_reply_reaches_its_caller_alone() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e").await;
    let mut services = weft_nats::Services::start(&core, "0.1.0");
    services.handle(1, async |_: GetKeys| Ok(Keys::default())).await.expect("handle");
    core.flush().await.expect("flush");
    // On NATS's default inbox, as far as anybody may listen there.
    let mut eve = Raw::connect(&fixture, "eve").await;
    eve.subscribe("_INBOX_eve_t-eve.>").await;
    eve.sync().await;
    assert_eq!(edge.call(&GetKeys {}).await, Ok(Keys::default()));
    eve.sync().await;
    assert!(eve.messages.is_empty());
    services.shutdown().await;
}

#[tokio::test]
async fn an_edge_has_no_rights_of_core() {
    let fixture = Fixture::new(1).await;
    let mut edge = Raw::connect(&fixture, "edge").await;
    for subject in [
        "weft.x.0.bot.public",
        "weft.ev.0.group.public",
        "weft.u.alice",
        "weft.ack.e.e2.t",
        "weft.ack.u.bot.t",
        "_INBOX_core.x",
        "$KV.WEFT_NODES.core.x",
        "$JS.API.STREAM.PURGE.WEFT_IN_0",
        "$JS.API.STREAM.DELETE.WEFT_IN_0",
        "$JS.API.CONSUMER.CREATE.WEFT_IN_0.x",
        "$JS.API.STREAM.MSG.GET.WEFT_EV_0",
        "$SYS.REQ.SERVER.PING",
    ] {
        edge.errors.clear();
        edge.publish(subject.as_bytes(), "_INBOX_edge.1", b"", b"evil").await;
        edge.sync().await;
        assert!(!edge.errors.is_empty(), "an edge may publish {subject}");
    }
    assert_eq!(event_stream(0), "WEFT_EV_0");
}

#[tokio::test]
async fn an_edges_command_is_an_insiders() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let edge = fixture.bus("edge", "e1").await;
    let (publisher, mut signals) = IngestPublisher::start(&edge, &node("e1")).await.expect("start");
    let entry = Bytes::from_static(b"{}");
    publisher
        .publish("t1", &user("alice"), &room("a~alice"), ("id1", None), entry)
        .await
        .expect("publish");
    soon("stored", signals.next()).await.expect("open");
    let message = log_of(&core, 1).await.remove(0);
    assert!(!message.is_outsider && message.is_json && message.problem.is_none());
    let Some(reply @ ReplyTo::Edge { .. }) = message.reply else { panic!("{:?}", message.reply) };
    assert_eq!(reply.subject(), Subject::AckEdge { edge: node("e1"), token: "t1".into() });
    assert!(message.stored_at_ms > 1_600_000_000_000);
}
