//! Commands that would take the partition down, each time that it is taken, are put in quarantine.
//!
//! A defect that makes the planning of one command panic, a plan that breaks what must always hold, or
//! a commit that is beyond the store's limits, ends the worker in order: what is underway is finished,
//! all cached state dropped. The next worker knows the culprit, refuses it with `internal`, and keeps
//! it in the dead-letter table in the commit that moves `applied` past it; of a draft or a scheduled message, which is nobody else's, without
//! what was typed. Where a plan of many can't
//! be closed or committed, its commands are planned alone first, so that one of them is found.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{error, warn};
use weft_nats::IngestMessage;
use weft_proto::Partition;
use weft_storage::tables::dead_letter::DeadLetter;
use weft_storage::tables::scheduled::ScheduledKey;

use super::command::Incoming;
use super::plan::{Commands, Sealed};
use crate::error::Error;
use crate::metrics;

/// Culprits kept. More than a worker reads ahead; one that is forgotten is found again.
const POISON_MAX: usize = 4_096;

/// Stream sequence and time name a message: a log that went back gives a sequence again.
type MessageName = (u64, u64);

/// What earlier workers learned.
#[derive(Clone, Default, Debug)]
pub struct Quarantine {
    /// Culprits: place and time, and the reason.
    poison: BTreeMap<MessageName, String>,
    /// Up to this stream sequence each command is committed alone.
    alone_through: u64,
    /// The scheduled messages of which owners told themselves lately, and when: one that takes them down each time
    /// is not told of at once again.
    told: Told,
}

/// See [`Quarantine`].
pub type Told = Arc<Mutex<HashMap<ScheduledKey, Instant>>>;

impl Quarantine {
    /// Runs one worker after the other for as long as they end because of single commands. There
    /// is no pause in between: nobody else wants the partition.
    ///
    /// # Errors
    /// The first that is about something else, or about nothing new.
    pub async fn run_workers<F>(mut work: impl FnMut(Self) -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let mut quarantine = Self::default();
        loop {
            match work(quarantine.clone()).await {
                Err(error) => quarantine.learn(error)?,
                Ok(()) => return Ok(()),
            }
        }
    }

    fn learn(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Poison { partition, stream_seq, stored_at_ms, reason }
                if !self.poison.contains_key(&(stream_seq, stored_at_ms)) =>
            {
                error!(
                    partition,
                    stream_seq, reason, "a command can't be applied: it is in quarantine"
                );
                metrics::DEAD_LETTERS.increment();
                self.poison.insert((stream_seq, stored_at_ms), reason);
                if self.poison.len() > POISON_MAX {
                    self.poison.pop_first();
                }
                Ok(())
            }
            Error::TooMuch { partition, through, reason } if self.alone_through < through => {
                warn!(partition, through, reason, "commands are committed one by one");
                self.alone_through = through;
                Ok(())
            }
            error => Err(error),
        }
    }

    #[must_use]
    pub fn told(&self) -> Told {
        Arc::clone(&self.told)
    }

    /// True where a plan that ends with this stream sequence takes no further command.
    #[must_use]
    pub fn is_alone(&self, stream_seq: u64) -> bool {
        stream_seq <= self.alone_through
    }

    /// Decodes a message, or refuses it where it is a culprit.
    ///
    /// # Errors
    /// [`Error::Poison`].
    pub fn decode(
        &self,
        message: IngestMessage,
        partition: Partition,
        partitions: Partition,
    ) -> Result<Incoming, Error> {
        let name = (message.stream_seq, message.stored_at_ms);
        match self.poison.get(&name) {
            Some(reason) => Ok(Incoming::put_aside(message, reason)),
            None => caught(partition, name, || Incoming::decode(message, partition, partitions)),
        }
    }
}

/// Does a step of one command.
///
/// # Errors
/// [`Error::Poison`] where it panics. What it was changing may be half changed: it has to be
/// dropped.
pub fn caught<T>(
    partition: Partition,
    (stream_seq, stored_at_ms): MessageName,
    step: impl FnOnce() -> T,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        let reason = format!("a defect: {}", words(&*panic));
        Error::Poison { partition, stream_seq, stored_at_ms, reason }
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let fixed = panic.downcast_ref::<&str>().copied();
    fixed.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Closes a plan of these commands.
///
/// # Errors
/// Where it panics, since it breaks what must always hold: [`Error::Poison`], or [`Error::TooMuch`] of
/// several commands. Nothing of it is committed.
///
/// # Panics
/// Where it has no command that could be put aside.
pub fn closed<T>(
    partition: Partition,
    commands: Commands,
    close: impl FnOnce() -> T,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(close)).map_err(|panic| {
        let Commands { count, from, through, .. } = commands;
        let reason = format!("a defect: {}", words(&*panic));
        error!(partition, from, through, reason, "a plan is broken: nothing of it is committed");
        if count == 0 {
            resume_unwind(panic);
        }
        blame(partition, commands, reason)
    })
}

/// What the store's refusal of a commit says about the commands in it.
#[must_use]
pub fn refused(partition: Partition, sealed: &Sealed, error: weft_storage::Error) -> Error {
    match sealed.commands.count {
        0 => error.into(),
        _ => blame(partition, sealed.commands, error.to_string()),
    }
}

