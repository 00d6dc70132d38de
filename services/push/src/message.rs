//! What a device is sent: a notification, or that there is nothing left of some.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::templates::{Notification, PRIVATE_TAG};

/// So long a notification is tried, and kept by a gateway for a device that is away.
pub(crate) const TRIED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// That a room was read elsewhere. Nothing is shown of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Clear {
    pub(crate) r#type: &'static str,
    /// Of which notifications nothing is to be shown any more; `None`: they stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    pub(crate) badge: u64,
}

impl Clear {
    pub(crate) fn new(room: &str, is_private: bool, badge: u64) -> Self {
        let tag = match is_private {
            false => Some(room.to_owned()),
            // It is of all rooms.
            true => (badge == 0).then(|| PRIVATE_TAG.to_owned()),
        };
        Self { r#type: "clear", tag, badge }
    }
}

/// For one device. Its id is the same however often it is sent: 32 characters.
pub(crate) enum Message<'a> {
    Notification { id: &'a str, told: &'a Notification, first: bool },
    Clear { id: &'a str, clear: &'a Clear },
}

impl Message<'_> {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Notification { id, .. } | Self::Clear { id, .. } => id,
        }
    }

    /// It may wake a device that sleeps.
    pub(crate) fn is_urgent(&self) -> bool {
        matches!(self, Self::Notification { first: true, .. })
    }
}

/// What the app is told. What the system shows is beside it: its title and its text.
pub(crate) fn text_of(message: &Message<'_>) -> Value {
    let made = match message {
        Message::Notification { told, .. } => serde_json::to_value(told),
        Message::Clear { clear, .. } => serde_json::to_value(clear),
    };
    let mut made = made.unwrap_or_else(|_| json!({}));
    if let Some(fields) = made.as_object_mut() {
        fields.remove("title");
        fields.remove("body");
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_cleared_when_nothing_is_left() {
        assert_eq!(Clear::new("team", false, 3).tag.as_deref(), Some("team"));
        assert_eq!(Clear::new("team", true, 3).tag, None);
        assert_eq!(Clear::new("team", true, 0).tag.as_deref(), Some(PRIVATE_TAG));
    }
}
