//! Starts, watches and ends a nats-server.

use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::leftover::kill_leftover;
use crate::config::{ServerAddresses, ServerConfig};
use crate::error::Error;

/// How long a start may take. A large store is read at start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an orderly end may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at a server that starts.
const START_POLL: Duration = Duration::from_millis(10);
/// A free port can be taken by somebody else before the server has it.
const FREE_PORT_ATTEMPTS: u32 = 5;
/// A server that was just killed has no arguments any more and still holds its port for a moment.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const HOST: &str = "127.0.0.1";

#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// From [`find_or_install`](super::find_or_install).
    pub binary: PathBuf,
    /// The server's folder: configuration, log, pid file and JetStream's files. One server at a
    /// time uses it.
    pub dir: PathBuf,
    /// The port on 127.0.0.1; `None`: a free one.
    pub port: Option<u16>,
    /// Accounts, passwords, partitions.
    pub config: ServerConfig,
}

/// A running server. It ends with this process, however that ends (Linux), and when it is dropped.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    pid: Pid,
    exited: watch::Receiver<Option<String>>,
}

impl NatsServer {
    /// Starts a server and waits until it answers. What an earlier life of this folder's server
    /// left running is killed first.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::ServerFailed`] with the line of its log that says why,
    /// [`Error::Io`].
    pub async fn start(options: ServerOptions) -> Result<Self, Error> {
        let files = Files::new(&options.dir)?;
        let (pid_file, config_file) = (files.pid.clone(), files.config.clone());
        let ended = tokio::task::spawn_blocking(move || kill_leftover(&pid_file, &config_file));
        let _ = ended.await;
        let mut attempt = 1;
        loop {
            let port = free_port(options.port).await?;
            match start_on(&options, &files, port).await {
                Err(Error::ServerFailed { reason, .. })
                    if reason.contains("address already in use") =>
                {
                    if options.port.is_some() || attempt == FREE_PORT_ATTEMPTS {
                        return Err(Error::PortTaken(port));
                    }
                    attempt += 1;
                }
                started => return started,
            }
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{HOST}:{}", self.port)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Becomes `Some(how)` when the process has ended. Start another one on the same port then.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<String>> {
        self.exited.clone()
    }

    /// Ends it at once (SIGKILL), and waits until it has.
    pub async fn kill(self) {
        self.signal(Signal::KILL);
        self.wait().await;
    }

    /// Ends it in order, within 3 s; else kills it.
    pub async fn stop(self) {
        self.signal(Signal::TERM);
        if timeout(STOP_TIMEOUT, self.wait()).await.is_err() {
            self.signal(Signal::KILL);
            self.wait().await;
        }
    }

    async fn wait(&self) {
        // An error says that the waiting thread has ended, after the process.
        let _ = self.exited.clone().wait_for(Option::is_some).await;
    }

    /// Only while it was not waited for: afterwards the id may be somebody else's.
    fn signal(&self, signal: Signal) {
        if self.exited.borrow().is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

struct Files {
    config: PathBuf,
    log: PathBuf,
    pid: PathBuf,
    store: PathBuf,
}

impl Files {
    fn new(dir: &Path) -> Result<Self, Error> {
        let what = || dir.display().to_string();
        std::fs::create_dir_all(dir).map_err(Error::io(what()))?;
        let dir = std::path::absolute(dir).map_err(Error::io(what()))?;
        Ok(Self {
            config: dir.join("nats.conf"),
            log: dir.join("nats.log"),
            pid: dir.join("nats.pid"),
            store: dir.join("jetstream"),
        })
    }
}

/// Where the server listens that was started last in a folder; it may run no more.
///
/// # Errors
/// [`Error::Io`] where none was.
pub fn url_of(dir: &Path) -> Result<String, Error> {
    let file = dir.join("nats.conf");
    let what = || file.display().to_string();
    let text = std::fs::read_to_string(&file).map_err(Error::io(what()))?;
    let address = text.lines().find_map(|line| line.strip_prefix("listen: "));
    let address =
        address.ok_or_else(|| Error::io(what())(std::io::ErrorKind::InvalidData.into()))?;
    Ok(format!("nats://{}", address.trim_matches('"')))
}

async fn free_port(wanted: Option<u16>) -> Result<u16, Error> {
    let deadline = Instant::now() + PORT_PATIENCE;
    loop {
        match choose_port(wanted) {
            Err(Error::PortTaken(_)) if Instant::now() < deadline => sleep(START_POLL).await,
            chosen => return chosen,
        }
    }
}

fn choose_port(wanted: Option<u16>) -> Result<u16, Error> {
    let listener = TcpListener::bind((HOST, wanted.unwrap_or(0)));
    let port = listener.and_then(|listener| listener.local_addr()).map(|address| address.port());
    match wanted {
        Some(wanted) => port.map_err(|_| Error::PortTaken(wanted)),
        None => port.map_err(Error::io("looking for a free port")),
    }
}

async fn start_on(options: &ServerOptions, files: &Files, port: u16) -> Result<NatsServer, Error> {
    let name = format!("weft-{:016x}", rand::random::<u64>());
    let place = ServerAddresses {
        name: name.clone(),
        host: HOST.to_owned(),
        port,
        store_dir: files.store.clone(),
        log_file: Some(files.log.clone()),
        pid_file: Some(files.pid.clone()),
        cluster: None,
    };
    write_private(&files.config, &options.config.render(&place))?;
    let log_start = std::fs::metadata(&files.log).map_or(0, |log| log.len());
    let (pid, exited) = spawn(&options.binary, &files.config).await?;
    // From here on a failure drops the server, which kills it.
    let server = NatsServer { port, pid, exited };
    let failed = |reason: &str| Error::ServerFailed {
        reason: log_reason(&files.log, log_start).unwrap_or_else(|| reason.to_owned()),
        log: files.log.clone(),
    };
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(how) = server.exited.borrow().clone() {
            return Err(failed(&how));
        }
        if answers(port, &name).await {
            return Ok(server);
        }
        if Instant::now() >= deadline {
            return Err(failed("it does not answer"));
        }
        sleep(START_POLL).await;
    }
}

/// For the file's owner alone: it has passwords in it.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write;
    let what = || path.display().to_string();
    // Anew, so that an existing file's mode does not stay.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(what())(error));
        }
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(Error::io(what()))?;
    file.write_all(text.as_bytes()).map_err(Error::io(what()))
}

