//! A room that is being written.

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_proto::kind::{Add, ChangeRole, Create, Leave, Remove, Rename};
use weft_proto::{Body, ClientId, Entry, JoinRule, Role, RoomId, RoomKind, UserId};
use weft_storage::Batch;
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{inbox, log, open_group, thread, user_room};

pub struct Room {
    pub id: RoomId,
    pub head: Head,
    /// So many entries are still to come.
    pub wants: usize,
    members: BTreeMap<UserId, Member>,
    /// Whose row the last entry changed.
    changed: Vec<UserId>,
    /// In which bucket it was before the last entry.
    bucket_before: Option<ActivityBucket>,
    /// By what everybody may find it, as its last head says.
    found_by: Vec<String>,
}

impl Room {
    pub fn new(id: RoomId, wants: usize) -> Self {
        let (head, members, changed) = (Head::default(), BTreeMap::new(), Vec::new());
        Self { id, head, wants, members, changed, bucket_before: None, found_by: Vec::new() }
    }

    pub fn is_member(&self, user: &UserId) -> bool {
        self.members.get(user).is_some_and(|member| member.role().is_some())
    }

    /// The next entry; head and members are as it leaves them.
    pub fn next(&mut self, from: UserId, client_id: Option<ClientId>, body: Body) -> Entry {
        self.bucket_before = (self.head.seq > 0).then(|| ActivityBucket::of(&self.head));
        self.head.seq += 1;
        if body.is_preview() {
            self.head.preview_seq = self.head.seq;
        }
        self.head.ordinal += u64::from(body.counts());
        self.head.time_ms += 1_000_000;
        let seq = self.head.seq;
        self.changed = body.users(&from).into_iter().cloned().collect();
        let head = &mut self.head;
        match &body {
            Body::Create(Create { title, members, history }) => {
                (head.title, head.history) = (title.clone(), (*history).into());
                let is_open = title.len().is_multiple_of(2);
                head.join = if is_open { JoinRule::Open } else { JoinRule::Invitation }.into();
                self.members.insert(from.clone(), Member::joined(Role::Owner, seq));
                for user in members {
                    self.members.insert(user.clone(), Member::joined(Role::Member, seq));
                }
            }
            Body::Rename(Rename { title }) => head.title.clone_from(title),
            Body::Add(Add { user, role }) => {
                let row = match self.members.get(user) {
                    Some(former) => former.joined_again(*role, seq),
                    None => Member::joined(*role, seq),
                };
                self.members.insert(user.clone(), row);
            }
            Body::ChangeRole(ChangeRole { user, role }) => {
                self.members.entry(user.clone()).and_modify(|row| *row = row.with_role(*role));
            }
            Body::Remove(Remove { user }) => {
                self.members.entry(user.clone()).and_modify(|row| *row = row.left(seq));
            }
            Body::Leave(Leave {}) => {
                self.members.entry(from.clone()).and_modify(|row| *row = row.left(seq));
            }
            _ => {}
        }
        let count = |role: fn(Role) -> bool| {
            self.members.values().filter(|row| row.role().is_some_and(role)).count() as u32
        };
        self.head.member_count = count(|_| true);
        self.head.owner_count = count(|role| role == Role::Owner);
        self.head.large |= self.head.member_count > 4;
        let (ordinal, time_ms) = (self.head.ordinal, self.head.time_ms);
        Entry { room: self.id.clone(), seq, ordinal, from, client_id, time_ms, body }
    }

    /// Adds the entry, and whatever it changes but the head.
    pub fn write(&self, batch: &mut Batch, order: u16, entry: &Entry) {
        log::put(batch, order, entry);
        thread::put(batch, entry);
        inbox::put(batch, &entry.from, order, &self.id, entry.seq);
        let directs = self.id.direct_users().map(|(a, b)| [a, b]);
        for user in directs.iter().flatten() {
            batch.set(user_room::key(user, &self.id), Bytes::new());
        }
        let members = self.members.iter().filter(|(_, row)| row.role().is_some());
        let members = members.map(|(user, _)| user).chain(directs.iter().flatten());
        let buckets = (self.bucket_before, ActivityBucket::of(&self.head));
        let rows = self
            .changed
            .iter()
            .filter_map(|user| Some((user.clone(), self.members.get(user)?.clone())));
        let rows: Vec<(UserId, Member)> = rows.collect();
        activity::write(batch, &self.id, buckets, members, &rows);
        let changed = self.changed.iter().filter_map(|user| Some((user, self.members.get(user)?)));
        for (user, row) in changed {
            batch.set(member::key(&self.id, user), row.encode());
            let membership = user_room::key(user, &self.id);
            if row.role().is_some() {
                batch.set(membership, Bytes::new());
            } else {
                batch.clear(membership);
            }
        }
    }

    pub fn write_head(&mut self, batch: &mut Batch, order: u16) {
        debug_assert!(self.id.kind() == RoomKind::Direct || self.head.member_count < 1_000);
        head::put(batch, &self.id, order, &self.head);
        let names = open_group::names(&self.id, &self.head);
        open_group::put(batch, &self.id, &self.found_by, &names);
        self.found_by = names;
    }
}
