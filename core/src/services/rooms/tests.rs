//! Lists, pages, and who may see them.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weft_proto::{Body, History};
use weft_runtime::Clock as _;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::head;
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::log;
use weft_storage::tables::mark;
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::setting::Setting;

use super::super::testing::{World, add, code, create, remove, room, text, user};
use super::*;

mod unread;

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

async fn list(world: &World, who: &str, after: &str, limit: u32) -> Result<svc::Rooms, Failure> {
    let (token, after) = (world.token(who), after.to_owned());
    world.context.list(svc::ListRooms { token, after, limit, hidden: false }).await
}

/// All pages.
async fn listed(world: &World, who: &str, limit: u32) -> Vec<svc::RoomSummary> {
    let (mut rooms, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(world, who, &after, limit).await.expect("list");
        assert!(page.rooms.len() <= limit as usize);
        rooms.extend(page.rooms);
        if !page.more {
            return rooms;
        }
        assert_ne!(page.cursor, after);
        after = page.cursor;
    }
}

#[tokio::test]
async fn rooms_are_listed_by_their_newest_entries_page_by_page() {
    let mut world = world().await;
    for name in ["m", "alice~bob"] {
        world.clock.advance_ms(1_000);
        world.one(name, "bob", text("news")).await;
    }
    let all = list(&world, "alice", "", 0).await.expect("list");
    // Of one time by id.
    assert_eq!(names(&all), ["alice~bob", "m", "alice~alice", "art", "zoo"]);
    assert!(!all.more);
    let art = &all.rooms[3];
    assert_eq!((art.seq, art.ordinal, art.member_count, art.title.as_str()), (3, 0, 2, "T"));
    assert_eq!(art.role, "owner");
    let (notebook, direct) = (&all.rooms[2], &all.rooms[0]);
    assert_eq!((notebook.member_count, direct.member_count, direct.ordinal), (1, 2, 2));
    assert_eq!(direct.role, "member");
    assert_eq!(direct.history, "all");
    for limit in 1..6 {
        assert_eq!(listed(&world, "alice", limit).await, all.rooms, "{limit}");
    }
    // A page of bytes ends early, and is not the last one.
    world.context.limits.page.bytes_max = 1;
    let first = list(&world, "alice", "", 0).await.expect("list");
    assert_eq!((names(&first), first.more), (vec!["alice~bob"], true));
    assert_eq!(listed(&world, "alice", 5).await, all.rooms);
    let bob = list(&world, "bob", "", 0).await.expect("list");
    assert_eq!((names(&bob), bob.more), (vec!["alice~bob"], true));
    for bad in ["m", "7:", "x:m", "7:a.b"] {
        assert_eq!(code(list(&world, "alice", bad, 0).await), ErrorCode::BadCursor, "{bad}");
    }
}

#[tokio::test]
async fn a_list_shows_each_rooms_newest_entry_and_the_partner() {
    let mut world = world().await;
    let long = "\u{d55c}".repeat(300);
    world.one("m", "bob", text(&long)).await;
    let account = Account { display_name: "Bob B".into(), ..Account::default() };
    let mut batch = weft_storage::Batch::new([7; 16]);
    batch.set(account::key(&user("bob")), account.encode());
    world.store.commit(batch).await.expect("commit");
    let all = list(&world, "alice", "", 0).await.expect("list");
    let of = |name: &str| all.rooms.iter().find(|room| room.room == name).expect("a room");
    let last = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&of(name).last).expect("a frame")
    };
    assert_eq!(last("m")["text"], "\u{d55c}".repeat(200));
    assert_eq!((&last("art")["kind"], &last("art")["user"]), (&"remove".into(), &"bob".into()));
    assert_eq!(last("alice~bob")["text"], "hi");
    let partner = |name: &str| of(name).partner.clone().and_then(|partner| partner.profile);
    assert_eq!(partner("alice~bob").map(|it| it.display_name).as_deref(), Some("Bob B"));
    assert_eq!((partner("alice~alice"), partner("m")), (None, None));
    let one = svc::GetRoom { token: world.token("alice"), room: "m".into() };
    assert_eq!(&world.context.get(one).await.expect("room"), of("m"));
    // What is lost is not shown, nor what can't be read; the others are.
    world.remove_entries("art", &[3]).await;
    let mut batch = weft_storage::Batch::new([8; 16]);
    batch.set(log::range(&room("zoo"), 1..2).start, "damaged");
    world.store.commit(batch).await.expect("commit");
    let all = list(&world, "alice", "", 0).await.expect("list");
    let empty: Vec<&str> =
        all.rooms.iter().filter(|it| it.last.is_empty()).map(|it| it.room.as_str()).collect();
    assert_eq!(empty, ["art", "zoo"]);
}

