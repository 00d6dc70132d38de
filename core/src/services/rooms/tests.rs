//! Lists, pages, and who may see them.

use super::super::testing::{World, add, code, create, remove, text};
use super::*;

async fn world() -> World {
    let mut world = World::new().await;
    for name in ["zoo", "art", "m"] {
        world.one(name, "alice", create(&["bob"], History::All)).await;
    }
    world.one("alice~bob", "bob", text("hi")).await;
    world.one("alice~alice", "alice", text("note")).await;
    world.one("art", "alice", add("carol")).await;
    world.one("art", "alice", remove("bob")).await;
    world
}

fn names(rooms: &svc::Rooms) -> Vec<&str> {
    rooms.rooms.iter().map(|room| room.room.as_str()).collect()
}

#[tokio::test]
async fn rooms_are_listed_groups_first_page_by_page() {
    let world = world().await;
    let list = |after: &str, limit| {
        let request = svc::ListRooms { token: world.token("alice"), after: after.into(), limit };
        world.context.list(request)
    };
    let all = list("", 0).await.expect("list");
    assert_eq!(names(&all), ["art", "m", "zoo", "alice~alice", "alice~bob"]);
    assert!(!all.more);
    let art = &all.rooms[0];
    assert_eq!((art.seq, art.ordinal, art.member_count, art.title.as_str()), (3, 0, 2, "T"));
    assert_eq!(art.role, "owner");
    let (notebook, direct) = (&all.rooms[3], &all.rooms[4]);
    assert_eq!((notebook.member_count, direct.member_count, direct.ordinal), (1, 2, 1));
    assert_eq!(direct.role, "member");
    assert_eq!(direct.history, "all");

    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = list(&after, 2).await.expect("list");
        paged.extend(names(&page).into_iter().map(ToOwned::to_owned));
        after = paged.last().expect("a room").clone();
        if !page.more {
            break;
        }
    }
    assert_eq!(paged, names(&all));
    let bob = svc::ListRooms { token: world.token("bob"), ..svc::ListRooms::default() };
    assert_eq!(names(&world.context.list(bob).await.expect("list")), ["m", "zoo", "alice~bob"]);
    assert_eq!(code(list("a.b", 0).await), ErrorCode::BadId);
}

#[tokio::test]
async fn groups_are_ids_alone() {
    let mut world = world().await;
    world.context.limits.rows_max = 2;
    let groups = |after: &str| {
        let request = svc::ListGroups { token: world.token("alice"), after: after.into() };
        world.context.groups(request)
    };
    let first = groups("").await.expect("groups");
    assert_eq!((first.rooms, first.more), (vec!["art".to_owned(), "m".to_owned()], true));
    let second = groups("m").await.expect("groups");
    assert_eq!((second.rooms, second.more), (vec!["zoo".to_owned()], false));
    assert_eq!(code(groups("alice~bob").await), ErrorCode::BadId);
}

#[tokio::test]
async fn a_room_is_shown_to_its_members_alone() {
    let world = world().await;
    let get = |who: &str, room: &str| {
        world.context.get(svc::GetRoom { token: world.token(who), room: room.into() })
    };
    assert_eq!(get("carol", "art").await.expect("room").member_count, 2);
    assert_eq!(code(get("bob", "art").await), ErrorCode::NotMember);
    assert_eq!(code(get("carol", "m").await), ErrorCode::NotMember);
    assert_eq!(code(get("carol", "alice~bob").await), ErrorCode::NotMember);
    assert_eq!(code(get("carol", "alice~carol").await), ErrorCode::NoSuchRoom);
    assert_eq!(code(get("carol", "nowhere").await), ErrorCode::NoSuchRoom);
}

#[tokio::test]
async fn members_are_paged_past_those_who_left() {
    let mut world = World::new().await;
    world.one("g", "alice", create(&["b1", "b2", "b3", "b4", "b5"], History::All)).await;
    for gone in ["b1", "b2", "b3"] {
        world.one("g", "alice", remove(gone)).await;
    }
    world.one("g", "alice", add("b2")).await;
    let members = |who: &str, room: &str, after: &str, limit| {
        let request = svc::ListMembers {
            token: world.token(who),
            room: room.into(),
            after: after.into(),
            limit,
        };
        world.context.members(request)
    };
    let told = |page: svc::Members| {
        let users = page.members.into_iter().map(|member| (member.user, member.since_seq));
        (users.collect::<Vec<_>>(), page.more)
    };
    let named = |users: &[(&str, u64)]| {
        users.iter().map(|(user, since)| ((*user).to_owned(), *since)).collect::<Vec<_>>()
    };
    let first = told(members("b4", "g", "", 2).await.expect("members"));
    assert_eq!(first, (named(&[("alice", 1), ("b2", 5)]), true));
    let second = told(members("b4", "g", "b2", 2).await.expect("members"));
    assert_eq!(second, (named(&[("b4", 1), ("b5", 1)]), false));
    let third = told(members("b4", "g", "alice", 2).await.expect("members"));
    assert_eq!(third, (named(&[("b2", 5), ("b4", 1)]), true));
    assert_eq!(code(members("b1", "g", "", 0).await), ErrorCode::NotMember);
    assert_eq!(code(members("b4", "g", "a b", 0).await), ErrorCode::BadId);

    world.one("alice~b4", "b4", text("hi")).await;
    let request = svc::ListMembers {
        token: world.token("b4"),
        room: "alice~b4".into(),
        ..svc::ListMembers::default()
    };
    let both = told(world.context.members(request).await.expect("members"));
    assert_eq!(both, (named(&[("alice", 1), ("b4", 1)]), false));
}
