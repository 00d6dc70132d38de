//! A core of a few lines: logs in memory, whose events a test may lose.

mod audit;
mod changes;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use weft_nats::subject::WEFT_ENTRY;
use weft_nats::{Answer, Bus, EventPublisher, IngestLog, Services, Subject};
use weft_proto::frame::Ack;
use weft_proto::kind::{Create, Mark};
use weft_proto::presence::{Choice, PresenceSettings};
use weft_proto::svc::{
    Audit, CheckLogins, CheckedLogins, ChooseStatus, Empty, GetKeys, Groups, Keys, ListGroups,
    ListRooms, LogEntry, LogPage, Login, Logout, ReadLog, Resync, RoomSummary, Rooms, Sync,
    SyncPage, Tokens, VerifyKey,
};
use weft_proto::token::Claims;
use weft_proto::{
    ApiError, Body, Cursor, Entry, ErrorCode, EventHead, Membership, Position, RoomId, StoreId,
    UserId,
};

use crate::common::{KID, PUBLIC, room, user};

/// Entries of a page of `read` and `sync`, so few that paging happens.
const PAGE_ENTRIES: usize = 3;
const PAGE_ROOMS: usize = 2;

struct Logged {
    head: EventHead,
    frame: Bytes,
    /// Groups: whom it concerns.
    users: Vec<UserId>,
    /// By which commit it was applied.
    stream_seq: u64,
    /// What a newer core says in the head beside what this one does.
    more: &'static str,
}

#[derive(Default)]
struct State {
    store: u64,
    logs: HashMap<RoomId, Vec<Logged>>,
    last_position: u64,
    /// As of the last commit. What a test commits has places of its own in between.
    applied: u64,
    ticks: audit::Ticks,
    /// Commands are left in the log.
    is_stalled: bool,
    /// How many of the next commands are read and never answered.
    commands_ignored: usize,
    commands: Vec<(String, String)>,
    /// What was marked, one command after the other.
    marks: Vec<Mark>,
    changes: Vec<changes::Changed>,
    /// Client ids of what was applied.
    applied_ids: HashSet<String>,
    /// How many of the next syncs can't bring everything.
    syncs_unrecovered: usize,
    /// Said right after such an answer, where anything is.
    said_after: Option<(RoomId, String)>,
    reads: usize,
    syncs: usize,
    choices: Vec<Choice>,
    failing: bool,
    /// Users whose logins have ended.
    ended: HashSet<UserId>,
    /// Does not say whether logins last.
    is_silent: bool,
    login_checks: usize,
}

#[derive(Clone)]
pub struct Core {
    pub bus: Bus,
    state: Arc<Mutex<State>>,
}

