//! `weft dev`: nats-server as a child process, core, presence, search, push, integrations, files and edge in this one, all state in one
//! folder.
//!
//! Ends in order (files, edge, integrations, push, search, presence, core, nats-server) within 5 s. Whatever way this process ends, nats-server
//! ends with it, and the next start on the folder finds nothing in its way.

mod bots;
mod folder;
mod nats;
mod welcome;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;
use weft_core::{Core, FEATURE_LEVEL, Upgrade};
use weft_edge::Edge;
use weft_files::FilesNode;
use weft_integrations::IntegrationsNode;
use weft_nats::{Bus, BusOptions};
use weft_presence::PresenceNode;
use weft_proto::UserId;
use weft_push::PushNode;
use weft_runtime::Readiness;
use weft_search::{SearchNode, SearchOptions};
use weft_storage::Store;
use weft_storage::embedded::Embedded;
use weft_storage::tables::layout;

pub use self::folder::{Folder, kept};
use self::nats::Nats;
pub use self::nats::server_config;
pub use self::welcome::print as print_text;
use crate::admin_listener::{AdminListen, AdminListener, EDGE_PORT};
use crate::bots::kept_issuer;
use crate::commands::Partitions;
use crate::error::Error;
use crate::metrics;
use crate::process::{Signals, block_on, end_part, name_the_late, until_free};
use crate::roles::core::CoreLimits;
use crate::roles::edge::EdgeLimits;
use crate::roles::files::FilesLimits;
use crate::roles::integrations::IntegrationsLimits;
use crate::roles::presence::PresenceLimits;
use crate::roles::push::PushLimits;

/// Of the 5 s that an orderly end may take, nats-server has the rest.
const FILES_PATIENCE: Duration = Duration::from_millis(400);
const EDGE_PATIENCE: Duration = Duration::from_millis(1_300);
const PUSH_PATIENCE: Duration = Duration::from_millis(300);
const SEARCH_PATIENCE: Duration = Duration::from_millis(300);
const PRESENCE_PATIENCE: Duration = Duration::from_millis(400);
const CORE_PATIENCE: Duration = Duration::from_millis(1_000);
const BUS_PATIENCE: Duration = Duration::from_millis(100);
/// How long a part may take to start: a machine that boots has much to do. What it waits for is in
/// its log.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Everything on this machine.
#[derive(Args, Clone, Debug)]
pub struct DevOptions {
    /// The data folder: store, streams, passwords. One `weft dev` at a time uses it.
    #[arg(long, env = "WEFT_DATA", default_value = ".weft")]
    pub data: PathBuf,
    /// Where clients connect (WebSocket and HTTP).
    #[arg(long, env = "WEFT_LISTEN", default_value = "127.0.0.1:7300")]
    pub listen: SocketAddr,
    /// The port of nats-server on 127.0.0.1, for other systems; 0: any free one.
    #[arg(long, env = "WEFT_NATS_PORT", default_value_t = 4223)]
    pub nats_port: u16,
    /// A bot that is made where it is not there yet, with a token in `secrets/<bot>.token` of the data folder. Can be given
    /// several times.
    #[arg(long = "bot", value_name = "NAME", env = "WEFT_BOTS", value_delimiter = ',', default_value = "bot", value_parser = bot_name)]
    pub bots: Vec<UserId>,
    #[command(flatten)]
    pub partitions: Partitions,
    #[command(flatten)]
    pub core_limits: CoreLimits,
    #[command(flatten)]
    pub edge_limits: EdgeLimits,
    #[command(flatten)]
    pub presence_limits: PresenceLimits,
    #[command(flatten)]
    pub files_limits: FilesLimits,
    #[command(flatten)]
    pub push_limits: PushLimits,
    #[command(flatten)]
    pub integrations_limits: IntegrationsLimits,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// Reads a bot's name of the command line.
fn bot_name(text: &str) -> Result<UserId, String> {
    if matches!(
        text,
        "admin" | "core" | "edge" | "files" | "integrations" | "presence" | "push" | "search"
    ) {
        return Err(format!("{text} is the NATS user of a part of Weft"));
    }
    UserId::new(text).map_err(|error| error.message)
}

/// Runs until a signal comes or a part fails.
pub fn run(options: DevOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("dev", || Some("it starts".to_owned()));
        let exporter = metrics::dev();
        let admin =
            AdminListener::start(&options.admin, EDGE_PORT, exporter, readiness.clone()).await?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = Running::start(&options) => started,
        };
        let running = started?;
        readiness.set("dev", || None);
        readiness.set("core", running.core.readiness());
        readiness.set("presence", running.presence.readiness());
        readiness.set("files", running.files.readiness());
        readiness.set("edge", running.edge.readiness());
        running.welcome(&options, admin.address())?;
        let failed = tokio::select! {
            biased;
            signal = signals.next() => {
                tracing::info!(signal, "ending");
                None
            }
            error = running.core.failed() => Some(Error::Failed(error.to_string())),
            task = running.edge.failed() => Some(Error::edge_task(task)),
            task = running.files.failed() => Some(Error::files_task(task)),
        };
        tokio::select! {
            late = running.finish() => name_the_late(&late),
            // Whoever asks twice does not want to wait.
            _ = signals.next() => {}
        }
        failed.map_or(Ok(()), Err)
    })
}

