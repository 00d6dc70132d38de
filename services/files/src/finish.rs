//! From the last byte of an upload to a file: looked at, kept by the backend, told to core. Each step may be done
//! again, and nothing of the upload is deleted before the last one. So whoever asks after a crash finds it where it was.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;
use weft_proto::file::NoPreview;
use weft_proto::svc::FinishFile;
use weft_proto::{ErrorCode, FileId};

use crate::app::App;
use crate::examine::{Examined, examine};
use crate::metrics;
use crate::refusal::Refusal;
use crate::signed::Variant;

/// Makes a file of an upload whose bytes are all there. Its caller holds it.
pub async fn finish(app: &Arc<App>, file: FileId) -> Result<(), Refusal> {
    let began = Instant::now();
    let examined = {
        let _worker = app.workers.acquire().await;
        let app = Arc::clone(app);
        spawn_blocking(move || examine(&app.staging, file)).await
    };
    let examined =
        examined.map_err(|_| Refusal::new(ErrorCode::Internal, "looking at it failed"))?;
    let examined = examined.map_err(|error| Refusal::storage(&error))?;
    keep(app, file, &examined).await.map_err(|error| Refusal::storage(&error))?;
    let kind = match (&examined.image, examined.no_preview) {
        (Some(_), _) => "image",
        (None, Some(NoPreview::Damaged)) => "damaged",
        (None, _) => "other",
    };
    match app.bus.call(&told(file, examined)).await {
        Ok(_) => {}
        Err(error) if error.code == ErrorCode::NotFound => {
            // Its time is over: nobody will ask for it.
            app.backend.delete(file).await.map_err(|error| Refusal::storage(&error))?;
            app.staging.remove(file).map_err(|error| Refusal::storage(&error))?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    }
    app.staging.remove(file).map_err(|error| Refusal::storage(&error))?;
    metrics::FINISHED.increment(kind);
    metrics::FINISHING.record_time(began.elapsed());
    Ok(())
}

/// What core is told of a file whose bytes are kept.
pub fn told(file: FileId, examined: Examined) -> FinishFile {
    let Examined { size, sha256, content_type, image, duration_ms, no_preview, .. } = examined;
    let (file, sha256) = (file.to_string(), sha256.to_vec());
    let content_type = content_type.to_owned();
    let no_preview = no_preview.map_or("", NoPreview::as_str).to_owned();
    FinishFile { file, size, sha256, content_type, image, duration_ms, no_preview }
}

/// Gives its bytes to the backend.
///
/// # Errors
/// Those of the backend.
pub async fn keep(app: &App, file: FileId, examined: &Examined) -> std::io::Result<()> {
    let original = app.backend.put(file, Variant::Original, &examined.content);
    let Some([small, medium]) = &examined.thumbnails else { return original.await };
    let small = app.backend.put(file, Variant::Small, small);
    let medium = app.backend.put(file, Variant::Medium, medium);
    tokio::try_join!(original, small, medium).map(|_| ())
}
