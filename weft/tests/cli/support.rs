//! Processes of this package's executable, and the smallest HTTP client that will do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything here takes, also on a busy machine and with nats-server to be fetched.
const PATIENCE: Duration = Duration::from_secs(120);

/// A command of the executable, without what the environment sets for another weft.
pub fn weft(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("WEFT_") && name != "WEFT_NATS_SERVER" || name == "RUST_LOG" {
            command.env_remove(&variable);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end, expects exit code 1, and returns the one line that it says.
pub fn failure_line(mut command: Command) -> String {
    let output = command.output().expect("run");
    let line = last_line(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    line
}

/// The last line of standard error; there is no other that speaks for weft.
fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("weft: ")).count(), 1, "{text}");
    text.lines().last().unwrap_or_default().to_owned()
}

/// Looks again and again until it holds.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that stays free while nobody has it: from below those that the system gives away.
pub fn lasting_port() -> u16 {
    let mut free = (0..).map(|_| rand::random_range(15_000..30_000));
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    free.find(is_free).expect("a free port")
}

/// A running process. Dropping it kills it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start");
        let stdout = BufReader::new(child.stdout.take().expect("stdout"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// `weft dev` on this folder, on free ports, when it has said that it runs.
    pub fn dev(data: &Path) -> (Self, Place) {
        let mut command = weft(&["dev", "--listen", "127.0.0.1:0", "--nats-port", "0"]);
        command.arg("--data").arg(data);
        Self::start_dev(command)
    }

    /// As [`dev`](Self::dev), on ports that a restart finds free.
    pub fn dev_at(data: &Path, http_port: u16, nats_port: u16) -> (Self, Place) {
        let mut command = weft(&["dev"]);
        command.arg(format!("--listen=127.0.0.1:{http_port}"));
        command.arg(format!("--nats-port={nats_port}"));
        command.arg("--data").arg(data);
        Self::start_dev(command)
    }

    fn start_dev(command: Command) -> (Self, Place) {
        let running = Self::start(command);
        let place = Place {
            http: running.word_after("clients", "http://"),
            nats: running.word_after("other systems", "nats://"),
        };
        (running, place)
    }

    /// The next line that has both: what follows `prefix`, up to a space.
    pub fn word_after(&self, needle: &str, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).expect("a line in time");
            if line.contains(needle)
                && let Some((_, rest)) = line.split_once(prefix)
            {
                return rest.split(' ').next().unwrap_or_default().to_owned();
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, without waiting for the end.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
    }

    /// Ctrl-C, or SIGTERM. How long it took to end, and whether it ended well.
    pub fn stop(mut self, signal: rustix::process::Signal) -> (Duration, bool) {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("signal");
        let status = self.child.wait().expect("wait");
        (begun.elapsed(), status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a `weft dev` listens.
pub struct Place {
    /// `host:port`
    pub http: String,
    /// `host:port`
    pub nats: String,
}

/// One request. Status and body.
pub fn http(
    address: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let authorization =
        token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// True while the process runs: one that has ended but was not waited for has no command line.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The nats-server of a data folder.
pub fn nats_pid(data: &Path) -> u32 {
    let text = std::fs::read_to_string(data.join("nats/nats.pid")).expect("pid file");
    text.trim().parse().expect("pid")
}
