//! A store with something of everything, by chance: what its rows say fits together, as if cores
//! had written it.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use weft_proto::kind::{
    Add, ChangeRole, Create, DndHours, DraftText, Extras, HiddenAt, Leave, Remove, Rename, Text,
};
use weft_proto::presence::{Choice, PresenceSettings};
use weft_proto::{
    Body, ClientId, DeviceId, Entry, FileId, FollowerId, History, LinkToken, Partition, Position,
    Role, RoomId, RoomKind, UserId, partition_of,
};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::admin_log::{self, AdminLog};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::ban;
use weft_storage::tables::bot::{self, Bot};
use weft_storage::tables::bot_commands::{self, BotCommand, BotCommands};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::dead_letter::{self, DeadLetter};
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::device::{self, BotToken, Device};
use weft_storage::tables::draft::{self, Kept};
use weft_storage::tables::expiry;
use weft_storage::tables::feed::{self, Feed};
use weft_storage::tables::file::{self, File, Image};
use weft_storage::tables::file_quota::{self, FileQuota};
use weft_storage::tables::follower::{self, Follower};
use weft_storage::tables::group_invitation::{self, GroupInvitation};
use weft_storage::tables::hook::{self, Hook};
use weft_storage::tables::inbox;
use weft_storage::tables::installation::{self, Installation};
use weft_storage::tables::invitation;
use weft_storage::tables::join_request::{self, JoinRequest};
use weft_storage::tables::journal::{
    self, Journal, JournalDraft, JournalEntry, JournalMark, JournalRelation,
};
use weft_storage::tables::last_active;
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::link::{self, Link};
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::mention;
use weft_storage::tables::message::{self, Mentioned, Message, Pinned, ReactionCount};
use weft_storage::tables::minute;
use weft_storage::tables::pin;
use weft_storage::tables::presence_settings;
use weft_storage::tables::push_registration::{self, PushRegistration};
use weft_storage::tables::reaction;
use weft_storage::tables::relation::{self, Relation};
use weft_storage::tables::report::{self, Report};
use weft_storage::tables::resend::{self, Resend};
use weft_storage::tables::scheduled::{self, Scheduled, State};
use weft_storage::tables::sent::{self, Sent};
use weft_storage::tables::setting::{self, Setting};
use weft_storage::tables::signing_key::{self, SigningKey};
use weft_storage::tables::thread_follower::{self, ThreadFollower};
use weft_storage::tables::webhook::{self, Webhook, Webhooks};
use weft_storage::tables::webhook_maker::{self, MadeWebhook, WebhookMaker};
use weft_storage::tables::{file_due, file_reference};
use weft_storage::{Batch, Store};

use super::super::{batch, commit};
use super::room::Room;

/// A user's webhook.
fn webhooks(batch: &mut Batch, user: &UserId, n: u8) {
    let (owner, id) = (RoomId::direct(user, user), format!("hook{n}"));
    let row = Webhook {
        id: id.clone(),
        url: "https://hooks.example/1".into(),
        secret: vec![n; 32],
        old_secret: vec![n; 24],
        old_secret_until_ms: 9,
        kinds: vec!["message".into()],
        format: "cloudevents".into(),
        by: user.to_string(),
        made_ms: 7,
        paused: true,
        ended_ms: 8,
        failing_since_ms: 6,
        reason: "status 500".into(),
        missed: 5,
    };
    batch.set(webhook::key(&owner), Webhooks { webhooks: vec![row] }.encode());
    let made = vec![MadeWebhook { owner: owner.to_string(), id }];
    batch.set(webhook_maker::key(user), WebhookMaker { made }.encode());
}

