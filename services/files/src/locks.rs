//! One request at a time changes an upload. A newer one has the older one make way: a client that lost its
//! connection comes back before anybody knows that the old one is dead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weft_proto::FileId;
use weft_runtime::lock;

/// How long the older one may take to make way.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
pub struct Locks(Arc<Mutex<HashMap<FileId, Entry>>>);

#[derive(Debug, Default)]
struct Entry {
    /// Those who have it or wait for it.
    users: usize,
    gate: Arc<tokio::sync::Mutex<()>>,
    /// Of the newest one.
    make_way: CancellationToken,
}

/// The right to change an upload.
#[derive(Debug)]
pub struct Held {
    file: FileId,
    all: Locks,
    make_way: CancellationToken,
    /// `None`: it waits for it.
    gate: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// `None`: the one who has it does not make way in time.
    pub async fn take(&self, file: FileId) -> Option<Held> {
        let make_way = CancellationToken::new();
        let gate = {
            let mut all = lock(&self.0);
            let entry = all.entry(file).or_default();
            entry.users += 1;
            std::mem::replace(&mut entry.make_way, make_way.clone()).cancel();
            Arc::clone(&entry.gate)
        };
        // From here on it is counted, also where the wait is given up.
        let mut held = Held { file, all: self.clone(), make_way, gate: None };
        held.gate = Some(timeout(PATIENCE, gate.lock_owned()).await.ok()?);
        Some(held)
    }
}

impl Held {
    /// Resolves when somebody else wants it.
    pub async fn wanted(&self) {
        self.make_way.cancelled().await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.gate.take());
        let mut all = lock(&self.all.0);
        if let Some(entry) = all.get_mut(&self.file) {
            entry.users -= 1;
            if entry.users == 0 {
                all.remove(&self.file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newer_one_has_the_older_one_make_way() {
        let locks = Locks::default();
        let (one, other) = (FileId::from_parts(1, 1), FileId::from_parts(1, 2));
        let first = locks.take(one).await.expect("free");
        locks.take(other).await.expect("another upload");
        let second = tokio::spawn({
            let locks = locks.clone();
            async move { locks.take(one).await }
        });
        first.wanted().await;
        drop(first);
        let second = second.await.expect("no panic").expect("it has made way");
        assert!(locks.take(one).await.is_none(), "it does not");
        drop(second);
        assert!(lock(&locks.0).is_empty());
    }
}
