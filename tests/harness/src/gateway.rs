//! A gateway of notifications, or whoever else is sent requests: says what it is told to, and keeps what it got.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How long anything may take on a busy machine: what a killed node had taken comes again after a minute.
pub const LIMIT: Duration = Duration::from_secs(100);

/// What a gateway says that is told nothing.
pub const TAKEN: &str = "201 Created";

/// A request that a gateway got.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    /// By lower-case names.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// What it is answered: a head without `HTTP/1.1`, or `silence`.
    pub said: String,
    pub at: Instant,
}

/// A gateway that says what it is told to, and 201 when it is told nothing.
#[derive(Default, Debug)]
pub struct Gateway {
    got: Mutex<Vec<Got>>,
    /// By path: heads of answers.
    answers: Mutex<HashMap<String, VecDeque<String>>>,
    news: Notify,
}

impl Gateway {
    /// Listens on a free port of this machine.
    ///
    /// # Errors
    /// Where it can't listen.
    pub async fn start() -> Result<(SocketAddr, Arc<Self>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, gateway) = (listener.local_addr()?, Arc::new(Self::default()));
        let served = Arc::clone(&gateway);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move { served.serve(socket).await });
            }
        });
        Ok((address, gateway))
    }

    /// What the next requests for a path are answered: the head without `HTTP/1.1`, or `silence`.
    pub fn answer(&self, path: &str, heads: &[&str]) {
        let mut answers = self.answers.lock().expect("lock");
        let heads = heads.iter().map(|head| (*head).to_owned());
        answers.entry(path.to_owned()).or_default().extend(heads);
    }

    /// What it was to answer for a path is forgotten.
    pub fn forget(&self, path: &str) {
        self.answers.lock().expect("lock").remove(path);
    }

    async fn serve(&self, mut socket: TcpStream) -> Result<()> {
        let (mut bytes, mut part) = (Vec::new(), [0; 4_096]);
        loop {
            let head_end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
            if let Some(head_end) = head_end {
                let head = String::from_utf8(bytes[..head_end].to_vec())?;
                let mut lines = head.lines();
                let path = lines.next().and_then(|line| line.split(' ').nth(1));
                let path = path.context("a path")?.to_owned();
                let headers = lines.filter_map(|line| line.split_once(": "));
                let headers: BTreeMap<String, String> =
                    headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
                let length: usize = headers["content-length"].parse()?;
                let end = head_end + 4 + length;
                if bytes.len() >= end {
                    let body = bytes[head_end + 4..end].to_vec();
                    bytes.drain(..end);
                    let said =
                        self.answers.lock().expect("lock").get_mut(&path).map(VecDeque::pop_front);
                    let head = said.flatten().unwrap_or_else(|| TAKEN.to_owned());
                    let (at, said) = (Instant::now(), head.clone());
                    let got = Got { path, headers, body, said, at };
                    self.got.lock().expect("lock").push(got);
                    self.news.notify_waiters();
                    if head == "silence" {
                        std::future::pending::<()>().await;
                    }
                    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
                    socket.write_all(answer.as_bytes()).await?;
                    continue;
                }
            }
            let read = socket.read(&mut part).await?;
            ensure!(read > 0, "closed");
            bytes.extend_from_slice(&part[..read]);
        }
    }

    /// What came for a path so far.
    #[must_use]
    pub fn at(&self, path: &str) -> Vec<Got> {
        let got = self.got.lock().expect("lock");
        got.iter().filter(|got| got.path == path).cloned().collect()
    }

    /// Waits until so many requests came for a path.
    ///
    /// # Panics
    /// Where they don't come in time.
    pub async fn until(&self, path: &str, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let news = self.news.notified();
            let got = self.at(path);
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{path}: {} of {count}", got.len());
            let _ = tokio::time::timeout(Duration::from_millis(200), news).await;
        }
    }
}
