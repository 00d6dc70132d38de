//! The programs under test.

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::OnceCell;

use super::folder::{profile_folder, target};
use super::options::Engine;

/// The `weft` binary: `WEFT_BIN`, else built once per test process, with this test's profile.
pub async fn weft() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_init(async || match std::env::var_os("WEFT_BIN") {
            Some(binary) => PathBuf::from(binary),
            None => build("weft", &[]).await,
        })
        .await
}

/// The `weft` binary that has this engine.
pub async fn weft_on(engine: Engine) -> &'static Path {
    static WITH_FDB: OnceCell<PathBuf> = OnceCell::const_new();
    if engine == Engine::Embedded || std::env::var_os("WEFT_BIN").is_some() {
        return weft().await;
    }
    WITH_FDB.get_or_init(async || build_with_fdb("weft").await).await
}

/// The binary of two cores, built as [`weft`] is.
pub async fn twin(engine: Engine) -> &'static Path {
    static PLAIN: OnceCell<PathBuf> = OnceCell::const_new();
    static WITH_FDB: OnceCell<PathBuf> = OnceCell::const_new();
    match engine {
        Engine::Embedded => PLAIN.get_or_init(async || build("twin", &[]).await).await,
        Engine::Fdb => WITH_FDB.get_or_init(async || build_with_fdb("twin").await).await,
    }
}

/// Another build of the same name: it must not stay in the place of the first.
async fn build_with_fdb(binary: &str) -> PathBuf {
    let built = build(binary, &["--features", "weft/fdb,weft-tests/fdb"]).await;
    let kept = built.with_file_name(format!("{binary}-fdb"));
    std::fs::copy(built, &kept).expect("a copy of the binary");
    kept
}

async fn build(binary: &str, features: &[&str]) -> PathBuf {
    let folder = profile_folder();
    let profile = folder.file_name().and_then(|name| name.to_str()).unwrap_or("debug");
    let profile = if profile == "debug" { "dev" } else { profile };
    // The whole workspace, so that features are the same as in `cargo test --workspace`.
    let args = ["build", "--workspace", "--bin", binary, "--profile", profile, "--quiet"];
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let mut command = Command::new(env!("CARGO"));
    command
        .args(args)
        .args(features)
        .args(["--manifest-path", manifest])
        .arg("--target-dir")
        .arg(target());
    // What cargo tells this test of its package would be news to the build scripts of dependencies:
    // every run would build most of them anew, twice.
    for (name, _) in std::env::vars_os() {
        let is_of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_NAME"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix));
        if is_of_package {
            command.env_remove(name);
        }
    }
    let output = command.output().await.expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "building {binary} failed:\n{errors}");
    folder.join(binary)
}

/// A nats-server: `WEFT_NATS_SERVER`, the one on `PATH`, or the one that Weft installs.
pub async fn nats_server() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_init(async || {
            let cache = target().join("weft-tests").join("cache");
            weft_nats::find_or_install(&cache).await.expect("a nats-server")
        })
        .await
}
