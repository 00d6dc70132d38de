//! Processes of this package's executable.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

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

/// A running process. Dropping it kills it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Self {
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
        let running = Self::start(command);
        let place = Place {
            http: running.word_after("clients", "http://"),
            nats: running.word_after("other systems", "nats://"),
        };
        (running, place)
    }

    /// The next line that has both: what follows `prefix`, up to a space.
    fn word_after(&self, needle: &str, prefix: &str) -> String {
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