#[tokio::test]
async fn how_far_the_partner_has_read_is_told_where_both_want_that() {
    let world = world().await;
    let mut batch = weft_storage::Batch::new([7; 16]);
    for who in ["alice", "bob"] {
        batch.set(account::key(&user(who)), Account::default().encode());
    }
    world.store.commit(batch).await.expect("commit");
    world.mark("alice~bob", "bob", &mark::Mark { read: 1, ..mark::Mark::default() }).await;
    let read = async |world: &World, who: &str| {
        let all = list(world, who, "", 0).await.expect("list");
        let is_it = |room: &&svc::RoomSummary| room.room == "alice~bob";
        let listed = all.rooms.iter().find(is_it).expect("a room").clone();
        let asked = svc::GetRoom { token: world.token(who), room: "alice~bob".into() };
        assert_eq!(world.context.get(asked).await.expect("room"), listed);
        let partner = listed.partner.expect("a partner");
        assert!(partner.profile.is_some());
        (partner.read, partner.delivered, all.receipts_off)
    };
    assert_eq!(read(&world, "alice").await, (Some(1), Some(1), false));
    assert!(matches!(read(&world, "bob").await, (Some(_), Some(_), false)));
    world.set("bob", "bob~bob", Setting { receipts_off: true, ..Setting::default() }).await;
    assert_eq!(read(&world, "alice").await, (None, None, false));
    assert_eq!(read(&world, "bob").await, (None, None, true));
}

#[tokio::test]
async fn a_row_of_where_a_room_was_or_of_who_has_left_says_nothing() {
    let mut world = world().await;
    let before = listed(&world, "bob", 2).await;
    let now_ms = world.clock.now_ms();
    let mut batch = weft_storage::Batch::new([9; 16]);
    for (name, time_ms) in [("m", now_ms + 3_600_000), ("m", 7), ("art", now_ms)] {
        let key = activity::key(&user("bob"), ActivityBucket::at(time_ms), &room(name));
        batch.set(key, bytes::Bytes::new());
    }
    batch.set(activity::key(&user("bob"), ActivityBucket::LARGE, &room("m")), bytes::Bytes::new());
    world.store.commit(batch).await.expect("commit");
    assert_eq!(listed(&world, "bob", 2).await, before);
    // In a store that keeps no lists yet they are made of all rooms.
    world.one("zoo", "alice", text("x")).await;
    let order = |rooms: Vec<svc::RoomSummary>| -> Vec<String> {
        rooms.into_iter().map(|it| it.room).collect()
    };
    let kept = order(listed(&world, "bob", 2).await);
    let row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
    let row = Layout::decode(&row.expect("get").expect("a layout")).expect("a layout");
    let mut batch = weft_storage::Batch::new([10; 16]);
    batch.set(layout::key(), Layout { feature_level: 2, ..row }.encode());
    let range = activity::range_from(&user("bob"), ActivityBucket::LARGE);
    batch.clear_range(range.start, range.end);
    world.store.commit(batch).await.expect("commit");
    assert_eq!(order(listed(&world, "bob", 2).await), kept);
}

#[tokio::test]
async fn a_page_ends_by_what_is_read_for_it() {
    let mut world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.one(name, "alice", create(&["bob"], History::All)).await;
    }
    // Of each, a list shows the beginning.
    for name in ["a", "b", "c"] {
        world.one(name, "alice", text(&"\u{d55c}".repeat(99_000))).await;
    }
    let first = list(&world, "alice", "", 0).await.expect("list");
    assert_eq!((names(&first), first.more), (vec!["a", "b"], true));
    assert_eq!(listed(&world, "alice", 100).await.len(), 4);
    // And of each, what was done to messages that are not read is looked at.
    let mut batch = weft_storage::Batch::new(rand::random());
    for (name, seq) in ["a", "b"].iter().flat_map(|name| (2..1_002).map(move |seq| (name, seq))) {
        let row = Message { edits: vec![seq; 30], ..Message::default() };
        batch.set(message::key(&room(name), seq), row.encode());
        if seq == 1_001 {
            let (ordinal, time_ms) = (1_000, world.clock.now_ms());
            let head = head::Head { seq, ordinal, time_ms, preview_seq: 1, ..Default::default() };
            head::put(&mut batch, &room(name), 0, &head);
        }
    }
    world.store.commit(batch).await.expect("commit");
    let page = list(&world, "bob", "", 0).await.expect("list");
    assert!(page.rooms.len() < 4 && page.more, "{:?}", names(&page));
}

#[tokio::test]
async fn a_damaged_room_does_not_cost_a_user_the_list() {
    let world = world().await;
    let all = list(&world, "alice", "", 0).await.expect("list");
    assert_eq!(all.rooms.len(), 5);
    let alice = user("alice");
    for (key, left) in [
        // Of a mark that can't be read it is as if nobody had said anything.
        (mark::key(&room("zoo"), &alice), 5),
        (member::key(&room("art"), &alice), 4),
        (head::key(&room("m")), 3),
    ] {
        let mut batch = weft_storage::Batch::new(rand::random());
        batch.set(key, "damaged");
        world.store.commit(batch).await.expect("commit");
        let page = list(&world, "alice", "", 0).await.expect("list");
        assert_eq!((page.rooms.len(), page.more), (left, false));
    }
}

