//! `weft files`: takes uploads and serves what was uploaded.

mod storage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use weft_files::{BackendPlace, FilesNode, Limits, PreviewOptions};
use weft_nats::Bus;
use weft_outbound::{IpNet, Url};
use weft_proto::NodeId;
use weft_runtime::Readiness;

use self::storage::Storage;
use super::core::node;
use super::edge::network;
use crate::admin_listener::{AdminListen, AdminListener, FILES_PORT};
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, say};

/// One files process.
#[derive(Args, Clone, Debug)]
pub struct FilesOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// Where clients connect (HTTP).
    #[arg(long, env = "WEFT_LISTEN", default_value = "127.0.0.1:7310")]
    pub listen: SocketAddr,
    /// Where clients reach it from outside, as `https://files.example.org`; `/`: on the address on which they reach
    /// edges, by the paths /v1/files and /f. By default where it listens, if that is one address.
    #[arg(long = "url", value_name = "URL", env = "WEFT_URL", value_parser = url)]
    pub public_url: Option<String>,
    /// The folder of uploads that are not finished, and with --backend folder of the files. One process uses it.
    #[arg(long, env = "WEFT_DATA", default_value = "weft-files")]
    pub data: PathBuf,
    /// This process's name, `{hostname}` as with core; by default a new one with each start.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    /// The largest file that is taken, in bytes. Core has the same option: it decides, and this one is what clients are told.
    #[arg(long, env = "WEFT_FILE_BYTES", default_value_t = Limits::default().file_bytes_max, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub file_bytes: u64,
    #[command(flatten)]
    pub storage: Storage,
    #[command(flatten)]
    pub limits: FilesLimits,
    /// Most connections to this port.
    #[arg(long, env = "WEFT_CONNECTIONS_MAX", default_value_t = Limits::default().connections_max, value_parser = places())]
    pub connections_max: usize,
    /// Most connections of one client address (of IPv6: of one /64).
    #[arg(long, env = "WEFT_ADDRESS_CONNECTIONS_MAX", default_value_t = Limits::default().address_connections_max, value_parser = places())]
    pub address_connections_max: usize,
    /// A load balancer in front of this port, by address or network: what one address may do is not for it. Several are
    /// separated by commas.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS", env = "WEFT_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// What a files node allows.
#[derive(Args, Clone, Debug)]
pub struct FilesLimits {
    /// Most uploads that bring bytes at once, of all users together; one user has 8.
    #[arg(long, env = "WEFT_UPLOADS_MAX", default_value_t = Limits::default().uploads_max, value_parser = places())]
    pub uploads_max: usize,
    /// Most downloads at once.
    #[arg(long, env = "WEFT_DOWNLOADS_MAX", default_value_t = Limits::default().downloads_max, value_parser = places())]
    pub downloads_max: usize,
    /// Images that are looked at at once. Each may take up to 400 MB of memory for a moment.
    #[arg(long, env = "WEFT_IMAGE_WORKERS", default_value_t = Limits::default().image_workers, value_parser = places())]
    pub image_workers: usize,
    /// How often core is asked which files are due to be deleted, in seconds.
    #[arg(long, env = "WEFT_FILES_LOOK_S", default_value_t = Limits::default().look_every.as_secs(), value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub files_look_s: u64,
    #[command(flatten)]
    pub previews: FilesPreviews,
}

/// What links of messages lead to. One files node asks, so give all of them the same options.
#[derive(Args, Clone, Debug)]
pub struct FilesPreviews {
    /// Read what links of messages lead to, for their previews. Hosts see that, and a link that is good once is used up: so it is
    /// asked for here, and a room may turn it off.
    #[arg(long, env = "WEFT_PREVIEWS")]
    pub previews: bool,
    /// Read these addresses too, which are not public: those of an intranet, as 10.20.0.0/16, separated by commas.
    #[arg(long, env = "WEFT_PREVIEWS_ALLOW", value_name = "NET", value_delimiter = ',')]
    pub previews_allow: Vec<IpNet>,
    /// Never read these hosts and those below them, as example.org, separated by commas.
    #[arg(long, env = "WEFT_PREVIEWS_REFUSE", value_name = "HOST", value_delimiter = ',', value_parser = host)]
    pub previews_refuse: Vec<String>,
}

