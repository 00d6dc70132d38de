//! Decides about answers: each comes after its commit, and says what is committed.

use weft_nats::{Answer, MadeBy};
use weft_proto::limits::{CLIENT_ID_AGE_MS_MAX, CLIENT_ID_AHEAD_MS_MAX};
use weft_proto::{Body, ClientId, ErrorCode, RoomId, Tick, UserId};

use super::check::{Checker, IdKey, Judged, Kept};
use super::world::{Heard, Told, World};

/// A command as its sender knows it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `None`: an edge's session, whose answers are its outbox's.
    pub client: Option<usize>,
    pub room: RoomId,
    pub sender: UserId,
    pub client_id: Option<ClientId>,
    /// Who made it, where that was not the sender.
    pub made_by: Option<MadeBy>,
    /// The session's command before it, which was unanswered.
    pub after: Option<ClientId>,
    /// `None`: malformed on purpose.
    pub body: Option<Body>,
    pub stream_seq: u64,
    pub stored_at_ms: u64,
}

impl Asked {
    /// The id that its entry carries.
    fn given_id(&self) -> Option<ClientId> {
        self.client_id.filter(|_| self.made_by != Some(MadeBy::Relay))
    }

    /// No rule about the age of ids is against it.
    fn is_fresh(&self, floor_hour: u32) -> bool {
        let Some(id) = self.client_id else { return true };
        let (stamp_ms, at_ms) = (id.time_ms(), self.stored_at_ms);
        let is_near =
            stamp_ms + CLIENT_ID_AGE_MS_MAX >= at_ms && stamp_ms <= at_ms + CLIENT_ID_AHEAD_MS_MAX;
        self.made_by.is_some() || is_near && id.hour() >= floor_hour
    }

    pub fn key(&self) -> Option<IdKey> {
        Some((self.room.clone(), self.sender.clone(), self.client_id?.to_bytes()))
    }
}

/// What a client id with one content was answered.
#[derive(Default)]
pub struct Answers {
    /// The first place in the log at which it was acknowledged.
    acked_from: Option<u64>,
    /// The last place at which it was refused.
    refused_up_to: u64,
}

/// The last attempt of an edge's command.
pub struct Attempted {
    /// Where the log has it, if the outbox heard of that.
    heard_at: Option<u64>,
    /// Of the log then.
    era: u32,
    /// How many answers had told its box to send in order.
    in_order: u64,
    /// A tick has come since that says that the log lacks it: a late one, or the truth.
    is_missed: bool,
}

fn box_of(token: &str) -> &str {
    token.split_once('-').map_or(token, |(of, _)| of)
}

impl Checker {
    /// An edge publishes an attempt. It publishes none again while it knows that the log has the last
    /// one, which is not applied, unless it was told to send in order, or that the log lost it.
    pub fn publishes(
        &mut self,
        world: &World,
        token: &str,
        heard_at: Option<u64>,
        era: u32,
    ) -> Judged<()> {
        let command = token.rsplit_once('-').map_or(token, |(of, _)| of);
        let in_order = self.in_order.get(box_of(token)).copied().unwrap_or(0);
        let attempted = Attempted { heard_at, era, in_order, is_missed: false };
        let Some(last) = self.attempts.insert(command.to_owned(), attempted) else {
            return Ok(());
        };
        let waits = last.heard_at.is_some_and(|seq| {
            seq > self.row.stream_seq && world.stream.lock().expect("stream").has(seq)
        });
        if waits && last.era == era && last.in_order == in_order && !last.is_missed {
            return Err(format!("{token} is published again; the log has it"));
        }
        Ok(())
    }

    /// A tick arrives at an edge.
    pub fn arrives(&mut self, tick: &Tick) {
        for attempted in self.attempts.values_mut() {
            attempted.is_missed |= attempted.heard_at.is_some_and(|seq| tick.last_seq < seq);
        }
    }

    /// An answer is on its way: to which client, and what it says.
    pub fn answered(
        &mut self,
        world: &World,
        token: &str,
        answer: &Answer,
    ) -> Judged<Option<(usize, Told)>> {
        let asked = self.asked.get(token).ok_or("an answer to nobody")?.clone();
        let frame: serde_json::Value =
            serde_json::from_slice(&answer.frame).map_err(|error| error.to_string())?;
        let code = frame["error"]["code"].as_str();
        if code != answer.error.map(ErrorCode::as_str) {
            return Err(format!("{token} is told {code:?} beside {:?}", answer.error));
        }
        let seq = frame["seq"].as_u64();
        world.say(format_args!("answer to {token}: {}", code.unwrap_or("ack")));
        if self.row.stream_seq < asked.stream_seq {
            return Err(format!("{token} is answered before its commit"));
        }
        let heard = match (code, seq) {
            (None, None) if frame["type"] == "done" => self.done(token, &asked),
            (None, Some(seq)) => {
                let told = (seq, frame["ordinal"].as_u64(), frame["time"].as_u64());
                self.acked(token, &asked, told)
            }
            (Some(code), _) => self.refused(token, &asked, code),
            _ => Err(format!("{token} gets neither a seq nor an error")),
        }?;
        if heard == Heard::InOrder && asked.client.is_none() {
            *self.in_order.entry(box_of(token).to_owned()).or_default() += 1;
        }
        Ok(asked.client.map(|client| (client, Told { heard })))
    }

