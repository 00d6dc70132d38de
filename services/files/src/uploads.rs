//! Uploads: tus 1.0 at `/v1/files`.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use weft_proto::svc::{BeginFile, DiscardFile, File, FileState};
use weft_proto::{ErrorCode, FileId};

use crate::app::App;
use crate::finish::finish;
use crate::http::{bearer, file_id, no_such_method};
use crate::locks::Held;
use crate::metrics;
use crate::refusal::Refusal;
use crate::staging::{FREE_BYTES_MIN, keeps_free};
use crate::tus::{self, Checksum};

type Shared = State<Arc<App>>;

/// `OPTIONS`: what this server can do.
pub async fn abilities(State(app): Shared) -> Response {
    let head = [
        ("tus-version", tus::VERSION.to_owned()),
        ("tus-extension", tus::EXTENSIONS.to_owned()),
        ("tus-max-size", app.limits.file_bytes_max.to_string()),
        ("tus-checksum-algorithm", tus::CHECKSUM_ALGORITHMS.to_owned()),
    ];
    (StatusCode::NO_CONTENT, head).into_response()
}

/// `POST /v1/files`: begins an upload, perhaps with its first bytes.
pub async fn create(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let token = bearer(&headers)?;
    let creation = tus::creation(&headers)?;
    let checksum = Checksum::read(&headers)?;
    if creation.size > app.limits.file_bytes_max {
        let most = app.limits.file_bytes_max;
        return Err(Refusal::new(ErrorCode::TooLarge, format!("a file has at most {most} bytes")));
    }
    let (size, name) = (creation.size, creation.name);
    let begun = app.bus.call(&BeginFile { token: token.to_owned(), name, size }).await?;
    let file = FileId::new(&begun.file)?;
    app.staging.create(file, size).map_err(|error| Refusal::storage(&error))?;
    metrics::BEGUN.increment();
    let mut offset = 0;
    if tus::has_bytes(&headers) && body.size_hint().exact() != Some(0) {
        offset = append(&app, file, &begun, 0, checksum, body).await?;
    }
    let location = format!("{}/v1/files/{file}", app.url);
    let mut response = (StatusCode::CREATED, [(header::LOCATION, location)]).into_response();
    tell(&mut response, &begun, offset);
    Ok(response)
}

/// `HEAD /v1/files/{id}`: how far an upload is.
pub async fn offset(
    State(app): Shared,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = file_id(&file)?;
    let row = app.own(bearer(&headers)?, file).await?;
    let held = hold(&app, file).await?;
    let offset = match state(&row) {
        FileState::Uploading => {
            let offset = length(&app, file)?;
            if offset == row.size {
                // Of what is all here clients believe that it is a file, and ask for nothing else.
                finished(&app, file, held).await?;
            }
            offset
        }
        FileState::Ready => {
            app.staging.remove(file).map_err(|error| Refusal::storage(&error))?;
            row.size
        }
        _ => return Err(Refusal::not_found()),
    };
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::OK, no_store).into_response();
    tell(&mut response, &row, offset);
    response.headers_mut().insert(tus::UPLOAD_LENGTH, row.size.into());
    Ok(response)
}

/// `PATCH /v1/files/{id}`: the next bytes.
pub async fn bytes(
    State(app): Shared,
    Path(file): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let file = file_id(&file)?;
    let token = bearer(&headers)?;
    let (offset, checksum) = (tus::offset(&headers)?, Checksum::read(&headers)?);
    let row = app.own(token, file).await?;
    if state(&row) != FileState::Uploading {
        return Err(wrong_offset(row.size));
    }
    let offset = append(&app, file, &row, offset, checksum, body).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    tell(&mut response, &row, offset);
    Ok(response)
}

