//! nats-server as a child: found, started, never left running.

use std::os::unix::fs::PermissionsExt;

use weft_nats::{Error, NatsServer, ServerOptions};

use crate::common::{Fixture, eventually, server_config, soon};

fn lives(pid: u32) -> bool {
    // A process that ended but was not waited for has an empty command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test]
async fn its_end_is_seen_and_it_starts_again_on_the_same_port() {
    let mut fixture = Fixture::bare(1).await;
    let port = fixture.port();
    let url = weft_nats::server::url_of(&fixture.options.dir).expect("a configuration");
    assert_eq!(url, format!("nats://127.0.0.1:{port}"));
    for _ in 0..2 {
        let server = fixture.running.as_ref().expect("running");
        let (mut watch, pid) = (server.watch(), server.pid());
        assert!(lives(pid));
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(killed.expect("kill").success());
        soon("its end", watch.wait_for(Option::is_some)).await.expect("watched");
        fixture.restart().await;
        assert_eq!(fixture.running.as_ref().expect("running").port(), port);
    }
    let server = fixture.running.take().expect("running");
    let pid = server.pid();
    soon("its stop", server.stop()).await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_leftover_of_the_same_folder_is_ended() {
    let mut fixture = Fixture::bare(1).await;
    let first = fixture.running.take().expect("running");
    let pid = first.pid();
    // As after a crash: nobody ends it, its pid file is there.
    std::mem::forget(first);
    fixture.restart().await;
    assert!(!lives(pid));
    assert!(lives(fixture.running.as_ref().expect("running").pid()));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let fixture = Fixture::bare(1).await;
    let dir = tempfile::tempdir().expect("folder");
    let options = ServerOptions { dir: dir.path().into(), ..fixture.options.clone() };
    let error = NatsServer::start(options).await.expect_err("taken");
    assert!(matches!(error, Error::PortTaken(port) if port == fixture.port()), "{error}");
    assert!(error.to_string().contains(&fixture.port().to_string()));
}

#[tokio::test]
async fn the_reason_of_a_failed_start_is_one_line() {
    let dir = tempfile::tempdir().expect("folder");
    // A file where JetStream's folder should be.
    std::fs::write(dir.path().join("jetstream"), "").expect("write");
    let options = ServerOptions {
        binary: weft_harness::system::nats_server().await.to_owned(),
        dir: dir.path().into(),
        port: None,
        config: server_config(1),
    };
    let error = NatsServer::start(options).await.expect_err("no store").to_string();
    assert!(error.contains("JetStream") && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn passwords_are_for_the_owner_alone() {
    let fixture = Fixture::bare(1).await;
    let config = fixture.options.dir.join("nats.conf");
    let mode = std::fs::metadata(config).expect("config").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let pid = fixture.running.as_ref().expect("running").pid();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).expect("command line");
    assert!(!String::from_utf8_lossy(&command).contains("password"));
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let mut fixture = Fixture::bare(1).await;
    let server = fixture.running.take().expect("running");
    let pid = server.pid();
    drop(server);
    eventually("its end", async || !lives(pid)).await;
}
