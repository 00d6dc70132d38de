//! What users and administrators do that is no entry, mark, setting or draft, and what is told of it.

use std::fmt;
use std::sync::Arc;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// The user is an administrator of the installation, before anything was said.
    Administers { user: Arc<str> },
}

impl Deed {
    /// True where it has to do with a user.
    pub fn concerns(&self, of: &str) -> bool {
        match self {
            Self::Administers { user } => **user == *of,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administers { user } => write!(f, "{user} is an administrator"),
        }
    }
}
