//! Whom a user sees, and whom not.

use weft_proto::History;
use weft_proto::limits::PRESENCE_USERS_MAX;
use weft_storage::tables::relation::Relation;

use super::super::testing::{World, add, code, create, remove, text, user};
use super::*;

/// alice writes with zoe and bob, and to herself; is in `art` with bob and carol, from which dave
/// was removed; in the large `hall` with erin; and was removed from `zoo`, where frank is.
async fn world() -> World {
    let mut world = World::new().await;
    world.fanout_limit = 3;
    for (room, from) in [("alice~zoe", "zoe"), ("alice~bob", "alice"), ("alice~alice", "alice")] {
        world.one(room, from, text("hi")).await;
    }
    world.one("art", "alice", create(&["bob", "carol"], History::All)).await;
    world.one("art", "alice", remove("carol")).await;
    world.one("art", "alice", add("dave")).await;
    world.one("art", "alice", remove("dave")).await;
    world.one("art", "alice", add("carol")).await;
    world.one("hall", "erin", create(&["alice", "gina", "hugo"], History::All)).await;
    world.one("hall", "erin", remove("hugo")).await;
    world.one("zoo", "frank", create(&["alice"], History::All)).await;
    world.one("zoo", "frank", remove("alice")).await;
    world
}

async fn companions(world: &World, who: &str) -> (Vec<String>, bool) {
    let request = svc::ListCompanions { token: world.token(who) };
    let answer = world.context.companions(request).await.expect("companions");
    (answer.users, answer.more)
}

fn asked(world: &World, who: &str, users: &[&str], room: &str) -> svc::AreVisible {
    let users = users.iter().map(ToString::to_string).collect();
    svc::AreVisible { token: world.token(who), users, room: room.into() }
}

async fn visible(world: &World, who: &str, users: &[&str], room: &str) -> Vec<String> {
    let request = asked(world, who, users, room);
    world.context.visible(request).await.expect("visible").users
}

