//! A nats-server that an earlier life of this process left running.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Kills the process that the pid file names, if it really is a nats-server with this
/// configuration: process ids are used again.
pub(super) fn kill_leftover(pid_file: &Path, config_file: &Path) {
    let Some(pid) = read_pid(pid_file) else { return };
    if !runs(pid, config_file) {
        return;
    }
    tracing::info!(pid = pid.as_raw_nonzero(), "ending a nats-server that was left running");
    // Kill, not stop: what it has acknowledged is in its files.
    if kill_process(pid, Signal::KILL).is_err() {
        return;
    }
    let deadline = Instant::now() + Duration::from_secs(3);
    while runs(pid, config_file) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read_pid(pid_file: &Path) -> Option<Pid> {
    Pid::from_raw(std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?)
}

/// A process that has ended but was not waited for has no arguments.
fn runs(pid: Pid, config_file: &Path) -> bool {
    let Some(arguments) = arguments_of(pid) else { return false };
    let config = config_file.to_string_lossy();
    let is_server = arguments.first().is_some_and(|binary| {
        Path::new(binary)
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("nats-server"))
    });
    is_server && arguments.iter().any(|argument| *argument == config)
}

#[cfg(target_os = "linux")]
fn arguments_of(pid: Pid) -> Option<Vec<String>> {
    let bytes = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).ok()?;
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

#[cfg(not(target_os = "linux"))]
fn arguments_of(pid: Pid) -> Option<Vec<String>> {
    let number = pid.as_raw_nonzero().to_string();
    let output =
        std::process::Command::new("ps").args(["-o", "args=", "-p", &number]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_with_that_id_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("weft-leftover-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let pid_file = folder.join("nats.pid");
        // This very process: were it killed, the test would say so.
        std::fs::write(&pid_file, std::process::id().to_string()).expect("write");
        kill_leftover(&pid_file, &folder.join("nats.conf"));
        std::fs::write(&pid_file, "nonsense").expect("write");
        kill_leftover(&pid_file, &folder.join("nats.conf"));
        std::fs::remove_dir_all(&folder).expect("remove");
    }
}
