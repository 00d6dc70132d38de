//! `weft-bench groups`: how many groups one owner makes, and how many members they add, at the quotas that everybody
//! has, and what that costs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weft_harness::account::{Login, crowd, login};
use weft_harness::session::Session;
use weft_harness::system::{Engine, Options, System, unique};
use weft_harness::ulid;

use crate::cpu::used_us;
use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, end};

/// Members of a new group, its owner not counted: the most that a `create` takes.
const MEMBERS: usize = 99;

#[derive(Args, Clone, Debug)]
pub struct GroupsOptions {
    /// How long groups are made, and then members added.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Users whom the owner adds.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(200..=20_000))]
    users: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    /// Groups of a hundred.
    creates: Measured,
    /// One member each, into one group.
    adds: Measured,
}

/// What one owner got done, one entry after the other.
#[derive(Serialize)]
struct Measured {
    done: u64,
    seconds: f64,
    per_second: f64,
    /// How often the quota refused one for a while.
    refused: u64,
    ack_ms: Quantiles,
    /// Of core, in all, for each that was done.
    core_us: f64,
}

/// Measures, and prints the report.
pub async fn measure(options: &GroupsOptions) -> Result<()> {
    let system = System::split(Options {
        edges: 1,
        store: Engine::Embedded,
        partitions: options.place.partitions,
        folder: Some(options.place.parent()),
        // Accounts are made at the begin.
        edge_args: vec!["--accounts-per-s=1000".into(), "--accounts-burst=100000".into()],
        ..Options::default()
    })
    .await?;
    system.ready().await;
    let measured = run(options, &system).await;
    let report = end(system, measured)?;
    print(&report)
}

async fn run(options: &GroupsOptions, system: &System) -> Result<Report> {
    let edge = system.edge();
    let names = crowd(edge, options.users as usize).await?;
    progress(&format!("{} accounts are made", names.len()));
    let owner = system.user("owner").await?;
    let lasts = Duration::from_secs(options.seconds);
    let mut groups = names.chunks_exact(MEMBERS).cycle();
    let creates = many(system, &owner, lasts, || {
        let members = groups.next()?;
        Some((unique("group"), json!({ "kind": "create", "title": "Team", "members": members })))
    })
    .await?;
    progress("groups are made");
    // Another owner: their quota is whole.
    let owner = login(edge, names.first().context("a user")?, "phone").await?;
    let group = unique("group");
    let mut session = Session::open(edge, &owner, None).await?;
    session.acked(&group, json!({ "kind": "create", "title": "Crowd" })).await?;
    let mut others = names.iter().skip(1);
    let adds = many(system, &owner, lasts, || {
        Some((group.clone(), json!({ "kind": "add", "user": others.next()? })))
    })
    .await?;
    Ok(Report { scenario: "groups", creates, adds })
}

/// Sends one entry after the other, for as long as there are more, and waits where the quota says so.
async fn many(
    system: &System,
    owner: &Login,
    lasts: Duration,
    mut next: impl FnMut() -> Option<(String, Value)>,
) -> Result<Measured> {
    let core = [system.process("core").pid()?];
    let mut session = Session::open(system.edge(), owner, None).await?;
    let (latencies, mut done, mut refused) = (Latencies::default(), 0, 0);
    let (began, used) = (Instant::now(), used_us(&core)?);
    while began.elapsed() < lasts
        && let Some((room, mut fields)) = next()
    {
        fields["client_id"] = ulid::fresh().into();
        loop {
            let sent = Instant::now();
            let answer = session.entry(&room, fields.clone()).await?;
            if answer["type"] == "ack" {
                latencies.record(sent.elapsed());
                done += 1;
                break;
            }
            ensure!(answer["error"]["code"] == "rate_limited", "{answer}");
            refused += 1;
            let wait_ms = answer["error"]["retry_after_ms"].as_u64().context("a wait")?;
            sleep(Duration::from_millis(wait_ms)).await;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let core_us = (used_us(&core)? - used) as f64 / f64::max(done as f64, 1.0);
    Ok(Measured {
        done,
        seconds: round(seconds),
        per_second: round(done as f64 / seconds),
        refused,
        ack_ms: latencies.quantiles(),
        core_us: round(core_us),
    })
}
