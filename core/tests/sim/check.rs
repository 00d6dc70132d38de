//! Decides the rules. It sees each commit in the moment in which it happens, each answer and event
//! as it is sent, and the whole store at the end.

use std::collections::{BTreeMap, BTreeSet};

use weft_nats::EventMessage;
use weft_proto::{Body, ClientId, Entry, ErrorCode, EventHead, Position, RoomId, UserId};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Journal};
use weft_storage::tables::log;
use weft_storage::{Batch, Op, Snapshot};

use super::client::Wish;
use super::due::Due;
use super::life::Life;
use super::store::now;
use super::ticks::Watched;
use super::world::{Heard, Told, World};

/// A violation, in words.
pub type Judged<T> = Result<T, String>;

/// An entry that was committed.
pub struct Kept {
    pub position: Position,
    pub entry: Entry,
    /// The place in the log up to which its commit applied.
    pub stream_seq: u64,
}

/// A command as its sender knows it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub client: usize,
    /// Which of its client's commands it is.
    pub number: u64,
    pub attempt: u32,
    pub room: RoomId,
    pub sender: UserId,
    pub client_id: Option<ClientId>,
    /// The session's command before it, which was unanswered.
    pub after: Option<ClientId>,
    /// `None`: malformed on purpose.
    pub body: Option<Body>,
    /// Its place in the log.
    pub stream_seq: u64,
}

impl Asked {
    fn key(&self) -> Option<IdKey> {
        Some((self.room.clone(), self.sender.clone(), self.client_id?.to_bytes()))
    }
}

type Place = (RoomId, u64);
type IdKey = (RoomId, UserId, [u8; 16]);

#[derive(Default)]
struct Answers {
    /// The first place in the log at which it was acknowledged.
    acked_from: Option<u64>,
    /// The last place at which it was refused.
    refused_up_to: u64,
}

