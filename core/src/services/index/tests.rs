use weft_proto::History;
use weft_proto::kind::Leave;

use super::super::testing::{World, code, create, room, seqs, text};
use super::*;

fn place(room: &str, seq: u64) -> svc::Place {
    svc::Place { room: room.into(), seq }
}

async fn walk(world: &World) -> Vec<(String, u64, String)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = world.context.index_walk(svc::WalkMessages { after }).await.expect("page");
        all.extend(page.messages.into_iter().map(|it| (it.room, it.seq, it.texts.concat())));
        after = page.through;
        if after.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn all_messages_are_walked_each_once_however_small_a_page_is() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    let mut expected = Vec::new();
    for number in 0..20_u64 {
        let long = "긴 글 ".repeat(usize::try_from(number).expect("small") * 40);
        let said = format!("{number} {long}");
        world.one("team", "alice", text(&said)).await;
        world.one("alice~bob", "bob", text(&said)).await;
        expected.push(("team".to_owned(), number + 2, said.clone()));
        expected.push(("alice~bob".to_owned(), number + 1, said));
    }
    expected.sort();
    for bytes_max in [1, 3_000, 400_000] {
        world.context.limits.page.bytes_max = bytes_max;
        assert_eq!(walk(&world).await, expected);
    }
    world.context.limits.page.bytes_max = 3_000;
    let places: Vec<_> = expected.iter().map(|(room, seq, _)| place(room, *seq)).collect();
    let (mut left, mut read) = (places, Vec::new());
    while !left.is_empty() {
        let asked = svc::ReadChanged { places: left.clone() };
        let page = world.context.index_changed(asked).await.expect("page");
        assert!(page.done > 0 && page.deleted.is_empty());
        read.extend(page.messages.into_iter().map(|it| (it.room, it.seq, it.texts.concat())));
        left.drain(..page.done as usize);
    }
    assert_eq!(read, expected);
}

#[tokio::test]
async fn what_is_no_message_is_told_as_deleted() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "alice", text("one")).await;
    let places = vec![place("team", 1), place("team", 2), place("team", 9), place("none", 1)];
    let page = world.context.index_changed(svc::ReadChanged { places }).await.expect("page");
    assert_eq!(page.done, 4);
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.deleted, [place("team", 1), place("team", 9), place("none", 1)]);
}

#[tokio::test]
async fn who_has_left_finds_nothing_and_who_came_late_what_they_may_see() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::Joined)).await;
    world.one("team", "alice", text("early")).await;
    world.one("team", "alice", super::super::testing::add("carol")).await;
    world.one("team", "alice", text("late")).await;
    let searchable = async |name: &str, room: &str| {
        let (room, after) = (room.to_owned(), String::new());
        let request = svc::ListSearchable { token: world.token(name), room, after };
        world.context.searchable(request).await
    };
    let found = async |world: &World, name: &str| {
        let places = vec![place("team", 4), place("team", 2), place("team", 99), place("a~b", 1)];
        let request = svc::ReadFound { token: world.token(name), places };
        let page = world.context.found_entries(request).await.expect("page");
        assert_eq!(page.done, 4);
        seqs(&page.entries)
    };
    let rooms = searchable("carol", "").await.expect("rooms");
    assert_eq!((rooms.user, rooms.rooms[0].parts[0]), ("carol".to_owned(), 3));
    assert_eq!(found(&world, "carol").await, [(room("team"), 4)]);
    assert_eq!(found(&world, "bob").await, [(room("team"), 4), (room("team"), 2)]);
    assert_eq!(code(searchable("eve", "team").await), weft_proto::ErrorCode::NoSuchRoom);
    world.one("team", "bob", Body::Leave(Leave {})).await;
    assert_eq!(found(&world, "bob").await, []);
    let request =
        svc::ListSearchable { token: world.token("bob"), ..svc::ListSearchable::default() };
    assert_eq!(world.context.searchable(request).await.expect("rooms").rooms, []);
}
