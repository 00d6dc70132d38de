//! A bot that sends garbage, or far too much, hurts nobody but itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::timeout;
use weft_harness::nats::Nats;
use weft_harness::session::Session;
use weft_harness::system::{BOT, OTHER_BOT, System, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

/// Groups of alice and both bots: several, so that they are in several partitions.
async fn groups(alice: &mut Session, count: usize) -> Result<Vec<String>> {
    let mut groups = Vec::new();
    for _ in 0..count {
        let group = unique("group");
        let members = json!([BOT, OTHER_BOT]);
        alice.acked(&group, json!({ "kind": "create", "title": "t", "members": members })).await?;
        groups.push(group);
    }
    Ok(groups)
}

fn subject(bot: &str, room: &str) -> String {
    format!("weft.in.{bot}.{room}")
}

/// Sends in turn to all rooms, until enough is sent; how long each took, sorted.
async fn sends(alice: &mut Session, rooms: &[String], count: usize) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for room in rooms.iter().cycle().take(count) {
        let began = Instant::now();
        alice.acked(room, json!({ "text": "excuse me" })).await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took)
}

/// A bot that behaves: it sends again, with the same id, until it is answered.
async fn answered(bot: &str, nats: &mut Nats, room: &str) -> Result<Value> {
    let (id, token) = (ulid::fresh(), ulid::fresh());
    let address = format!("weft.ack.u.{bot}.{token}");
    let headers = [("Weft-Id", &*id), ("Weft-Reply", &*token)];
    let answer = async {
        loop {
            nats.publish(&subject(bot, room), None, &headers, b"still here").await?;
            let answer = timeout(Duration::from_secs(1), nats.next());
            if let Ok(answer) = answer.await
                && let Ok(answer) = answer
                && answer.subject == address
            {
                return anyhow::Ok(answer.json());
            }
        }
    };
    timeout(Duration::from_secs(30), answer).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_stop_nobody() -> Result<()> {
    const BAD: usize = 2_000;
    let system = System::dev().await?;
    let mut alice = system.session(&system.user("alice").await?).await?;
    system.bots().await?;
    let groups = groups(&mut alice, 6).await?;
    let mut bot = system.nats_as(BOT).await?;
    bot.subscribe(&format!("weft.ack.u.{BOT}.*")).await?;
    for _ in 0..BAD {
        let (block, subject) = ("NATS/1.0\r\nno colon\r\n\r\n", subject(BOT, &groups[0]));
        let length = block.len();
        let message = format!("HPUB {subject} {length} {}\r\n{block}x\r\n", length + 1);
        bot.publish_raw(message.as_bytes()).await?;
    }
    bot.flush().await?;
    let took = sends(&mut alice, &groups, 60).await?;
    eprintln!("beside {BAD} malformed messages: p50 {:?}, max {:?}", took[30], took[59]);
    assert!(took[59] < Duration::from_secs(3), "{took:?}");
    // The bot itself is heard again, after all of that.
    let answer = answered(BOT, &mut bot, &groups[0]).await?;
    assert_eq!(answer["type"], "ack", "{answer}");
    let mut admin = system.nats_as("admin").await?;
    for partition in 0..4 {
        for stream in ["WEFT_IN", "WEFT_OUT"] {
            let asked = format!("CONSUMER.NAMES.{stream}_{partition}");
            let names = admin.jetstream(&asked, &json!({})).await?;
            assert!(names["total"].as_u64() <= Some(2), "{names}");
        }
    }
    assert!(system.process("dev").is_running());
    Ok(())
}

/// Publishes large payloads for as long as it is told.
async fn flood(mut nats: Nats, room: String, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    let payload = vec![b'x'; 1_200_000];
    while !stop.load(Ordering::SeqCst) {
        let published = nats.publish(&subject(BOT, &room), None, &[], &payload).await;
        if published.is_err() || nats.flush().await.is_err() {
            return;
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_large_payloads_leaves_others_their_place() -> Result<()> {
    const FLOOD: u64 = 400;
    let system = System::dev().await?;
    let mut alice = system.session(&system.user("alice").await?).await?;
    system.bots().await?;
    let groups = groups(&mut alice, 1).await?;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut floods = Vec::new();
    for _ in 0..3 {
        let nats = system.nats_as(BOT).await?;
        let flood = flood(nats, groups[0].clone(), Arc::clone(&stop), Arc::clone(&sent));
        floods.push(tokio::spawn(flood));
    }
    let mut other = system.nats_as(OTHER_BOT).await?;
    other.subscribe(&format!("weft.ack.u.{OTHER_BOT}.*")).await?;
    // Half a gigabyte of it.
    until("the flood is there", Duration::from_secs(60), async || {
        (sent.load(Ordering::SeqCst) >= FLOOD / 4).then_some(())
    })
    .await;
    let took = sends(&mut alice, &groups, 40).await?;
    let began = Instant::now();
    let answer = answered(OTHER_BOT, &mut other, &groups[0]).await?;
    let other_took = began.elapsed();
    until("the flood goes on", Duration::from_secs(60), async || {
        (sent.load(Ordering::SeqCst) >= FLOOD).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for flood in floods {
        flood.await?;
    }
    let (p50, max) = (took[20], took[39]);
    let sent = sent.load(Ordering::SeqCst);
    eprintln!(
        "beside {sent} payloads of 1.2 MB: people p50 {p50:?}, max {max:?}; a bot {other_took:?}"
    );
    assert!(p50 < Duration::from_secs(1) && max < Duration::from_secs(4), "{took:?}");
    assert_eq!(answer["type"], "ack", "{answer}");
    Ok(())
}
