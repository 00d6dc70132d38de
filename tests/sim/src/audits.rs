//! An edge's audits: the edge's own book, and the wiring around it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use weft_core::services::audit::{AuditLimit, audit};
use weft_edge::audits::{Ask, Book, Found, Pace};
use weft_proto::{Position, StoreId, Tick};
use weft_storage::Engine;

use super::config::Removed;
use super::edge::Edge;
use super::schedule::STORE_ID;
use super::services::{Unanswered, try_ask};

/// As real edges audit without a reason.
const EVERY: Duration = Duration::from_secs(15);
/// What is on the wire when an answer comes has arrived after this.
const UNDERWAY: Duration = Duration::from_millis(500);

/// Between two rounds of markers.
const MARK_PAUSE: Duration = Duration::from_secs(1);

pub struct Audits {
    book: Mutex<Book>,
    /// The newest markers', and when the next ones may come.
    marked: Mutex<(Option<Position>, Instant)>,
    /// Something may be due sooner.
    wake: Notify,
    ready: Notify,
}

impl Audits {
    pub fn new() -> Self {
        let now = Instant::now();
        let book = Mutex::new(Book::new(1, Pace::every(EVERY), now));
        let marked = Mutex::new((None, now));
        Self { book, marked, wake: Notify::new(), ready: Notify::new() }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("book")
    }

    /// Everything at or before it is in the mailboxes.
    fn cursor(&self) -> Option<Position> {
        self.book().cursor().map(|cursor| cursor.position)
    }

    /// Waits for the baseline: who syncs before would miss what happens between.
    pub async fn ready(&self) {
        while self.cursor().is_none() {
            self.ready.notified().await;
        }
    }

    pub fn on_loss(&self) {
        self.book().on_loss(Instant::now());
        self.wake.notify_one();
    }

    pub fn on_subscribed(&self) {
        self.book().on_subscribed(Some(0), Instant::now());
        self.wake.notify_one();
    }

    pub fn on_tick(&self, tick: &Tick) {
        self.book().on_tick(0, tick, Instant::now());
        self.wake.notify_one();
    }

    /// What the newest markers said.
    pub fn marked(&self) -> Option<Position> {
        self.marked.lock().expect("marked").0
    }

    /// What no marker has told yet, and when one may.
    fn unmarked(&self) -> Option<(Position, Instant)> {
        let (marked, mark_at) = *self.marked.lock().expect("marked");
        self.cursor().filter(|cursor| Some(*cursor) != marked).map(|cursor| (cursor, mark_at))
    }

    fn due_at(&self) -> Option<Instant> {
        let mark_at = self.unmarked().map(|(_, mark_at)| mark_at);
        self.book().due_at().into_iter().chain(mark_at).min()
    }
}

/// Asks and marks when it is due. Never ends.
pub async fn run(edge: &Arc<Edge>) {
    let audits = &edge.audits;
    loop {
        let due_at = audits.due_at();
        let due = async {
            match due_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = due => {}
            () = audits.wake.notified() => {}
        }
        let now = Instant::now();
        for ask in audits.book().due(now) {
            let edge = Arc::clone(edge);
            tokio::spawn(async move {
                answer(&edge, ask).await;
                edge.audits.wake.notify_one();
            });
        }
        if let Some((cursor, _)) = audits.unmarked().filter(|(_, mark_at)| *mark_at <= now) {
            *audits.marked.lock().expect("marked") = (Some(cursor), now + MARK_PAUSE);
            edge.mark(cursor);
        }
    }
}

async fn answer(edge: &Edge, ask: Ask) {
    // Small pages: what is audited in several answers counts with the last one.
    let limit = AuditLimit { rows_max: edge.world.config.audit_rows, ..AuditLimit::default() };
    let asked = try_ask(&edge.world, async |_| {
        let snapshot = edge.world.memory.snapshot().await?;
        Ok(audit(&*snapshot, StoreId(STORE_ID), ask.partition, ask.since, limit).await?)
    });
    let page = match asked.await {
        Ok(page) => page,
        Err(Unanswered::Lost) => return edge.audits.book().failed(ask, Instant::now()),
        Err(Unanswered::Refused(code)) => {
            return edge.world.violate(format!("an audit of {} is told {code:?}", edge.name));
        }
    };
    if ask.since.is_some() {
        sleep(UNDERWAY).await;
    }
    let found = edge.audits.book().on_page(ask, &page, Instant::now());
    match found {
        Found::Nothing => {}
        Found::Ready => edge.audits.ready.notify_waiters(),
        Found::Rooms => {
            if edge.world.config.removed == Some(Removed::AuditBeforeCursor) {
                edge.mark(edge.audits.cursor().expect("a baseline"));
            }
            page.rooms.iter().for_each(|changed| edge.notice(changed));
        }
        Found::Anew => edge.world.violate(format!("{} can't tell what changed", edge.name)),
    }
}
