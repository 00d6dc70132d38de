//! Every task has an owner that joins it: a token to cancel, a gate to wait at, and the names of
//! those who are late.

use crate::lock;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks, tells them to end, and waits for them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tracker: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    failed: watch::Sender<Option<&'static str>>,
}

impl Shutdown {
    /// A new owner of tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An owner whose tasks also end when this one's do. It waits for its own tasks only.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), ..Self::default() }
    }

    /// Cancelled when the tasks have to end.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs a task until it ends by itself; it watches [`token`](Self::token). The name is said
    /// where it is late.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = Running::enter(name, &self.running);
        self.tracker.spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// As [`spawn`](Self::spawn), a task that is to last until [`token`](Self::token) is cancelled. Where
    /// it panics, or ends before, an ERROR says so, and [`failed`](Self::failed) names it.
    pub fn spawn_lasting<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let lasting = Lasting { name, token: self.token.clone(), failed: self.failed.clone() };
        self.spawn(name, async move {
            let _lasting = lasting;
            task.await;
        });
    }

    /// Waits until a task has ended that was to last, and names it: what it did, nobody does any more.
    pub async fn failed(&self) -> &'static str {
        let mut failed = self.failed.subscribe();
        let named = failed.wait_for(Option::is_some).await;
        // The sender is this one's own: there is no error.
        named.ok().and_then(|name| *name).unwrap_or("unknown")
    }

    /// Tells every task to end and waits. The names of those that still run when the time is over;
    /// empty: all have ended.
    pub async fn finish(&self, patience: Duration) -> Vec<&'static str> {
        self.token.cancel();
        self.tracker.close();
        if tokio::time::timeout(patience, self.tracker.wait()).await.is_ok() {
            return Vec::new();
        }
        let running = lock(&self.running);
        running.keys().copied().collect()
    }
}

/// Says that a task has ended that was to last, also where it panics.
struct Lasting {
    name: &'static str,
    token: CancellationToken,
    failed: watch::Sender<Option<&'static str>>,
}

impl Drop for Lasting {
    fn drop(&mut self) {
        if !self.token.is_cancelled() {
            let panicked = std::thread::panicking();
            tracing::error!(task = self.name, panicked, "a task ended that was to last");
            self.failed.send_replace(Some(self.name));
        }
    }
}

/// Counts a task as running, also where it panics.
struct Running {
    name: &'static str,
    all: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Running {
    fn enter(name: &'static str, all: &Arc<Mutex<BTreeMap<&'static str, usize>>>) -> Self {
        let mut running = lock(all);
        *running.entry(name).or_default() += 1;
        drop(running);
        Self { name, all: Arc::clone(all) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = lock(&self.all);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn names_who_is_late() {
        let shutdown = Shutdown::new();
        let token = shutdown.token().clone();
        shutdown.spawn("polite", async move { token.cancelled().await });
        shutdown.spawn("stubborn", std::future::pending());
        assert_eq!(shutdown.finish(Duration::from_secs(1)).await, ["stubborn"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_was_to_last_and_ends_is_named() {
        let patience = Duration::from_secs(1);
        let lasts = |shutdown: &Shutdown| shutdown.token().clone().cancelled_owned();
        let shutdown = Shutdown::new();
        shutdown.spawn_lasting("lasting", lasts(&shutdown));
        shutdown.spawn("brief", async {});
        assert!(tokio::time::timeout(patience, shutdown.failed()).await.is_err());
        shutdown.spawn_lasting("broken", async { panic!("on purpose") });
        assert_eq!(shutdown.failed().await, "broken");
        assert!(shutdown.finish(patience).await.is_empty());

        let shutdown = Shutdown::new();
        shutdown.spawn_lasting("done", async {});
        assert_eq!(shutdown.failed().await, "done");

        // Told to end, it has not failed.
        let shutdown = Shutdown::new();
        shutdown.spawn_lasting("lasting", lasts(&shutdown));
        assert!(shutdown.finish(patience).await.is_empty());
        assert!(tokio::time::timeout(patience, shutdown.failed()).await.is_err());
    }

    #[tokio::test]
    async fn waits_for_a_task_that_panics() {
        let shutdown = Shutdown::new();
        shutdown.spawn("broken", async { panic!("on purpose") });
        assert!(shutdown.finish(Duration::from_secs(5)).await.is_empty());
    }
}
