//! Edges: what the product's own delivery, feeds and audits get in place of NATS. Subscriptions,
//! calls and the connection are played; all else is the edge's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use weft_edge::Limits;
use weft_edge::answers::Answers;
use weft_edge::ports::{Messages, Wire};
use weft_edge::reading::Reading;
use weft_edge::sending::Sending;
use weft_edge::ticks::Ticks;
use weft_nats::{Connection, Error, Message, Subject};
use weft_proto::svc::Method;
use weft_proto::{ApiError, ErrorCode, NodeId, Tick};
use weft_runtime::Shutdown;

use super::config::Fault;
use super::services;
use super::session::EdgeIngest;
use super::world::World;

/// As edges ship, but that nobody gives up: so whoever can't be served shows as a violation.
fn limits() -> Limits {
    let ever = Duration::from_secs(1_000);
    Limits { sync_patience: ever, give_up_after: ever, ..Limits::default() }
}

pub struct Edge {
    pub name: String,
    pub wire: EdgeWire,
    pub reading: Arc<Reading<EdgeWire>>,
    pub sending: Arc<Sending<EdgeIngest>>,
    /// They end when it dies.
    pub tasks: Shutdown,
}

impl Edge {
    pub fn start(world: &Arc<World>, name: String) -> Arc<Self> {
        let (wire, tasks) = (EdgeWire::new(world, &name), Shutdown::new());
        let ticks = Arc::new(Ticks::new(1, limits().tick_silence_max));
        let reading = Reading::start(wire.clone(), 1, &limits(), Arc::clone(&ticks), &tasks);
        // Boxes of all edges have numbers of their own.
        let answers = Answers::new(world.new_number() << 32);
        let edge = NodeId::new(&name).expect("node");
        let ingest = EdgeIngest { wire: wire.clone(), edge, answers: answers.clone() };
        let (connection, limited) = (wire.connection(), Arc::default());
        let sending = Sending::new(ingest, connection, answers, ticks, limited, &limits());
        Arc::new(Self { name, wire, reading, sending, tasks })
    }
}

/// What an edge subscribes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topic {
    Subject(Subject),
    Ticks,
}

/// NATS as one edge sees it.
#[derive(Clone)]
pub struct EdgeWire(Arc<Inner>);

struct Inner {
    world: Arc<World>,
    name: String,
    subscriptions: Mutex<BTreeMap<u64, Arc<Subscribed>>>,
    deaf_until: Mutex<Instant>,
    connection: Mutex<Connection>,
    /// One for each who asked: so they hear of it in the order in which they asked.
    connections: Mutex<Vec<watch::Sender<Connection>>>,
    losses: watch::Sender<u64>,
}

/// What one subscription hears.
pub struct Subscribed {
    topic: Topic,
    /// A publication before this misses it.
    hears_from: Instant,
    messages: mpsc::UnboundedSender<Message>,
}

impl Subscribed {
    /// A message arrives; nobody may hear it any more.
    pub fn arrive(&self, world: &World, message: Message) {
        if self.topic == Topic::Ticks {
            let tick = Tick::decode(message.payload()).expect("a tick");
            world.check.lock().expect("check").arrives(&tick);
        }
        let _ = self.messages.send(message);
    }
}

impl EdgeWire {
    fn new(world: &Arc<World>, name: &str) -> Self {
        Self(Arc::new(Inner {
            world: Arc::clone(world),
            name: name.to_owned(),
            subscriptions: Mutex::default(),
            deaf_until: Mutex::new(Instant::now()),
            connection: Mutex::new(Connection { connected: true, generation: 1 }),
            connections: Mutex::default(),
            losses: watch::Sender::new(0),
        }))
    }

    pub fn world(&self) -> &Arc<World> {
        &self.0.world
    }

    /// Nothing arrives for a while: the connection is broken, or a subscription is full, or nobody
    /// is told of it.
    pub fn grow_deaf(&self) {
        let (world, name) = (self.world(), &self.0.name);
        let for_ms = world.below(9_000);
        world.say(format_args!("{name} hears nothing for {for_ms} ms"));
        let until = Instant::now() + Duration::from_millis(for_ms);
        *self.0.deaf_until.lock().expect("deaf") = until;
        let (wire, fate) = (self.clone(), world.below(4));
        if fate == 0 {
            self.connect(false);
        }
        tokio::spawn(async move {
            sleep_until(until).await;
            match fate {
                0 => wire.connect(true),
                1 => wire.0.losses.send_modify(|losses| *losses += 1),
                _ => {}
            }
        });
    }

