//! This process among others: signals, names, its runtime.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use weft_proto::NodeId;

use crate::error::Error;

/// How long an orderly end may take altogether.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a command's work on all cores.
pub fn block_on<F: Future<Output = Result<(), Error>>>(work: F) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting threads"))?;
    let result = runtime.block_on(work);
    // What is late was named; a blocking task must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Tries again for a second while `is_held` says that somebody has what is wanted: a process that
/// was killed lets go of its locks and ports only a moment later.
pub fn until_free<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match attempt() {
            Err(error) if is_held(&error) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// Hears Ctrl-C and SIGTERM from its creation on.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    pub fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Resolves with the next one. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// A name for a node that nobody named.
pub fn new_node_name(role: &str) -> Result<NodeId, Error> {
    node_name(&format!("{role}-{:08x}", rand::random::<u32>()))
}

/// This machine's name, or the container's, without its domain.
pub fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

pub fn node_name(text: &str) -> Result<NodeId, Error> {
    NodeId::new(text)
        .map_err(|error| Error::Failed(format!("node name {text:?}: {}", error.message)))
}

/// Ends a part within `patience`, a quarter of which is for what it does after its own tasks have
/// ended (it may wait for a NATS that has ended). The names of what is late.
pub async fn end_part<F>(
    name: &'static str,
    patience: Duration,
    shutdown: impl FnOnce(Duration) -> F,
) -> Vec<&'static str>
where
    F: Future<Output = Vec<&'static str>>,
{
    let ended = tokio::time::timeout(patience, shutdown(patience * 3 / 4)).await;
    ended.unwrap_or_else(|_| vec![name])
}

/// Says on standard error which tasks did not end in time.
pub fn name_the_late(late: &[&'static str]) {
    if !late.is_empty() {
        eprintln!("weft: ended without waiting longer for: {}", late.join(", "));
    }
}

/// Writes a line to standard output, for whoever started this process. Nobody may be listening.
pub fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
