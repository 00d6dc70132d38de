//! The port of a running part for those who look after it, not for clients: `/metrics` for Prometheus,
//! `/healthz` (the process lives) and `/readyz` (its parts can serve). It answers from the first moment
//! on, so that what a start waits for can be seen.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use weft_runtime::metrics::Exporter;
use weft_runtime::{Readiness, Shutdown};

use crate::error::Error;

/// Connections at once: a scraper or two, health checks, a person.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, from its first byte to its answer's last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// After a connection that could not be accepted: there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The option.
#[derive(Args, Clone, Debug)]
pub struct AdminListen {
    /// Where `/metrics`, `/healthz` and `/readyz` are, for whoever looks after it: keep clients out.
    /// By default a port of 127.0.0.1: 7380 of an edge and of `weft dev`, 7381 of core, 7382 of
    /// presence, 7383 of search, 7384 of files, 7385 of push, 7386 of integrations, or any free one where that is taken, as the log says.
    #[arg(long, env = "WEFT_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
}

/// The default ports.
pub const EDGE_PORT: u16 = 7380;
/// As [`EDGE_PORT`].
pub const CORE_PORT: u16 = 7381;
/// As [`EDGE_PORT`].
pub const PRESENCE_PORT: u16 = 7382;
/// As [`EDGE_PORT`].
pub const SEARCH_PORT: u16 = 7383;
/// As [`EDGE_PORT`].
pub const FILES_PORT: u16 = 7384;
/// As [`EDGE_PORT`].
pub const PUSH_PORT: u16 = 7385;
/// As [`EDGE_PORT`].
pub const INTEGRATIONS_PORT: u16 = 7386;

/// The listener; it ends when this value goes.
pub struct AdminListener {
    address: SocketAddr,
    tasks: Shutdown,
}

impl AdminListener {
    /// Listens, and serves.
    pub async fn start(
        option: &AdminListen,
        default_port: u16,
        exporter: Exporter,
        readiness: Readiness,
    ) -> Result<Self, Error> {
        let tcp = bind(option, default_port).await?;
        let address = tcp.local_addr().map_err(Error::io("the admin port"))?;
        let tasks = Shutdown::new();
        tasks.spawn("metrics", exporter.clone().keep(tasks.token().clone()));
        let serve = serve(tcp, Arc::new(Told { exporter, readiness }), tasks.clone());
        let stop = tasks.token().clone();
        tasks.spawn("admin", async move {
            let _ = stop.run_until_cancelled(serve).await;
        });
        tracing::info!("metrics, health and readiness: http://{address}");
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}

/// An address that somebody named has to be free; the default gives way.
async fn bind(option: &AdminListen, default_port: u16) -> Result<TcpListener, Error> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |address| Error::io(format!("can't listen on {address} (--admin-listen)"));
    if let Some(address) = option.admin_listen {
        return TcpListener::bind(address).await.map_err(failed(address));
    }
    match TcpListener::bind(local(default_port)).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            TcpListener::bind(local(0)).await.map_err(failed(local(0)))
        }
        bound => bound.map_err(failed(local(default_port))),
    }
}

async fn serve(tcp: TcpListener, told: Arc<Told>, tasks: Shutdown) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = match tcp.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection can't be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (told, stop) = (Arc::clone(&told), tasks.token().clone());
        tasks.spawn("admin connection", async move {
            let answer = stop.run_until_cancelled(timeout(CONNECTION_TIMEOUT, talk(stream, told)));
            let _ = answer.await;
            drop(place);
        });
    }
}

async fn talk(stream: TcpStream, told: Arc<Told>) {
    let service = service_fn(move |request: Request<_>| {
        let answer = told.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    let http = http.timer(TokioTimer::new()).keep_alive(false);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "an admin connection broke");
    }
}

/// What is told.
struct Told {
    exporter: Exporter,
    readiness: Readiness,
}

impl Told {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let error = |code: &str, message: &str| {
            json!({ "error": { "code": code, "message": message } }).to_string()
        };
        let json = "application/json";
        let (status, kind, body) = match path {
            "/metrics" | "/healthz" | "/readyz" if !is_read => {
                let body = error("method_not_allowed", "the path is read with GET");
                (StatusCode::METHOD_NOT_ALLOWED, json, body)
            }
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", self.exporter.render()),
            "/healthz" => (StatusCode::OK, json, json!({ "status": "ok" }).to_string()),
            "/readyz" => match self.readiness.reasons() {
                reasons if reasons.is_empty() => {
                    (StatusCode::OK, json, json!({ "status": "ok" }).to_string())
                }
                reasons => {
                    let body = error("unavailable", &reasons.join("; "));
                    (StatusCode::SERVICE_UNAVAILABLE, json, body)
                }
            },
            _ => (StatusCode::NOT_FOUND, json, error("not_found", "there is no such path")),
        };
        let mut answer = Response::new(Full::new(Bytes::from(body)));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request;

    async fn start(option: Option<SocketAddr>, port: u16, readiness: &Readiness) -> AdminListener {
        let (option, exporter) = (AdminListen { admin_listen: option }, Exporter::install(&[]));
        let started = AdminListener::start(&option, port, exporter, readiness.clone()).await;
        started.expect("a listener")
    }

    #[tokio::test]
    async fn it_tells_what_is_lacking() {
        let readiness = Readiness::new();
        readiness.set("core", || Some("is starting".to_owned()));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = start(Some(any), 0, &readiness).await;
        let ask = async |method: &str, path: &str| {
            let answer = request(&listener.address().to_string(), method, path, "").await;
            answer.expect("an answer")
        };
        let (status, body) = ask("GET", "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("core: is starting"), "{body}");
        assert_eq!(ask("GET", "/healthz").await.0, 200);
        readiness.set("core", || None);
        assert_eq!(ask("GET", "/readyz").await.0, 200);
        assert_eq!(ask("GET", "/metrics").await.0, 200);
        assert_eq!(ask("POST", "/metrics").await.0, 405);
        assert_eq!(ask("GET", "/v1/ws").await.0, 404);
    }

    #[tokio::test]
    async fn the_default_port_gives_way_and_a_named_one_does_not() {
        let readiness = Readiness::new();
        let first = start(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), 0, &readiness).await;
        let second = start(None, first.address().port(), &readiness).await;
        assert_ne!(first.address(), second.address());
        let option = AdminListen { admin_listen: Some(first.address()) };
        let third = AdminListener::start(&option, 0, Exporter::install(&[]), readiness).await;
        let error = third.err().expect("it is taken").one_line();
        assert!(error.contains("--admin-listen"), "{error}");
    }
}