fn blame(partition: Partition, commands: Commands, reason: String) -> Error {
    let Commands { count, through, stored_at_ms, .. } = commands;
    match count {
        1 => Error::Poison { partition, stream_seq: through, stored_at_ms, reason },
        _ => Error::TooMuch { partition, through, reason },
    }
}

/// What is kept of a command for people to look at.
fn kept_payload(payload: Bytes) -> Bytes {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
    }
    let head = serde_json::from_slice::<Head<'_>>(&payload);
    match head.as_ref().map(|head| &*head.kind) {
        Ok("draft") => Bytes::from_static(br#"{"kind":"draft"}"#),
        Ok("schedule") => Bytes::from_static(br#"{"kind":"schedule"}"#),
        _ => payload,
    }
}

impl Incoming {
    /// A culprit: refused, and kept.
    fn put_aside(message: IngestMessage, reason: &str) -> Self {
        use weft_proto::{ApiError, ErrorCode};
        let refusal = ApiError {
            // Whoever sends it again takes the partition down once more.
            temporary: false,
            ..ApiError::new(
                ErrorCode::Internal,
                "the command can't be applied and is in quarantine",
            )
        };
        let letter = DeadLetter {
            sender: message.sender.clone(),
            room: message.room,
            client_id: message.client_id,
            is_outsider: message.is_outsider,
            is_json: message.is_json,
            reason: reason.to_owned(),
            time_ms: message.stored_at_ms,
            payload: kept_payload(message.payload),
        };
        Self {
            stream_seq: message.stream_seq,
            stored_at_ms: message.stored_at_ms,
            sender: message.sender,
            reply: message.reply,
            command: Err(refusal),
            letter: Some(Box::new(letter)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poison(stream_seq: u64) -> Error {
        Error::Poison { partition: 0, stream_seq, stored_at_ms: 1, reason: "why".into() }
    }

    #[test]
    fn what_is_known_already_is_no_reason_to_try_again() {
        let mut quarantine = Quarantine::default();
        quarantine.learn(poison(7)).expect("new");
        quarantine.learn(poison(9)).expect("new");
        assert!(matches!(quarantine.learn(poison(7)), Err(Error::Poison { stream_seq: 7, .. })));
        let too_much = |through| Error::TooMuch { partition: 0, through, reason: "why".into() };
        quarantine.learn(too_much(20)).expect("new");
        assert!(quarantine.learn(too_much(20)).is_err());
        assert!(quarantine.is_alone(20) && !quarantine.is_alone(21));
        assert!(matches!(quarantine.learn(Error::Lost(0)), Err(Error::Lost(0))));
    }

    #[test]
    fn a_place_that_is_given_again_holds_no_culprit() {
        let mut quarantine = Quarantine::default();
        quarantine.learn(poison(7)).expect("new");
        let message = |stored_at_ms| IngestMessage {
            stream_seq: 7,
            stored_at_ms,
            sender: "alice".into(),
            room: "alice~bob".into(),
            client_id: None,
            made_by: None,
            after: None,
            kind: None,
            reply: None,
            is_json: false,
            is_outsider: true,
            payload: bytes::Bytes::from_static(b"x"),
            problem: None,
        };
        let culprit = quarantine.decode(message(1), 0, 1).expect("decoded");
        assert!(culprit.letter.is_some() && culprit.command.is_err());
        let another = quarantine.decode(message(2), 0, 1).expect("decoded");
        assert!(another.letter.is_none() && another.command.is_ok());
    }

    #[test]
    fn of_a_draft_nobody_sees_what_was_typed() {
        let kept = |payload: &'static str| kept_payload(Bytes::from_static(payload.as_bytes()));
        let draft = r#"{"kind":"dr\u0061ft","room":"team","version":1,"text":"secret"}"#;
        assert_eq!(kept(draft), r#"{"kind":"draft"}"#);
        for other in [r#"{"kind":"message","text":"draft"}"#, r#"{"text":"x"}"#, "draft"] {
            assert_eq!(kept(other), other);
        }
    }

    #[test]
    fn a_panic_becomes_the_culprits_reason() {
        let fixed = caught(0, (7, 1), || panic!("fixed")).expect_err("poison").to_string();
        assert!(fixed.contains('7') && fixed.ends_with("a defect: fixed"), "{fixed}");
        let number = 3;
        let made: Error = caught(0, (7, 1), || panic!("made {number}")).expect_err("poison");
        assert!(made.to_string().ends_with("made 3"), "{made}");
    }

    #[test]
    fn a_plan_that_cannot_be_closed_blames_its_commands() {
        let commands = |count| Commands { count, from: 4, through: 7, stored_at_ms: 1 };
        let close = |count| closed(0, commands(count), || panic!("on purpose"));
        let one: Result<(), Error> = close(1);
        assert!(
            matches!(one, Err(Error::Poison { stream_seq: 7, stored_at_ms: 1, .. })),
            "{one:?}"
        );
        let many: Result<(), Error> = close(4);
        assert!(matches!(many, Err(Error::TooMuch { through: 7, .. })), "{many:?}");
        let none = catch_unwind(|| close(0) as Result<(), Error>);
        assert!(none.is_err(), "nobody is to blame: {none:?}");
    }
}
