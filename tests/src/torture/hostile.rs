//! Hostile clients beside the ordinary people: slow bodies, half heads, sockets that say nothing,
//! garbage, a storm of reconnects, floods. They come from addresses of their own (127.66.…), bounded in
//! number and pace, and what they must not change is how soon the people's sends are acknowledged.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::people::People;
use super::world::World;
use weft_harness::history::{ClientId, Device, Event, History};
use weft_harness::session::Session;
use weft_harness::ulid;

/// Connections at once that send a head and no body, for each edge.
const SLOW_BODIES: u64 = 1_100;
/// Connections at once that send half a head.
const HALF_HEADS: u64 = 100;
/// WebSockets at once without a hello.
const SILENT: u64 = 100;
/// Clients that send garbage on WebSockets.
const GARBAGE: u64 = 4;
/// Clients that come with a bad token, again and again.
const STORM: u64 = 4;
/// Users who send as much as they can, to a room that refuses them.
const FLOODS: u64 = 2;
/// Each of these connections goes on from one of this many addresses.
const ADDRESSES: u64 = 16;
/// How long a client holds what it has begun, where the edge lets it.
const HOLD: Duration = Duration::from_secs(40);
/// Before a client that holds connections comes again, in milliseconds: not all at once, which would measure
/// how fast this machine accepts connections.
const HOLDERS_PAUSE_MS: std::ops::Range<u64> = 0..5_000;
/// Before another hostile client comes again.
const PAUSE_MS: std::ops::Range<u64> = 20..80;
/// Until a measurement begins: people, or hostile clients, have come by then.
const WARM_UP: Duration = Duration::from_secs(6);

/// Whose p99 may grow this many times ...
const TIMES_MAX: u32 = 3;
/// ... but what is below that is no harm: nobody notices it.
const FLOOR: Duration = Duration::from_millis(300);
/// Whoever waits this long for one ack is shut out: meanwhile they send nothing that a p99 could tell of.
const SHUT_OUT: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Latency {
    pub(super) sends: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// The longest that a send was open within the time, from whenever it was sent.
    pub(super) longest: Duration,
}

/// Without and with hostile clients, on the same system.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Compared {
    pub(super) quiet: Latency,
    pub(super) hostile: Latency,
    /// Connections that hostile clients have made.
    pub(super) connections: u64,
}

impl Compared {
    fn is_harmless(&self) -> bool {
        let is_soon = self.hostile.p99 <= (self.quiet.p99 * TIMES_MAX).max(FLOOR);
        is_soon && self.hostile.longest < SHUT_OUT
    }

    /// The numbers of a run's last line.
    pub(super) fn line(&self) -> Value {
        let ms = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        let of = |it: Latency| {
            let (p50, p99, longest) = (ms(it.p50), ms(it.p99), ms(it.longest));
            json!({ "sends": it.sends, "p50_ms": p50, "p99_ms": p99, "longest_ms": longest })
        };
        json!({
            "quiet": of(self.quiet),
            "hostile": of(self.hostile),
            "hostile_connections": self.connections,
        })
    }
}

/// Hostile clients; they end when this value goes.
pub(super) struct Hostile {
    _tasks: JoinSet<()>,
    connections: Arc<AtomicU64>,
}

/// Measures the people alone, and then beside hostile clients, who stay.
pub(super) async fn join(
    world: &Arc<World>,
    people: &People,
    phase: Duration,
) -> Result<(Hostile, Compared)> {
    let steady = steady(people);
    let measure = async || {
        let from = world.recorder.now();
        sleep(phase).await;
        latency(&world.recorder.history(), (from, world.recorder.now()), &steady)
    };
    // The first texts of all devices come at once.
    sleep(WARM_UP).await;
    let quiet = measure().await;
    let hostile = Hostile::start(world, people).await?;
    sleep(WARM_UP).await;
    let connections = hostile.connections.load(Ordering::Relaxed);
    let compared = Compared { quiet, hostile: measure().await, connections };
    eprintln!("{:9.3} {}", world.recorder.now().as_secs_f64(), compared.line());
    if !compared.is_harmless() {
        world.found(format!("hostile clients made sends slow: {}", compared.line()));
    }
    Ok((hostile, compared))
}