/// All parts. The fields are dropped in this order.
struct Running {
    edge: Edge,
    files: FilesNode,
    /// Beside messages, as search is: where it can't go on, the rest does.
    push: PushNode,
    integrations: IntegrationsNode,
    search: SearchNode,
    presence: PresenceNode,
    core: Core,
    buses: Vec<Bus>,
    nats: Nats,
    folder: Folder,
}

impl Running {
    async fn start(options: &DevOptions) -> Result<Self, Error> {
        let in_use = |error: &Error| matches!(error, Error::InUse { .. });
        let folder = until_free(|| Folder::open(&options.data), in_use)?;
        // Before anything is started: the same failure later would cost its user seconds.
        check_address(options.listen)?;
        let node = folder.node_name()?;
        let partitions = options.partitions.partitions;
        let bots = kept_issuer(&folder.bots_seed())?;
        let config = server_config(partitions, bots.public(), |user| folder.password(user));
        let nats = Nats::start(&folder, options.nats_port, config?).await?;
        let login = |role: &'static str| -> Result<BusOptions, Error> {
            Ok(BusOptions {
                url: nats.url(),
                user: role.to_owned(),
                password: folder.password(role)?,
                role,
                node: node.clone(),
            })
        };
        let store = Store::new(Embedded::open(&folder.store())?);
        upgrade(&store).await?;
        let core_bus = Bus::connect(&login("core")?).await?;
        let mut core_options =
            options.core_limits.core_options(store, core_bus.clone(), partitions);
        core_options.bot_issuer = Some(bots);
        let starting = async {
            let core = Core::start(core_options).await?;
            core.ready().await.map_err(|error| Error::Failed(error.to_string()))?;
            Ok::<_, Error>(core)
        };
        let core = timeout(READY_TIMEOUT, starting)
            .await
            .map_err(|_| Error::Failed("core did not get its partitions in time".to_owned()))??;
        bots::ensure(&options.bots, &folder, &login("admin")?).await?;
        let presence_bus = Bus::connect(&login("presence")?).await?;
        let presence_options = options.presence_limits.presence_options(presence_bus.clone());
        let starting = PresenceNode::start(presence_options);
        let presence = timeout(READY_TIMEOUT, starting).await.map_err(|_| {
            Error::Failed("presence did not learn in time who is here".to_owned())
        })??;
        let search_bus = Bus::connect(&login("search")?).await?;
        let search_options =
            SearchOptions { bus: search_bus.clone(), node: node.clone(), folder: folder.search() };
        let search = SearchNode::start(search_options).await?;
        let push_bus = Bus::connect(&login("push")?).await?;
        let (bus, key) = (push_bus.clone(), folder.push_key());
        let push = options.push_limits.push_options(bus, node.clone(), &key)?;
        let push = PushNode::start(push).await?;
        let integrations_bus = Bus::connect(&login("integrations")?).await?;
        let integrations = options
            .integrations_limits
            .integrations_options(integrations_bus.clone(), node.clone());
        let integrations = IntegrationsNode::start(integrations).await?;
        let files_bus = Bus::connect(&login("files")?).await?;
        let files_options = options.files_limits.files_options(
            files_bus.clone(),
            folder.files(),
            options.core_limits.file_bytes,
        );
        // The page and its files have one address.
        let files = FilesNode::start(files_options.beside_an_edge()).await?;
        let edge_bus = Bus::connect(&login("edge")?).await?;
        let mut edge_options =
            options.edge_limits.edge_options(edge_bus.clone(), options.listen, partitions);
        edge_options.beside = Some(files.router());
        let edge = Edge::start(edge_options).await?;
        let buses = vec![
            edge_bus,
            files_bus,
            integrations_bus,
            push_bus,
            search_bus,
            presence_bus,
            core_bus,
        ];
        Ok(Self { edge, files, push, integrations, search, presence, core, buses, nats, folder })
    }

    fn welcome(&self, options: &DevOptions, admin: SocketAddr) -> Result<(), Error> {
        let bot = options.bots.first().map(|bot| (bot, self.folder.token_file(bot)));
        let text = welcome::text(&welcome::Facts {
            address: self.edge.local_addr(),
            admin,
            nats_url: &self.nats.url(),
            data: self.folder.path(),
            bot: bot.as_ref().map(|(bot, file)| (bot.as_str(), file.as_path())),
        });
        welcome::print(&text)
    }

    /// Ends files, edge, integrations, push, search, presence, core, nats-server. The names of what is late.
    async fn finish(self) -> Vec<&'static str> {
        let Self { edge, files, push, integrations, search, presence, core, .. } = self;
        // First: the edge waits for requests, and an upload may be a long one.
        let mut late = end_part("files", FILES_PATIENCE, |patience| files.shutdown(patience)).await;
        late.extend(end_part("edge", EDGE_PATIENCE, |patience| edge.shutdown(patience)).await);
        let leaving =
            end_part("integrations", PUSH_PATIENCE, |patience| integrations.shutdown(patience));
        late.extend(leaving.await);
        late.extend(end_part("push", PUSH_PATIENCE, |patience| push.shutdown(patience)).await);
        let leaving = end_part("search", SEARCH_PATIENCE, |patience| search.shutdown(patience));
        late.extend(leaving.await);
        let leaving =
            end_part("presence", PRESENCE_PATIENCE, |patience| presence.shutdown(patience));
        late.extend(leaving.await);
        late.extend(end_part("core", CORE_PATIENCE, |patience| core.shutdown(patience)).await);
        for bus in &self.buses {
            if timeout(BUS_PATIENCE, bus.close()).await.is_err() {
                late.push("connection to nats-server");
            }
        }
        late.extend(self.nats.finish().await);
        drop(self.folder);
        late
    }
}

/// Nobody else uses the store, so there is nobody to be asked whether it may be upgraded.
async fn upgrade(store: &Store) -> Result<(), Error> {
    if store.snapshot().await?.get(layout::key()).await?.is_none() {
        return Ok(());
    }
    if let Some(upgrade) = Upgrade::prepare(store, FEATURE_LEVEL).await? {
        let (from, to) = (upgrade.from, upgrade.to);
        upgrade.commit(store, Duration::ZERO).await?;
        tracing::warn!(from, to, "the store was upgraded: an earlier Weft does not serve it");
    }
    Ok(())
}

fn check_address(address: SocketAddr) -> Result<(), Error> {
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let bound = until_free(|| std::net::TcpListener::bind(address), in_use);
    bound.map(drop).map_err(Error::io(format!("can't listen on {address}")))
}
