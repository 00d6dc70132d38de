//! What bots ask on NATS: `weft.api.<bot>.<method>`, with an answer for each.
//!
//! The bot in the subject is who asks: its login allows it no other one. The reply subject is one of the server's own,
//! which leads back into the account of bots.
//!
//! Bots may send any bytes as headers, and the client library drops its connection over some. So requests come over a
//! connection that is read here, by hand, and says that it takes no headers: the server leaves them out. Answers go over the
//! common one. It knows no TLS, as NATS's servers and Weft's parts share a network of their own.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ServerAddr;
use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use weft_proto::UserId;
use weft_proto::ids::is_token;

use crate::bus::{Bus, BusOptions, SEND_TIMEOUT};
use crate::error::Error;
use crate::subject::BOT_REQUESTS;

/// Requests that are looked at, at once, of all bots.
pub const BOT_REQUESTS_MAX: usize = 64;
/// Most bytes of a request.
pub const BOT_REQUEST_BYTES_MAX: usize = 16 << 10;
/// All edges together answer: each request goes to one.
const QUEUE: &str = "edge";
/// What the server says of itself has a line, which may name a whole cluster.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// More than a server passes on.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;
/// Between two signs of life.
const PING_PAUSE: Duration = Duration::from_secs(20);
/// Before another connection.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A request of a bot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotRequest {
    pub bot: UserId,
    /// `[A-Za-z0-9_-]{1,64}`
    pub method: String,
    /// `None`: more than [`BOT_REQUEST_BYTES_MAX`].
    pub payload: Option<Bytes>,
    /// As many are being looked at as may: it is to be refused.
    pub is_beyond: bool,
}

/// Has requests of bots answered, for as long as it is polled. It connects anew whenever it has to.
pub async fn answer_bots<F, Fut>(bus: Bus, answer: F)
where
    F: Fn(BotRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<u8>> + Send + 'static,
{
    let answer = Arc::new(answer);
    let mut is_told = false;
    loop {
        let Err(error) = serve(&bus, &answer, &mut is_told).await;
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(%error, "requests of bots are not heard");
        }
        sleep(RETRY_PAUSE).await;
    }
}

async fn serve<F, Fut>(
    bus: &Bus,
    answer: &Arc<F>,
    is_told: &mut bool,
) -> Result<std::convert::Infallible, Error>
where
    F: Fn(BotRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Vec<u8>> + Send + 'static,
{
    let mut requests = Requests::connect(bus.options()).await?;
    *is_told = false;
    let places = Arc::new(Semaphore::new(BOT_REQUESTS_MAX));
    let mut answering = JoinSet::new();
    loop {
        let Some((mut request, reply)) = requests.next().await? else { continue };
        while answering.try_join_next().is_some() {}
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let is_beyond = place.is_none();
        request.is_beyond = is_beyond;
        let (bus, answer) = (bus.clone(), Arc::clone(answer));
        let work = async move {
            let payload = Bytes::from(answer(request).await);
            let sent = bus.link().publish(reply, None, &[], payload).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "an answer to a bot is not sent");
            }
            drop(place);
        };
        // A refusal costs little, and nothing is begun for it beside the others.
        match is_beyond {
            true => work.await,
            false => drop(answering.spawn(work)),
        }
    }
}

/// A connection that hears requests.
struct Requests {
    stream: BufReader<TcpStream>,
}

