//! Who is here: what watchers see when devices come, go and vanish, and when parts are killed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use weft_harness::account::Login;
use weft_harness::onlooker::Onlooker;
use weft_harness::proxy::{Fault, Kind, Proxy, Towards};
use weft_harness::session::LIMIT;
use weft_harness::socket::{Socket, now_ms};
use weft_harness::system::{Options, System, direct};
use weft_harness::wait::until;

/// Shorter than the default, so that tests are.
const GRACE: Duration = Duration::from_secs(3);
/// A node that was killed counts as dead after this time.
const NODE_TTL: Duration = Duration::from_secs(10);
/// What a busy machine may add to a time that is waited for.
const SLACK: Duration = Duration::from_secs(10);

fn options() -> Options {
    let options = Options {
        presences: 1,
        presence_args: ["--grace-s", "3"].map(str::to_owned).into(),
        ..Options::default()
    };
    options.edge(&["--accounts-per-s", "1000", "--accounts-burst", "10000"])
}

/// Two users who may see each other: they have a direct room.
struct Pair {
    system: System,
    alice: Login,
    bob: Login,
    /// Of Alice, at the first edge.
    watcher: Onlooker,
}

impl Pair {
    async fn meet(options: Options) -> Result<Self> {
        let system = System::split(options).await?;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let path = format!("/v1/rooms/{}/entries", direct(&alice, &bob));
        let hello = json!({ "text": "hello" });
        let answer = alice.call(system.edge(), "POST", &path, &hello).await?;
        ensure!(answer.status == 201, "{answer:?}");
        let watcher = Onlooker::open(system.edge(), &alice).await?;
        Ok(Self { system, alice, bob, watcher })
    }
}

async fn get(onlooker: &Onlooker, user: &Login) -> Result<Value> {
    let answer = onlooker.done(json!({ "type": "presence.get", "users": [user.user] })).await?;
    Ok(answer["users"][0].clone())
}