/// The server tells its name when somebody connects: so another server on the port is not taken
/// for it.
async fn answers(port: u16, name: &str) -> bool {
    let asked = async {
        let stream = TcpStream::connect((HOST, port)).await.ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.ok()?;
        (line.starts_with("INFO ") && line.contains(name)).then_some(())
    };
    timeout_at(Instant::now() + Duration::from_secs(1), asked).await.is_ok_and(|it| it.is_some())
}

/// Spawns from a thread that lives as long as the child and waits for it: the kernel's
/// parent-death signal is sent when the *thread* ends that spawned it.
async fn spawn(
    binary: &Path,
    config: &Path,
) -> Result<(Pid, watch::Receiver<Option<String>>), Error> {
    let (started_tx, started) = oneshot::channel();
    let (exited_tx, exited) = watch::channel(None);
    let mut command = Command::new(binary);
    command.arg("-c").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C in a terminal goes to the whole group: this process ends the server itself, in order.
    command.process_group(0);
    tie_to_this_process(&mut command);
    let what = format!("starting {}", binary.display());
    let thread = std::thread::Builder::new().name("nats-server".to_owned());
    let spawned = thread.spawn(move || match command.spawn() {
        Ok(child) => watch_child(child, started_tx, &exited_tx),
        Err(error) => drop(started_tx.send(Err(error))),
    });
    spawned.map_err(Error::io(what.clone()))?;
    let ended = || std::io::Error::other("the thread ended");
    let pid = started.await.unwrap_or_else(|_| Err(ended())).map_err(Error::io(what))?;
    Ok((pid, exited))
}

fn watch_child(
    mut child: Child,
    started: oneshot::Sender<std::io::Result<Pid>>,
    exited: &watch::Sender<Option<String>>,
) {
    if started.send(Ok(Pid::from_child(&child))).is_err() {
        // Nobody waits for the start any more.
        let _ = child.kill();
    }
    let how = match child.wait() {
        Ok(status) => format!("nats-server ended: {status}"),
        Err(error) => format!("nats-server can't be waited for: {error}"),
    };
    exited.send_replace(Some(how));
}

#[cfg(target_os = "linux")]
fn tie_to_this_process(command: &mut Command) {
    let parent = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It ended before the line above.
        if rustix::process::getppid() != Some(parent) {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "runs between fork and exec: two system calls, no allocation")]
    // SAFETY: the closure only makes async-signal-safe system calls.
    unsafe {
        command.pre_exec(tie);
    }
}

#[cfg(not(target_os = "linux"))]
fn tie_to_this_process(_command: &mut Command) {}

/// The line of this start's log that says why it ended.
fn log_reason(log: &Path, log_start: u64) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let start = usize::try_from(log_start).ok().filter(|start| *start <= bytes.len()).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[start..]).into_owned();
    let find = |level: &str| {
        let line = text.lines().rev().find(|line| line.contains(level))?;
        Some(line.split_once(level)?.1.trim().to_owned())
    };
    find("[FTL]").or_else(|| find("[ERR]"))
}