impl Requests {
    async fn connect(options: &BusOptions) -> Result<Self, Error> {
        let mut reason = "no address".to_owned();
        for place in options.url.split(',').map(str::trim) {
            let address = ServerAddr::from_str(place).map_err(|_| Error::Malformed("NATS url"))?;
            let opened = TcpStream::connect((address.host(), address.port()));
            match timeout(SEND_TIMEOUT, opened).await {
                Ok(Ok(stream)) => {
                    let greeting = Self::greet(stream, options);
                    return timeout(SEND_TIMEOUT, greeting)
                        .await
                        .map_err(|_| Error::Timeout("connect"))?;
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = "no answer".to_owned(),
            }
        }
        Err(Error::Unreachable { url: options.url.clone(), reason })
    }

    async fn greet(stream: TcpStream, options: &BusOptions) -> Result<Self, Error> {
        stream.set_nodelay(true).map_err(|_| Error::Closed)?;
        let mut requests = Self { stream: BufReader::new(stream) };
        if !requests.line().await?.starts_with("INFO ") {
            return Err(Error::Malformed("greeting of nats-server"));
        }
        let connect = json!({
            "verbose": false, "pedantic": false, "headers": false, "lang": "weft", "protocol": 1,
            "version": env!("CARGO_PKG_VERSION"), "user": options.user, "pass": options.password,
            "name": format!("weft-{}-{}-bots", options.role, options.node),
        });
        let lines = format!("CONNECT {connect}\r\nSUB {BOT_REQUESTS} {QUEUE} 1\r\nPING\r\n");
        requests.write(lines.as_bytes()).await?;
        loop {
            match requests.line().await? {
                line if line.starts_with("PONG") => return Ok(requests),
                line if line.starts_with("-ERR") => {
                    let (url, user) = (options.url.clone(), options.user.clone());
                    return Err(Error::Refused { url, user });
                }
                _ => {}
            }
        }
    }

    /// The next request, and where its answer goes; `None`: something else came.
    async fn next(&mut self) -> Result<Option<(BotRequest, String)>, Error> {
        let line = match timeout(PING_PAUSE, self.line()).await {
            Ok(line) => line?,
            Err(_) => {
                // Lines come whole: half of one that was read and then nothing is a dead connection, too.
                self.write(b"PING\r\n").await?;
                timeout(PING_PAUSE, self.line()).await.map_err(|_| Error::Timeout("ping"))??
            }
        };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (subject, reply, bytes) = match words.as_slice() {
            ["MSG", subject, _, reply, bytes] => (*subject, Some(*reply), *bytes),
            ["MSG", subject, _, bytes] => (*subject, None, *bytes),
            ["PING"] => {
                self.write(b"PONG\r\n").await?;
                return Ok(None);
            }
            ["-ERR", ..] => return Err(Error::Closed),
            _ => return Ok(None),
        };
        let bytes = bytes.parse().ok().filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX);
        let bytes = bytes.ok_or(Error::Malformed("message of nats-server"))?;
        let mut payload = vec![0; bytes + 2];
        let read = timeout(SEND_TIMEOUT, self.stream.read_exact(&mut payload)).await;
        read.map_err(|_| Error::Timeout("read"))?.map_err(|_| Error::Closed)?;
        payload.truncate(bytes);
        let Some((bot, method)) = read_subject(subject) else { return Ok(None) };
        let Some(reply) = reply else { return Ok(None) };
        let payload = (bytes <= BOT_REQUEST_BYTES_MAX).then(|| Bytes::from(payload));
        let request = BotRequest { bot, method, payload, is_beyond: false };
        Ok(Some((request, reply.to_owned())))
    }

    async fn line(&mut self) -> Result<String, Error> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).await.map_err(|_| Error::Closed)?;
        if line.last() != Some(&b'\n') {
            return Err(Error::Closed);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = timeout(SEND_TIMEOUT, self.stream.get_mut().write_all(bytes)).await;
        written.map_err(|_| Error::Timeout("write"))?.map_err(|_| Error::Closed)
    }
}

/// `weft.api.<bot>.<method>`
fn read_subject(subject: &str) -> Option<(UserId, String)> {
    let (bot, method) = subject.strip_prefix("weft.api.")?.split_once('.')?;
    let bot = UserId::new(bot).ok()?;
    is_token(method).then(|| (bot, method.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_names_bot_and_method() {
        let (bot, method) = read_subject("weft.api.news.history").expect("a request");
        assert_eq!((bot.as_str(), &*method), ("news", "history"));
        for bad in ["weft.api.news", "weft.api.news.a.b", "weft.api.News.x", "weft.api..x", "x.y.z"]
        {
            assert_eq!(read_subject(bad), None, "{bad}");
        }
    }
}
