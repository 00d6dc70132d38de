//! Values that must not be logged.

use std::fmt;
use std::ops::Deref;

use serde::{Serialize, Serializer};

/// A password or a token: its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<T> Deref for Hidden<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Serialize for Hidden<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let hidden = Hidden("geheim".to_owned());
        assert_eq!(format!("{hidden:?}"), "…");
        assert_eq!(hidden.as_str(), "geheim");
    }
}
