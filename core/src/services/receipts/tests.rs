use weft_proto::History;
use weft_storage::tables::mark::Mark;
use weft_storage::tables::relation::Relation;
use weft_storage::tables::sent::{self, Sent};
use weft_storage::tables::setting::Setting;
use weft_storage::{Batch, Store};

use super::super::testing::{World, add, code, create, remove, room, text, user};
use super::*;

fn read(seq: u64) -> Mark {
    Mark { read: seq, delivered: seq, ..Mark::default() }
}

async fn sends(store: &Store, name: &str, who: &str, seq: u64) {
    let mut batch = Batch::new(rand::random());
    sent::put(&mut batch, &room(name), &user(who), Sent { seq, ordinal: 1 });
    store.commit(batch).await.expect("commit");
}

fn asked(world: &World, who: &str, name: &str, seq: u64) -> svc::ListReceipts {
    let (token, room) = (world.token(who), name.to_owned());
    svc::ListReceipts { token, room, seq, ..svc::ListReceipts::default() }
}

/// Up to where everybody has read, whether there is more, and how many have read up to there.
type Told = (Vec<(String, u64)>, bool, Option<u32>);

async fn told(world: &World, asked: svc::ListReceipts) -> Told {
    let page = world.context.receipts(asked).await.expect("receipts");
    let read = page.receipts.into_iter().map(|receipt| (receipt.user, receipt.read)).collect();
    (read, page.more, page.read_count)
}

fn all(members: &[(&str, u64)]) -> Vec<(String, u64)> {
    members.iter().map(|(user, read)| ((*user).to_owned(), *read)).collect()
}

#[tokio::test]
async fn a_group_tells_who_has_read_up_to_where() {
    let mut world = World::new().await;
    world.one("team", "ann", create(&["bob", "cem", "dia"], History::All)).await;
    for _ in 2..=6 {
        world.one("team", "ann", text("x")).await;
    }
    world.one("team", "ann", remove("dia")).await;
    world.mark("team", "bob", &read(4)).await;
    world.mark("team", "cem", &read(2)).await;
    world.mark("team", "dia", &read(6)).await;
    // What somebody has sent they have read.
    sends(&world.store, "team", "ann", 6).await;
    sends(&world.store, "team", "cem", 5).await;
    let members = [("ann", 6), ("bob", 4), ("cem", 5)];
    assert_eq!(told(&world, asked(&world, "bob", "team", 0)).await, (all(&members), false, None));
    let first = svc::ListReceipts { limit: 2, ..asked(&world, "bob", "team", 0) };
    assert_eq!(told(&world, first.clone()).await, (all(&members[..2]), true, None));
    let next = svc::ListReceipts { after: "bob".into(), ..first };
    assert_eq!(told(&world, next).await, (all(&members[2..]), false, None));
    let of_5 = svc::ListReceipts { limit: 1, ..asked(&world, "bob", "team", 5) };
    assert_eq!(told(&world, of_5.clone()).await, (all(&[("ann", 6)]), true, Some(2)));
    let next = svc::ListReceipts { after: "ann".into(), ..of_5 };
    assert_eq!(told(&world, next).await, (all(&[("cem", 5)]), false, Some(2)));
    for (who, seq, refused) in [
        ("bob", 8, ErrorCode::NotFound),
        ("dia", 5, ErrorCode::NotMember),
        ("eve", 5, ErrorCode::NoSuchRoom),
    ] {
        let asked = asked(&world, who, "team", seq);
        assert_eq!(code(world.context.receipts(asked).await), refused, "{who}");
    }
    let nowhere = asked(&world, "bob", "nowhere", 0);
    assert_eq!(code(world.context.receipts(nowhere).await), ErrorCode::NoSuchRoom);
}

/// The rows say what they said before.
#[tokio::test]
async fn who_has_turned_them_off_is_not_told_of_and_asks_in_vain() {
    let mut world = World::new().await;
    world.one("team", "ann", create(&["bob", "cem"], History::All)).await;
    for _ in 2..=6 {
        world.one("team", "ann", text("x")).await;
    }
    world.mark("team", "bob", &read(4)).await;
    world.mark("team", "cem", &read(2)).await;
    let off = Setting { receipts_off: true, ..Setting::default() };
    world.set("bob", "bob~bob", off).await;
    let shown = all(&[("ann", 6), ("cem", 2)]);
    assert_eq!(told(&world, asked(&world, "cem", "team", 0)).await, (shown, false, None));
    let read = all(&[("ann", 6)]);
    assert_eq!(told(&world, asked(&world, "cem", "team", 3)).await, (read, false, Some(1)));
    for seq in [0, 3] {
        let asked = asked(&world, "bob", "team", seq);
        assert_eq!(code(world.context.receipts(asked).await), ErrorCode::Forbidden);
    }
    world.set("bob", "bob~bob", Setting::default()).await;
    assert_eq!(told(&world, asked(&world, "bob", "team", 3)).await.2, Some(2));
}

#[tokio::test]
async fn a_direct_room_tells_what_both_have_got() {
    let mut world = World::new().await;
    for _ in 1..=3 {
        world.one("ann~bob", "ann", text("x")).await;
    }
    let mark = Mark { read: 1, delivered: 3, ..Mark::default() };
    world.mark("ann~bob", "bob", &mark).await;
    sends(&world.store, "ann~bob", "ann", 3).await;
    let page = world.context.receipts(asked(&world, "ann", "ann~bob", 0)).await.expect("receipts");
    let receipt = |user: &str, read, delivered| svc::Receipt {
        user: user.to_owned(),
        read,
        delivered: Some(delivered),
    };
    assert_eq!(page.receipts, [receipt("ann", 3, 3), receipt("bob", 1, 3)]);
    let of_2 = told(&world, asked(&world, "ann", "ann~bob", 2)).await;
    assert_eq!(of_2, (all(&[("ann", 3)]), false, Some(1)));
    // Where one has blocked the other, each sees their own.
    world.relate("bob", "ann", Relation { contact: true, blocked: true }).await;
    for (who, read) in [("ann", 3), ("bob", 1)] {
        let own = told(&world, asked(&world, who, "ann~bob", 0)).await;
        assert_eq!(own, (all(&[(who, read)]), false, None));
    }
}

#[tokio::test]
async fn of_a_large_group_all_are_told_page_by_page() {
    let mut world = World::new().await;
    world.fanout_limit = 3;
    world.one("team", "ann", create(&["bob", "cem"], History::All)).await;
    world.one("team", "ann", add("dia")).await;
    world.mark("team", "cem", &read(2)).await;
    let members = [("ann", 2), ("bob", 1), ("cem", 2), ("dia", 2)];
    assert_eq!(told(&world, asked(&world, "bob", "team", 0)).await, (all(&members), false, None));
    let of_2 = asked(&world, "bob", "team", 2);
    assert_eq!(code(world.context.receipts(of_2).await), ErrorCode::TooLarge);
}
