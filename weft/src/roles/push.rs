//! `weft push`: notifies devices of what their users have not seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weft_nats::Bus;
use weft_proto::NodeId;
use weft_push::apns::ApnsOptions;
use weft_push::fcm::{FCM_URL, FcmOptions};
use weft_push::web_push::Vapid;
use weft_push::{Delays, IpNet, PushNode, Roots};
use weft_runtime::{Readiness, SystemClock};

use super::core::node;
use crate::admin_listener::{AdminListen, AdminListener, PUSH_PORT};
use crate::dev::kept;
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, say};

/// One push process.
#[derive(Args, Clone, Debug)]
pub struct PushOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// The file of the key that Web Push is signed with (PEM, PKCS #8, P-256). It is made where it is not there. Browsers subscribe
    /// for this key: with another one none of them is notified until it subscribes anew.
    #[arg(long, env = "WEFT_PUSH_KEY", default_value = "weft-push.pem")]
    pub key: PathBuf,
    /// This process's name, `{hostname}` as with core. By default another one at each start.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub limits: PushLimits,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// How devices are notified.
#[derive(Args, Clone, Debug)]
pub struct PushLimits {
    /// How long a user has to see a message by themselves before their devices are notified, in milliseconds.
    #[arg(long = "push-delay-ms", env = "WEFT_PUSH_DELAY_MS", default_value_t = 3_000)]
    pub push_delay_ms: u64,
    /// How much longer they wait while the user looks at another device and uses it, in milliseconds.
    #[arg(long = "push-attended-ms", env = "WEFT_PUSH_ATTENDED_MS", default_value_t = 10_000)]
    pub push_attended_ms: u64,
    /// How services of Web Push reach you where something is wrong: `mailto:…` or `https://…`. Some of them ask for it.
    #[arg(long = "push-contact", env = "WEFT_PUSH_CONTACT", default_value = "")]
    pub push_contact: String,
    /// A network in which addresses may be asked beside public ones, as 10.1.0.0/16. Can be given several times.
    #[arg(
        long = "push-allow",
        value_name = "NETWORK",
        env = "WEFT_PUSH_ALLOW",
        value_delimiter = ','
    )]
    pub push_allow: Vec<IpNet>,
    /// A file of certificates (PEM) of authorities that gateways may be certified by, beside the machine's.
    #[arg(long = "push-ca", value_name = "FILE", env = "WEFT_PUSH_CA")]
    pub push_ca: Option<PathBuf>,
    /// The file of a service account of Firebase (JSON): devices are notified by FCM.
    #[arg(long = "push-fcm-credentials", value_name = "FILE", env = "WEFT_PUSH_FCM_CREDENTIALS")]
    pub push_fcm_credentials: Option<PathBuf>,
    /// Where FCM is.
    #[arg(long = "push-fcm-url", value_name = "URL", env = "WEFT_PUSH_FCM_URL", default_value = FCM_URL)]
    pub push_fcm_url: String,
    /// The file of a key for APNs (`AuthKey_….p8`): devices are notified by Apple's service.
    #[arg(
        long = "push-apns-key",
        value_name = "FILE",
        env = "WEFT_PUSH_APNS_KEY",
        requires_all = ["push_apns_key_id", "push_apns_team"]
    )]
    pub push_apns_key: Option<PathBuf>,
    /// The id of that key: ten letters and digits.
    #[arg(long = "push-apns-key-id", value_name = "ID", env = "WEFT_PUSH_APNS_KEY_ID")]
    pub push_apns_key_id: Option<String>,
    /// The id of the team that it is of.
    #[arg(long = "push-apns-team", value_name = "ID", env = "WEFT_PUSH_APNS_TEAM")]
    pub push_apns_team: Option<String>,
    /// Where APNs is, in the place of Apple's two addresses (for devices of production, and of the sandbox).
    #[arg(long = "push-apns-url", value_name = "URL", env = "WEFT_PUSH_APNS_URL")]
    pub push_apns_url: Option<String>,
}

impl PushLimits {
    /// `key`: where the key of Web Push is kept.
    pub fn push_options(
        &self,
        bus: Bus,
        node: NodeId,
        key: &Path,
    ) -> Result<weft_push::PushOptions, Error> {
        let roots = match &self.push_ca {
            Some(path) => {
                let roots = Roots::read(read(path)?.as_bytes());
                roots.map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?
            }
            None => Roots::default(),
        };
        let fcm = self.push_fcm_credentials.as_deref().map(|path| {
            let (credentials, url) = (read(path)?, self.push_fcm_url.clone());
            Ok::<_, Error>(FcmOptions { credentials, url })
        });
        let apns = self.push_apns_key.as_deref().map(|path| {
            Ok::<_, Error>(ApnsOptions {
                key: read(path)?,
                key_id: self.push_apns_key_id.clone().unwrap_or_default(),
                team: self.push_apns_team.clone().unwrap_or_default(),
                url: self.push_apns_url.clone(),
            })
        });
        Ok(weft_push::PushOptions {
            bus,
            node,
            clock: Arc::new(SystemClock),
            vapid_key: kept(key, 0o600, || Ok(Vapid::make_key()?))?,
            contact: self.push_contact.clone(),
            delays: Delays {
                all: Duration::from_millis(self.push_delay_ms),
                attended: Duration::from_millis(self.push_attended_ms),
            },
            allowed: self.push_allow.clone(),
            fcm: fcm.transpose()?,
            apns: apns.transpose()?,
            roots,
        })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| Error::Failed(format!("{} can't be read: {error}", path.display())))
}

/// Runs until a signal comes, or it can't go on.
pub fn run(options: PushOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("push", || Some("it starts".to_owned()));
        let exporter = metrics::push();
        let _admin =
            AdminListener::start(&options.admin, PUSH_PORT, exporter, readiness.clone()).await?;
        let node = options.node.clone().map_or_else(|| new_node_name("push"), Ok)?;
        let login = options.nats.bus_options("push", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, node.clone(), login) => started,
        };
        let (push, bus) = started?;
        readiness.set("push", push.readiness());
        say(&format!("weft push {node} follows"));
        let failed = tokio::select! {
            biased;
            _ = signals.next() => None,
            error = push.failed() => Some(Error::Failed(error)),
        };
        let late =
            end_part("push", PATIENCE - Duration::from_secs(1), |patience| push.shutdown(patience));
        let late = late.await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), Err)
    })
}

async fn start(
    options: &PushOptions,
    node: NodeId,
    login: weft_nats::BusOptions,
) -> Result<(PushNode, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let push = options.limits.push_options(bus.clone(), node, &options.key)?;
    Ok((PushNode::start(push).await?, bus))
}
