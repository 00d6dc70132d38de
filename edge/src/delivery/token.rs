//! A session's token, which its client may replace.

use std::sync::{Arc, Mutex};

use weft_runtime::lock;

/// The session's token as of now: a `token` frame replaces it.
#[derive(Clone)]
pub struct TokenCell(Arc<Mutex<Arc<str>>>);

/// Without the token.
impl std::fmt::Debug for TokenCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenCell(…)")
    }
}

impl TokenCell {
    /// Holds this token.
    #[must_use]
    pub fn new(token: Arc<str>) -> Self {
        Self(Arc::new(Mutex::new(token)))
    }

    pub(crate) fn get(&self) -> Arc<str> {
        Arc::clone(&lock(&self.0))
    }

    pub(crate) fn set(&self, token: Arc<str>) {
        *lock(&self.0) = token;
    }
}
