//! `weft core`: orders and keeps what is sent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weft_core::{Assignment, Core, FileLimits, QuotaLimits, Retention, StorePatience};
use weft_nats::{AssetOptions, Bus, Issuer};
use weft_proto::NodeId;
use weft_proto::limits::FILE_DAYS_MAX;
use weft_runtime::{Readiness, SystemClock};
use weft_storage::{Store, StorePlace};

use crate::admin_listener::{AdminListen, AdminListener, CORE_PORT};
use crate::bots::BotsSeed;
use crate::commands::{FilesStream, Partitions};
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{
    PATIENCE, Signals, block_on, end_part, host_name, name_the_late, new_node_name, node_name, say,
    until_free,
};

/// One core process.
#[derive(Args, Clone, Debug)]
pub struct CoreOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// Where everything is kept: `embedded:<folder>`, a store that belongs to this one process, or
    /// `fdb:<cluster file>`, FoundationDB, for many (a build with the feature `fdb`).
    #[arg(long, env = "WEFT_STORE", default_value = "embedded:weft-store")]
    pub store: StorePlace,
    /// This process's name; `{hostname}` in it means the machine's or container's. By default
    /// it is kept in the store's folder, so that a restart takes over at once; with FoundationDB
    /// give one, or each start has a new one and waits until the old one counts as dead.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub partitions: Partitions,
    #[command(flatten)]
    pub bots_seed: BotsSeed,
    /// Copies of each stream: 3 on a cluster of nats-servers, so that it goes on without one of
    /// them.
    #[arg(long, env = "WEFT_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    #[command(flatten)]
    pub files_stream: FilesStream,
    #[command(flatten)]
    pub limits: CoreLimits,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// What core allows.
#[derive(Args, Clone, Debug)]
pub struct CoreLimits {
    /// Commands that one sender may have applied per second, in the long run, in all rooms together.
    /// What costs more counts as several: each user who is put into a group, each 64 kB, 100
    /// receivers. Several cores share it, as they share the partitions.
    #[arg(long, env = "WEFT_SENDER_RATE_PER_S", default_value_t = 50)]
    pub sender_rate_per_s: u32,
    /// Commands that one sender may have applied at once, counted in the same way.
    #[arg(long, env = "WEFT_SENDER_BURST", default_value_t = 200)]
    pub sender_burst: u32,
    /// How long an access token lives, in seconds.
    #[arg(long, env = "WEFT_TOKEN_LIFE_S", default_value_t = 3_600)]
    pub token_life_s: u32,
    /// How many days a device may be away and still get all that it missed, without loading its rooms
    /// anew.
    #[arg(long, env = "WEFT_INBOX_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub inbox_days: u16,
    /// How many days commands are kept that could not be applied.
    #[arg(long, env = "WEFT_DEAD_LETTER_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub dead_letter_days: u16,
    /// How many of those a partition keeps at the most: the newest ones.
    #[arg(long, env = "WEFT_DEAD_LETTERS_MAX", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub dead_letters_max: u32,
    /// After how many days without use a device's login is removed.
    #[arg(long, env = "WEFT_LOGIN_DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(30..=3_650))]
    pub login_days: u16,
    /// For how many days it is kept which commit wrote which entries (the journal): for whoever has to
    /// catch up with everything. Entries themselves are not deleted.
    #[arg(long, env = "WEFT_JOURNAL_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3_650))]
    pub journal_days: u16,
    /// For how many minutes senders may edit and delete their messages; 0: for ever. An admin of a group
    /// may always delete.
    #[arg(long, env = "WEFT_EDIT_MINUTES", default_value_t = 0)]
    pub edit_minutes: u32,
    /// The largest file that a user may upload, in bytes.
    #[arg(long, env = "WEFT_FILE_BYTES", default_value_t = FileLimits::default().bytes_max, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub file_bytes: u64,
    /// How many bytes a user may begin to upload on one day (UTC).
    #[arg(long, env = "WEFT_FILE_DAY_BYTES", default_value_t = FileLimits::default().day_bytes_max)]
    pub file_day_bytes: u64,
    /// How many files a user may begin to upload on one day (UTC).
    #[arg(long, env = "WEFT_FILE_DAY_FILES", default_value_t = FileLimits::default().day_files_max)]
    pub file_day_files: u64,
    /// For how many days a message has its files, where its room says nothing else.
    #[arg(long, env = "WEFT_FILE_DAYS", default_value_t = FileLimits::default().days, value_parser = clap::value_parser!(u32).range(1..=i64::from(FILE_DAYS_MAX)))]
    pub file_days: u32,
}

/// Reads a node's name of the command line. `{hostname}` lets processes that have the same options,
/// each on a machine or in a container of its own, have names of their own.
pub fn node(text: &str) -> Result<NodeId, String> {
    NodeId::new(&text.replace("{hostname}", &host_name())).map_err(|error| error.message)
}

