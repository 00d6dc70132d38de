//! Sessions that send several commands without waiting for answers, as an edge's outbox does: what
//! goes to a room while its predecessor there is unanswered names that one (`Weft-After`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weft_proto::kind::Text;
use weft_proto::{Body, RoomId, Tick};

use super::client::{Ear, USERS, Wish, publish, wish};
use super::config::Fault;
use super::world::{Heard, Told, World};

/// Without the log's word an edge publishes again after so long, then doubles.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// How often an edge looks for evidence.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// What ticks have said of the log, as far as they came.
#[derive(Clone, Copy, Default)]
pub struct Ticked {
    epoch: u64,
    number: u64,
    /// Grows with each tick that came.
    count: u64,
    applied: u64,
    last_seq: u64,
}

impl Ticked {
    /// A tick has come; late ones, and those of an owner that was replaced, say nothing.
    pub fn note(&mut self, tick: &Tick) {
        let Tick { epoch, number, applied, last_seq, .. } = *tick;
        if (epoch, number) > (self.epoch, self.number) {
            *self = Self { epoch, number, count: self.count + 1, applied, last_seq };
        }
    }
}

/// What is known of a command's last attempt, as edges count it.
#[derive(Default)]
struct Evidence {
    stream_seq: Option<u64>,
    looked_at: Option<u64>,
    applied_at: Option<u64>,
}

impl Evidence {
    /// The log has lost the command, or it was applied and its answer must have come.
    fn is_against(&mut self, stream_seq: u64, tick: Ticked) -> bool {
        let looked_at = *self.looked_at.get_or_insert(tick.count);
        if tick.count > 0 && tick.applied >= stream_seq {
            return tick.count > *self.applied_at.get_or_insert(tick.count);
        }
        tick.count > looked_at && tick.last_seq < stream_seq
    }
}

struct Pending {
    number: u64,
    wish: Wish,
    attempt: u32,
    /// The place of its last attempt among all that the session published.
    published: u64,
    /// It is published again when the one before it has its answer.
    is_held: bool,
    published_at: Instant,
    evidence: Evidence,
    due_at: Instant,
}

struct Session {
    world: Arc<World>,
    client: usize,
    /// Unanswered, in the order in which they were sent.
    pending: VecDeque<Pending>,
    next_number: u64,
    published: u64,
    /// How many more edges may die.
    moves_left: u32,
}

/// What a session sends, in bursts.
pub fn wishes(world: &World) -> Vec<Wish> {
    let rooms: &[&str] = if world.below(3) == 0 { &["team", "ann~ben"] } else { &["team"] };
    let sender = USERS[world.below(2) as usize];
    let mut at_ms = world.below(world.config.span_ms);
    (0..2 + world.below(6))
        .map(|number| {
            at_ms += if world.below(4) == 0 { world.below(2_000) } else { world.below(4) };
            let room = rooms[world.below(rooms.len() as u64) as usize];
            let body = Body::Text(Text { text: format!("{number}") });
            wish(world, at_ms, room, sender, body)
        })
        .collect()
}

/// Sends all of it, and ends when each has its answer.
pub async fn session(world: Arc<World>, client: usize, wishes: Vec<Wish>, mut ear: Ear) {
    let started = Instant::now();
    let mut wishes = VecDeque::from(wishes);
    let pending = VecDeque::new();
    let mut session =
        Session { world, client, pending, next_number: 0, published: 0, moves_left: 3 };
    loop {
        let next_at = wishes.front().map(|wish| started + Duration::from_millis(wish.at_ms));
        let due_at = session.pending.iter().map(|pending| pending.due_at);
        let Some(wake_at) = due_at.chain(next_at).min() else { return };
        tokio::select! {
            biased;
            Some(told) = ear.recv() => session.hear(told),
            () = sleep_until(wake_at) => {
                session.send_due();
                if next_at.is_some_and(|at| at <= Instant::now())
                    && let Some(wish) = wishes.pop_front()
                {
                    session.add(wish);
                }
            }
        }
        if session.moves_left > 0 && session.world.hit(Fault::EdgeDies) {
            session.move_on();
        }
    }
}

