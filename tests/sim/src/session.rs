//! Sessions that send several commands without waiting for answers: the edge's own outbox, on the
//! simulated log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use weft_edge::answers::Answers;
use weft_edge::outbox::{Attempt, Command};
use weft_edge::ports::Ingest;
use weft_edge::sending::{Sends, Told};
use weft_nats::{Error, IngestMessage, MadeBy, ReplyTo, Signal};
use weft_proto::kind::Text;
use weft_proto::{Body, NodeId, UserId};

use super::answers::Asked;
use super::client::{USERS, Wish, wish};
use super::config::Fault;
use super::edge::{Edge, EdgeWire};
use super::messages::{aim, any_change};
use super::world::World;

/// The log as an edge sees it.
pub struct EdgeIngest {
    pub wire: EdgeWire,
    pub edge: NodeId,
    pub answers: Answers,
}

impl Ingest for EdgeIngest {
    async fn publish(&self, token: &str, sender: &UserId, attempt: &Attempt) -> Result<(), Error> {
        let world = self.wire.world();
        let is_lost = !self.wire.is_connected() || world.hit(Fault::PublishLost);
        let stream_seq = (!is_lost).then(|| self.store(token, sender, attempt));
        // The log's word on it comes, or is lost.
        let is_heard = stream_seq.is_some() && !world.hit(Fault::AnswerLost);
        let era = world.stream.lock().expect("stream").era();
        let mut check = world.check.lock().expect("check");
        let judged = check.publishes(world, token, stream_seq.filter(|_| is_heard), era);
        drop(check);
        if let Err(violation) = judged {
            world.violate(violation);
        }
        if let Some(stream_seq) = stream_seq.filter(|_| is_heard) {
            self.answers.hand_on(Signal::Stored { token: token.to_owned(), stream_seq });
        }
        Ok(())
    }
}

impl EdgeIngest {
    fn store(&self, token: &str, sender: &UserId, attempt: &Attempt) -> u64 {
        let world = self.wire.world();
        let Command { room, client_id, is_made, payload } = attempt.command.clone();
        let made_by = is_made.then_some(MadeBy::Edge);
        let stream_seq = world.publish(IngestMessage {
            stream_seq: 0,
            stored_at_ms: 0,
            sender: sender.to_string(),
            room: room.to_string(),
            client_id: Some(client_id.to_string()),
            made_by,
            after: attempt.after.map(|after| after.to_string()),
            kind: None,
            reply: Some(ReplyTo::Edge { edge: self.edge.clone(), token: token.to_owned() }),
            is_json: true,
            is_outsider: false,
            payload: payload.clone(),
            problem: None,
        });
        world.say(format_args!("{token} at {stream_seq}: {sender} in {room}"));
        let asked = Asked {
            client: None,
            room,
            sender: sender.clone(),
            client_id: Some(client_id),
            made_by,
            after: attempt.after,
            body: Body::from_json(&payload).ok(),
            stream_seq,
            stored_at_ms: world.server_ms(),
        };
        world.check.lock().expect("check").asks(token.to_owned(), asked);
        stream_seq
    }
}

/// What a session sends, in bursts.
pub fn wishes(world: &World) -> VecDeque<Wish> {
    let rooms: &[&str] = if world.below(3) == 0 { &["team", "ann~ben"] } else { &["team"] };
    let sender = USERS[world.below(2) as usize];
    let mut at_ms = world.below(world.config.span_ms);
    (0..2 + world.below(6))
        .map(|number| {
            at_ms += if world.below(4) == 0 { world.below(2_000) } else { world.below(4) };
            let room = rooms[world.below(rooms.len() as u64) as usize];
            let body = match world.below(4) {
                0 => any_change(world),
                _ => Body::Text(Text { text: format!("{number}"), ..Text::default() }),
            };
            wish(world, at_ms, room, sender, body)
        })
        .collect()
}

