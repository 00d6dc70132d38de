use super::*;

fn bob() -> UserId {
    UserId::new("bob").expect("id")
}

fn said(status: Status, version: u64) -> Presence {
    Presence { status, version, ..Presence::unknown(bob()) }
}

fn table() -> (Table, Arc<Changes>) {
    let (mut table, changes) = (Table::default(), Arc::<Changes>::default());
    let watchers = vec![(1, Arc::clone(&changes))];
    table.users.insert(bob(), Watched { known: None, is_queued: false, watchers });
    (table, changes)
}

fn known(table: &Table) -> Option<(Status, u64)> {
    let known = &table.users[&bob()].known.as_ref()?.presence;
    Some((known.status, known.version))
}

/// What is known after it, and whether the watcher is told.
fn apply(
    (table, changes): &mut (Table, Arc<Changes>),
    presence: Presence,
    asked_at: Instant,
) -> (Option<(Status, u64)>, bool) {
    table.apply(presence, asked_at, Instant::now());
    (known(table), !std::mem::take(&mut *lock(&changes.users)).is_empty())
}

#[tokio::test(start_paused = true)]
async fn older_words_are_dropped_and_the_same_is_not_told_again() {
    let mut table = table();
    let now = Instant::now();
    let online = Some((Status::Online, 10));
    assert_eq!(apply(&mut table, said(Status::Online, 10), now), (online, true));
    assert_eq!(apply(&mut table, said(Status::Offline, 9), now), (online, false));
    // A newer word that says the same needs no new version.
    assert_eq!(apply(&mut table, said(Status::Online, 11), now), (online, false));
    assert_eq!(apply(&mut table, said(Status::Away, 12), now), (Some((Status::Away, 12)), true));
}

/// A client that goes by versions has to take it for news.
#[tokio::test(start_paused = true)]
async fn whoever_was_forgotten_meanwhile_is_offline_with_a_newer_version() {
    let mut table = table();
    apply(&mut table, said(Status::Online, 10), Instant::now());
    tokio::time::advance(Duration::from_secs(1)).await;
    let asked_at = Instant::now();
    let offline = Some((Status::Offline, 11));
    assert_eq!(apply(&mut table, said(Status::Offline, 0), asked_at), (offline, true));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(apply(&mut table, said(Status::Offline, 0), Instant::now()), (offline, false));
    // It says nothing against what was heard since the question.
    let asked_at = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    apply(&mut table, said(Status::Online, 20), Instant::now());
    let online = Some((Status::Online, 20));
    assert_eq!(apply(&mut table, said(Status::Offline, 0), asked_at), (online, false));
}

/// A presence node that lags may be asked: its word must not beat the next one.
#[tokio::test(start_paused = true)]
async fn what_is_not_newer_is_taken_for_a_while_and_asked_for_again() {
    let mut table = table();
    apply(&mut table, said(Status::Online, 10), Instant::now());
    tokio::time::advance(Duration::from_secs(1)).await;
    let wrong = table.0.apply(said(Status::Offline, 10), Instant::now(), Instant::now());
    assert_eq!((wrong, known(&table.0)), (Taken::Doubtful, Some((Status::Offline, 11))));
    tokio::time::advance(Duration::from_secs(1)).await;
    let right = table.0.apply(said(Status::Online, 10), Instant::now(), Instant::now());
    assert_eq!((right, known(&table.0)), (Taken::Doubtful, Some((Status::Online, 12))));
    // What is older than both is not.
    tokio::time::advance(Duration::from_secs(1)).await;
    let older = table.0.apply(said(Status::Away, 9), Instant::now(), Instant::now());
    assert_eq!((older, known(&table.0)), (Taken::No, Some((Status::Online, 12))));
}

#[tokio::test(start_paused = true)]
async fn each_user_waits_once_to_be_asked_for() {
    let (mut table, _) = table();
    for _ in 0..3 {
        table.ask_for(bob());
        table.ask_for_all();
    }
    assert_eq!(table.to_ask, [bob()]);
}
