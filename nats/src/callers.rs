//! What one caller may have of calls with large answers, so that nobody takes all of it.
//!
//! A caller's calls beyond its share of bytes wait, and hold up nobody else: they take a place among those that run
//! only when the share has room. So many may wait; what comes beyond is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weft_runtime::lock;

use crate::serve::HELD_BYTES_MAX;

/// Most bytes that one caller's calls may hold at once, all methods together: a quarter.
pub const CALLER_BYTES_MAX: u32 = HELD_BYTES_MAX / 4;
/// Most calls of one caller that run or wait.
pub const CALLER_CALLS_MAX: usize = 64;

/// Those who have calls underway.
#[derive(Clone, Default)]
pub(crate) struct Callers(Arc<Mutex<HashMap<String, Caller>>>);

struct Caller {
    calls: usize,
    bytes: Arc<Semaphore>,
}

/// One call of a caller, until it is dropped.
pub(crate) struct CallOf {
    callers: Callers,
    name: String,
    bytes: Arc<Semaphore>,
}

impl Callers {
    /// Begins a call; `None`: the caller has as many as it may have.
    pub(crate) fn begin(&self, name: String) -> Option<CallOf> {
        let mut callers = lock(&self.0);
        let caller = callers.entry(name.clone()).or_insert_with(|| Caller {
            calls: 0,
            bytes: Arc::new(Semaphore::new(CALLER_BYTES_MAX as usize)),
        });
        if caller.calls >= CALLER_CALLS_MAX {
            return None;
        }
        caller.calls += 1;
        Some(CallOf { callers: self.clone(), name, bytes: Arc::clone(&caller.bytes) })
    }
}

impl CallOf {
    /// Waits until the caller's share has room for so many bytes.
    pub(crate) async fn room(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it. One call alone always fits.
        Arc::clone(&self.bytes).acquire_many_owned(bytes.min(CALLER_BYTES_MAX)).await.ok()
    }
}

impl Drop for CallOf {
    fn drop(&mut self) {
        let mut callers = lock(&self.callers.0);
        if let Some(caller) = callers.get_mut(&self.name) {
            caller.calls -= 1;
            if caller.calls == 0 {
                callers.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_calls_and_is_forgotten_after_them() {
        let callers = Callers::default();
        let begin = |name: &str| callers.begin(name.to_owned());
        let calls: Vec<_> = (0..CALLER_CALLS_MAX).filter_map(|_| begin("alice")).collect();
        assert_eq!(calls.len(), CALLER_CALLS_MAX);
        assert!(begin("alice").is_none() && begin("bob").is_some());
        drop(calls);
        assert!(lock(&callers.0).is_empty());
    }
}
