//! One socket of the device, from `hello` to its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};

use super::{PENDING_MAX, Task};
use crate::history::{
    self, Attempt, Draft, Entry, Event, Followed, Room, Said, Scheduled, SessionId,
};
use crate::socket::Socket;

/// After this long without an answer a text is sent again on the same socket.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait after a temporary error that names no time.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(250);
/// A socket that brings nothing, not even a `pong`, for this many heartbeats is dead.
const SILENT_HEARTBEATS: u32 = 3;

/// What an unanswered request was about.
#[derive(Debug)]
pub(super) enum Asked {
    Text(u64),
    Beside(u64),
    Rooms,
    History(Room),
    Receipts(Room),
    /// With those of the pages before.
    Threads(Room, Vec<Followed>),
    Drafts(Vec<Draft>),
    /// With whom the pages before name as blocked.
    Relations(Vec<Arc<str>>),
    Scheduled(Vec<Scheduled>),
    Invitations(Vec<Room>),
    Ping,
}

/// Loading anew: the cursor counts when everything is there.
#[derive(Debug)]
struct Resync {
    cursor: String,
    open: usize,
}

pub(super) struct Live {
    socket: Socket,
    session: SessionId,
    request_id: u64,
    asked: HashMap<u64, Asked>,
    /// Requests for texts that were sent again since.
    given_up: HashMap<u64, Arc<str>>,
    in_flight_max: usize,
    heartbeat: Duration,
    wrote_at: Instant,
    heard_at: Instant,
    resync: Option<Resync>,
}

impl Task {
    pub(super) async fn live(&mut self, welcomed: &mut bool) -> Result<()> {
        let mut live = self.open().await?;
        *welcomed = true;
        self.shared().back();
        let ended = self.run_live(&mut live).await;
        let code = ended.as_ref().err().and_then(crate::socket::Closed::code_in);
        self.shared().gone(code);
        let (device, session) = (self.name.clone(), live.session);
        self.recorder.record(Event::Closed { device, session, code });
        ended
    }

    async fn open(&mut self) -> Result<Live> {
        let mut socket = Socket::open(self.edge()).await?;
        let mut hello = json!({ "id": 1, "type": "hello", "token": self.login.token });
        let cursor = self.shared().shelf.cursor();
        if let Some(cursor) = &cursor {
            hello["cursor"] = cursor.as_str().into();
        }
        socket.send(&hello).await?;
        let welcome = timeout(ANSWER_LIMIT, socket.next()).await.context("no welcome")??;
        if welcome["type"] == "error" {
            // The code with which the socket is closed says what to do.
            timeout(ANSWER_LIMIT, socket.next()).await.context("no end")??;
        }
        ensure!(welcome["type"] == "welcome", "no welcome: {welcome}");
        let number = |name: &str| welcome[name].as_u64().with_context(|| format!("no {name}"));
        let live = Live {
            socket,
            session: self.recorder.session(),
            request_id: 1,
            asked: HashMap::new(),
            given_up: HashMap::new(),
            in_flight_max: usize::try_from(number("in_flight_max")?)?,
            heartbeat: Duration::from_millis(number("heartbeat_ms")?),
            wrote_at: Instant::now(),
            heard_at: Instant::now(),
            resync: None,
        };
        // A session begins with everybody offline.
        self.shared().statuses.clear();
        self.recorder.record(Event::Opened {
            device: self.name.clone(),
            session: live.session,
            cursor: cursor.map(Into::into),
        });
        Ok(live)
    }

    async fn run_live(&mut self, live: &mut Live) -> Result<()> {
        while !self.is_finished() {
            let unanswered = self.pending.len() + self.beside.len();
            let has_room = unanswered < PENDING_MAX && !self.stopping;
            let wake_at = self.wake_at(live);
            // All three are cancel-safe.
            tokio::select! {
                frame = live.socket.next() => self.hear(live, frame?).await?,
                order = self.orders.recv(), if has_room => self.take(order)?,
                () = sleep_until(wake_at) => self.look_at_time(live).await?,
            }
            self.send_due(live).await?;
            self.beside_due(live).await?;
        }
        Ok(())
    }

