//! The connections of bots that nats-servers have, and their end.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use weft_proto::{DeviceId, UserId};

use crate::bus::{Bus, Subscription};
use crate::error::Error;
use crate::subject::{BOTS_ACCOUNT, CONNECTIONS};

/// How long servers may take to tell: how many there are, nobody knows.
const GATHER: Duration = Duration::from_secs(2);
/// Connections that a server tells at once. Each has some 500 bytes.
const PAGE: usize = 1_000;
/// Pages of a server: more connections than one has.
const PAGES_MAX: usize = 1_000;

/// A connection of a bot, and the token that it was opened with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotConnection {
    pub bot: UserId,
    pub token: DeviceId,
    /// Which token of this name: when it was made, Unix milliseconds.
    pub made_ms: u64,
    server: String,
    id: u64,
}

/// One look at all of them.
pub struct BotConnections {
    answers: Subscription,
    inbox: String,
    page: usize,
    until: Instant,
    is_last: bool,
}

#[derive(Deserialize)]
struct Answer {
    server: Server,
    #[serde(default)]
    data: Told,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize, Default)]
struct Told {
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    #[serde(default)]
    authorized_user: String,
}

impl BotConnections {
    /// Asks all servers.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn look(bus: &Bus) -> Result<Self, Error> {
        let inbox = bus.link().new_inbox();
        let answers = bus.link().subscribe(inbox.clone()).await?;
        let mut look = Self { answers, inbox, page: 0, until: Instant::now(), is_last: true };
        look.ask(bus).await?;
        Ok(look)
    }

    async fn ask(&mut self, bus: &Bus) -> Result<(), Error> {
        let body = json!({
            "acc": BOTS_ACCOUNT,
            "auth": true,
            "limit": PAGE,
            "offset": self.page * PAGE,
        });
        let (to, body) = (CONNECTIONS.to_owned(), Bytes::from(body.to_string()));
        bus.link().publish(to, Some(self.inbox.clone()), &[], body).await?;
        (self.until, self.is_last) = (Instant::now() + GATHER, true);
        Ok(())
    }

    /// Those of the next server that answers; `None`: no more do. A server may tell one twice.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn next(&mut self, bus: &Bus) -> Result<Option<Vec<BotConnection>>, Error> {
        loop {
            let Ok(answer) = timeout_at(self.until, self.answers.next()).await else {
                self.page += 1;
                if self.is_last || self.page >= PAGES_MAX {
                    return Ok(None);
                }
                self.ask(bus).await?;
                continue;
            };
            let Some(answer) = answer else { return Err(Error::Closed) };
            let Ok(Answer { server, data }) = serde_json::from_slice(answer.payload()) else {
                continue;
            };
            self.is_last &= data.connections.len() < PAGE;
            let read = |connection: Connection| {
                let (bot, token, made_ms) = read_name(&connection.authorized_user)?;
                let (server, id) = (server.id.clone(), connection.cid);
                Some(BotConnection { bot, token, made_ms, server, id })
            };
            return Ok(Some(data.connections.into_iter().filter_map(read).collect()));
        }
    }
}

/// Ends a connection. It may be lost: whoever looks again sees it again.
///
/// # Errors
/// [`Error::Timeout`], [`Error::Closed`].
pub async fn end(bus: &Bus, connection: &BotConnection) -> Result<(), Error> {
    let to = format!("$SYS.REQ.SERVER.{}.KICK", connection.server);
    let body = json!({ "cid": connection.id }).to_string();
    // Without a place for its answer, which nobody waits for, the server does nothing.
    let nowhere = bus.link().new_inbox();
    bus.link().publish(to, Some(nowhere), &[], Bytes::from(body)).await
}

/// [`BotGrant::name`](super::BotGrant::name), which the server keeps.
fn read_name(name: &str) -> Option<(UserId, DeviceId, u64)> {
    let mut words = name.split('/');
    let bot = UserId::new(words.next()?).ok()?;
    let token = DeviceId::new(words.next()?).ok()?;
    let made_ms = words.next()?.parse().ok()?;
    words.next().is_none().then_some((bot, token, made_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_names_its_token() {
        let (bot, token, made_ms) = read_name("news/t-7/5").expect("a name");
        assert_eq!((bot.as_str(), token.as_str(), made_ms), ("news", "t-7", 5));
        for other in ["", "core", "news/t-7", "news/t-7/x", "news/t-7/5/6"] {
            assert_eq!(read_name(other), None, "{other}");
        }
    }
}
