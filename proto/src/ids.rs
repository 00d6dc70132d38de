//! Names of users, devices, nodes and followers. Every one of them is also a valid NATS subject token.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};
use crate::limits::ID_BYTES_MAX;

/// True for `[a-z0-9_-]{1,64}`, the alphabet of user and group ids.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// True for `[A-Za-z0-9_-]{1,64}`, the alphabet of devices, nodes and reply tokens.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $check:path, $what:literal, $alphabet:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the alphabet and the length.
            ///
            /// # Errors
            /// [`ErrorCode::BadId`] where the text is not a valid id of this kind.
            pub fn new(text: &str) -> Result<Self, ApiError> {
                if $check(text) {
                    return Ok(Self(Arc::from(text)));
                }
                Err(ApiError::new(
                    ErrorCode::BadId,
                    concat!("a ", $what, " id is 1 to 64 characters of ", $alphabet),
                ))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// A table of ids can be asked by text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// A person or a bot.
    UserId, is_name, "user", "a-z, 0-9, _ and -"
);
id_type!(
    /// One installation of a user, named by the client.
    DeviceId, is_token, "device", "A-Z, a-z, 0-9, _ and -"
);
id_type!(
    /// A running process of Weft.
    NodeId, is_token, "node", "A-Z, a-z, 0-9, _ and -"
);
id_type!(
    /// Who follows the journal, whichever process does it.
    FollowerId, is_token, "follower", "A-Z, a-z, 0-9, _ and -"
);
id_type!(
    /// An outgoing webhook.
    WebhookId, is_token, "webhook", "A-Z, a-z, 0-9, _ and -"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_narrow_alphabet() {
        for good in ["a", "alice", "a_b-9", &"x".repeat(64)] {
            assert!(UserId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Alice", "a.b", "*", ">", "a b", "a~b", "ä", &"x".repeat(65)] {
            let error = UserId::new(bad).expect_err(bad);
            assert_eq!(error.code, ErrorCode::BadId);
        }
        assert!(DeviceId::new("iPhone-7").is_ok());
        assert!(DeviceId::new("a.b").is_err());
    }
}