    /// What can't be sent because too much is unanswered waits for a frame, not for a time.
    fn wake_at(&self, live: &Live) -> Instant {
        let now = Instant::now();
        let waits = self.pending.values().filter(|it| it.request.is_some() || it.due > now);
        let texts = waits.map(|pending| pending.due);
        let waits = self.beside.values().filter(|it| it.request.is_some() || it.due > now);
        let beside = waits.map(|pending| pending.due);
        texts.chain(beside).chain([live.silent_at(), live.ping_at()]).min().unwrap_or(now)
    }

    async fn look_at_time(&mut self, live: &mut Live) -> Result<()> {
        let now = Instant::now();
        if now >= live.silent_at() {
            bail!("the edge is silent");
        }
        if now >= live.ping_at() {
            live.ask(Asked::Ping, json!({ "type": "ping" })).await?;
        }
        self.look_at_beside(live, now);
        for pending in self.pending.values_mut() {
            if now < pending.due {
                continue;
            }
            if let Some(request) = pending.request.take() {
                live.asked.remove(&request);
                live.given_up.insert(request, pending.client_id.clone());
            }
        }
        Ok(())
    }

    /// Writes what is due, oldest first.
    async fn send_due(&mut self, live: &mut Live) -> Result<()> {
        let now = Instant::now();
        for (number, pending) in &mut self.pending {
            if !live.has_room() {
                break;
            }
            if pending.request.is_some() || pending.due > now {
                continue;
            }
            // Before the bytes leave: nobody must have an entry that was not yet sent.
            self.recorder.record(Event::Sent {
                device: self.name.clone(),
                session: live.session,
                room: pending.room.clone(),
                client_id: pending.client_id.clone(),
                text: pending.fields["text"].as_str().map_or(0, history::hash),
                said: Said::read(&pending.fields).map(Box::new),
            });
            let mut frame = pending.fields.clone();
            frame["type"] = "send".into();
            frame["room"] = (*pending.room).into();
            frame["client_id"] = (*pending.client_id).into();
            pending.request = Some(live.ask(Asked::Text(*number), frame).await?);
            pending.due = now + ANSWER_LIMIT;
        }
        Ok(())
    }

    async fn hear(&mut self, live: &mut Live, frame: Value) -> Result<()> {
        live.heard_at = Instant::now();
        if let Some(id) = frame["id"].as_u64() {
            // A late answer to a text that was sent again still counts, if it is an ack.
            return match live.asked.remove(&id) {
                Some(asked) => self.hear_answer(live, asked, &frame).await,
                None if frame["type"] == "ack" => self.hear_late_ack(live, &frame),
                None => {
                    self.hear_late_error(live.given_up.remove(&id), &frame);
                    Ok(())
                }
            };
        }
        match frame["type"].as_str() {
            Some("entry") => {
                let entry = read_entry(&frame)?;
                let (device, session) = (self.name.clone(), live.session);
                self.shared().shelf.keep(&entry.room, entry.seq);
                self.recorder.record(Event::Received { device, session, entry });
                Ok(())
            }
            Some("mark") if frame.get("thread").is_some() => self.hear_thread_mark(&frame),
            Some("mark") => self.hear_mark(&frame["room"], &frame),
            Some("marks") => {
                let marks = frame["marks"].as_array().context("marks without marks")?;
                marks.iter().try_for_each(|mark| self.hear_mark(&frame["room"], mark))
            }
            Some("setting") => self.hear_setting(&frame),
            Some("draft") => self.hear_draft(&frame),
            Some("relation") => self.hear_relation(&frame),
            Some("schedule") => self.hear_schedule(&frame),
            Some("invitation") => self.hear_invitation(&frame),
            Some("cursor") => self.hear_cursor(live, &frame),
            Some("typing") => self.hear_typing(&frame),
            Some("presence") => {
                self.hear_presence(&frame);
                Ok(())
            }
            Some("synced") => self.hear_synced(live, &frame).await,
            _ => Ok(()),
        }
    }

    async fn hear_synced(&mut self, live: &mut Live, frame: &Value) -> Result<()> {
        let recovered = frame["recovered"].as_bool().context("synced without recovered")?;
        let cursor = frame["cursor"].as_str().context("synced without cursor")?.to_owned();
        let (device, session) = (self.name.clone(), live.session);
        let told = cursor.as_str().into();
        self.recorder.record(Event::Synced { device, session, recovered, cursor: told });
        self.shared().syncs.push(frame["resync"].as_str().map(str::to_owned));
        match &mut live.resync {
            None if recovered => {
                self.keep_cursor(cursor);
                self.shared().is_synced = true;
            }
            Some(resync) if recovered => resync.cursor = cursor,
            _ => {
                live.resync = Some(Resync { cursor, open: 1 });
                live.ask(Asked::Rooms, json!({ "type": "rooms" })).await?;
                live.load_drafts(Vec::new()).await?;
                live.load_relations(Vec::new(), &Value::Null).await?;
                live.load_scheduled(Vec::new(), &Value::Null).await?;
                live.load_invitations(Vec::new(), &Value::Null).await?;
            }
        }
        Ok(())
    }

