//! Requests, redirects, bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Method, Response, StatusCode, Url};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, NoCertificates};
use crate::resolver::{Lookup, Resolver, system};
use crate::rules::Rules;

/// How long a connection without a request is kept, and how many of a host.
const IDLE_MAX: Duration = Duration::from_secs(10);
const IDLE_PER_HOST_MAX: usize = 2;
/// The same of a host that is asked again and again.
const KEPT_MAX: Duration = Duration::from_secs(600);
const KEPT_PER_HOST_MAX: usize = 32;
/// How often a kept connection is looked at, and how long its answer may take: one that is dead is not asked by.
const KEPT_LOOK_EVERY: Duration = Duration::from_secs(20);
const KEPT_LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Which connections a client has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Connections {
    /// Not for long: there are many hosts.
    #[default]
    Short,
    /// Kept: the same host is asked again and again.
    Kept,
    /// Kept, and of HTTP/2 alone.
    KeptHttp2,
}

/// Authorities that are trusted beside the machine's.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<Certificate>);

impl Roots {
    /// Reads certificates, as PEM.
    ///
    /// # Errors
    /// [`NoCertificates`].
    pub fn read(pem: &[u8]) -> Result<Self, NoCertificates> {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|_| NoCertificates)?;
        if certificates.is_empty() {
            return Err(NoCertificates);
        }
        Ok(Self(certificates))
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub rules: Rules,
    /// How many redirects of a `GET` are followed, each checked as the first address is; 0: none is, and who asks gets it.
    pub redirects_max: usize,
    /// From the first lookup to the last byte of the body.
    pub patience: Duration,
    pub user_agent: String,
    pub roots: Roots,
    pub connections: Connections,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

/// Asks hosts that people name. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    http: Client,
    rules: Arc<Rules>,
    redirects_max: usize,
    patience: Duration,
}

impl Outbound {
    /// Without certificates of the machine it asks by http alone, and says so in the log.
    ///
    /// # Errors
    /// [`Error::Transport`]: the options make no client.
    pub fn new(options: Options) -> Result<Self, Error> {
        Self::with_lookup(options, system())
    }

    fn with_lookup(options: Options, lookup: Lookup) -> Result<Self, Error> {
        let Options { rules, redirects_max, patience, user_agent, roots, connections } = options;
        let Roots(roots) = roots;
        // The first one in decides; an error says that there is one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rules = Arc::new(rules);
        let builder = || {
            let resolver = Resolver { lookup: Arc::clone(&lookup), rules: Arc::clone(&rules) };
            let builder = Client::builder()
                .dns_resolver(Arc::new(resolver))
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                .user_agent(user_agent.as_str());
            with_connections(builder, connections)
        };
        let http = builder().tls_certs_merge(roots.clone()).build().or_else(|error| {
            tracing::warn!(error = %error.without_url(), "the machine has no certificates: hosts are trusted whose own ones are given, and others asked by http alone");
            builder().tls_certs_only(roots.clone()).build()
        });
        Ok(Self { http: http.map_err(Error::of_client)?, rules, redirects_max, patience })
    }

    /// Reads an address, and checks what can be known of it at once.
    ///
    /// # Errors
    /// Those of [`Rules::check`].
    pub fn check(&self, url: &str) -> Result<Url, Error> {
        let url = Url::parse(url).map_err(|_| Error::Url("it is no address"))?;
        self.rules.check(&url)?;
        Ok(url)
    }

    /// Asks. The answer has no body yet.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.patience;
        let answer = timeout_at(deadline, self.follow(request));
        let (url, response) = answer.await.map_err(|_| Error::Timeout)??;
        Ok(Answer { url, response, deadline })
    }

    async fn follow(&self, mut request: Request) -> Result<(Url, Response), Error> {
        let mut redirects = 0;
        loop {
            self.rules.check(&request.url)?;
            request.url.set_fragment(None);
            let response = self.one(&request).await?;
            let next = match next_url(&request.url, &response)? {
                Some(next) if self.redirects_max > 0 && request.method == Method::GET => next,
                _ => return Ok((request.url, response)),
            };
            redirects += 1;
            if redirects > self.redirects_max {
                return Err(Error::TooManyRedirects);
            }
            request.url = next;
        }
    }

    async fn one(&self, request: &Request) -> Result<Response, Error> {
        let Request { method, url, headers, body } = request;
        let mut asked = self.http.request(method.clone(), url.clone()).headers(headers.clone());
        if !body.is_empty() {
            asked = asked.body(body.clone());
        }
        asked.send().await.map_err(Error::of_client)
    }
}

fn with_connections(builder: ClientBuilder, connections: Connections) -> ClientBuilder {
    if connections == Connections::Short {
        return builder.pool_max_idle_per_host(IDLE_PER_HOST_MAX).pool_idle_timeout(IDLE_MAX);
    }
    let builder = builder
        .pool_max_idle_per_host(KEPT_PER_HOST_MAX)
        .pool_idle_timeout(KEPT_MAX)
        .http2_keep_alive_interval(KEPT_LOOK_EVERY)
        .http2_keep_alive_timeout(KEPT_LOOK_TIMEOUT)
        .http2_keep_alive_while_idle(true);
    match connections {
        Connections::KeptHttp2 => builder.http2_prior_knowledge(),
        _ => builder,
    }
}

/// Where an answer sends its reader; `None`: nowhere. What came over TLS leads to nothing without.
fn next_url(url: &Url, response: &Response) -> Result<Option<Url>, Error> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else {
        return Ok(None);
    };
    let wrong = |_| Error::Url("it redirects to no address");
    let location = std::str::from_utf8(location.as_bytes()).map_err(wrong)?;
    let next = url.join(location).map_err(|_| Error::Url("it redirects to no address"))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(Error::Url("it redirects from https to http"));
    }
    Ok(Some(next))
}

/// What a host has answered.
#[derive(Debug)]
pub struct Answer {
    url: Url,
    response: Response,
    deadline: Instant,
}

/// Bytes of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// There are no more.
    pub is_whole: bool,
}

impl Answer {
    /// What was asked for in the end, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// What the host says that it is, without parameters, in lower case; empty: nothing.
    #[must_use]
    pub fn content_type(&self) -> String {
        let value = self.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }

    /// Reads the body, up to so many bytes.
    ///
    /// # Errors
    /// [`Error::Encoded`], [`Error::Timeout`], [`Error::Transport`].
    pub async fn read(mut self, bytes_max: usize) -> Result<Body, Error> {
        // Nothing was said to be understood, so nothing is unpacked, whatever it would become.
        let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !self.headers().get_all(CONTENT_ENCODING).iter().all(is_plain) {
            return Err(Error::Encoded);
        }
        let mut bytes = Vec::new();
        loop {
            let chunk = timeout_at(self.deadline, self.response.chunk()).await;
            let chunk = chunk.map_err(|_| Error::Timeout)?.map_err(Error::of_client)?;
            let Some(chunk) = chunk else { return Ok(Body { bytes, is_whole: true }) };
            let taken = chunk.len().min(bytes_max - bytes.len());
            bytes.extend_from_slice(&chunk[..taken]);
            if taken < chunk.len() {
                return Ok(Body { bytes, is_whole: false });
            }
        }
    }
}

#[cfg(test)]
mod tests;
