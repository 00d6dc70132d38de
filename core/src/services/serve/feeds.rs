//! The methods of bots' feeds.

use weft_proto::svc;

use super::{PAGE_HELD_BYTES, PAGES_MAX, READS_MAX, SEARCHES_MAX, Served, WRITES_MAX, nobody};
use crate::Error;

pub(super) async fn add(served: &mut Served) -> Result<(), Error> {
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ReadFeeds, _, _>(
            pages,
            nobody,
            |c, m| async move { c.feeds_read(m).await },
        )
        .await?;
    served
        .add::<svc::ListFeeds, _, _>(READS_MAX, |c, m| async move { c.feeds_list(m).await })
        .await?;
    served
        .add::<svc::FindBots, _, _>(SEARCHES_MAX, |c, m| async move { c.feeds_find(m).await })
        .await?;
    served.add::<svc::GetFeed, _, _>(READS_MAX, |c, m| async move { c.feed_get(m).await }).await?;
    served.add::<svc::SetFeed, _, _>(WRITES_MAX, |c, m| async move { c.feed_set(m).await }).await
}