/// Devices that do not come and go by themselves, and those that send by HTTP.
fn steady(people: &People) -> HashSet<Device> {
    let by_http = people.users.iter().map(|login| format!("{}/http", login.user).into());
    let staying = people.persons.iter().step_by(2).map(|person| person.client.name().clone());
    by_http.chain(staying).collect()
}

/// From each first send to its ack, of those that were sent within the time. One that has no answer yet
/// counts as it is.
fn latency(
    history: &History,
    (from, to): (Duration, Duration),
    devices: &HashSet<Device>,
) -> Latency {
    let is_within = |since: &Duration| (from..to).contains(since);
    let (mut sent, mut took) = (HashMap::<&ClientId, Duration>::new(), Vec::new());
    let mut longest = Duration::ZERO;
    for (event, at) in history.events.iter().zip(&history.times) {
        match event {
            Event::Sent { device, client_id, .. } if devices.contains(device) => {
                sent.entry(client_id).or_insert(*at);
            }
            Event::Acked { client_id, .. } => {
                let Some(since) = sent.remove(client_id) else { continue };
                if *at >= from {
                    longest = longest.max(*at - since);
                }
                took.extend(is_within(&since).then(|| *at - since));
            }
            Event::Refused { client_id, temporary: false, .. } => {
                sent.remove(client_id);
            }
            _ => {}
        }
    }
    longest = sent.values().map(|since| to.saturating_sub(*since)).fold(longest, Duration::max);
    took.extend(sent.into_values().filter(is_within).map(|since| to - since));
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 100).copied().unwrap_or_default();
    Latency { sends: took.len(), p50: at(50), p99: at(99), longest }
}

/// What a hostile client does with a connection.
#[derive(Clone, Copy)]
enum Act {
    SlowBody,
    HalfHead,
    Silent,
    Garbage,
    BadToken,
}

impl Hostile {
    async fn start(world: &Arc<World>, people: &People) -> Result<Self> {
        let (mut tasks, connections) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
        let crowds = [
            (Act::SlowBody, SLOW_BODIES),
            (Act::HalfHead, HALF_HEADS),
            (Act::Silent, SILENT),
            (Act::Garbage, GARBAGE),
            (Act::BadToken, STORM),
        ];
        for edge in world.system.edges() {
            for (act, count) in crowds {
                for number in 0..count {
                    tasks.spawn(again(*edge, act, number, Arc::clone(&connections)));
                }
            }
        }
        let room = people.places.first().context("a room")?.room.clone();
        for number in 0..FLOODS {
            let login = world.system.user("flood").await?;
            let edges = world.system.edges();
            let edge = edges[usize::try_from(number)? % edges.len()];
            let room = room.clone();
            tasks.spawn(async move {
                loop {
                    // Closed, or refused: it comes back.
                    let _ = flood(edge, &login, &room).await;
                    pause(PAUSE_MS).await;
                }
            });
        }
        Ok(Self { _tasks: tasks, connections })
    }
}

async fn pause(ms: std::ops::Range<u64>) {
    let ms = rand::rng().random_range(ms);
    sleep(Duration::from_millis(ms)).await;
}

async fn again(edge: SocketAddr, act: Act, number: u64, connections: Arc<AtomicU64>) {
    let host = u8::try_from(number % ADDRESSES).unwrap_or_default() + 1;
    let ms = match act {
        Act::SlowBody | Act::HalfHead | Act::Silent => HOLDERS_PAUSE_MS,
        Act::Garbage | Act::BadToken => PAUSE_MS,
    };
    loop {
        pause(ms.clone()).await;
        if let Ok(stream) = connect(edge, Ipv4Addr::new(127, 66, act as u8, host)).await {
            connections.fetch_add(1, Ordering::Relaxed);
            // However it ends, the next one comes.
            let _ = timeout(HOLD, bother(stream, act)).await;
        }
    }
}

