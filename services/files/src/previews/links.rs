//! What links lead to. Each address is read once, however many messages have it at a time; few of one host are read at once, and a host
//! that hung is left alone for a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use moka::sync::Cache;
use percent_encoding::percent_decode_str;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use weft_outbound::header::{ACCEPT, HeaderValue};
use weft_outbound::{Answer, Error, Outbound, Request, Url};
use weft_proto::kind::LinkPreview;
use weft_proto::limits::PREVIEW_TITLE_CHARS_MAX;
use weft_runtime::lock;

use super::{PATIENCE, image, page};
use crate::app::App;
use crate::metrics;

/// For how long what was read, or could not be, is not read again; and of how many addresses that is known.
const KEPT_FOR: Duration = Duration::from_secs(600);
const KEPT_MAX: u64 = 2_000;
/// Of one host, at once.
const HOST_MAX: usize = 2;
/// For how long a host that hung is left alone.
const LEFT_FOR: Duration = Duration::from_secs(60);
/// Of a page its head is read: nearly all have it within this.
const PAGE_BYTES_MAX: usize = 512 << 10;
const ACCEPTED: &str = "text/html,application/xhtml+xml,image/*;q=0.8";

type Reading = Shared<BoxFuture<'static, Option<Arc<LinkPreview>>>>;

pub(super) struct Links {
    reader: Arc<Reader>,
    kept: Cache<String, Reading>,
}

struct Reader {
    app: Arc<App>,
    outbound: Outbound,
    hosts: Cache<String, Arc<Host>>,
}

struct Host {
    places: Semaphore,
    hung_at: Mutex<Option<Instant>>,
}

/// Why there is no preview.
enum Without {
    /// Its operator or this one does not want it, or it may not be asked.
    Refused,
    /// There is nothing to show.
    Nothing,
    Failed,
    Hung,
}

impl From<Error> for Without {
    fn from(error: Error) -> Self {
        match error {
            Error::Url(_) | Error::HostRefused | Error::NotPublic => Self::Refused,
            Error::Timeout => Self::Hung,
            Error::Lookup(_) | Error::TooManyRedirects | Error::Encoded | Error::Transport(_) => {
                Self::Failed
            }
        }
    }
}

impl Links {
    pub(super) fn new(app: Arc<App>, outbound: Outbound) -> Self {
        let hosts = Cache::builder().max_capacity(KEPT_MAX).time_to_idle(KEPT_FOR).build();
        let kept = Cache::builder().max_capacity(KEPT_MAX).time_to_live(KEPT_FOR).build();
        Self { reader: Arc::new(Reader { app, outbound, hosts }), kept }
    }

    /// What an address leads to, without the address; `None`: it has no preview.
    pub(super) async fn read(&self, url: &str) -> Option<LinkPreview> {
        let reading = self.kept.get_with(url.to_owned(), || {
            let (reader, url) = (Arc::clone(&self.reader), url.to_owned());
            async move { reader.read(&url).await.map(Arc::new) }.boxed().shared()
        });
        reading.await.map(|preview| LinkPreview::clone(&preview))
    }
}

impl Reader {
    async fn read(&self, url: &str) -> Option<LinkPreview> {
        let began_at = Instant::now();
        let read = self.preview(url).await;
        metrics::PREVIEW_READING.record_time(began_at.elapsed());
        let outcome = match read {
            Ok(preview) => return Some(preview),
            Err(Without::Refused) => "refused",
            Err(Without::Nothing) => "nothing",
            Err(Without::Failed) => "failed",
            Err(Without::Hung) => "hung",
        };
        metrics::PREVIEWS.increment(outcome);
        None
    }

    async fn preview(&self, url: &str) -> Result<LinkPreview, Without> {
        let url = self.outbound.check(url)?;
        let host = self.host(&url);
        if lock(&host.hung_at).is_some_and(|at| at.elapsed() < LEFT_FOR) {
            return Err(Without::Hung);
        }
        let place = timeout(PATIENCE, host.places.acquire()).await;
        let _place = place.map_err(|_| Without::Hung)?.map_err(|_| Without::Failed)?;
        let read = self.page(url).await;
        if matches!(read, Err(Without::Hung)) {
            *lock(&host.hung_at) = Some(Instant::now());
        }
        let (mut preview, image) = read?;
        if let Some(image) = image {
            preview.image = image::make(&self.app, &self.outbound, image).await;
        }
        Ok(preview)
    }

    fn host(&self, url: &Url) -> Arc<Host> {
        let host =
            || Arc::new(Host { places: Semaphore::new(HOST_MAX), hung_at: Mutex::default() });
        self.hosts.get_with(url.host_str().unwrap_or_default().to_owned(), host)
    }

    /// What a page says of itself, and where its image is.
    async fn page(&self, url: Url) -> Result<(LinkPreview, Option<Url>), Without> {
        let mut request = Request::get(url);
        request.headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let answer = self.outbound.send(request).await?;
        if !answer.status().is_success() {
            return Err(Without::Nothing);
        }
        let robots = robots(&answer);
        if page::is_unwanted(&robots) {
            return Err(Without::Refused);
        }
        let (url, content_type) = (answer.url().clone(), answer.content_type());
        let site = url.host_str().unwrap_or_default().to_owned();
        if content_type.starts_with("image/") {
            let preview = LinkPreview { title: name_of(&url), site, ..LinkPreview::default() };
            return Ok((preview, Some(url)));
        }
        if !matches!(&*content_type, "text/html" | "application/xhtml+xml") {
            return Err(Without::Nothing);
        }
        let head = answer.headers().get(weft_outbound::header::CONTENT_TYPE).cloned();
        let body = answer.read(PAGE_BYTES_MAX).await?;
        let read = tokio::task::spawn_blocking(move || {
            page::read(head.as_ref().and_then(|head| head.to_str().ok()), &body.bytes)
        });
        let page = read.await.map_err(|_| Without::Failed)?;
        if page::is_unwanted(&page.robots) {
            return Err(Without::Refused);
        }
        if page.title.is_empty() {
            return Err(Without::Nothing);
        }
        let wants_image = !page::is_without_image(&robots) && !page::is_without_image(&page.robots);
        let image = page.image.filter(|_| wants_image).and_then(|image| url.join(&image).ok());
        let site = if page.site.is_empty() { site } else { page.site };
        let (title, description) = (page.title, page.description);
        Ok((LinkPreview { title, description, site, ..LinkPreview::default() }, image))
    }
}

/// What its head says to machines that read it.
fn robots(answer: &Answer) -> String {
    let values = answer.headers().get_all("x-robots-tag").iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// What an image is called that has no page.
fn name_of(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = page::clean(&percent_decode_str(last).decode_utf8_lossy(), PREVIEW_TITLE_CHARS_MAX);
    if name.is_empty() { url.host_str().unwrap_or_default().to_owned() } else { name }
}
