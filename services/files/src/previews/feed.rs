//! Follows the journal under one name, whichever files node does it. A place is told to core when all links before it are done: so after
//! a kill some are read again, and what has a preview gets none again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use weft_journal::{Error, Follow, Page, Underway};
use weft_proto::svc::{FindLinks, FoundLink, PutPreview};
use weft_proto::{ApiError, ErrorCode};

use super::links::Links;
use crate::app::App;
use crate::metrics;

/// Before the next attempt where core can't take a preview.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Links that are read at once.
const LINKS_MAX: usize = 64;
/// How often a preview is given to core that can't take it.
const ATTEMPTS_MAX: usize = 5;

pub(super) struct Feed {
    app: Arc<App>,
    links: Arc<Links>,
    places: Arc<Semaphore>,
}

impl Feed {
    pub(super) fn new(app: Arc<App>, links: Arc<Links>) -> Self {
        Self { app, links, places: Arc::new(Semaphore::new(LINKS_MAX)) }
    }
}

impl Follow for Feed {
    type Items = Vec<FoundLink>;

    async fn read(&self, partition: u32, after: u64) -> Result<Page<Self::Items>, ApiError> {
        let found = self.app.bus.call(&FindLinks { partition, after }).await?;
        Ok(Page {
            store: found.store,
            expired: found.expired,
            through: found.through,
            more: found.more,
            items: found.links,
        })
    }

    /// Begins with the links that came. Their place is done when all of them are.
    async fn take(&self, found: Self::Items, work: &Underway) -> Result<(), Error> {
        for link in found {
            // Where too many are underway, the journal waits.
            let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else { break };
            let (app, links, work) = (Arc::clone(&self.app), Arc::clone(&self.links), work.clone());
            self.app.tasks.spawn("preview", async move {
                let stop = app.tasks.token().clone();
                let _ = stop.run_until_cancelled(one(&app, &links, link)).await;
                drop((work, permit));
            });
        }
        Ok(())
    }
}

/// Reads what a link leads to, and gives it to the message.
async fn one(app: &App, links: &Links, FoundLink { room, seq, edit, url }: FoundLink) {
    let Some(preview) = links.read(&url).await else { return };
    let link = Some(weft_proto::kind::LinkPreview { url, ..preview });
    let put = PutPreview { room, seq, edit, link };
    for _ in 0..ATTEMPTS_MAX {
        match app.bus.call(&put).await {
            Ok(_) => return metrics::PREVIEWS.increment("made"),
            // Twice is as once: the second one is refused.
            Err(error) if error.code.is_temporary() || error.code == ErrorCode::Unknown => {
                sleep(RETRY_PAUSE).await;
            }
            // The message has changed meanwhile.
            Err(error) if error.code == ErrorCode::NotFound => return,
            Err(error) => {
                tracing::warn!(
                    code = error.code.as_str(),
                    message = error.message,
                    "core takes no preview"
                );
                return;
            }
        }
    }
}
