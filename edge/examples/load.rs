//! What one edge can carry, beside a core that keeps nothing: pairs of clients send 200 bytes as
//! fast as their answers come, and every send is delivered to both. Edge, core and clients have
//! their own threads, so that the processor time of each is known.
//!
//! `cargo run --release -p weft-edge --example load -- [pairs] [in flight per client] [seconds]`
//!
//! With 0 in flight: what an idle session and its client take of memory together.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use weft_edge::{Edge, EdgeOptions, Limits, Rate};
use weft_nats::config::{Passwords, Secret, ServerConfig};
use weft_nats::subject::WEFT_ENTRY;
use weft_nats::{
    AssetOptions, Bus, BusOptions, IngestLog, NatsServer, ServerOptions, Services, Subject, assets,
};
use weft_proto::frame::Ack;
use weft_proto::svc::{GetKeys, Groups, Keys, ListGroups, Resync, Sync, SyncPage, VerifyKey};
use weft_proto::token::{Claims, TOKEN_AUDIENCE};
use weft_proto::{
    Body, ClientId, Cursor, Entry, EventHead, NodeId, Position, RoomId, StoreId, UserId,
};

const PARTITIONS: u16 = 4;
const PRIVATE: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0x94, 0x6d, 0x02, 0x05, 0xb7, 0x74, 0x9b, 0xe4, 0x1d, 0xc5, 0x58, 0xaf, 0xdd, 0xfc, 0x44, 0x96,
    0x81, 0x64, 0x6d, 0x28, 0x73, 0x6c, 0xd4, 0xd3, 0x1b, 0x06, 0x0e, 0xcd, 0x7f, 0xbf, 0xcb, 0x41,
];
const PUBLIC: [u8; 32] = [
    0x67, 0xa1, 0x6b, 0x69, 0x26, 0x9a, 0x25, 0xda, 0x28, 0x1d, 0xa4, 0x38, 0x2b, 0x9f, 0x75, 0x93,
    0xe8, 0x07, 0x85, 0x20, 0x8c, 0xc3, 0xfd, 0x37, 0x95, 0xbe, 0xe5, 0xab, 0xf9, 0xf7, 0x1e, 0xd3,
];

/// What was seen since the start.
#[derive(Default)]
struct Seen {
    acks: AtomicU64,
    entries: AtomicU64,
    holes: AtomicU64,
    /// Send to ack, in microseconds, summed.
    ack_us: AtomicU64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (pairs, in_flight, seconds) = (next(50)?, next(8)?, next(10)?);
    let runtime = |name: &str, threads| {
        Builder::new_multi_thread().thread_name(name).worker_threads(threads).enable_all().build()
    };
    let (setup, core, edge, clients) =
        (runtime("setup", 1)?, runtime("core", 2)?, runtime("edge", 2)?, runtime("client", 2)?);
    let dir = tempfile::tempdir()?;
    let server = setup.block_on(start_server(dir.path().to_owned()))?;
    let url = server.url();
    core.block_on(start_core(&url))?;
    let edge = start_edge(&edge, &url)?;

    let seen = Arc::new(Seen::default());
    let empty_bytes = resident_bytes()?;
    for pair in 0..pairs {
        for side in ["a", "b"] {
            let (seen, addr) = (Arc::clone(&seen), edge.local_addr());
            let names = [format!("u{pair}-a"), format!("u{pair}-b")];
            let me = format!("u{pair}-{side}");
            clients.spawn(async move {
                if let Err(error) = client(addr, &me, &names.join("~"), in_flight, &seen).await {
                    eprintln!("{me}: {error:#}");
                }
            });
        }
    }
    std::thread::sleep(Duration::from_secs(5));
    if in_flight == 0 {
        let each = (resident_bytes()? - empty_bytes) / (2.0 * pairs as f64);
        println!("{each:.0} bytes for a session and its client");
        std::process::exit(0);
    }
    let began = (Instant::now(), count(&seen), cpu(&server)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let ended = (Instant::now(), count(&seen), cpu(&server)?);
    let elapsed = (ended.0 - began.0).as_secs_f64();
    let acks = (ended.1.0 - began.1.0) as f64;
    println!(
        "{:.0} sends/s, {:.0} entries/s, ack {:.2} ms on average, {} holes",
        acks / elapsed,
        (ended.1.1 - began.1.1) as f64 / elapsed,
        (ended.1.2 - began.1.2) as f64 / acks / 1_000.0,
        seen.holes.load(Ordering::Relaxed),
    );
    for (name, after) in &ended.2 {
        let before = began.2.iter().find(|(other, _)| other == name).map_or(0.0, |(_, at)| *at);
        println!("{name:>7}: {:.1} us of processor per send", (after - before) * 1e6 / acks);
    }
    std::process::exit(0);
}

fn count(seen: &Seen) -> (u64, u64, u64) {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    (load(&seen.acks), load(&seen.entries), load(&seen.ack_us))
}

fn resident_bytes() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("kB")?.parse::<f64>()? * 1_024.0)
}

