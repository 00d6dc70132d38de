//! What is removed, and what stays. What a year leaves and costs, `weft-bench year` says.

use std::sync::Arc;

use weft_proto::kind::DraftText;
use weft_proto::{Body, ClientId, DeviceId, Entry};
use weft_runtime::{Clock, ManualClock};
use weft_storage::faulty::Faulty;
use weft_storage::memory::Memory;
use weft_storage::tables::account::Account;
use weft_storage::tables::applied::Applied;
use weft_storage::tables::dead_letter::DeadLetter;
use weft_storage::tables::device::Device;
use weft_storage::tables::layout::FEATURE_LEVEL;
use weft_storage::tables::log;
use weft_storage::tables::relation::Relation;
use weft_storage::tables::scheduled::Scheduled;
use weft_storage::tables::setting::Setting;

use super::*;
use crate::Upgrade;

const PARTITIONS: Partition = 2;
const BEGIN_MS: u64 = 20_000 * DAY_MS;

struct World {
    store: Store,
    clock: Arc<ManualClock>,
    users: Vec<UserId>,
    seq: u64,
}

fn user(number: usize) -> UserId {
    UserId::new(&format!("u{number}")).expect("id")
}

impl World {
    async fn new(store: Store, users: usize) -> Self {
        let users: Vec<UserId> = (0..users).map(user).collect();
        let mut batch = Batch::new(rand::random());
        batch.set(layout::key(), Layout::new(PARTITIONS.into(), 7).encode());
        for user in &users {
            batch.set(account::key(user), Account::default().encode());
        }
        store.commit(batch).await.expect("commit");
        Self { store, clock: Arc::new(ManualClock::new(BEGIN_MS)), users, seq: 0 }
    }

    /// Commits an entry to everybody's inbox, as the owner of a partition does, in this minute.
    async fn entry(&mut self, partition: Partition) {
        self.seq += 1;
        let room = RoomId::new("team").expect("id");
        let entry = Entry {
            room: room.clone(),
            seq: self.seq,
            ordinal: self.seq,
            from: self.users[0].clone(),
            client_id: None,
            time_ms: self.clock.now_ms(),
            body: Body::message("x".into()).expect("text"),
        };
        let mut batch = Batch::new(rand::random());
        log::put(&mut batch, 0, &entry);
        for user in &self.users {
            inbox::put(&mut batch, user, 0, &room, self.seq);
        }
        let applied = Applied { stream_seq: self.seq, ..Applied::default() };
        minute::put(&mut batch, partition, minute::of_ms(self.clock.now_ms()), &applied);
        self.store.commit(batch).await.expect("commit");
    }

    async fn commit(&self, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::new(rand::random());
        fill(&mut batch);
        self.store.commit(batch).await.expect("commit");
    }

    /// A login that was used now.
    async fn login(&self, user: &UserId, device: &str) {
        let login =
            Device { refresh_expires_ms: self.clock.now_ms() + LIFE_MS, ..Device::default() };
        let key = device::key(user, &DeviceId::new(device).expect("id"));
        self.commit(|batch| batch.set(key, login.encode())).await;
    }

    async fn put_aside(&self, partition: Partition, stream_seq: u64) {
        let letter = DeadLetter { time_ms: self.clock.now_ms(), ..DeadLetter::default() };
        self.commit(|batch| dead_letter::put(batch, partition, stream_seq, &letter)).await;
    }

    fn keeper(&self, partition: Partition) -> Keeper {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (store, clocks) = (self.store.clone(), Clocks::new(clock));
        let (partitions, retention) = (PARTITIONS, Retention::default());
        let feature_level = FEATURE_LEVEL;
        Keeper { store, clocks, partition, partitions, retention, feature_level }
    }

    async fn walk(&self) {
        for partition in 0..PARTITIONS {
            self.keeper(partition).walk().await.expect("walk");
        }
    }

    async fn count(&self, range: std::ops::Range<Bytes>) -> usize {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        snapshot.scan(range, usize::MAX, false).await.expect("scan").len()
    }

    async fn pointers(&self, user: &UserId) -> usize {
        self.count(inbox::range(user, Position::MIN, Position::MAX)).await
    }

    async fn logins(&self) -> usize {
        let mut logins = 0;
        for user in &self.users {
            logins += self.count(device::range(user)).await;
        }
        logins
    }

