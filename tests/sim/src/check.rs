//! Decides the rules. It sees each commit in the moment in which it happens, each answer and event
//! as it is sent, and the whole store at the end.

use std::collections::{BTreeMap, BTreeSet};

use weft_nats::{EventMessage, MadeBy};
use weft_proto::{Body, ClientId, Entry, EventHead, Position, RoomId, UserId};
use weft_storage::memory::Memory;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Journal};
use weft_storage::tables::log;
use weft_storage::tables::relation::Relation;
use weft_storage::tables::setting::Setting;
use weft_storage::{Batch, Engine, Op, Snapshot};

use super::answers::{Answers, Asked, Attempted};
use super::client::Wish;
use super::closed::Closed;
use super::due::Due;
use super::life::Life;
use super::marks::{Key, Known, Marks, Told};
use super::messages::Messages;
use super::relations::Relations;
use super::scheduled::{self, Scheduled};
use super::settings::Settings;
use super::store::now;
use super::ticks::Watched;

/// No owner commits while its clock differs by so much; a second passes between two steps.
pub const CLOCKS_DIFFER_MS: u64 = 121_000;

/// A violation, in words.
pub type Judged<T> = Result<T, String>;

/// An entry that was committed.
pub struct Kept {
    pub position: Position,
    /// As it was taken: see [`Messages::now`].
    pub entry: Entry,
    /// The place in the log up to which its commit applied.
    pub stream_seq: u64,
    pub commit_no: u64,
}

pub type Place = (RoomId, u64);
pub type IdKey = (RoomId, UserId, [u8; 16]);

#[derive(Default)]
pub struct Checker {
    pub entries: BTreeMap<Place, Kept>,
    pub row: Applied,
    /// What is applied whatever a store may lose: the newest commit, where a log still has it.
    pub settled_seq: u64,
    by_position: BTreeMap<Position, Place>,
    pub ids: BTreeMap<IdKey, u64>,
    pub asked: BTreeMap<String, Asked>,
    /// Ids that are not the sender's own.
    pub made: BTreeMap<IdKey, MadeBy>,
    /// The seqs that relays were told.
    pub relayed: BTreeMap<IdKey, u64>,
    /// What sessions sent: which session, and its place in the order of all.
    sessions: BTreeMap<IdKey, (usize, u64)>,
    /// The last committed place of a session in a room.
    in_room: BTreeMap<(usize, RoomId), u64>,
    pub answers: BTreeMap<(IdKey, u64), Answers>,
    /// The last attempts of edges' commands, by their tokens without the attempt.
    pub attempts: BTreeMap<String, Attempted>,
    /// How many answers told each box of an edge to send in order.
    pub in_order: BTreeMap<String, u64>,
    /// Commit number and place of each entry whose event is not stored.
    unstored: BTreeSet<(u64, Place)>,
    /// The last event that each life sent first.
    sent_up_to: BTreeMap<u32, Position>,
    lives: u32,
    /// The life that committed last; earlier ones that ever committed are replaced.
    committer: u32,
    replaced: BTreeSet<u32>,
    /// What became of messages.
    pub messages: Messages,
    pub marks: Marks,
    pub settings: Settings,
    pub relations: Relations,
    pub scheduled: Scheduled,
    closed: Closed,
    /// What users have to get on their sockets.
    pub due: Due,
    pub watched: Watched,
    pub acks: u64,
    pub refusals: u64,
}

impl Checker {
    pub fn new_life(&mut self) -> u32 {
        self.lives += 1;
        self.lives
    }

    pub fn lives(&self) -> u32 {
        self.lives
    }

    pub fn asks(&mut self, token: String, asked: Asked) {
        if let (Some(key), Some(made_by)) = (asked.key(), asked.made_by) {
            self.made.insert(key, made_by);
        }
        self.asked.insert(token, asked);
    }

    /// A session sends this: what it sends for the first time comes after all that it sent before.
    pub fn sends(&mut self, session: usize, wish: &Wish) {
        if let Some(id) = wish.client_id {
            let key = (wish.room.clone(), wish.sender.clone(), id.to_bytes());
            let place = self.sessions.len() as u64 + 1;
            self.sessions.entry(key).or_insert((session, place));
        }
    }

