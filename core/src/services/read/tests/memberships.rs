//! What those read who came and went.

use super::*;

#[tokio::test]
async fn who_was_no_member_begins_at_the_next_joining() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    let start = world.cursor().await;
    for body in [text("2"), add("carol"), text("4"), remove("carol"), text("6"), add("carol")] {
        world.one("team", "alice", body).await;
    }
    world.one("team", "alice", text("8")).await;
    let at = |cursor: &str| cursor.parse::<weft_proto::Cursor>().expect("a cursor").position;
    let read = async |after, joined_after: Position| {
        let joined_after = Some(joined_after.0.to_vec());
        let request = svc::ReadLog { after: Some(after), joined_after, ..request(&world, "carol") };
        told(&world, request).await
    };
    // A membership that has ended again has left pointers.
    assert_eq!(read(0, at(&start)).await, (range(3, 8), 1, 8, false));
    assert_eq!(read(5, at(&start)).await, (range(7, 8), 6, 8, false));
    // Nothing after that position tells of it: the row knows the last joining.
    let end = at(&world.cursor().await);
    assert_eq!(read(0, end).await, (range(7, 8), 1, 8, false));
    assert_eq!(read(7, end).await, (range(8, 8), 8, 8, false));
    let to_the_joining = svc::ReadLog {
        after: Some(0),
        to: 6,
        joined_after: Some(end.0.to_vec()),
        ..request(&world, "carol")
    };
    assert_eq!(told(&world, to_the_joining).await, (vec![], 1, 6, false));
    let malformed =
        svc::ReadLog { after: Some(0), joined_after: Some(vec![1]), ..request(&world, "carol") };
    assert_eq!(code(world.context.log_read(malformed).await), ErrorCode::BadRequest);
}

/// A row of before level 3 does not say whether there was an earlier membership. Whoever comes for the first time goes on
/// all the same.
#[tokio::test]
async fn whose_row_knows_the_last_joining_alone_begins_there_if_there_was_no_other() {
    for (times, is_told) in [(1, true), (2, false)] {
        let mut world = World::new().await;
        world.one("team", "alice", create(&["bob"], History::All)).await;
        let start = world.cursor().await.parse::<weft_proto::Cursor>().expect("a cursor").position;
        for _ in 1..times {
            world.one("team", "alice", add("carol")).await;
            world.one("team", "alice", remove("carol")).await;
        }
        for body in [text("x"), add("carol"), text("y")] {
            world.one("alice~carol", "carol", text("beside")).await;
            world.one("team", "alice", body).await;
        }
        let key = weft_storage::tables::member::key(&room("team"), &user("carol"));
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let row = snapshot.get(key.clone()).await.expect("get").expect("a row");
        let row = weft_storage::tables::member::Member::decode(&row).expect("a row");
        let mut batch = weft_storage::Batch::new(rand::random());
        batch.set(key, row.without_earlier().encode());
        world.store.commit(batch).await.expect("commit");
        let joined_after = Some(start.0.to_vec());
        let asked = svc::ReadLog { after: Some(1), joined_after, ..request(&world, "carol") };
        if is_told {
            assert_eq!(told(&world, asked).await.0, [3, 4]);
        } else {
            assert_eq!(code(world.context.log_read(asked).await), ErrorCode::BadCursor);
        }
    }
}

#[tokio::test]
async fn who_came_and_went_reads_what_was_there_meanwhile() {
    for (history, hidden) in [(History::Joined, &[1, 2, 6, 7, 11, 12, 13][..]), (History::All, &[])]
    {
        let mut world = World::new().await;
        world.one("team", "alice", create(&["bob"], history)).await;
        world.one("team", "alice", text("2")).await;
        for _ in 0..2 {
            for body in [add("carol"), text("there"), remove("carol"), text("away"), text("away")] {
                world.one("team", "alice", body).await;
            }
        }
        for body in [text("13"), add("carol"), text("15")] {
            world.one("team", "alice", body).await;
        }
        let seen: Vec<u64> = (1..=15).filter(|seq| !hidden.contains(seq)).collect();
        for limit in 1..=15 {
            let (mut forth, mut at) = (Vec::new(), 0);
            loop {
                let (read, from, through, more) = after(&world, "carol", at, 0, limit).await;
                assert!(from == at + 1 && through > at, "{from} {through}");
                forth.extend(read);
                at = through;
                if !more {
                    break;
                }
            }
            assert_eq!((&forth, at), (&seen, 15), "{limit}");
            let (mut back, mut at) = (Vec::new(), 0);
            loop {
                let asked = svc::ReadLog { before: Some(at), limit, ..request(&world, "carol") };
                let (mut read, from, _, more) = told(&world, asked).await;
                read.extend(back);
                (back, at) = (read, from);
                if !more {
                    break;
                }
            }
            assert_eq!((&back, at), (&seen, 1), "{limit}");
        }
        // Gone again, it stays so.
        world.one("team", "alice", remove("carol")).await;
        world.one("team", "alice", text("17")).await;
        let (read, ..) = after(&world, "carol", 0, 0, 0).await;
        assert_eq!(read, seen.into_iter().chain([16]).collect::<Vec<_>>());
    }
}