/// Reads a host, in the form in which addresses have it.
fn host(text: &str) -> Result<String, String> {
    let url = Url::parse(&format!("http://{text}/")).ok();
    let host =
        url.as_ref().and_then(|url| url.host_str()).filter(|_| !text.contains(['/', ':', '@']));
    host.map(str::to_owned).ok_or_else(|| "a host is like example.org".to_owned())
}

fn places() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u32).range(1..=100_000).map(|count| count as usize)
}

/// Reads where a files node is reached.
fn url(text: &str) -> Result<String, String> {
    let is_one = ["http://", "https://"]
        .iter()
        .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if text == "/" {
        return Ok(text.to_owned());
    }
    if !is_one || text.contains(char::is_whitespace) {
        return Err("an address is like https://files.example.org, or /".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

impl FilesLimits {
    /// The node's own options.
    pub fn files_options(
        &self,
        bus: Bus,
        data: PathBuf,
        file_bytes_max: u64,
    ) -> weft_files::FilesOptions {
        let limits = Limits {
            file_bytes_max,
            uploads_max: self.uploads_max,
            downloads_max: self.downloads_max,
            image_workers: self.image_workers,
            look_every: Duration::from_secs(self.files_look_s),
            ..Limits::default()
        };
        let backend = BackendPlace::Folder;
        let FilesPreviews { previews, previews_allow, previews_refuse } = self.previews.clone();
        let previews = previews
            .then_some(PreviewOptions { allowed: previews_allow, refused_hosts: previews_refuse });
        weft_files::FilesOptions { bus, data, backend, listen: None, url: None, limits, previews }
    }
}

/// Runs until a signal comes.
pub fn run(options: FilesOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("files", || Some("it starts".to_owned()));
        let exporter = metrics::files();
        let _admin =
            AdminListener::start(&options.admin, FILES_PORT, exporter, readiness.clone()).await?;
        let node = options.node.clone().map_or_else(|| new_node_name("files"), Ok)?;
        let login = options.nats.bus_options("files", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, login) => started,
        };
        let (files, bus) = started?;
        readiness.set("files", files.readiness());
        let listens = files.local_addr().map(|addr| format!(" on http://{addr}"));
        say(&format!("weft files {node} listens{}", listens.unwrap_or_default()));
        let failed = tokio::select! {
            _ = signals.next() => None,
            task = files.failed() => Some(task),
        };
        let late = end_part("files", PATIENCE - Duration::from_secs(1), |patience| {
            files.shutdown(patience)
        });
        let late = late.await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), |task| Err(Error::files_task(task)))
    })
}

async fn start(
    options: &FilesOptions,
    login: weft_nats::BusOptions,
) -> Result<(FilesNode, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let mut files_options =
        options.limits.files_options(bus.clone(), options.data.clone(), options.file_bytes);
    files_options.listen = Some(options.listen);
    let limits = &mut files_options.limits;
    limits.connections_max = options.connections_max;
    limits.address_connections_max = options.address_connections_max;
    limits.trusted_proxies.clone_from(&options.trusted_proxies);
    files_options.url.clone_from(&options.public_url);
    files_options.backend = options.storage.place()?;
    let files = FilesNode::start(files_options).await?;
    Ok((files, bus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_or_is_that_of_the_edges() {
        for (text, read) in [
            ("https://files.example.org/", "https://files.example.org"),
            ("http://10.0.0.7:7301", "http://10.0.0.7:7301"),
            ("/", "/"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(read));
        }
        for text in ["", "files.example.org", "wss://files", "https://", "https://a b"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