    pub fn committed(
        &mut self,
        life: &Life,
        batch: &Batch,
        position: Position,
        snapshot: &dyn Snapshot,
    ) -> Judged<()> {
        let mut row = None;
        let mut written = None;
        for op in batch.ops() {
            let Op::Set { key, value } = op else { continue };
            if *key == applied::key(0) {
                row = Some(Applied::decode(value).map_err(|error| error.to_string())?);
            } else if let Ok(commit_no) = journal::commit_no(key) {
                let journal = Journal::decode(value).map_err(|error| error.to_string())?;
                written = Some((commit_no, journal));
            }
        }
        let row = row.ok_or("a commit without the partition's row")?;
        self.replace(life)?;
        let (before, after) = (&self.row, &row);
        if after.stream_seq < before.stream_seq
            || after.epoch < before.epoch
            || after.published_up_to < before.published_up_to
            || after.floor_hour < before.floor_hour
        {
            return Err(format!("the partition's row goes back: {before:?} to {after:?}"));
        }
        let due_no = before.last_commit_no() + u64::from(written.is_some());
        let written_no = written.as_ref().map_or(due_no, |(commit_no, _)| *commit_no);
        if (after.commit_no, written_no) != (Some(due_no), due_no) {
            return Err(format!("commit {written_no} where {due_no} is due: {after:?}"));
        }
        let latest_ms = life.world.latest_ms();
        if u64::from(row.floor_hour) + 25 > latest_ms / 3_600_000 {
            return Err(format!("{} has the floor run away to {}", life.name, row.floor_hour));
        }
        life.world.say(format_args!(
            "{} commits {due_no}: epoch {}, applied {}, published {}, floor {}",
            life.name, row.epoch, row.stream_seq, row.published_up_to, row.floor_hour
        ));
        self.watched.commits(life, row.epoch);
        // One that no log has is answered when a store can't lose it any more.
        let settled = if batch.is_replayable() { before } else { after };
        self.settled_seq = settled.stream_seq;
        self.row = row;
        self.relations.begins(batch);
        if let Some((commit_no, journal)) = written {
            if journal.stream_seq != self.row.stream_seq {
                return Err(format!(
                    "commit {commit_no} says that {} is applied",
                    journal.stream_seq
                ));
            }
            self.kept(life, (batch, commit_no), &journal, position, snapshot)?;
        }
        self.marks.commits(batch, position, snapshot, (&self.entries, &self.relations))?;
        self.settings.commits(batch, position, snapshot)?;
        self.relations.commits(batch, position, snapshot)?;
        self.scheduled.commits(batch, position, snapshot, &self.entries)?;
        match self.unstored.first() {
            Some((commit_no, (room, seq))) if *commit_no <= self.row.published_up_to => {
                Err(format!("the row says that the event of {room} {seq} is stored; it is not"))
            }
            _ => Ok(()),
        }
    }

    /// Nobody commits after being replaced.
    fn replace(&mut self, life: &Life) -> Judged<()> {
        if self.replaced.contains(&life.number) {
            return Err(format!("{} commits after it was replaced", life.name));
        }
        if self.committer != life.number {
            self.replaced.insert(self.committer);
            self.committer = life.number;
        }
        Ok(())
    }