/// Processor seconds so far, of the threads of each name and of nats-server.
fn cpu(server: &NatsServer) -> Result<Vec<(String, f64)>> {
    let mut by_name: Vec<(String, f64)> = Vec::new();
    let mut add = |stat: String, name: Option<&str>| -> Result<()> {
        let (head, rest) = stat.rsplit_once(')').context("stat")?;
        let own = head.split_once('(').context("stat")?.1.to_owned();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        let name = name.map_or(own, str::to_owned);
        match by_name.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => *sum += ticks / 100.0,
            None => by_name.push((name, ticks / 100.0)),
        }
        Ok(())
    };
    for task in std::fs::read_dir("/proc/self/task")? {
        add(std::fs::read_to_string(task?.path().join("stat"))?, None)?;
    }
    add(std::fs::read_to_string(format!("/proc/{}/stat", server.pid()))?, Some("nats"))?;
    Ok(by_name)
}

async fn start_server(dir: PathBuf) -> Result<NatsServer> {
    let cache = std::env::home_dir().context("home")?.join(".cache/weft");
    let secret = |role: &str| Secret::Value(format!("{role}-password"));
    let passwords = Passwords {
        edge: secret("edge"),
        core: secret("core"),
        presence: secret("presence"),
        admin: secret("admin"),
    };
    let config = ServerConfig { partitions: PARTITIONS, passwords, bots: Vec::new() };
    let binary = weft_nats::find_or_install(&cache).await?;
    Ok(NatsServer::start(ServerOptions { binary, dir, port: None, config }).await?)
}

async fn connect(url: &str, role: &'static str) -> Result<Bus> {
    let options = BusOptions {
        url: url.to_owned(),
        user: role.to_owned(),
        password: format!("{role}-password"),
        role,
        node: NodeId::new(&format!("{role}-1"))?,
    };
    Ok(Bus::connect(&options).await?)
}

fn start_edge(runtime: &Runtime, url: &str) -> Result<Edge> {
    runtime.block_on(async {
        let rate = Rate { per_second: 1_000_000, burst: 1_000_000 };
        // The core below answers no audits.
        let limits = Limits {
            sends: rate,
            requests: rate,
            connects: rate,
            audit_every: None,
            tick_silence_max: None,
            ..Limits::default()
        };
        let options = EdgeOptions {
            bus: connect(url, "edge").await?,
            node: NodeId::new("edge-1")?,
            listen: ([127, 0, 0, 1], 0).into(),
            url: None,
            region: String::new(),
            partitions: PARTITIONS,
            limits,
        };
        Ok(Edge::start(options).await?)
    })
}

/// Gives seqs, answers and publishes; keeps nothing.
async fn start_core(url: &str) -> Result<()> {
    let bus = connect(url, "core").await?;
    assets::ensure(&bus, &AssetOptions { partitions: PARTITIONS, ..AssetOptions::default() })
        .await?;
    let mut services = Services::start(&bus, "0.1.0");
    let keys = |_: GetKeys| async {
        Ok(Keys {
            keys: vec![VerifyKey { kid: "k1".into(), public: PUBLIC.to_vec() }],
            partitions: PARTITIONS.into(),
        })
    };
    services.handle(8, keys).await?;
    services.handle(8, |_: ListGroups| async { Ok(Groups::default()) }).await?;
    let sync = |request: Sync| async move {
        let cursor = Cursor { store: StoreId(1), position: Position::MIN }.to_string();
        let no_cursor = if request.cursor.is_empty() { Resync::NoCursor } else { Resync::None };
        Ok(SyncPage { cursor, resync: no_cursor.into(), ..SyncPage::default() })
    };
    services.handle(64, sync).await?;
    std::mem::forget(services);
    for partition in 0..PARTITIONS {
        let (log, bus) = (IngestLog::open(&bus, partition), bus.clone());
        tokio::spawn(async move {
            if let Err(error) = work(log, bus).await {
                eprintln!("worker: {error:#}");
            }
        });
    }
    Ok(())
}

