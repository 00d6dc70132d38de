//! `weft-bench feeds`: what the feeds of bots cost, with very many rooms and many bots of which none reads anything.
//!
//! A store with the rooms is written, as owners write it; core, NATS and a node of integrations then run as separate processes. The node is
//! away while entries are sent, and what it does with them after its start is its rate: of entries in rooms with one bot, in rooms
//! with none, and in a room with a hundred. Then entries are sent one by one, with the node there.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use weft_core::services::layout;
use weft_harness::nats::Nats;
use weft_harness::system::{Engine, Options, System, role_env, weft};
use weft_harness::ulid;
use weft_nats::{Bus, IngestPublisher, IngestSignals, Signal};
use weft_proto::kind::Create;
use weft_proto::svc::ListFollowers;
use weft_proto::{Body, Entry, History, NodeId, Role, RoomId, UserId};
use weft_runtime::{Clock as _, SystemClock};
use weft_storage::embedded::Embedded;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::layout::FEATURE_LEVEL;
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{log, user_room};
use weft_storage::{Batch, Store};

use crate::cpu::{resident_bytes, used_us};
use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, connect, end, ready};

/// Rooms that one commit writes.
const ROOMS_AT_ONCE: usize = 500;
/// Commands without an answer.
const UNDERWAY_MAX: usize = 500;
/// Rooms without a bot.
const QUIET_ROOMS: usize = 1_000;
/// Bots of the room with many.
const CROWD: usize = 100;
const LIMIT: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Args, Clone, Debug)]
pub struct FeedsOptions {
    /// How many bots there are.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    bots: u32,
    /// How many rooms: each has one of them, and an owner.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    rooms: u32,
    /// How many entries are sent while the node is away, to rooms with a bot and to others.
    #[arg(long, default_value_t = 20_000)]
    entries: usize,
    /// How many to the room with a hundred bots.
    #[arg(long, default_value_t = 200)]
    crowd_entries: usize,
    /// How many one by one.
    #[arg(long, default_value_t = 50)]
    live: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    bots: u32,
    rooms: u32,
    entries: usize,
    /// Bots are found in a store that has no feeds yet: all accounts and their groups.
    find_bots_s: f64,
    one_bot: Drained,
    no_bot: Drained,
    hundred_bots: Drained,
    ack_to_feed_ms: Quantiles,
    /// Of the stream: what an entry of a bot that reads nothing costs.
    stream_bytes_per_message: f64,
    integrations_rss_mb: f64,
}

/// What a node does that was away.
#[derive(Serialize)]
struct Drained {
    entries_per_s: f64,
    messages_per_s: f64,
    integrations_us_per_entry: f64,
    core_us_per_entry: f64,
    nats_us_per_entry: f64,
}

fn user(name: &str) -> Result<UserId> {
    UserId::new(name).map_err(|error| anyhow!(error.message))
}

fn room(name: &str) -> Result<RoomId> {
    RoomId::new(name).map_err(|error| anyhow!(error.message))
}

pub async fn measure(options: &FeedsOptions) -> Result<()> {
    let mut system = System::split(Options {
        cores: 0,
        edges: 0,
        store: Engine::Embedded,
        partitions: options.place.partitions,
        folder: Some(options.place.parent()),
        ..Options::default()
    })
    .await?;
    let measured = measured(options, &mut system).await;
    print(&end(system, measured)?)
}

async fn measured(options: &FeedsOptions, system: &mut System) -> Result<Report> {
    let began = Instant::now();
    fill(options, system).await?;
    progress(&format!(
        "{} rooms are written in {:.1} s",
        options.rooms,
        began.elapsed().as_secs_f64()
    ));
    let mut env = role_env("core");
    env.push(("WEFT_PARTITIONS".to_owned(), options.place.partitions.to_string()));
    let mut args = system.core_args("store");
    let million = |option: &str| format!("--{option}=1000000");
    args.extend(["sender-rate-per-s", "sender-burst"].map(million));
    system.add("core", weft().await, args, env).await?;
    ready(system, "core").await;
    let url = system.nats_url();
    let args = ["integrations", "--nats", &url, "--node", "integrations-0"].map(str::to_owned);
    let began = Instant::now();
    system.add("integrations-0", weft().await, args.to_vec(), role_env("integrations")).await?;
    ready(system, "integrations-0").await;
    let find_bots_s = round(began.elapsed().as_secs_f64());
    progress(&format!("bots are found in {find_bots_s} s"));
    let admin = connect(system, "admin", "bench").await?;
    let mut sender = Sender::start(system).await?;
    let names = |prefix: &'static str, count: usize| {
        move |n: usize| -> Result<(UserId, RoomId)> {
            let number = n * 7_919 % count;
            Ok((user(&owner_of(prefix, number))?, room(&format!("{prefix}{number}"))?))
        }
    };
    let of_one = names("g", options.rooms as usize);
    let one_bot = drained(system, (&admin, &mut sender), options.entries, &of_one).await?;
    let state = stream_state(system).await?;
    let stream_bytes_per_message = round(state.1 as f64 / state.0.max(1) as f64);
    let of_none = names("q", QUIET_ROOMS);
    let no_bot = drained(system, (&admin, &mut sender), options.entries, &of_none).await?;
    let crowd = |_| Ok((user("o-crowd")?, room("crowd")?));
    let hundred_bots =
        drained(system, (&admin, &mut sender), options.crowd_entries, &crowd).await?;
    let ack_to_feed_ms = live(options, system, &mut sender).await?;
    let rss = resident_bytes(system.process("integrations-0").pid()?)?;
    Ok(Report {
        scenario: "feeds",
        bots: options.bots,
        rooms: options.rooms,
        entries: options.entries,
        find_bots_s,
        one_bot,
        no_bot,
        hundred_bots,
        ack_to_feed_ms,
        stream_bytes_per_message,
        integrations_rss_mb: round(rss as f64 / 1e6),
    })
}

