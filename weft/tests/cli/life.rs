//! Start, stop, kill -9, restart: what was acknowledged stays, and nothing is left in the way.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Running, http, is_alive, lasting_port, nats_pid, wait_until, weft};

const PASSWORD: &str = "correct horse";
const ROOM: &str = "/v1/rooms/alice~alice/entries";

/// Makes alice's account and logs her in.
fn sign_up(address: &str) -> String {
    let account = json!({ "user": "alice", "password": PASSWORD });
    let (status, body) = http(address, "POST", "/v1/accounts", None, &account).expect("sign up");
    assert_eq!(status, 201, "{body}");
    log_in(address)
}

fn log_in(address: &str) -> String {
    let login = json!({ "user": "alice", "password": PASSWORD, "device": "test" });
    let (status, body) = http(address, "POST", "/v1/login", None, &login).expect("log in");
    assert_eq!(status, 200, "{body}");
    body["token"].as_str().expect("token").to_owned()
}

/// Sends a note to oneself. Its seq.
fn send(address: &str, token: &str, text: &str) -> Option<u64> {
    let body = json!({ "text": text });
    let (status, body) = http(address, "POST", ROOM, Some(token), &body).ok()?;
    (status == 201).then(|| body["seq"].as_u64()).flatten()
}

/// The texts of the notes, with their seqs.
fn notes(address: &str, token: &str) -> Vec<(u64, String)> {
    let (status, body) = http(address, "GET", ROOM, Some(token), &Value::Null).expect("history");
    assert_eq!(status, 200, "{body}");
    let entries = body["entries"].as_array().expect("entries");
    let read = |entry: &Value| {
        (entry["seq"].as_u64().expect("seq"), entry["text"].as_str().expect("text").to_owned())
    };
    entries.iter().map(read).collect()
}

fn note(seq: u64, text: &str) -> (u64, String) {
    (seq, text.to_owned())
}

#[test]
fn ctrl_c_ends_everything_within_five_seconds() {
    let folder = tempdir().expect("folder");
    for signal in [Signal::INT, Signal::TERM] {
        let (dev, place) = Running::dev(folder.path());
        let (nats, weft) = (nats_pid(folder.path()), dev.pid());
        assert!(is_alive(nats));
        let (took, ended_well) = dev.stop(signal);
        assert!(ended_well);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert!(!is_alive(weft) && !is_alive(nats));
        assert!(std::net::TcpStream::connect(&place.http).is_err());
    }
}

#[test]
fn what_was_acknowledged_survives_kill_and_restart_on_the_same_ports() {
    let folder = tempdir().expect("folder");
    let ports = (lasting_port(), lasting_port());
    let (mut dev, place) = Running::dev_at(folder.path(), ports.0, ports.1);
    let token = sign_up(&place.http);
    let mut expected = Vec::new();
    for round in 1..=3 {
        let text = format!("note {round}");
        assert_eq!(send(&place.http, &token, &text), Some(round));
        expected.push(note(round, &text));
        let nats = nats_pid(folder.path());
        dev.kill();
        // No waiting: the next start has to cope with what is still there.
        let (next, _) = Running::dev_at(folder.path(), ports.0, ports.1);
        drop(std::mem::replace(&mut dev, next));
        wait_until("the old nats-server has ended", || !is_alive(nats));
        assert_eq!(notes(&place.http, &token), expected);
    }
    // The password is known as well.
    log_in(&place.http);
}

#[test]
fn nats_server_is_started_again_on_its_port() {
    let folder = tempdir().expect("folder");
    let (_dev, place) = Running::dev_at(folder.path(), lasting_port(), lasting_port());
    let token = sign_up(&place.http);
    assert_eq!(send(&place.http, &token, "before"), Some(1));
    let killed = nats_pid(folder.path());
    let pid = Pid::from_raw(i32::try_from(killed).expect("pid")).expect("pid");
    kill_process(pid, Signal::KILL).expect("kill");
    wait_until("the killed server has ended", || !is_alive(killed));
    // Each try without a client id is an entry of its own, so the first that is taken ends it.
    let mut seq = None;
    wait_until("a send is taken again", || {
        seq = send(&place.http, &token, "after");
        seq.is_some()
    });
    assert_ne!(nats_pid(folder.path()), killed);
    let notes = notes(&place.http, &token);
    assert_eq!(notes[0], note(1, "before"));
    assert_eq!(notes.len() as u64, seq.expect("seq"));
}

#[test]
fn parts_run_as_processes_of_their_own() {
    let folder = tempdir().expect("folder");
    let (_dev, place) = Running::dev(folder.path());
    let mut command = weft(&["edge", "--listen", "127.0.0.1:0"]);
    command
        .arg(format!("--nats=nats://{}", place.nats))
        .arg("--nats-password-file")
        .arg(folder.path().join("secrets/edge.password"));
    let edge = Running::start(command);
    let other = edge.word_after("listens on", "http://");
    let token = sign_up(&other);
    assert_eq!(send(&other, &token, "over the second edge"), Some(1));
    assert_eq!(notes(&place.http, &token), [note(1, "over the second edge")]);
    let (took, ended_well) = edge.stop(Signal::TERM);
    assert!(ended_well && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn secrets_are_readable_by_their_owner_alone() {
    let folder = tempdir().expect("folder");
    let data = folder.path().join("data");
    let (_dev, _) = Running::dev(&data);
    let mode = |path: &str| {
        let meta = std::fs::metadata(data.join(path)).expect("file");
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode("secrets"), 0o700);
    for user in ["admin", "bot", "core", "edge", "presence"] {
        assert_eq!(mode(&format!("secrets/{user}.password")), 0o600, "{user}");
    }
    assert_eq!(mode("nats/nats.conf"), 0o600);
}