#[tokio::test]
async fn in_a_store_that_keeps_nothing_of_it_all_is_read() {
    let mut world = world().await;
    let row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
    let row = Layout::decode(&row.expect("get").expect("a layout")).expect("a layout");
    let mut batch = weft_storage::Batch::new(rand::random());
    batch.set(layout::key(), Layout { feature_level: 2, ..row }.encode());
    let sent = weft_storage::tables::sent::key(&room("m"), &user("bob"));
    batch.clear(sent);
    world.store.commit(batch).await.expect("commit");
    world.one("m", "alice", text("x")).await;
    let page = list(&world, "bob", "", 0).await.expect("list");
    let m = page.rooms.iter().find(|room| room.room == "m").expect("a room");
    assert_eq!((m.unread, m.unread_exact, m.read, m.read_ordinal), (0, true, 2, 1));
    assert_eq!(unread(&world, "bob", "m").await, (0, true));
}

async fn unread(world: &World, who: &str, name: &str) -> (u64, bool) {
    let request = svc::GetRoom { token: world.token(who), room: name.into() };
    let room = world.context.get(request).await.expect("a room");
    (room.unread, room.unread_exact)
}

/// Any rooms at any times: each list is the sorted one, whatever its pages hold.
#[tokio::test]
async fn lists_are_what_sorting_all_rooms_gives() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new().await;
    world.fanout_limit = 3;
    let others = ["bob", "cem", "dora"];
    for n in 0..60 {
        let members: Vec<&str> = others.iter().filter(|_| random.random()).copied().collect();
        world.one(&format!("g{n}"), "alice", create(&members, History::All)).await;
        world.one(&format!("alice~u{n}"), "alice", text("x")).await;
        world.clock.advance_ms(random.random_range(0..4) * 600_000);
        for _ in 0..3 {
            let name = format!("g{}", random.random_range(0..=n));
            let body = match random.random_range(0..3) {
                0 => add(others[random.random_range(0..3)]),
                1 => remove(others[random.random_range(0..3)]),
                _ => text("y"),
            };
            world.one(&name, "alice", body).await;
        }
    }
    for who in ["alice", "bob", "cem"] {
        let limit = random.random_range(1..9);
        let all = listed(&world, who, 100).await;
        let mine = world.rooms_of(&user(who));
        let mut sorted: Vec<_> =
            mine.into_iter().map(|(room, time_ms)| (std::cmp::Reverse(time_ms), room)).collect();
        sorted.sort();
        let found: Vec<_> =
            all.iter().map(|it| (std::cmp::Reverse(it.time_ms), room(&it.room))).collect();
        assert_eq!(found, sorted, "{who}");
        assert_eq!(listed(&world, who, limit).await, all, "{who} by {limit}");
    }
}

#[tokio::test]
async fn groups_are_ids_alone() {
    let mut world = world().await;
    world.context.limits.rows_max = 2;
    let groups = |after: &str| {
        let request = svc::ListGroups {
            token: world.token("alice"),
            after: after.into(),
            with_direct: false,
        };
        world.context.groups(request)
    };
    let first = groups("").await.expect("groups");
    assert_eq!((first.rooms, first.more), (vec!["art".to_owned(), "m".to_owned()], true));
    let second = groups("m").await.expect("groups");
    assert_eq!((second.rooms, second.more), (vec!["zoo".to_owned()], false));
    assert_eq!(code(groups("alice~bob").await), ErrorCode::BadId);
}

#[tokio::test]
async fn a_room_is_shown_as_its_member_wants_it() {
    let world = world().await;
    world
        .set("alice", "art", Setting { muted_until_ms: 9, pinned: true, ..Setting::default() })
        .await;
    world.set("carol", "art", Setting::default()).await;
    let of = async |who: &str| {
        let request = svc::GetRoom { token: world.token(who), room: "art".into() };
        let room = world.context.get(request).await.expect("room");
        (room.muted_until_ms, room.pinned)
    };
    assert_eq!(of("alice").await, (9, true));
    assert_eq!(of("carol").await, (0, false));
    let listed = listed(&world, "alice", 2).await;
    let is_art = |room: &&svc::RoomSummary| room.pinned && room.muted_until_ms == 9;
    assert_eq!(listed.iter().filter(is_art).map(|room| &*room.room).collect::<Vec<_>>(), ["art"]);
}

#[tokio::test]
async fn a_room_is_shown_to_its_members_alone() {
    let world = world().await;
    let get = |who: &str, room: &str| {
        world.context.get(svc::GetRoom { token: world.token(who), room: room.into() })
    };
    assert_eq!(get("carol", "art").await.expect("room").member_count, 2);
    assert_eq!(code(get("bob", "art").await), ErrorCode::NotMember);
    assert_eq!(code(get("carol", "m").await), ErrorCode::NoSuchRoom);
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
