//! Outgoing webhooks: what is written in a group, or concerns a user, is delivered to addresses that people name
//! ([ADR 30](../../../docs/adr/0030-webhooks.md)).
//!
//! A follower of the journal puts a job into a queue for each entry and each webhook that is to be told of it; a worker takes the
//! job, asks core what holds at that moment, and asks the address. What is delivered to one webhook is delivered in its order: only
//! the first of its jobs is tried. All state is in the journal's place of the follower, in the queue, and in the webhook's row, so a
//! process that ends forgets nothing. Messages never wait for it.
//!
//! | module | duty |
//! | --- | --- |
//! | `teller` | the journal, and the jobs that are made of it |
//! | `lanes` | which job is whose turn: pure |
//! | `worker` | a job from its turn to its end |
//! | `delivery` | what is sent, and what an answer means: pure |
//! | `letter` | what could not be delivered |

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use weft_journal::FollowerOptions;
use weft_nats::nodes::Nodes;
use weft_nats::{Bus, Services};
use weft_outbound::{Connections, IpNet, Options, Outbound, Roots, Rules};
use weft_proto::{ApiError, ErrorCode, svc};
use weft_runtime::{Clock, Shutdown};

mod delivery;
mod lanes;
mod letter;
pub(crate) mod metrics;
mod teller;
mod worker;

pub use letter::DeadDelivery;

use self::teller::Teller;
use self::worker::Worker;

/// The name under which the journal is followed.
pub const FOLLOWER: &str = "webhooks";
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Addresses that are checked at once.
const CHECKS_MAX: usize = 64;
/// How often core is told of what is done.
const MOVE_EVERY: Duration = Duration::ZERO;

/// How webhooks are delivered.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// These addresses may be asked beside public ones.
    pub allowed: Vec<IpNet>,
    /// After failing for so long a webhook is paused.
    pub pause_after: Duration,
}

/// Begins to follow, to deliver, and to check addresses. It ends with `shutdown`, the answered one with the services.
///
/// # Errors
/// The client's, and those of the wire.
pub(crate) async fn start(
    (bus, clock): (&Bus, &Arc<dyn Clock>),
    options: WebhookOptions,
    (nodes, is_followed): (watch::Receiver<Nodes>, Arc<AtomicBool>),
    (shutdown, services): (&Shutdown, &mut Services),
    fail: impl FnOnce(String) + Send + 'static,
) -> Result<(), crate::Error> {
    let outbound = Outbound::new(Options {
        rules: Rules { allowed: options.allowed, ..Rules::default() },
        redirects_max: 0,
        patience: PATIENCE,
        user_agent: format!("weft-webhooks/{}", env!("CARGO_PKG_VERSION")),
        roots: Roots::default(),
        connections: Connections::Short,
    })?;
    let checked = outbound.clone();
    let check = move |asked: svc::CheckWebhookUrl| {
        let checked = checked.check(&asked.url).map(|_| svc::Empty {});
        async move { checked.map_err(|error| refused(&error)) }
    };
    services.handle::<svc::CheckWebhookUrl, _, _>(CHECKS_MAX, check).await?;
    let teller = Teller { bus: bus.clone(), clock: Arc::clone(clock) };
    let (name, move_every) = (FOLLOWER, MOVE_EVERY);
    let follower = FollowerOptions { bus: bus.clone(), name, nodes, is_followed, move_every };
    let stop = shutdown.token().clone();
    shutdown.spawn("follower of webhooks", async move {
        if let Err(error) = weft_journal::run(follower, teller, stop).await {
            fail(error.to_string());
        }
    });
    let worker = Worker::new((bus.clone(), Arc::clone(clock)), outbound, options.pause_after);
    shutdown.spawn("webhooks", Arc::new(worker).run(shutdown.token().clone()));
    Ok(())
}

fn refused(error: &weft_outbound::Error) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field url: {error}"))
}