    /// Takes in the entries of a commit.
    fn kept(
        &mut self,
        life: &Life,
        (batch, commit_no): (&Batch, u64),
        journal: &Journal,
        position: Position,
        snapshot: &dyn Snapshot,
    ) -> Judged<()> {
        let places: Vec<Place> = journal
            .entries
            .iter()
            .map(|entry| (RoomId::new(&entry.room).expect("room"), entry.seq))
            .collect();
        let found = now(log::get_many(snapshot, &places));
        let is_taken_back = |logged: &log::Logged| matches!(logged.entry.body, Body::Deleted(_));
        let originals = if found.iter().flatten().any(is_taken_back) {
            originals(batch, &places)
        } else {
            vec![None; places.len()]
        };
        for (((place, found), original), order) in
            places.into_iter().zip(found).zip(originals).zip(0..)
        {
            let (room, seq) = &place;
            let logged = found.ok_or_else(|| format!("the journal names {room} {seq}, in vain"))?;
            let entry = original.map_or_else(|| logged.entry.clone(), |original| original.entry);
            life.world.say(format_args!("  {room} {seq} {} {:?}", entry.from, entry.body.kind()));
            if logged.position != position.with_order(order) {
                return Err(format!("{room} {seq} is not at its position"));
            }
            if entry.time_ms > life.world.latest_ms() + CLOCKS_DIFFER_MS {
                return Err(format!("{room} {seq} is of the future"));
            }
            if self.entries.contains_key(&place) {
                return Err(format!("{room} {seq} is written a second time"));
            }
            if *seq > 1 && !self.entries.contains_key(&(room.clone(), seq - 1)) {
                return Err(format!("{room} {seq} follows a hole"));
            }
            if let Some(id) = entry.client_id {
                let key = (room.clone(), entry.from.clone(), id.to_bytes());
                self.in_session_order(&key, *seq)?;
                if let Some(first) = self.ids.insert(key, *seq) {
                    return Err(format!("{room} holds one client id twice: at {first} and {seq}"));
                }
            }
            self.messages.take(&entry)?;
            self.closed.take(&entry)?;
            self.relations.judge_entry(&entry)?;
            self.scheduled.judge_entry(&entry)?;
            self.by_position.insert(logged.position, place.clone());
            self.unstored.insert((commit_no, place.clone()));
            let stream_seq = journal.stream_seq;
            let kept = Kept { position: logged.position, entry, stream_seq, commit_no };
            self.due.commits(&kept);
            self.entries.insert(place, kept);
        }
        Ok(())
    }

    /// What one session sent to one room is in the order in which it was sent.
    fn in_session_order(&mut self, key: &IdKey, seq: u64) -> Judged<()> {
        let Some((session, place)) = self.sessions.get(key) else { return Ok(()) };
        let room = &key.0;
        let last = self.in_room.entry((*session, room.clone())).or_default();
        if place < last {
            return Err(format!("{room} {seq} comes after what its session sent later"));
        }
        *last = *place;
        Ok(())
    }

    /// An event is on its way.
    pub fn sent(&mut self, life: &Life, event: &EventMessage) -> Judged<Place> {
        let head: EventHead = event.head.parse().map_err(|_| "a malformed head")?;
        let place = (head.room.clone(), head.seq);
        let (room, seq) = &place;
        life.world.say(format_args!("{} sends {room} {seq}", life.name));
        let kept = self.entries.get(&place).ok_or_else(|| format!("{room} {seq} sent in vain"))?;
        let before = self.entries.get(&(room.clone(), seq - 1)).map(|kept| kept.position);
        if head.position != kept.position || head.position_before != before {
            return Err(format!("the event of {room} {seq} has a wrong position"));
        }
        let is_it =
            |entry: &Entry| event.frame == entry.to_frame() && head.kind == entry.body.kind().word;
        // What is published again may be what a deletion left of it.
        if !is_it(&kept.entry) && !is_it(&self.messages.now(&kept.entry)) {
            return Err(format!("the event of {room} {seq} has other bytes"));
        }
        if event.also != weft_core::partition::rules::concerned(&kept.entry) {
            return Err(format!("the event of {room} {seq} goes to {:?}", event.also));
        }
        self.in_order(life, head.position)?;
        Ok(place)
    }

    /// An entry goes out on a socket: as it was taken, or as its deletion left it.
    pub fn shows(&self, name: &str, entry: &Entry) -> Judged<()> {
        let kept = self.entries.get(&(entry.room.clone(), entry.seq)).map(|kept| &kept.entry);
        let is_it = kept.is_some_and(|it| it == entry || self.messages.now(it) == *entry);
        let Entry { room, seq, .. } = entry;
        if is_it { Ok(()) } else { Err(format!("{name} is shown another {room} {seq}")) }
    }

    /// A mark goes out on a socket.
    pub fn shows_mark(&mut self, session: u64, key: &Key, told: &Told) -> Judged<()> {
        self.shows_read(session, key, told)?;
        self.due.puts_mark(session, key, told);
        Ok(())
    }

