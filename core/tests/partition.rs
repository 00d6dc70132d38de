//! What the owner of a partition promises, with a log, a bus and a store in memory.

#[path = "partition/activity.rs"]
mod activity;
#[path = "partition/administrators.rs"]
mod administrators;
#[path = "partition/asks.rs"]
mod asks;
#[path = "partition/bans.rs"]
mod bans;
#[path = "partition/blocks.rs"]
mod blocks;
#[path = "partition/clocks.rs"]
mod clocks;
#[path = "partition/commits.rs"]
mod commits;
#[path = "partition/deletions.rs"]
mod deletions;
#[path = "partition/drafts.rs"]
mod drafts;
#[path = "partition/expiry.rs"]
mod expiry;
#[path = "partition/files.rs"]
mod files;
#[path = "partition/groups.rs"]
mod groups;
#[path = "partition/holes.rs"]
mod holes;
#[path = "partition/invitations.rs"]
mod invitations;
#[path = "partition/joins.rs"]
mod joins;
#[path = "partition/links.rs"]
mod links;
#[path = "partition/loss.rs"]
mod loss;
#[path = "partition/marks.rs"]
mod marks;
#[path = "partition/memberships.rs"]
mod memberships;
#[path = "partition/mentions.rs"]
mod mentions;
#[path = "partition/messages.rs"]
mod messages;
#[path = "partition/model.rs"]
mod model;
#[path = "partition/next_version.rs"]
mod next_version;
#[path = "partition/pins.rs"]
mod pins;
#[path = "partition/poison.rs"]
mod poison;
#[path = "partition/previews.rs"]
mod previews;
#[path = "partition/publishing.rs"]
mod publishing;
#[path = "partition/receipts.rs"]
mod receipts;
#[path = "partition/relations.rs"]
mod relations;
#[path = "partition/requests.rs"]
mod requests;
#[path = "partition/role_reads.rs"]
mod role_reads;
#[path = "partition/roles.rs"]
mod roles;
#[path = "partition/scheduled.rs"]
mod scheduled;
#[path = "partition/settings.rs"]
mod settings;
mod support;
#[path = "partition/threads.rs"]
mod threads;
#[path = "partition/unread.rs"]
mod unread;
#[path = "partition/updates.rs"]
mod updates;
mod watch;

use std::time::Duration;

use support::{Fault, START_MS, World, grown, id, text, user_id};
use weft_core::partition::quota::QuotaLimits;
use weft_core::partition::take::{open_log, take};
use weft_core::{Error, FEATURE_LEVEL};
use weft_proto::kind::{Add, ChangeRole, Create, Leave, Remove};
use weft_proto::{Body, ClientId, History, Role};

fn create(members: &[&str]) -> Body {
    Body::Create(Create {
        title: "Team".into(),
        members: members.iter().map(|name| user_id(name)).collect(),
        history: History::All,
    })
}

