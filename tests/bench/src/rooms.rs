//! `weft-bench rooms`: what it costs a user with many rooms to load the list, and to come back; and what a page of
//! `history` costs where messages were edited and reacted to.
//!
//! An embedded store with one user's rooms, written as owners write them, and core's calls on it, without NATS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::Bytes;
use clap::Args;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use weft_core::services::{Caller, Context, Failure, Login, layout};
use weft_proto::kind::{Edit, Text};
use weft_proto::{Body, Cursor, DeviceId, Entry, Role, RoomId, StoreId, UserId, svc};
use weft_runtime::{Clock, SystemClock};
use weft_storage::embedded::Embedded;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::layout::FEATURE_LEVEL;
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::message::{self as message_row, Message, ReactionCount};
use weft_storage::tables::{log, reaction, user_room};
use weft_storage::{Batch, Store};

use crate::progress;
use crate::report::{Latencies, Quantiles, print};
use crate::system::warn_of_memory;

const HOUR_MS: u64 = 3_600_000;
/// A month, over which the newest entries are spread.
const SPREAD_HOURS: u64 = 720;
const MESSAGES: u64 = 30;
/// So many of them are unread, one of them deleted.
const UNREAD: u64 = 10;
const GROUP_MEMBERS: usize = 10;
const TEXT_CHARS: usize = 200;
const CALLS_BEFORE: usize = 50;
/// Members of a group whose list is read.
const MANY_MEMBERS: usize = 10_000;
/// Most of them that one commit writes.
const MEMBERS_AT_ONCE: usize = 1_000;
const READER: &str = "reader";

#[derive(Args, Clone, Debug)]
pub struct RoomsOptions {
    /// How many rooms the user has.
    #[arg(long, default_value_t = 1_000)]
    rooms: usize,
    /// How many rooms a page has.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    page: u32,
    /// How often each call is measured.
    #[arg(long, default_value_t = 1_000)]
    calls: usize,
    /// In how many groups something is new when the device comes back.
    #[arg(long, default_value_t = 10)]
    new: usize,
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    rooms: usize,
    page: u32,
    calls: usize,
    /// The first page, where the rooms' newest entries are spread over a month.
    first_page_ms: Quantiles,
    /// The page in the middle of the list.
    middle_page_ms: Quantiles,
    /// The first page, where all were active within one hour.
    first_page_of_one_hour_ms: Quantiles,
    /// The sync of a device in as many groups, of which some have something new.
    resume_ms: Quantiles,
    new: usize,
    /// A page of `history` with as many messages, to which nothing was done.
    history_ms: Quantiles,
    /// The same where each of them was edited and has reactions of three kinds.
    changed_history_ms: Quantiles,
    /// A page of a list of 10,000 members, as long as one may be.
    members_page_ms: Quantiles,
    /// All of its pages.
    members_ms: Quantiles,
}

pub async fn measure(options: &RoomsOptions) -> Result<()> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    warn_of_memory(&parent);
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
    let open = async |name: &str, hours, share| {
        let store = Store::new(Embedded::open(&folder.path().join(name))?);
        User::fill(store, options.rooms, hours, share).await
    };
    let spread = open("spread", SPREAD_HOURS, 0.5).await?;
    let first_page_ms = spread.pages(options, 0).await?;
    let middle_page_ms = spread.pages(options, options.rooms / 2).await?;
    drop(spread);
    let first_page_of_one_hour_ms = open("hour", 1, 0.5).await?.pages(options, 0).await?;
    let groups = open("groups", SPREAD_HOURS, 0.0).await?;
    let resume_ms = groups.resumes(options).await?;
    let history_ms = groups.history(options, "plain~reader", false).await?;
    let changed_history_ms = groups.history(options, "changed~reader", true).await?;
    let (members_page_ms, members_ms) = groups.members(options).await?;
    let RoomsOptions { rooms, page, calls, new, .. } = *options;
    print(&Report {
        scenario: "rooms",
        rooms,
        page,
        calls,
        first_page_ms,
        middle_page_ms,
        first_page_of_one_hour_ms,
        resume_ms,
        new,
        history_ms,
        changed_history_ms,
        members_page_ms,
        members_ms,
    })
}

