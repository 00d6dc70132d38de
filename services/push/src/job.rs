//! A job: a device, and what it may have to be notified of.

use serde::{Deserialize, Serialize};
use weft_proto::svc::PushTarget;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    pub room: String,
    pub seq: u64,
    pub user: String,
    pub device: String,
    /// It goes before others.
    #[serde(default)]
    pub first: bool,
    /// When the entry was committed, or read, Unix milliseconds.
    pub at_ms: u64,
    /// The device hears that it was read elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
}

impl Job {
    #[must_use]
    pub fn new(target: PushTarget, at_ms: u64) -> Self {
        let PushTarget { room, seq, user, device, first } = target;
        Self { room, seq, user, device, first, at_ms, clear: false }
    }

    /// One device is notified of one entry once, however it came to be one of those that may have to be.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { room, seq, user, device, .. } = self;
        let clear = if self.clear { "/clear" } else { "" };
        format!("{user}/{device}/{room}/{seq}{clear}")
    }

    /// That what the job was about is read now. It goes after all notifications.
    #[must_use]
    pub fn to_clear(self, at_ms: u64) -> Self {
        Self { first: false, clear: true, at_ms, ..self }
    }

    #[must_use]
    pub fn target(&self) -> PushTarget {
        let Self { room, seq, user, device, first, .. } = self.clone();
        PushTarget { room, seq, user, device, first }
    }
}

/// A job that could not be done, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadJob {
    #[serde(flatten)]
    pub job: Job,
    pub reason: String,
    /// Unix milliseconds.
    pub died_ms: u64,
}