fn owner_of(prefix: &str, number: usize) -> String {
    format!("o-{prefix}{}", number / 100)
}

/// Writes the accounts of bots, and the rooms.
async fn fill(options: &FeedsOptions, system: &System) -> Result<()> {
    let store = Store::new(Embedded::open(&system.path().join("store"))?);
    layout::open(&store, options.place.partitions, FEATURE_LEVEL).await?;
    let mut batch = Batch::new(rand::random());
    for number in 0..options.bots {
        let row = Account { is_bot: true, ..Account::default() };
        account::put(&mut batch, &user(&format!("b{number}"))?, None, &row);
    }
    store.commit(batch).await?;
    let with_bot = (0..options.rooms as usize).map(|number| ("g", number));
    let without = (0..QUIET_ROOMS).map(|number| ("q", number));
    let all: Vec<_> = with_bot.chain(without).collect();
    for some in all.chunks(ROOMS_AT_ONCE) {
        let mut batch = Batch::new(rand::random());
        for (order, (prefix, number)) in (0..).zip(some) {
            let bot = format!("b{}", number % options.bots as usize);
            let bots = if *prefix == "g" { vec![bot] } else { Vec::new() };
            let names = (format!("{prefix}{number}"), owner_of(prefix, *number));
            write_room(&mut batch, order, (&names.0, &names.1), &bots)?;
        }
        store.commit(batch).await?;
    }
    let mut batch = Batch::new(rand::random());
    let bots: Vec<_> = (0..CROWD).map(|number| format!("b{number}")).collect();
    write_room(&mut batch, 0, ("crowd", "o-crowd"), &bots)?;
    store.commit(batch).await?;
    Ok(())
}

fn write_room(
    batch: &mut Batch,
    order: u16,
    (name, owner): (&str, &str),
    bots: &[String],
) -> Result<()> {
    let (id, owner) = (room(name)?, user(owner)?);
    let time_ms = SystemClock.now_ms();
    let members = bots.iter().map(|bot| user(bot)).collect::<Result<Vec<_>>>()?;
    let body = Create { title: name.into(), members: members.clone(), history: History::All };
    let (seq, body) = (1, Body::Create(body));
    let entry = Entry {
        room: id.clone(),
        seq,
        ordinal: 0,
        from: owner.clone(),
        client_id: None,
        time_ms,
        body,
    };
    log::put(batch, order, &entry);
    let head = Head {
        seq,
        time_ms,
        title: name.to_owned(),
        history: History::All.into(),
        member_count: u32::try_from(bots.len() + 1)?,
        owner_count: 1,
        ..Head::default()
    };
    head::put(batch, &id, order, &head);
    let rows = members.into_iter().map(|bot| (bot, Role::Member));
    for (member, role) in rows.chain([(owner, Role::Owner)]) {
        batch.set(member::key(&id, &member), Member::joined(role, 1).encode());
        batch.set(user_room::key(&member, &id), Bytes::new());
    }
    Ok(())
}

/// Sends as an edge does, without one.
struct Sender {
    publisher: IngestPublisher,
    signals: IngestSignals,
    _bus: Bus,
    sent: u64,
    /// The tokens of those without an answer.
    underway: HashSet<String>,
}

impl Sender {
    async fn start(system: &System) -> Result<Self> {
        let bus = connect(system, "edge", "bench").await?;
        let node = NodeId::new("bench").map_err(|error| anyhow!(error.message))?;
        let (publisher, signals) = IngestPublisher::start(&bus, &node).await?;
        Ok(Self { publisher, signals, _bus: bus, sent: 0, underway: HashSet::new() })
    }

