//! How many uploads run at once: of one user, and of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use weft_runtime::lock;

use crate::metrics;
use crate::refusal::Refusal;

/// When to come back where there is no place.
const RETRY_AFTER_MS: u64 = 1_000;

#[derive(Clone, Debug)]
pub struct Places {
    all_max: usize,
    user_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    users: HashMap<String, usize>,
}

/// Given back on drop.
#[derive(Debug)]
pub struct Place {
    user: String,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    pub fn new(all_max: usize, user_max: usize) -> Self {
        Self { all_max, user_max, taken: Arc::default() }
    }

    /// # Errors
    /// Where there is no place.
    pub fn take(&self, user: &str) -> Result<Place, Refusal> {
        let mut taken = lock(&self.taken);
        let own = taken.users.get(user).copied().unwrap_or(0);
        if own >= self.user_max || taken.all >= self.all_max {
            return Err(Refusal::busy("too many uploads are underway", RETRY_AFTER_MS));
        }
        taken.all += 1;
        taken.users.insert(user.to_owned(), own + 1);
        metrics::UPLOADS.increment();
        Ok(Place { user: user.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        if let Some(own) = taken.users.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.users.remove(&self.user);
            }
        }
        metrics::UPLOADS.decrement();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_a_share() {
        let places = Places::new(3, 2);
        let _first = places.take("alice").expect("free");
        let second = places.take("alice").expect("free");
        assert!(places.take("alice").is_err());
        let _third = places.take("bob").expect("free");
        assert!(places.take("carol").is_err());
        drop(second);
        places.take("alice").expect("free again");
        assert_eq!(lock(&places.taken).users.len(), 2);
    }
}
