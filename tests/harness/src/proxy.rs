//! A TCP proxy between two parts, with faults: delay, stall, refusal, cut; and for NATS the silent
//! loss of messages, which no TCP fault makes.
//!
//! It lives in the test's process, and its port stays the same while its target restarts or moves.

mod frames;
mod pump;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use frames::Frame;

/// What is spoken through a proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Tcp,
    /// The protocol of NATS clients: the proxy knows single messages, and hides the addresses of
    /// servers that the client could go to past it.
    Nats,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Towards {
    /// To the one who connected.
    Client,
    Server,
}

/// What a proxy does with what flows through it. The last four need [`Kind::Nats`]; elsewhere
/// nothing is a message, and they do nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Everything passes so much later, in order.
    Delay(Duration),
    /// Nothing passes; the connections stay open. What was held passes afterwards.
    Stall,
    /// New connections are closed at once. The others go on.
    Refuse,
    /// All messages vanish; pings, pongs and subscriptions pass. So nobody notices.
    Swallow,
    /// The first message whose subject begins so vanishes; everything after it passes.
    SwallowOne {
        subject_prefix: String,
    },
    /// Every message whose subject begins so vanishes.
    SwallowThose {
        subject_prefix: String,
    },
    /// Of this many messages, one vanishes.
    SwallowSome {
        /// How many; 1 is all of them.
        every: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flow {
    pub bytes: u64,
    /// Messages that passed; [`Kind::Nats`] alone knows them.
    pub messages: u64,
    pub swallowed: u64,
}

/// What went through a proxy since its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub to_client: Flow,
    pub to_server: Flow,
}

/// A running proxy. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port. The target need not listen yet.
    pub async fn start(target: SocketAddr, kind: Kind) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            kind,
            target: Mutex::new(target),
            to_client: Arc::new(Way::new()),
            to_server: Arc::new(Way::new()),
            cuts: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault, both ways; of the messages of both, one is the first.
    pub fn set(&self, fault: Fault) {
        let armed = Armed::new(fault);
        self.shared.to_client.armed.send_replace(armed.clone());
        self.shared.to_server.armed.send_replace(armed);
    }

    /// Sets the fault of one way; the other keeps its own.
    pub fn set_towards(&self, towards: Towards, fault: Fault) {
        let way = match towards {
            Towards::Client => &self.shared.to_client,
            Towards::Server => &self.shared.to_server,
        };
        way.armed.send_replace(Armed::new(fault));
    }

    /// Closes all connections now. New ones are taken.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// New connections go there; open ones stay.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// What went through it so far.
    pub fn counts(&self) -> Counts {
        Counts { to_client: self.shared.to_client.flow(), to_server: self.shared.to_server.flow() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are its children and end with it.
        self.accepting.abort();
    }
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    target: Mutex<SocketAddr>,
    to_client: Arc<Way>,
    to_server: Arc<Way>,
    cuts: watch::Sender<u64>,
}

/// A fault, and what it has seen of messages since it was set.
#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    seen: Arc<AtomicU64>,
}

impl Armed {
    fn new(fault: Fault) -> Self {
        Self { fault, seen: Arc::default() }
    }

    /// True where this message is to vanish. To be asked once for each.
    fn swallows(&self, subject: &str) -> bool {
        let is_nth = |n: u64| (self.seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(n);
        match &self.fault {
            Fault::Swallow => true,
            Fault::SwallowSome { every } => is_nth((*every).max(1)),
            Fault::SwallowOne { subject_prefix } => {
                subject.starts_with(subject_prefix)
                    && self.seen.fetch_add(1, Ordering::Relaxed) == 0
            }
            Fault::SwallowThose { subject_prefix } => subject.starts_with(subject_prefix),
            Fault::None | Fault::Delay(_) | Fault::Stall | Fault::Refuse => false,
        }
    }
}

/// One of the two ways, for all connections.
#[derive(Debug)]
struct Way {
    armed: watch::Sender<Armed>,
    bytes: AtomicU64,
    messages: AtomicU64,
    swallowed: AtomicU64,
}

impl Way {
    fn new() -> Self {
        Self {
            armed: watch::Sender::new(Armed::new(Fault::None)),
            bytes: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
        }
    }

    fn flow(&self) -> Flow {
        Flow {
            bytes: self.bytes.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            swallowed: self.swallowed.load(Ordering::Relaxed),
        }
    }

    fn refuses(&self) -> bool {
        self.armed.borrow().fault == Fault::Refuse
    }

    /// True where the frame is a message that vanishes now.
    fn swallows(&self, frame: &Frame) -> bool {
        let Some(subject) = &frame.subject else { return false };
        let swallows = self.armed.borrow().swallows(subject);
        self.swallowed.fetch_add(u64::from(swallows), Ordering::Relaxed);
        swallows
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Both are cancel-safe.
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                if !shared.to_client.refuses() && !shared.to_server.refuses() {
                    connections.spawn(connect(client, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, to its end or a cut.
async fn connect(client: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let passed = async {
        let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody there: the client sees its connection closed.
        let Ok(server) = TcpStream::connect(target).await else { return };
        let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pump::run(from_client, to_server, &shared.to_server, shared.kind),
            pump::run(from_server, to_client, &shared.to_client, shared.kind),
        );
    };
    tokio::select! {
        () = passed => {}
        _ = cuts.changed() => {}
    }
}