/// One user with rooms.
struct User {
    store: Store,
    context: Context,
    store_id: StoreId,
    token: String,
    groups: Vec<RoomId>,
}

fn user(name: &str) -> Result<UserId> {
    UserId::new(name).map_err(|error| anyhow!(error.message))
}

fn failed(failure: Failure) -> anyhow::Error {
    anyhow!("{failure:?}")
}

impl User {
    async fn fill(store: Store, rooms: usize, hours: u64, directs: f64) -> Result<Self> {
        let clock = Arc::new(SystemClock);
        let layout = layout::open(&store, 4, FEATURE_LEVEL).await?;
        let life = Duration::from_secs(86_400);
        let context = Context::open(store.clone(), Arc::clone(&clock) as _, life).await?;
        let reader = user(READER)?;
        let device = DeviceId::new("d").map_err(|error| anyhow!(error.message))?;
        let mut batch = Batch::new(rand::random());
        let login = Device { refresh_hash: vec![1], login_ms: 1, ..Device::default() };
        batch.set(device::key(&reader, &device), login.encode());
        store.commit(batch).await?;
        let caller = Caller::person(reader.clone(), device, Login::MadeAt(1));
        let token = context.tokens().issue(&caller).map_err(|error| anyhow!(error.message))?.0;
        let mut random = SmallRng::seed_from_u64(1);
        let mut groups = Vec::new();
        for number in 0..rooms {
            let other = user(&format!("u{number}"))?;
            let is_direct = random.random_bool(directs);
            let room = match is_direct {
                true => RoomId::direct(&reader, &other),
                false => RoomId::new(&format!("g{number}")).map_err(|e| anyhow!(e.message))?,
            };
            let ago_ms = random.random_range(1..=hours * HOUR_MS);
            // The hours that are over.
            let newest_ms = clock.now_ms() / HOUR_MS * HOUR_MS - ago_ms;
            let room = Room { room, other, newest_ms, is_direct };
            store.commit(room.rows(&reader)?).await?;
            if !is_direct {
                groups.push(room.room);
            }
        }
        progress(&format!("{rooms} rooms of {MESSAGES} messages are there"));
        let store_id = StoreId(layout.store_id);
        Ok(Self { store, context, store_id, token, groups })
    }

    async fn page(&self, after: &str, limit: u32) -> Result<svc::Rooms> {
        let (token, after) = (self.token.clone(), after.to_owned());
        self.context
            .list(svc::ListRooms { token, after, limit, hidden: false })
            .await
            .map_err(failed)
    }

    /// The page after so many rooms, again and again.
    async fn pages(&self, options: &RoomsOptions, skip: usize) -> Result<Quantiles> {
        let (mut after, mut skipped) = (String::new(), 0);
        while skipped < skip {
            let page = self.page(&after, options.page).await?;
            ensure!(page.more, "the list ends at {skipped}");
            (after, skipped) = (page.cursor, skipped + page.rooms.len());
        }
        let latencies = Latencies::default();
        for call in 0..options.calls + CALLS_BEFORE {
            let began = Instant::now();
            let page = self.page(&after, options.page).await?;
            if call >= CALLS_BEFORE {
                latencies.record(began.elapsed());
            }
            let wanted = options.rooms.saturating_sub(skipped).min(options.page as usize);
            ensure!(page.rooms.len() == wanted, "{} rooms of {wanted}", page.rooms.len());
            let room = page.rooms.first().context("no room")?;
            ensure!(room.unread == UNREAD - 1 && !room.last.is_empty(), "{room:?}");
        }
        Ok(latencies.quantiles())
    }