/// Client ids of an earlier hour have no resend record any more.
const FLOOR_HOUR: u32 = 490_000;
const HOUR_MS: u64 = 3_600_000;
/// Under which an import lists all rooms whose entries expire.
const LISTED_HOUR: u32 = 1;
/// About how many entries one commit has at the most.
const ENTRIES_MAX: u16 = 200;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub users: usize,
    pub rooms: usize,
    pub entries: usize,
    /// One text in this many is large and does not compress; 0: none is, and no dead letter either.
    pub large_one_in: u32,
}

/// A store that is being written.
pub struct Content {
    store: Store,
    rng: StdRng,
    pub partitions: Partition,
    pub users: Vec<UserId>,
    pub rooms: Vec<Room>,
    size: Size,
    /// The same for all partitions: the last stream sequence that was given out.
    stream_seq: u64,
    applied: Vec<Applied>,
}

fn name(text: &str) -> UserId {
    UserId::new(text).expect("a user id")
}

impl Content {
    pub async fn fill(store: &Store, seed: u64, size: Size) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let partitions = rng.random_range(1..6);
        let users = (0..size.users).map(|n| name(&format!("user{n}"))).collect();
        let applied = (0..partitions).map(|_| Applied::default()).collect();
        let (store, rooms) = (store.clone(), Vec::new());
        let mut content =
            Self { store, rng, partitions, users, rooms, size, stream_seq: 0, applied };
        content.people().await;
        content.make_rooms();
        while content.rooms.iter().any(|room| room.wants > 0) {
            content.commit_some().await;
        }
        content.letters().await;
        content
    }

    async fn people(&mut self) {
        let mut batch = batch();
        let epoch = self.rng.random_range(1..5);
        let row = Layout { epoch, ..Layout::new(self.partitions.into(), self.rng.random()) };
        batch.set(layout::key(), row.encode());
        for n in 0..self.rng.random_range(0..3) {
            let secret = self.rng.random::<[u8; 32]>().to_vec();
            let row = SigningKey { secret, created_ms: self.rng.random_range(0..1 << 50) };
            batch.set(signing_key::key(&format!("Key-{n}")), row.encode());
        }
        for user in self.users.clone() {
            inbox::trim(&mut batch, &user, None, Position::MIN);
            let is_bot = self.rng.random_bool(0.2);
            let row = Account {
                password_hash: if is_bot { String::new() } else { "$argon2id$…".into() },
                display_name: self.text(20),
                avatar: if self.rng.random() { String::new() } else { "files/x".into() },
                is_bot,
                created_ms: self.rng.random_range(0..1 << 50),
                is_admin: self.rng.random(),
                suspended_ms: self.rng.random_range(0..2),
                one_time_until_ms: self.rng.random_range(0..2),
                deleted_ms: if is_bot { 7 } else { 0 },
                about: self.text(20),
                profile_version: self.rng.random_range(0..9),
            };
            account::put(&mut batch, &user, None, &row);
            if is_bot {
                let owner = if self.rng.random() { self.user().to_string() } else { String::new() };
                bot::put(&mut batch, &user, &Bot { owner, made_ms: 7 });
                let (name, description) = ("deploy".to_owned(), "does it".to_owned());
                let commands = vec![BotCommand { name, description, usage: "<branch>".into() }];
                batch.set(bot_commands::key(&user), BotCommands { commands }.encode());
                let deletion = Deletion { empties: true, ..Deletion::new(2, 7).without(1) };
                let room = RoomId::direct(&user, &user);
                batch.set(deletion::key(&user), deletion.emptied_to(0, &room, 5).encode());
            }
            for n in 0..self.rng.random_range(0..3) {
                let refresh_hash = self.rng.random::<[u8; 32]>().to_vec();
                let row = Device {
                    refresh_hash: if n == 0 { refresh_hash } else { Vec::new() },
                    refresh_expires_ms: self.rng.random_range(0..1 << 50),
                    login_ms: self.rng.random_range(0..1 << 50),
                    family_hash: self.rng.random::<[u8; 32]>().to_vec(),
                    repeat_hash: vec![n; 32],
                    repeat_until_ms: self.rng.random_range(0..1 << 50),
                    bot_token: (n == 1).then(|| BotToken {
                        name: "from CI".into(),
                        owner: "someone".into(),
                        rooms: vec!["team".into()],
                        kinds: vec!["message".into()],
                        is_read_only: self.rng.random(),
                        nkey: String::new(),
                    }),
                };
                let id = DeviceId::new(&format!("Device_{n}")).expect("a device id");
                batch.set(device::key(&user, &id), row.encode());
                if n == 0 && self.rng.random() {
                    let push = PushRegistration {
                        login_ms: row.login_ms,
                        kind: "webpush".into(),
                        address: format!("https://push.example/{user}"),
                        p256dh: vec![4; 65],
                        secret: vec![n; 16],
                        language: "ko".into(),
                        private: self.rng.random(),
                        made_ms: 7,
                        topic: "org.example.app".into(),
                        sandbox: self.rng.random(),
                    };
                    push_registration::put(&mut batch, &(user.clone(), id), &push);
                    webhooks(&mut batch, &user, n);
                    let hook = Hook {
                        name: self.text(20),
                        by: user.to_string(),
                        made_ms: 7,
                        secret_hash: self.rng.random::<[u8; 32]>().to_vec(),
                        secret_ms: 8,
                    };
                    let room = RoomId::new("team").expect("id");
                    hook::put(&mut batch, &(room, user.clone()), &hook);
                }
            }
        }
        self.statuses(&mut batch);
        for user in self.users.clone() {
            if self.rng.random() {
                batch.set(feed::key(&user), Feed { cloudevents: self.rng.random() }.encode());
            }
        }
        // Of nobody there is nothing.
        let most = if self.users.is_empty() { 1 } else { 3 };
        for n in 0..self.rng.random_range(0..most) {
            let (by, user) = (self.user().to_string(), self.user().to_string());
            let (action, reason) = ("suspend".to_owned(), self.text(20));
            let row = AdminLog { by, action, user, seq: n, reason, ..AdminLog::default() };
            admin_log::put(&mut batch, (self.rng.random_range(0..1 << 50), n), &row);
        }
        if self.rng.random() {
            let (sign_up, add_by) = (self.rng.random_range(0..3), self.rng.random_range(0..4));
            let (strangers, messages) = (self.rng.random_range(0..3), self.rng.random_range(0..3));
            let row = Installation { sign_up, add_by, strangers, messages };
            batch.set(installation::key(), row.encode());
        }
        for _ in 0..self.rng.random_range(0..most) {
            let id = LinkToken::of_random(self.rng.random()).id();
            let row = Link { by: self.user().to_string(), uses_max: 3, ..Link::default() };
            batch.set(invitation::key(&id), row.encode());
            let key = (self.user(), (RoomId::direct(&self.user(), &self.user()), 1));
            let row = Report { reason: self.text(20), ..Report::default() };
            batch.set(report::key(&key), row.encode());
            self.file(&mut batch);
        }
        commit(&self.store, batch).await;
    }

    /// A file, and perhaps a message that has it.
    fn file(&mut self, batch: &mut Batch) {
        let id = FileId::from_parts(self.rng.random_range(0..1 << 48), self.rng.random());
        let is_image: bool = self.rng.random();
        let (thumbhash, sha256) = (vec![1, 2], self.rng.random::<[u8; 32]>().to_vec());
        let owner = self.user();
        let row = File {
            owner: owner.to_string(),
            name: self.text(20),
            size: self.rng.random_range(1..1 << 40),
            state: self.rng.random_range(1..4),
            created_ms: self.rng.random_range(0..1 << 50),
            dying_ms: self.rng.random_range(0..1 << 50),
            sha256,
            content_type: "image/png".into(),
            image: is_image.then(|| Image { width: 3, thumbhash, ..Image::default() }),
            duration_ms: 7,
            no_preview: if is_image { String::new() } else { "format".into() },
        };
        batch.set(file::key(id), row.encode());
        batch.set(file_due::key(row.due_ms(), id), Vec::new());
        let used = FileQuota { bytes: row.size, files: 1 };
        batch.set(file_quota::key(&owner, 7), used.encode());
        if self.rng.random() {
            let at = (RoomId::direct(&self.user(), &self.user()), self.rng.random_range(1..9));
            file_reference::put(batch, &(id, at), self.rng.random_range(1..1 << 50));
        }
        if self.rng.random() {
            let user = self.user();
            let notebook = RoomId::direct(&user, &user);
            file_reference::change_avatar(batch, &notebook, "", &id.to_string(), 0);
        }
    }

    /// Who never chose or was never seen has no row.
    fn statuses(&mut self, batch: &mut Batch) {
        const CHOICES: [Choice; 4] = [Choice::Online, Choice::Away, Choice::Dnd, Choice::Invisible];
        for user in self.users.clone() {
            if self.rng.random() {
                let choice = *CHOICES.choose(&mut self.rng).expect("one");
                let has_text = self.rng.random();
                let row = PresenceSettings {
                    choice: choice.into(),
                    text: if has_text { self.text(30) } else { String::new() },
                    text_until_ms: if has_text { self.rng.random_range(0..1 << 50) } else { 0 },
                    at_ms: self.rng.random_range(0..1 << 50),
                };
                batch.set(presence_settings::key(&user), presence_settings::encode(&row));
            }
            if self.rng.random() {
                last_active::note(batch, &user, self.rng.random_range(0..1 << 50));
            }
        }
    }

    fn make_rooms(&mut self) {
        let mut ids: Vec<RoomId> = Vec::new();
        for n in 0..self.size.rooms {
            let (a, b) = (self.user(), self.user());
            let group = RoomId::new(&format!("group-{n}")).expect("a room id");
            let id = if self.rng.random() { RoomId::direct(&a, &b) } else { group };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        for id in ids {
            let wants = self.rng.random_range(1..=self.size.entries);
            let mut room = Room::new(id, wants);
            room.head.retention_days = self.rng.random_range(0..2);
            self.rooms.push(room);
        }
    }

    /// One commit of one partition, with entries of any of its rooms; some of it is published.
    async fn commit_some(&mut self) {
        let partition = self.rng.random_range(0..self.partitions);
        let mut batch = batch();
        let mut journal = Journal::default();
        let mut rooms = std::mem::take(&mut self.rooms);
        let mut order = 0;
        for room in &mut rooms {
            let entries = self.rng.random_range(0..=5).min(room.wants);
            if entries == 0
                || order >= ENTRIES_MAX
                || partition_of(&room.id, self.partitions) != partition
            {
                continue;
            }
            for _ in 0..entries {
                let entry = self.next_entry(room);
                room.write(&mut batch, order, &entry);
                self.remember(&mut batch, &entry);
                self.change(&mut batch, &entry);
                journal.marks.extend(self.mark(&mut batch, order, &entry));
                journal.settings.extend(self.set(&mut batch, order, &entry));
                journal.drafts.extend(self.draft(&mut batch, order, &entry));
                journal.relations.extend(self.relate(&mut batch, order));
                journal.invitations.extend(self.invite(&mut batch, order, &entry));
                let users = entry.user().map(ToString::to_string).into_iter().collect();
                let (room, from) = (room.id.to_string(), entry.from.to_string());
                let kind = entry.body.kind().word.to_string();
                let row = JournalEntry { room, seq: entry.seq, users, kind, from };
                journal.entries.push(row);
                order += 1;
            }
            if room.head.retention_days > 0 {
                expiry::list(&mut batch, partition, &room.id, &mut room.head, LISTED_HOUR);
            }
            room.write_head(&mut batch, order - 1);
        }
        self.rooms = rooms;
        self.stream_seq += self.rng.random_range(1..9);
        self.move_applied(&mut batch, partition, !journal.entries.is_empty());
        let row = &self.applied[usize::from(partition)];
        if !journal.entries.is_empty() {
            // As rows were before commits were numbered, and since.
            if row.commit_no.is_some() {
                (journal.stream_seq, journal.time_ms) = (row.stream_seq, 7);
            }
            batch.set(journal::key(partition, row.last_commit_no()), journal.encode());
        }
        minute::put(&mut batch, partition, FLOOR_HOUR * 60, row);
        let place = Follower { commit_no: row.published_up_to, epoch: 1 };
        let name = FollowerId::new("search").expect("a follower");
        batch.set(follower::key(partition, &name), place.encode());
        commit(&self.store, batch).await;
    }

    fn move_applied(&mut self, batch: &mut Batch, partition: Partition, has_entries: bool) {
        let row = &mut self.applied[usize::from(partition)];
        if self.rng.random() {
            row.published_up_to = row.last_commit_no();
        }
        if row.commit_no.is_some() || self.rng.random_bool(0.2) {
            row.commit_no = Some(row.last_commit_no() + u64::from(has_entries));
        }
        row.stream_seq = self.stream_seq;
        row.epoch += u64::from(row.epoch == 0 || self.rng.random_bool(0.1));
        row.owner = "core-1".into();
        row.batch_id = batch.id().to_vec();
        row.floor_hour = FLOOR_HOUR;
        batch.set(applied::key(partition), row.encode());
    }

    /// One message more in each room, and one member more in each group, each in a commit of its
    /// own: as a core does that is at work.
    pub async fn go_on(&mut self) {
        for n in 0..self.rooms.len() {
            let partition = partition_of(&self.rooms[n].id, self.partitions);
            let mut batch = batch();
            let room = &mut self.rooms[n];
            let seq = room.head.seq + 1;
            let user = name(&format!("late{seq}"));
            let body = match room.id.kind() {
                RoomKind::Group if seq > 1 => Body::Add(Add { user, role: Role::Member }),
                _ => Body::Text(Text { text: "later".into(), ..Text::default() }),
            };
            let id = ClientId::from_parts(u64::from(FLOOR_HOUR + 1) * HOUR_MS, seq.into());
            let entry = room.next(name("somebody"), Some(id), body);
            room.write(&mut batch, 0, &entry);
            room.write_head(&mut batch, 0);
            self.remember(&mut batch, &entry);
            self.stream_seq += 1;
            self.move_applied(&mut batch, partition, false);
            commit(&self.store, batch).await;
        }
    }

    /// Something becomes of some messages: an edit that is their own entry will do here.
    fn change(&mut self, batch: &mut Batch, entry: &Entry) {
        if !matches!(entry.body, Body::Text(_)) || self.rng.random_bool(0.7) {
            return;
        }
        let (room, seq) = (&entry.room, entry.seq);
        let reactions = vec![ReactionCount { emoji: "\u{1f44d}".into(), count: 1 }];
        let pinned = self.rng.random::<bool>().then(|| {
            batch.set(pin::key(room, seq), pin::encode(seq));
            Pinned { seq, by: entry.from.to_string(), time_ms: 7 }
        });
        let everyone = Mentioned { user: mention::EVERYONE.into(), seq };
        let mentions = vec![everyone, Mentioned { user: self.user().to_string(), seq }];
        let (edits, previews_off) = (vec![seq], self.rng.random());
        let preview = self.rng.random::<bool>().then(|| message::Preview {
            seq,
            url: "https://example.org/".into(),
            file: String::new(),
        });
        let row = Message {
            edits,
            edited_at_ms: 1,
            reactions,
            mentions,
            pinned,
            preview,
            previews_off,
            ..Message::default()
        };
        batch.set(message::key(room, seq), row.encode());
        mention::change(batch, (room, seq, &entry.from), &Message::default(), &row);
        let key = reaction::key(room, seq, "\u{1f44d}", &entry.from);
        batch.set(key, reaction::encode(seq));
    }

    /// Its sender has read the entry, and sometimes somebody else has said so.
    fn mark(&mut self, batch: &mut Batch, order: u16, entry: &Entry) -> Option<JournalMark> {
        let Entry { room, seq, ordinal, from, .. } = entry;
        sent::put(batch, room, from, Sent { seq: *seq, ordinal: *ordinal });
        if self.rng.random_bool(0.7) {
            return None;
        }
        let user = self.user();
        if let Some(root) = entry.body.thread() {
            let row = ThreadFollower { follows: self.rng.random(), read: *seq };
            thread_follower::put(batch, order, &(user.clone(), (room.clone(), root)), &row);
            // Beside the mark's.
            let (order, changed) = (order + ENTRIES_MAX, Changed::Thread(room.clone(), root));
            change::put(batch, &user, order, &changed);
        }
        let mark = Mark {
            read: *seq,
            read_ordinal: *ordinal,
            delivered: *seq,
            unread_from: self.rng.random_range(0..=*seq),
            ..Mark::default()
        };
        mark::put(batch, order, (room, &user), &mark);
        change::put(batch, &user, order, &Changed::Mark(room.clone(), user.clone()));
        Some(JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own: false })
    }

    /// Somebody wants the room to be so.
    fn set(&mut self, batch: &mut Batch, order: u16, entry: &Entry) -> Option<JournalMark> {
        if self.rng.random_bool(0.9) {
            return None;
        }
        let (user, room) = (self.user(), &entry.room);
        let (muted_until_ms, pinned) = (self.rng.random_range(0..9), self.rng.random());
        let receipts_off = self.rng.random();
        // Beside the entry's and the mark's.
        let order = order + 2 * ENTRIES_MAX;
        let (add_by, strangers) = (self.rng.random_range(0..4), self.rng.random_range(0..3));
        let dnd = self.rng.random_bool(0.5).then(|| DndHours {
            from: "22:00".into(),
            to: "07:00".into(),
            days: vec!["sun".into()],
            time_zone: "Asia/Seoul".into(),
        });
        let (seq, ordinal) = (self.rng.random_range(1..9), self.rng.random_range(0..9));
        let hidden = self.rng.random_bool(0.5).then_some(HiddenAt { seq, ordinal });
        let dnd_until_ms = self.rng.random_range(0..9);
        let setting = Setting {
            muted_until_ms,
            pinned,
            receipts_off,
            add_by,
            strangers,
            dnd,
            hidden,
            dnd_until_ms,
            notify: self.rng.random_range(0..4),
        };
        setting::put(batch, order, (&user, room), &setting);
        if self.rng.random() {
            batch.set(ban::key(room, &user), ban::encode(self.rng.random_range(1..9)));
            let row =
                Link { by: user.to_string(), made_ms: 7, expires_ms: 9, uses_max: 3, used: 1 };
            let id = LinkToken::of_random(self.rng.random()).id();
            batch.set(link::key(room, &id), row.encode());
            let row = JoinRequest { asked_ms: 7, text: "please".into() };
            batch.set(join_request::key(room, &user), row.encode());
        }
        change::put(batch, &user, order, &Changed::Setting(user.clone(), room.clone()));
        Some(JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own: false })
    }

    /// Somebody types, or has sent it.
    fn draft(&mut self, batch: &mut Batch, order: u16, entry: &Entry) -> Option<JournalDraft> {
        if self.rng.random_bool(0.9) {
            return None;
        }
        let (user, room) = (self.user(), &entry.room);
        let chars_max = *[0, 30, 30, 30, 100_000].choose(&mut self.rng).expect("one");
        let typed = |text| DraftText { text, ..DraftText::default() };
        let content = (chars_max > 0).then(|| typed(self.text(chars_max)));
        let (version, time_ms) = (self.rng.random_range(1..9), self.rng.random_range(0..1 << 50));
        // Beside the setting's.
        let order = order + 3 * ENTRIES_MAX;
        draft::put(batch, order, (&user, room), &Kept { version, time_ms, content }, 5);
        change::put(batch, &user, order, &Changed::Draft(user.clone(), room.clone()));
        let key = (user.clone(), room.clone(), ClientId::from_parts(7, self.rng.random()));
        let message = format!("{{\"text\":\"{}\"}}", "x".repeat(chars_max.max(1)));
        let parts = scheduled::parts(&message);
        let row = Scheduled { id: key.2.to_string(), at_ms: 9, parts, ..Scheduled::default() };
        let order = order + ENTRIES_MAX;
        let row = match self.rng.random_range(0..4) {
            0 => Scheduled { seq: 1, parts: 0, ..row },
            1 => Scheduled { code: "forbidden".into(), ..row },
            _ => row,
        };
        if row.state() == State::Waiting {
            let partition = partition_of(room, self.partitions);
            scheduled::list(batch, partition, row.at_ms, &key);
        }
        scheduled::put(batch, order, &key, &row, Some(&*message).filter(|_| row.parts > 0));
        Some(JournalDraft { room: room.to_string(), user: user.to_string(), frame_bytes: 7 })
    }

    /// Somebody says what another one is to them.
    fn relate(&mut self, batch: &mut Batch, order: u16) -> Option<JournalRelation> {
        if self.rng.random_bool(0.9) {
            return None;
        }
        let (user, other) = (self.user(), self.user());
        let relation = Relation { contact: self.rng.random(), blocked: self.rng.random() };
        // Beside all others'.
        let order = order + 4 * ENTRIES_MAX;
        let key = (user.clone(), other.clone());
        relation::put(batch, order, &key, &relation);
        change::put(batch, &user, order, &Changed::Relation(key.0, key.1));
        let (user, other, sight) = (user.to_string(), other.to_string(), self.rng.random());
        Some(JournalRelation { user, other, sight })
    }

    /// Somebody is invited to come into the room, or is so no more.
    fn invite(&mut self, batch: &mut Batch, order: u16, entry: &Entry) -> Option<JournalMark> {
        if self.rng.random_bool(0.9) {
            return None;
        }
        let (user, by, room) = (self.user(), self.user(), entry.room.clone());
        let row = match self.rng.random() {
            true => GroupInvitation { by: by.to_string(), invited_ms: 7 },
            false => GroupInvitation::default(),
        };
        // Beside all others'.
        let order = order + 5 * ENTRIES_MAX;
        group_invitation::put(batch, order, &(user.clone(), room.clone()), &row);
        change::put(batch, &user, order, &Changed::Invitation(room.clone()));
        Some(JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own: false })
    }

    fn next_entry(&mut self, room: &mut Room) -> Entry {
        room.wants -= 1;
        let (from, user) = (self.user(), self.user());
        let is_group = room.id.kind() == RoomKind::Group;
        let body = match self.rng.random_range(0..10) {
            _ if is_group && room.head.seq == 0 => {
                let members = if from == user { Vec::new() } else { vec![user] };
                let history = *[History::All, History::Joined].choose(&mut self.rng).expect("one");
                Body::Create(Create { title: self.text(30), members, history })
            }
            0 | 1 if is_group && !room.is_member(&user) => Body::Add(Add {
                user,
                role: *[Role::Member, Role::Admin].choose(&mut self.rng).expect("one"),
            }),
            2 if is_group && room.is_member(&user) => Body::Remove(Remove { user }),
            3 if is_group && room.is_member(&from) => Body::Leave(Leave {}),
            4 if is_group && room.is_member(&user) => {
                Body::ChangeRole(ChangeRole { user, role: Role::Owner })
            }
            5 if is_group => Body::Rename(Rename { title: self.text(30) }),
            _ => {
                let thread = (room.head.seq > 0 && self.rng.random_bool(0.2)).then_some(1);
                let extras = Extras { thread, ..Extras::default() }.boxed();
                Body::Text(Text { text: self.body(), extras })
            }
        };
        let id = self.client_id();
        room.next(from, id, body)
    }

    fn client_id(&mut self) -> Option<ClientId> {
        let hour = u64::from(FLOOR_HOUR) - 30 + self.rng.random_range(0..60);
        let time_ms = hour * HOUR_MS + self.rng.random_range(0..HOUR_MS);
        let id = ClientId::from_parts(time_ms, self.rng.random());
        match self.rng.random_range(0..5) {
            0 => None,
            1 => {
                let [a, b, c, d, e, f, ..] = id.to_bytes();
                let random = self.rng.random::<u32>();
                let uuid = format!(
                    "{a:02x}{b:02x}{c:02x}{d:02x}-{e:02x}{f:02x}-7abc-8def-0000{random:08x}"
                );
                Some(ClientId::parse(&uuid).expect("a UUID of version 7"))
            }
            _ => Some(id),
        }
    }

    /// Writes the resend record, while that is kept.
    fn remember(&self, batch: &mut Batch, entry: &Entry) {
        let Some(id) = entry.client_id.filter(|id| id.hour() >= FLOOR_HOUR) else { return };
        let partition = partition_of(&entry.room, self.partitions);
        // Not what this version would compute: records are carried, not made anew.
        let content_hash = entry.body.content_hash() ^ 1;
        let invited = Vec::new();
        let row = Resend { seq: entry.seq, content_hash, invited };
        batch.set(resend::key(partition, &entry.room, &entry.from, &id), row.encode());
    }

    async fn letters(&mut self) {
        for n in 0..self.rng.random_range(0..5) {
            let payload: Vec<u8> = match n {
                0 => self.text(50).into_bytes(),
                1 => Vec::new(),
                _ if self.size.large_one_in == 0 => vec![0xff; 9],
                2 => vec![0; 200_000],
                _ => (0..150_000).map(|_| self.rng.random()).collect(),
            };
            let letter = DeadLetter {
                sender: self.text(10),
                room: self.text(10),
                client_id: (n > 1).then(|| self.text(10)),
                is_outsider: self.rng.random(),
                is_json: self.rng.random(),
                reason: "a \"defect\"\nof ours".into(),
                time_ms: self.rng.random_range(0..1 << 50),
                payload: payload.into(),
            };
            let mut batch = batch();
            let partition = self.rng.random_range(0..self.partitions);
            dead_letter::put(&mut batch, partition, n + 1, &letter);
            commit(&self.store, batch).await;
        }
    }

    fn user(&mut self) -> UserId {
        self.users.choose(&mut self.rng).expect("a user").clone()
    }

    fn body(&mut self) -> String {
        let one_in = self.size.large_one_in;
        if one_in > 0 && self.rng.random_ratio(1, one_in) {
            // Hangul by chance: 3 bytes each, and no compressor makes them few.
            let hangul = |rng: &mut StdRng| {
                char::from_u32(0xAC00 + rng.random_range(0..11_172)).expect("hangul")
            };
            return (0..self.rng.random_range(20_000..100_000))
                .map(|_| hangul(&mut self.rng))
                .collect();
        }
        match self.rng.random_range(0..20) {
            0 => "long ".repeat(5_000),
            _ => self.text(60),
        }
    }

    fn text(&mut self, chars_max: usize) -> String {
        const SOME: [char; 10] = ['a', 'ü', '한', '😀', '"', '\\', '\n', '\0', '\u{7f}', ' '];
        let chars = self.rng.random_range(1..chars_max);
        // Titles are not blank.
        std::iter::once('x')
            .chain((1..chars).map(|_| *SOME.choose(&mut self.rng).expect("one")))
            .collect()
    }
}
