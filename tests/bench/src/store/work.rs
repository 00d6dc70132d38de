//! What core commits for messages in direct rooms: the same rows, guards and order.

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use weft_proto::kind::Text;
use weft_proto::{Body, ClientId, Entry, RoomId, UserId};
use weft_storage::tables::applied::Applied;
use weft_storage::tables::head::Head;
use weft_storage::tables::journal::{Journal, JournalEntry};
use weft_storage::tables::layout::Layout;
use weft_storage::tables::resend::Resend;
use weft_storage::tables::{all, applied, head, inbox, journal, layout, log, resend};
use weft_storage::{Batch, Store, embedded::bare};

use super::rivals::{Rivals, commit};

/// Bytes of a message's text.
pub const TEXT_BYTES: usize = 200;
/// Direct rooms of a partition.
const ROOMS: usize = 250;
/// Messages with which each room begins: as many as a read of its log takes.
const FIRST_MESSAGES: usize = 50;
/// Commits of them.
const FIRST_BATCHES: usize = 25;
/// Any time will do. November 2026.
const TIME_MS: u64 = 1_795_000_000_000;

/// One partition and its owner.
pub struct Partition {
    number: u16,
    rooms: Vec<Room>,
    applied: Applied,
    layout_row: Bytes,
    random: SmallRng,
}

pub struct Room {
    pub id: RoomId,
    users: [UserId; 2],
    pub head: Head,
}

/// Makes the layout and the partitions, each with its rooms and their first messages.
pub async fn prepare(rivals: &Rivals, count: usize) -> Result<Vec<Partition>> {
    let store = &rivals.store;
    if !store.snapshot().await?.scan(all(), 1, false).await?.is_empty() {
        bail!("there is something in this store: name an empty one");
    }
    let partitions = u32::try_from(count).unwrap_or(u32::MAX);
    let made = Layout::new(partitions, 1);
    let layout_row = made.encode();
    let mut batch = Batch::new(rand::random());
    batch.guard(layout::key(), None);
    batch.set(layout::key(), layout_row.clone());
    commit(store, batch).await?;
    let mut prepared = Vec::with_capacity(count);
    for number in (0..).take(count) {
        let mut partition = Partition::new(number, layout_row.clone())?;
        commit(store, partition.take()).await?;
        for _ in 0..FIRST_BATCHES {
            let batch = partition.first_messages();
            if let Some(bare) = &rivals.bare {
                bare.commit(&partition.pairs(&batch))?;
            }
            commit(store, batch).await?;
        }
        prepared.push(partition);
    }
    Ok(prepared)
}

pub async fn clear(store: &Store) -> Result<()> {
    let mut batch = Batch::new(rand::random());
    batch.clear_range(all().start, all().end);
    commit(store, batch).await
}

impl Partition {
    fn new(number: u16, layout_row: Bytes) -> Result<Self> {
        let bad = |error: weft_proto::ApiError| anyhow!(error.message);
        let user = |room, end| UserId::new(&format!("bench-{number}-{room}-{end}")).map_err(bad);
        let room = |index| {
            let users = [user(index, "a")?, user(index, "b")?];
            let id = RoomId::direct(&users[0], &users[1]);
            Ok(Room { id, users, head: Head::default() })
        };
        let rooms = (0..ROOMS).map(room).collect::<Result<_>>()?;
        let applied = Applied { owner: "bench".to_owned(), epoch: 1, ..Applied::default() };
        let random = SmallRng::seed_from_u64(number.into());
        Ok(Self { number, rooms, applied, layout_row, random })
    }

    /// The commit that takes it.
    fn take(&self) -> Batch {
        let mut batch = Batch::new(self.batch_id());
        batch.guard(applied::key(self.number), None);
        batch.guard(layout::key(), Some(self.layout_row.clone()));
        batch.set(applied::key(self.number), self.applied.encode());
        batch
    }

    fn batch_id(&self) -> [u8; 16] {
        std::array::from_fn(|at| self.applied.batch_id.get(at).copied().unwrap_or(0))
    }

    /// Some of the messages with which each room begins.
    fn first_messages(&mut self) -> Batch {
        let each = FIRST_MESSAGES / FIRST_BATCHES;
        let rooms: Vec<usize> = (0..ROOMS).flat_map(|room| vec![room; each]).collect();
        self.commit_of(&rooms)
    }

    /// The next commit: that many messages, in any of the rooms.
    pub fn next(&mut self, entries: usize) -> Batch {
        let rooms: Vec<usize> = (0..entries).map(|_| self.random.random_range(0..ROOMS)).collect();
        self.commit_of(&rooms)
    }

    fn commit_of(&mut self, rooms: &[usize]) -> Batch {
        let mut batch = Batch::new(self.random.random());
        // As a partition's commits are.
        batch.set_replayable(true);
        let mut journal = Journal::default();
        for (order, room) in (0..).zip(rooms) {
            self.message(&mut batch, order, *room);
            let Room { id, head, users } = &self.rooms[*room];
            let (room, from) = (id.to_string(), users[0].to_string());
            let (seq, kind, users) = (head.seq, "message".to_owned(), Vec::new());
            journal.entries.push(JournalEntry { room, seq, users, kind, from });
        }
        let last: std::collections::BTreeMap<usize, u16> = rooms.iter().copied().zip(0..).collect();
        for (room, order) in last {
            let Room { id, head, .. } = &self.rooms[room];
            head::put(&mut batch, id, order, head);
        }
        let before = self.applied.encode();
        let before_no = self.applied.last_commit_no();
        self.applied.stream_seq += rooms.len() as u64;
        self.applied.batch_id = batch.id().to_vec();
        let commit_no = before_no + 1;
        (journal.stream_seq, journal.time_ms) = (self.applied.stream_seq, TIME_MS);
        batch.set(journal::key(self.number, commit_no), journal.encode());
        self.applied.commit_no = Some(commit_no);
        batch.guard(applied::key(self.number), Some(before));
        batch.guard(layout::key(), Some(self.layout_row.clone()));
        batch.set(applied::key(self.number), self.applied.encode());
        batch
    }

    fn message(&mut self, batch: &mut Batch, order: u16, room: usize) {
        let mut noise = [0; TEXT_BYTES];
        self.random.fill_bytes(&mut noise);
        let text = noise.map(|byte| char::from(b' ' + byte % 95)).iter().collect();
        let time_ms = TIME_MS + self.applied.stream_seq;
        let client_id = ClientId::from_parts(time_ms, self.random.random::<u128>() >> 48);
        let Room { id, users, head } = &mut self.rooms[room];
        head.seq += 1;
        head.ordinal += 1;
        head.time_ms = time_ms;
        let body = Body::Text(Text { text, ..Text::default() });
        let content_hash = body.content_hash();
        let entry = Entry {
            room: id.clone(),
            seq: head.seq,
            ordinal: head.ordinal,
            from: users[0].clone(),
            client_id: Some(client_id),
            time_ms,
            body,
        };
        log::put(batch, order, &entry);
        for user in users.iter() {
            inbox::put(batch, user, order, id, entry.seq);
        }
        let row = resend::key(self.number, id, &users[0], &client_id);
        batch.set(row, Resend { seq: entry.seq, content_hash, invited: Vec::new() }.encode());
    }

    /// The same for the library.
    pub fn pairs(&self, batch: &Batch) -> bare::Pairs {
        bare::pairs(batch, TIME_MS + self.applied.stream_seq)
    }

    pub fn room(&self, random: &mut impl Rng) -> &Room {
        &self.rooms[random.random_range(0..ROOMS)]
    }
}
