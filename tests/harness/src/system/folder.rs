//! The folder of a running system: logs, configuration, data.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::lives;

/// Says in a folder that somebody wants to look at it.
const KEPT: &str = "kept";
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// A folder. It goes with this value, but stays where the test is failing, or where the value is
/// never dropped because several tests share it: then the next run clears it, or, where it was kept, one a day later.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    stays: AtomicBool,
}

impl Folder {
    pub fn new() -> Result<Self> {
        Self::new_in(&target().join("weft-tests"))
    }

    /// Makes one in another folder.
    pub fn new_in(root: &Path) -> Result<Self> {
        static CLEARED: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        CLEARED.call_once(|| clear(root));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{}.{number}", test_name(), std::process::id());
        let path = root.join(name);
        std::fs::create_dir_all(&path)?;
        // Shown with a failing test's output.
        eprintln!("logs and data: {}", path.display());
        Ok(Self { path, stays: AtomicBool::new(false) })
    }

    /// It stays for a day.
    pub fn keep(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.stays.load(Ordering::Relaxed) || std::thread::panicking() {
            let _ = std::fs::write(self.path.join(KEPT), "");
            eprintln!("kept for a day: {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The target folder that this test was built into.
pub fn target() -> PathBuf {
    profile_folder().parent().map_or_else(std::env::temp_dir, Path::to_owned)
}

/// `<target>/<profile>`: programs are there, tests in its `deps`.
pub(super) fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let folder = program.parent().unwrap_or(Path::new(""));
    match folder.parent() {
        Some(profile) if folder.ends_with("deps") => profile.to_owned(),
        _ => folder.to_owned(),
    }
}

/// The test file's name, without cargo's hash; a program's name as it is.
fn test_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let is_test = program.parent().is_some_and(|folder| folder.ends_with("deps"));
    let stem = program.file_stem().and_then(|stem| stem.to_str()).unwrap_or("test");
    match stem.rsplit_once('-') {
        Some((name, _)) if is_test => name.to_owned(),
        _ => stem.to_owned(),
    }
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
        if pid.is_some_and(|pid| !lives(pid)) && !is_kept(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_kept(folder: &Path) -> bool {
    let kept = std::fs::metadata(folder.join(KEPT)).and_then(|file| file.modified());
    kept.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < KEPT_FOR))
}

/// Copies a folder that nobody writes.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}
