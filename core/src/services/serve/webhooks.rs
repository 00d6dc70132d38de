//! What makers of webhooks ask for, and what `weft integrations` does.

use std::sync::Arc;

use weft_nats::Bus;
use weft_nats::webhooks::{self, WebhookJob};
use weft_proto::{ErrorCode, svc};

use super::{PAGE_HELD_BYTES, PAGES_MAX, READS_MAX, Served, WRITES_MAX, nobody, tell_owner};
use crate::Error;
use crate::services::{Context, Failure};

pub(super) async fn add(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    served
        .add::<svc::MakeWebhook, _, _>(WRITES_MAX, |c, m| async move { c.webhook_make(m).await })
        .await?;
    served
        .add::<svc::ListWebhooks, _, _>(READS_MAX, |c, m| async move { c.webhook_list(m).await })
        .await?;
    served
        .add::<svc::ChangeWebhook, _, _>(
            WRITES_MAX,
            |c, m| async move { c.webhook_change(m).await },
        )
        .await?;
    served
        .add::<svc::RenewWebhook, _, _>(WRITES_MAX, |c, m| async move { c.webhook_renew(m).await })
        .await?;
    served
        .add::<svc::RemoveWebhook, _, _>(
            WRITES_MAX,
            |c, m| async move { c.webhook_remove(m).await },
        )
        .await?;
    served
        .add::<svc::OperatorResumeWebhook, _, _>(WRITES_MAX, |c, m| async move {
            c.webhook_resume(m).await
        })
        .await?;
    let queue = bus.clone();
    let test = move |c: Arc<Context>, m| {
        let queue = queue.clone();
        async move { put_test(&c, &queue, m).await }
    };
    served.add::<svc::TestWebhook, _, _>(WRITES_MAX, test).await?;
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ListWebhookTargets, _, _>(pages, nobody, |c, m| async move {
            c.webhook_targets(m).await
        })
        .await?;
    served
        .add::<svc::LookAtWebhook, _, _>(READS_MAX, |c, m| async move { c.webhook_look(m).await })
        .await?;
    let bus = bus.clone();
    let note = move |c: Arc<Context>, m| {
        let bus = bus.clone();
        async move {
            // It is paused, whether its maker can be told or not: lists say so, too.
            if let Some(word) = c.webhook_note(m).await? {
                let _ = tell_owner(&bus, word).await;
            }
            Ok(svc::Empty {})
        }
    };
    served.add::<svc::NoteWebhook, _, _>(WRITES_MAX, note).await
}

/// A test waits for its turn as entries do.
async fn put_test(
    context: &Context,
    queue: &Bus,
    request: svc::TestWebhook,
) -> Result<svc::Empty, Failure> {
    let (owner, id) = context.webhook_test(request).await?;
    let (room, at_ms) = (owner.clone(), context.clock.now_ms());
    let job = WebhookJob { owner, webhook: id, room, seq: 0, at_ms };
    match webhooks::put(queue, &job, &job.id()).await {
        Ok(true) => Ok(svc::Empty {}),
        Ok(false) => {
            let message = "as much as may waits to be delivered already";
            Err(Failure::new(ErrorCode::Overloaded, message))
        }
        Err(error) => {
            tracing::debug!(%error, "a test of a webhook is not queued");
            Err(Failure::new(ErrorCode::Unavailable, "the queue of webhooks is away"))
        }
    }
}
