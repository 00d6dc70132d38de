//! What the wire alone can carry on this machine: `cargo run --release -p weft-nats --example throughput`.
//!
//! One server, one connection per role, 200-byte payloads. Prints one line per hop.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_harness::server::Server;
use weft_nats::{
    Bus, Error, EventMessage, EventPublisher, IngestLog, IngestPublisher, Signal, Subject,
};
use weft_proto::{RoomId, UserId};

const COUNT: usize = 200_000;
const WINDOW: usize = 4_096;

fn report(what: &str, count: usize, started: Instant) {
    let took = started.elapsed();
    let rate = count as f64 / took.as_secs_f64();
    println!("{what}: {count} in {took:.2?} = {rate:.0}/s");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut server = Server::new(1).await;
    let (core, edge) = (server.bus("core", "bench").await, server.bus("edge", "bench").await);

    publish(&edge).await?;
    read(&core).await?;
    send_events(&core).await?;
    latency(&core, &edge).await?;
    server.stop().await;
    Ok(())
}

async fn publish(edge: &Bus) -> Result<(), Box<dyn std::error::Error>> {
    let (publisher, mut signals) = IngestPublisher::start(edge, edge.node()).await?;
    let (alice, team) = (UserId::new("alice")?, RoomId::new("team")?);
    let payload = Bytes::from(vec![b'x'; 200]);
    let started = Instant::now();
    let (mut sent, mut stored) = (0, 0);
    while stored < COUNT {
        while sent < COUNT && sent - stored < WINDOW {
            let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
            publisher.publish("token-1", &alice, &team, (id, None), payload.clone()).await?;
            sent += 1;
        }
        let mut signal = signals.next().await;
        while let Some(now) = signal {
            assert!(matches!(now, Signal::Stored { .. }), "{now:?}");
            stored += 1;
            signal = signals.try_next();
        }
    }
    report("publish commands, all stored", COUNT, started);
    Ok(())
}

async fn read(core: &Bus) -> Result<(), Box<dyn std::error::Error>> {
    let log = IngestLog::open(core, 0);
    let started = Instant::now();
    let mut reader = log.read_from(1, 0).await?;
    for seq in 1..=COUNT as u64 {
        assert_eq!(reader.next().await?.stream_seq, seq);
    }
    report("read the log", COUNT, started);
    Ok(())
}

async fn send_events(core: &Bus) -> Result<(), Box<dyn std::error::Error>> {
    let publisher = EventPublisher::start(core).await?;
    let room = RoomId::new("team")?;
    let bob = UserId::new("bob")?;
    let event = EventMessage {
        subject: Subject::EventGroup { partition: 0, room },
        head: "team 12 message 000000000000000000000004 000000000000000000000003 -".to_owned(),
        frame: Bytes::from(vec![b'x'; 300]),
        also: vec![bob],
    };
    let started = Instant::now();
    let mut before = None;
    for _ in 0..COUNT / 500 {
        let pending = publisher.send(vec![event.clone(); 500]).await?;
        // Two batches underway, as a worker that pipelines has.
        if let Some(before) = before.replace(pending) {
            before.await?;
        }
    }
    if let Some(last) = before {
        last.await?;
    }
    report("send events (each stored, and once more plain)", COUNT, started);
    Ok(())
}

/// Edge → log → reader → answer → edge, at 2,000 per second.
async fn latency(core: &Bus, edge: &Bus) -> Result<(), Box<dyn std::error::Error>> {
    let log = IngestLog::open(core, 0);
    let mut reader = log.read_from(log.info().await?.last_seq + 1, 0).await?;
    let answerer = core.clone();
    let owner = tokio::spawn(async move {
        while let Ok(message) = reader.next().await {
            if let Some(reply) = message.reply {
                answerer.publish(&reply.subject(), &[], Bytes::from_static(b"{}")).await?;
            }
        }
        Ok::<(), Error>(())
    });
    let (publisher, mut signals) = IngestPublisher::start(edge, edge.node()).await?;
    let (alice, team) = (UserId::new("alice")?, RoomId::new("team")?);
    let payload = Bytes::from(vec![b'x'; 200]);
    let total = 10_000_usize;
    let started = Instant::now();
    let due = move |n: usize| started + Duration::from_micros(500 * n as u64);
    let sender = tokio::spawn(async move {
        for n in 0..total {
            tokio::time::sleep_until(due(n).into()).await;
            publisher.publish(&n.to_string(), &alice, &team, ("id", None), payload.clone()).await?;
        }
        Ok::<(), Error>(())
    });
    let mut waits = Vec::with_capacity(total);
    while waits.len() < total {
        if let Some(Signal::Answered { token, .. }) = signals.next().await {
            waits.push(due(token.parse()?).elapsed());
        }
    }
    sender.await??;
    owner.abort();
    waits.sort_unstable();
    let at = |share: f64| waits[(share * (total - 1) as f64) as usize];
    println!(
        "command → answer at 2,000/s: p50 {:.2?}, p99 {:.2?}, max {:.2?}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}
