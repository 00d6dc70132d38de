//! A files node: starts, serves, ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use weft_nats::{Connection, NodeInfo, Registration};
use weft_proto::svc::GetUrlKeys;
use weft_runtime::{Shutdown, bind, patiently};

use crate::app::{App, FilesOptions};
use crate::backend;
use crate::error::Error;
use crate::locks::Locks;
use crate::places::Places;
use crate::previews::Previews;
use crate::signed::Signer;
use crate::staging::Staging;
use crate::{http, removal, serve};

/// This role's name among the live nodes.
pub const ROLE: &str = "files";

pub struct FilesNode {
    connection: watch::Receiver<Connection>,
    router: Router,
    local_addr: Option<SocketAddr>,
    tasks: Shutdown,
    registration: Registration,
}

impl FilesNode {
    /// Serves. It waits for core, which has the key that addresses are signed with.
    ///
    /// # Errors
    /// What no patience mends.
    pub async fn start(options: FilesOptions) -> Result<Self, Error> {
        let FilesOptions { bus, data, backend, listen, url, limits, previews } = options;
        let staging = Staging::open(&data)?;
        let tcp = listen.map(listener).transpose()?;
        let local_addr = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let open = async || backend::open(&backend, &data, &bus).await;
        let backend = patiently("the storage of files", Error::is_retryable, open).await?;
        let keys = async || bus.call(&GetUrlKeys {}).await.map_err(Error::Core);
        let keys = patiently("core", Error::is_retryable, keys).await?.keys;
        let signer = Signer::new(&keys).ok_or(Error::NoKey)?;
        let announced = url.unwrap_or_else(|| own_url(local_addr));
        let url = announced.trim_end_matches('/').to_owned();
        let info = NodeInfo { url: announced, ..NodeInfo::default() };
        let join = async || Registration::join(&bus, ROLE, bus.node(), info.clone()).await;
        let registration = patiently("the live nodes", Error::is_retryable, join).await?;
        let (connection, tasks) = (bus.connection(), Shutdown::new());
        let app = Arc::new(App {
            signer,
            staging,
            backend,
            url,
            locks: Locks::default(),
            places: Places::new(limits.uploads_max, limits.user_uploads_max),
            workers: Semaphore::new(limits.image_workers),
            downloads: Arc::new(Semaphore::new(limits.downloads_max)),
            tasks: tasks.clone(),
            limits,
            bus,
        });
        let router = http::router(Arc::clone(&app));
        if let Some(tcp) = tcp {
            let serving = serve::serve(tcp, router.clone(), &app.limits, tasks.clone());
            tasks.spawn_lasting("http", serving);
        }
        if let Some(previews) = previews {
            let previews = Previews::new(Arc::clone(&app), registration.live(ROLE), previews)?;
            let stop = tasks.token().clone();
            tasks.spawn_lasting("previews", async move {
                if let Err(error) = previews.run(stop).await {
                    tracing::error!(%error, "no previews are made any more");
                }
            });
        }
        let stop = tasks.token().clone();
        tasks.spawn_lasting("removal", async move {
            let _ = stop.run_until_cancelled(removal::run(app)).await;
        });
        tracing::info!(?local_addr, "files are served");
        Ok(Self { connection, router, local_addr, tasks, registration })
    }

    /// All its requests, for a part that serves them on its own port.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Where it listens itself.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let connection = self.connection.clone();
        move || (!connection.borrow().connected).then(|| "NATS is away".to_owned())
    }

    /// Waits until a task has ended that was to last, and names it: a defect.
    pub async fn failed(&self) -> &'static str {
        self.tasks.failed().await
    }

    /// Takes nothing new. What has come of uploads stays, and is gone on with at the next start. The names of the tasks
    /// that were late.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        self.registration.leave().await;
        self.tasks.finish(patience).await
    }
}

fn listener(addr: SocketAddr) -> Result<TcpListener, Error> {
    bind(addr).map_err(|source| Error::Listen { addr, source })
}

/// Where it listens, where that is one address.
fn own_url(local_addr: Option<SocketAddr>) -> String {
    let told = local_addr.filter(|addr| !addr.ip().is_unspecified());
    told.map_or_else(String::new, |addr| format!("http://{addr}"))
}