    /// A setting goes out on a socket.
    pub fn shows_setting(&mut self, session: u64, room: &RoomId, told: &Setting) -> Judged<()> {
        let (user, known) = self.due.hears_beside(session);
        self.settings.shows(&(user.clone(), room.clone()), told)?;
        known.settings.insert(room.clone(), told.clone());
        Ok(())
    }

    /// What another user is to the session's own goes out on a socket.
    pub fn shows_relation(&mut self, session: u64, other: &UserId, told: &Relation) -> Judged<()> {
        let (user, known) = self.due.hears_beside(session);
        self.relations.shows(&(user.clone(), other.clone()), told)?;
        known.relations.insert(other.clone(), told.clone());
        Ok(())
    }

    /// What became of a scheduled message goes out on a socket.
    pub fn shows_scheduled(
        &mut self,
        session: u64,
        (room, id): (&RoomId, ClientId),
        told: &scheduled::Told,
    ) -> Judged<()> {
        let (user, known) = self.due.hears_beside(session);
        let key = (user.clone(), room.clone(), id);
        self.scheduled.shows(&key, told)?;
        known.scheduled.insert(key, told.clone());
        Ok(())
    }

    /// How far somebody has read goes out on a socket.
    pub fn shows_read(&self, session: u64, key: &Key, told: &Told) -> Judged<()> {
        self.marks.shows(self.due.known(session).0, key, told, &self.entries)
    }

    /// A cursor goes out on a socket.
    pub fn tells_cursor(&mut self, session: u64, cursor: Position) -> Judged<()> {
        self.due.tells_cursor(session, cursor)?;
        let (user, known) = self.due.known(session);
        self.judge_known(user, known, cursor)
    }

    /// A device knows what changed beside entries up to there.
    pub fn judge_known(&self, user: &UserId, known: &Known, up_to: Position) -> Judged<()> {
        let Some(began) = known.began else { return Ok(()) };
        self.marks.judge_known(user, known, up_to, (&self.entries, &self.relations))?;
        self.relations.judge_known(user, &known.relations, began, up_to)?;
        self.scheduled.judge_known(user, &known.scheduled, began, up_to)?;
        self.settings.judge_known(user, &known.settings, began, up_to)
    }

    /// A life sends events in commit order and leaves none out, but for repetitions.
    fn in_order(&mut self, life: &Life, position: Position) -> Judged<()> {
        let Some(last) = self.sent_up_to.insert(life.number, position) else { return Ok(()) };
        if position <= last {
            self.sent_up_to.insert(life.number, last);
            return Ok(());
        }
        match self.by_position.range(last..).nth(1) {
            Some((next, _)) if *next == position => Ok(()),
            Some((_, (room, seq))) => Err(format!("{} leaves out {room} {seq}", life.name)),
            None => Err("an event beyond the last entry".into()),
        }
    }

    /// The last entry at or before a position.
    pub fn last_at(&self, position: Position) -> Option<&Kept> {
        let (_, place) = self.by_position.range(..=position).next_back()?;
        self.entries.get(place)
    }

    /// The event stream has these.
    pub fn stored(&mut self, places: Vec<Place>) {
        for place in places {
            if let Some(kept) = self.entries.get(&place) {
                self.unstored.remove(&(kept.commit_no, place));
            }
        }
    }

    /// Every entry's event was stored.
    pub fn all_stored(&self) -> Judged<()> {
        match self.unstored.first() {
            None => Ok(()),
            Some((_, (room, seq))) => Err(format!("the event of {room} {seq} was never stored")),
        }
    }
}

/// What a commit wrote first, where it wrote entries anew that are its own.
fn originals(batch: &Batch, places: &[Place]) -> Vec<Option<log::Logged>> {
    let (scratch, mut first) = (Memory::new(), Batch::new(batch.id()));
    let mut seen = BTreeSet::new();
    for op in batch.ops() {
        if let Op::SetPositioned { key, order, value } = op
            && seen.insert(key)
        {
            first.set_positioned(key.clone(), *order, value.clone());
        }
    }
    now(scratch.commit(first));
    now(log::get_many(&*now(scratch.snapshot()), places))
}
