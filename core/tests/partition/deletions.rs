//! A user who deletes their account leaves all groups, and what they have kept for themselves is removed.

use tokio::time::{Duration, sleep};
use weft_proto::kind::{Add, Ask, ChangeRole, Close, Edit, Setting, Update};
use weft_proto::{Body, JoinRule, Role, RoomId, UserId};
use weft_storage::Batch;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::head;
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{join_request, setting, user_room};

use crate::create;
use crate::support::{START_MS, World, id, text, user_id};

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

async fn taken(world: &World, (from, to): (&str, &str), number: u128, body: Body) {
    let answer = world.send(from, to, Some(id(number)), &body).await;
    assert!(answer["error"].is_null(), "{from} to {to}: {answer}");
}

/// As the service begins it: the account has ended.
async fn delete(world: &World, user: &UserId) {
    let mut batch = Batch::new([3; 16]);
    let ended = Account { deleted_ms: START_MS, ..Account::default() };
    batch.set(account::key(user), ended.encode());
    batch.set(deletion::key(user), Deletion::new(1, START_MS).encode());
    world.store.commit(batch).await.expect("commit");
}

async fn left(world: &World, user: &UserId) -> Option<Deletion> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(deletion::key(user)).await.expect("read");
    row.map(|row| Deletion::decode(&row).expect("whole"))
}

async fn role(world: &World, group: &str, user: &str) -> Option<Role> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(member::key(&room(group), &user_id(user))).await.expect("read");
    Member::decode(&row.expect("a row")).expect("whole").role()
}

async fn count(world: &World, range: std::ops::Range<bytes::Bytes>) -> usize {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    snapshot.scan(range, usize::MAX, false).await.expect("scan").len()
}

#[tokio::test(start_paused = true)]
async fn all_groups_are_left_and_what_was_kept_is_removed() {
    let world = World::new(&["ann", "bob", "cat", "dan"]).await;
    let owner = world.own("n1").await;
    let ann = user_id("ann");
    // More than are left at once; the last owner of each.
    for number in 0..20_u128 {
        taken(&world, ("ann", &format!("g{number}")), 100 + number, create(&["bob"])).await;
    }
    // An admin comes before who was there before them; in an archived group, too.
    taken(&world, ("ann", "team"), 1, create(&["bob", "cat"])).await;
    let admin = Body::ChangeRole(ChangeRole { user: user_id("cat"), role: Role::Admin });
    taken(&world, ("ann", "team"), 2, admin).await;
    let archive = Update { archived: Some(true), ..Update::default() };
    taken(&world, ("ann", "team"), 3, Body::Update(archive)).await;
    // Another owner is there, and a group of another owner, and one of hers alone.
    taken(&world, ("ann", "both"), 4, create(&[])).await;
    let second = Body::Add(Add { user: user_id("dan"), role: Role::Owner });
    taken(&world, ("ann", "both"), 5, second).await;
    taken(&world, ("bob", "bobs"), 6, create(&["ann"])).await;
    taken(&world, ("ann", "alone"), 7, create(&[])).await;
    taken(&world, ("ann", "ann~bob"), 8, text("to bob")).await;
    taken(&world, ("ann", "ann~ann"), 9, text("a note")).await;
    let mute = Setting { room: Some(room("team")), pinned: Some(true), ..Setting::default() };
    taken(&world, ("ann", "ann~ann"), 10, Body::Setting(mute)).await;
    // She asks to come into a group, and so does another one.
    taken(&world, ("bob", "asked"), 12, create(&[])).await;
    let by_asking = Update { join: Some(JoinRule::Ask), ..Update::default() };
    taken(&world, ("bob", "asked"), 13, Body::Update(by_asking)).await;
    for who in ["ann", "dan"] {
        let ask = Body::Ask(Ask { text: None, withdraw: false });
        taken(&world, (who, "asked"), 14, ask).await;
    }

    delete(&world, &ann).await;
    while left(&world, &ann).await.is_some_and(|left| !left.partitions.is_empty()) {
        sleep(Duration::from_secs(1)).await;
    }
    for group in (0..20).map(|number| format!("g{number}")) {
        assert_eq!(role(&world, &group, "ann").await, None, "{group}");
        assert_eq!(role(&world, &group, "bob").await, Some(Role::Owner), "{group}");
        let kinds: Vec<_> =
            world.entries(&group).await.iter().map(|entry| entry.body.kind().word).collect();
        assert_eq!(kinds, ["create", "role", "leave"], "{group}: each once");
    }
    assert_eq!(role(&world, "team", "cat").await, Some(Role::Owner));
    assert_eq!(role(&world, "team", "bob").await, Some(Role::Member));
    assert_eq!(world.entries("both").await.len(), 3, "nobody becomes owner where one is");
    assert_eq!(world.entries("bobs").await.len(), 2);
    assert_eq!(role(&world, "alone", "ann").await, None);
    assert_eq!(count(&world, user_room::groups_after(&ann, None)).await, 0);
    // Nobody brings them back, or begins to write to them.
    for (from, to, body) in [
        ("bob", "bobs", Body::Add(Add { user: ann.clone(), role: Role::Member })),
        ("cat", "ann~cat", text("still there?")),
    ] {
        let answer = world.send(from, to, Some(id(11)), &body).await;
        assert_eq!(answer["error"]["code"], "no_such_user", "{answer}");
    }
    // What she may have sent just before is waited for.
    assert_eq!(count(&world, setting::range(&ann)).await, 1);
    world.clock.advance_ms(10 * 60_000);
    while left(&world, &ann).await.is_some() {
        sleep(Duration::from_secs(1)).await;
    }
    for range in deletion::own_rows(&ann) {
        assert_eq!(count(&world, range).await, 0);
    }
    assert!(world.entries("ann~ann").await.is_empty());
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let asking = join_request::users(&*snapshot, &room("asked"), 9).await.expect("read");
    assert_eq!(asking, [user_id("dan")]);
    let row = snapshot.get(head::key(&room("ann~ann"))).await.expect("read").expect("a head");
    assert_eq!(head::decode(&row).expect("whole").1.first_seq, 2);
    assert_eq!(world.entries("ann~bob").await.len(), 1, "what she wrote to others stays");
    let row = snapshot.get(account::key(&ann)).await.expect("read").expect("a row");
    assert!(Account::decode(&row).expect("whole").is_deleted());
    assert!(world.dead_letters().await.is_empty());
    owner.leave().await.expect("leave");
}

