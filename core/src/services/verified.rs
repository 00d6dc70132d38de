//! Access tokens that were verified already. Verifying one costs some 100 µs, more than most calls
//! do besides; and a device shows the same token for an hour.

use std::collections::HashMap;
use std::mem;
use std::sync::Mutex;
use weft_runtime::lock;

use super::Caller;

/// Tokens per generation, of which there are two: some 10 MB in all.
const GENERATION_MAX: usize = 10_000;

/// What a token said.
#[derive(Clone)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    pub(super) expires_ms: u64,
}

/// A bounded cache: what was not asked for during a whole generation goes.
#[derive(Default)]
pub(super) struct VerifiedTokens(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<String, Verified>,
    old: HashMap<String, Verified>,
}

impl VerifiedTokens {
    pub(super) fn get(&self, token: &str) -> Option<Verified> {
        let mut generations = lock(&self.0);
        if let Some(found) = generations.young.get(token) {
            return Some(found.clone());
        }
        let (token, found) = generations.old.remove_entry(token)?;
        generations.put(token, found.clone());
        Some(found)
    }

    /// Only for a token whose signature was verified.
    pub(super) fn put(&self, token: &str, verified: Verified) {
        let mut generations = lock(&self.0);
        generations.put(token.to_owned(), verified);
    }
}

impl Generations {
    fn put(&mut self, token: String, verified: Verified) {
        if self.young.len() >= GENERATION_MAX {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, verified);
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::{DeviceId, UserId};

    use super::super::Login;
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let tokens = VerifiedTokens::default();
        let verified = || Verified {
            caller: Caller::person(
                UserId::new("alice").expect("id"),
                DeviceId::new("d").expect("id"),
                Login::MadeAt(7),
            ),
            expires_ms: 1,
        };
        tokens.put("asked", verified());
        tokens.put("idle", verified());
        for other in 0..3 * GENERATION_MAX {
            tokens.put(&other.to_string(), verified());
            assert!(tokens.get("asked").is_some());
        }
        assert!(tokens.get("idle").is_none());
        let generations = tokens.0.lock().expect("lock");
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }
}
