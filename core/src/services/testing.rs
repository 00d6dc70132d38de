//! A small world for tests: rooms written through the tables, as the partition's owner writes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use weft_proto::kind::{Add, Create, DraftText, Leave, Remove, Text};
use weft_proto::{
    Body, Cursor, DeviceId, Entry, ErrorCode, EventHead, History, Role, RoomId, RoomKind, StoreId,
    UserId, svc,
};
use weft_runtime::{Clock, ManualClock};
use weft_storage::memory::Memory;
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::draft::{self, Kept};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::relation::{self, Relation};
use weft_storage::tables::sent::{self, Sent};
use weft_storage::tables::setting::{self, Setting};
use weft_storage::tables::thread_follower::{self, ThreadFollower};
use weft_storage::tables::{inbox, log, thread, user_room};
use weft_storage::{Batch, Store};

use crate::partition::marks::read_by_sending;

use super::{Caller, Context, Failure, Login, layout};
use crate::marks;

/// A command: room, sender, body.
pub(super) type Command = (RoomId, UserId, Body);

pub(super) struct World {
    pub(super) store: Store,
    pub(super) clock: Arc<ManualClock>,
    pub(super) context: Context,
    /// A group with more members becomes large.
    pub(super) fanout_limit: usize,
    /// All members of a group that is not large get pointers: so it was before feature level 2.
    pub(super) fans_out: bool,
    rooms: BTreeMap<RoomId, Room>,
    /// What a session would have got that had been live from the beginning.
    pub(super) delivered: BTreeMap<UserId, Vec<(RoomId, u64)>>,
}

#[derive(Default)]
struct Room {
    head: Head,
    members: BTreeMap<UserId, Member>,
}

pub(super) fn user(name: &str) -> UserId {
    UserId::new(name).expect("user id")
}

pub(super) fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("room id")
}

pub(super) fn text(text: &str) -> Body {
    Body::Text(Text { text: text.into(), ..Text::default() })
}

pub(super) fn create(members: &[&str], history: History) -> Body {
    let members = members.iter().map(|name| user(name)).collect();
    Body::Create(Create { title: "T".into(), members, history })
}

pub(super) fn add(name: &str) -> Body {
    Body::Add(Add { user: user(name), role: Role::Member })
}

pub(super) fn remove(name: &str) -> Body {
    Body::Remove(Remove { user: user(name) })
}

pub(super) fn code<T>(answer: Result<T, Failure>) -> ErrorCode {
    match answer {
        Ok(_) => panic!("not refused"),
        Err(failure) => failure.answer("test").code,
    }
}

/// Room and seq of each entry, from its head.
pub(super) fn seqs(entries: &[svc::LogEntry]) -> Vec<(RoomId, u64)> {
    let head = |entry: &svc::LogEntry| entry.head.parse::<EventHead>().expect("a head");
    entries.iter().map(|entry| (head(entry).room, head(entry).seq)).collect()
}

impl World {
    pub(super) async fn new() -> Self {
        Self::on(Store::new(Memory::new())).await
    }

    pub(super) async fn on(store: Store) -> Self {
        let clock = Arc::new(ManualClock::new(1_700_000_000_000));
        layout::open(&store, 4, crate::FEATURE_LEVEL).await.expect("layout");
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let life = std::time::Duration::from_secs(100 * 24 * 3_600);
        let context = Context::open(store.clone(), shared, life).await.expect("open");
        let (rooms, delivered) = (BTreeMap::new(), BTreeMap::new());
        Self { store, clock, context, fanout_limit: 100, fans_out: false, rooms, delivered }
    }

