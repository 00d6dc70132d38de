//! Downloads: who has a token asks for addresses, and who has an address reads.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use weft_proto::svc::{File, FileState, LookAtFile};
use weft_proto::{ErrorCode, FileId};
use weft_runtime::{Clock, SystemClock};

use crate::app::App;
use crate::backend::ByteStream;
use crate::http::{bearer, file_id};
use crate::metrics;
use crate::range::{Wanted, wanted};
use crate::refusal::Refusal;
use crate::signed::{Address, Variant, encoded, until_s};
use crate::sniff::{UNKNOWN, is_shown_inline};

type Shared = State<Arc<App>>;

/// By what the caller sees the file: by an entry, because it is the avatar of a group (`room` alone) or of a user, or by a
/// report as an administrator; without all of that: it is their own.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Seen {
    room: String,
    seq: u64,
    user: String,
    report: String,
    reason: String,
}

/// A file, and where it can be read.
#[derive(Serialize)]
struct Shown<'a> {
    file: FileId,
    name: &'a str,
    size: u64,
    /// In hexadecimal digits.
    sha256: String,
    content_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ShownImage>,
    /// Why there is no preview of an image.
    #[serde(skip_serializing_if = "str::is_empty")]
    no_preview: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbnails: Option<Thumbnails>,
    /// When the addresses end, Unix milliseconds.
    url_expires_at: u64,
    /// When the file does; absent: it does not by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

#[derive(Serialize)]
struct ShownImage {
    width: u32,
    height: u32,
    /// In base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    thumbhash: String,
    animated: bool,
}

#[derive(Serialize)]
struct Thumbnails {
    s: String,
    m: String,
}

/// `GET /v1/files/{id}`: what it is, and its addresses.
pub async fn look(
    State(app): Shared,
    Path(file): Path<String>,
    seen: Result<Query<Seen>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let file = file_id(&file)?;
    let Query(Seen { room, seq, user, report, reason }) =
        seen.map_err(|_| Refusal::bad("the query can't be read"))?;
    let (token, named) = (bearer(&headers)?.to_owned(), file.to_string());
    let asked = LookAtFile { token, file: named, room, seq, user, report, reason };
    let row = app.bus.call(&asked).await?;
    if FileState::try_from(row.state) != Ok(FileState::Ready) {
        return Err(Refusal::new(ErrorCode::Conflict, "the file is not uploaded yet"));
    }
    let shown = show(&app, file, &row)
        .ok_or_else(|| Refusal::new(ErrorCode::Internal, "an address can't be signed"))?;
    let body = serde_json::to_vec(&shown).unwrap_or_default();
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
}

fn show<'a>(app: &App, file: FileId, row: &'a File) -> Option<Shown<'a>> {
    let until_s = until_s(SystemClock.now_ms(), row.until_ms);
    let address = |variant| Address {
        file,
        variant,
        name: row.name.clone(),
        content_type: row.content_type.clone(),
        until_s,
    };
    let thumbnail =
        |variant| Address { name: String::new(), content_type: String::new(), ..address(variant) };
    let url = |address: &Address| Some(format!("{}{}", app.url, app.signer.path(address)?));
    let has_thumbnails = row.image.as_ref().is_some_and(|image| image.has_thumbnails);
    let thumbnails = || {
        let s = url(&thumbnail(Variant::Small))?;
        Some(Thumbnails { s, m: url(&thumbnail(Variant::Medium))? })
    };
    Some(Shown {
        file,
        name: &row.name,
        size: row.size,
        sha256: hex::encode(&row.sha256),
        content_type: &row.content_type,
        image: row.image.as_ref().map(|image| ShownImage {
            width: image.width,
            height: image.height,
            thumbhash: STANDARD.encode(&image.thumbhash),
            animated: image.animated,
        }),
        no_preview: &row.no_preview,
        duration_ms: Some(row.duration_ms).filter(|duration| *duration > 0),
        url: url(&address(Variant::Original))?,
        thumbnails: if has_thumbnails { Some(thumbnails()?) } else { None },
        url_expires_at: until_s * 1_000,
        expires_at: Some(row.until_ms).filter(|until| *until > 0),
    })
}

/// The query of a signed address.
#[derive(Deserialize)]
pub struct Signed {
    #[serde(default)]
    t: String,
    e: u64,
    k: String,
}

/// `GET /f/{id}/{name}`
pub async fn original(
    State(app): Shared,
    Path((file, name)): Path<(String, String)>,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Signed { t, e, k }) = signed.map_err(|_| Refusal::not_found())?;
    let (file, variant) = (file_id(&file)?, Variant::Original);
    let address = Address { file, variant, name, content_type: t, until_s: e };
    send(&app, &address, &k, &headers).await
}