async fn connect(edge: SocketAddr, from: Ipv4Addr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    Ok(timeout(HOLD, socket.connect(edge)).await??)
}

async fn bother(mut stream: TcpStream, act: Act) -> Result<()> {
    match act {
        Act::SlowBody => {
            let head = "POST /v1/accounts HTTP/1.1\r\nhost: weft\r\ncontent-type: application/json\r\n\
                        content-length: 100\r\n\r\n{";
            stream.write_all(head.as_bytes()).await?;
        }
        Act::HalfHead => stream.write_all(b"GET /v1/ws HTTP/1.1\r\nhost: weft\r\n").await?,
        Act::Silent => upgrade(&mut stream).await?,
        Act::Garbage => {
            upgrade(&mut stream).await?;
            let bytes: Vec<u8> = (0..4_096).map(|_| rand::random()).collect();
            stream.write_all(&bytes).await?;
        }
        Act::BadToken => {
            upgrade(&mut stream).await?;
            let hello = json!({ "id": 1, "type": "hello", "token": ulid::fresh() }).to_string();
            stream.write_all(&masked(hello.as_bytes())).await?;
        }
    }
    until_closed(&mut stream).await
}

async fn upgrade(stream: &mut TcpStream) -> Result<()> {
    let head = "GET /v1/ws HTTP/1.1\r\nhost: weft\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                sec-websocket-protocol: weft.v1\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut answer = [0; 1_024];
    let count = stream.read(&mut answer).await?;
    let is_open = answer[..count].starts_with(b"HTTP/1.1 101");
    is_open.then_some(()).context("it was refused")
}

/// A short text frame of a client.
fn masked(text: &[u8]) -> Vec<u8> {
    // A mask of zeroes leaves the bytes as they are.
    let length = u8::try_from(text.len()).unwrap_or(125).min(125);
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&text[..length.into()]);
    frame
}

async fn until_closed(stream: &mut TcpStream) -> Result<()> {
    let mut scratch = [0; 1_024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

/// Sends without waiting for answers, to a room of others, until the socket ends.
async fn flood(edge: SocketAddr, login: &weft_harness::account::Login, room: &str) -> Result<()> {
    let mut session = Session::open(edge, login, None).await?;
    loop {
        let mut last = 0;
        for _ in 0..200 {
            let text = "x".repeat(2_000);
            let send =
                json!({ "type": "send", "room": room, "client_id": ulid::fresh(), "text": text });
            last = session.begin(send).await?;
        }
        session.answer(last).await?;
        pause(PAUSE_MS).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_does_not_count_and_what_was_sent_again_counts_from_the_first() {
        let device = |name: &str| Device::from(name);
        let mut history = History::default();
        let mut at = |ms: u64, event| {
            history.events.push(event);
            history.times.push(Duration::from_millis(ms));
        };
        let sent = |name: &str, id: &str| Event::Sent {
            device: device(name),
            session: weft_harness::history::SessionId(1),
            room: "r".into(),
            client_id: id.into(),
            text: 0,
            said: None,
        };
        let acked = |name: &str, id: &str| Event::Acked {
            device: device(name),
            session: weft_harness::history::SessionId(1),
            room: "r".into(),
            client_id: id.into(),
            seq: 1,
        };
        at(10, sent("a", "early"));
        at(100, sent("a", "one"));
        at(110, sent("b", "other"));
        at(150, sent("a", "one"));
        at(160, acked("a", "early"));
        at(170, acked("b", "other"));
        at(180, acked("a", "one"));
        let span = (Duration::from_millis(50), Duration::from_millis(200));
        let found = latency(&history, span, &HashSet::from([device("a")]));
        assert_eq!((found.sends, found.p99), (1, Duration::from_millis(80)));
        let compared = Compared { quiet: found, hostile: found, connections: 0 };
        assert!(compared.is_harmless());
        let slow = Latency { p99: Duration::from_millis(301), ..found };
        assert!(!Compared { hostile: slow, ..compared }.is_harmless());
    }
}