    /// A token of a login that lasts.
    pub(super) fn token(&self, name: &str) -> String {
        let (user, device) = (user(name), DeviceId::new("d").expect("id"));
        let login = Device { refresh_hash: vec![1], login_ms: 1, ..Device::default() };
        let mut batch = Batch::new(rand::random());
        batch.guard(device::key(&user, &device), None);
        batch.set(device::key(&user, &device), login.encode());
        // Where there is one, it stays. No store of a test waits for anything but its turn.
        let mut commit = std::pin::pin!(self.store.commit(batch));
        while commit.as_mut().now_or_never().is_none() {}
        let caller = Caller::person(user, device, Login::MadeAt(1));
        self.context.tokens().issue(&caller).expect("issue").0
    }

    pub(super) fn store_id(&self) -> StoreId {
        self.context.store_id
    }

    /// A cursor at everything that is committed.
    pub(super) async fn cursor(&self) -> String {
        let position = self.store.snapshot().await.expect("snapshot").read_version();
        Cursor { store: self.store_id(), position }.to_string()
    }

    pub(super) fn members(&self, room: &RoomId) -> Vec<UserId> {
        let Some(room) = self.rooms.get(room) else { return Vec::new() };
        let present = room.members.iter().filter(|(_, member)| member.role().is_some());
        present.map(|(user, _)| user.clone()).collect()
    }

    pub(super) async fn one(&mut self, name: &str, from: &str, body: Body) {
        self.commit(vec![(room(name), user(from), body)]).await;
    }

    /// Those of a member, and when their last entries were taken.
    pub(super) fn rooms_of(&self, user: &UserId) -> Vec<(RoomId, u64)> {
        let is_in = |id: &RoomId| match id.direct_users() {
            Some((a, b)) => a == *user || b == *user,
            None => self.members(id).contains(user),
        };
        let rooms = self.rooms.iter().filter(|(id, _)| is_in(id));
        rooms.map(|(id, room)| (id.clone(), room.head.time_ms)).collect()
    }

    /// Commits the commands together; those that a room would refuse are left out.
    pub(super) async fn commit(&mut self, commands: Vec<Command>) {
        let mut batch = Batch::new(rand::random());
        let mut touched = BTreeMap::new();
        for (order, (id, from, body)) in (0_u16..).zip(commands) {
            if !self.is_allowed(&id, &from, &body) {
                continue;
            }
            let entry = self.apply(&mut batch, &id, from, body);
            log::put(&mut batch, order, &entry);
            for user in read_by_sending(&entry) {
                let sent = Sent { seq: entry.seq, ordinal: entry.ordinal };
                sent::put(&mut batch, &id, user, sent);
            }
            thread::put(&mut batch, &entry);
            for user in self.pointed(&entry) {
                inbox::put(&mut batch, &user, order, &id, entry.seq);
            }
            touched.insert(id, order);
        }
        for (id, order) in touched {
            head::put(&mut batch, &id, order, &self.rooms[&id].head);
        }
        self.store.commit(batch).await.expect("commit");
    }

    /// Moves a mark, as the partition's owner does.
    pub(super) async fn mark(&self, name: &str, who: &str, mark: &Mark) {
        let (room, user) = (room(name), user(who));
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let wanted = [(room.clone(), user.clone())];
        let before = mark::held(&*snapshot, &wanted).await.expect("read")[0].position;
        let mut batch = Batch::new(rand::random());
        for hears in std::iter::once(user.clone()).chain(marks::partner(&room, &user)) {
            if let Some(before) = before {
                change::clear(&mut batch, &hears, before);
            }
            let changed = Changed::Mark(room.clone(), user.clone());
            change::put(&mut batch, &hears, 7, &changed);
        }
        mark::put(&mut batch, 7, (&room, &user), mark);
        self.store.commit(batch).await.expect("commit");
    }

