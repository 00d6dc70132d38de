use weft_storage::Batch;
use weft_storage::tables::layout::{self, Layout};

use super::super::testing::{World, code, user};
use super::*;

async fn world(users: &[(&str, &str)]) -> World {
    let world = World::new().await;
    for (who, display_name) in users {
        name(&world, who, display_name).await;
    }
    world
}

/// Names a user, as who makes or changes an account does.
async fn name(world: &World, who: &str, display_name: &str) {
    let key = account::key(&user(who));
    let row = world.store.snapshot().await.expect("snapshot").get(key).await.expect("get");
    let before = row.map(|row| Account::decode(&row).expect("an account"));
    let account = Account { display_name: display_name.into(), ..Account::default() };
    let mut batch = Batch::new(rand::random());
    account::put(&mut batch, &user(who), before.as_ref(), &account);
    world.store.commit(batch).await.expect("commit");
}

async fn page(
    world: &World,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<svc::FoundUsers, Failure> {
    let (token, prefix, after) = (world.token("zoe"), prefix.into(), after.into());
    world.context.find_users(svc::FindUsers { token, prefix, after, limit }).await
}

/// All pages, of this size.
async fn found(world: &World, prefix: &str, limit: u32) -> Vec<String> {
    let (mut users, mut after) = (Vec::new(), String::new());
    loop {
        let page = page(world, prefix, &after, limit).await.expect("a page");
        users.extend(page.profiles.into_iter().map(|it| it.user));
        if !page.more {
            return users;
        }
        after = page.cursor;
    }
}

#[tokio::test]
async fn a_user_is_found_by_the_beginnings_of_id_and_name_once() {
    let users =
        [("hong-1", "홍 길동"), ("anna", "Anna Annasdóttir"), ("ann", "Än n"), ("b", "홍길순")];
    let world = world(&users).await;
    for limit in [0, 1, 2, 3] {
        for (prefix, expected) in [
            ("ann", &["ann", "anna"][..]),
            ("ANN", &["ann", "anna"]),
            ("annasd", &["anna"]),
            ("an n", &["ann"]),
            ("홍", &["hong-1", "b"]),
            ("ㅎㄱ", &["b"]),
            ("ㅎ ㄱㄷ", &["hong-1"]),
            ("길도", &["hong-1"]),
            ("1", &["hong-1"]),
            ("nna", &[]),
        ] {
            assert_eq!(found(&world, prefix, limit).await, expected, "{prefix} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_is_found_as_it_is_now() {
    let world = world(&[("bob", "Robert")]).await;
    name(&world, "bob", "Bobby").await;
    assert_eq!(found(&world, "rob", 0).await, Vec::<String>::new());
    assert_eq!(found(&world, "bobb", 0).await, ["bob"]);
    // A row that the account does not bear out, as a walk may leave it.
    let mut batch = Batch::new(rand::random());
    batch.set(name::key("rob", &user("bob")), bytes::Bytes::new());
    batch.set(name::key("rob", &user("nobody")), bytes::Bytes::new());
    world.store.commit(batch).await.expect("commit");
    assert_eq!(found(&world, "rob", 1).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_page_is_bounded_and_what_cannot_be_looked_for_is_refused() {
    let users: Vec<(String, String)> =
        (0..60).map(|n| (format!("u{n:02}"), format!("User {n} uu ua ub uc ud"))).collect();
    let users: Vec<(&str, &str)> = users.iter().map(|(id, it)| (&**id, &**it)).collect();
    let world = world(&users).await;
    let first = page(&world, "u", "", 1_000).await.expect("a page");
    assert_eq!((first.profiles.len(), first.more), (PAGE_FOUND_USERS_MAX as usize, true));
    let mut all = found(&world, "u", 7).await;
    all.sort_unstable();
    assert_eq!(all.len(), 60);
    all.dedup();
    assert_eq!(all.len(), 60, "each once");
    for (prefix, after, expected) in [
        ("", "", ErrorCode::BadRequest),
        (" ~ 🔥", "", ErrorCode::BadRequest),
        ("u", "x", ErrorCode::BadCursor),
        ("u", "a.b:u", ErrorCode::BadCursor),
    ] {
        assert_eq!(code(page(&world, prefix, after, 0).await), expected, "{prefix} {after}");
    }
    // The cursor of something else.
    let other = page(&world, "u", "u01:zzz", 0).await.expect("a page");
    assert_eq!((other.profiles.len(), other.more), (0, false));
    assert!(
        found(&world, "u", 0).await.len()
            > page(&world, "u", "u01:ua", 0).await.expect("a page").profiles.len()
    );
}

#[tokio::test]
async fn a_store_of_before_gets_what_is_looked_for_while_its_level_is_raised() {
    let world = World::new().await;
    let row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
    let row = Layout::decode(&row.expect("get").expect("a layout")).expect("a layout");
    let mut batch = Batch::new(rand::random());
    batch.set(layout::key(), Layout { feature_level: 3, ..row }.encode());
    for n in 0..2_500 {
        let account = Account { display_name: format!("Name {n}"), ..Account::default() };
        batch.set(account::key(&user(&format!("u{n}"))), account.encode());
    }
    world.store.commit(batch).await.expect("commit");
    assert_eq!(code(page(&world, "name 24", "", 0).await), ErrorCode::UnknownType);
    let upgrade = super::super::layout::Upgrade::prepare(&world.store, PEOPLE_LEVEL).await;
    let upgrade = upgrade.expect("prepare").expect("something to do");
    upgrade.commit(&world.store, std::time::Duration::ZERO).await.expect("commit");
    let found = found(&world, "name 24", 50).await;
    assert_eq!(found.len(), 1 + 10 + 100, "24, 240 to 249, 2400 to 2499");
}
