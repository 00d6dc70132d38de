//! NATS by hand, as any program may speak it: text lines over TCP, no library. It proves that other
//! systems need nothing of Weft's to publish and to listen.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ulid;

const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub subject: String,
    /// Where its sender waits for an answer.
    pub reply: Option<String>,
    /// The header block, as it came; empty: none.
    pub headers: String,
    pub payload: Vec<u8>,
}

impl Message {
    fn new(subject: &str, reply: &[&str], headers: &[u8], payload: Vec<u8>) -> Self {
        Self {
            subject: subject.to_owned(),
            reply: reply.first().map(|reply| (*reply).to_owned()),
            headers: String::from_utf8_lossy(headers).into_owned(),
            payload,
        }
    }

    /// The payload as JSON; `Null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_default()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A message for one of the subscriptions.
    Message(Message),
    Error(String),
    Pong,
}

/// A connection of a NATS user.
#[derive(Debug)]
pub struct Nats {
    stream: BufReader<TcpStream>,
    subscriptions: u32,
    /// What came while something else was waited for.
    held: Vec<Said>,
}

impl Nats {
    /// Connects and is let in.
    pub async fn connect(server: SocketAddr, user: &str, password: &str) -> Result<Self> {
        Self::connect_with(server, user, password, |_| Value::Null).await
    }

    /// The same, with an NKey: `sign` is given what the server wants to have signed, and says `{nkey, sig}`.
    pub async fn connect_with(
        server: SocketAddr,
        user: &str,
        password: &str,
        sign: impl FnOnce(&str) -> Value,
    ) -> Result<Self> {
        let stream = timeout(LIMIT, TcpStream::connect(server)).await??;
        stream.set_nodelay(true)?;
        let mut nats = Self { stream: BufReader::new(stream), subscriptions: 0, held: Vec::new() };
        let info = timeout(LIMIT, nats.line()).await??;
        ensure!(info.starts_with("INFO "), "not a NATS server: {info}");
        let told: Value = serde_json::from_str(info.trim_start_matches("INFO "))?;
        let mut options = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "user": user, "pass": password, "lang": "by hand", "version": "1", "protocol": 1,
        });
        for (name, value) in
            sign(told["nonce"].as_str().unwrap_or_default()).as_object().into_iter().flatten()
        {
            options[name] = value.clone();
        }
        nats.write(format!("CONNECT {options}\r\n").as_bytes()).await?;
        let refused = nats.flush().await?;
        ensure!(refused.is_empty(), "{user} was refused: {refused:?}");
        Ok(nats)
    }

    /// Subscribes. A refusal is seen at the next [`flush`](Self::flush).
    pub async fn subscribe(&mut self, subject: &str) -> Result<()> {
        self.subscriptions += 1;
        let line = format!("SUB {subject} {}\r\n", self.subscriptions);
        self.write(line.as_bytes()).await
    }

    /// Publishes. A refusal is seen at the next [`flush`](Self::flush).
    pub async fn publish(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<()> {
        let mut block = String::new();
        if !headers.is_empty() {
            block.push_str("NATS/1.0\r\n");
            for (name, value) in headers {
                block.push_str(&format!("{name}: {value}\r\n"));
            }
            block.push_str("\r\n");
        }
        let reply = reply.unwrap_or_default();
        self.publish_block(subject.as_bytes(), reply, block.as_bytes(), payload).await
    }

    /// As [`publish`](Self::publish), with the header block as it goes out, nothing added.
    pub async fn publish_block(
        &mut self,
        subject: &[u8],
        reply: &str,
        headers: &[u8],
        payload: &[u8],
    ) -> Result<()> {
        let (verb, head) = match headers.len() {
            0 => ("PUB ", String::new()),
            head => ("HPUB ", format!("{head} ")),
        };
        let rest = format!(" {reply} {head}{}\r\n", headers.len() + payload.len());
        let parts = [verb.as_bytes(), subject, rest.as_bytes(), headers, payload, b"\r\n"];
        self.write(&parts.concat()).await
    }

    /// Writes bytes as they are.
    pub async fn publish_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes).await
    }

    /// Waits until the server has read everything; the errors that it had. Messages that came
    /// meanwhile are kept.
    pub async fn flush(&mut self) -> Result<Vec<String>> {
        self.write(b"PING\r\n").await?;
        let mut errors = Vec::new();
        loop {
            match timeout(LIMIT, self.said()).await.context("no PONG")?? {
                Said::Pong => return Ok(errors),
                Said::Error(error) => errors.push(error),
                message @ Said::Message(_) => self.held.push(message),
            }
        }
    }

    pub async fn next(&mut self) -> Result<Message> {
        loop {
            let said = match self.held.is_empty() {
                false => self.held.remove(0),
                true => timeout(LIMIT, self.said()).await.context("no message came")??,
            };
            match said {
                Said::Message(message) => return Ok(message),
                Said::Error(error) => bail!("the server said {error}"),
                Said::Pong => {}
            }
        }
    }

    /// The messages that came so far.
    pub async fn taken(&mut self) -> Result<Vec<Message>> {
        self.flush().await?;
        let held = self.held.drain(..);
        Ok(held
            .filter_map(|said| if let Said::Message(m) = said { Some(m) } else { None })
            .collect())
    }

    /// Asks JetStream as `admin`; what it answers where that is no error.
    pub async fn jetstream(&mut self, verb: &str, body: &Value) -> Result<Value> {
        let (subject, body) = (format!("$JS.API.{verb}"), body.to_string());
        let inbox = format!("_INBOX_admin.{}", ulid::fresh());
        let answer = self.request(&subject, &inbox, body.as_bytes()).await?.json();
        ensure!(answer.get("error").is_none(), "{verb}: {answer}");
        Ok(answer)
    }

    /// Asks on a subject and waits for the answer, which comes to `inbox`.
    pub async fn request(&mut self, subject: &str, inbox: &str, payload: &[u8]) -> Result<Message> {
        self.subscribe(inbox).await?;
        self.publish(subject, Some(inbox), &[], payload).await?;
        loop {
            let message = self.next().await?;
            if message.subject == inbox {
                return Ok(message);
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(LIMIT, self.stream.get_mut().write_all(bytes)).await??;
        Ok(())
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    /// What the server says next.
    pub async fn said(&mut self) -> Result<Said> {
        loop {
            let line = self.line().await?;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.write(b"PONG\r\n").await?,
                ["PONG"] => return Ok(Said::Pong),
                ["-ERR", ..] => {
                    let text = line.trim_start_matches("-ERR").trim().trim_matches('\'');
                    return Ok(Said::Error(text.to_owned()));
                }
                ["MSG", subject, _, reply @ .., size] => {
                    let payload = self.bytes(size.parse()?).await?;
                    return Ok(Said::Message(Message::new(subject, reply, &[], payload)));
                }
                ["HMSG", subject, _, reply @ .., head, size] => {
                    let mut bytes = self.bytes(size.parse()?).await?;
                    let payload = bytes.split_off(head.parse()?);
                    return Ok(Said::Message(Message::new(subject, reply, &bytes, payload)));
                }
                // INFO again, +OK.
                _ => {}
            }
        }
    }

    async fn bytes(&mut self, size: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).await?;
        bytes.truncate(size);
        Ok(bytes)
    }
}
