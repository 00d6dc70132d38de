//! One schedule: who takes part, what disturbs them, and how it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::{Batch, Engine};

use super::client::{USERS, client, crowd, user, wishes};
use super::closed::ADMINISTRATOR;
use super::config::{Config, Fault, Removed};
use super::device::device;
use super::edge::Edge;
use super::in_order::InOrder;
use super::marks::turn_off;
use super::node::Node;
use super::session::session;
use super::world::World;

pub const STORE_ID: u64 = 7;

pub struct Report {
    /// Everything that happened, line by line.
    pub trace: String,
    /// The first rule that was broken.
    pub violation: Option<String>,
    pub acks: u64,
    pub refusals: u64,
    pub lives: u32,
    /// Entries that went out on sockets.
    pub puts: u64,
    /// Cursors that did.
    pub cursors: u64,
    pub ticks: u64,
}

pub fn run(config: Config) -> Report {
    let removed = config.removed;
    weft_core::partition::sabotage::take_out(removed.and_then(Removed::of_core));
    weft_edge::sabotage::take_out(removed.and_then(Removed::of_edge));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("runtime");
    let report = runtime.block_on(async {
        let world = World::new(config);
        tokio::select! {
            biased;
            () = world.broken.cancelled() => {}
            () = schedule(&world) => {}
        }
        let check = world.check.lock().expect("check");
        let (acks, refusals, lives) = (check.acks, check.refusals, check.lives());
        let (puts, cursors, ticks) = (check.due.puts, check.due.cursors, check.watched.ticks);
        let (trace, violation) = world.end();
        // They hold the world that holds them.
        world.edges.lock().expect("edges").clear();
        Report { trace, violation, acks, refusals, lives, puts, cursors, ticks }
    });
    weft_core::partition::sabotage::take_out(None);
    weft_edge::sabotage::take_out(None);
    report
}

async fn schedule(world: &Arc<World>) {
    set_up(world);
    super::services::speak_of(&world.memory);
    let is_duel = world.has(Fault::Duel);
    let nodes: Vec<Arc<Node>> = (0..world.config.nodes)
        .map(|number| Node::start(world, &format!("n{number}"), number == 0 || is_duel))
        .collect();
    let mut clients = tokio::task::JoinSet::new();
    for (number, wish) in wishes(world).into_iter().enumerate() {
        let (mouth, ear) = mpsc::unbounded_channel();
        world.clients.lock().expect("clients").push(mouth);
        clients.spawn(client(Arc::clone(world), number, wish, ear));
    }
    let edges = (world.config.devices + world.config.sessions).min(1 + world.below(2));
    for number in 0..edges {
        let edge = Edge::start(world, format!("e{number}"));
        world.edges.lock().expect("edges").push(edge);
    }
    for number in 0..world.config.sessions {
        clients.spawn(session(Arc::clone(world), number, super::session::wishes(world)));
    }
    let devices = (0..world.config.devices).map(|number| {
        Box::pin(device(Arc::clone(world), number)) as Pin<Box<dyn Future<Output = ()> + Send>>
    });
    tokio::spawn(InOrder::new(devices.collect()));
    disturb(world, &nodes).await;
    world.say(format_args!("calm"));
    world.calm_down();
    for node in &nodes {
        node.assign(false);
        node.with_life(|life| life.doom());
    }
    // Everything that is on its way arrives.
    sleep(Duration::from_secs(12)).await;
    let last = Node::start(world, "last", true);
    let everybody = async { while clients.join_next().await.is_some() {} };
    if timeout(Duration::from_secs(300), everybody).await.is_err() {
        world.violate("a client waits in vain".into());
        return;
    }
    // Idle: what is published becomes known to the store, and what the wire lost to the edges.
    sleep(Duration::from_secs(30)).await;
    last.assign(false);
    sleep(Duration::from_secs(8)).await;
    super::end::judge(world);
}

fn set_up(world: &World) {
    let mut batch = Batch::new([0xff; 16]);
    batch.set(layout::key(), layout_row(1));
    let accounts = USERS.into_iter().map(user);
    let crowd = if world.has(Fault::Large) { crowd() } else { Vec::new() };
    for user in accounts.chain(crowd) {
        batch.set(account::key(&user), Account::default().encode());
    }
    let administrator = Account { is_admin: true, ..Account::default() };
    batch.set(account::key(&user(ADMINISTRATOR)), administrator.encode());
    turn_off(world, &mut batch);
    super::store::now(world.memory.commit(batch));
}

pub fn layout_row(epoch: u64) -> bytes::Bytes {
    Layout { epoch, ..Layout::new(1, STORE_ID) }.encode()
}

/// Plays the faults that come from outside of an owner.
async fn disturb(world: &Arc<World>, nodes: &[Arc<Node>]) {
    let faults: Vec<Fault> = Fault::FROM_OUTSIDE.into_iter().filter(|f| world.has(*f)).collect();
    let mut left_ms = world.config.span_ms;
    while left_ms > 0 {
        let wait_ms = (1 + world.below(1_200)).min(left_ms);
        sleep(Duration::from_millis(wait_ms)).await;
        left_ms -= wait_ms;
        // Some of the time nothing happens.
        if let Some(fault) = faults.get(world.below(faults.len() as u64 + 2) as usize) {
            let node = &nodes[world.below(nodes.len() as u64) as usize];
            happen(world, nodes, node, *fault);
        }
    }
}

fn happen(world: &Arc<World>, nodes: &[Arc<Node>], node: &Arc<Node>, fault: Fault) {
    match fault {
        Fault::Crash => node.with_life(|life| life.doom()),
        Fault::Leave => {
            let next = &nodes[world.below(nodes.len() as u64) as usize];
            world.say(format_args!("the partition moves"));
            nodes.iter().for_each(|node| node.assign(Arc::ptr_eq(node, next)));
        }
        Fault::Duel => nodes.iter().for_each(|node| node.assign(true)),
        Fault::Freeze => node.with_life(|life| life.freeze(world.below(8_000))),
        Fault::LogBack => world.log_goes_back(),
        Fault::LogHole => world.log_loses_some(),
        Fault::BusAway => world.bus_goes_away(),
        Fault::EdgeDies => world.an_edge_dies(),
        Fault::WireStalls if world.has_edges() => world.edge().wire.grow_deaf(),
        Fault::StoreAway => world.store_goes_away(),
        Fault::ClockJump => {
            let minutes = world.below(27 * 60) as i64;
            let sign = if world.below(4) == 0 { -1 } else { 1 };
            world.jump(sign * minutes * 60_000);
        }
        Fault::ClockSkew => node.with_life(|life| life.set_clock()),
        Fault::Layout => {
            let mut batch = Batch::new([0xff; 16]);
            batch.set(layout::key(), layout_row(2 + world.below(1 << 20)));
            super::store::now(world.memory.commit(batch));
            world.say(format_args!("the layout changes"));
        }
        _ => {}
    }
}
