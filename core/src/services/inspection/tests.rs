//! What is seen of any room, and that each look is told.

use weft_proto::History;

use super::super::testing::{World, code, create, seqs, text};
use super::*;

async fn world() -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::Joined)).await;
    for _ in 0..4 {
        world.one("team", "alice", text("x")).await;
    }
    world
}

/// What the log says, oldest first.
async fn told(world: &World) -> Vec<(String, String, u64, String)> {
    let page = world.context.admin_log(Authority::Operator, svc::ReadAdminLog::default()).await;
    let rows = page.expect("the log").rows.into_iter();
    let mut rows: Vec<_> = rows.map(|it| (it.time_ms, it)).collect();
    rows.sort_by_key(|(time_ms, _)| *time_ms);
    rows.into_iter().map(|(_, it)| (it.action, it.room, it.seq, it.reason)).collect()
}

fn log(after: u64, limit: u32) -> svc::InspectLog {
    let (room, reason) = ("team".to_owned(), "a report".to_owned());
    svc::InspectLog { room, reason, after, limit, ..svc::InspectLog::default() }
}

#[tokio::test]
async fn a_room_is_read_page_by_page_and_each_look_is_told() {
    let world = world().await;
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        world.clock.advance_ms(1);
        let page = world.context.inspect_log(Authority::Operator, log(after, 2)).await;
        let page = page.expect("a page");
        seen.extend(seqs(&page.entries).into_iter().map(|(_, seq)| seq));
        after = page.through;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let row =
        |action: &str, seq| (action.to_owned(), "team".to_owned(), seq, "a report".to_owned());
    let looks = [row("see_entries", 1), row("see_entries", 3), row("see_entries", 5)];
    assert_eq!(told(&world).await, looks);

    world.clock.advance_ms(1);
    let room = svc::InspectRoom { room: "team".into(), ..svc::InspectRoom::default() };
    let room = world.context.inspect_room(Authority::Operator, room).await.expect("the room");
    assert_eq!((&*room.title, room.seq, room.member_count, room.closed), ("T", 5, 2, false));
    world.clock.advance_ms(1);
    let members = svc::InspectMembers { room: "team".into(), ..svc::InspectMembers::default() };
    let members = world.context.inspect_members(Authority::Operator, members).await;
    let members = members.expect("members").members;
    let members: Vec<_> = members.iter().map(|it| (&*it.user, &*it.role)).collect();
    assert_eq!(members, [("alice", "owner"), ("bob", "member")]);
    let told = told(&world).await;
    assert_eq!((&*told[3].0, &*told[4].0), ("see_room", "see_members"));
}

#[tokio::test]
async fn who_is_no_administrator_sees_nothing_and_a_room_that_is_not_there_is_not_told() {
    let world = world().await;
    for user in ["alice", "bob"] {
        let request = svc::InspectLog { token: world.token(user), ..log(0, 0) };
        let refused = world.context.inspect_log(Authority::Token, request).await;
        assert_eq!(code(refused), ErrorCode::Forbidden, "{user}");
    }
    let nowhere = svc::InspectLog { room: "nowhere".into(), ..log(0, 0) };
    let refused = world.context.inspect_log(Authority::Operator, nowhere).await;
    assert_eq!(code(refused), ErrorCode::NoSuchRoom);
    assert_eq!(told(&world).await, []);
}