/// `GET /f/{id}/thumb/{s|m}`
pub async fn thumbnail(
    State(app): Shared,
    Path((file, size)): Path<(String, String)>,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Query(Signed { e, k, .. }) = signed.map_err(|_| Refusal::not_found())?;
    let variant = Variant::thumbnail(&size).ok_or_else(Refusal::not_found)?;
    let (name, content_type) = (String::new(), String::new());
    let address = Address { file: file_id(&file)?, variant, name, content_type, until_s: e };
    send(&app, &address, &k, &headers).await
}

async fn send(
    app: &App,
    address: &Address,
    signature: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    if !app.signer.is_signed(address, signature) {
        return Err(Refusal::not_found());
    }
    let now_s = SystemClock.now_ms() / 1_000;
    let left_s = address.until_s.saturating_sub(now_s);
    if left_s == 0 {
        return Err(Refusal::new(
            ErrorCode::LinkExpired,
            "the address has ended: ask for another one",
        ));
    }
    let (file, variant) = (address.file, address.variant);
    let tag = format!("\"{file}.{}\"", variant.letter());
    let mut head = fixed_head(address, &tag, left_s);
    if is_listed(headers, &header::IF_NONE_MATCH, &tag) {
        return Ok(with_head(StatusCode::NOT_MODIFIED, Body::empty(), head));
    }
    let place = Arc::clone(&app.downloads).try_acquire_owned();
    let place = place.map_err(|_| Refusal::busy("too many downloads are underway", 1_000))?;
    let size = app.backend.size(file, variant).await.map_err(|error| Refusal::storage(&error))?;
    let size = size.ok_or_else(Refusal::not_found)?;
    let is_current =
        headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let range = headers.get(header::RANGE).filter(|_| is_current);
    let range = match wanted(range.and_then(|range| range.to_str().ok()), size) {
        Wanted::Nothing => {
            head.push((header::CONTENT_RANGE, format!("bytes */{size}")));
            return Ok(with_head(StatusCode::RANGE_NOT_SATISFIABLE, Body::empty(), head));
        }
        Wanted::All => 0..size,
        Wanted::Part(part) => {
            head.push((
                header::CONTENT_RANGE,
                format!("bytes {}-{}/{size}", part.start, part.end - 1),
            ));
            part
        }
    };
    let is_part = head.last().is_some_and(|(name, _)| *name == header::CONTENT_RANGE);
    let status = if is_part { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    head.push((header::CONTENT_LENGTH, (range.end - range.start).to_string()));
    let bytes =
        app.backend.read(file, variant, range).await.map_err(|error| Refusal::storage(&error))?;
    let bytes = bytes.ok_or_else(Refusal::not_found)?;
    Ok(with_head(status, Body::from_stream(counted(app, bytes, place)), head))
}

/// What every answer with this address says. No upload may run anything, wherever it is opened.
fn fixed_head(address: &Address, tag: &str, left_s: u64) -> Vec<(HeaderName, String)> {
    let is_thumbnail = address.variant != Variant::Original;
    let content_type = match address.content_type.as_str() {
        _ if is_thumbnail => "image/webp",
        "text/plain" => "text/plain; charset=utf-8",
        shown if is_shown_inline(shown) => shown,
        // A browser that saves it needs no type, and one that does not must not believe it.
        "image/svg+xml" | "text/html" | "text/xml" => UNKNOWN,
        other => other,
    };
    let inline = is_thumbnail || is_shown_inline(&address.content_type);
    let disposition = if inline { "inline" } else { "attachment" };
    let disposition = match address.name.as_str() {
        "" => disposition.to_owned(),
        name => format!("{disposition}; filename*=UTF-8''{}", encoded(name)),
    };
    let head: [(HeaderName, &str); 9] = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, &disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::ACCEPT_RANGES, "bytes"),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, &format!("private, max-age={left_s}, immutable")),
    ];
    head.map(|(name, value)| (name, value.to_owned())).into()
}

fn with_head(status: StatusCode, body: Body, head: Vec<(HeaderName, String)>) -> Response {
    let mut response = (status, body).into_response();
    for (name, value) in head {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn is_listed(headers: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag)
}

/// A download under way: its place is free again when the last byte is taken, or the client leaves.
struct Download(Option<OwnedSemaphorePermit>);

impl Download {
    fn begin(place: OwnedSemaphorePermit) -> Self {
        metrics::DOWNLOADS.increment();
        Self(Some(place))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        metrics::DOWNLOADS.decrement();
        self.0.take();
    }
}

/// It is cut off where the node ends: its client asks for the rest.
fn counted(app: &App, bytes: ByteStream, place: OwnedSemaphorePermit) -> ByteStream {
    let download = Download::begin(place);
    let counted = bytes.inspect(move |part: &std::io::Result<Bytes>| {
        let _download = &download;
        match part {
            Ok(part) => metrics::SENT.add(part.len() as u64),
            Err(error) => {
                metrics::STORAGE_ERRORS.increment();
                tracing::warn!(%error, "a download broke");
            }
        }
    });
    counted.take_until(app.tasks.token().clone().cancelled_owned()).boxed()
}