async fn work(log: IngestLog, bus: Bus) -> Result<()> {
    let mut reader = log.read_from(1, 0).await?;
    let mut seqs = std::collections::HashMap::<String, u64>::new();
    let mut trimmed_at = Instant::now();
    loop {
        let message = reader.next().await?;
        if trimmed_at.elapsed() > Duration::from_secs(1) {
            trimmed_at = Instant::now();
            log.purge_below(message.stream_seq).await?;
        }
        let seq = seqs.entry(message.room.clone()).or_default();
        *seq += 1;
        let room = RoomId::new(&message.room)?;
        let client_id = ClientId::parse(&message.client_id.context("client id")?)?;
        let position = Position::new(message.stream_seq, 0);
        let entry = Entry {
            room: room.clone(),
            seq: *seq,
            ordinal: *seq,
            from: UserId::new(&message.sender)?,
            client_id: Some(client_id),
            time_ms: message.stored_at_ms,
            body: Body::from_json(&message.payload)?,
        };
        let head = EventHead::of(&entry, position, None);
        let reply = message.reply.context("reply")?.subject();
        let (ordinal, time) = (Some(entry.ordinal), Some(entry.time_ms));
        let ack = Ack { room: &room, seq: *seq, ordinal, time, client_id: Some(client_id) };
        bus.publish(&reply, &[], ack.to_frame().into()).await?;
        let (frame, head): (bytes::Bytes, String) = (entry.to_frame().into(), head.to_string());
        let (a, b) = room.direct_users().context("direct")?;
        for user in [a, b] {
            bus.publish(&Subject::User(user), &[(WEFT_ENTRY, &head)], frame.clone()).await?;
        }
    }
}

fn token(name: &str) -> Result<String> {
    let header = Header { kid: Some("k1".into()), ..Header::new(Algorithm::EdDSA) };
    let audience = || TOKEN_AUDIENCE.to_owned();
    let claims = Claims {
        sub: name.to_owned(),
        dev: "d".to_owned(),
        iss: audience(),
        aud: audience(),
        iat: 0,
        exp: u64::from(u32::MAX),
        login: None,
    };
    Ok(jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&PRIVATE))?)
}

async fn client(
    edge: std::net::SocketAddr,
    me: &str,
    room: &str,
    in_flight: u64,
    seen: &Seen,
) -> Result<()> {
    let request = format!("ws://{edge}/v1/ws").into_client_request()?;
    let tcp = TcpStream::connect(edge).await?;
    tcp.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(4_096);
    let (mut socket, _) =
        tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await?;
    let hello = format!(r#"{{"id":1,"type":"hello","token":"{}"}}"#, token(me)?);
    socket.send(Message::text(hello)).await?;
    let text = "x".repeat(200);
    let (mut id, mut last) = (1, 0);
    let mut sent_at = std::collections::HashMap::new();
    while let Some(frame) = socket.next().await {
        let Message::Text(frame) = frame? else { continue };
        let to_send = if frame.contains(r#""type":"synced""#) {
            in_flight
        } else if frame.starts_with(r#"{"type":"entry""#) {
            let seq = frame.split(r#""seq":"#).nth(1).and_then(|rest| rest.split(',').next());
            let seq: u64 = seq.context("seq")?.parse()?;
            seen.entries.fetch_add(1, Ordering::Relaxed);
            seen.holes.fetch_add(u64::from(last != 0 && seq != last + 1), Ordering::Relaxed);
            last = seq;
            0
        } else if frame.contains(r#""type":"ack""#) {
            let answered = frame[6..].split(',').next().context("id")?.parse::<u64>()?;
            let at: Instant = sent_at.remove(&answered).context("asked")?;
            seen.acks.fetch_add(1, Ordering::Relaxed);
            seen.ack_us.fetch_add(at.elapsed().as_micros() as u64, Ordering::Relaxed);
            1
        } else if frame.contains(r#""type":"error""#) {
            bail!("{frame}");
        } else {
            0
        };
        for _ in 0..to_send {
            id += 1;
            sent_at.insert(id, Instant::now());
            let client_id = ClientId::from_parts(1, rand::random());
            let send = format!(
                r#"{{"id":{id},"type":"send","room":"{room}","client_id":"{client_id}","text":"{text}"}}"#
            );
            socket.feed(Message::text(send)).await?;
        }
        if to_send > 0 {
            socket.flush().await?;
        }
    }
    Ok(())
}
