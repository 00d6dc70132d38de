//! Each expected failure is one clear line and a non-zero exit.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{Running, failure_line, weft};

/// `weft dev` on free ports.
fn dev(data: &Path) -> Command {
    let mut command = weft(&["dev", "--listen", "127.0.0.1:0", "--nats-port", "0"]);
    command.arg("--data").arg(data);
    command
}

#[test]
fn a_second_start_on_a_folder_in_use() {
    let folder = tempdir().expect("folder");
    let (first, _) = Running::dev(folder.path());
    let line = failure_line(dev(folder.path()));
    assert!(line.contains("is in use by another weft"), "{line}");
    assert!(line.contains(&format!("(process {})", first.pid())), "{line}");
}

#[test]
fn a_taken_port() {
    let folder = tempdir().expect("folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = taken.local_addr().expect("address").to_string();
    let mut command = weft(&["dev", "--nats-port", "0", "--listen", &address]);
    let line = failure_line({
        command.arg("--data").arg(folder.path());
        command
    });
    assert!(line.contains(&address) && line.contains("another process"), "{line}");
}

#[test]
fn a_taken_nats_port() {
    let folder = tempdir().expect("folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = taken.local_addr().expect("address").port().to_string();
    let mut command = weft(&["dev", "--listen", "127.0.0.1:0", "--nats-port", &port]);
    command.arg("--data").arg(folder.path());
    let line = failure_line(command);
    assert!(line.contains(&port) && line.contains("taken"), "{line}");
}

#[test]
fn a_folder_that_cannot_be_made() {
    let folder = tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write");
    let line = failure_line(dev(&file.join("data")));
    assert!(line.contains("can't use the folder") && line.contains("file/data"), "{line}");
}

/// A disk of 1 MB, in a mount namespace of its own. Where the system allows no such thing, the
/// test says that it was skipped.
#[test]
fn a_full_disk() {
    let folder = tempdir().expect("folder");
    let mount = format!("mount -t tmpfs -o size=1m none {}", folder.path().display());
    let mut allowed = Command::new("unshare");
    allowed.args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null());
    if !allowed.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    let inner = dev(folder.path());
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$@\""), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).stdin(Stdio::null());
    let line = failure_line(command);
    assert!(line.contains("MB are free on the disk"), "{line}");
}

#[test]
fn a_nats_server_that_is_too_old() {
    let folder = tempdir().expect("folder");
    let old = folder.path().join("nats-server");
    fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.25'\n").expect("write");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("mode");
    let mut command = dev(&folder.path().join("data"));
    command.env("WEFT_NATS_SERVER", &old);
    let line = failure_line(command);
    assert!(line.contains("2.9.25 is too old") && line.contains("2.11"), "{line}");
}

#[test]
fn no_nats_server_and_no_python() {
    let folder = tempdir().expect("folder");
    let mut command = dev(&folder.path().join("data"));
    command
        .env("PATH", folder.path())
        .env("XDG_CACHE_HOME", folder.path())
        .env_remove("WEFT_NATS_SERVER");
    let line = failure_line(command);
    assert!(line.contains("Three ways"), "{line}");
}

#[test]
fn a_wrong_nats_password() {
    let folder = tempdir().expect("folder");
    let (_dev, place) = Running::dev(&folder.path().join("data"));
    for role in ["edge", "core"] {
        let mut command = weft(&[role]);
        command
            .arg(format!("--nats=nats://{}", place.nats))
            .env("WEFT_NATS_PASSWORD", "wrong")
            .env("WEFT_LISTEN", "127.0.0.1:0")
            .env("WEFT_STORE", format!("embedded:{}", folder.path().join("other").display()));
        let line = failure_line(command);
        assert!(line.contains(&format!("refused user \"{role}\"")), "{line}");
        assert!(!line.contains("\"wrong\""), "{line}");
    }
}

#[test]
fn passwords_have_no_place_on_a_command_line() {
    let line = failure_line(weft(&["edge", "--nats", "nats://edge:geheim@127.0.0.1:4222"]));
    assert!(line.contains("--nats-password-file"), "{line}");
    assert!(!line.contains("geheim"), "{line}");
    let line = failure_line(weft(&["edge", "--nats", "nats://127.0.0.1:4222"]));
    assert!(line.contains("WEFT_NATS_PASSWORD"), "{line}");
}

#[test]
fn a_bot_must_not_have_a_roles_name() {
    let output = weft(&["dev", "--bot", "core"]).output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("part of Weft"), "{text}");
}

#[test]
fn the_servers_configuration_is_printed() {
    let output = weft(&["nats-config", "--partitions", "8"]).output().expect("run");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for needle in ["partition(8,2)", "BOTS", "$WEFT_BOTS_ISSUER", "$WEFT_CORE_PASSWORD"] {
        assert!(text.contains(needle), "{needle} in {text}");
    }
    assert!(!text.contains("cluster"), "{text}");
    // By itself it serves this machine alone.
    assert!(text.contains("listen: \"127.0.0.1:4222\""), "{text}");
    let clustered =
        ["nats-config", "--cluster", "weft", "--cluster-port", "6333", "--host", "0.0.0.0"];
    let output = weft(&clustered).output().expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for needle in ["name: \"weft\"", "0.0.0.0:6333", "$WEFT_ROUTE_PASSWORD", "$WEFT_ROUTES"] {
        assert!(text.contains(needle), "{needle} in {text}");
    }
}