/// `DELETE /v1/files/{id}`: it is not wanted any more.
pub async fn discard(
    State(app): Shared,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = file_id(&file)?;
    let token = bearer(&headers)?;
    // Whose it is not does not disturb it.
    app.own(token, id).await?;
    let held = hold(&app, id).await?;
    app.bus.call(&DiscardFile { token: token.to_owned(), file }).await?;
    // What is kept of it otherwise is deleted when it is due.
    app.staging.remove(id).map_err(|error| Refusal::storage(&error))?;
    drop(held);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /v1/files/{id}`: the method that a client which can't say it means.
pub async fn another_method(
    app: Shared,
    file: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    match headers.get(tus::METHOD_OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => bytes(app, file, headers, body).await,
        Some(b"DELETE") => discard(app, file, headers).await,
        Some(b"HEAD") => offset(app, file, headers).await,
        _ => Err(no_such_method().await),
    }
}

fn state(row: &File) -> FileState {
    FileState::try_from(row.state).unwrap_or(FileState::Unknown)
}

async fn hold(app: &App, file: FileId) -> Result<Held, Refusal> {
    app.locks.take(file).await.ok_or_else(|| {
        let busy = Refusal::busy("the upload is busy", 1_000);
        busy.with_status(StatusCode::LOCKED)
    })
}

/// How many bytes have come.
fn length(app: &App, file: FileId) -> Result<u64, Refusal> {
    let length = app.staging.length(file).map_err(|error| Refusal::storage(&error))?;
    length.ok_or_else(Refusal::not_found)
}

fn wrong_offset(length: u64) -> Refusal {
    Refusal::new(ErrorCode::Conflict, format!("the next byte of this upload is number {length}"))
}

fn tell(response: &mut Response, row: &File, offset: u64) {
    let headers = response.headers_mut();
    headers.insert(tus::UPLOAD_OFFSET, offset.into());
    if row.until_ms > 0 && state(row) == FileState::Uploading {
        let until = SystemTime::UNIX_EPOCH + Duration::from_millis(row.until_ms);
        if let Ok(until) = HeaderValue::from_str(&httpdate::fmt_http_date(until)) {
            headers.insert(tus::UPLOAD_EXPIRES, until);
        }
    }
}

async fn finished(app: &Arc<App>, file: FileId, held: Held) -> Result<(), Refusal> {
    let all = Arc::clone(app);
    app.to_its_end(async move {
        let done = finish(&all, file).await;
        drop(held);
        done
    })
    .await
}

/// Adds bytes to an upload, and makes it a file where they were the last ones. How far it is then.
async fn append(
    app: &Arc<App>,
    file: FileId,
    row: &File,
    offset: u64,
    checksum: Option<Checksum>,
    body: Body,
) -> Result<u64, Refusal> {
    let place = app.places.take(&row.owner)?;
    let held = hold(app, file).await?;
    let length = length(app, file)?;
    if offset != length {
        return Err(wrong_offset(length));
    }
    let (all, size) = (Arc::clone(app), row.size);
    app.to_its_end(async move {
        let receiving = Receiving { app: &all, file, held: &held, offset, size };
        let length = receiving.all(body, checksum).await?;
        if length == size {
            finish(&all, file).await?;
        }
        drop((held, place));
        Ok(length)
    })
    .await
}

/// The bytes of one request, on their way to the disk.
struct Receiving<'a> {
    app: &'a App,
    file: FileId,
    held: &'a Held,
    offset: u64,
    /// Of the whole upload.
    size: u64,
}

impl Receiving<'_> {
    /// Takes what comes. What came before the client went away, or was too slow, stays: that is what the client asks
    /// for next. With a checksum it is all or nothing.
    async fn all(&self, body: Body, mut checksum: Option<Checksum>) -> Result<u64, Refusal> {
        let mut file = Some(self.open().map_err(|error| Refusal::storage(&error))?);
        let mut length = self.offset;
        let outcome = self.write(&mut file, &mut length, body, checksum.as_mut()).await;
        let is_wrong = match (&outcome, checksum) {
            (Ok(()), Some(sum)) => !sum.fits(),
            (Ok(()), None) => false,
            (Err(End::Client(_)), sum) => sum.is_some(),
            (Err(End::Storage(_)), _) => true,
        };
        if is_wrong {
            length = self.offset;
        }
        let Some(file) = file else {
            return Err(Refusal::storage(&io::ErrorKind::BrokenPipe.into()));
        };
        let kept = spawn_blocking(move || {
            if is_wrong {
                file.set_len(length)?;
            }
            file.sync_data()
        });
        let kept = kept.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match outcome {
            Err(End::Client(refusal)) => return Err(refusal),
            Err(End::Storage(error)) => return Err(Refusal::storage(&error)),
            Ok(()) => kept.map_err(|error| Refusal::storage(&error))?,
        }
        if is_wrong {
            let status =
                StatusCode::from_u16(tus::CHECKSUM_MISMATCH).unwrap_or(StatusCode::BAD_REQUEST);
            return Err(Refusal::bad("the bytes have another checksum").with_status(status));
        }
        Ok(length)
    }

    fn open(&self) -> io::Result<std::fs::File> {
        std::fs::File::options().append(true).open(self.app.staging.part(self.file))
    }

    async fn write(
        &self,
        file: &mut Option<std::fs::File>,
        length: &mut u64,
        mut body: Body,
        mut checksum: Option<&mut Checksum>,
    ) -> Result<(), End> {
        let (began, limits) = (Instant::now(), &self.app.limits);
        let stopped = self.app.tasks.token().cancelled();
        tokio::pin!(stopped);
        loop {
            let bought = (*length - self.offset) / limits.upload_bytes_per_s_min;
            let slowest = began + limits.stall_max + Duration::from_secs(bought);
            let deadline = slowest.min(Instant::now() + limits.stall_max);
            let frame = tokio::select! {
                biased; // whoever wants it first
                () = self.held.wanted() => return Err(End::interrupted("another request goes on with it")),
                () = &mut stopped => return Err(End::interrupted("the files node ends")),
                frame = timeout_at(deadline, body.frame()) => frame,
            };
            let Ok(frame) = frame else { return Err(End::slow()) };
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|_| End::interrupted("the body has not come to its end"))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() as u64 > self.size - *length {
                return Err(End::too_much());
            }
            if let Some(sum) = checksum.as_deref_mut() {
                sum.update(&data);
            }
            *length += data.len() as u64;
            metrics::RECEIVED.add(data.len() as u64);
            let Some(mut open) = file.take() else {
                return Err(End::Storage(io::ErrorKind::BrokenPipe.into()));
            };
            // At most this much waits in memory: the next part is read after it.
            let written = spawn_blocking(move || {
                // What was announced took no room, so many uploads could fill the disk together.
                let room = keeps_free(&open, data.len() as u64, FREE_BYTES_MIN);
                let written = room.and_then(|()| open.write_all(&data));
                (open, written)
            });
            let (open, written) =
                written.await.map_err(|error| End::Storage(io::Error::other(error)))?;
            *file = Some(open);
            written.map_err(End::Storage)?;
        }
    }
}

/// Why no more bytes are taken.
enum End {
    /// What has come is good.
    Client(Refusal),
    Storage(io::Error),
}

impl End {
    fn interrupted(why: &str) -> Self {
        Self::Client(Refusal::busy(why, 0).with_status(StatusCode::LOCKED))
    }

    fn slow() -> Self {
        Self::Client(Refusal::new(ErrorCode::TooSlow, "the bytes come too slowly"))
    }

    fn too_much() -> Self {
        Self::Client(Refusal::new(ErrorCode::TooLarge, "these are more bytes than were announced"))
    }
}
