//! Where a session's events, changes, notices and markers wait: bounded by bytes, never waited for by who
//! delivers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use weft_proto::frame::CloseCode;
use weft_proto::{Cursor, DeviceId, Position};
use weft_runtime::Budget;

use crate::feeds::{Change, Event, Typist};
use crate::order::Notice;
use crate::sabotage::{self, Rule};

/// Counted for each item beside its bytes, so that the bound on bytes is one on items too.
const ITEM_OVERHEAD_BYTES: usize = 256;
/// No cursor is due.
const NOTHING_DUE: u64 = u64::MAX;

/// What waits for a session, in the order in which it has to look at it.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Event(Arc<Event>),
    /// An audit's word on a room.
    Notice(Arc<Notice>),
    /// What changed beside entries.
    Change(Arc<Change>),
    /// Somebody types.
    Typing(Arc<Typist>),
    /// Everything at or before it was delivered before this.
    Marker(Arc<Cursor>),
}

impl Item {
    fn cost(&self) -> usize {
        let bytes = match self {
            Self::Event(event) => event.frame.len(),
            Self::Change(change) => change.frame.len(),
            Self::Typing(typist) => typist.frame.len(),
            Self::Notice(_) | Self::Marker(_) => 0,
        };
        bytes + ITEM_OVERHEAD_BYTES
    }
}

/// Tells a session to end, once, with a reason. Cheap to clone.
#[derive(Clone, Debug)]
pub struct End {
    shutdown: CancellationToken,
    token: CancellationToken,
    code: Arc<OnceLock<CloseCode>>,
}

impl End {
    /// Ends also when `shutdown` is cancelled, with [`CloseCode::GoingAway`].
    #[must_use]
    pub fn new(shutdown: &CancellationToken) -> Self {
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
    pub async fn ended(&self) -> CloseCode {
        self.token.cancelled().await;
        self.code.get().copied().unwrap_or(CloseCode::GoingAway)
    }
}

#[derive(Debug)]
struct Shared {
    items: mpsc::UnboundedSender<Item>,
    waiting: Budget,
    /// The front of the position from which on a marker says something to the session; else
    /// [`NOTHING_DUE`].
    due: AtomicU64,
    /// A sync runs, which covers what does not fit here; its client is not to blame.
    is_syncing: AtomicBool,
    /// Something did not fit meanwhile: sync again.
    has_overflowed: AtomicBool,
    end: End,
    device: DeviceId,
}

/// Delivers into a mailbox. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct MailboxHandle(Arc<Shared>);

/// The session's end.
#[derive(Debug)]
pub struct Mailbox {
    // Its bound is `waiting`: a permit is taken before anything is queued.
    items: mpsc::UnboundedReceiver<Item>,
    handle: MailboxHandle,
}

impl MailboxHandle {
    /// Queues an event, a notice or a change. Where it does not fit, the session ends as a slow reader
    /// (during a sync: syncs once more): what it misses is in the store.
    pub(crate) fn deliver(&self, item: Item) {
        let shared = &self.0;
        if shared.waiting.try_take(item.cost()) {
            // An error says that the session has ended.
            let _ = shared.items.send(item);
            return;
        }
        if shared.is_syncing.load(Ordering::SeqCst) {
            shared.has_overflowed.store(true, Ordering::SeqCst);
            if shared.is_syncing.load(Ordering::SeqCst) {
                return;
            }
            // The sync ended in this instant, and may not have seen it.
        }
        if !sabotage::is_out(Rule::FullMailboxEnds) {
            shared.end.end(CloseCode::SlowReader);
        }
    }

    /// Queues what may be missed, where it fits and no sync runs.
    pub(crate) fn offer(&self, item: Item) {
        let shared = &self.0;
        if !shared.is_syncing.load(Ordering::SeqCst) && shared.waiting.try_take(item.cost()) {
            let _ = shared.items.send(item);
        }
    }

    /// Ends the session where it is this device's (`None`: in any case): its login has ended.
    pub(crate) fn log_out(&self, device: Option<&DeviceId>, code: CloseCode) {
        if device.is_none_or(|device| self.0.device == *device) {
            self.0.end.end(code);
        }
    }

    /// Queues a marker where it says something to the session (or to `anyone`). Where it does not
    /// fit it is left out: the next one says more.
    pub(crate) fn mark(&self, cursor: &Arc<Cursor>, anyone: bool) {
        let is_due = front(cursor.position) >= self.0.due.load(Ordering::Relaxed);
        let marker = Item::Marker(Arc::clone(cursor));
        if (is_due || anyone) && self.0.waiting.try_take(marker.cost()) {
            let _ = self.0.items.send(marker);
        }
    }
}

impl Mailbox {
    /// `end`: how its session ends where it reads too slowly.
    #[must_use]
    pub fn new(bytes_max: usize, device: DeviceId, end: End) -> Self {
        let (sender, items) = mpsc::unbounded_channel();
        let waiting = Budget::new(bytes_max);
        let handle = MailboxHandle(Arc::new(Shared {
            items: sender,
            waiting,
            due: AtomicU64::new(NOTHING_DUE),
            is_syncing: AtomicBool::new(true),
            has_overflowed: AtomicBool::new(false),
            end,
            device,
        }));
        Self { items, handle }
    }

