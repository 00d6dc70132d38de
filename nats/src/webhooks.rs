//! What is to be delivered to outgoing webhooks: a queue with a subject for each webhook, whose messages are delivered in their
//! order, and the letters that could not be.
//!
//! Any process may get any job, but one that is not the first of its webhook is not done yet: [`first_of`].

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, WebhookId};

use crate::bus::Bus;
use crate::error::Error;
use crate::jobs::{JobReader, Letters, Queue, first_from, keep, put_on};
use crate::subject::{
    WEBHOOKS_DEAD_STREAM, WEBHOOKS_DEAD_SUBJECTS, WEBHOOKS_STREAM, WEBHOOKS_SUBJECTS,
};

/// Jobs of one webhook that wait: one whose receiver takes nothing leaves others their places.
pub const WEBHOOK_JOBS_MAX: usize = 1_000;
/// Letters of one webhook that are kept: the newest.
pub const WEBHOOK_LETTERS_MAX: usize = 1_000;
/// Who takes a job has it for so long, and another one gets it then.
pub const TAKEN_FOR: Duration = crate::jobs::ACK_WAIT;
/// What could not be delivered.
pub const WEBHOOK_LETTERS: Letters =
    Letters { stream: WEBHOOKS_DEAD_STREAM, subjects: WEBHOOKS_DEAD_SUBJECTS };

/// A webhook, and of what it is to be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WebhookJob {
    /// Whose it is: a group, or the notebook of a user.
    pub owner: RoomId,
    pub webhook: WebhookId,
    pub room: RoomId,
    /// 0: a test.
    pub seq: u64,
    /// When the entry was committed, or the test asked for, Unix milliseconds.
    pub at_ms: u64,
}

impl WebhookJob {
    /// A webhook is told of one entry once, however often the job is made.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { webhook, room, seq, at_ms, .. } = self;
        match seq {
            0 => format!("{webhook}_test_{at_ms}"),
            seq => format!("{webhook}_{room}_{seq}"),
        }
    }

    fn subject(&self) -> String {
        format!("weft.webhook.{}.{}", self.webhook, self.owner)
    }
}

/// Keeps a job. Returns when the stream has it, or knows it from before by `id`; false: as many of the webhook's wait as may
/// ([`WEBHOOK_JOBS_MAX`]).
///
/// # Errors
/// [`Error::JetStream`] where the stream is full, [`Error::NoStream`], [`Error::Timeout`], [`Error::NoResponders`].
pub async fn put(bus: &Bus, job: &WebhookJob, id: &str) -> Result<bool, Error> {
    let bytes = serde_json::to_vec(job).map_err(|_| Error::Malformed("job of a webhook"))?;
    put_on(bus, job.subject(), id, bytes.into()).await
}

/// Takes jobs of all webhooks.
#[must_use]
pub fn reader(bus: &Bus) -> JobReader {
    let (consumer, subjects) = ("all".to_owned(), WEBHOOKS_SUBJECTS.to_owned());
    JobReader::of(bus, Queue { stream: WEBHOOKS_STREAM, consumer, subjects })
}

/// The place in the stream of the first job that has a job's subject.
///
/// # Errors
/// As every request to JetStream.
pub async fn first_of(bus: &Bus, subject: &str) -> Result<Option<u64>, Error> {
    Ok(first_from(bus, WEBHOOKS_STREAM, subject, 1).await?.map(|(seq, _)| seq))
}

/// Keeps a letter that could not be delivered.
///
/// # Errors
/// As [`put`].
pub async fn put_dead(
    bus: &Bus,
    webhook: &WebhookId,
    id: &str,
    payload: Bytes,
) -> Result<(), Error> {
    keep(bus, format!("weft.webhook-dead.{webhook}"), id, payload).await
}