#[derive(Default)]
pub struct Checker {
    pub entries: BTreeMap<Place, Kept>,
    pub row: Applied,
    by_position: BTreeMap<Position, Place>,
    ids: BTreeMap<IdKey, u64>,
    asked: BTreeMap<String, Asked>,
    /// What sessions sent: which session, and its place in the order of all.
    sessions: BTreeMap<IdKey, (usize, u64)>,
    /// The last place of a session that stands in a room.
    in_room: BTreeMap<(usize, RoomId), u64>,
    answers: BTreeMap<(IdKey, u64), Answers>,
    /// Journal row and place of each entry whose event is not stored.
    unstored: BTreeSet<(u64, Place)>,
    /// The last event that each life sent first.
    sent_up_to: BTreeMap<u32, Position>,
    lives: u32,
    /// The life that committed last; earlier ones that ever committed are replaced.
    committer: u32,
    replaced: BTreeSet<u32>,
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
        self.asked.insert(token, asked);
    }

    /// A session sends this for the first time: it comes after all that it sent before.
    pub fn sends(&mut self, session: usize, wish: &Wish) {
        if let Some(id) = wish.client_id {
            let key = (wish.room.clone(), wish.sender.clone(), id.to_bytes());
            let place = self.sessions.len() as u64 + 1;
            self.sessions.insert(key, (session, place));
        }
    }

    /// A commit has happened.
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
            } else if let Ok(stream_seq) = journal::stream_seq(key) {
                let journal = Journal::decode(value).map_err(|error| error.to_string())?;
                written = Some((stream_seq, journal));
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
        life.world.say(format_args!(
            "{} commits: epoch {}, applied {}, published {}, floor {}",
            life.name, row.epoch, row.stream_seq, row.published_up_to, row.floor_hour
        ));
        self.watched.commits(life, row.epoch);
        self.row = row;
        if let Some((stream_seq, journal)) = written {
            self.kept(life, stream_seq, &journal, position, snapshot)?;
        }
        match self.unstored.first() {
            Some((stream_seq, (room, seq))) if *stream_seq <= self.row.published_up_to => {
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
        stream_seq: u64,
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
        for ((place, found), order) in places.into_iter().zip(found).zip(0..) {
            let (room, seq) = &place;
            let logged = found.ok_or_else(|| format!("the journal names {room} {seq}, in vain"))?;
            let entry = logged.entry;
            life.world.say(format_args!("  {room} {seq} {} {:?}", entry.from, entry.body.kind()));
            if logged.position != position.with_order(order) {
                return Err(format!("{room} {seq} does not stand at its position"));
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
            self.by_position.insert(logged.position, place.clone());
            self.unstored.insert((stream_seq, place.clone()));
            let kept = Kept { position: logged.position, entry, stream_seq };
            self.due.commits(&kept);
            self.entries.insert(place, kept);
        }
        Ok(())
    }

    /// What one session sent to one room stands in the order in which it was sent.
    fn in_session_order(&mut self, key: &IdKey, seq: u64) -> Judged<()> {
        let Some((session, place)) = self.sessions.get(key) else { return Ok(()) };
        let room = &key.0;
        let last = self.in_room.entry((*session, room.clone())).or_default();
        if place < last {
            return Err(format!("{room} {seq} stands behind what its session sent after it"));
        }
        *last = *place;
        Ok(())
    }

    /// An answer is on its way: to which client, and what it says.
    pub fn answered(&mut self, world: &World, token: &str, frame: &[u8]) -> Judged<(usize, Told)> {
        let asked = self.asked.get(token).ok_or("an answer to nobody")?.clone();
        let frame: serde_json::Value =
            serde_json::from_slice(frame).map_err(|error| error.to_string())?;
        let code = frame["error"]["code"].as_str();
        let seq = frame["seq"].as_u64();
        world.say(format_args!("answer to {token}: {}", code.unwrap_or("ack")));
        if self.row.stream_seq < asked.stream_seq {
            return Err(format!("{token} is answered before its commit"));
        }
        let heard = match (code, seq) {
            (None, Some(seq)) => self.acked(token, &asked, seq),
            (Some(code), _) => self.refused(token, &asked, code),
            _ => Err(format!("{token} gets neither a seq nor an error")),
        }?;
        Ok((asked.client, Told { number: asked.number, attempt: asked.attempt, heard }))
    }

    fn acked(&mut self, token: &str, asked: &Asked, seq: u64) -> Judged<Heard> {
        self.acks += 1;
        let room = &asked.room;
        let Some(kept) = self.entries.get(&(room.clone(), seq)) else {
            return Err(format!("{token} is told {room} {seq}; the store does not hold it"));
        };
        let entry = &kept.entry;
        let is_same = entry.from == asked.sender
            && entry.client_id == asked.client_id
            && Some(&entry.body) == asked.body.as_ref();
        if !is_same {
            return Err(format!("{token} is told {room} {seq}; another entry stands there"));
        }
        if let Some(answers) = self.answers_of(asked) {
            let from = answers.acked_from.get_or_insert(asked.stream_seq);
            *from = asked.stream_seq.min(*from);
        }
        self.no_after_yes(token, asked)?;
        Ok(Heard::Ack)
    }

    fn refused(&mut self, token: &str, asked: &Asked, code: &str) -> Judged<Heard> {
        self.refusals += 1;
        let quoted = serde_json::Value::from(code);
        let code: ErrorCode = serde_json::from_value(quoted).map_err(|error| error.to_string())?;
        if code == ErrorCode::Internal {
            return Err(format!("{token} hears of a defect"));
        }
        let stands = self.standing(asked);
        let is_same = stands.map(|kept| Some(&kept.entry.body) == asked.body.as_ref());
        if code == ErrorCode::Conflict {
            return match is_same {
                Some(false) => Ok(Heard::No),
                Some(true) => Err(format!("{token} conflicts with itself")),
                None => Err(format!("{token} conflicts with nothing")),
            };
        }
        // Below the floor there is no record; who asks has to look in the room.
        let is_forgotten = matches!(code, ErrorCode::ExpiredId | ErrorCode::ResendInOrder)
            && asked.client_id.is_some_and(|id| id.hour() < self.row.floor_hour);
        if is_forgotten {
            return Ok(match code {
                ErrorCode::ResendInOrder => Heard::InOrder,
                _ => Heard::No,
            });
        }
        // What is malformed is not known as a resend.
        if let Some(kept) = stands.filter(|_| asked.body.is_some())
            && kept.stream_seq < asked.stream_seq
        {
            return Err(format!("{token} hears {code:?}; its entry stands at {}", kept.entry.seq));
        }
        if let Some(answers) = self.answers_of(asked) {
            answers.refused_up_to = answers.refused_up_to.max(asked.stream_seq);
        }
        self.no_after_yes(token, asked)?;
        match code {
            ErrorCode::ResendInOrder => self.out_of_order(token, asked),
            ErrorCode::RateLimited => Ok(Heard::Later),
            _ => Ok(Heard::No),
        }
    }

    /// Nobody is told to send in order what does not come after anything, or after what stands.
    fn out_of_order(&self, token: &str, asked: &Asked) -> Judged<Heard> {
        let after = asked.after.ok_or_else(|| format!("{token} comes after nothing"))?;
        let before = Asked { client_id: Some(after), ..asked.clone() };
        let is_remembered = after.hour() >= self.row.floor_hour;
        match self.standing(&before).filter(|_| is_remembered) {
            Some(kept) if kept.stream_seq < asked.stream_seq => {
                Err(format!("{token} is to be sent again; what it comes after stands"))
            }
            _ => Ok(Heard::InOrder),
        }
    }

    fn standing(&self, asked: &Asked) -> Option<&Kept> {
        self.entries.get(&(asked.room.clone(), *self.ids.get(&asked.key()?)?))
    }

    fn answers_of(&mut self, asked: &Asked) -> Option<&mut Answers> {
        Some(self.answers.entry((asked.key()?, asked.body.as_ref()?.content_hash())).or_default())
    }

    fn no_after_yes(&mut self, token: &str, asked: &Asked) -> Judged<()> {
        let Some(Answers { acked_from: Some(acked), refused_up_to }) = self.answers_of(asked)
        else {
            return Ok(());
        };
        if acked < refused_up_to {
            return Err(format!(
                "the command of {token} is refused at {refused_up_to}, behind its ack"
            ));
        }
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
        if event.frame != kept.entry.to_frame() || head.kind != kept.entry.body.kind() {
            return Err(format!("the event of {room} {seq} has other bytes"));
        }
        if event.also != weft_core::partition::rules::concerned(&kept.entry) {
            return Err(format!("the event of {room} {seq} goes to {:?}", event.also));
        }
        self.in_order(life, head.position)?;
        Ok(place)
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
                self.unstored.remove(&(kept.stream_seq, place));
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
