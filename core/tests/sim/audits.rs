//! An edge's audits: the edge's own book, and the wiring around it.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use weft_edge::audits::{Ask, Book, Found, Pace};
use weft_proto::svc::{Audit, AuditPage};
use weft_proto::{Position, Tick};

use super::config::Removed;
use super::edge::Edge;
use super::services::{Unanswered, try_ask};

/// As real edges audit without a reason.
const EVERY: Duration = Duration::from_secs(15);
/// What is on the wire when an answer comes has arrived after this.
const UNDERWAY: Duration = Duration::from_millis(500);

pub struct Audits {
    book: Mutex<Book>,
    /// Something may be due sooner.
    wake: Notify,
    ready: Notify,
}

impl Audits {
    pub fn new() -> Self {
        let book = Mutex::new(Book::new(1, Pace::every(EVERY), Instant::now()));
        Self { book, wake: Notify::new(), ready: Notify::new() }
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

    /// A position, where the tick moves it.
    pub fn on_tick(&self, tick: &Tick) -> Option<Position> {
        let before = self.cursor();
        self.book().on_tick(0, tick, Instant::now());
        self.wake.notify_one();
        self.cursor().filter(|after| before.is_some_and(|before| before < *after))
    }
}

/// Asks what is due. Never ends.
pub async fn run(edge: &Edge) {
    let audits = &edge.audits;
    loop {
        let due_at = audits.book().due_at();
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
        let asks = audits.book().due(Instant::now());
        for ask in asks {
            answer(edge, ask).await;
        }
    }
}

async fn answer(edge: &Edge, ask: Ask) {
    let asked = try_ask(&edge.world, async |services| {
        let request = Audit { partition: ask.partition.into(), since: ask.since };
        services.context.audit(request).await
    });
    let page = match asked.await {
        Ok(page) => page,
        Err(Unanswered::Lost) => return edge.audits.book().failed(ask, Instant::now()),
        Err(Unanswered::Refused(code)) => {
            return edge.world.violate(format!("an audit of {} is told {code:?}", edge.name));
        }
    };
    sleep(UNDERWAY).await;
    let found = edge.audits.book().on_page(ask, &page, Instant::now());
    match found {
        Found::Nothing => {}
        Found::Ready => edge.audits.ready.notify_waiters(),
        Found::Rooms => tell(edge, &page),
        Found::Anew => edge.world.violate(format!("{} can't tell what changed", edge.name)),
    }
}

/// Notices first, then cursors.
fn tell(edge: &Edge, page: &AuditPage) {
    let cursor = edge.audits.cursor().expect("a baseline");
    if edge.world.config.removed == Some(Removed::AuditBeforeCursor) {
        edge.mark(cursor);
    }
    page.rooms.iter().for_each(|changed| edge.notice(changed));
    edge.mark(cursor);
}
