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
    /// Of an invitation, which has no seq: when it was made, Unix milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub invited_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Job {
    #[must_use]
    pub fn new(target: PushTarget, at_ms: u64) -> Self {
        let PushTarget { room, seq, user, device, first, invited_ms } = target;
        Self { room, seq, user, device, first, at_ms, clear: false, invited_ms }
    }

    /// One device is notified of one entry once, however it came to be one of those that may have to be.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { room, seq, user, device, invited_ms, .. } = self;
        let clear = if self.clear { "/clear" } else { "" };
        match invited_ms {
            0 => format!("{user}/{device}/{room}/{seq}{clear}"),
            _ => format!("{user}/{device}/{room}/invited-{invited_ms}{clear}"),
        }
    }

    /// That what the job was about is read now. It goes after all notifications.
    #[must_use]
    pub fn to_clear(self, at_ms: u64) -> Self {
        Self { first: false, clear: true, at_ms, ..self }
    }

    #[must_use]
    pub fn target(&self) -> PushTarget {
        let Self { room, seq, user, device, first, invited_ms, .. } = self.clone();
        PushTarget { room, seq, user, device, first, invited_ms }
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