    fn done(&mut self, token: &str, asked: &Asked) -> Judged<Heard> {
        match &asked.body {
            Some(Body::Mark(wanted)) => {
                let key = (asked.room.clone(), asked.sender.clone());
                self.marks.answered(&key, wanted, &self.entries)?;
            }
            Some(Body::Setting(wanted)) => {
                self.settings.answered(&asked.sender, wanted, self.asked.values())?;
                self.note_ack(token, asked)?;
            }
            Some(Body::Relation(wanted)) => {
                self.relations.answered(&asked.sender, wanted, self.asked.values())?;
                self.note_ack(token, asked)?;
            }
            Some(Body::Schedule(_) | Body::Unschedule(_)) => {
                self.scheduled.answered(asked)?;
                self.note_ack(token, asked)?;
            }
            _ => return Err(format!("{token} is done, and is an entry")),
        }
        Ok(Heard::Ack)
    }

    fn acked(
        &mut self,
        token: &str,
        asked: &Asked,
        (seq, ordinal, time_ms): (u64, Option<u64>, Option<u64>),
    ) -> Judged<Heard> {
        self.acks += 1;
        let room = &asked.room;
        let Some(kept) = self.entries.get(&(room.clone(), seq)) else {
            return Err(format!("{token} is told {room} {seq}; the store does not hold it"));
        };
        let entry = &kept.entry;
        let is_same = entry.from == asked.sender
            && entry.client_id == asked.given_id()
            && Some(&entry.body) == asked.body.as_ref();
        if !is_same {
            return Err(format!("{token} is told {room} {seq}; another entry is there"));
        }
        if (ordinal, time_ms) != (Some(entry.ordinal), Some(entry.time_ms)) {
            return Err(format!("{token} is told another ordinal or time than {room} {seq} has"));
        }
        // The entry does not tell whom a relay's id belongs to; the answers do.
        if let Some(key) = asked.key().filter(|_| asked.made_by == Some(MadeBy::Relay)) {
            let first = *self.relayed.entry(key).or_insert(seq);
            if first != seq {
                return Err(format!("{room} holds one message twice: at {first} and {seq}"));
            }
        }
        self.note_ack(token, asked)?;
        Ok(Heard::Ack)
    }

    fn note_ack(&mut self, token: &str, asked: &Asked) -> Judged<()> {
        if let Some(answers) = self.answers_of(asked) {
            let from = answers.acked_from.get_or_insert(asked.stream_seq);
            *from = asked.stream_seq.min(*from);
        }
        self.no_after_yes(token, asked)
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
        if code == ErrorCode::Conflict && asked.made_by == Some(MadeBy::Relay) {
            return Ok(Heard::No);
        }
        if code == ErrorCode::Conflict {
            return match is_same {
                Some(false) => Ok(Heard::No),
                Some(true) => Err(format!("{token} conflicts with itself")),
                None => Err(format!("{token} conflicts with nothing")),
            };
        }
        if code == ErrorCode::NotAllowed {
            self.relations.refused(&asked.room, self.asked.values())?;
        }
        if code == ErrorCode::ExpiredId && asked.is_fresh(self.row.floor_hour) {
            return Err(format!("{token} is told that its fresh id is old"));
        }
        // It may have been taken before: a repetition is decided anew.
        if matches!(asked.body, Some(Body::Mark(_))) {
            let is_later = code == ErrorCode::RateLimited;
            return Ok(if is_later { Heard::Later } else { Heard::No });
        }
        // Below the floor there is no record; who asks has to look in the room.
        let is_forgotten = matches!(code, ErrorCode::ExpiredId | ErrorCode::ResendInOrder)
            && asked.made_by.is_none()
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
            return Err(format!("{token} hears {code:?}; its entry is at {}", kept.entry.seq));
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

    /// Nobody is told to send in order what does not come after anything, or after what is committed.
    fn out_of_order(&self, token: &str, asked: &Asked) -> Judged<Heard> {
        let after = asked.after.ok_or_else(|| format!("{token} comes after nothing"))?;
        let before = Asked { client_id: Some(after), ..asked.clone() };
        let is_remembered = after.hour() >= self.row.floor_hour;
        match self.standing(&before).filter(|_| is_remembered) {
            Some(kept) if kept.stream_seq < asked.stream_seq => {
                Err(format!("{token} is to be sent again; what it comes after is committed"))
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
                "the command of {token} is refused at {refused_up_to}, after its ack"
            ));
        }
        Ok(())
    }
}
