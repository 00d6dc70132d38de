//! Whether this node works: it says so to the others, and answers nobody's calls while it does not and
//! another one does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use weft_nats::nodes::Nodes;
use weft_nats::{Bus, Registration, Services};
use weft_proto::NodeId;

use crate::partition::owner::{Progress, is_passed_over, passed_over};
use crate::services::{self, Context};
use crate::store_health::StoreHealth;

/// Between two looks at oneself.
const LOOK: Duration = Duration::from_millis(500);
/// How long calls that are underway may take to end when they are given up.
const CALLS_PATIENCE: Duration = Duration::from_secs(10);
/// Before services are tried again that could not be started.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Says in this node's key whether it works. Never ends.
pub async fn say_whether_it_works(
    registration: Arc<Registration>,
    health: StoreHealth,
    progress: Progress,
) {
    let patience = health.patience();
    let (mut works, mut well_since) = (true, Instant::now());
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let trouble = health.trouble();
        let stuck = progress.stuck();
        let is_well = trouble.is_none() && stuck.is_none();
        if !is_well {
            well_since = Instant::now();
        }
        let is_lost =
            stuck.is_some() || trouble.is_some_and(|it| it.since.elapsed() >= patience.gives_up);
        let now_works = match works {
            true => !is_lost,
            false => well_since.elapsed() >= patience.recovers,
        };
        if now_works != works {
            works = now_works;
            match (works, stuck) {
                (true, _) => info!("this node works again"),
                (false, Some(partition)) => {
                    tracing::error!(partition, "the task of a partition hangs");
                }
                (false, None) => warn!(
                    "this node has been without its store for too long: others \
                                        whose store is well may take over"
                ),
            }
            registration.update(|info| info.works = Some(works));
        }
    }
}

/// The services of this node, while it has any. Dropped without a shutdown, they end too.
pub struct Serving {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Serving {
    /// Goes on with services that were started.
    pub fn start(
        services: Services,
        context: Arc<Context>,
        bus: Bus,
        nodes: watch::Receiver<Nodes>,
        node: NodeId,
    ) -> Self {
        let stop = CancellationToken::new();
        let serve = serve(services, context, bus, nodes, node, stop.clone());
        Self { stop, task: tokio::spawn(serve) }
    }

    /// Answers what was taken, and nothing more.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // A panic was reported when it happened.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut services: Services,
    context: Arc<Context>,
    bus: Bus,
    mut nodes: watch::Receiver<Nodes>,
    node: NodeId,
    stop: CancellationToken,
) {
    loop {
        if stop.run_until_cancelled(passed_over(&mut nodes, &node)).await.is_none() {
            return services.shutdown().await;
        }
        warn!("calls are left to other nodes");
        if timeout(CALLS_PATIENCE, services.shutdown()).await.is_err() {
            warn!("calls were given up that the store does not answer");
        }
        let back = nodes.wait_for(|nodes| !is_passed_over(nodes, &node));
        match stop.run_until_cancelled(back).await {
            Some(Ok(_)) => {}
            _ => return,
        }
        let Some(again) = stop.run_until_cancelled(start_again(&context, &bus)).await else {
            return;
        };
        services = again;
        info!("calls are answered again");
    }
}

async fn start_again(context: &Arc<Context>, bus: &Bus) -> Services {
    loop {
        match services::start(Arc::clone(context), bus).await {
            Ok(services) => return services,
            Err(error) => warn!(%error, "the services can't be started, trying again"),
        }
        sleep(RETRY_PAUSE).await;
    }
}
