//! `weft admin drain`: has an edge send its sessions away and end, and watches it.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tokio::time::{Instant, sleep};
use weft_nats::nodes::live_nodes;
use weft_nats::{Bus, NodeInfo, Subject};
use weft_proto::NodeId;

use super::nodes::{Installation, Line};
use crate::error::Error;

/// How often the edge is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is told again, until it says that it drains: a word on the wire may be lost.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Has an edge end in order.
#[derive(Args, Clone, Debug)]
pub struct DrainOptions {
    /// The edge, as `weft admin nodes` names it.
    #[arg(value_name = "EDGE", value_parser = node)]
    edge: NodeId,
    #[command(flatten)]
    installation: Installation,
    /// How long it may take altogether, in seconds.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
}

fn node(text: &str) -> Result<NodeId, String> {
    NodeId::new(text).map_err(|error| error.message)
}

/// Tells it to, and prints a line with each change, until it has ended.
pub async fn run(options: DrainOptions) -> Result<(), Error> {
    let bus = options.installation.connect().await?;
    let deadline = Instant::now() + Duration::from_secs(options.timeout_s);
    let drained = drain(&bus, &options.edge, deadline).await;
    bus.close().await;
    drained.map_err(|failed| Error::Failed(failed.in_words(&options)))
}

/// Why it is not drained.
enum Failed {
    NoSuchEdge(Vec<NodeId>),
    /// The time is over; as it was seen last.
    Late(NodeInfo),
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<weft_nats::Error> for Failed {
    fn from(error: weft_nats::Error) -> Self {
        Self::Error(error.into())
    }
}

impl Failed {
    fn in_words(self, options: &DrainOptions) -> String {
        let DrainOptions { edge, timeout_s, .. } = options;
        match self {
            Self::NoSuchEdge(live) if live.is_empty() => {
                format!("there is no live edge {edge}, and no other")
            }
            Self::NoSuchEdge(live) => {
                let live: Vec<_> = live.iter().map(NodeId::as_str).collect();
                format!("there is no live edge {edge}; there are {}", live.join(", "))
            }
            Self::Late(info) if info.draining => {
                format!("{edge} has not ended in {timeout_s} s: {} sessions left", info.sessions)
            }
            Self::Late(_) => format!("{edge} did not begin to drain in {timeout_s} s"),
            Self::Error(error) => error.one_line(),
        }
    }
}

async fn drain(bus: &Bus, edge: &NodeId, deadline: Instant) -> Result<(), Failed> {
    let mut edges = live_nodes(bus).await?.remove("edge").unwrap_or_default();
    let Some(mut seen) = edges.remove(edge) else {
        return Err(Failed::NoSuchEdge(edges.into_keys().collect()));
    };
    Line::new("edge", edge, &seen, 1).say()?;
    let boot = seen.boot.clone();
    let mut told_at: Option<Instant> = None;
    while Instant::now() < deadline {
        if !seen.draining && told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            bus.publish(&Subject::Drain { node: edge.clone() }, &[], Bytes::new()).await?;
            told_at = Some(Instant::now());
        }
        sleep(LOOK_EVERY).await;
        let now = match live_nodes(bus).await {
            Ok(mut roles) => roles.remove("edge").and_then(|mut edges| edges.remove(edge)),
            // NATS may be away for a moment.
            Err(error) if error.is_retryable() => continue,
            Err(error) => return Err(error.into()),
        };
        // Another boot: somebody has started it again.
        let Some(now) = now.filter(|now| now.boot == boot) else {
            let gone = NodeInfo { sessions: 0, draining: true, ..seen };
            return Ok(Line::new("edge", edge, &gone, 1).say()?);
        };
        if (now.sessions, now.draining) != (seen.sessions, seen.draining) {
            Line::new("edge", edge, &now, 1).say()?;
        }
        seen = now;
    }
    Err(Failed::Late(seen))
}
