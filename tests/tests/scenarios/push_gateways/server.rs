//! A gateway over TLS, by HTTP/2 where its client can do that: it has a certificate of an authority of the test's own, says what it is
//! told to, and keeps what it got.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use weft_harness::gateway::LIMIT;

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server of this name.
    fn config(&self, name: &str) -> Result<ServerConfig> {
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.0)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A request that it got.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub is_http2: bool,
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
    pub at: Instant,
    pub is_answered: bool,
}

impl Got {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("json")
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Says {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Says {
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { body: body.to_string(), ..Self::status(status) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
struct Book {
    got: Mutex<Vec<Got>>,
    next: Mutex<HashMap<String, VecDeque<Says>>>,
    always: Mutex<HashMap<String, Option<Says>>>,
    news: Notify,
    /// Requests that are underway, and the most that ever were.
    underway: AtomicUsize,
    underway_max: AtomicUsize,
}

pub struct TlsGateway {
    pub address: SocketAddr,
    config: Arc<ServerConfig>,
    book: Arc<Book>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl TlsGateway {
    pub async fn start(authority: &Authority, name: &str) -> Result<Self> {
        let config = Arc::new(authority.config(name)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let gateway = Self { address, config, book: Arc::default(), task: Mutex::new(None) };
        gateway.serve(listener);
        Ok(gateway)
    }

    fn serve(&self, listener: TcpListener) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let book = Arc::clone(&self.book);
        let task = tokio::spawn(async move {
            // With it its connections end.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, book) = (acceptor.clone(), Arc::clone(&book));
                connections.spawn(async move {
                    let Ok(socket) = acceptor.accept(socket).await else { return };
                    let service = service_fn(move |request| answer(Arc::clone(&book), request));
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        *self.task.lock().expect("lock") = Some(task);
    }

    /// As if its machine were gone: connections break off, and new ones are refused.
    pub async fn kill(&self) {
        let task = self.task.lock().expect("lock").take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    pub async fn restart(&self) -> Result<()> {
        self.serve(TcpListener::bind(self.address).await?);
        Ok(())
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// What the next request for a path is answered.
    pub fn say(&self, path: &str, says: Says) {
        self.book.next.lock().expect("lock").entry(path.to_owned()).or_default().push_back(says);
    }

    /// What all other requests for a path are answered; `None`: nothing, ever.
    pub fn always(&self, path: &str, says: Option<Says>) {
        self.book.always.lock().expect("lock").insert(path.to_owned(), says);
    }

    pub fn at(&self, path: &str) -> Vec<Got> {
        let got = self.book.got.lock().expect("lock");
        got.iter().filter(|got| got.path == path).cloned().collect()
    }

    pub fn underway_max(&self) -> usize {
        self.book.underway_max.load(Ordering::SeqCst)
    }

    /// Waits until so many requests came for a path.
    pub async fn until(&self, path: &str, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let news = self.book.news.notified();
            let got = self.at(path);
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{path}: {} of {count}", got.len());
            let _ = tokio::time::timeout(Duration::from_millis(200), news).await;
        }
    }
}

impl Drop for TlsGateway {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().expect("lock").take() {
            task.abort();
        }
    }
}

struct Underway(Arc<Book>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.underway.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(
    book: Arc<Book>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let underway = Underway(Arc::clone(&book));
    let count = book.underway.fetch_add(1, Ordering::SeqCst) + 1;
    book.underway_max.fetch_max(count, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = headers.collect();
    let is_http2 = head.version == Version::HTTP_2;
    let (at, is_answered) = (Instant::now(), false);
    let got = Got { path: path.clone(), is_http2, headers, body, at, is_answered };
    let number = {
        let mut all = book.got.lock().expect("lock");
        all.push(got);
        all.len() - 1
    };
    book.news.notify_waiters();
    let next = book.next.lock().expect("lock").get_mut(&path).and_then(VecDeque::pop_front);
    let always = book.always.lock().expect("lock").get(&path).cloned();
    let says = match (next, always) {
        (Some(says), _) | (None, Some(Some(says))) => says,
        (None, Some(None)) => std::future::pending().await,
        (None, None) => Says::status(200),
    };
    drop(underway);
    book.got.lock().expect("lock")[number].is_answered = true;
    let mut response = Response::new(Full::new(Bytes::from(says.body)));
    *response.status_mut() = says.status.try_into().expect("a status");
    for (name, value) in says.headers {
        let value = HeaderValue::from_str(&value).expect("a header");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    Ok(response)
}