/// Runs until a signal comes.
pub fn run(options: CoreOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("core", || Some("it starts".to_owned()));
        let exporter = metrics::core();
        let _admin =
            AdminListener::start(&options.admin, CORE_PORT, exporter, readiness.clone()).await?;
        // The store's lock comes first: the node's name belongs to whoever holds it.
        let in_use = |error: &weft_storage::Error| matches!(error, weft_storage::Error::Locked(_));
        let opened = until_free(|| options.store.open(), in_use)?;
        let store = opened.store.clone();
        let node = match (&options.node, options.store.folder()) {
            (Some(node), _) => node.clone(),
            (None, Some(folder)) => kept_node_name(folder)?,
            (None, None) => new_node_name("core")?,
        };
        let login = options.nats.bus_options("core", &node)?;
        let bot_issuer = options.bots_seed.issuer()?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, store, login, bot_issuer) => started,
        };
        let (core, bus) = started?;
        readiness.set("core", core.readiness());
        let failed = tokio::select! {
            biased;
            _ = signals.next() => None,
            error = core.failed() => Some(error),
            never = announce(&core, &options, &node) => match never {},
        };
        let late =
            end_part("core", PATIENCE - Duration::from_secs(1), |patience| core.shutdown(patience))
                .await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), |error| Err(Error::Failed(error.to_string())))
    })
}

async fn start(
    options: &CoreOptions,
    store: Store,
    login: weft_nats::BusOptions,
    bot_issuer: Option<Arc<Issuer>>,
) -> Result<(Core, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let partitions = options.partitions.partitions;
    let mut core_options = options.limits.core_options(store, bus.clone(), partitions);
    core_options.bot_issuer = bot_issuer;
    core_options.assets.replicas = options.replicas;
    core_options.assets.files_bytes_max = options.files_stream.files_stream_bytes;
    let core = Core::start(core_options).await?;
    Ok((core, bus))
}

/// Says when all partitions are taken. What keeps them from being taken, `failed` says.
async fn announce(core: &Core, options: &CoreOptions, node: &NodeId) -> std::convert::Infallible {
    if core.ready().await.is_ok() {
        say(&format!("weft core {node} is ready: {} partitions", options.partitions.partitions));
    }
    std::future::pending().await
}

impl CoreLimits {
    fn retention(&self) -> Retention {
        let days = |days: u16| Duration::from_secs(u64::from(days) * 24 * 3_600);
        let kept = Retention::default();
        Retention {
            inboxes: days(self.inbox_days),
            dead_letters: days(self.dead_letter_days),
            dead_letters_max: usize::try_from(self.dead_letters_max).unwrap_or(usize::MAX),
            logins: days(self.login_days),
            journal: days(self.journal_days),
            // Followers hold up the journal until it is twice as old.
            minutes: kept.minutes.max(days(self.inbox_days.max(self.journal_days)) * 3),
        }
    }

    fn file_limits(&self) -> FileLimits {
        FileLimits {
            bytes_max: self.file_bytes,
            day_bytes_max: self.file_day_bytes,
            day_files_max: self.file_day_files,
            days: self.file_days,
        }
    }

    /// Core's own options.
    pub fn core_options(&self, store: Store, bus: Bus, partitions: u16) -> weft_core::CoreOptions {
        weft_core::CoreOptions {
            store,
            node: bus.node().clone(),
            bus,
            assets: AssetOptions { partitions, ..AssetOptions::default() },
            bot_issuer: None,
            quota: QuotaLimits { rate_per_s: self.sender_rate_per_s, burst: self.sender_burst },
            token_life: Duration::from_secs(self.token_life_s.into()),
            tick_interval: Some(weft_core::TICK_INTERVAL),
            retention: self.retention(),
            edit_window: Duration::from_secs(u64::from(self.edit_minutes) * 60),
            files: self.file_limits(),
            assignment: Assignment::Live,
            store_patience: StorePatience::default(),
            clock: Arc::new(SystemClock),
            feature_level: weft_core::FEATURE_LEVEL,
        }
    }
}

/// The name is a file beside the store's own files.
fn kept_node_name(folder: &Path) -> Result<NodeId, Error> {
    let text =
        crate::dev::kept(&folder.join("node"), 0o644, || Ok(new_node_name("core")?.to_string()))?;
    node_name(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_can_be_named_after_its_machine() {
        assert_eq!(node("core-1").map(|node| node.to_string()), Ok("core-1".to_owned()));
        let named = node("core-{hostname}").expect("a name").to_string();
        assert_eq!(named, format!("core-{}", host_name()));
        assert!(named.len() > "core-".len(), "{named}");
        assert!(node("core {hostname}").is_err());
    }
}
