//! What the requests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, oneshot};
use weft_nats::Bus;
use weft_proto::svc::{File, LookAtFile};
use weft_proto::{ApiError, ErrorCode, FileId};
use weft_runtime::Shutdown;

use crate::backend::{Backend, BackendPlace};
use crate::locks::Locks;
use crate::places::Places;
use crate::refusal::Refusal;
use crate::signed::Signer;
use crate::staging::Staging;

/// What a files node allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most bytes of one file. Core has a limit of its own.
    pub file_bytes_max: u64,
    /// Requests that bring bytes at once: of all users, and of one.
    pub uploads_max: usize,
    pub user_uploads_max: usize,
    /// Each holds some 130 kB.
    pub downloads_max: usize,
    /// Images that are decoded at once, each with up to 400 MB at the worst.
    pub image_workers: usize,
    /// How long an upload may bring nothing.
    pub stall_max: Duration,
    /// Least bytes per second of an upload, after the first `stall_max`.
    pub upload_bytes_per_s_min: u64,
    /// Connections to the node's own port: of all, and of one client address (of IPv6: of one /64).
    pub connections_max: usize,
    pub address_connections_max: usize,
    /// Proxies, for which no limit of one address is.
    pub trusted_proxies: Vec<IpNet>,
    /// How often core is asked what is due.
    pub look_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 100_000_000,
            uploads_max: 256,
            user_uploads_max: 8,
            downloads_max: 256,
            image_workers: 2,
            stall_max: Duration::from_secs(30),
            upload_bytes_per_s_min: 4 << 10,
            connections_max: 1_024,
            address_connections_max: 256,
            trusted_proxies: Vec::new(),
            look_every: Duration::from_secs(60),
        }
    }
}

pub struct App {
    pub bus: Bus,
    pub staging: Staging,
    pub backend: Box<dyn Backend>,
    pub signer: Signer,
    pub limits: Limits,
    /// Where clients reach it, without a slash at the end; empty: addresses are told without a host.
    pub url: String,
    pub locks: Locks,
    pub places: Places,
    pub workers: Semaphore,
    pub downloads: Arc<Semaphore>,
    pub tasks: Shutdown,
}

impl App {
    /// The caller's own file, in whatever state.
    pub async fn own(&self, token: &str, file: FileId) -> Result<File, ApiError> {
        let (token, file) = (token.to_owned(), file.to_string());
        self.bus.call(&LookAtFile { token, file, ..LookAtFile::default() }).await
    }

    /// Does something to its end, also where who asked for it does not wait.
    pub async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (done, outcome) = oneshot::channel();
        self.tasks.spawn("request", async move {
            let _ = done.send(work.await);
        });
        let panicked = || Err(Refusal::new(ErrorCode::Internal, "a defect of the files node"));
        outcome.await.unwrap_or_else(|_| panicked())
    }
}

/// What a node needs.
pub struct FilesOptions {
    /// The connection to NATS, as role `files`. Its owner closes it, after the node.
    pub bus: Bus,
    /// Uploads that are not finished are here, and finished files where no other backend is given.
    pub data: PathBuf,
    pub backend: BackendPlace,
    /// Where to listen; `None`: another part serves [`FilesNode::router`](crate::FilesNode::router).
    pub listen: Option<std::net::SocketAddr>,
    /// Where clients reach it, as `https://files.example.org`, or `/`: where they reach edges; `None`: where it listens,
    /// if that is one address.
    pub url: Option<String>,
    pub limits: Limits,
    /// Links of messages get previews; `None`: no host is asked for anything.
    pub previews: Option<crate::PreviewOptions>,
}

impl FilesOptions {
    /// On the port of an edge, which serves [`FilesNode::router`](crate::FilesNode::router).
    #[must_use]
    pub fn beside_an_edge(self) -> Self {
        Self { listen: None, url: Some("/".to_owned()), ..self }
    }
}