    /// Says whether a user follows a thread, and up to where they have read it, as the partition's owner does.
    pub(super) async fn follow(
        &self,
        who: &str,
        name: &str,
        root: u64,
        (follows, read): (bool, u64),
    ) {
        let at = (user(who), (room(name), root));
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let rows = thread_follower::get_many(&*snapshot, std::slice::from_ref(&at)).await;
        let before = rows.expect("read")[0].as_ref().map(|(position, _)| *position);
        let mut batch = Batch::new(rand::random());
        let changed = Changed::Thread(room(name), root);
        change::put_again(&mut batch, &at.0, before, 7, &changed);
        thread_follower::put(&mut batch, 7, &at, &ThreadFollower { follows, read });
        self.store.commit(batch).await.expect("commit");
    }

    /// Says how a user wants a room to be, as the owner of their notebook does.
    pub(super) async fn set(&self, who: &str, name: &str, setting: Setting) {
        let (user, room) = (user(who), room(name));
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let wanted = [(user.clone(), room.clone())];
        let before = setting::get_many(&*snapshot, &wanted).await.expect("read").remove(0);
        let mut batch = Batch::new(rand::random());
        if let Some((before, _)) = before {
            change::clear(&mut batch, &user, before);
        }
        change::put(&mut batch, &user, 7, &Changed::Setting(user.clone(), room.clone()));
        setting::put(&mut batch, 7, (&user, &room), &setting);
        self.store.commit(batch).await.expect("commit");
    }

    /// Says what a user has typed (`""`: it is dismissed), as the owner of their notebook does.
    pub(super) async fn draft(&self, who: &str, name: &str, version: u64, text: &str) {
        let key = (user(who), room(name));
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let wanted = std::slice::from_ref(&key);
        let before = draft::get_many(&*snapshot, wanted).await.expect("read").remove(0);
        let mut batch = Batch::new(rand::random());
        let (position, before) = before.unzip();
        let changed = Changed::Draft(key.0.clone(), key.1.clone());
        change::put_again(&mut batch, &key.0, position, 7, &changed);
        let typed = DraftText { text: text.into(), ..DraftText::default() };
        let content = (!text.is_empty()).then_some(typed);
        let kept = Kept { version, time_ms: 7, content };
        draft::put(&mut batch, 7, (&key.0, &key.1), &kept, before.unwrap_or_default().parts());
        self.store.commit(batch).await.expect("commit");
    }

    /// Says what another user is to a user, as the owner of the latter's notebook does.
    pub(super) async fn relate(&self, who: &str, other: &str, relation: Relation) {
        let key = (user(who), user(other));
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let rows = relation::get_many(&*snapshot, std::slice::from_ref(&key)).await;
        let before = rows.expect("read")[0].as_ref().map(|(position, _)| *position);
        let mut batch = Batch::new(rand::random());
        let changed = Changed::Relation(key.0.clone(), key.1.clone());
        change::put_again(&mut batch, &key.0, before, 8, &changed);
        relation::put(&mut batch, 8, &key, &relation);
        self.store.commit(batch).await.expect("commit");
    }

    /// Removes entries of a room.
    pub(super) async fn remove_entries(&self, name: &str, seqs: &[u64]) {
        let mut batch = Batch::new(rand::random());
        for seq in seqs {
            let range = log::range(&room(name), *seq..seq + 1);
            batch.clear_range(range.start, range.end);
        }
        self.store.commit(batch).await.expect("commit");
    }

    /// Removes what a room has below a seq.
    pub(super) async fn remove_below(&mut self, name: &str, first_seq: u64) {
        let id = room(name);
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let last = log::get_many(&*snapshot, &[(id.clone(), first_seq - 1)]).await.expect("read");
        let head = &mut self.rooms.get_mut(&id).expect("a room").head;
        head.first_seq = first_seq;
        if let Some(last) = &last[0] {
            head.expired_ordinal = last.entry.ordinal;
        }
        let mut batch = Batch::new(rand::random());
        let range = log::range(&id, 0..first_seq);
        batch.clear_range(range.start, range.end);
        head::put(&mut batch, &id, 0, head);
        self.store.commit(batch).await.expect("commit");
    }

