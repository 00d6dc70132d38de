//! What a sync carries: what a session that had been live would have got, once and in order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weft_proto::kind::{Create, Leave};
use weft_proto::{Body, History, RoomId, StoreId};

use super::super::testing::{Command, World, add, code, create, remove, room, seqs, text, user};
use super::*;
use crate::services::page::PageLimit;

async fn page(world: &World, who: &str, cursor: &str, page: &[u8]) -> svc::SyncPage {
    let request = svc::Sync { token: world.token(who), cursor: cursor.into(), page: page.to_vec() };
    world.context.sync(request).await.expect("a page")
}

/// Everything since the cursor, and the new cursor.
async fn all(world: &World, who: &str, cursor: &str) -> (Vec<(RoomId, u64)>, String) {
    let mut answer = page(world, who, cursor, &[]).await;
    assert_eq!(answer.resync(), Resync::None);
    let (mut got, first_cursor) = (seqs(&answer.entries), answer.cursor.clone());
    while !answer.next.is_empty() {
        answer = page(world, who, cursor, &answer.next).await;
        assert_eq!(answer.cursor, first_cursor);
        got.extend(seqs(&answer.entries));
    }
    (got, first_cursor)
}

async fn resync(world: &World, cursor: &str) -> Resync {
    let answer = page(world, "alice", cursor, &[]).await;
    assert!(answer.entries.is_empty() && answer.next.is_empty());
    assert_eq!(answer.cursor, world.cursor().await);
    answer.resync()
}

fn small_pages(world: &mut World, entries_max: usize) {
    world.context.limits.page = PageLimit { entries_max, ..world.context.limits.page };
}