    /// A device that comes back, again and again.
    async fn resumes(&self, options: &RoomsOptions) -> Result<Quantiles> {
        let position = self.store.snapshot().await?.read_version();
        let cursor = Cursor { store: self.store_id, position }.to_string();
        let step = (self.groups.len() / options.new.max(1)).max(1);
        for room in self.groups.iter().step_by(step).take(options.new) {
            let mut batch = Batch::new(rand::random());
            let row = self.store.snapshot().await?.get(head::key(room)).await?;
            let (_, head) = head::decode(&row.context("no head")?)?;
            let head = Head { seq: head.seq + 1, ordinal: head.ordinal + 1, ..head };
            log::put(&mut batch, 0, &entry(room, &head, user("u0")?, message('n')));
            head::put(&mut batch, room, 0, &head);
            self.store.commit(batch).await?;
        }
        let latencies = Latencies::default();
        for call in 0..options.calls + CALLS_BEFORE {
            let began = Instant::now();
            let (mut entries, mut page) = (0, Vec::new());
            loop {
                let (token, cursor) = (self.token.clone(), cursor.clone());
                let request = svc::Sync { token, cursor, page };
                let answer = self.context.sync(request).await.map_err(failed)?;
                entries += answer.entries.len();
                page = answer.next;
                if page.is_empty() {
                    break;
                }
            }
            if call >= CALLS_BEFORE {
                latencies.record(began.elapsed());
            }
            ensure!(entries == options.new, "{entries} entries of {}", options.new);
        }
        Ok(latencies.quantiles())
    }