    pub(crate) fn handle(&self) -> MailboxHandle {
        self.handle.clone()
    }

    /// Waits for items and takes up to `count_max` that are there. Cancel-safe.
    pub(crate) async fn take(&mut self, into: &mut Vec<Item>, count_max: usize) {
        // The handle lives here too, so the channel is never closed.
        self.items.recv_many(into, count_max).await;
    }

    /// From which position on a marker says something to the session; `None`: none does.
    pub(crate) fn marker_due(&self, position: Option<Position>) {
        let due = position.map_or(NOTHING_DUE, front);
        self.handle.0.due.store(due, Ordering::Relaxed);
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
        while let Ok(item) = self.items.try_recv() {
            self.release(&item);
        }
        false
    }

    /// The item no longer waits: it was put out, or dropped.
    pub(crate) fn release(&self, item: &Item) {
        self.handle.0.waiting.give_back(item.cost());
    }
}

/// As much of a position as an atomic holds: where a position is at or after another, so are their
/// fronts.
fn front(position: Position) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = position.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use weft_proto::StoreId;

    use crate::feeds::tests::event;

    fn device() -> DeviceId {
        DeviceId::new("phone").expect("id")
    }

    fn item() -> Item {
        Item::Event(Arc::new(event(1, "{}")))
    }

    #[tokio::test]
    async fn a_full_mailbox_ends_its_session_alone() {
        let end = End::new(&CancellationToken::new());
        let event = item();
        let mut mailbox = Mailbox::new(2 * event.cost(), device(), end.clone());
        assert!(mailbox.end_sync());
        let handle = mailbox.handle();
        handle.deliver(event.clone());
        handle.deliver(event.clone());
        let mut taken = Vec::new();
        mailbox.take(&mut taken, 10).await;
        assert_eq!(taken.len(), 2);
        // Taken is not yet put out.
        handle.deliver(event.clone());
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::SlowReader));
    }

    #[tokio::test]
    async fn an_overflow_during_a_sync_asks_for_another() {
        let end = End::new(&CancellationToken::new());
        let event = item();
        let mut mailbox = Mailbox::new(event.cost(), device(), end.clone());
        let handle = mailbox.handle();
        handle.deliver(event.clone());
        handle.deliver(event.clone());
        assert!(!mailbox.end_sync());
        handle.deliver(event.clone());
        assert!(mailbox.end_sync());
        assert_eq!(end.ended().now_or_never(), None);
        handle.deliver(event.clone());
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::SlowReader));
    }

    #[tokio::test]
    async fn what_was_put_out_makes_room() {
        let end = End::new(&CancellationToken::new());
        let event = item();
        let mut mailbox = Mailbox::new(event.cost(), device(), end.clone());
        for _ in 0..1_000 {
            mailbox.handle().deliver(event.clone());
            let mut taken = Vec::new();
            mailbox.take(&mut taken, 10).await;
            mailbox.release(&taken[0]);
        }
        assert_eq!(end.ended().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_marker_comes_where_one_is_due_and_fits() {
        let end = End::new(&CancellationToken::new());
        let mut mailbox = Mailbox::new(2 * ITEM_OVERHEAD_BYTES, device(), end.clone());
        let handle = mailbox.handle();
        let position = |version| Position::new(version, 0);
        let marker = |version| Arc::new(Cursor { store: StoreId(1), position: position(version) });
        handle.mark(&marker(9), false);
        mailbox.marker_due(Some(position(5)));
        handle.mark(&marker(4), false);
        handle.mark(&marker(5), false);
        mailbox.marker_due(None);
        handle.mark(&marker(6), false);
        handle.mark(&marker(7), true);
        handle.mark(&marker(8), true);
        let mut taken = Vec::new();
        mailbox.take(&mut taken, 10).await;
        let positions: Vec<Position> = taken
            .iter()
            .filter_map(|item| match item {
                Item::Marker(cursor) => Some(cursor.position),
                _ => None,
            })
            .collect();
        assert_eq!(positions, [position(5), position(7)]);
        assert_eq!(end.ended().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_login_ends_the_sessions_of_its_own_device() {
        let end = End::new(&CancellationToken::new());
        let handle = Mailbox::new(1_000, device(), end.clone()).handle();
        handle.log_out(Some(&DeviceId::new("desk").expect("id")), CloseCode::LoggedOut);
        assert_eq!(end.ended().now_or_never(), None);
        handle.log_out(Some(&device()), CloseCode::LoggedOut);
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::LoggedOut));
        let end = End::new(&CancellationToken::new());
        let handle = Mailbox::new(1_000, device(), end.clone()).handle();
        handle.log_out(None, CloseCode::Suspended);
        assert_eq!(end.ended().now_or_never(), Some(CloseCode::Suspended));
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
