//! What others see of a user, as a value that is small in memory.

use std::sync::Arc;

use weft_proto::presence::Status;
use weft_proto::{Presence, UserId};

/// What others see. Two that are equal need no word in between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VisibleStatus {
    pub status: Status,
    pub text: Option<Arc<str>>,
    /// When the text ends, Unix milliseconds; 0: never.
    pub text_until_ms: u64,
    /// Of who is offline: when they were last seen, Unix milliseconds; 0: not known.
    pub last_active_ms: u64,
}

impl VisibleStatus {
    #[must_use]
    pub fn offline(last_active_ms: u64) -> Self {
        Self { status: Status::Offline, text: None, text_until_ms: 0, last_active_ms }
    }

    /// As it is published.
    #[must_use]
    pub fn presence(&self, user: &UserId, version: u64) -> Presence {
        let known = |ms| Some(ms).filter(|ms| *ms > 0);
        Presence {
            user: user.clone(),
            status: self.status,
            text: self.text.as_deref().unwrap_or_default().to_owned(),
            text_until: known(self.text_until_ms),
            last_active: known(self.last_active_ms),
            version,
        }
    }

    /// As another node has published it.
    #[must_use]
    pub fn of(presence: &Presence) -> Self {
        Self {
            status: presence.status,
            text: (!presence.text.is_empty()).then(|| presence.text.as_str().into()),
            text_until_ms: presence.text_until.unwrap_or(0),
            last_active_ms: presence.last_active.unwrap_or(0),
        }
    }
}
