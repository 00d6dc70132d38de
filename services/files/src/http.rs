//! The paths, and what all of them have in common: tus's version, and pages of other origins.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, options};
use weft_proto::{ErrorCode, FileId};

use crate::app::App;
use crate::refusal::Refusal;
use crate::{downloads, tus, uploads};

/// All requests that a files node answers.
pub fn router(app: Arc<App>) -> Router {
    let uploads = Router::new()
        .route("/v1/files", options(uploads::abilities).post(uploads::create))
        .route(
            "/v1/files/{id}",
            options(uploads::abilities)
                .head(uploads::offset)
                .patch(uploads::bytes)
                .delete(uploads::discard)
                .get(downloads::look)
                .post(uploads::another_method),
        )
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(as_tus_wants));
    let downloads = Router::new()
        .route("/f/{id}/{name}", get(downloads::original))
        .route("/f/{id}/thumb/{size}", get(downloads::thumbnail))
        .method_not_allowed_fallback(no_such_method);
    uploads.merge(downloads).layer(from_fn(for_other_origins)).with_state(app)
}

pub async fn no_such_method() -> Refusal {
    Refusal::new(ErrorCode::MethodNotAllowed, "the path has no such method")
}

/// The version on both sides.
async fn as_tus_wants(request: Request, next: Next) -> Response {
    let is_tus = !matches!(*request.method(), Method::GET | Method::OPTIONS);
    let version = request.headers().get(tus::RESUMABLE).map(HeaderValue::as_bytes);
    let mut response = if is_tus && version != Some(tus::VERSION.as_bytes()) {
        let refusal = Refusal::bad("Tus-Resumable has to be 1.0.0");
        let mut response = refusal.with_status(StatusCode::PRECONDITION_FAILED).into_response();
        response.headers_mut().insert("tus-version", HeaderValue::from_static(tus::VERSION));
        response
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(tus::RESUMABLE, HeaderValue::from_static(tus::VERSION));
    response
}

/// Pages of any origin may use it: what counts is a token or a signature, and no cookie.
async fn for_other_origins(request: Request, next: Next) -> Response {
    let asks = *request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    say(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Location, Upload-Offset, Upload-Length, Upload-Expires, Tus-Resumable, Tus-Version, \
         Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Retry-After, Content-Range, ETag",
    );
    if asks {
        say(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PATCH, DELETE, OPTIONS");
        say(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Offset, \
             Upload-Metadata, Upload-Checksum, X-HTTP-Method-Override",
        );
        say(header::ACCESS_CONTROL_MAX_AGE, "86400");
    }
    response
}

/// The token of who calls. Core looks at it.
pub fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    token.ok_or_else(|| Refusal::new(ErrorCode::Unauthorized, "a bearer token is needed"))
}

/// What names no file is one that is not there.
pub fn file_id(text: &str) -> Result<FileId, Refusal> {
    FileId::new(text).map_err(|_| Refusal::not_found())
}