    fn hear_cursor(&mut self, live: &mut Live, frame: &Value) -> Result<()> {
        let cursor = frame["cursor"].as_str().context("cursor without cursor")?.to_owned();
        let (device, session) = (self.name.clone(), live.session);
        let told = cursor.as_str().into();
        self.recorder.record(Event::Cursor { device, session, cursor: told });
        match &mut live.resync {
            None => self.keep_cursor(cursor),
            Some(resync) => resync.cursor = cursor,
        }
        Ok(())
    }

    fn keep_cursor(&self, cursor: String) {
        self.shared().shelf.keep_cursor(cursor);
    }

    async fn hear_answer(&mut self, live: &mut Live, asked: Asked, frame: &Value) -> Result<()> {
        match asked {
            Asked::Text(number) => self.hear_text_answer(live, number, frame),
            Asked::Beside(number) => {
                let request = frame["id"].as_u64().context("an answer without id")?;
                self.hear_beside_answer((number, Attempt(live.session, request)), frame)
            }
            Asked::Receipts(room) => self.hear_receipts(live, &room, frame),
            Asked::Threads(room, before) => self.hear_threads(live, (room, before), frame).await,
            Asked::Rooms => {
                let rooms = frame["rooms"].as_array().with_context(|| format!("{frame}"))?;
                for frame in rooms {
                    let room = Room::from(frame["room"].as_str().context("a room without id")?);
                    self.hear_listed(&room, frame)?;
                    let have = self.shared().shelf.contiguous(&room);
                    live.load_marks(room.clone()).await?;
                    live.load_threads(room.clone(), Vec::new()).await?;
                    live.load(room, have).await?;
                }
                if frame["more"] == true {
                    live.load_rooms(&frame["cursor"]).await?;
                }
                self.loaded(live);
                Ok(())
            }
            Asked::History(room) => {
                let newest = frame["newest"].as_u64().unwrap_or_default();
                for frame in frame["entries"].as_array().unwrap_or(&Vec::new()) {
                    let entry = Entry::read_shown(frame, newest);
                    let entry = entry.with_context(|| format!("not an entry: {frame}"))?;
                    let device = self.name.clone();
                    self.shared().shelf.keep(&entry.room, entry.seq);
                    self.recorder.record(Event::Loaded { device, entry });
                }
                if frame["type"] == "error" && frame["error"]["temporary"] == true {
                    bail!("loading {room} failed: {frame}");
                }
                if frame["more"] == true {
                    let through = frame["through"].as_u64().context("history without through")?;
                    live.load(room, through).await?;
                }
                self.loaded(live);
                Ok(())
            }
            Asked::Drafts(before) => self.hear_drafts(live, before, frame).await,
            Asked::Relations(before) => self.hear_relations(live, before, frame).await,
            Asked::Scheduled(before) => self.hear_scheduled(live, before, frame).await,
            Asked::Invitations(before) => self.hear_invitations(live, before, frame).await,
            Asked::Ping => Ok(()),
        }
    }

    /// One request of the resync was answered.
    pub(super) fn loaded(&mut self, live: &mut Live) {
        let Some(resync) = &mut live.resync else { return };
        resync.open -= 1;
        if resync.open == 0 {
            let cursor = std::mem::take(&mut resync.cursor);
            live.resync = None;
            let (device, told) = (self.name.clone(), cursor.as_str().into());
            self.recorder.record(Event::LoadedAll { device, cursor: told });
            self.keep_cursor(cursor);
            self.shared().is_synced = true;
        }
    }