/// Those of a room's messages that are there, and their senders.
async fn messages(world: &World, name: &str) -> Vec<(String, String)> {
    let entries = world.entries(name).await.into_iter();
    let shown = entries.filter_map(|entry| match entry.body {
        Body::Text(text) => Some((entry.from.to_string(), text.text)),
        _ => None,
    });
    shown.collect()
}

/// Where they may not delete any more themselves, too; and a taking of the partition in the middle changes nothing.
#[tokio::test(start_paused = true)]
async fn what_they_wrote_is_deleted_where_that_was_asked_for() {
    const TEXTS: u128 = 700;
    let mut world = World::new(&["ann", "bob", "root"]).await;
    world.edit_window = Duration::from_secs(60);
    let mut batch = Batch::new([5; 16]);
    let root = Account { is_admin: true, ..Account::default() };
    batch.set(account::key(&user_id("root")), root.encode());
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    let (ann, bobs) = (user_id("ann"), || ("bob".to_owned(), "bob's".to_owned()));
    taken(&world, ("bob", "team"), 1, create(&["ann"])).await;
    for number in 0..TEXTS {
        taken(&world, ("ann", "ann~bob"), 1_000 + number, text("ann's")).await;
        world.clock.advance_ms(1_000);
    }
    for (to, first) in [("team", 10), ("ann~bob", 20)] {
        taken(&world, ("ann", to), first, text("ann's")).await;
        taken(&world, ("bob", to), first + 1, text("bob's")).await;
    }
    let edit = Body::Edit(Edit { target: 2, text: "ann's, again".into(), ranges: Vec::new() });
    taken(&world, ("ann", "team"), 12, edit).await;
    let close = Body::Close(Close { closed: true, reason: Some("a quarrel".into()) });
    taken(&world, ("root", "team"), 13, close).await;
    world.clock.advance_ms(3_600_000);

    let mut batch = Batch::new([6; 16]);
    let ended = Account { deleted_ms: START_MS, ..Account::default() };
    batch.set(account::key(&ann), ended.encode());
    let deletion = Deletion { empties: true, ..Deletion::new(1, START_MS) };
    batch.set(deletion::key(&ann), deletion.encode());
    world.store.commit(batch).await.expect("commit");
    while left(&world, &ann).await.is_some_and(|left| left.emptied.is_empty()) {
        sleep(Duration::from_millis(10)).await;
    }
    owner.leave().await.expect("leave");
    assert!(messages(&world, "ann~bob").await.len() > 2, "it is in the middle");
    let owner = world.own("n2").await;
    while left(&world, &ann).await.is_some_and(|left| !left.partitions.is_empty()) {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(role(&world, "team", "ann").await, None);
    for name in ["team", "ann~bob"] {
        assert_eq!(messages(&world, name).await, [bobs()], "{name}");
        let entries = world.entries(name).await;
        let edits = entries.iter().filter(|entry| matches!(entry.body, Body::Edit(_)));
        assert_eq!(edits.count(), 0, "{name}");
        let mut targets: Vec<u64> = entries
            .iter()
            .filter_map(|it| match &it.body {
                Body::Delete(it) => Some(it.target),
                _ => None,
            })
            .collect();
        let count = targets.len();
        targets.dedup();
        assert_eq!(targets.len(), count, "{name}: each is deleted once");
    }
    assert!(world.dead_letters().await.is_empty());
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_cannot_be_read_holds_up_nobody() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, ("bob", "bobs"), 1, create(&["ann"])).await;
    let mut batch = Batch::new([4; 16]);
    batch.set(deletion::key(&user_id("aaa")), &b"x"[..]);
    world.store.commit(batch).await.expect("commit");
    delete(&world, &user_id("ann")).await;
    while role(&world, "bobs", "ann").await.is_some() {
        sleep(Duration::from_secs(1)).await;
    }
    owner.leave().await.expect("leave");
}
