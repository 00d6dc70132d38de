//! The image of a page becomes a file: a small WebP, made by the same bounded workers as the thumbnails of uploads. What is wrong with it
//! is wrong with this image alone; the preview comes without.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use image::ImageReader;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use weft_outbound::header::{ACCEPT, HeaderValue};
use weft_outbound::{Outbound, Request, Url};
use weft_proto::FileId;
use weft_proto::kind::PreviewImage;
use weft_proto::svc::{BeginImage, FinishFile, ImageFacts};

use crate::app::App;
use crate::examine::{Examined, examine, hash};
use crate::finish;

const BYTES_MAX: usize = 5 << 20;
/// How long it waits for a worker: uploads have people who wait.
const WORKER_PATIENCE: Duration = Duration::from_secs(10);
const ACCEPTED: &str = "image/webp,image/png,image/jpeg,image/gif";

/// Reads an image, and keeps it; `None`: there is none that can be shown.
pub(super) async fn make(app: &Arc<App>, outbound: &Outbound, url: Url) -> Option<PreviewImage> {
    match try_make(app, outbound, url).await {
        Ok(made) => made,
        Err(error) => {
            tracing::debug!(%error, "a preview has no image");
            None
        }
    }
}

async fn try_make(
    app: &Arc<App>,
    outbound: &Outbound,
    url: Url,
) -> io::Result<Option<PreviewImage>> {
    let mut request = Request::get(url);
    request.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
    let answer = outbound.send(request).await.map_err(io::Error::other)?;
    if !answer.status().is_success() || !answer.content_type().starts_with("image/") {
        return Ok(None);
    }
    let body = answer.read(BYTES_MAX).await.map_err(io::Error::other)?;
    if !body.is_whole || body.bytes.is_empty() {
        return Ok(None);
    }
    let core = |error: weft_proto::ApiError| io::Error::other(error.message);
    let begun = app.bus.call(&BeginImage { size: body.bytes.len() as u64 }).await.map_err(core)?;
    let file = FileId::new(&begun.file).map_err(core)?;
    let kept = keep(app, file, body.bytes).await;
    // What is not finished core has deleted a day later.
    app.staging.remove(file)?;
    let Some(facts) = kept? else { return Ok(None) };
    app.bus.call(&facts).await.map_err(core)?;
    Ok(Some(PreviewImage { id: file.to_string(), facts: None }))
}

/// Makes the file of these bytes; `None`: they are no image that can be shown.
async fn keep(app: &Arc<App>, file: FileId, bytes: Vec<u8>) -> io::Result<Option<FinishFile>> {
    let worker = timeout(WORKER_PATIENCE, app.workers.acquire()).await;
    let worker = worker.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    let all = Arc::clone(app);
    let examined = spawn_blocking(move || -> io::Result<Option<Examined>> {
        all.staging.create(file, bytes.len() as u64)?;
        std::fs::write(all.staging.part(file), bytes)?;
        let mut examined = examine(&all.staging, file)?;
        let Some([_, medium]) = &examined.thumbnails else { return Ok(None) };
        // The small image is all that is kept of it.
        let (width, height) = dimensions(medium)?;
        let image =
            examined.image.take().map(|it| ImageFacts { width, height, animated: false, ..it });
        let (size, sha256) = hash(medium)?;
        let content = medium.clone();
        Ok(Some(Examined { content, size, sha256, content_type: "image/webp", image, ..examined }))
    });
    let examined = examined.await.map_err(io::Error::other)??;
    drop(worker);
    let Some(examined) = examined else { return Ok(None) };
    finish::keep(app, file, &examined).await?;
    Ok(Some(finish::told(file, examined)))
}

fn dimensions(path: &Path) -> io::Result<(u32, u32)> {
    let reader = ImageReader::open(path)?.with_guessed_format()?;
    reader.into_dimensions().map_err(io::Error::other)
}
