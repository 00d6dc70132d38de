//! What users are found by: the beginnings of the words of their ids and display names. Written with the user's account,
//! in the same commit (see [`account::put`](super::account::put)).

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use weft_proto::UserId;
use weft_proto::folded::{beginnings, start};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use crate::error::Error;

/// One thing that a user is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Found {
    pub beginning: String,
    pub user: UserId,
}

/// All that a user is found by.
#[must_use]
pub fn of(user: &UserId, display_name: &str) -> BTreeSet<String> {
    let mut all = beginnings(user.as_str());
    all.extend(beginnings(display_name));
    all
}

#[must_use]
pub fn key(beginning: &str, user: &UserId) -> Bytes {
    Key::new(Tag::Name).name(beginning).name(user.as_str()).build()
}

/// Those who are found by what was looked for, in the form of [`folded`](weft_proto::folded::folded); after one of them.
#[must_use]
pub fn range(looked_for: &str, after: Option<&Found>) -> Range<Bytes> {
    let mut range = Key::new(Tag::Name).raw(start(looked_for).as_bytes()).prefix_range();
    if let Some(Found { beginning, user }) = after {
        // It may be of another search.
        range.start = next_key(&key(beginning, user)).clamp(range.start, range.end.clone());
    }
    range
}

/// Reads a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn read(key: &[u8]) -> Result<Found, Error> {
    let mut reader = KeyReader::new(Tag::Name, key)?;
    let beginning = reader.name()?.to_owned();
    let user = reader.name()?;
    let user = UserId::new(user).map_err(|error| Error::Corrupt(format!("name: {error}")))?;
    Ok(Found { beginning, user })
}
