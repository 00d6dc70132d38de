//! Deletes what is due: core says what, and is told when nothing of it is kept any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weft_proto::limits::FILE_WAITS_MS;
use weft_proto::svc::{FileDeleted, ListDueFiles};
use weft_proto::{ApiError, ErrorCode, FileId};

use crate::app::App;
use crate::metrics;
use crate::refusal::Refusal;

/// Nobody may finish an upload after this long, so nothing of it is needed.
const SWEPT_AFTER: Duration = Duration::from_millis(FILE_WAITS_MS + 3_600_000);

/// Runs until it is dropped.
pub async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = round(&app).await {
            tracing::warn!(
                code = error.code().as_str(),
                "files that are due could not be deleted yet"
            );
        }
        match app.staging.sweep(SWEPT_AFTER) {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "uploads that nobody finished were deleted"),
            Err(error) => tracing::warn!(%error, "old uploads could not be deleted"),
        }
        sleep(app.limits.look_every).await;
    }
}

/// Deletes all that is due now.
async fn round(app: &App) -> Result<(), Refusal> {
    let mut after = Vec::new();
    loop {
        let page = app.bus.call(&ListDueFiles { after }).await?;
        for file in page.files {
            let Ok(id) = FileId::new(&file) else { continue };
            delete(app, id).await?;
        }
        if page.after.is_empty() {
            return Ok(());
        }
        after = page.after;
    }
}

async fn delete(app: &App, file: FileId) -> Result<(), Refusal> {
    // Who still finishes it does that first, and hears from core that it is over.
    let Some(held) = app.locks.take(file).await else { return Ok(()) };
    app.staging.remove(file).map_err(|error| Refusal::storage(&error))?;
    app.backend.delete(file).await.map_err(|error| Refusal::storage(&error))?;
    let told: Result<_, ApiError> = app.bus.call(&FileDeleted { file: file.to_string() }).await;
    drop(held);
    match told {
        Ok(_) => metrics::DELETED.increment(),
        // Another node was first, or it is not due any more: then core has an error in its log.
        Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
