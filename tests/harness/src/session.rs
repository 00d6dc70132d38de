//! One live session: a socket after its `hello`, with answers matched to requests. For tests that
//! look at single frames; [`crate::client`] is the device that lives on over reconnects.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::account::Login;
use crate::socket::Socket;
use crate::ulid;

/// How long an answer or a push may take on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Session {
    socket: Socket,
    request_id: u64,
    answers: HashMap<u64, Value>,
    /// Pushed entries that were not taken yet, and errors without an id.
    pushes: VecDeque<Value>,
    /// Pushes of rooms or users that are no entries and were not taken yet.
    told: VecDeque<Value>,
    pub welcome: Value,
    pub synced: Value,
    /// The newest `cursor` that came by itself. Tests resume from [`Self::cursor`], so that what
    /// they get does not depend on when it came.
    pub pushed_cursor: Value,
    /// The `draining`, where it came.
    pub draining: Value,
}

impl Session {
    /// Connects as a device and waits for the first `synced`; the entries before it are kept as
    /// pushes.
    pub async fn open(edge: SocketAddr, login: &Login, cursor: Option<&str>) -> Result<Self> {
        Self::over(Socket::open(edge).await?, &login.token, cursor).await
    }

    /// Says `hello` on a socket and waits for the first `synced`.
    pub async fn over(socket: Socket, token: &str, cursor: Option<&str>) -> Result<Self> {
        let mut session = Self {
            socket,
            request_id: 0,
            answers: HashMap::new(),
            pushes: VecDeque::new(),
            told: VecDeque::new(),
            welcome: Value::Null,
            synced: Value::Null,
            pushed_cursor: Value::Null,
            draining: Value::Null,
        };
        let mut hello = json!({ "type": "hello", "token": token });
        if let Some(cursor) = cursor {
            hello["cursor"] = cursor.into();
        }
        let welcome = session.request(hello).await?;
        ensure!(welcome["type"] == "welcome", "no welcome: {welcome}");
        session.welcome = welcome;
        while session.synced.is_null() {
            session.read("synced").await?;
        }
        Ok(session)
    }

    /// The cursor of the newest `synced`.
    pub fn cursor(&self) -> String {
        self.synced["cursor"].as_str().unwrap_or_default().to_owned()
    }

    /// The newest cursor, as a device keeps it.
    pub fn newest_cursor(&self) -> String {
        self.pushed_cursor.as_str().map_or_else(|| self.cursor(), str::to_owned)
    }

    /// The socket, for what is no request.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Writes a request and returns its id.
    pub async fn begin(&mut self, mut request: Value) -> Result<u64> {
        self.request_id += 1;
        request["id"] = self.request_id.into();
        self.socket.send(&request).await?;
        Ok(self.request_id)
    }

