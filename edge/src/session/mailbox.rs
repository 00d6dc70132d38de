//! Where a session's events wait: bounded by bytes, never waited for by who delivers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_proto::frame::CloseCode;

use crate::budget::Budget;
use crate::feeds::Event;

/// Counted for each event beside its bytes, so that the bound on bytes is one on events too.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// Tells a session to end, once, with a reason. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct End {
    shutdown: CancellationToken,
    token: CancellationToken,
    code: Arc<OnceLock<CloseCode>>,
}

impl End {
    /// Ends also when `shutdown` is cancelled, with [`CloseCode::GoingAway`].
    pub(crate) fn new(shutdown: &CancellationToken) -> Self {
        let (shutdown, token) = (shutdown.clone(), shutdown.child_token());
        Self { shutdown, token, code: Arc::default() }
    }

    /// Ends the session. The first reason counts.
    pub(crate) fn end(&self, code: CloseCode) {
        let _ = self.code.set(code);
        self.token.cancel();
    }

    /// Resolves when the whole edge ends.
    pub(crate) async fn shutdown(&self) {
        self.shutdown.cancelled().await;
    }

    /// Resolves with the reason.
    pub(crate) async fn ended(&self) -> CloseCode {
        self.token.cancelled().await;
        self.code.get().copied().unwrap_or(CloseCode::GoingAway)
    }
}

#[derive(Debug)]
struct Shared {
    events: mpsc::UnboundedSender<Arc<Event>>,
    waiting: Budget,
    /// A sync runs, which covers what does not fit here; its client is not to blame.
    is_syncing: AtomicBool,
    /// Something did not fit meanwhile: sync again.
    has_overflowed: AtomicBool,
    end: End,
}

/// Delivers into a mailbox. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MailboxHandle(Arc<Shared>);

/// The session's end.
#[derive(Debug)]
pub(crate) struct Mailbox {
    // Its bound is `waiting`: a permit is taken before anything is queued.
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    handle: MailboxHandle,
}

impl MailboxHandle {
    /// Queues an event. Where it does not fit, the session ends as a slow reader (during a sync:
    /// syncs once more): what it misses is in the store.
    pub(crate) fn deliver(&self, event: &Arc<Event>) {
        if self.0.waiting.try_take(cost(event)) {
            // An error says that the session has ended.
            let _ = self.0.events.send(Arc::clone(event));
        } else if self.0.is_syncing.load(Ordering::SeqCst) {
            self.0.has_overflowed.store(true, Ordering::SeqCst);
        } else {
            self.0.end.end(CloseCode::SlowReader);
        }
    }
}

impl Mailbox {
    pub(crate) fn new(bytes_max: usize, end: End) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let waiting = Budget::new(bytes_max);
        let handle = MailboxHandle(Arc::new(Shared {
            events: sender,
            waiting,
            is_syncing: AtomicBool::new(true),
            has_overflowed: AtomicBool::new(false),
            end,
        }));
        Self { events, handle }
    }

    pub(crate) fn handle(&self) -> MailboxHandle {
        self.handle.clone()
    }

    /// Waits for events and takes up to `count_max` that are there. Cancel-safe.
    pub(crate) async fn take(&mut self, into: &mut Vec<Arc<Event>>, count_max: usize) {
        // The handle lives here too, so the channel is never closed.
        self.events.recv_many(into, count_max).await;
    }

    /// A sync begins: until [`end_sync`](Self::end_sync) an overflow is no slow reader's fault. A
    /// new mailbox begins so.
    pub(crate) fn begin_sync(&self) {
        self.handle.0.is_syncing.store(true, Ordering::SeqCst);
    }

    /// The sync is done. False where something did not fit meanwhile: then all that waits is
    /// forgotten, and another sync has to be done.
    pub(crate) fn end_sync(&mut self) -> bool {
        let shared = &self.handle.0;
        shared.is_syncing.store(false, Ordering::SeqCst);
        if !shared.has_overflowed.swap(false, Ordering::SeqCst) {
            return true;
        }
        shared.is_syncing.store(true, Ordering::SeqCst);
        while let Ok(event) = self.events.try_recv() {
            self.release(&event);
        }
        false
    }

    /// The event no longer waits: it was put out, or dropped.
    pub(crate) fn release(&self, event: &Event) {
        self.handle.0.waiting.give_back(cost(event));
    }
}

fn cost(event: &Event) -> usize {
    event.frame.len() + EVENT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::feeds::tests::event;

    #[tokio::test]
    async fn a_full_mailbox_ends_its_session_alone() {
        let end = End::new(&CancellationToken::new());
        let event = Arc::new(event(1, "{}"));
        let mut mailbox = Mailbox::new(2 * cost(&event), end.clone());
        assert!(mailbox.end_sync());
        let handle = mailbox.handle();
        handle.deliver(&event);
        handle.deliver(&event);
        let mut taken = Vec::new();
        mailbox.take(&mut taken, 10).await;
        assert_eq!(taken.len(), 2);
        // Taken is not yet put out.
        handle.deliver(&event);
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::SlowReader));
    }

    #[tokio::test]
    async fn an_overflow_during_a_sync_asks_for_another() {
        let end = End::new(&CancellationToken::new());
        let event = Arc::new(event(1, "{}"));
        let mut mailbox = Mailbox::new(cost(&event), end.clone());
        let handle = mailbox.handle();
        handle.deliver(&event);
        handle.deliver(&event);
        assert!(!mailbox.end_sync());
        handle.deliver(&event);
        assert!(mailbox.end_sync());
        assert_eq!(end.ended().now_or_never(), None);
        handle.deliver(&event);
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::SlowReader));
    }

    #[tokio::test]
    async fn what_was_put_out_makes_room() {
        let end = End::new(&CancellationToken::new());
        let event = Arc::new(event(1, "{}"));
        let mut mailbox = Mailbox::new(cost(&event), end.clone());
        for _ in 0..1_000 {
            mailbox.handle().deliver(&event);
            let mut taken = Vec::new();
            mailbox.take(&mut taken, 10).await;
            mailbox.release(&taken[0]);
        }
        assert_eq!(end.ended().now_or_never(), None);
    }

    #[tokio::test]
    async fn the_first_reason_counts() {
        let shutdown = CancellationToken::new();
        let end = End::new(&shutdown);
        let other = End::new(&shutdown);
        end.end(CloseCode::SlowReader);
        shutdown.cancel();
        end.end(CloseCode::Silent);
        assert_eq!(end.ended().await, CloseCode::SlowReader);
        assert_eq!(other.ended().await, CloseCode::GoingAway);
    }
}