    fn is_allowed(&self, id: &RoomId, from: &UserId, body: &Body) -> bool {
        if let Some((a, b)) = id.direct_users() {
            return (*from == a || *from == b) && body.as_message().is_some();
        }
        let members = self.members(id);
        match body {
            Body::Create(_) => !self.rooms.contains_key(id),
            Body::Add(Add { user, .. }) => members.contains(from) && !members.contains(user),
            Body::Remove(Remove { user }) => {
                members.contains(from) && members.contains(user) && from != user
            }
            _ => members.contains(from),
        }
    }

    /// Takes the command over into the room, and writes its members' rows.
    fn apply(&mut self, batch: &mut Batch, id: &RoomId, from: UserId, body: Body) -> Entry {
        let room = self.rooms.entry(id.clone()).or_default();
        let bucket_before = (room.head.seq > 0).then(|| ActivityBucket::of(&room.head));
        room.head.seq += 1;
        room.head.time_ms = self.clock.now_ms();
        room.head.ordinal += u64::from(body.counts());
        if body.is_preview() {
            room.head.preview_seq = room.head.seq;
        }
        let seq = room.head.seq;
        let mut changed = Vec::new();
        match &body {
            Body::Create(Create { title, members, history }) => {
                room.head.title.clone_from(title);
                room.head.history = (*history).into();
                changed.push((from.clone(), Member::joined(Role::Owner, seq)));
                changed
                    .extend(members.iter().map(|m| (m.clone(), Member::joined(Role::Member, seq))));
            }
            Body::Add(Add { user, role }) => {
                let row = match room.members.get(user) {
                    Some(former) => former.joined_again(*role, seq),
                    None => Member::joined(*role, seq),
                };
                changed.push((user.clone(), row));
            }
            Body::Remove(Remove { user }) => {
                changed.push((user.clone(), room.members[user].left(seq)))
            }
            Body::Leave(Leave {}) => changed.push((from.clone(), room.members[&from].left(seq))),
            _ => {}
        }
        for (user, row) in &changed {
            batch.set(member::key(id, user), row.encode());
            if row.role().is_some() {
                batch.set(user_room::key(user, id), Bytes::new());
            } else {
                batch.clear(user_room::key(user, id));
            }
            room.members.insert(user.clone(), row.clone());
        }
        let mut present: Vec<UserId> = Vec::new();
        if let Some((a, b)) = id.direct_users() {
            batch.set(user_room::key(&a, id), Bytes::new());
            batch.set(user_room::key(&b, id), Bytes::new());
            present.extend([a, b]);
        } else {
            let members = room.members.iter().filter(|(_, member)| member.role().is_some());
            present.extend(members.map(|(user, _)| user.clone()));
            room.head.member_count = u32::try_from(present.len()).expect("few");
            room.head.large |= present.len() > self.fanout_limit;
        }
        let buckets = (bucket_before, ActivityBucket::of(&room.head));
        activity::write(batch, id, buckets, present.iter(), &changed);
        let (ordinal, room) = (room.head.ordinal, id.clone());
        Entry { room, seq, ordinal, from, client_id: None, time_ms: self.clock.now_ms(), body }
    }

    /// Who gets a pointer; what everybody would have got live is noted.
    fn pointed(&mut self, entry: &Entry) -> Vec<UserId> {
        let mut all = match entry.room.direct_users() {
            Some((a, b)) => vec![a, b],
            None => self.members(&entry.room),
        };
        let concerned: Vec<UserId> = entry.body.users(&entry.from).into_iter().cloned().collect();
        all.extend(concerned.clone());
        all.sort();
        all.dedup();
        for user in &all {
            let got = self.delivered.entry(user.clone()).or_default();
            got.push((entry.room.clone(), entry.seq));
        }
        let is_group = entry.room.kind() == RoomKind::Group;
        let fans_out = self.fans_out && !self.rooms[&entry.room].head.large;
        if is_group && !fans_out { concerned } else { all }
    }
}