impl Session {
    fn add(&mut self, wish: Wish) {
        let number = self.next_number;
        self.next_number += 1;
        let now = Instant::now();
        self.world.check.lock().expect("check").sends(self.client, &wish);
        self.pending.push_back(Pending {
            number,
            wish,
            attempt: 0,
            published: 0,
            is_held: false,
            published_at: now,
            evidence: Evidence::default(),
            due_at: now + LOOK_PAUSE,
        });
        self.publish(self.pending.len() - 1);
    }

    /// Publishes the command at an index, naming the one to the same room before it.
    fn publish(&mut self, index: usize) {
        let after = self.before(index).and_then(|before| self.pending[before].wish.client_id);
        self.published += 1;
        let pending = &mut self.pending[index];
        (pending.published, pending.is_held) = (self.published, false);
        (pending.published_at, pending.evidence) = (Instant::now(), Evidence::default());
        let Pending { number, wish, attempt, .. } = &*pending;
        let token = format!("s{}-{number}-{attempt}", self.client);
        let of = (self.client, *number, *attempt);
        if let Some((token, asked)) = publish(&self.world, token, of, wish, after) {
            // The log's word on it comes, or is lost.
            let is_heard = !self.world.hit(Fault::AnswerLost);
            pending.evidence.stream_seq = is_heard.then_some(asked.stream_seq);
            self.world.check.lock().expect("check").asks(token, asked);
        }
    }

    fn before(&self, index: usize) -> Option<usize> {
        let room: &RoomId = &self.pending[index].wish.room;
        self.pending.range(..index).rposition(|pending| pending.wish.room == *room)
    }

    fn publish_again(&mut self, index: usize) {
        self.pending[index].attempt += 1;
        self.publish(index);
    }

    fn hear(&mut self, told: Told) {
        let found = self.pending.binary_search_by_key(&told.number, |pending| pending.number);
        let Ok(index) = found else { return };
        match told.heard {
            Heard::InOrder => self.put_in_order(index, told.attempt),
            // An answer to an attempt before the last one is as good.
            Heard::Ack | Heard::No | Heard::Later => {
                let room = self.pending.remove(index).expect("found").wish.room;
                let next = self.pending.iter().position(|pending| pending.wish.room == room);
                if let Some(next) = next.filter(|next| self.pending[*next].is_held) {
                    self.publish_again(next);
                }
            }
        }
    }

    /// What the command comes after is not applied. Where that one is on its way again already,
    /// or waits itself, the command waits for its answer: if each were published at once, their
    /// numbers would double with each round.
    fn put_in_order(&mut self, index: usize, attempt: u32) {
        // A later attempt is on its way, or it waits already.
        if self.pending[index].attempt != attempt || self.pending[index].is_held {
            return;
        }
        if let Some(before) = self.before(index) {
            let (first, second) = (&self.pending[before], &self.pending[index]);
            if first.is_held || first.published > second.published {
                self.pending[index].is_held = true;
                return;
            }
            self.publish_again(before);
        }
        self.publish_again(index);
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.pending.len() {
            if self.pending[index].due_at > now {
                continue;
            }
            self.pending[index].due_at = now + LOOK_PAUSE;
            if !self.pending[index].is_held && self.is_lost(index) {
                self.publish_again(index);
            }
        }
    }

    /// The last attempt, or its answer, counts as lost.
    fn is_lost(&mut self, index: usize) -> bool {
        let tick = *self.world.ticked.lock().expect("ticked");
        let pending = &mut self.pending[index];
        match pending.evidence.stream_seq {
            Some(stream_seq) => pending.evidence.is_against(stream_seq, tick),
            None => {
                let wait = RESEND_AFTER * 2_u32.pow(pending.attempt.min(3));
                pending.published_at + wait <= Instant::now()
            }
        }
    }

    /// The edge dies: the device sends what has no answer to the next one, in order.
    fn move_on(&mut self) {
        self.moves_left -= 1;
        self.world.say(format_args!("session {} moves on", self.client));
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            // What the dead edge hears is not for the next one.
            pending.number = self.next_number;
            self.next_number += 1;
            pending.attempt = 0;
            pending.due_at = Instant::now() + LOOK_PAUSE;
            self.publish(index);
        }
    }
}
