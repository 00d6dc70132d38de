//! What the wire loses without a signal reaches its sockets all the same, the last entry of a room
//! too; and no cursor speaks of what has not arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep_until};
use weft_harness::account::Login;
use weft_harness::check::check;
use weft_harness::client::{Client, ClientOptions};
use weft_harness::history::{Event, Recorder};
use weft_harness::proxy::{Fault, Towards};
use weft_harness::reading::read_room;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

/// Within this time after it was lost, an entry is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

/// Two edges, each with a proxy between it and NATS.
async fn proxied() -> Result<System> {
    System::split(Options { proxied: true, ..Options::default() }).await
}

async fn make_group(system: &System, owner: &Login, others: &[&Login]) -> Result<String> {
    let group = unique("group");
    let members: Vec<&str> = others.iter().map(|login| login.user.as_str()).collect();
    let create = json!({ "kind": "create", "title": "all", "members": members });
    let path = format!("/v1/rooms/{group}/entries");
    let answer = owner.call(system.edge(), "POST", &path, &create).await?;
    ensure!(answer.status == 201, "create: {answer:?}");
    Ok(group)
}

/// The next message with such a subject is lost on its way to the second edge, while `sends` runs.
async fn lose_one<T>(
    system: &System,
    subject_prefix: &str,
    sends: impl Future<Output = Result<T>>,
) -> Result<T> {
    let proxy = system.proxy("edge-1");
    let before = proxy.counts().to_client.swallowed;
    let subject_prefix = subject_prefix.to_owned();
    proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
    let sent = sends.await?;
    until("the message is lost", HEAL_LIMIT, async || {
        (proxy.counts().to_client.swallowed > before).then_some(())
    })
    .await;
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_entry_of_a_room_is_lost_on_the_wire() -> Result<()> {
    let system = proxied().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let group = make_group(&system, &alice, &[&bob]).await?;
    let mut at_0 = Session::open(system.edges()[0], &alice, None).await?;
    let mut at_1 = Session::open(system.edges()[1], &bob, None).await?;
    let rooms = [
        (direct(&alice, &bob), format!("weft.u.{}", bob.user)),
        (group, "weft.ev.".to_owned()),
        (direct(&alice, &bob), "weft.".to_owned()),
    ];
    for (room, subject) in rooms {
        let seq = at_0.acked(&room, json!({ "text": "this one arrives" })).await?;
        at_1.expect(&room, seq).await?;
        let send = at_0.acked(&room, json!({ "text": "this one is lost" }));
        let seq = lose_one(&system, &subject, send).await?;
        let lost = Instant::now();
        // Each look is a ping, too: silent clients are closed.
        until("the lost entry is there", HEAL_LIMIT, async || {
            let found = at_1.pushed_after(&room, seq - 1).await.ok()?;
            (!found.is_empty()).then_some(())
        })
        .await;
        eprintln!("{room} {seq} came {:.1?} after it was lost", lost.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_it_is_found_gets_it_at_the_next_resume() -> Result<()> {
    let system = proxied().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (room, own) = (direct(&alice, &bob), direct(&bob, &bob));
    let mut at_0 = Session::open(system.edges()[0], &alice, None).await?;
    let mut cursor = None;
    let mut found_first = 0;
    for round in 0..6 {
        let mut at_1 = Session::open(system.edges()[1], &bob, cursor.as_deref()).await?;
        let before = at_1.newest_cursor();
        let send = at_0.acked(&room, json!({ "text": "lost" }));
        let seq = lose_one(&system, &format!("weft.u.{}", bob.user), send).await?;
        // Something else arrives, so that there is a reason for a new cursor.
        let other = at_1.acked(&own, json!({ "text": "not lost" })).await?;
        at_1.expect(&own, other).await?;
        if round % 2 == 1 {
            until("a new cursor, or the lost entry", HEAL_LIMIT, async || {
                let found = at_1.pushed_after(&room, seq - 1).await.ok()?;
                (!found.is_empty() || at_1.newest_cursor() != before).then_some(())
            })
            .await;
        }
        let found = !at_1.pushed_after(&room, seq - 1).await?.is_empty();
        found_first += u32::from(found);
        let left_with = at_1.newest_cursor();
        drop(at_1);
        let mut resumed = Session::open(system.edges()[0], &bob, Some(&left_with)).await?;
        assert_eq!(resumed.synced["recovered"], true, "{}", resumed.synced);
        if !found {
            within("the lost entry", HEAL_LIMIT, resumed.expect(&room, seq)).await?;
        }
        cursor = Some(resumed.newest_cursor());
    }
    assert!(found_first <= 3, "the rounds that leave at once are to leave without it");
    Ok(())
}

/// A talker for each room, until it is told to stop; what was acknowledged last.
fn talk(client: &Arc<Client>, rooms: &[String], stop: &Arc<AtomicBool>) -> Vec<Talker> {
    let talker = |room: &String| {
        let (client, room, stop) = (Arc::clone(client), room.clone(), Arc::clone(stop));
        tokio::spawn(async move {
            let mut head = 0;
            while !stop.load(Ordering::Relaxed) {
                head = client.send(&room, &unique("text")).await?;
            }
            Ok((room, head))
        })
    };
    rooms.iter().map(talker).collect()
}

type Talker = tokio::task::JoinHandle<Result<(String, u64)>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_hears_nothing_for_a_while_and_does_not_know() -> Result<()> {
    const DEAF: Duration = Duration::from_secs(25);
    const AFTER_LIMIT: Duration = Duration::from_secs(5);
    let system = proxied().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let group = make_group(&system, &alice, &[&bob]).await?;
    let rooms = [group, direct(&alice, &bob)];
    let recorder = Recorder::default();
    let client = |login: &Login, edge: usize| {
        let (login, edges) = (login.clone(), vec![system.edges()[edge]]);
        let options = ClientOptions::new(login, edges, recorder.clone());
        Arc::new(Client::start(options))
    };
    let (speaker, deaf) = (client(&alice, 0), client(&bob, 1));
    // In the first room the talk goes on; in the second it ends in the silence, so that no later
    // entry tells of the lost ones.
    let stops = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let mut talkers = talk(&speaker, &rooms[..1], &stops[0]);
    talkers.extend(talk(&speaker, &rooms[1..], &stops[1]));
    for room in &rooms {
        deaf.wait_for(room, 20, HEAL_LIMIT).await;
    }
    system.proxy("edge-1").set(Fault::Swallow);
    let deaf_until = Instant::now() + DEAF;
    sleep_until(deaf_until - DEAF / 5).await;
    stops[1].store(true, Ordering::Relaxed);
    sleep_until(deaf_until).await;
    // What the other edge has put out by now is what this one has to have soon after.
    let heads = rooms.clone().map(|room| (deaf.has(&room), speaker.has(&room), room));
    system.proxy("edge-1").set(Fault::None);
    let heard = Instant::now();
    for (has, head, room) in &heads {
        assert!(has < head, "{room}: nothing was lost");
        deaf.wait_for(room, *head, AFTER_LIMIT).await;
        eprintln!("{room}: {} lost, there {:.1?} after the end", head - has, heard.elapsed());
    }
    stops[0].store(true, Ordering::Relaxed);
    for talker in talkers {
        let (room, head) = talker.await??;
        for client in [&speaker, &deaf] {
            client.wait_for(&room, head, HEAL_LIMIT).await;
            let device = client.name().clone();
            recorder.record(Event::Settled { device, room: room.as_str().into() });
        }
        let entries = read_room(system.edge(), &alice, &room).await?;
        recorder.record(Event::Final { room: room.as_str().into(), entries });
    }
    assert_eq!(check(&recorder.history()), []);
    assert_eq!(deaf.closes(), [], "its socket was dropped");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_or_joins_while_others_talk_misses_nothing() -> Result<()> {
    const CONNECTS: usize = 40;
    const JOINS: usize = 20;
    // In a cluster a subscription is known everywhere only some time after it was made.
    let system = System::split(Options { nats_servers: 3, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let (recorder, edges) = (Recorder::default(), vec![system.edges()[0]]);
    let options = ClientOptions::new(alice.clone(), edges, recorder);
    let speaker = Arc::new(Client::start(options));
    let stop = Arc::new(AtomicBool::new(false));
    let talkers = talk(&speaker, std::slice::from_ref(&room), &stop);

    let mut session = Session::open(system.edges()[1], &bob, None).await?;
    let mut seq = session.next_push().await?["seq"].as_u64().unwrap_or_default();
    for round in 0..CONNECTS {
        seq += 1;
        within("the next entry", HEAL_LIMIT, session.expect(&room, seq)).await?;
        // The cursor speaks of all that was read so far.
        for entry in session.pushed_after(&room, seq).await? {
            seq += 1;
            assert_eq!(entry["seq"], seq, "{entry}");
        }
        let cursor = session.newest_cursor();
        drop(session);
        let edge = system.edges()[round % 2];
        session = Session::open(edge, &bob, Some(&cursor)).await?;
        assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    }
    for _ in 0..JOINS {
        let group = make_group(&system, &alice, &[]).await?;
        let texts = async {
            let mut head = 0;
            for _ in 0..30 {
                head = speaker.send(&group, "hi").await?;
            }
            Ok(head)
        };
        let add = speaker.entry(&group, json!({ "kind": "add", "user": bob.user }));
        let (head, add) = tokio::try_join!(texts, add)?;
        ensure!(head > add, "nobody talked after the joining");
        for seq in add..=head {
            within("an entry", HEAL_LIMIT, session.expect(&group, seq)).await?;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for talker in talkers {
        let (_, head) = talker.await??;
        for seq in seq + 1..=head {
            within("an entry", HEAL_LIMIT, session.expect(&room, seq)).await?;
        }
    }
    Ok(())
}
