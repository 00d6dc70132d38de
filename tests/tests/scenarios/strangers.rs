//! One user who puts others into groups: pays for each of them, and what it did is bounded for those
//! who were put there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weft_harness::account::{Login, crowd, login};
use weft_harness::http;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::ulid;

/// Sign-ups and logins of a whole crowd.
const RATES: [&str; 4] = ["--accounts-per-s", "1000", "--accounts-burst", "1000"];

fn create(group: &str, members: &[String]) -> Value {
    let (id, title) = (ulid::fresh(), "free money");
    json!({
        "type": "send", "kind": "create", "room": group, "client_id": id, "title": title,
        "members": members,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_puts_strangers_into_groups_pays_for_each_of_them() -> Result<()> {
    const GROUPS: usize = 60;
    // The rates that an operator gets who says nothing about them.
    let options = Options { edges: 1, core_args: Vec::new(), ..Options::default() };
    let system = System::split(options.edge(&RATES)).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mallory = system.user("mallory").await?;
    let mut strangers = crowd(system.edge(), 98).await?;
    strangers.push(alice.user.clone());
    let (mut m, mut a) = (system.session(&mallory).await?, system.session(&alice).await?);
    // The groups lie in all partitions.
    let groups: Vec<String> = (0..GROUPS).map(|_| unique("group")).collect();
    let began = Instant::now();
    let mut requests = Vec::new();
    for group in &groups {
        requests.push(m.begin(create(group, &strangers)).await?);
    }
    let room = direct(&alice, &bob);
    a.acked(&room, json!({ "text": "hello" })).await?;
    let (mut taken, mut refused) = (0, 0);
    for request in requests {
        let answer = m.answer(request).await?;
        if answer["type"] == "ack" {
            taken += 1;
            continue;
        }
        assert_eq!(code(&answer)?, "rate_limited", "{answer}");
        assert!(answer["error"]["retry_after_ms"].as_u64() > Some(0), "{answer}");
        refused += 1;
    }
    let seconds = began.elapsed().as_secs();
    eprintln!("{taken} groups of 100 within {seconds} s, {refused} refused");
    // Two at once, then one each two seconds; the session's own limits may refuse some as well.
    assert!(taken >= 1 && taken <= 2 + seconds / 2 + 1, "{taken} in {seconds} s");
    let rooms = http::call(system.edge(), "GET", "/v1/rooms", Some(&alice.token), &Value::Null);
    let rooms = rooms.await?.body["rooms"].as_array().context("rooms")?.len() as u64;
    assert_eq!(rooms, taken + 1);
    Ok(())
}

/// The resident memory of a process, now and at its highest, in MB.
fn memory_mb(pid: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).context("a field")?;
        let kb: u64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
        Ok(kb / 1024)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

fn asked_for(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What an earlier attack has left is read by all victims at once. `WEFT_GROUPS=3000
/// WEFT_MEMBERS=99 WEFT_VICTIMS=50` is the attack as it was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victims_resume_all_at_once() -> Result<()> {
    let (groups, victims) = (asked_for("WEFT_GROUPS", 60), asked_for("WEFT_VICTIMS", 8));
    let quota = ["--sender-rate-per-s", "1000000", "--sender-burst", "1000000"];
    let options = Options { edges: 1, core_args: Vec::new(), ..Options::default() };
    let system = System::split(options.core(&quota).edge(&RATES)).await?;
    let names = crowd(system.edge(), asked_for("WEFT_MEMBERS", 20)).await?;
    let mut devices: Vec<(Login, String)> = Vec::new();
    for name in &names[..victims] {
        let device = login(system.edge(), name, "phone").await?;
        let session = Session::open(system.edge(), &device, None).await?;
        devices.push((device, session.cursor()));
    }
    let mallory = system.user("mallory").await?;
    let mut m = system.session(&mallory).await?;
    let mut made = 0;
    while made < groups {
        let batch = (groups - made).min(50);
        let (mut requests, mut wait_ms) = (Vec::new(), 0);
        for _ in 0..batch {
            requests.push(m.begin(create(&unique("group"), &names)).await?);
        }
        for request in requests {
            let answer = m.answer(request).await?;
            if answer["type"] == "ack" {
                made += 1;
            } else {
                let after_ms = answer["error"]["retry_after_ms"].as_u64();
                wait_ms = wait_ms.max(after_ms.with_context(|| format!("no time: {answer}"))?);
            }
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    let pid = system.process("core").pid()?;
    let before = memory_mb(pid)?;
    let mut underway = JoinSet::new();
    for (device, cursor) in devices {
        let (edge, began) = (system.edge(), Instant::now());
        underway.spawn(async move {
            let mut session = Session::open(edge, &device, Some(&cursor)).await?;
            ensure!(session.synced["recovered"] == true, "{}", session.synced);
            for number in 0..groups {
                let entry = session.next_push().await?;
                ensure!(entry["kind"] == "create", "{number}: {entry}");
            }
            Ok(began.elapsed())
        });
    }
    let mut took: Vec<Duration> = Vec::new();
    while let Some(done) = underway.join_next().await {
        took.push(done??);
    }
    took.sort();
    let after = memory_mb(pid)?;
    eprintln!(
        "{victims} victims of {groups} groups: {:?} to {:?}; core from {} MB to {} MB, at most {}",
        took[0],
        took[took.len() - 1],
        before.0,
        after.0,
        after.1
    );
    Ok(())
}
