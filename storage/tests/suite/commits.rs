//! What a commit promises: guards, whole or not at all, in its order.

use weft_storage::{Outcome, Store};

use super::{b, batch, commit, everything, get, keys, numbered, set};

pub async fn guards_accept_what_holds(store: Store) {
    set(&store, "there", "1").await;
    let mut guarded = batch();
    guarded.guard(b("there"), Some(b("1")));
    guarded.guard(b("not there"), None);
    guarded.set(b("there"), "2");
    commit(&store, guarded).await;
    assert_eq!(get(&store, "there").await, Some(b("2")));
}

pub async fn a_failed_guard_writes_nothing(store: Store) {
    set(&store, "a", "1").await;
    let wrong =
        [(b("a"), Some(b("2"))), (b("a"), None), (b("none"), Some(b(""))), (b("a"), Some(b("11")))];
    for (key, expected) in wrong {
        let mut guarded = batch();
        guarded.guard(b("a"), Some(b("1")));
        guarded.guard(key, expected);
        guarded.set(b("a"), "3");
        guarded.clear_range(b(""), b("z"));
        guarded.set_at_position(b("p"), 0, "3");
        let outcome = store.commit(guarded).await.expect("commit");
        assert_eq!(outcome, Outcome::Rejected { guard: 1 });
    }
    assert_eq!(keys(&store, everything(), 10, false).await, [b("a")]);
    assert_eq!(get(&store, "a").await, Some(b("1")));
}

pub async fn guards_do_not_see_their_own_batch(store: Store) {
    let mut guarded = batch();
    guarded.set(b("a"), "1");
    guarded.guard(b("a"), None);
    commit(&store, guarded).await;
    assert_eq!(get(&store, "a").await, Some(b("1")));
}

pub async fn one_of_many_writers_of_a_guarded_key_wins(store: Store) {
    for round in 0..20_u32 {
        let writers: Vec<_> = (0..16_u32)
            .map(|writer| {
                let mut guarded = batch();
                guarded.guard(numbered("round", round), None);
                guarded.set(numbered("round", round), b(writer.to_be_bytes()));
                guarded.set(numbered("writer", writer), b(round.to_be_bytes()));
                let store = store.clone();
                tokio::spawn(async move { store.commit(guarded).await.expect("commit") })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, task) in (0..).zip(writers) {
            if let Outcome::Committed(_) = task.await.expect("task") {
                winners.push(writer);
            }
        }
        let [winner]: [u32; 1] = winners.try_into().expect("exactly one winner");
        let kept = get(&store, numbered("round", round)).await;
        assert_eq!(kept, Some(b(winner.to_be_bytes())));
        for writer in 0..16 {
            let wrote =
                get(&store, numbered("writer", writer)).await == Some(b(round.to_be_bytes()));
            assert_eq!(wrote, writer == winner, "round {round}, writer {writer}");
        }
    }
}

pub async fn counters_lose_nothing(store: Store) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    loop {
                        let now = get(&store, "counter").await;
                        let count = now.as_ref().map_or(0, |now| {
                            u32::from_be_bytes(now.as_ref().try_into().expect("4 bytes"))
                        });
                        let mut guarded = batch();
                        guarded.guard(b("counter"), now);
                        guarded.set(b("counter"), b((count + 1).to_be_bytes()));
                        let outcome = store.commit(guarded).await.expect("commit");
                        if matches!(outcome, Outcome::Committed(_)) {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    assert_eq!(get(&store, "counter").await, Some(b(200_u32.to_be_bytes())));
}

pub async fn max_only_grows(store: Store) {
    let steps: [(&[u8], &[u8]); 7] = [
        (b"", b""),
        (&[0], &[0]),
        (&[1, 0], &[1, 0]),
        (&[0, 255], &[1, 0]),
        (&[1], &[1, 0]),
        (&[1, 0, 0], &[1, 0, 0]),
        (&[0xff], &[0xff]),
    ];
    for (value, kept) in steps {
        let mut raising = batch();
        raising.max(b("mark"), b(value));
        commit(&store, raising).await;
        assert_eq!(get(&store, "mark").await, Some(b(kept)));
    }
    let mut mixed = batch();
    mixed.max(b("x"), "2");
    mixed.max(b("x"), "1");
    mixed.max(b("mark"), "0");
    mixed.set(b("y"), "5");
    mixed.max(b("y"), "3");
    mixed.clear(b("z"));
    mixed.max(b("z"), "");
    commit(&store, mixed).await;
    assert_eq!(get(&store, "x").await, Some(b("2")));
    assert_eq!(get(&store, "mark").await, Some(b([0xff])));
    assert_eq!(get(&store, "y").await, Some(b("5")));
    assert_eq!(get(&store, "z").await, Some(b("")));
}

pub async fn operations_happen_in_their_order(store: Store) {
    for key in ["a", "b", "c"] {
        set(&store, key, "old").await;
    }
    let mut ordered = batch();
    ordered.set(b("b"), "1");
    ordered.set(b("b2"), "1");
    ordered.clear(b("a"));
    ordered.clear_range(b("a"), b("c"));
    ordered.set(b("b"), "2");
    ordered.set(b("a2"), "2");
    ordered.clear(b("a2"));
    ordered.set(b("c"), "2");
    ordered.set(b("c"), "3");
    ordered.clear(b("d"));
    ordered.set(b("d"), "4");
    ordered.set_positioned(b("e"), 0, "x");
    ordered.set(b("e"), "5");
    commit(&store, ordered).await;
    let snapshot = store.snapshot().await.expect("snapshot");
    let expected = [("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (b(key), b(value))).collect();
    assert_eq!(snapshot.scan(everything(), 10, false).await.expect("scan"), expected);
}

pub async fn batches_without_operations_check_their_guards(store: Store) {
    let first = set(&store, "a", "1").await;
    let mut checking = batch();
    checking.guard(b("a"), Some(b("1")));
    assert!(matches!(store.commit(checking).await.expect("commit"), Outcome::Committed(_)));
    let mut checking = batch();
    checking.guard(b("a"), Some(b("2")));
    let outcome = store.commit(checking).await.expect("commit");
    assert_eq!(outcome, Outcome::Rejected { guard: 0 });
    assert!(set(&store, "a", "2").await > first);
}