#[tokio::test]
async fn partners_come_first_then_members_of_small_groups_each_once() {
    let world = world().await;
    let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(companions(&world, "alice").await, (named(&["bob", "zoe", "carol"]), false));
    assert_eq!(companions(&world, "carol").await, (named(&["alice", "bob"]), false));
    for gone in ["dave", "erin", "frank", "nobody"] {
        assert_eq!(companions(&world, gone).await, (named(&[]), false), "{gone}");
    }
    let hear = world.context.who_hears(&user("carol")).await.expect("those who hear");
    assert_eq!(hear, [user("carol"), user("alice"), user("bob")]);
    let no_token = world.context.companions(svc::ListCompanions::default()).await;
    assert_eq!(code(no_token), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn what_is_left_out_is_said() {
    let mut world = world().await;
    world.context.limits.companions_max = 3;
    let (all, more) = companions(&world, "alice").await;
    assert_eq!((all.len(), more), (3, false), "exactly as many as may be");
    for (users_max, expected) in [(2, vec!["bob", "zoe"]), (1, vec!["bob"])] {
        world.context.limits.companions_max = users_max;
        let (some, more) = companions(&world, "alice").await;
        assert_eq!((some.iter().map(String::as_str).collect(), more), (expected, true));
    }
    world.context.limits = ServiceLimits::default();
    // The direct rooms alone use it up.
    world.context.limits.lookups_max = SCAN_LOOKUPS;
    let (some, more) = companions(&world, "alice").await;
    assert_eq!((some, more), (vec!["bob".to_owned(), "zoe".to_owned()], true));
}

#[tokio::test]
async fn companions_are_found_however_few_rows_are_read_at_once() {
    let mut world = world().await;
    world.fanout_limit = 9;
    for n in 1..6 {
        world.one(&format!("art{n}"), "alice", create(&["ann", "ben", "cat"], History::All)).await;
        for gone in ["ann", "ben", "cat"] {
            world.one(&format!("art{n}"), "alice", remove(gone)).await;
        }
    }
    world.one("art5", "alice", add("cat")).await;
    for name in ["amy", "joe", "kim"] {
        world.one(RoomId::direct(&user("alice"), &user(name)).as_str(), name, text("hi")).await;
    }
    for rows_max in [1, 2, 3, 4, 500] {
        world.context.limits.rows_max = rows_max;
        let (found, more) = companions(&world, "alice").await;
        assert_eq!((found.len(), more), (7, false), "{found:?}");
        assert_eq!(found[5..], ["carol", "cat"]);
    }
}

#[tokio::test]
async fn a_search_through_many_groups_ends() {
    let mut world = World::new().await;
    // Nobody else is in them, but the last.
    let groups = LOOKUPS_MAX / SCAN_LOOKUPS;
    for n in 0..groups {
        world.one(&format!("g{n:05}"), "zoe", create(&[], History::All)).await;
    }
    world.one(&format!("g{:05}", groups - 1), "zoe", add("carol")).await;
    assert_eq!(companions(&world, "zoe").await, (Vec::new(), true));
    assert_eq!(visible(&world, "zoe", &["carol", "alice"], "").await, ["carol"]);
    world.context.limits.lookups_max = usize::MAX;
    assert_eq!(companions(&world, "zoe").await, (vec!["carol".to_owned()], false));
}

#[tokio::test]
async fn whoever_shares_a_room_is_visible_and_nobody_else() {
    let world = world().await;
    let everybody =
        ["zoe", "nobody", "gina", "alice", "hugo", "frank", "erin", "dave", "carol", "bob"];
    let of = async |who| visible(&world, who, &everybody, "").await;
    assert_eq!(of("alice").await, ["zoe", "gina", "alice", "erin", "carol", "bob"]);
    assert_eq!(of("zoe").await, ["zoe", "alice"]);
    assert_eq!(of("gina").await, ["gina", "alice", "erin"]);
    for alone in ["dave", "frank", "hugo", "nobody"] {
        assert_eq!(of(alone).await, [alone]);
    }
    assert!(visible(&world, "alice", &[], "").await.is_empty());
}

#[tokio::test]
async fn a_group_shows_its_members_to_its_members() {
    let world = world().await;
    let users = ["erin", "zoe", "hugo", "alice", "gina"];
    assert_eq!(visible(&world, "alice", &users, "hall").await, ["erin", "alice", "gina"]);
    assert_eq!(visible(&world, "alice", &users, "art").await, ["alice"]);
    let refused =
        async |who, room| code(world.context.visible(asked(&world, who, &users, room)).await);
    assert_eq!(refused("hugo", "hall").await, ErrorCode::NotMember);
    assert_eq!(refused("zoe", "hall").await, ErrorCode::NoSuchRoom);
    assert_eq!(refused("alice", "zoo").await, ErrorCode::NotMember);
    assert_eq!(refused("alice", "nowhere").await, ErrorCode::NoSuchRoom);
    assert_eq!(refused("alice", "alice~bob").await, ErrorCode::BadId);
    assert_eq!(refused("alice", "a.b").await, ErrorCode::BadId);
}

#[tokio::test]
async fn a_question_is_bounded() {
    let mut world = world().await;
    let refused = async |world: &World, users: &[&str]| {
        code(world.context.visible(asked(world, "alice", users, "")).await)
    };
    let many = vec!["bob"; PRESENCE_USERS_MAX + 1];
    assert_eq!(refused(&world, &many).await, ErrorCode::BadRequest);
    assert_eq!(refused(&world, &["a.b"]).await, ErrorCode::BadId);
    // Two groups of the caller, and two users who are no partners.
    world.context.limits.lookups_max = 3;
    assert_eq!(refused(&world, &["carol", "erin"]).await, ErrorCode::TooLarge);
    assert_eq!(visible(&world, "alice", &["carol", "bob"], "").await, ["carol", "bob"]);
    assert_eq!(visible(&world, "alice", &["carol", "erin"], "art").await, ["carol"]);
    world.context.limits.lookups_max = 4;
    assert_eq!(visible(&world, "alice", &["carol", "erin"], "").await, ["carol", "erin"]);
}

#[tokio::test]
async fn neither_of_two_sees_the_other_where_one_has_blocked_the_other() {
    let world = world().await;
    let blocks = |blocked| Relation { contact: true, blocked };
    world.relate("alice", "bob", blocks(true)).await;
    world.relate("carol", "alice", blocks(true)).await;
    world.relate("zoe", "alice", blocks(false)).await;
    for (who, others) in [("alice", &["zoe"][..]), ("bob", &["carol"]), ("carol", &["bob"])] {
        assert_eq!(companions(&world, who).await.0, others, "{who}");
    }
    let all = ["alice", "bob", "carol", "zoe"];
    for room in ["", "art"] {
        assert!(!visible(&world, "alice", &all, room).await.contains(&"bob".to_owned()));
        assert!(!visible(&world, "alice", &all, room).await.contains(&"carol".to_owned()));
        assert_eq!(visible(&world, "bob", &all, room).await, ["bob", "carol"]);
        assert_eq!(visible(&world, "carol", &all, room).await, ["bob", "carol"]);
    }
    world.relate("alice", "bob", blocks(false)).await;
    assert_eq!(visible(&world, "bob", &all, "").await, ["alice", "bob", "carol"]);
}