/// Sends all of it, on one edge after the other, and ends when each has its answer.
pub async fn session(world: Arc<World>, number: u64, wishes: VecDeque<Wish>) {
    let Some(first) = wishes.front() else { return };
    let sender = first.sender.clone();
    let (started, unanswered) = (Instant::now(), BTreeMap::new());
    let mut session =
        Session { world, number, started, wishes, unanswered, next_id: 0, moves_left: 3 };
    while !session.is_done() {
        let edge = session.world.edge();
        let mut sends = edge.sending.open(sender.clone());
        session.stay(&edge, &mut sends).await;
        session.move_on();
    }
}

struct Session {
    world: Arc<World>,
    number: u64,
    started: Instant,
    /// Not sent yet.
    wishes: VecDeque<Wish>,
    /// By request id, in the order in which they were sent.
    unanswered: BTreeMap<u64, Wish>,
    next_id: u64,
    /// How many more times it goes to another edge though its own lives.
    moves_left: u32,
}

impl Session {
    fn is_done(&self) -> bool {
        self.wishes.is_empty() && self.unanswered.is_empty()
    }

    /// Sends and hears, until all is answered, the edge dies, or the device goes to another one.
    async fn stay(&mut self, edge: &Edge, sends: &mut Sends<EdgeIngest>) {
        while !self.is_done() {
            let next = self.wishes.front();
            let next_at = next.map(|wish| self.started + Duration::from_millis(wish.at_ms));
            let Some(wake_at) = sends.due_at().into_iter().chain(next_at).min() else { return };
            let told = tokio::select! {
                biased;
                () = edge.tasks.token().cancelled() => return,
                answer = sends.next_answer() => sends.on_answer(answer).await,
                () = sleep_until(wake_at) => {
                    let now = Instant::now();
                    if next_at.is_some_and(|at| at <= now)
                        && let Some(wish) = self.wishes.pop_front()
                    {
                        self.add(sends, wish).await;
                    }
                    sends.on_time(now).await
                }
            };
            told.into_iter().for_each(|told| self.hear(told));
            if self.moves_left > 0 && self.world.hit(Fault::EdgeDies) {
                self.moves_left -= 1;
                return;
            }
        }
    }

    /// What has no answer goes to the next edge, before all else and in order.
    fn move_on(&mut self) {
        self.world.say(format_args!("session {} moves on", self.number));
        let unanswered = std::mem::take(&mut self.unanswered).into_values();
        self.wishes = unanswered.chain(std::mem::take(&mut self.wishes)).collect();
    }

    async fn add(&mut self, sends: &mut Sends<EdgeIngest>, mut wish: Wish) {
        aim(&self.world, &mut wish);
        let command = Command {
            room: wish.room.clone(),
            client_id: wish.client_id.expect("an id"),
            is_made: false,
            payload: wish.body.as_ref().expect("a body").to_json().into(),
        };
        let id = self.next_id;
        self.next_id += 1;
        match sends.send(id, command).await {
            Ok(()) => {
                self.world.check.lock().expect("check").sends(self.number as usize, &wish);
                self.unanswered.insert(id, wish);
            }
            // Nothing was published: it is tried again, and nothing overtakes it.
            Err(error) => {
                let name = self.number;
                self.world.say(format_args!("session {name} is refused: {error}"));
                self.wishes.push_front(wish);
                sleep(Duration::from_millis(1_000)).await;
            }
        }
    }

    fn hear(&mut self, told: Told) {
        let Some(wish) = self.unanswered.remove(&told.request_id) else {
            return self.world.violate(format!("{} is answered twice", told.request_id));
        };
        let Ok((frame, _)) = told.outcome else { return };
        let ack: serde_json::Value = serde_json::from_slice(&frame).expect("json");
        let place = (wish.room, ack["seq"].as_u64().expect("a seq"));
        let check = self.world.check.lock().expect("check");
        let is_it =
            check.entries.get(&place).is_some_and(|it| it.entry.client_id == wish.client_id);
        drop(check);
        if !is_it {
            self.world
                .violate(format!("a session hears that its command is {} {}", place.0, place.1));
        }
    }
}