    fn hear_text_answer(&mut self, live: &Live, number: u64, frame: &Value) -> Result<()> {
        let Some(pending) = self.pending.get_mut(&number) else { return Ok(()) };
        if frame["type"] == "ack" {
            let answer = self.record_ack(live, frame);
            if let Some(done) = self.pending.remove(&number).and_then(|pending| pending.done) {
                let _ = done.send(answer);
            }
            return Ok(());
        }
        let error = &frame["error"];
        // An `add` that invites is no entry.
        let is_done = frame["type"] == "done";
        let code = error["code"].as_str().or(is_done.then_some("invited"));
        let code = code.with_context(|| format!("no answer: {frame}"))?;
        let temporary = error["temporary"].as_bool().or(is_done.then_some(false));
        let temporary = temporary.context("an error without temporary")?;
        self.recorder.record(Event::Refused {
            device: self.name.clone(),
            client_id: pending.client_id.clone(),
            code: code.into(),
            temporary,
        });
        if temporary {
            let wait = error["retry_after_ms"].as_u64().map_or(RETRY_AFTER, Duration::from_millis);
            (pending.request, pending.due) = (None, Instant::now() + wait);
            return Ok(());
        }
        if let Some(done) = self.pending.remove(&number).and_then(|pending| pending.done) {
            let _ = done.send(Err(anyhow!("refused: {error}")));
        }
        Ok(())
    }

    fn hear_late_ack(&mut self, live: &Live, frame: &Value) -> Result<()> {
        let answer = self.record_ack(live, frame)?;
        let number = self.pending.iter().find_map(|(number, pending)| {
            (frame["client_id"] == *pending.client_id).then_some(*number)
        });
        let pending = number.and_then(|number| self.pending.remove(&number));
        if let Some(done) = pending.and_then(|pending| pending.done) {
            let _ = done.send(Ok(answer));
        }
        Ok(())
    }

    /// It speaks of an attempt that another one has followed already; that one may come after what
    /// was sent between the two.
    fn hear_late_error(&self, client_id: Option<Arc<str>>, frame: &Value) {
        let code = frame["error"]["code"].as_str();
        if let (Some(client_id), Some(code)) = (client_id, code) {
            let (device, code) = (self.name.clone(), code.into());
            self.recorder.record(Event::Refused { device, client_id, code, temporary: true });
        }
    }

    fn record_ack(&self, live: &Live, frame: &Value) -> Result<u64> {
        let text = |name: &str| {
            frame[name].as_str().with_context(|| format!("an ack without {name}: {frame}"))
        };
        let seq = frame["seq"].as_u64().context("an ack without seq")?;
        self.recorder.record(Event::Acked {
            device: self.name.clone(),
            session: live.session,
            room: text("room")?.into(),
            client_id: text("client_id")?.into(),
            seq,
        });
        Ok(seq)
    }
}

impl Live {
    /// When it is given up.
    fn silent_at(&self) -> Instant {
        self.heard_at + self.heartbeat * SILENT_HEARTBEATS
    }

    fn ping_at(&self) -> Instant {
        self.wrote_at + self.heartbeat.mul_f64(0.8)
    }

    /// Room is left for pings and the loading of rooms.
    pub(super) fn has_room(&self) -> bool {
        self.asked.len() + 8 <= self.in_flight_max
    }

    /// Nobody waits for the answer to a request any more.
    pub(super) fn forget(&mut self, request: u64) {
        self.asked.remove(&request);
    }

    /// That of the next request.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt(self.session, self.request_id + 1)
    }

    pub(super) async fn ask(&mut self, asked: Asked, mut frame: Value) -> Result<u64> {
        self.request_id += 1;
        frame["id"] = self.request_id.into();
        self.asked.insert(self.request_id, asked);
        self.wrote_at = Instant::now();
        self.socket.send(&frame).await?;
        Ok(self.request_id)
    }

    async fn load(&mut self, room: Room, after: u64) -> Result<()> {
        let frame = json!({ "type": "history", "room": &*room, "after": after });
        self.count_open();
        self.ask(Asked::History(room), frame).await?;
        Ok(())
    }

    async fn load_rooms(&mut self, after: &Value) -> Result<()> {
        self.count_open();
        self.ask(Asked::Rooms, json!({ "type": "rooms", "after": after })).await?;
        Ok(())
    }

    pub(super) fn count_open(&mut self) {
        if let Some(resync) = &mut self.resync {
            resync.open += 1;
        }
    }
}

fn read_entry(frame: &Value) -> Result<Entry> {
    Entry::read(frame).with_context(|| format!("not an entry: {frame}"))
}
