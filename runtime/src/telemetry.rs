//! Structured logs.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

/// Libraries that write whole messages and frames into their most detailed lines (TRACE): with the
/// passwords and tokens that are in them, and what people write to each other.
const TALKATIVE: [&str; 3] = ["async_nats", "tungstenite", "tokio_tungstenite"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Sends logs to stderr. `RUST_LOG` overrides `filter`, but whatever it says, no line holds a message. A
/// second call changes nothing.
pub fn init_telemetry(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let lines =
        fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let lines = lines.with_filter(filter_fn(may_be_logged));
    // Only the first call of a process can succeed; tests start several nodes in one.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

fn may_be_logged(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::DEBUG || !TALKATIVE.contains(&library)
}
