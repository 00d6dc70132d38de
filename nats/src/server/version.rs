//! Which nats-server is new enough.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// The oldest nats-server that Weft works with: markers on expiry came with it.
pub const VERSION_NEEDED: &str = "2.11.0";
const MAJOR_MINOR_NEEDED: (u32, u32) = (2, 11);

/// `2.15.1`, `v2.12.0-beta.1`
pub(crate) fn version_is_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= MAJOR_MINOR_NEEDED)
}

/// What `nats-server -v` says; `None` where it is not a nats-server.
pub(super) async fn version_of(binary: &Path) -> Option<String> {
    let asked = Command::new(binary).arg("-v").kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(10), asked).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.trim().strip_prefix("nats-server: v")?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for good in ["2.11.0", "2.15.1", "v2.11.3", "3.0.0", "2.12.0-beta.1", "10.0.0"] {
            assert!(version_is_enough(good), "{good}");
        }
        for bad in ["2.10.29", "2.9.99", "1.99.0", "0.0.0", "", "2", "x.y.z"] {
            assert!(!version_is_enough(bad), "{bad}");
        }
    }
}