#[tokio::test]
async fn a_cursor_that_can_not_be_used_says_why() {
    let mut world = World::new().await;
    world.one("alice~bob", "alice", text("hi")).await;
    let mine = |position| Cursor { store: world.store_id(), position }.to_string();
    assert_eq!(resync(&world, "").await, Resync::NoCursor);
    let other = Cursor { store: StoreId(world.store_id().0 ^ 1), position: Position::MIN };
    assert_eq!(resync(&world, &other.to_string()).await, Resync::OtherStore);
    assert_eq!(resync(&world, &mine(Position::MAX)).await, Resync::OtherStore);
    assert_eq!(resync(&world, &mine(Position::new(99, 0))).await, Resync::OtherStore);
    assert_eq!(resync(&world, &world.cursor().await).await, Resync::None);
    let cursor = mine(Position::MIN);
    let ask = |cursor: &str, page: &[u8]| {
        let request =
            svc::Sync { token: world.token("alice"), cursor: cursor.into(), page: page.to_vec() };
        world.context.sync(request)
    };
    assert_eq!(code(ask("nonsense", &[]).await), ErrorCode::BadCursor);
    assert_eq!(code(ask(&cursor, b"nonsense").await), ErrorCode::BadRequest);
    // An access token is no page.
    assert_eq!(code(ask(&cursor, world.token("alice").as_bytes()).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_page_belongs_to_its_user() {
    let mut world = World::new().await;
    small_pages(&mut world, 1);
    let cursor = world.cursor().await;
    for _ in 0..3 {
        world.one("alice~bob", "alice", text("hi")).await;
    }
    let first = page(&world, "alice", &cursor, &[]).await;
    assert!(!first.next.is_empty());
    let stolen =
        svc::Sync { token: world.token("bob"), cursor: cursor.clone(), page: first.next.clone() };
    assert_eq!(code(world.context.sync(stolen).await), ErrorCode::BadRequest);
    let mut changed = first.next;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let forged = svc::Sync { token: world.token("alice"), cursor, page: changed };
    assert_eq!(code(world.context.sync(forged).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn too_much_since_the_cursor_is_said_at_once() {
    let mut world = World::new().await;
    world.context.limits.sync_entries_max = 5;
    world.fanout_limit = 2;
    world.one("big", "alice", create(&["bob", "carol"], History::All)).await;
    let cursor = world.cursor().await;
    for _ in 0..3 {
        world.one("big", "alice", text("big")).await;
    }
    for _ in 0..2 {
        world.one("alice~bob", "bob", text("hi")).await;
    }
    let (got, _) = all(&world, "alice", &cursor).await;
    assert_eq!(got.len(), 5);
    world.one("big", "alice", text("one more")).await;
    assert_eq!(resync(&world, &cursor).await, Resync::TooFarBehind);
}

#[tokio::test]
async fn who_was_removed_gets_everything_up_to_the_removal() {
    for fanout_limit in [2, 100] {
        let mut world = World::new().await;
        world.fanout_limit = fanout_limit;
        world.one("g", "alice", create(&["bob", "carol"], History::All)).await;
        let cursor = world.cursor().await;
        world.one("g", "alice", text("two")).await;
        world.one("g", "alice", remove("bob")).await;
        world.one("g", "alice", text("not for bob")).await;
        let (got, _) = all(&world, "bob", &cursor).await;
        assert_eq!(got, [(room("g"), 2), (room("g"), 3)], "fanout limit {fanout_limit}");
    }
}

#[tokio::test]
async fn what_was_removed_is_left_out() {
    for (fanout_limit, entries_max) in [(2, 1), (2, 100), (100, 1), (100, 2), (100, 100)] {
        let mut world = World::new().await;
        world.fanout_limit = fanout_limit;
        small_pages(&mut world, entries_max);
        let cursor = world.cursor().await;
        world.one("g", "alice", create(&["bob", "carol"], History::All)).await;
        for _ in 2..=9 {
            world.one("g", "alice", text("x")).await;
        }
        world.remove_entries("g", &[3, 4, 8]).await;
        let got = async |world: &World| {
            let (got, _) = all(world, "bob", &cursor).await;
            got.into_iter().map(|(_, seq)| seq).collect::<Vec<_>>()
        };
        assert_eq!(got(&world).await, [1, 2, 5, 6, 7, 9], "{fanout_limit}, {entries_max}");
        world.remove_below("g", 6).await;
        assert_eq!(got(&world).await, [6, 7, 9], "{fanout_limit}, {entries_max}");
    }
}

/// Removes the pointers of a user that are not newer than a cursor.
async fn trim(world: &World, who: &str, cursor: &str) {
    let up_to = cursor.parse::<Cursor>().expect("a cursor").position;
    let mut batch = weft_storage::Batch::new(rand::random());
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(inbox::trimmed_key(&user(who))).await.expect("read");
    inbox::trim(&mut batch, &user(who), row, up_to);
    world.store.commit(batch).await.expect("commit");
}

#[tokio::test]
async fn a_cursor_below_the_trimmed_part_of_an_inbox_is_expired() {
    let mut world = World::new().await;
    let before = world.cursor().await;
    world.one("alice~bob", "bob", text("old")).await;
    let at = world.cursor().await;
    world.one("alice~bob", "bob", text("new")).await;
    trim(&world, "alice", &at).await;
    assert_eq!(resync(&world, &before).await, Resync::CursorExpired);
    assert_eq!(all(&world, "alice", &at).await.0, [(room("alice~bob"), 2)]);
    assert_eq!(all(&world, "bob", &before).await.0.len(), 2, "another inbox");
}

#[tokio::test]
async fn an_inbox_that_is_trimmed_between_two_pages_skips_nothing_in_silence() {
    let mut world = World::new().await;
    small_pages(&mut world, 2);
    let cursor = world.cursor().await;
    for _ in 0..5 {
        world.one("alice~bob", "bob", text("x")).await;
    }
    let first = page(&world, "alice", &cursor, &[]).await;
    assert_eq!(first.entries.len(), 2);
    trim(&world, "alice", &world.cursor().await).await;
    let second = page(&world, "alice", &cursor, &first.next).await;
    assert_eq!((second.resync(), second.entries.len()), (Resync::CursorExpired, 0));
    assert!(second.next.is_empty());
}

#[tokio::test]
async fn who_joined_again_gets_both_memberships_and_nothing_between() {
    for (history, fanout_limit) in
        [(History::Joined, 2), (History::Joined, 100), (History::All, 2), (History::All, 100)]
    {
        let mut world = World::new().await;
        world.fanout_limit = fanout_limit;
        world.one("g", "alice", create(&["bob", "carol"], history)).await;
        let cursor = world.cursor().await;
        world.one("g", "alice", text("two")).await;
        world.one("g", "bob", Body::Leave(Leave {})).await;
        world.one("g", "alice", text("not for bob")).await;
        world.one("g", "alice", add("bob")).await;
        world.one("g", "alice", text("six")).await;
        let (got, _) = all(&world, "bob", &cursor).await;
        let got: Vec<u64> = got.into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(got, [2, 3, 5, 6], "{history:?}, fanout limit {fanout_limit}");
    }
}

#[tokio::test]
async fn of_33_memberships_a_sync_does_not_leave_one_out_in_silence() {
    let mut world = World::new().await;
    world.one("g", "alice", create(&["carol"], History::Joined)).await;
    let cursor = world.cursor().await;
    for number in 1..=33 {
        for body in [add("bob"), text("there"), remove("bob"), text("away")] {
            world.one("g", "alice", body).await;
        }
        let expected = (0..number).flat_map(|n| (4 * n + 2..4 * n + 5).map(|seq| (room("g"), seq)));
        let answer = page(&world, "bob", &cursor, &[]).await;
        if number <= 32 {
            assert_eq!(all(&world, "bob", &cursor).await.0, expected.collect::<Vec<_>>());
        } else {
            assert_eq!((answer.resync(), answer.entries.len()), (Resync::TooFarBehind, 0));
        }
    }
}

#[tokio::test]
async fn a_membership_of_which_a_row_of_before_says_nothing_is_not_left_out_in_silence() {
    let mut world = World::new().await;
    world.one("g", "alice", create(&["bob"], History::All)).await;
    let start = world.cursor().await;
    world.one("g", "bob", Body::Leave(Leave {})).await;
    let away = world.cursor().await;
    world.one("g", "alice", text("away")).await;
    world.one("g", "alice", add("bob")).await;
    let back = world.cursor().await;
    world.one("g", "alice", text("there")).await;
    let mut batch = weft_storage::Batch::new(rand::random());
    let row = weft_storage::tables::member::Member::new(Some(weft_proto::Role::Member), 4, 0);
    batch.set(weft_storage::tables::member::key(&room("g"), &user("bob")), row.encode());
    world.store.commit(batch).await.expect("commit");
    let answer = page(&world, "bob", &start, &[]).await;
    assert_eq!(answer.resync(), Resync::TooFarBehind);
    // Who was away, or had not come yet: nothing is left out.
    assert_eq!(all(&world, "bob", &away).await.0, [(room("g"), 4), (room("g"), 5)]);
    assert_eq!(all(&world, "bob", &back).await.0, [(room("g"), 5)]);
}

#[tokio::test]
async fn a_room_that_becomes_large_between_two_pages_changes_nothing() {
    let mut world = World::new().await;
    world.fanout_limit = 2;
    small_pages(&mut world, 2);
    world.one("g", "alice", create(&["bob"], History::All)).await;
    let cursor = world.cursor().await;
    for _ in 2..=5 {
        world.one("g", "alice", text("small")).await;
    }
    let first = page(&world, "bob", &cursor, &[]).await;
    world.one("g", "alice", add("carol")).await;
    world.one("g", "alice", text("large")).await;
    let second = page(&world, "bob", &cursor, &first.next).await;
    assert!(second.next.is_empty());
    let got = [seqs(&first.entries), seqs(&second.entries)].concat();
    assert_eq!(got, [2, 3, 4, 5].map(|seq| (room("g"), seq)));
    let (rest, _) = all(&world, "bob", &first.cursor).await;
    assert_eq!(rest, [6, 7].map(|seq| (room("g"), seq)));
}

const USERS: [&str; 5] = ["u0", "u1", "u2", "u3", "u4"];
const ROOMS: [&str; 5] = ["g0", "g1", "g2", "u0~u1", "u1~u2"];

fn any_command() -> impl Strategy<Value = Command> {
    let one_of = |names: &'static [&'static str]| prop::sample::select(names);
    let body = prop_oneof![
        6 => Just(text("x")),
        2 => one_of(&USERS).prop_map(add),
        2 => one_of(&USERS).prop_map(remove),
        1 => Just(Body::Leave(Leave {})),
        2 => (prop::bool::ANY, one_of(&USERS)).prop_map(|(all, other)| {
            create(&[other], if all { History::All } else { History::Joined })
        }),
    ];
    let command = (one_of(&ROOMS), one_of(&USERS), body);
    command.prop_filter_map("a create names others", |(id, from, body)| match &body {
        Body::Create(Create { members, .. }) if members.contains(&user(from)) => None,
        _ => Some((room(id), user(from), body)),
    })
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Command>),
    /// The user's device syncs; this is committed between its pages.
    Sync(usize, Vec<Command>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let commands = || prop::collection::vec(any_command(), 1..5);
    prop_oneof![
        4 => commands().prop_map(Step::Commit),
        1 => (0..USERS.len(), commands()).prop_map(|(who, meanwhile)| Step::Sync(who, meanwhile)),
    ]
}

/// A device that syncs now and then.
#[derive(Default)]
struct Device {
    cursor: String,
    got: Vec<(RoomId, u64)>,
}

async fn sync_device(world: &mut World, who: &str, device: &mut Device, meanwhile: &[Command]) {
    let mut next = Vec::new();
    let mut got = Vec::new();
    let mut meanwhile = meanwhile.iter();
    let cursor = loop {
        let answer = page(world, who, &device.cursor, &next).await;
        assert_eq!(answer.resync(), Resync::None);
        got.extend(seqs(&answer.entries));
        next = answer.next;
        if next.is_empty() {
            break answer.cursor;
        }
        if let Some(command) = meanwhile.next() {
            world.commit(vec![command.clone()]).await;
        }
    };
    let mut last = BTreeMap::new();
    for (room, seq) in &got {
        let before = last.insert(room.clone(), *seq);
        assert!(before.is_none_or(|before| before < *seq), "{who}: {room} out of order: {got:?}");
    }
    device.cursor = cursor;
    device.got.extend(got);
}

/// Small groups are fanned out until the step `raised_at`: a store of the level before has such pointers.
async fn devices_get_everything_once(
    steps: Vec<Step>,
    (fanout_limit, raised_at): (usize, usize),
    entries_max: usize,
) {
    let mut world = World::new().await;
    world.fanout_limit = fanout_limit;
    small_pages(&mut world, entries_max);
    let start = world.cursor().await;
    let mut devices: Vec<Device> =
        USERS.iter().map(|_| Device { cursor: start.clone(), ..Device::default() }).collect();
    let everybody = (0..USERS.len()).map(|who| Step::Sync(who, Vec::new()));
    for (no, step) in steps.into_iter().chain(everybody).enumerate() {
        world.fans_out = no < raised_at;
        match step {
            Step::Commit(commands) => world.commit(commands).await,
            Step::Sync(who, meanwhile) => {
                sync_device(&mut world, USERS[who], &mut devices[who], &meanwhile).await;
            }
        }
    }
    for (who, mut device) in USERS.iter().zip(devices) {
        let mut expected = world.delivered.remove(&user(who)).unwrap_or_default();
        expected.sort();
        device.got.sort();
        assert_eq!(device.got, expected, "{who}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn syncs_skip_nothing_and_repeat_nothing(
        steps in prop::collection::vec(any_step(), 1..40),
        fanout_limit in 1_usize..5,
        raised_at in 0_usize..40,
        entries_max in 1_usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let fan_out = (fanout_limit, raised_at);
        runtime.block_on(devices_get_everything_once(steps, fan_out, entries_max));
    }
}

/// The frames of what changed beside entries, of a whole sync; they come after all entries.
async fn changed(world: &World, who: &str, cursor: &str) -> Vec<String> {
    let (mut frames, mut next, mut entries_end) = (Vec::new(), Vec::new(), false);
    loop {
        let answer = page(world, who, cursor, &next).await;
        assert!(answer.entries.is_empty() || !entries_end, "entries after changes");
        entries_end |= !answer.changes.is_empty();
        let text = |frame: &Bytes| String::from_utf8(frame.to_vec()).expect("utf8");
        frames.extend(answer.changes.iter().map(text));
        next = answer.next;
        if next.is_empty() {
            return frames;
        }
    }
}

fn read(seq: u64) -> mark::Mark {
    mark::Mark { read: seq, read_ordinal: seq, delivered: seq, ..mark::Mark::default() }
}

#[tokio::test]
async fn marks_come_after_the_entries_once_and_as_they_are_now() {
    let mut world = World::new().await;
    small_pages(&mut world, 2);
    world.one("team", "alice", create(&["bob"], History::All)).await;
    for name in ["alice~bob", "bob~cem", "team"] {
        for _ in 0..5 {
            world.one(name, "bob", text("hi")).await;
        }
    }
    world.mark("alice~bob", "alice", &read(1)).await;
    world.mark("team", "alice", &read(1)).await;
    let cursor = world.cursor().await;
    for seq in 2..=4 {
        world.mark("alice~bob", "bob", &read(seq)).await;
        world.mark("alice~bob", "alice", &read(seq + 1)).await;
        world.one("alice~bob", "bob", text("hi")).await;
    }
    world.mark("team", "bob", &read(5)).await;
    world.mark("bob~cem", "cem", &read(3)).await;
    let own = r#"{"type":"mark","room":"alice~bob","user":"alice","read":5,"read_ordinal":5,"delivered":5}"#;
    // Up to what he has sent himself.
    let others = r#"{"type":"mark","room":"alice~bob","user":"bob","read":8,"delivered":8}"#;
    assert_eq!(changed(&world, "alice", &cursor).await, [others, own]);
    let bobs = changed(&world, "bob", &cursor).await;
    assert_eq!(bobs.len(), 4, "{bobs:?}");
    let group = r#"{"type":"mark","room":"team","user":"bob","read":6,"read_ordinal":5}"#;
    assert!(bobs.iter().any(|frame| frame == group), "{bobs:?}");
    assert!(changed(&world, "cem", &world.cursor().await).await.is_empty());
    assert_eq!(all(&world, "alice", &cursor).await.0.len(), 3);
}

/// What rows say that were written before is hidden, too; the own marks are not.
#[tokio::test]
async fn marks_of_others_are_left_out_where_one_has_turned_off_read_receipts() {
    let mut world = World::new().await;
    for name in ["alice~bob", "alice~cem", "bob~cem"] {
        let sender = &name[..name.len() - 4];
        world.one(name, sender, text("x")).await;
        world.one(name, sender, text("y")).await;
    }
    let cursor = world.cursor().await;
    for (name, who) in [
        ("alice~bob", "bob"),
        ("alice~bob", "alice"),
        ("alice~cem", "cem"),
        ("alice~cem", "alice"),
        ("bob~cem", "cem"),
    ] {
        world.mark(name, who, &read(2)).await;
    }
    let whose = async |world: &World, who: &str| {
        let frames = changed(world, who, &cursor).await;
        let read =
            |frame: &String| -> serde_json::Value { serde_json::from_str(frame).expect("json") };
        let frames = frames.iter().map(read).filter(|frame| frame["type"] == "mark");
        let whose = frames.map(|frame| (frame["room"].to_string(), frame["user"].to_string()));
        whose.collect::<Vec<_>>()
    };
    let quoted = |it: &[(&str, &str)]| -> Vec<_> {
        it.iter().map(|(room, user)| (format!("{room:?}"), format!("{user:?}"))).collect()
    };
    let alices = [
        ("alice~bob", "bob"),
        ("alice~bob", "alice"),
        ("alice~cem", "cem"),
        ("alice~cem", "alice"),
    ];
    assert_eq!(whose(&world, "alice").await, quoted(&alices));
    let is_off = async |world: &World, who: &str| page(world, who, &cursor, &[]).await.receipts_off;
    assert!(!is_off(&world, "bob").await);
    let off = Setting { receipts_off: true, ..Setting::default() };
    world.set("bob", "bob~bob", off).await;
    assert!(is_off(&world, "bob").await && !is_off(&world, "alice").await);
    assert_eq!(whose(&world, "alice").await, quoted(&alices[1..]));
    assert_eq!(whose(&world, "bob").await, quoted(&[("alice~bob", "bob")]));
    let setting = r#"{"type":"setting","room":"bob~bob","muted_until":0,"pinned":false,"receipts":false,"add_by":"default","strangers":"default"}"#;
    let bobs = changed(&world, "bob", &cursor).await;
    assert!(bobs.iter().any(|frame| frame == setting), "{bobs:?}");
}

#[tokio::test]
async fn threads_come_once_and_as_they_are_now() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.follow("bob", "team", 2, (true, 1)).await;
    let cursor = world.cursor().await;
    assert!(changed(&world, "bob", &cursor).await.is_empty());
    world.follow("bob", "team", 2, (true, 4)).await;
    world.follow("bob", "team", 3, (true, 3)).await;
    world.mark("team", "bob", &read(1)).await;
    world.follow("bob", "team", 2, (false, 5)).await;
    let thread = |root: u64, read: u64, following: bool| {
        format!(
            r#"{{"type":"mark","room":"team","user":"bob","thread":{root},"read":{read},"following":{following}}}"#
        )
    };
    let room = r#"{"type":"mark","room":"team","user":"bob","read":1,"read_ordinal":1}"#;
    let told = [room.to_owned(), thread(3, 3, true), thread(2, 5, false)];
    assert_eq!(changed(&world, "bob", &cursor).await, told);
    assert!(changed(&world, "alice", &cursor).await.is_empty());
}

#[tokio::test]
async fn more_marks_than_a_page_has_come_on_several() {
    let mut world = World::new().await;
    let cursor = world.cursor().await;
    let many = CHANGES_PER_PAGE + 20;
    for n in 0..many {
        let name = format!("group-{n:04}");
        world.one(&name, "alice", create(&[], History::All)).await;
        world.mark(&name, "alice", &read(1)).await;
    }
    let frames = changed(&world, "alice", &cursor).await;
    let rooms: std::collections::BTreeSet<&String> = frames.iter().collect();
    assert_eq!((frames.len(), rooms.len()), (many, many));
}

#[tokio::test]
async fn settings_come_once_and_as_they_are_now() {
    let world = World::new().await;
    let before = world.cursor().await;
    world.set("alice", "team", Setting { muted_until_ms: 9, ..Setting::default() }).await;
    let between = world.cursor().await;
    world.set("alice", "team", Setting { pinned: true, ..Setting::default() }).await;
    world.set("alice", "alice~bob", Setting::default()).await;
    let team = r#"{"type":"setting","room":"team","muted_until":0,"pinned":true}"#;
    let direct = r#"{"type":"setting","room":"alice~bob","muted_until":0,"pinned":false}"#;
    for cursor in [&before, &between] {
        assert_eq!(changed(&world, "alice", cursor).await, [team, direct]);
        assert!(changed(&world, "bob", cursor).await.is_empty());
    }
    assert!(changed(&world, "alice", &world.cursor().await).await.is_empty());
}

#[tokio::test]
async fn drafts_come_once_and_as_they_are_now_on_as_many_pages_as_they_need() {
    let world = World::new().await;
    let before = world.cursor().await;
    world.draft("alice", "team", 1, "h").await;
    let between = world.cursor().await;
    world.draft("alice", "team", 2, "hi").await;
    world.draft("alice", "alice~bob", 3, "x").await;
    world.draft("alice", "alice~bob", 4, "").await;
    let team = r#"{"type":"draft","room":"team","version":2,"text":"hi"}"#;
    let direct = r#"{"type":"draft","room":"alice~bob","version":4}"#;
    for cursor in [&before, &between] {
        assert_eq!(changed(&world, "alice", cursor).await, [team, direct]);
        assert!(changed(&world, "bob", cursor).await.is_empty());
    }
    let after = world.cursor().await;
    assert!(changed(&world, "alice", &after).await.is_empty());
    for number in 0..7 {
        let long = format!("{number}").repeat(60_000);
        world.draft("alice", &format!("g{number}"), 1, &long).await;
    }
    world.set("alice", "team", Setting { muted_until_ms: 9, ..Setting::default() }).await;
    let request = |page| svc::Sync { token: world.token("alice"), cursor: after.clone(), page };
    let (mut page, mut counts) = (Vec::new(), Vec::new());
    loop {
        let found = world.context.sync(request(page)).await.expect("a page");
        counts.push(found.changes.len());
        page = found.next;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(counts, [2, 2, 2, 2]);
}

#[tokio::test]
async fn relations_come_once_as_they_are_now_and_to_their_user_alone() {
    let world = World::new().await;
    let before = world.cursor().await;
    let relation = |contact, blocked| Relation { contact, blocked };
    world.relate("alice", "bob", relation(true, false)).await;
    let between = world.cursor().await;
    world.relate("alice", "bob", relation(true, true)).await;
    world.relate("alice", "cem", relation(false, false)).await;
    let bob = r#"{"type":"relation","user":"bob","contact":true,"blocked":true}"#;
    let cem = r#"{"type":"relation","user":"cem","contact":false,"blocked":false}"#;
    for cursor in [&before, &between] {
        assert_eq!(changed(&world, "alice", cursor).await, [bob, cem]);
        assert!(changed(&world, "bob", cursor).await.is_empty());
    }
    assert!(changed(&world, "alice", &world.cursor().await).await.is_empty());
}

#[tokio::test]
async fn where_one_of_two_has_blocked_the_other_a_sync_says_nothing_of_the_others_marks() {
    let mut world = World::new().await;
    world.one("alice~bob", "alice", text("hi")).await;
    let before = world.cursor().await;
    world.mark("alice~bob", "bob", &read(1)).await;
    world.relate("bob", "alice", Relation { contact: false, blocked: true }).await;
    assert!(changed(&world, "alice", &before).await.is_empty());
    assert_eq!(changed(&world, "bob", &before).await.len(), 2, "the own mark and the relation");
    world.relate("bob", "alice", Relation::default()).await;
    assert_eq!(changed(&world, "alice", &before).await.len(), 1);
}