    /// The connection breaks, or is made anew.
    fn connect(&self, connected: bool) {
        let mut connection = self.0.connection.lock().expect("connection");
        connection.connected = connected;
        connection.generation += u64::from(connected);
        let mut connections = self.0.connections.lock().expect("connections");
        connections.retain(|hears| hears.send(*connection).is_ok());
    }

    pub fn is_deaf(&self) -> bool {
        !self.world().is_calm() && *self.0.deaf_until.lock().expect("deaf") > Instant::now()
    }

    pub fn is_connected(&self) -> bool {
        self.0.connection.lock().expect("connection").connected
    }

    /// Who hears what is published now.
    pub fn listeners(&self, topic: &Topic) -> Vec<Arc<Subscribed>> {
        let now = Instant::now();
        let subscriptions = self.0.subscriptions.lock().expect("subscriptions");
        let hears = |it: &&Arc<Subscribed>| it.topic == *topic && it.hears_from <= now;
        subscriptions.values().filter(hears).cloned().collect()
    }

    fn listen(&self, topic: Topic) -> Subscription {
        let world = self.world();
        // It is on its way to the other servers, whatever a flush says.
        let is_slow = world.hit(Fault::SubscribedLate);
        let delay_ms = if is_slow { world.below(2_000) } else { 0 };
        let hears_from = Instant::now() + Duration::from_millis(delay_ms);
        let (sender, messages) = mpsc::unbounded_channel();
        let subscribed = Arc::new(Subscribed { topic, hears_from, messages: sender });
        let number = world.new_number();
        self.0.subscriptions.lock().expect("subscriptions").insert(number, subscribed);
        Subscription { wire: self.clone(), number, messages }
    }

    /// The request, or its answer, may get lost.
    async fn ask<T>(&self, answer: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let world = self.world();
        world.take_time().await;
        if !self.is_connected() || world.is_store_away() {
            return Err(ApiError::new(ErrorCode::Unavailable, "away, on purpose"));
        }
        let lost = ApiError::new(ErrorCode::Unknown, "lost, on purpose");
        if world.hit(Fault::AskLost) {
            world.sleep_below(3_000).await;
            return Err(lost);
        }
        let answer = answer();
        world.take_time().await;
        if world.hit(Fault::AskLost) { Err(lost) } else { answer }
    }
}

impl Wire for EdgeWire {
    type Messages = Subscription;

    async fn subscribe(&self, subject: &Subject) -> Result<Subscription, Error> {
        self.world().take_time().await;
        Ok(self.listen(Topic::Subject(subject.clone())))
    }

    async fn subscribe_ticks(&self) -> Result<Subscription, Error> {
        Ok(self.listen(Topic::Ticks))
    }

    async fn flush(&self) -> Result<(), Error> {
        self.ask(|| Ok(())).await.map_err(|_| Error::Timeout("on purpose"))
    }

    async fn call<M: Method>(&self, request: &M) -> Result<M::Reply, ApiError> {
        let answered = || services::answer(self.world(), request);
        self.ask(answered).await.inspect_err(|error| {
            if !error.temporary && !services::is_no(error.code) {
                self.world().violate(format!("{} is told {error}", self.0.name));
            }
        })
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        let connection = *self.0.connection.lock().expect("connection");
        let (sender, receiver) = watch::channel(connection);
        self.0.connections.lock().expect("connections").push(sender);
        receiver
    }

    fn losses(&self) -> watch::Receiver<u64> {
        self.0.losses.subscribe()
    }

    fn chance(&self) -> f64 {
        self.world().below(1 << 20) as f64 / f64::from(1 << 20)
    }
}

pub struct Subscription {
    wire: EdgeWire,
    number: u64,
    messages: mpsc::UnboundedReceiver<Message>,
}

impl Messages for Subscription {
    async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    fn try_next(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.wire.0.subscriptions.lock().expect("subscriptions").remove(&self.number);
    }
}
