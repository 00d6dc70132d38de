//! How many files may be open: a socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside the sockets of sessions: HTTP requests, NATS, a service's files.
const OTHER_FILES: u64 = 1_024;

/// Has an edge take as many open files as it needs for its sessions, or as it may. How many sessions it
/// can have; fewer than it wants are said.
pub fn for_sessions(wanted: usize) -> usize {
    let (sessions, needed) = (wanted as u64, (wanted as u64).saturating_add(OTHER_FILES));
    let limits = getrlimit(Resource::Nofile);
    let allowed = limits.maximum.map_or(needed, |maximum| maximum.min(needed));
    let is_low = limits.current.is_some_and(|current| current < allowed);
    let raised = Rlimit { current: Some(allowed), ..limits };
    let allowed = match is_low.then(|| setrlimit(Resource::Nofile, raised)) {
        Some(Err(_)) => limits.current.unwrap_or(allowed),
        _ => allowed,
    };
    let can = sessions_of(allowed).min(sessions);
    if can < sessions {
        tracing::warn!(
            "this machine allows {allowed} open files, {needed} are needed for {sessions} sessions: this \
             edge takes {can}. Raise the hard limit (ulimit -Hn; LimitNOFILE of systemd; \
             default-ulimits of Docker), or say --sessions-max {can}"
        );
    }
    usize::try_from(can).unwrap_or(wanted)
}

/// How many sessions a number of open files is enough for. A small edge keeps half of them.
fn sessions_of(files: u64) -> u64 {
    files.saturating_sub(OTHER_FILES.min(files / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_files_are_kept_for_other_things() {
        assert_eq!(sessions_of(51_024), 50_000);
        assert_eq!(sessions_of(1_024), 512);
        assert_eq!(sessions_of(0), 0);
    }
}