#[tokio::test]
async fn entries_are_numbered_without_holes_and_resends_hear_the_same() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let first = world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    assert_eq!(first["type"], "ack");
    assert_eq!(first["seq"], 1);
    assert_eq!((&first["ordinal"], &first["time"]), (&1.into(), &START_MS.into()));
    world.clock.advance_ms(60_000);
    let second = world.send("bob", "alice~bob", Some(id(1)), &text("two")).await;
    assert_eq!(second["seq"], 2, "client ids belong to their sender");
    assert_ne!(second["time"], first["time"]);
    assert_eq!(world.send("alice", "alice~bob", Some(id(1)), &text("one")).await, first);
    let conflict = world.send("alice", "alice~bob", Some(id(1)), &text("other")).await;
    assert_eq!(conflict["error"]["code"], "conflict");
    assert_eq!(conflict["error"]["seq"], 1);
    owner.leave().await.expect("leave");
    // Another owner knows it from the store.
    let owner = world.own("n2").await;
    assert_eq!(world.send("alice", "alice~bob", Some(id(1)), &text("one")).await, first);
    let entries = world.entries("alice~bob").await;
    assert_eq!(entries.iter().map(|e| (e.seq, e.ordinal)).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_resend_while_the_first_is_being_committed_is_no_second_entry() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for round in 0..20_u128 {
        let seq = round as u64 + 1;
        let count = |counter: &tokio::sync::watch::Sender<u64>| *counter.borrow();
        let body = text("x");
        let send = || world.publish("alice", "alice~bob", Some(id(round)), &body);
        world.gate(false);
        let before = count(&world.engine.commits);
        let first = send();
        grown(&world.engine.commits, before).await;
        // The lookup of the resend begins now and finds nothing: the commit is underway.
        let before = count(&world.engine.snapshots);
        let resend = send();
        grown(&world.engine.snapshots, before).await;
        world.gate(true);
        assert_eq!(world.bus.answer_to(&first).await["seq"], seq);
        assert_eq!(world.bus.answer_to(&resend).await["seq"], seq);
    }
    assert_eq!(world.entries("alice~bob").await.len(), 20);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_flood_of_full_groups_fits_into_commits() {
    let names: Vec<String> = (0..100).map(|number| format!("{number:x>64}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&names).await;
    let owner = world.own("n1").await;
    // What comes while a commit is underway goes into one plan, as far as it fits.
    world.gate(false);
    let groups = (0..40).map(|number| {
        let room = format!("{number:r>64}");
        world.publish(names[0], &room, Some(id(number)), &create(&names[1..]))
    });
    let tokens: Vec<String> = groups.collect();
    world.gate(true);
    for token in tokens {
        assert_eq!(world.bus.answer_to(&token).await["type"], "ack");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn unknown_outcomes_are_settled_by_evidence() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let mut seq = 0;
    for faults in [
        vec![Fault::DoneUnknown],
        vec![Fault::UndoneUnknown],
        vec![Fault::UndoneUnknown, Fault::DoneUnknown],
        vec![Fault::Unavailable, Fault::UndoneUnknown, Fault::Unavailable],
    ] {
        world.fail_next(&faults);
        seq += 1;
        let ack = world.send("alice", "alice~bob", Some(id(seq.into())), &text("x")).await;
        assert_eq!(ack["seq"], seq, "{faults:?}");
        let (_, head) = world.bus.event("alice~bob", seq).await;
        let (_, before) = world.bus.event("alice~bob", seq.max(2) - 1).await;
        assert!(seq == 1 || head.position_before == Some(before.position), "{faults:?}");
    }
    assert_eq!(world.entries("alice~bob").await.len() as u64, seq);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn only_one_of_two_owners_commits() {
    let world = World::new(&["alice", "bob"]).await;
    let first = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    let second = world.own("n2").await;
    let token = world.publish("alice", "alice~bob", Some(id(2)), &text("two"));
    assert_eq!(world.bus.answer_to(&token).await["seq"], 2);
    let lost = first.task.await.expect("join");
    assert!(matches!(lost, Err(Error::Lost(0))), "{lost:?}");
    assert_eq!(world.entries("alice~bob").await.len(), 2);
    second.leave().await.expect("leave");
}

#[tokio::test]
async fn groups_have_members_roles_and_an_end_for_who_is_removed() {
    let world = World::new(&["ann", "ben", "cem"]).await;
    let owner = world.own("n1").await;
    let send = |sender, number, body| {
        let world = &world;
        async move { world.send(sender, "team", Some(id(number)), &body).await }
    };
    let code = |answer: serde_json::Value| answer["error"]["code"].as_str().map(str::to_owned);
    assert_eq!(code(send("ann", 1, text("x")).await).as_deref(), Some("no_such_room"));
    assert_eq!(code(send("ann", 2, create(&["zoe"])).await).as_deref(), Some("no_such_user"));
    assert_eq!(send("ann", 3, create(&["ben"])).await["seq"], 1);
    assert_eq!(code(send("ben", 4, create(&[])).await).as_deref(), Some("room_exists"));
    let (event, _) = world.bus.event("team", 1).await;
    assert_eq!(event.also, [user_id("ann"), user_id("ben")]);
    let add = |name: &str, role| Body::Add(Add { user: user_id(name), role });
    assert_eq!(code(send("ben", 5, add("cem", Role::Member)).await).as_deref(), Some("forbidden"));
    assert_eq!(code(send("cem", 6, text("x")).await).as_deref(), Some("no_such_room"));
    assert_eq!(send("ann", 7, add("cem", Role::Admin)).await["seq"], 2);
    assert_eq!(
        code(send("ann", 8, add("cem", Role::Admin)).await).as_deref(),
        Some("already_member")
    );
    assert_eq!(code(send("ann", 9, Body::Leave(Leave {})).await).as_deref(), Some("forbidden"));
    let remove = |name: &str| Body::Remove(Remove { user: user_id(name) });
    assert_eq!(code(send("cem", 10, remove("ann")).await).as_deref(), Some("forbidden"));
    assert_eq!(send("cem", 11, remove("ben")).await["seq"], 3);
    let (event, head) = world.bus.event("team", 3).await;
    assert_eq!((event.also, head.user), (vec![user_id("ben")], Some(user_id("ben"))));
    assert_eq!(code(send("ben", 12, text("x")).await).as_deref(), Some("not_member"));
    let role = Body::ChangeRole(ChangeRole { user: user_id("cem"), role: Role::Owner });
    assert_eq!(send("ann", 13, role).await["seq"], 4);
    assert_eq!(send("ann", 14, Body::Leave(Leave {})).await["seq"], 5);
    assert_eq!(send("cem", 15, text("alone")).await["seq"], 6);
    let last = world.entries("team").await.pop().expect("entry");
    assert_eq!((last.seq, last.ordinal), (6, 1), "messages alone are counted");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_group_with_many_members_becomes_large_and_stays_in_order() {
    let names: Vec<String> = (0..130).map(|number| format!("u{number:03}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    let answer = world.send("u000", "crowd", Some(id(0)), &create(&users[1..100])).await;
    assert_eq!(answer["seq"], 1, "{answer}");
    let tokens: Vec<String> = (100..130)
        .map(|number| {
            let body = Body::Add(Add { user: user_id(users[number]), role: Role::Member });
            world.publish("u000", "crowd", Some(id(number as u128)), &body)
        })
        .collect();
    for (token, seq) in tokens.iter().zip(2..) {
        assert_eq!(world.bus.answer_to(token).await["seq"], seq);
    }
    owner.leave().await.expect("leave");
    // The next owner has only those members in memory whom commands name.
    let owner = world.own("n2").await;
    let tokens: Vec<String> = (0..600)
        .map(|n| world.publish(users[n % 130], "crowd", Some(id(1_000 + n as u128)), &text("x")))
        .collect();
    for (token, seq) in tokens.iter().zip(32..) {
        assert_eq!(world.bus.answer_to(token).await["seq"], seq);
    }
    let outsider = world.send("nobody", "crowd", Some(id(9_999)), &text("x")).await;
    assert_eq!(outsider["error"]["code"], "no_such_room");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn large_fan_out_is_split_into_commits() {
    let names: Vec<String> = (0..100).map(|number| format!("member-{number:03}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    world.gate(false);
    let mut tokens = vec![world.publish(users[0], "busy", Some(id(0)), &create(&users[1..]))];
    for number in 1..1_000 {
        let sender = users[number % 100];
        tokens.push(world.publish(sender, "busy", Some(id(number as u128)), &text("x")));
    }
    world.gate(true);
    let owner = world.own("n1").await;
    for (token, seq) in tokens.iter().zip(1..) {
        assert_eq!(world.bus.answer_to(token).await["seq"], seq);
    }
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn old_and_early_client_ids_are_refused_and_resends_are_not() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let at = |offset_ms: i64| {
        ClientId::from_parts(START_MS.checked_add_signed(offset_ms).expect("time"), 1)
    };
    let code = |answer: serde_json::Value| answer["error"]["code"].as_str().map(str::to_owned);
    let hour = 3_600_000;
    let body = text("x");
    let send = |id| world.send("alice", "alice~bob", Some(id), &body);
    assert_eq!(code(send(at(-25 * hour)).await).as_deref(), Some("expired_id"));
    assert_eq!(code(send(at(2 * hour)).await).as_deref(), Some("expired_id"));
    assert_eq!(send(at(-23 * hour)).await["seq"], 1);
    // An hour and a half later it is too old, but it is committed.
    world.clock.advance_ms(3 * hour as u64 / 2);
    assert_eq!(send(at(-23 * hour)).await["seq"], 1);
    // A day later its record is deleted, and it is refused, never doubled.
    world.clock.advance_ms(24 * hour as u64);
    world.send("alice", "alice~bob", Some(at(25 * hour)), &text("y")).await;
    assert_eq!(code(send(at(-23 * hour)).await).as_deref(), Some("expired_id"));
    assert_eq!(world.entries("alice~bob").await.len(), 2);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_command_waits_for_the_one_before_it() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let send = |number, after: Option<u128>, body: &str| {
        let ids = (Some(id(number)), after.map(id));
        world.publish_after("alice", "alice~bob", ids, &text(body))
    };
    // The first was lost on the way; the second and third must not overtake it.
    for (number, after) in [(2, 1), (3, 2)] {
        let answer = world.bus.answer_to(&send(number, Some(after), "x")).await;
        assert_eq!(answer["error"]["code"], "resend_in_order");
    }
    // Sent again in order, at once.
    let tokens = [send(1, None, "x"), send(2, Some(1), "x"), send(3, Some(2), "x")];
    for (token, seq) in tokens.iter().zip(1..) {
        assert_eq!(world.bus.answer_to(token).await["seq"], seq);
    }
    // An owner that has only the store to ask knows the one before as well.
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&send(4, Some(3), "x")).await["seq"], 4);
    assert_eq!(world.bus.answer_to(&send(3, Some(99), "x")).await["seq"], 3, "it is committed");
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_back_does_not_let_a_forgotten_id_in_again() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let hour_ms = 3_600_000;
    let body = text("x");
    let send = |id| world.send("alice", "alice~bob", Some(id), &body);
    assert_eq!(send(id(1)).await["seq"], 1);
    // This commit removes the record of the first...
    world.clock.advance_ms(26 * hour_ms);
    let answer = send(ClientId::from_parts(START_MS + 26 * hour_ms, 2)).await;
    assert_eq!(answer["seq"], 2);
    // ...which the clock says could still be there.
    world.clock.advance_ms(0_u64.wrapping_sub(20 * hour_ms));
    assert_eq!(send(id(1)).await["error"]["code"], "expired_id");
    assert_eq!(world.entries("alice~bob").await.len(), 2);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_flood_is_refused_and_others_are_not() {
    let mut world = World::new(&["flood", "calm", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 10, burst: 5 };
    let owner = world.own("n1").await;
    let mut refused = 0;
    for number in 0..20 {
        let answer = world.send("flood", "bob~flood", Some(id(number)), &text("x")).await;
        if answer["error"]["code"] == "rate_limited" {
            assert!(answer["error"]["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0));
            refused += 1;
        }
    }
    assert_eq!(refused, 15);
    assert_eq!(world.send("calm", "bob~calm", Some(id(1)), &text("x")).await["seq"], 1);
    // A resend costs no quota: it is committed.
    assert_eq!(world.send("flood", "bob~flood", Some(id(0)), &text("x")).await["seq"], 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_store_that_went_back_is_refused() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    owner.leave().await.expect("leave");
    world.trim(7, 8).await;
    let owner = world.own("n2").await;
    let refused = owner.task.await.expect("join");
    let message = refused.expect_err("refused").to_string();
    assert!(message.starts_with("the store went back"), "{message}");
}

#[tokio::test]
async fn a_changed_layout_ends_an_owner() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    world.publish("alice", "alice~bob", Some(id(1)), &text("x"));
    grown(&world.engine.commits, before).await;
    world.change_layout().await;
    world.gate(true);
    let lost = owner.task.await.expect("join");
    assert!(matches!(lost, Err(Error::LayoutChanged(0))), "{lost:?}");
    assert!(world.entries("alice~bob").await.is_empty());
}

#[tokio::test]
async fn an_owner_that_was_replaced_does_not_take_a_trimmed_log_for_an_old_store() {
    let world = World::new(&["alice", "bob"]).await;
    let first = take(&world.store, 0, ("n1", FEATURE_LEVEL), [1; 16]).await.expect("taken");
    let second = world.own("n2").await;
    for number in 0..3 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
    }
    let mut log = world.log.clone();
    world.trim(7, 3).await;
    let opened = open_log(&mut log, &world.store, first, 0, || [2; 16]).await;
    assert!(matches!(opened, Err(Error::Lost(0))), "{:?}", opened.err());
    second.leave().await.expect("leave");
}

/// So that a plan takes a few of them.
fn incompressible(seed: u64, bytes: usize) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + (state >> 58) as u8)
    };
    (0..bytes).map(|_| next()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_read_ahead_is_bounded_by_bytes() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.gate(false);
    let publish = |number| {
        let large = text(&incompressible(number, 100_000));
        world.publish("alice", "alice~bob", Some(id(number.into())), &large)
    };
    let tokens: Vec<String> = (1..=200).map(publish).collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let read = world.log.read_through();
    assert!((10..=60).contains(&read), "{read} read of 100 kB each, at about 4 MB");
    world.gate(true);
    for (token, seq) in tokens.iter().zip(1..) {
        assert_eq!(world.bus.answer_to(token).await["seq"], seq);
    }
    owner.leave().await.expect("leave");
}