    /// A page of a direct room's `history`, again and again.
    async fn history(
        &self,
        options: &RoomsOptions,
        room: &str,
        is_changed: bool,
    ) -> Result<Quantiles> {
        let room = RoomId::new(room).map_err(|error| anyhow!(error.message))?;
        self.store.commit(conversation(&room, options.page.into(), is_changed)?).await?;
        let latencies = Latencies::default();
        for call in 0..options.calls + CALLS_BEFORE {
            let began = Instant::now();
            let request = svc::ReadLog {
                token: self.token.clone(),
                room: room.to_string(),
                after: Some(0),
                limit: options.page,
                merged: true,
                ..svc::ReadLog::default()
            };
            let page = self.context.log_read(request).await.map_err(failed)?;
            if call >= CALLS_BEFORE {
                latencies.record(began.elapsed());
            }
            ensure!(page.entries.len() == options.page as usize, "{} entries", page.entries.len());
            let shown = std::str::from_utf8(&page.entries[0].frame)?;
            let is_merged = shown.contains(&text('y')) && shown.contains(r#""own":true"#);
            ensure!(is_merged == is_changed, "{shown}");
        }
        Ok(latencies.quantiles())
    }

    /// The members of a group of many, page by page, again and again: a page, and all of them.
    async fn members(&self, options: &RoomsOptions) -> Result<(Quantiles, Quantiles)> {
        let room = RoomId::new("crowd").map_err(|error| anyhow!(error.message))?;
        let mut head = Head { seq: 1, title: "Crowd".into(), ..Head::default() };
        head.member_count = u32::try_from(MANY_MEMBERS)?;
        let mut names = vec![READER.to_owned()];
        names.extend((1..MANY_MEMBERS).map(|number| format!("m{number}")));
        for names in names.chunks(MEMBERS_AT_ONCE) {
            let mut batch = Batch::new(rand::random());
            for name in names {
                let (member, row) = (user(name)?, Member::joined(Role::Member, 1));
                batch.set(member::key(&room, &member), row.encode());
                let display_name = format!("Member {name}");
                let account = Account { display_name, ..Account::default() };
                batch.set(account::key(&member), account.encode());
            }
            head::put(&mut batch, &room, 0, &head);
            self.store.commit(batch).await?;
        }
        let (pages, lists) = (Latencies::default(), Latencies::default());
        for call in 0..options.calls / 20 + 1 {
            let (began, mut after, mut count) = (Instant::now(), String::new(), 0);
            loop {
                let began = Instant::now();
                let (token, room) = (self.token.clone(), room.to_string());
                let request = svc::ListMembers { token, room, after, limit: 0 };
                let page = self.context.members(request).await.map_err(failed)?;
                if call > 0 {
                    pages.record(began.elapsed());
                }
                count += page.members.len();
                after = page.members.last().context("an empty page")?.user.clone();
                if !page.more {
                    break;
                }
            }
            if call > 0 {
                lists.record(began.elapsed());
            }
            ensure!(count == MANY_MEMBERS, "{count} members");
        }
        Ok((pages.quantiles(), lists.quantiles()))
    }
}

/// Messages of a direct room of the reader's, and then what was done to each of them, in one commit.
fn conversation(room: &RoomId, messages: u64, is_changed: bool) -> Result<Batch> {
    let (mut batch, mut head) = (Batch::new(rand::random()), Head::default());
    for seq in 1..=messages {
        (head.seq, head.ordinal) = (seq, seq);
        log::put(&mut batch, u16::try_from(seq)?, &entry(room, &head, user("u0")?, message('x')));
    }
    for target in (1..=messages).filter(|_| is_changed) {
        head.seq += 1;
        let edit = Body::Edit(Edit { target, text: text('y'), ranges: Vec::new() });
        log::put(&mut batch, u16::try_from(head.seq)?, &entry(room, &head, user("u0")?, edit));
        let mut row = Message { edits: vec![head.seq], edited_at_ms: 1, ..Message::default() };
        for emoji in ["+1", "heart", "eyes"] {
            let by = reaction::encode(head.seq);
            batch.set(reaction::key(room, target, emoji, &user(READER)?), by);
            row.reactions.push(ReactionCount { emoji: emoji.into(), count: 1 });
        }
        batch.set(message_row::key(room, target), row.encode());
    }
    head::put(&mut batch, room, u16::try_from(head.seq)?, &head);
    Ok(batch)
}

fn text(of: char) -> String {
    String::from(of).repeat(TEXT_CHARS)
}

fn message(of: char) -> Body {
    Body::Text(Text { text: text(of), ..Text::default() })
}

fn entry(room: &RoomId, head: &Head, from: UserId, body: Body) -> Entry {
    let (seq, ordinal, time_ms) = (head.seq, head.ordinal, head.time_ms);
    Entry { room: room.clone(), seq, ordinal, from, client_id: None, time_ms, body }
}

struct Room {
    room: RoomId,
    other: UserId,
    newest_ms: u64,
    is_direct: bool,
}

impl Room {
    /// All of it, in one commit: messages of the other user, the last one edited, one of the unread ones deleted.
    fn rows(&self, reader: &UserId) -> Result<Batch> {
        let mut batch = Batch::new(rand::random());
        let mut head = Head { title: "A room".into(), time_ms: self.newest_ms, ..Head::default() };
        for seq in 1..=MESSAGES {
            (head.seq, head.ordinal, head.preview_seq) = (seq, seq, seq);
            log::put(&mut batch, u16::try_from(seq)?, &self.entry(&head, message('x')));
        }
        head.seq += 1;
        let edit = Edit { target: MESSAGES, text: text('y'), ranges: Vec::new() };
        log::put(&mut batch, u16::try_from(head.seq)?, &self.entry(&head, Body::Edit(edit)));
        let edited = Message { edits: vec![head.seq], edited_at_ms: 1, ..Message::default() };
        batch.set(message_row::key(&self.room, MESSAGES), edited.encode());
        let deleted = Message { deleted_by: head.seq, ..Message::default() };
        batch.set(message_row::key(&self.room, MESSAGES - 1), deleted.encode());
        let read = MESSAGES - UNREAD;
        let read = Mark { read, read_ordinal: read, ..Mark::default() };
        mark::put(&mut batch, 0, (&self.room, reader), &read);
        batch.set(account::key(&self.other), Account::default().encode());
        let mut members = vec![reader.clone(), self.other.clone()];
        if !self.is_direct {
            for number in 2..GROUP_MEMBERS {
                members.push(user(&format!("m{number}"))?);
            }
            head.member_count = u32::try_from(members.len())?;
            for member in &members {
                let row = Member::joined(Role::Member, 1);
                batch.set(member::key(&self.room, member), row.encode());
            }
        }
        for member in &members {
            batch.set(user_room::key(member, &self.room), Bytes::new());
            let bucket = ActivityBucket::of(&head);
            batch.set(activity::key(member, bucket, &self.room), Bytes::new());
        }
        head::put(&mut batch, &self.room, u16::try_from(head.seq)?, &head);
        Ok(batch)
    }

    fn entry(&self, head: &Head, body: Body) -> Entry {
        entry(&self.room, head, self.other.clone(), body)
    }
}