    async fn send(&mut self, (from, room): (UserId, RoomId)) -> Result<()> {
        while self.underway.len() >= UNDERWAY_MAX {
            self.answered().await?;
        }
        self.sent += 1;
        let token = format!("t{}", self.sent);
        let text = "x".repeat(200);
        let payload = json!({ "kind": "message", "text": text }).to_string();
        let id = ulid::fresh();
        self.publisher.publish(&token, &from, &room, (&id, None), payload.into()).await?;
        self.underway.insert(token);
        Ok(())
    }

    async fn answered(&mut self) -> Result<()> {
        let signal = tokio::time::timeout(LIMIT, self.signals.next()).await;
        match signal.context("no answer")?.context("no signals")? {
            Signal::Answered { token, answer } => {
                ensure!(answer.error.is_none(), "{answer:?}");
                self.underway.remove(&token);
            }
            Signal::Refused { error, .. } => return Err(anyhow!(error.message)),
            Signal::Stored { .. } => {}
        }
        Ok(())
    }

    async fn all_answered(&mut self) -> Result<()> {
        while !self.underway.is_empty() {
            self.answered().await?;
        }
        Ok(())
    }
}

/// Entries are sent while the node is away, and then it is there.
async fn drained(
    system: &System,
    (admin, sender): (&Bus, &mut Sender),
    entries: usize,
    place: &(dyn Fn(usize) -> Result<(UserId, RoomId)> + Sync),
) -> Result<Drained> {
    let node = system.process("integrations-0");
    node.kill()?;
    for n in 0..entries {
        sender.send(place(n)?).await?;
    }
    sender.all_answered().await?;
    let before = stream_state(system).await?.2;
    let (core, nats) = (system.process("core").pid()?, system.nats_pid()?);
    let used = || Ok::<_, anyhow::Error>((used_us(&[core])?, used_us(&[nats])?));
    let was = used()?;
    node.restart()?;
    let began = Instant::now();
    // Its start is no part of the rate.
    let mut first: Option<Instant> = None;
    loop {
        if is_followed(admin).await? {
            break;
        }
        if first.is_none() && stream_state(system).await?.2 > before {
            first = Some(Instant::now());
        }
        ensure!(began.elapsed() < LIMIT, "the node does not come to the end");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took_s = first.unwrap_or(began).elapsed().as_secs_f64().max(0.001);
    let messages = stream_state(system).await?.2 - before;
    let now = used()?;
    let per_entry = |us: u64| round(us as f64 / entries.max(1) as f64);
    progress(&format!("{entries} entries, {messages} messages, in {took_s:.2} s"));
    Ok(Drained {
        entries_per_s: round(entries as f64 / took_s),
        messages_per_s: round(messages as f64 / took_s),
        integrations_us_per_entry: per_entry(used_us(&[node.pid()?])?),
        core_us_per_entry: per_entry(now.0 - was.0),
        nats_us_per_entry: per_entry(now.1 - was.1),
    })
}

/// All that was committed is in feeds.
async fn is_followed(admin: &Bus) -> Result<bool> {
    let mut partition = 0;
    loop {
        let listed = admin.call(&ListFollowers { partition }).await?;
        let place = listed.followers.iter().find(|it| it.follower == "feeds");
        if place.is_none_or(|place| place.commit_no < listed.newest) {
            return Ok(false);
        }
        partition += 1;
        if partition >= listed.partitions {
            return Ok(true);
        }
    }
}

/// Messages, bytes, and the last sequence of the stream.
async fn stream_state(system: &System) -> Result<(u64, u64, u64)> {
    let mut admin = system.nats_as("admin").await?;
    let info = admin.jetstream("STREAM.INFO.WEFT_BOTS", &json!({})).await?;
    let number = |name: &str| info["state"][name].as_u64().unwrap_or_default();
    Ok((number("messages"), number("bytes"), number("last_seq")))
}

/// From the answer to the message in the feed.
async fn live(options: &FeedsOptions, system: &System, sender: &mut Sender) -> Result<Quantiles> {
    let mut nats: Nats = system.nats_as("admin").await?;
    nats.subscribe("weft.bot.*.*").await?;
    nats.flush().await?;
    let latencies = Latencies::default();
    for n in 0..options.live {
        let number = n % options.rooms as usize;
        let at = (user(&owner_of("g", number))?, room(&format!("g{number}"))?);
        sender.send(at).await?;
        sender.all_answered().await?;
        let began = Instant::now();
        nats.next().await?;
        latencies.record(began.elapsed());
    }
    Ok(latencies.quantiles())
}