    /// Waits for the answer to a request, without the request's id.
    pub async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            self.read("an answer").await?;
        }
    }

    /// Writes a request and waits for its answer.
    pub async fn request(&mut self, request: Value) -> Result<Value> {
        let id = self.begin(request).await?;
        self.answer(id).await
    }

    /// Sends a text with a fresh client id and returns the answer.
    pub async fn text(&mut self, room: &str, text: &str) -> Result<Value> {
        self.entry(room, json!({ "text": text })).await
    }

    /// Sends an entry of any kind with a fresh client id and returns the answer.
    pub async fn entry(&mut self, room: &str, mut fields: Value) -> Result<Value> {
        fields["type"] = "send".into();
        fields["room"] = room.into();
        if fields["client_id"].is_null() {
            fields["client_id"] = ulid::fresh().into();
        }
        self.request(fields).await
    }

    /// Sends an entry that must be acknowledged, again after temporary errors; its seq.
    pub async fn acked(&mut self, room: &str, mut fields: Value) -> Result<u64> {
        if fields["client_id"].is_null() {
            fields["client_id"] = ulid::fresh().into();
        }
        loop {
            let answer = self.entry(room, fields.clone()).await?;
            if answer["error"]["temporary"] == true {
                let wait_ms = answer["error"]["retry_after_ms"].as_u64().unwrap_or(250);
                sleep(Duration::from_millis(wait_ms)).await;
                continue;
            }
            let is_ack = answer["type"] == "ack" && answer["room"] == room;
            ensure!(is_ack, "{fields} in {room}: {answer}");
            return answer["seq"].as_u64().context("an ack without seq");
        }
    }

    /// Sends an entry that must be refused; the code.
    pub async fn refused(&mut self, room: &str, fields: Value) -> Result<String> {
        let answer = self.entry(room, fields.clone()).await?;
        code(&answer).with_context(|| format!("{fields} in {room}"))
    }

    /// The next pushed frame (but no `synced`).
    pub async fn next_push(&mut self) -> Result<Value> {
        loop {
            if let Some(push) = self.pushes.pop_front() {
                return Ok(push);
            }
            self.read("a push").await?;
        }
    }

    /// Waits for a `cursor` that comes by itself.
    pub async fn next_cursor(&mut self) -> Result<String> {
        self.pushed_cursor = Value::Null;
        while self.pushed_cursor.is_null() {
            self.read("a cursor").await?;
        }
        Ok(self.pushed_cursor.as_str().context("a cursor that is no text")?.to_owned())
    }

    /// The room's next pushed entry; those with a smaller seq are dropped, those of other rooms are
    /// kept.
    pub async fn expect(&mut self, room: &str, seq: u64) -> Result<Value> {
        loop {
            let (of_room, others) =
                self.pushes.drain(..).partition::<VecDeque<_>, _>(|push| push["room"] == room);
            self.pushes = others;
            let mut of_room = of_room.into_iter().filter(|push| seq_of(push) >= seq);
            if let Some(entry) = of_room.next() {
                self.pushes.extend(of_room);
                ensure!(seq_of(&entry) == seq, "expected {room} {seq}, got {entry}");
                return Ok(entry);
            }
            self.read(&format!("{room} {seq}")).await?;
        }
    }

    /// The room's entries after a seq that were pushed so far and not taken, after one more round
    /// to the edge.
    pub async fn pushed_after(&mut self, room: &str, seq: u64) -> Result<Vec<Value>> {
        let pong = self.request(json!({ "type": "ping" })).await?;
        ensure!(pong["type"] == "pong", "no pong: {pong}");
        let wanted = |push: &&Value| push["room"] == room && seq_of(push) > seq;
        Ok(self.pushes.iter().filter(wanted).cloned().collect())
    }

    /// The next push of this type about a room, or a user.
    pub async fn told(&mut self, word: &str, of: &str) -> Result<Value> {
        loop {
            let is_it = |push: &Value| push["type"] == word && is_of(push, of);
            if let Some(at) = self.told.iter().position(is_it) {
                return self.told.remove(at).context("a push");
            }
            self.read(&format!("{word} of {of}")).await?;
        }
    }

    /// The pushes of this type about a room, or a user, that came so far and were not taken, after one more round to
    /// the edge.
    pub async fn told_so_far(&mut self, word: &str, of: &str) -> Result<Vec<Value>> {
        let pong = self.request(json!({ "type": "ping" })).await?;
        ensure!(pong["type"] == "pong", "no pong: {pong}");
        let is_it = |push: &Value| push["type"] == word && is_of(push, of);
        let (wanted, others) = self.told.drain(..).partition::<VecDeque<_>, _>(is_it);
        self.told = others;
        Ok(wanted.into())
    }

    /// Reads until the edge closes the socket; the code.
    pub async fn closed_within(&mut self, limit: Duration) -> Result<u16> {
        self.socket.closed_within(limit).await
    }

    async fn read(&mut self, what: &str) -> Result<()> {
        let frame = timeout(LIMIT, self.socket.next())
            .await
            .with_context(|| format!("waited {LIMIT:?} in vain for {what}"))??;
        match frame["id"].as_u64() {
            Some(id) => {
                let twice = self.answers.insert(id, frame);
                ensure!(twice.is_none(), "request {id} was answered twice: {twice:?}");
            }
            None if frame["type"] == "synced" => {
                self.synced = frame;
                self.pushed_cursor = Value::Null;
            }
            None if frame["type"] == "cursor" => self.pushed_cursor = frame["cursor"].clone(),
            None if frame["type"] == "draining" => self.draining = frame,
            None if frame["type"] == "entry" || frame["type"] == "error" => {
                self.pushes.push_back(frame);
            }
            None if frame["room"].is_string() || frame["user"].is_string() => {
                self.told.push_back(frame);
            }
            // Unknown pushes are to be ignored.
            None => {}
        }
        Ok(())
    }
}

/// What is of no room is of a user.
fn is_of(push: &Value, of: &str) -> bool {
    let named = if push["room"].is_null() { &push["user"] } else { &push["room"] };
    named == of
}

fn seq_of(push: &Value) -> u64 {
    push["seq"].as_u64().unwrap_or_default()
}

pub fn code(answer: &Value) -> Result<String> {
    let error = &answer["error"];
    let well_formed = answer["type"] == "error"
        && error["message"].is_string()
        && error["temporary"].is_boolean();
    ensure!(well_formed, "not an error: {answer}");
    Ok(error["code"].as_str().context("an error without code")?.to_owned())
}
