//! How far an index is: kept with each of its commits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Of what an index is made, and how. Another number: it is made anew.
pub const FORMAT: u32 = 1;

/// How far an index is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    pub format: u32,
    /// The store's id: 16 hexadecimal digits.
    pub store: String,
    /// By partition: every commit up to this number is in it.
    pub commits: BTreeMap<u32, u64>,
    /// How far the rooms that there were at its beginning were read; `None`: all were.
    pub walk: Option<Walk>,
}

/// A place in the rooms' logs: rooms by id.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Walk {
    /// Empty: before the first one.
    pub room: String,
    /// Its entries up to this seq were read.
    pub seq: u64,
    /// How many messages were.
    pub messages: u64,
}

impl State {
    /// Reads what a commit carries.
    ///
    /// # Errors
    /// [`Error::State`].
    pub fn read(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| Error::State(error.to_string()))
    }

    #[must_use]
    pub fn write(&self) -> String {
        serde_json::to_string(self).expect("plain fields serialise")
    }

    /// All of it can be found.
    #[must_use]
    pub fn is_built(&self) -> bool {
        self.walk.is_none()
    }
}