/// Versions never fall, and no word says what the one before it said.
fn check_words(onlooker: &Onlooker, user: &Login) -> Result<()> {
    let words = onlooker.words(&user.user);
    for pair in words.windows(2) {
        let version = |i: usize| pair[i].presence["version"].as_u64();
        ensure!(version(0) < version(1), "versions do not grow: {words:?}");
        let shows = |i: usize| {
            let it = &pair[i].presence;
            (it["status"].clone(), it["text"].clone(), it["text_until"].clone())
        };
        ensure!(shows(0) != shows(1), "nothing new: {words:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_come_and_go() -> Result<()> {
    let Pair { system, bob, watcher, .. } = Pair::meet(options()).await?;
    // On the other edge.
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    let desk_login = system.device(&bob.user, "desk").await?;
    let desk = Onlooker::open(system.edge(), &desk_login).await?;
    desk.sees(&bob.user, "online", LIMIT).await;
    phone.leave();
    // One device is left: longer than the grace, nothing is said.
    sleep(GRACE + Duration::from_secs(2)).await;
    assert_eq!(watcher.statuses(&bob.user), ["online"]);

    // What a device says of itself, and what a user chooses.
    desk.done(json!({ "type": "presence.idle", "idle": true })).await?;
    watcher.sees(&bob.user, "away", LIMIT).await;
    desk.done(json!({ "type": "presence.idle", "idle": false })).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    let until_ms = now_ms() + 4_000;
    let set = json!({
        "type": "presence.set", "status": "dnd", "text": "in a meeting", "text_until": until_ms
    });
    desk.done(set).await?;
    let busy = watcher.sees(&bob.user, "dnd", LIMIT).await.presence;
    assert_eq!((&busy["text"], &busy["text_until"]), (&json!("in a meeting"), &json!(until_ms)));
    until("the text has ended", SLACK, async || {
        let newest = watcher.words(&bob.user).pop()?.presence;
        (newest["status"] == "dnd" && newest["text"].is_null()).then_some(())
    })
    .await;
    assert!(now_ms() >= until_ms, "not before its time");

    // A choice is the user's, not the session's.
    let left_at = now_ms();
    desk.leave();
    let gone = watcher.sees(&bob.user, "offline", GRACE + SLACK).await.presence;
    let last_active = gone["last_active"].as_u64().context("a time")?;
    assert!(last_active + 5_000 > left_at && last_active < left_at + 5_000, "{gone}");
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    watcher.sees(&bob.user, "dnd", LIMIT).await;
    let own = phone.done(json!({ "type": "presence.own" })).await?;
    assert_eq!((&own["type"], &own["status"]), (&json!("status"), &json!("dnd")));
    phone.done(json!({ "type": "presence.set", "status": "online" })).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;

    // Who logs out is offline at once.
    phone.done(json!({ "type": "logout" })).await?;
    let began = Instant::now();
    watcher.sees(&bob.user, "offline", GRACE).await;
    assert!(began.elapsed() < GRACE);
    assert_eq!(phone.closed(LIMIT).await, Some(1000));
    check_words(&watcher, &bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invisible_user_is_not_told_from_an_absent_one() -> Result<()> {
    let Pair { system, alice, bob, watcher } = Pair::meet(options()).await?;
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    phone.done(json!({ "type": "presence.set", "status": "invisible", "text": "boo" })).await?;
    let gone = watcher.sees(&bob.user, "offline", GRACE).await.presence;
    let fields: BTreeSet<&str> =
        gone.as_object().context("object")?.keys().map(String::as_str).collect();
    assert_eq!(fields, BTreeSet::from(["user", "status", "last_active", "version"]));
    assert_eq!(get(&watcher, &bob).await?, gone);
    // Devices come and go, idle and not: not a word, and the same answer as before.
    let desk_login = system.device(&bob.user, "desk").await?;
    let desk = Onlooker::open(system.edge(), &desk_login).await?;
    desk.done(json!({ "type": "presence.idle", "idle": true })).await?;
    phone.leave();
    desk.leave();
    sleep(GRACE + Duration::from_secs(2)).await;
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    phone.done(json!({ "type": "presence.idle", "idle": true })).await?;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(watcher.statuses(&bob.user), ["online", "offline"]);
    assert_eq!(get(&watcher, &bob).await?, gone);
    // Whoever asks anew learns no more; a stranger learns nothing.
    let again = Onlooker::open(system.edge(), &alice).await?;
    assert_eq!(get(&again, &bob).await?, gone);
    let eve = system.user("eve").await?;
    let stranger = Onlooker::open(system.edge(), &eve).await?;
    let answer = stranger.done(json!({ "type": "presence.watch", "users": [alice.user] })).await?;
    assert_eq!(answer["users"], json!([]));
    phone.done(json!({ "type": "presence.set", "status": "online" })).await?;
    watcher.sees(&bob.user, "away", LIMIT).await;
    again.sees(&bob.user, "away", LIMIT).await;
    assert_eq!(stranger.counts().0, stranger.words(&eve.user).len());
    check_words(&watcher, &bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_session_sees_follows_its_rooms() -> Result<()> {
    let system = System::split(options()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let carol = system.user("carol").await?;
    let watcher = Onlooker::open(system.edge(), &alice).await?;
    let b = Onlooker::open(system.edges()[1], &bob).await?;
    let c = Onlooker::open(system.edges()[1], &carol).await?;
    c.sees(&carol.user, "online", LIMIT).await;
    assert_eq!(watcher.words(&bob.user).len(), 0);
    // A group brings its members, a direct room its other side.
    let room = weft_harness::system::unique("team");
    let create = json!({ "kind": "create", "title": "Team", "members": [alice.user, carol.user] });
    let path = format!("/v1/rooms/{room}/entries");
    let made = bob.call(system.edge(), "POST", &path, &create).await?;
    ensure!(made.status == 201, "{made:?}");
    watcher.sees(&bob.user, "online", LIMIT).await;
    watcher.sees(&carol.user, "online", LIMIT).await;
    let counted = watcher.done(json!({ "type": "presence.count", "room": room })).await?;
    assert_eq!((&counted["present"], &counted["members"]), (&json!(3), &json!(3)));
    watcher.done(json!({ "type": "presence.unwatch", "users": [carol.user] })).await?;
    c.done(json!({ "type": "presence.idle", "idle": true })).await?;
    c.sees(&carol.user, "away", LIMIT).await;
    assert_eq!(watcher.statuses(&carol.user), ["online"]);
    let users = json!([carol.user, bob.user]);
    let answer =
        watcher.done(json!({ "type": "presence.watch", "users": users, "room": room })).await?;
    assert_eq!(answer["users"][0]["status"], "away");
    // Whoever leaves sees the others no longer.
    let left = alice.call(system.edge(), "POST", &path, &json!({ "kind": "leave" })).await?;
    ensure!(left.status == 201, "{left:?}");
    until("the others are out of sight", LIMIT, async || {
        let users = json!([bob.user, carol.user]);
        let answer = watcher.done(json!({ "type": "presence.get", "users": users })).await;
        (answer.ok()?["users"] == json!([])).then_some(())
    })
    .await;
    let before = watcher.words(&bob.user).len();
    b.done(json!({ "type": "presence.idle", "idle": true })).await?;
    c.sees(&bob.user, "away", LIMIT).await;
    assert_eq!(watcher.words(&bob.user).len(), before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_dies_in_silence_is_noticed() -> Result<()> {
    let Pair { system, bob, watcher, .. } = Pair::meet(options()).await?;
    let proxy = Proxy::start(system.edges()[1], Kind::Tcp).await?;
    let phone = Onlooker::over(Socket::open(proxy.addr()).await?, &bob).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    // No FIN, no RST: bytes just stop.
    let began = Instant::now();
    proxy.set(Fault::Stall);
    watcher.sees(&bob.user, "offline", Duration::from_secs(30) + GRACE + SLACK).await;
    let took = began.elapsed();
    assert!(took > Duration::from_secs(25) + GRACE, "{took:?}");
    eprintln!("a silent death was seen after {took:.1?}");
    drop(phone);
    check_words(&watcher, &bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_connection_shows_nothing() -> Result<()> {
    // The default grace.
    let Pair { system, bob, watcher, .. } =
        Pair::meet(Options { presence_args: Vec::new(), ..options() }).await?;
    let mut phone = Onlooker::open(system.edges()[1], &bob).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    let began = Instant::now();
    for round in 1..=10 {
        phone.leave();
        sleep_until(began + Duration::from_secs(2) * round - Duration::from_secs(1)).await;
        let edge = system.edges()[usize::try_from(round)? % 2];
        phone = Onlooker::open(edge, &bob).await?;
        sleep_until(began + Duration::from_secs(2) * round).await;
    }
    // Longer than the grace of the last break.
    sleep(Duration::from_secs(11)).await;
    assert_eq!(watcher.statuses(&bob.user), ["online"]);
    assert!(phone.is_open());
    Ok(())
}

/// Users with a device at an edge, and somebody who watches all of them from another edge.
struct Crowd {
    watcher: Onlooker,
    users: Vec<(Login, Onlooker)>,
}

impl Crowd {
    async fn gather(system: &System, count: usize, watch_at: usize, at: usize) -> Result<Self> {
        let alice = system.user("alice").await?;
        let mut logins = Vec::new();
        while logins.len() < count {
            // Each costs two password hashes.
            let some = (0..4.min(count - logins.len())).map(|_| system.user("u"));
            logins.extend(try_join_all(some).await?);
        }
        for members in logins.chunks(99) {
            let members: Vec<&str> = members.iter().map(|login| login.user.as_str()).collect();
            let create = json!({ "kind": "create", "title": "Crowd", "members": members });
            let path = format!("/v1/rooms/{}/entries", weft_harness::system::unique("crowd"));
            let made = alice.call(system.edge(), "POST", &path, &create).await?;
            ensure!(made.status == 201, "{made:?}");
        }
        let watcher = Onlooker::open(system.edges()[watch_at], &alice).await?;
        let mut users = Vec::new();
        for login in logins {
            let onlooker = Onlooker::open(system.edges()[at], &login).await?;
            users.push((login, onlooker));
        }
        let crowd = Self { watcher, users };
        crowd.all_are("online", LIMIT).await;
        Ok(crowd)
    }

    /// Waits until the watcher sees all of them so.
    async fn all_are(&self, status: &str, limit: Duration) {
        until(&format!("all are {status}"), limit, async || {
            let newest = self.watcher.newest();
            let is =
                |login: &Login| newest.get(&login.user).is_some_and(|it| it["status"] == status);
            self.users.iter().all(|(login, _)| is(login)).then_some(())
        })
        .await;
    }

    /// Each user was seen just so, in this order.
    fn each_was(&self, statuses: &[&str]) -> Result<()> {
        for (login, _) in &self.users {
            let seen = self.watcher.statuses(&login.user);
            ensure!(seen == statuses, "{} was {seen:?}, not {statuses:?}", login.user);
            check_words(&self.watcher, login)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_edge_takes_its_users_offline_once() -> Result<()> {
    const USERS: usize = 500;
    let system = System::split(options()).await?;
    let crowd = Crowd::gather(&system, USERS, 0, 1).await?;
    crowd.each_was(&["online"])?;
    let began = Instant::now();
    system.process("edge-1").kill()?;
    crowd.all_are("offline", NODE_TTL + GRACE + SLACK).await;
    let took = began.elapsed();
    eprintln!("{USERS} users were seen offline after {took:.1?}");
    assert!(took < NODE_TTL + GRACE + Duration::from_secs(4), "{took:?}");
    crowd.each_was(&["online", "offline"])?;
    // The edge comes back under its name: nobody is revived by what it wrote in its first life.
    system.process("edge-1").restart()?;
    system.ready().await;
    sleep(GRACE + Duration::from_secs(2)).await;
    crowd.each_was(&["online", "offline"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_nodes_may_be_killed() -> Result<()> {
    let system = System::split(Options { presences: 2, ..options() }).await?;
    let crowd = Crowd::gather(&system, 60, 0, 1).await?;
    for (victim, status) in [("presence-0", true), ("presence-1", false)] {
        system.process(victim).kill()?;
        // Some of the users were its duty: what happens before the other takes over is told then.
        for (_, onlooker) in &crowd.users {
            onlooker.done(json!({ "type": "presence.idle", "idle": status })).await?;
        }
        let status = if status { "away" } else { "online" };
        crowd.all_are(status, NODE_TTL + SLACK).await;
        system.process(victim).restart()?;
        until("it serves again", LIMIT, async || {
            let lives = system.process(victim).output().matches("is ready").count();
            (lives == 2).then_some(())
        })
        .await;
    }
    crowd.each_was(&["online", "away", "online"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_presence_node_may_be_away() -> Result<()> {
    let system = System::split(options()).await?;
    let mut crowd = Crowd::gather(&system, 60, 0, 1).await?;
    system.process("presence").kill()?;
    // One goes meanwhile, and one is otherwise.
    let (gone, onlooker) = crowd.users.pop().context("a user")?;
    onlooker.leave();
    let (idle, onlooker) = crowd.users.pop().context("a user")?;
    onlooker.done(json!({ "type": "presence.idle", "idle": true })).await?;
    sleep(GRACE + Duration::from_secs(1)).await;
    system.process("presence").restart()?;
    crowd.watcher.sees(&gone.user, "offline", LIMIT).await;
    crowd.watcher.sees(&idle.user, "away", LIMIT).await;
    // Of the others not a word.
    sleep(GRACE + Duration::from_secs(1)).await;
    crowd.each_was(&["online"])?;
    assert_eq!(crowd.watcher.statuses(&gone.user), ["online", "offline"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_may_restart_or_be_away_for_longer_than_a_nodes_life() -> Result<()> {
    const LATE: Duration = Duration::from_secs(3);
    let system = System::split(Options { proxied: true, ..options() }).await?;
    let crowd = Crowd::gather(&system, 60, 0, 1).await?;
    for away in [Duration::ZERO, NODE_TTL + LATE] {
        let began = Instant::now();
        system.process("nats").kill()?;
        let parts = ["core", "presence", "edge-0", "edge-1"];
        let proxies: Vec<&Proxy> = parts.into_iter().flat_map(|it| system.proxies(it)).collect();
        proxies.iter().for_each(|proxy| proxy.set(Fault::Refuse));
        sleep_until(began + away).await;
        system.process("nats").restart()?;
        system.server_answers("nats").await;
        // The parts come back so late that all keys expire before their first heartbeats.
        sleep_until(began + away + LATE).await;
        proxies.iter().for_each(|proxy| proxy.set(Fault::None));
        // Longer than it takes to believe an expiry, and the grace.
        sleep(NODE_TTL * 2 + GRACE).await;
        crowd.each_was(&["online"])?;
        assert!(crowd.users.iter().all(|(_, onlooker)| onlooker.is_open()));
    }
    // And statuses go on.
    for (_, onlooker) in &crowd.users {
        onlooker.done(json!({ "type": "presence.idle", "idle": true })).await?;
    }
    crowd.all_are("away", LIMIT).await;
    crowd.each_was(&["online", "away"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_status_is_found() -> Result<()> {
    let Pair { system, bob, watcher, .. } =
        Pair::meet(Options { proxied: true, ..options() }).await?;
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    watcher.sees(&bob.user, "online", LIMIT).await;
    let proxy = system.proxy("edge-0");
    for (idle, status) in [(true, "away"), (false, "online"), (true, "away")] {
        let before = proxy.counts().to_client.swallowed;
        let subject_prefix = "weft.status.".to_owned();
        proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
        let began = Instant::now();
        phone.done(json!({ "type": "presence.idle", "idle": idle })).await?;
        // The last one of all: only the tick tells.
        watcher.sees(&bob.user, status, LIMIT).await;
        assert_eq!(proxy.counts().to_client.swallowed, before + 1, "one was lost");
        eprintln!("a lost status was found after {:.1?}", began.elapsed());
    }
    assert_eq!(watcher.statuses(&bob.user), ["online", "away", "online", "away"]);
    check_words(&watcher, &bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_nats_data_hides_and_revives_nobody() -> Result<()> {
    let Pair { system, alice, bob, watcher } = Pair::meet(options()).await?;
    let carol = system.user("carol").await?;
    let path = format!("/v1/rooms/{}/entries", direct(&alice, &carol));
    let answer = alice.call(system.edge(), "POST", &path, &json!({ "text": "hello" })).await?;
    ensure!(answer.status == 201, "{answer:?}");
    let desk = Onlooker::open(system.edges()[1], &carol).await?;
    watcher.sees(&carol.user, "online", LIMIT).await;
    let copy = system.copy_streams("nats")?;
    // What the copy lacks: that one comes, and that one leaves.
    let phone = Onlooker::open(system.edges()[1], &bob).await?;
    desk.leave();
    watcher.sees(&bob.user, "online", LIMIT).await;
    watcher.sees(&carol.user, "offline", GRACE + LIMIT).await;
    system.put_back(&copy).await?;
    // Neither the only presence node nor the watcher's edge remembers anything.
    for (part, word) in [("presence", "is ready"), ("edge-0", "listens on")] {
        system.process(part).kill()?;
        system.process(part).restart()?;
        until("it serves again", LIMIT, async || {
            (system.process(part).output().matches(word).count() == 2).then_some(())
        })
        .await;
    }
    system.ready().await;
    let again = Onlooker::open(system.edge(), &alice).await?;
    again.sees(&bob.user, "online", LIMIT).await;
    until("whoever left is offline", LIMIT, async || {
        (get(&again, &carol).await.ok()?["status"] == "offline").then_some(())
    })
    .await;
    assert!(phone.is_open());
    copy.remove()
}
