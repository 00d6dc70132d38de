//! The folder of a running system: logs, configuration, data.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::process::lives;

/// A folder. It goes with this value, but stays where the test is failing, or where the value is
/// never dropped because several tests share it: then the next run clears it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn new() -> Result<Self> {
        static CLEARED: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let root = target().join("weft-tests");
        CLEARED.call_once(|| clear(&root));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{}.{number}", test_name(), std::process::id());
        let path = root.join(name);
        std::fs::create_dir_all(&path)?;
        // Shown with a failing test's output.
        eprintln!("logs and data: {}", path.display());
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept: {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The target folder that this test was built into.
pub(super) fn target() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    // <target>/<profile>/deps/<test>
    test.ancestors().nth(3).map_or_else(std::env::temp_dir, Path::to_owned)
}

/// The test file's name, without cargo's hash.
fn test_name() -> String {
    let test = std::env::current_exe().unwrap_or_default();
    let stem = test.file_stem().and_then(|stem| stem.to_str()).unwrap_or("test");
    stem.rsplit_once('-').map_or(stem, |(name, _)| name).to_owned()
}

/// Removes what earlier runs of the same test file left.
fn clear(root: &Path) {
    let prefix = format!("{}.", test_name());
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else {
            continue;
        };
        let pid = rest.split('.').next().and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !lives(pid)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
