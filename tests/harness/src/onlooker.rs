//! A device that only looks: it keeps its session alive with heartbeats, answers to nobody, and
//! writes down every word about the presence of others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::account::Login;
use crate::socket::{Closed, Socket};
use crate::wait::until;

const HEARTBEAT: Duration = Duration::from_secs(2);

/// A word about a user, as it was pushed.
#[derive(Clone, Debug)]
pub struct Word {
    pub at: Instant,
    pub presence: Value,
}

/// A live session that looks.
#[derive(Debug)]
pub struct Onlooker {
    orders: mpsc::Sender<Order>,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Order {
    request: Value,
    answer: oneshot::Sender<Value>,
}

#[derive(Default, Debug)]
struct Shared {
    words: Vec<Word>,
    others: Vec<Value>,
    closed: Option<Option<u16>>,
}

impl Onlooker {
    pub async fn open(edge: SocketAddr, login: &Login) -> Result<Self> {
        Self::over(Socket::open(edge).await?, login).await
    }

    pub async fn over(mut socket: Socket, login: &Login) -> Result<Self> {
        socket.send(&json!({ "id": 1, "type": "hello", "token": login.token })).await?;
        let welcome = socket.next().await?;
        ensure!(welcome["type"] == "welcome", "no welcome: {welcome}");
        let (orders, taken) = mpsc::channel(16);
        let shared = Arc::<Mutex<Shared>>::default();
        let task = tokio::spawn(run(socket, taken, Arc::clone(&shared)));
        Ok(Self { orders, shared, task })
    }

    /// Asks, and waits for the answer.
    pub async fn request(&self, request: Value) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        let order = Order { request, answer };
        self.orders.send(order).await.ok().context("the session has ended")?;
        answered.await.context("the session has ended")
    }

    /// Asks for what must succeed.
    pub async fn done(&self, request: Value) -> Result<Value> {
        let answer = self.request(request.clone()).await?;
        ensure!(answer["type"] != "error", "{request}: {answer}");
        Ok(answer)
    }

    /// Every word about a user so far, in order.
    pub fn words(&self, user: &str) -> Vec<Word> {
        let words = &self.lock().words;
        words.iter().filter(|word| word.presence["user"] == user).cloned().collect()
    }

    /// The statuses in those words.
    pub fn statuses(&self, user: &str) -> Vec<String> {
        let status = |word: Word| word.presence["status"].as_str().unwrap_or_default().to_owned();
        self.words(user).into_iter().map(status).collect()
    }

    /// How many words there are about anybody, and in how many of them somebody is offline.
    pub fn counts(&self) -> (usize, usize) {
        let words = &self.lock().words;
        let offline = words.iter().filter(|word| word.presence["status"] == "offline").count();
        (words.len(), offline)
    }

    /// The newest word about each user.
    pub fn newest(&self) -> HashMap<String, Value> {
        let mut newest = HashMap::new();
        for Word { presence, .. } in &self.lock().words {
            let user = presence["user"].as_str().unwrap_or_default();
            newest.insert(user.to_owned(), presence.clone());
        }
        newest
    }

    /// Waits until the newest word about a user says so.
    pub async fn sees(&self, user: &str, status: &str, limit: Duration) -> Word {
        let what = format!("{user} is seen as {status}");
        until(&what, limit, async || {
            let newest = self.words(user).pop()?;
            (newest.presence["status"] == status).then_some(newest)
        })
        .await
    }

    /// Pushes of a type other than `presence`.
    pub fn pushes(&self, kind: &str) -> Vec<Value> {
        self.lock().others.iter().filter(|push| push["type"] == kind).cloned().collect()
    }

    /// Waits until the session has ended; the close code.
    pub async fn closed(&self, limit: Duration) -> Option<u16> {
        until("the session has ended", limit, async || self.lock().closed).await
    }

    /// True while the session lives.
    pub fn is_open(&self) -> bool {
        self.lock().closed.is_none()
    }

    /// Ends the connection without a word, as a process that is killed.
    pub fn leave(self) {
        self.task.abort();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut socket: Socket, mut orders: mpsc::Receiver<Order>, shared: Arc<Mutex<Shared>>) {
    let mut asked: HashMap<u64, oneshot::Sender<Value>> = HashMap::new();
    let mut request_id = 1;
    let mut beat = interval(HEARTBEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let sent = tokio::select! {
            frame = socket.next() => match frame {
                Ok(frame) => {
                    match frame["id"].as_u64().and_then(|id| asked.remove(&id)) {
                        Some(answer) => drop(answer.send(frame)),
                        None => note(&mut lock(), frame),
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Some(Order { mut request, answer }) = orders.recv() => {
                request_id += 1;
                request["id"] = request_id.into();
                asked.insert(request_id, answer);
                socket.send(&request).await
            }
            _ = beat.tick() => {
                request_id += 1;
                socket.send(&json!({ "id": request_id, "type": "ping" })).await
            }
        };
        if let Err(error) = sent {
            lock().closed = Some(Closed::code_in(&error));
            return;
        }
    }
}

fn note(shared: &mut Shared, frame: Value) {
    if frame["type"] != "presence" {
        shared.others.push(frame);
        return;
    }
    let at = Instant::now();
    let users = frame["users"].as_array().cloned().unwrap_or_default();
    shared.words.extend(users.into_iter().map(|presence| Word { at, presence }));
}