    async fn letters(&self) -> usize {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let (mut count, mut after) = (0, None);
        while let Some(kept) = dead_letter::first_after(&*snapshot, after).await.expect("read") {
            (count, after) = (count + 1, Some((kept.partition, kept.stream_seq)));
        }
        count
    }

    fn days(&self, days: u64) {
        self.clock.advance_ms(days * DAY_MS);
    }
}

impl World {
    /// Says how a user wants a room to be, as the owner of their notebook does.
    async fn set(&self, user: &UserId, name: &str, setting: &Setting) {
        let room = RoomId::new(name).expect("id");
        let changed = change::Changed::Setting(user.clone(), room.clone());
        self.commit(|batch| {
            change::put(batch, user, 0, &changed);
            setting::put(batch, 0, (user, &room), setting);
        })
        .await;
    }

    /// Says what another one is to a user, as the owner of their notebook does.
    async fn relate(&self, user: &UserId, other: &UserId, relation: &Relation) {
        let key = (user.clone(), other.clone());
        let changed = change::Changed::Relation(key.0.clone(), key.1.clone());
        self.commit(|batch| {
            change::put(batch, user, 0, &changed);
            relation::put(batch, 0, &key, relation);
        })
        .await;
    }

    async fn settings(&self, user: &UserId) -> (usize, usize) {
        let changes = change::range(user, Position::MIN, Position::MAX);
        (self.count(setting::range(user)).await, self.count(changes).await)
    }
}

#[tokio::test(start_paused = true)]
async fn relations_that_are_none_any_more_are_removed_when_all_devices_know_it() {
    let mut world = World::new(Store::new(Memory::new()), 4).await;
    let [quiet, ann, bob, cem] = [user(0), user(1), user(2), user(3)];
    world.relate(&quiet, &ann, &Relation::default()).await;
    world.relate(&quiet, &bob, &Relation { contact: true, ..Relation::default() }).await;
    let cursor = world.store.snapshot().await.expect("snapshot").read_version();
    world.users = vec![ann];
    world.entry(0).await;
    world.relate(&quiet, &cem, &Relation::default()).await;
    world.set(&quiet, "a", &Setting::default()).await;
    let relations = async |world: &World| world.count(relation::range(&quiet)).await;
    world.days(20);
    world.walk().await;
    assert_eq!(relations(&world).await, 3, "nothing is old");
    world.days(11);
    world.walk().await;
    assert_eq!(relations(&world).await, 2, "what came after is not old");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let is_expired = inbox::is_trimmed_after(&*snapshot, &quiet, cursor).await;
    assert!(is_expired.expect("read"), "who could still miss them begins anew");
    world.entry(1).await;
    world.days(31);
    world.walk().await;
    assert_eq!(relations(&world).await, 1, "who is a contact stays one");
    assert_eq!(world.settings(&quiet).await, (0, 1));
}

