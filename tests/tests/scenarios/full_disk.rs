//! The disk of core's store gets nearly full: nothing new is taken, what was taken waits, core is quiet and
//! does what it is told, and all goes on by itself when there is room. The disk is one in memory, in a mount
//! namespace of core's own; where the machine allows none, the test says that it was skipped.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::http;
use weft_harness::process::Process;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, allows_own_disk, direct};
use weft_harness::wait::until;

/// The store commits while 256 MB are free.
const DISK_MB: u32 = 330;
const FILLING_BYTES: u64 = 90 << 20;

/// A file that fills core's disk, seen from outside of its namespace.
fn filling(system: &System) -> Result<PathBuf> {
    let root = PathBuf::from(format!("/proc/{}/root", system.process("core").pid()?));
    let store = system.path().join("store").join("filling");
    Ok(root.join(store.strip_prefix("/").context("an absolute path")?))
}

fn fill(system: &System) -> Result<()> {
    std::fs::write(filling(system)?, vec![0; FILLING_BYTES as usize])?;
    Ok(())
}

/// The CPU time that a process has used.
fn cpu_time(process: &Process) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid()?))?;
    let fields: Vec<&str> = stat.rsplit(')').next().context("stat")?.split_whitespace().collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux tells it in hundredths of a second.
    Ok(Duration::from_millis(ticks * 10))
}

/// Sends, without a look at the answer.
async fn begin(session: &mut Session, room: &str) -> Result<u64> {
    let id = weft_harness::ulid::fresh();
    session.begin(json!({ "type": "send", "room": room, "client_id": id, "text": "x" })).await
}

/// Sends once a second until one is refused; those that were taken.
async fn until_refused(session: &mut Session, room: &str) -> Result<Vec<u64>> {
    let mut waiting = Vec::new();
    loop {
        let request = begin(session, room).await?;
        match tokio::time::timeout(Duration::from_secs(1), session.answer(request)).await {
            Err(_) => waiting.push(request),
            Ok(answer) => {
                let answer = answer?;
                assert_eq!(answer["error"]["code"], "overloaded", "{answer}");
                return Ok(waiting);
            }
        }
        assert!(waiting.len() < 40, "nothing is refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nearly_full_disk_is_waited_out() -> Result<()> {
    if !allows_own_disk() {
        eprintln!("skipped: no mount namespaces here");
        return Ok(());
    }
    let options = Options { edges: 1, core_disk_mb: Some(DISK_MB), ..Options::default() };
    let system = System::split(options).await?;
    let (core, admin) = (system.process("core"), system.admin("core"));
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    session.acked(&room, json!({ "text": "before" })).await?;
    fill(&system)?;
    let (began, cpu_before) = (Instant::now(), cpu_time(core)?);
    let waiting = until_refused(&mut session, &room).await?;
    let (took, cpu) = (began.elapsed(), cpu_time(core)? - cpu_before);
    eprintln!("refused after {took:.1?}, {} wait; core used {cpu:?} of the CPU", waiting.len());
    assert!(took > Duration::from_secs(9), "so long everything waits");
    assert!(cpu < took / 5, "core used {cpu:?} in {took:?}");
    let output = core.output();
    let said = output.lines().filter(|line| line.contains("WARN")).filter(|l| l.contains("full"));
    assert_eq!(said.count(), 1, "{output}");
    let ready = async || http::call(admin, "GET", "/readyz", None, &Value::Null).await;
    let answer = ready().await?;
    assert_eq!(answer.status, 503);
    assert!(answer.body.to_string().contains("nearly full"), "{}", answer.body);
    // What is there can be read.
    assert_eq!(weft_harness::reading::read_room(system.edge(), &alice, &room).await?.len(), 1);
    std::fs::remove_file(filling(&system)?)?;
    let mut seqs = Vec::new();
    for request in waiting {
        let answer = session.answer(request).await?;
        seqs.push(answer["seq"].as_u64().with_context(|| answer.to_string())?);
    }
    assert!(seqs.iter().copied().eq(2..2 + seqs.len() as u64), "in the order of sending: {seqs:?}");
    until("a send is taken again", Duration::from_secs(20), async || {
        let request = begin(&mut session, &room).await.ok()?;
        (session.answer(request).await.ok()?["type"] == "ack").then_some(())
    })
    .await;
    assert_eq!(ready().await?.status, 200);
    // With a full disk it ends when it is told to.
    fill(&system)?;
    begin(&mut session, &room).await?;
    let told_at = Instant::now();
    core.signal(Signal::TERM)?;
    core.ended(Duration::from_secs(20)).await;
    assert!(told_at.elapsed() < Duration::from_secs(8), "{:?}", told_at.elapsed());
    Ok(())
}