impl Core {
    pub async fn start(bus: Bus) -> Self {
        let core = Self { bus, state: Arc::default() };
        core.lock().store = 1;
        core.serve().await;
        let owner = core.clone();
        tokio::spawn(async move { owner.tick().await });
        let worker = core.clone();
        tokio::spawn(async move { worker.work().await });
        core
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub fn ignore_commands(&self, count: usize) {
        self.lock().commands_ignored = count;
    }

    /// Room and client id of all commands that were read.
    pub fn commands(&self) -> Vec<(String, String)> {
        self.lock().commands.clone()
    }

    /// The next sync can't bring everything; this is said before the one that follows.
    pub fn leave_unrecovered_and_say(&self, room: &RoomId, text: &str) {
        let mut state = self.lock();
        state.syncs_unrecovered = 1;
        state.said_after = Some((room.clone(), text.to_owned()));
    }

    pub fn reads(&self) -> usize {
        self.lock().reads
    }

    pub fn syncs(&self) -> usize {
        self.lock().syncs
    }

    pub fn fail(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// The user's logins end; nobody is told.
    pub fn end_logins(&self, name: &str) {
        self.lock().ended.insert(user(name));
    }

    /// Whether it is asked in vain if logins last.
    pub fn hide_logins(&self, is_silent: bool) {
        self.lock().is_silent = is_silent;
    }

    /// How often it was asked that.
    pub fn login_checks(&self) -> usize {
        self.lock().login_checks
    }

    fn check(&self, request: &CheckLogins) -> Result<CheckedLogins, ApiError> {
        let mut state = self.lock();
        state.login_checks += 1;
        if state.is_silent {
            return Err(ApiError::new(ErrorCode::Unavailable, "on purpose"));
        }
        let lasts = |token: &String| !state.ended.contains(&caller(token));
        let lasts = request.tokens.iter().map(lasts).collect();
        Ok(CheckedLogins { lasts, ..CheckedLogins::default() })
    }

    /// Leaves commands in the log, or goes on with them.
    pub fn stall(&self, is_stalled: bool) {
        self.lock().is_stalled = is_stalled;
    }

    /// Commits an entry; publishes nothing.
    pub fn commit(&self, room: &RoomId, from: &str, body: Body) -> EventHead {
        self.commit_at(0, room, from, body)
    }

    fn commit_at(&self, stream_seq: u64, room: &RoomId, from: &str, body: Body) -> EventHead {
        let mut state = self.lock();
        state.last_position += 1;
        state.applied = stream_seq.max(state.applied + 1);
        let stream_seq = state.applied;
        let position = Position::new(state.last_position, 0);
        let mut users = match &body {
            Body::Create(Create { members, .. }) => members.clone(),
            _ => Vec::new(),
        };
        let log = state.logs.entry(room.clone()).or_default();
        let seq = log.len() as u64 + 1;
        let entry = Entry {
            room: room.clone(),
            seq,
            ordinal: seq,
            from: user(from),
            client_id: None,
            time_ms: 1,
            body,
        };
        let before = log.last().map(|before| before.head.position);
        let head = EventHead::of(&entry, position, before);
        users.extend(head.user.clone());
        let frame = entry.to_frame().into();
        log.push(Logged { head: head.clone(), frame, users, stream_seq, more: "" });
        head
    }

    /// Commits an entry of the version after this one: a kind, a field, and words and a mark of the
    /// head that no one knows. With a user: who joins by it.
    pub fn commit_newer(&self, room: &RoomId, joins: Option<&str>) -> EventHead {
        let mut head = self.text(room, "newer");
        let mut state = self.lock();
        let logged = state.logs.get_mut(room).expect("log").last_mut().expect("entry");
        let seq = head.seq;
        logged.frame = format!(
            r#"{{"type":"entry","room":"{room}","seq":{seq},"ordinal":{seq},"from":"bob","time":1,"kind":"dance","tempo":{{"bpm":[120]}}}}"#
        )
        .into();
        head.kind = "dance".into();
        head.user = joins.map(user);
        if joins.is_some() {
            head.membership = Membership::Joins;
        }
        logged.users.extend(head.user.clone());
        logged.more = "x 17 more";
        logged.head = head.clone();
        head
    }

    pub fn text(&self, room: &RoomId, text: &str) -> EventHead {
        self.commit(room, "bob", Body::message(text.to_owned()).expect("text"))
    }

    /// Publishes a committed entry: to the group, and to these users.
    pub async fn publish(&self, head: &EventHead, users: &[&str]) {
        let (frame, text) = {
            let logged = &self.lock().logs[&head.room][head.seq as usize - 1];
            (logged.frame.clone(), format!("{head}{}", logged.more))
        };
        let mut subjects: Vec<Subject> =
            users.iter().map(|name| Subject::User(user(name))).collect();
        if head.room.direct_users().is_none() {
            subjects.push(Subject::EventGroup { partition: 0, room: head.room.clone() });
        }
        for subject in subjects {
            self.bus
                .publish(&subject, &[(WEFT_ENTRY, &text)], frame.clone())
                .await
                .expect("publish");
        }
    }

    /// Commits a text and publishes it.
    pub async fn say(&self, room: &RoomId, text: &str) -> EventHead {
        let head = self.text(room, text);
        let users = room.direct_users();
        let users: Vec<&str> = users.iter().flat_map(|(a, b)| [a.as_str(), b.as_str()]).collect();
        self.publish(&head, &users).await;
        head
    }

    async fn work(&self) {
        let log = IngestLog::open(&self.bus, 0);
        let events = EventPublisher::start(&self.bus).await.expect("events");
        let mut next_seq = 1;
        loop {
            let Ok(mut reader) = log.read_from(next_seq, 0).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            while let Ok(message) = reader.next().await {
                next_seq = message.stream_seq + 1;
                let id = message.client_id.clone().unwrap_or_default();
                while self.lock().is_stalled {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let ignored = {
                    let mut state = self.lock();
                    state.applied = state.applied.max(message.stream_seq);
                    state.commands.push((message.room.clone(), id.clone()));
                    let ignored = state.commands_ignored > 0;
                    state.commands_ignored = state.commands_ignored.saturating_sub(1);
                    ignored
                };
                let Some(reply) = message.reply.filter(|_| !ignored) else { continue };
                let body = Body::from_json(&message.payload).expect("body");
                let is_early = |after: String| !self.lock().applied_ids.contains(&after);
                let answer = if let Body::Mark(mark) = body {
                    self.mark(&message.room, mark)
                } else if message.after.is_some_and(is_early) {
                    Answer::error(&ApiError::new(ErrorCode::ResendInOrder, "not yet"))
                } else if message.room == "full" {
                    Answer::error(&ApiError::new(ErrorCode::RoomFull, "full"))
                } else {
                    let room = room(&message.room);
                    let head = self.commit_at(message.stream_seq, &room, &message.sender, body);
                    self.lock().applied_ids.insert(id);
                    let (seq, ordinal) = (head.seq, Some(head.seq));
                    let time = Some(message.stored_at_ms);
                    Answer::ack(
                        Ack { room: &room, seq, ordinal, time, client_id: None, invited: &[] }
                            .to_frame(),
                    )
                };
                events.answer(&reply, answer).await.expect("answer");
            }
        }
    }

    async fn serve(&self) {
        let mut services = Services::start(&self.bus, "0.1.0");
        let keys = |_: GetKeys| async {
            let keys = vec![VerifyKey { kid: KID.into(), public: PUBLIC.to_vec() }];
            Ok(Keys { keys, partitions: 1 })
        };
        services.handle(8, keys).await.expect("keys");
        let core = self.clone();
        let groups = move |request: ListGroups| std::future::ready(core.groups(&request));
        services.handle(8, groups).await.expect("groups");
        let core = self.clone();
        let check = move |request: CheckLogins| std::future::ready(core.check(&request));
        services.handle(8, check).await.expect("check");
        let core = self.clone();
        let sync = move |request: Sync| std::future::ready(core.sync(&request));
        services.handle(8, sync).await.expect("sync");
        let core = self.clone();
        let read = move |request: ReadLog| std::future::ready(core.read(&request));
        services.handle(8, read).await.expect("read");
        let core = self.clone();
        let audit = move |request: Audit| std::future::ready(core.audit(&request));
        services.handle(8, audit).await.expect("audit");
        let rooms = |request: ListRooms| async move {
            // A role of the version after this one.
            let (room, role) = ("a-team".into(), "regent".into());
            let room = RoomSummary { room, role, seq: 7, ..RoomSummary::default() };
            Ok(Rooms { rooms: vec![room], more: request.limit == 1, ..Rooms::default() })
        };
        services.handle(8, rooms).await.expect("rooms");
        let login = |request: Login| async move {
            let Login { user, device, .. } = request;
            Ok(Tokens { user, device, ..Tokens::default() })
        };
        services.handle(8, login).await.expect("login");
        services.handle(8, |_: Logout| async { Ok(Empty {}) }).await.expect("logout");
        let core = self.clone();
        let choose = move |request: ChooseStatus| core.clone().choose(request);
        services.handle(8, choose).await.expect("choose");
        // They live as long as the test.
        std::mem::forget(services);
    }

    /// The first choice takes so long that a second one would overtake it, if it were asked for.
    async fn choose(self, request: ChooseStatus) -> Result<PresenceSettings, ApiError> {
        let choices = || self.lock().choices.len();
        if request.text == "slow" {
            let overtaken = async {
                while choices() == 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let _ = tokio::time::timeout(Duration::from_millis(500), overtaken).await;
        }
        let mut state = self.lock();
        state.choices.push(request.choice());
        let at_ms = state.choices.len() as u64;
        let ChooseStatus { choice, text, text_until_ms, .. } = request;
        Ok(PresenceSettings { choice, text, text_until_ms, at_ms })
    }

    /// What was chosen, in the order in which it was.
    pub fn choices(&self) -> Vec<Choice> {
        self.lock().choices.clone()
    }

    fn groups(&self, request: &ListGroups) -> Result<Groups, ApiError> {
        let me = caller(&request.token);
        let state = self.lock();
        let mut rooms: Vec<String> = state
            .logs
            .iter()
            .filter(|(room, log)| room.direct_users().is_none() && is_member(&me, log, u64::MAX))
            .map(|(room, _)| room.to_string())
            .filter(|room| *room > request.after)
            .collect();
        rooms.sort();
        let more = rooms.len() > PAGE_ROOMS;
        rooms.truncate(PAGE_ROOMS);
        Ok(Groups { rooms, more })
    }

    fn sync(&self, request: &Sync) -> Result<SyncPage, ApiError> {
        let me = caller(&request.token);
        let mut state = self.lock();
        if state.failing {
            return Err(ApiError::new(ErrorCode::Internal, "on purpose"));
        }
        let (covered, skipped) = match request.page.as_slice() {
            [] => (state.last_position, 0),
            page => {
                let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("8 bytes"));
                (number(&page[..8]), number(&page[8..]) as usize)
            }
        };
        let position = Position::new(covered, 0).commit_end();
        let store = StoreId(state.store);
        let cursor = Cursor { store, position }.to_string();
        state.syncs += usize::from(request.page.is_empty());
        let resync = match request.cursor.as_str() {
            "" => Resync::NoCursor,
            _ if state.syncs_unrecovered > 0 => {
                state.syncs_unrecovered -= 1;
                Resync::TooFarBehind
            }
            old if old.parse::<Cursor>()?.store != store => Resync::OtherStore,
            _ => Resync::None,
        };
        if resync != Resync::None {
            let said = state.said_after.take();
            drop(state);
            if let Some((room, text)) = said {
                self.text(&room, &text);
            }
            return Ok(SyncPage { cursor, resync: resync.into(), ..SyncPage::default() });
        }
        let since = request.cursor.parse::<Cursor>()?.position;
        let mut entries: Vec<&Logged> = state
            .logs
            .values()
            .flat_map(|log| log.iter().filter(|entry| sees(&me, log, &entry.head)))
            .filter(|entry| entry.head.position > since && entry.head.position <= position)
            .collect();
        entries.sort_by_key(|entry| entry.head.position);
        let page = entries.iter().skip(skipped).take(PAGE_ENTRIES);
        let page: Vec<LogEntry> = page.map(|entry| log_entry(entry)).collect();
        let next = skipped + page.len();
        let (next, changes) = if next < entries.len() {
            ([covered.to_be_bytes(), (next as u64).to_be_bytes()].concat(), Vec::new())
        } else {
            (Vec::new(), state.changes_of(&me, since, position))
        };
        let receipts_off = state.receipts_off(&me);
        Ok(SyncPage { cursor, entries: page, next, changes, receipts_off, ..SyncPage::default() })
    }

    fn read(&self, request: &ReadLog) -> Result<LogPage, ApiError> {
        let me = caller(&request.token);
        let mut state = self.lock();
        state.reads += 1;
        if state.failing {
            return Err(ApiError::new(ErrorCode::Internal, "on purpose"));
        }
        let no_room = || ApiError::new(ErrorCode::NoSuchRoom, "none");
        let log = state.logs.get(&room(&request.room)).ok_or_else(no_room)?;
        let from = match (&request.after, &request.after_position) {
            (Some(after), _) => after + 1,
            (None, Some(position)) => {
                let position = Position::from_slice(position).expect("12 bytes");
                log.iter().take_while(|entry| entry.head.position <= position).count() as u64 + 1
            }
            (None, None) => 1,
        };
        let to = if request.to == 0 { log.len() as u64 } else { request.to };
        let to = to.min(log.len() as u64);
        let through = to.min(from + PAGE_ENTRIES as u64 - 1);
        let visible = log.iter().filter(|entry| (from..=through).contains(&entry.head.seq));
        let visible = visible.filter(|entry| sees(&me, log, &entry.head));
        let entries = visible.map(log_entry).collect();
        let (through, more) = (through.max(from - 1), through < to);
        Ok(LogPage { entries, from, through, more, newest: log.len() as u64, more_before: None })
    }
}

fn log_entry(entry: &Logged) -> LogEntry {
    let head = EventHead { position_before: None, ..entry.head.clone() };
    LogEntry { head: format!("{head}{}", entry.more), frame: entry.frame.clone() }
}

fn caller(token: &str) -> UserId {
    user(&jsonwebtoken::dangerous::insecure_decode::<Claims>(token).expect("claims").claims.sub)
}

/// A member before this seq: who was never added is none.
fn is_member(me: &UserId, log: &[Logged], before: u64) -> bool {
    let mine = |entry: &&Logged| entry.head.seq < before && entry.users.contains(me);
    let last = log.iter().rev().find(mine);
    last.is_some_and(|entry| entry.head.membership == Membership::Joins)
}

/// A member at that entry, or joining by it.
fn sees(me: &UserId, log: &[Logged], head: &EventHead) -> bool {
    match head.room.direct_users() {
        Some((a, b)) => *me == a || *me == b,
        None => is_member(me, log, head.seq) || is_member(me, log, head.seq + 1),
    }
}