/// Whoever could still miss them is told to begin anew.
#[tokio::test(start_paused = true)]
async fn settings_that_are_none_any_more_are_removed_when_all_devices_know_it() {
    let mut world = World::new(Store::new(Memory::new()), 2).await;
    let (quiet, other) = (user(0), user(1));
    let at = |store: &Store| {
        let store = store.clone();
        async move { store.snapshot().await.expect("snapshot").read_version() }
    };
    let before = at(&world.store).await;
    world.set(&quiet, "a", &Setting::default()).await;
    world.set(&quiet, "b", &Setting { pinned: true, ..Setting::default() }).await;
    let muted_until_ms = world.clock.now_ms() + 40 * DAY_MS;
    world.set(&quiet, "c", &Setting { muted_until_ms, ..Setting::default() }).await;
    let after = at(&world.store).await;
    world.users.truncate(0);
    world.users.push(other);
    world.entry(0).await;
    world.set(&quiet, "d", &Setting::default()).await;
    world.days(20);
    world.walk().await;
    assert_eq!(world.settings(&quiet).await, (4, 4), "nothing is old");
    world.days(11);
    world.walk().await;
    assert_eq!(world.settings(&quiet).await, (3, 3), "what came after is not old");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let is_expired = async |cursor| inbox::is_trimmed_after(&*snapshot, &quiet, cursor).await;
    assert!(is_expired(before).await.expect("read"));
    assert!(is_expired(after).await.expect("read"), "up to the newest commit that is old");
    assert!(!is_expired(snapshot.read_version()).await.expect("read"));
    world.entry(1).await;
    world.days(31);
    world.walk().await;
    assert_eq!(world.settings(&quiet).await, (1, 1), "a mute that has ended is none");
    let key = setting::key(&quiet, &RoomId::new("b").expect("id"));
    assert!(
        world.store.snapshot().await.expect("snapshot").get(key).await.expect("read").is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn drafts_that_were_dismissed_are_removed_when_all_devices_know_it() {
    let mut world = World::new(Store::new(Memory::new()), 1).await;
    let user = user(0);
    let before = world.store.snapshot().await.expect("snapshot").read_version();
    for (name, text) in [("a", ""), ("b", "x")] {
        let room = RoomId::new(name).expect("id");
        let typed = DraftText { text: text.into(), ..DraftText::default() };
        let content = (!text.is_empty()).then_some(typed);
        let changed = change::Changed::Draft(user.clone(), room.clone());
        world
            .commit(|batch| {
                change::put(batch, &user, 0, &changed);
                let kept = draft::Kept { version: 1, time_ms: 1, content };
                draft::put(batch, 0, (&user, &room), &kept, 0);
            })
            .await;
    }
    let left = async |world: &World| {
        let changes = change::range(&user, Position::MIN, Position::MAX);
        let drafts = world.count(draft::range_after(&user, None)).await;
        (drafts, world.count(changes).await)
    };
    world.entry(0).await;
    world.days(29);
    world.walk().await;
    assert_eq!(left(&world).await, (2, 2), "nothing is old");
    world.days(2);
    world.walk().await;
    assert_eq!(left(&world).await, (1, 1));
    let snapshot = world.store.snapshot().await.expect("snapshot");
    assert!(inbox::is_trimmed_after(&*snapshot, &user, before).await.expect("read"));
}

#[tokio::test(start_paused = true)]
async fn scheduled_messages_that_are_over_are_removed_when_all_devices_know_it() {
    let mut world = World::new(Store::new(Memory::new()), 1).await;
    let (user, room) = (user(0), RoomId::new("team").expect("id"));
    let waits = Scheduled { parts: 1, ..Scheduled::default() };
    let failed = Scheduled { code: "forbidden".into(), ..waits.clone() };
    let sent = Scheduled { seq: 7, ..Scheduled::default() };
    for (number, row) in [waits, failed, sent, Scheduled::default()].into_iter().enumerate() {
        let key = (user.clone(), room.clone(), ClientId::from_parts(number as u64, 1));
        let changed = change::Changed::Scheduled(room.clone(), key.2);
        world
            .commit(|batch| {
                change::put(batch, &user, 0, &changed);
                scheduled::put(batch, 0, &key, &row, Some("{}").filter(|_| row.parts > 0));
            })
            .await;
    }
    let left = async |world: &World| {
        let changes = change::range(&user, Position::MIN, Position::MAX);
        (world.count(scheduled::range(&user)).await, world.count(changes).await)
    };
    world.entry(0).await;
    world.days(29);
    world.walk().await;
    assert_eq!(left(&world).await, (4, 4), "nothing is old");
    world.days(2);
    world.walk().await;
    assert_eq!(left(&world).await, (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_removed_and_what_is_not_stays() {
    let mut world = World::new(Store::new(Memory::new()), 5).await;
    let (old, used) = (user(0), user(1));
    world.entry(0).await;
    world.login(&old, "phone").await;
    world.login(&used, "phone").await;
    world.put_aside(0, 1).await;
    world.put_aside(1, 1).await;
    world.days(20);
    world.entry(1).await;
    world.put_aside(1, 2).await;
    world.walk().await;
    assert_eq!((world.pointers(&old).await, world.letters().await), (2, 3), "nothing is old");
    // The first ones are older than 30 days. What tells it is a commit of another partition's.
    world.days(11);
    world.walk().await;
    for user in world.users.clone() {
        assert_eq!(world.pointers(&user).await, 1, "{user}");
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let is_trimmed = inbox::is_trimmed_after(&*snapshot, &user, Position::MIN).await;
        assert!(is_trimmed.expect("read"), "{user}: an older cursor hears of it");
    }
    assert_eq!(world.letters().await, 1);
    world.days(50);
    world.login(&used, "phone").await;
    world.days(10);
    world.walk().await;
    assert_eq!(world.count(device::range(&old)).await, 0, "unused for more than 90 days");
    assert_eq!(world.count(device::range(&used)).await, 1);
    assert_eq!(world.pointers(&old).await, 0);
    assert_eq!(world.count(log::range(&RoomId::new("team").expect("id"), 0..9)).await, 2, "kept");
}

#[tokio::test(start_paused = true)]
async fn a_store_of_a_later_level_is_left_alone() {
    let mut world = World::new(Store::new(Memory::new()), 5).await;
    world.entry(0).await;
    world.put_aside(0, 1).await;
    world.days(31);
    world.entry(0).await;
    let upgrade = Upgrade::prepare(&world.store, FEATURE_LEVEL + 1).await;
    upgrade
        .expect("prepare")
        .expect("a step")
        .commit(&world.store, Duration::ZERO)
        .await
        .expect("commit");
    for partition in 0..PARTITIONS {
        let walked = world.keeper(partition).walk().await;
        assert!(matches!(walked, Err(Error::NotServed(_))), "{walked:?}");
    }
    assert_eq!((world.pointers(&user(0)).await, world.letters().await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_done_again_writes_nothing() {
    let mut world = World::new(Store::new(Memory::new()), 5).await;
    world.entry(0).await;
    world.days(31);
    world.entry(0).await;
    world.walk().await;
    let before = world.store.snapshot().await.expect("snapshot").read_version();
    world.walk().await;
    assert_eq!(world.store.snapshot().await.expect("snapshot").read_version(), before);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_bounded_by_their_number_too() {
    let world = World::new(Store::new(Memory::new()), 1).await;
    for stream_seq in 1..=250 {
        world.put_aside(0, stream_seq).await;
    }
    world.put_aside(1, 7).await;
    let retention = Retention { dead_letters_max: 100, ..Retention::default() };
    let keeper = Keeper { retention, ..world.keeper(0) };
    let began = tokio::time::Instant::now();
    let mut newest = None;
    keeper.bound_dead_letters(&mut newest).await.expect("bounded");
    assert_eq!((newest, world.letters().await), (Some(250), 100 + 1));
    let pauses = (150_u32).div_ceil(u32::try_from(LETTER_ROWS_AT_ONCE).expect("few"));
    assert_eq!(began.elapsed(), PAUSE * pauses, "in pieces");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let left = dead_letter::oldest(&*snapshot, 0, 1).await.expect("scan");
    assert_eq!(left[0].0, 151, "the newest ones stay");
    keeper.bound_dead_letters(&mut newest).await.expect("nothing new");
    world.put_aside(0, 251).await;
    keeper.bound_dead_letters(&mut newest).await.expect("one more");
    assert_eq!((newest, world.letters().await), (Some(251), 100 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_walk_goes_on_where_the_store_failed() {
    const PARTS: usize = 20;
    let mut world = World::new(Store::new(Memory::new()), PARTS * USERS_AT_ONCE).await;
    world.entry(0).await;
    world.days(31);
    world.entry(0).await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let store = Store::new(Faulty::new(world.store.clone(), seed, 40));
    let (keeper, mut place) = (Keeper { store, partitions: 1, ..world.keeper(0) }, None);
    // From the front each time it would have to do all of it without a failure once: 1 in 20,000.
    let mut failures = 0;
    while keeper.walk_on(&mut place).await.is_err() {
        failures += 1;
        assert!(failures < 200, "it is at {place:?}");
    }
    assert_eq!(place, None);
    for user in &world.users {
        assert_eq!(world.pointers(user).await, 1, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_can_not_be_read_is_left_and_the_others_are_done() {
    let mut world = World::new(Store::new(Memory::new()), 5).await;
    let (strange, other) = (user(0), user(1));
    world.entry(0).await;
    world.login(&strange, "phone").await;
    world.put_aside(0, 1).await;
    world.put_aside(1, 1).await;
    let phone = device::key(&strange, &DeviceId::new("later").expect("id"));
    let row = Bytes::from_static(b"\xff of a Weft to come");
    world.commit(|batch| batch.set(phone, row.clone())).await;
    world.commit(|batch| batch.set(inbox::trimmed_key(&strange), row)).await;
    world.days(100);
    world.entry(0).await;
    world.walk().await;
    assert_eq!((world.pointers(&strange).await, world.pointers(&other).await), (2, 1));
    assert_eq!((world.logins().await, world.letters().await), (1, 0));
}
