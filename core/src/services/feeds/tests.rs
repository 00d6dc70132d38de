use weft_proto::{Entry, History};
use weft_storage::tables::account;

use super::super::testing::{World, add, code, create, remove, room, text, user};
use super::*;

async fn bot_named(world: &World, name: &str) {
    let mut batch = Batch::new(rand::random());
    let row = Account { is_bot: true, ..Account::default() };
    account::put(&mut batch, &user(name), None, &row);
    world.store.commit(batch).await.expect("commit");
}

async fn read(world: &World, places: &[(&str, u64, &[&str])]) -> svc::FeedEntries {
    let place = |(room, seq, joins): &(&str, u64, &[&str])| {
        let joins = joins.iter().map(ToString::to_string).collect();
        svc::FeedPlace { room: (*room).to_owned(), seq: *seq, joins }
    };
    let request = svc::ReadFeeds { places: places.iter().map(place).collect() };
    world.context.feeds_read(request).await.expect("entries")
}

/// Of each entry the seq, and of each of its bots the seq before.
fn shown(page: &svc::FeedEntries) -> Vec<(u64, Vec<(&str, u64)>)> {
    page.entries
        .iter()
        .map(|entry| (entry.seq, entry.bots.iter().map(|it| (&*it.bot, it.before)).collect()))
        .collect()
}

#[tokio::test]
async fn a_bot_has_the_entries_of_its_memberships_and_no_others() {
    let mut world = World::new().await;
    for name in ["b1", "b2"] {
        bot_named(&world, name).await;
    }
    world.one("team", "alice", create(&["bob", "b1"], History::All)).await;
    world.one("team", "alice", text("one")).await;
    world.one("team", "alice", add("b2")).await;
    world.one("team", "alice", text("two")).await;
    world.one("team", "alice", remove("b1")).await;
    world.one("team", "alice", text("three")).await;
    // All at once, as after an absence: who was a member at each is not who is one now.
    let places: &[(&str, u64, &[&str])] = &[
        ("team", 1, &["alice", "bob", "b1"]),
        ("team", 2, &[]),
        ("team", 3, &["b2"]),
        ("team", 4, &[]),
        ("team", 5, &[]),
        ("team", 6, &[]),
    ];
    let page = read(&world, places).await;
    assert_eq!(page.done, 6);
    let expected = vec![
        (1, vec![("b1", 0)]),
        (2, vec![("b1", 1)]),
        (3, vec![("b1", 2), ("b2", 0)]),
        (4, vec![("b1", 3), ("b2", 3)]),
        (5, vec![("b1", 4), ("b2", 4)]),
        (6, vec![("b2", 5)]),
    ];
    assert_eq!(shown(&page), expected);
    let frame = String::from_utf8(page.entries[1].frame.clone()).expect("text");
    assert_eq!(Entry::from_frame(&frame).expect("a frame").seq, 2);
    // The same again, of who has left and been looked at after that: nothing of it is forgotten.
    assert_eq!(shown(&read(&world, &places[3..]).await), expected[3..]);
    assert_eq!(shown(&read(&world, &[("team", 6, &[])]).await), [(6, vec![("b2", 5)])]);
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = snapshot.scan(room_bot::range(&room("team")), 10, false).await.expect("scan");
    let left: Vec<_> = rows.iter().map(|(key, _)| room_bot::bot(key).expect("a bot")).collect();
    assert_eq!(left, [user("b2")], "who has left costs nothing any more");
    // It comes back, and misses what it was not there for.
    world.one("team", "alice", add("b1")).await;
    world.one("team", "alice", text("four")).await;
    let page = read(&world, &[("team", 7, &["b1"]), ("team", 8, &[])]).await;
    assert_eq!(shown(&page), [(7, vec![("b1", 0), ("b2", 6)]), (8, vec![("b1", 7), ("b2", 7)])]);
}

#[tokio::test]
async fn direct_rooms_with_a_bot_are_in_its_feed_and_those_of_people_in_nobodys() {
    let mut world = World::new().await;
    bot_named(&world, "b1").await;
    world.one("alice~b1", "alice", text("hello")).await;
    world.one("alice~b1", "b1", text("yes?")).await;
    world.one("alice~bob", "alice", text("psst")).await;
    let page =
        read(&world, &[("alice~b1", 1, &[]), ("alice~bob", 1, &[]), ("alice~b1", 2, &[])]).await;
    assert_eq!((page.done, shown(&page)), (3, vec![(1, vec![("b1", 0)]), (2, vec![("b1", 1)])]));
    let listed = world.context.feeds_list(svc::ListFeeds::default()).await.expect("a list");
    assert_eq!((listed.bots, listed.after.as_str()), (vec!["b1".to_owned()], ""));
    let bad = svc::FeedPlace { room: "a.b".into(), ..svc::FeedPlace::default() };
    let bad = svc::ReadFeeds { places: vec![bad] };
    assert_eq!(code(world.context.feeds_read(bad).await), ErrorCode::BadId);
}

#[tokio::test]
async fn bots_are_found_where_the_journal_does_not_tell_of_them() {
    let mut world = World::new().await;
    bot_named(&world, "b1").await;
    world.one("team", "alice", create(&["b1"], History::Joined)).await;
    world.one("team", "alice", text("one")).await;
    assert_eq!(read(&world, &[("team", 2, &[])]).await.entries, []);
    let found = world.context.feeds_find(svc::FindBots::default()).await.expect("found");
    assert_eq!(found, svc::FoundBots::default(), "all of it in one call");
    assert_eq!(shown(&read(&world, &[("team", 2, &[])]).await), [(2, vec![("b1", 1)])]);
}

#[tokio::test]
async fn a_bot_chooses_the_form_of_its_feed_and_nobody_else_does() {
    let mut world = World::new().await;
    bot_named(&world, "b1").await;
    world.one("team", "alice", create(&["b1"], History::Joined)).await;
    let set = async |name: &str| {
        let feed = Some(svc::Feed { cloudevents: true });
        let request = svc::SetFeed { token: world.token(name), bot: "b1".into(), feed };
        world.context.feed_set(request).await
    };
    assert_eq!(code(set("alice").await), ErrorCode::NotFound);
    set("b1").await.expect("set");
    let request = svc::GetFeed { token: world.token("b1"), bot: "b1".into() };
    assert!(world.context.feed_get(request).await.expect("feed").cloudevents);
    let page = read(&world, &[("team", 1, &["alice", "b1"])]).await;
    assert!(page.entries[0].bots[0].cloudevents);
}
