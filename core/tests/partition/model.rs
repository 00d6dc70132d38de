//! A room becomes what a simple model says, whatever is done to its messages, also while a commit is underway: in
//! the store, in history, in threads, and in lists of rooms.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Delete, Edit, Extras, Mark, Pin, React, Text, Unpin, Unreact};
use weft_proto::{Body, RoomId};
use weft_storage::Store;
use weft_storage::embedded::Embedded;
use weft_storage::memory::Memory;
use weft_storage::tables::log::Logged;
use weft_storage::tables::{pin, thread};

use crate::mentions::mentioning;
use crate::messages::{entries, reactions, rows};
use crate::support::{World, grown, id, text};
use crate::unread::{Lists, Marks};

const ROOM: &str = "ann~bob";

/// A message as the model has it.
#[derive(Default)]
struct Modelled {
    from: String,
    text: String,
    edits: Vec<u64>,
    deleted_by: u64,
    reactions: Vec<(String, BTreeSet<String>)>,
    is_silent: bool,
    /// An ordinal counts it.
    counts: bool,
    /// Whom it mentions, each with the seq by which that counts; 0: it does not.
    mentions: BTreeMap<String, u64>,
    /// The `pin`; 0: it is not pinned.
    pinned: u64,
    /// With which message the thread begins that it is in.
    root: Option<u64>,
    /// The thread that begins with it: how many replies, and the newest one; 0: none.
    thread: (u64, u64),
}

impl Modelled {
    fn mention(&mut self, seq: u64, body: &Body) {
        let before = std::mem::take(&mut self.mentions);
        for user in body.mentions().users {
            let user = user.to_string();
            let new = if self.is_silent || user == self.from { 0 } else { seq };
            let seq = before.get(&user).copied().unwrap_or(new);
            self.mentions.insert(user, seq);
        }
    }
}

type Model = BTreeMap<u64, Modelled>;

/// Says what the answer is, and takes it over.
fn apply(model: &mut Model, seq: u64, from: &str, body: &Body) -> bool {
    if let Body::Text(message) = body {
        return say(model, seq, from, message);
    }
    let target = body.target().expect("a target");
    let Some(it) = model.get_mut(&target).filter(|it| it.deleted_by == 0) else { return false };
    match body {
        Body::Edit(Edit { text, .. }) if it.from == from => {
            it.edits.push(seq);
            it.text.clone_from(text);
            it.mention(seq, body);
        }
        Body::Delete(_) if it.from == from => {
            let (counts, root, thread) = (it.counts, it.root, it.thread);
            *it = Modelled { deleted_by: seq, counts, root, thread, ..Modelled::default() };
            if let Some(root) = root {
                model.get_mut(&root).expect("a root").thread.0 -= 1;
            }
        }
        Body::React(React { emoji, .. }) => {
            let at = it.reactions.iter().position(|(on, _)| on == emoji);
            let at = at.unwrap_or_else(|| {
                it.reactions.push((emoji.clone(), BTreeSet::new()));
                it.reactions.len() - 1
            });
            return it.reactions[at].1.insert(from.to_owned());
        }
        Body::Unreact(Unreact { emoji, .. }) => {
            let Some(at) = it.reactions.iter().position(|(on, _)| on == emoji) else {
                return false;
            };
            let was = it.reactions[at].1.remove(from);
            if it.reactions[at].1.is_empty() {
                it.reactions.remove(at);
            }
            return was;
        }
        Body::Pin(_) if it.pinned == 0 => it.pinned = seq,
        Body::Unpin(_) if it.pinned != 0 => it.pinned = 0,
        _ => return false,
    }
    true
}

fn say(model: &mut Model, seq: u64, from: &str, message: &Text) -> bool {
    if let Some(root) = message.extras().thread {
        let root = model.get_mut(&root).filter(|it| it.deleted_by == 0 && it.root.is_none());
        let Some(Modelled { thread, .. }) = root else { return false };
        *thread = (thread.0 + 1, seq);
    }
    let body = Body::Text(message.clone());
    let mut it = Modelled {
        from: from.to_owned(),
        text: message.text.clone(),
        is_silent: message.extras().silent,
        counts: body.counts(),
        root: message.extras().thread,
        ..Modelled::default()
    };
    it.mention(seq, &body);
    model.insert(seq, it);
    true
}

fn any_mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        2 => (1_u64..14).prop_map(|seq| Mark { read: Some(seq), ..Mark::default() }),
        1 => (1_u64..14).prop_map(|seq| Mark { unread_from: Some(seq), ..Mark::default() }),
        1 => (1_u64..14).prop_map(|seq| Mark { delivered: Some(seq), ..Mark::default() }),
    ]
}

fn any_body() -> impl Strategy<Value = Body> {
    let emoji = || prop::sample::select(&["+", "-"][..]).prop_map(str::to_owned);
    let who = || prop::sample::select(&["ann", "bob"][..]);
    let target = || 1_u64..12;
    let says =
        (who(), any::<bool>()).prop_map(|(who, silent)| json!({ "silent": silent, "to": who }));
    let replies = (who(), target()).prop_map(|(who, root)| json!({ "thread": root, "to": who }));
    let mentions = prop_oneof![says, replies].prop_map(|mut more| {
        let to = more.as_object_mut().expect("an object").remove("to").expect("a user");
        mentioning(&[to.as_str().expect("a name")], None, more)
    });
    let mentions_anew =
        (target(), who()).prop_map(|(target, who)| mentioning(&[who], Some(target), json!({})));
    let edit = |target| Body::Edit(Edit { target, text: "y".into(), ranges: Vec::new() });
    let reply = |root| {
        let extras = Extras { thread: Some(root), ..Extras::default() }.boxed();
        Body::Text(Text { text: "z".into(), extras })
    };
    let react = |(target, emoji)| Body::React(React { target, emoji });
    let unreact = |(target, emoji)| Body::Unreact(Unreact { target, emoji });
    prop_oneof![
        2 => mentions,
        2 => mentions_anew,
        2 => any_mark().prop_map(Body::Mark),
        3 => Just(text("x")),
        2 => target().prop_map(reply),
        3 => target().prop_map(edit),
        2 => target().prop_map(|target| Body::Delete(Delete::of(target))),
        4 => (target(), emoji()).prop_map(react),
        2 => (target(), emoji()).prop_map(unreact),
        2 => target().prop_map(|target| Body::Pin(Pin { target })),
        1 => target().prop_map(|target| Body::Unpin(Unpin { target })),
    ]
}

/// Commands in pieces: those of a piece are planned while a commit is underway.
async fn goes_as_the_model(store: Store, pieces: Vec<Vec<(bool, Body)>>) {
    let mut world = World::on(store, &["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
    let owner = world.own("n1").await;
    let (mut model, mut seq, mut number) = (Model::new(), 0, 0);
    let (mut marks, lists) = (Marks::default(), Lists::open(&world).await);
    for piece in pieces {
        world.gate(false);
        let before = *world.engine.commits.borrow();
        let mut sent = Vec::new();
        for (index, (is_ann, body)) in piece.into_iter().enumerate() {
            let from = if is_ann { "ann" } else { "bob" };
            number += 1;
            sent.push((world.publish(from, ROOM, Some(id(number)), &body), from, body));
            if index == 0 {
                grown(&world.engine.commits, before).await;
            }
        }
        world.gate(true);
        for (token, from, body) in sent {
            let answer = world.bus.answer_to(&token).await;
            let taken = match &body {
                Body::Mark(mark) => marks.mark(from, mark, seq),
                body => apply(&mut model, seq + 1, from, body),
            };
            assert_eq!(answer["error"].is_null(), taken, "{from} {body:?}: {answer}");
            if taken && !matches!(body, Body::Mark(_)) {
                seq += 1;
                assert_eq!(answer["seq"], seq);
            }
            if taken && body.counts() {
                marks.sent(from, seq);
            }
        }
        stored(&world, &model).await;
        for user in ["ann", "bob"].into_iter().filter(|_| seq > 0) {
            listed(&lists, user, marks.read_through(user), &model).await;
            shown(&lists, user, &model).await;
        }
    }
    owner.leave().await.expect("leave");
}

/// What lists of rooms say of the room.
async fn listed(lists: &Lists, user: &str, read_through: u64, model: &Model) {
    let is_unread =
        |(seq, it): &(&u64, &Modelled)| **seq > read_through && it.deleted_by == 0 && it.counts;
    let unread = model.iter().filter(is_unread).count() as u64;
    let mentions = model.values().filter_map(|it| it.mentions.get(user));
    let mentions = mentions.filter(|seq| **seq > read_through).count() as u64;
    let [shown] = &lists.of(user).await[..] else { panic!("one room") };
    assert_eq!((shown.unread, shown.unread_exact), (unread, true), "{user}: {shown:?}");
    assert_eq!(shown.mentions, mentions, "{user}: {shown:?}");
}

/// What history, threads and pins show.
async fn shown(lists: &Lists, user: &str, model: &Model) {
    for entry in lists.history(user, ROOM, None).await {
        let seq = entry["seq"].as_u64().expect("a seq");
        let Some(it) = model.get(&seq) else { continue };
        assert_eq!(entry["kind"] == "deleted", it.deleted_by != 0, "{entry}");
        let some = |is_there: bool, value: Value| if is_there { value } else { Value::Null };
        let (count, last) = it.thread;
        let replies = some(last > 0, json!({ "count": count, "last": last }));
        assert_eq!(entry["replies"], replies, "{entry}");
        assert_eq!(entry["thread"], some(it.root.is_some(), json!(it.root)), "{entry}");
        assert_eq!(entry["edits"], some(!it.edits.is_empty(), json!(it.edits)), "{entry}");
        assert_eq!(entry["pinned"]["seq"], some(it.pinned != 0, json!(it.pinned)), "{entry}");
        if it.deleted_by == 0 {
            assert_eq!(entry["text"], it.text, "{entry}");
        }
        let reactions = entry["reactions"].as_array().cloned().unwrap_or_default();
        let reactions: Vec<_> = reactions
            .iter()
            .map(|it| json!([it["emoji"], it["count"], it["own"] == true]))
            .collect();
        let expected: Vec<_> =
            it.reactions.iter().map(|(on, by)| json!([on, by.len(), by.contains(user)])).collect();
        assert_eq!(reactions, expected, "{entry}");
    }
    let seqs = |entries: Vec<Value>| -> Vec<u64> {
        entries.iter().map(|entry| entry["seq"].as_u64().expect("a seq")).collect()
    };
    for root in model.iter().filter(|(_, it)| it.thread.1 != 0).map(|(seq, _)| *seq) {
        let replies = model.iter().filter(|(_, it)| it.root == Some(root));
        let replies: Vec<u64> = replies.map(|(seq, _)| *seq).collect();
        assert_eq!(seqs(lists.history(user, ROOM, Some(root)).await), replies);
    }
    let mut pinned: Vec<(u64, u64)> =
        model.iter().filter(|(_, it)| it.pinned != 0).map(|(seq, it)| (it.pinned, *seq)).collect();
    pinned.sort_by(|a, b| b.cmp(a));
    let pinned: Vec<u64> = pinned.into_iter().map(|(_, seq)| seq).collect();
    assert_eq!(seqs(lists.pins(user, ROOM).await), pinned);
}

async fn stored(world: &World, model: &Model) {
    let stored = rows(world, ROOM).await;
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new(ROOM).expect("id");
    let mut on = BTreeSet::new();
    for (seq, it) in model {
        let row = stored.get(seq).cloned().unwrap_or_default();
        assert_eq!((&row.edits, row.deleted_by), (&it.edits, it.deleted_by), "{seq}");
        let counts: Vec<_> =
            row.reactions.iter().map(|it| (&*it.emoji, it.count as usize)).collect();
        let expected: Vec<_> = it.reactions.iter().map(|(on, by)| (&**on, by.len())).collect();
        assert_eq!(counts, expected, "{seq}");
        for (emoji, users) in &it.reactions {
            on.extend(users.iter().map(|user| (*seq, emoji.clone(), user.clone())));
        }
        let thread = row.thread.map_or((0, 0), |it| (it.replies, it.last_reply));
        assert_eq!(thread, it.thread, "{seq}");
        let counted = thread::counted(&*snapshot, (&room, *seq), u64::MAX - 1).await.expect("read");
        assert_eq!(counted, row.thread, "{seq}");
        assert_eq!(row.pinned.map_or(0, |it| it.seq), it.pinned, "{seq}");
    }
    assert_eq!(reactions(world).await, on);
    let pins = pin::of_room(&*snapshot, &room).await.expect("pins").into_iter();
    let pins: Vec<(u64, u64)> = pins.map(|((_, seq), row)| (seq, row.seq)).collect();
    let pinned = model.iter().filter(|(_, it)| it.pinned != 0);
    assert_eq!(pins, pinned.map(|(seq, it)| (*seq, it.pinned)).collect::<Vec<_>>());
    for Logged { entry, .. } in entries(world, ROOM).await {
        if let Some(it) = model.get(&entry.seq) {
            let is_deleted = matches!(entry.body, Body::Deleted(_));
            assert_eq!(is_deleted, it.deleted_by != 0, "{entry:?}");
        }
    }
}

fn pieces() -> impl Strategy<Value = Vec<Vec<(bool, Body)>>> {
    prop::collection::vec(prop::collection::vec((any::<bool>(), any_body()), 1..6), 1..12)
}

fn run(is_paused: bool, future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(is_paused).build().expect("runtime");
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_become_what_a_simple_model_says(pieces in pieces()) {
        run(true, goes_as_the_model(Store::new(Memory::new()), pieces));
    }
}

proptest! {
    // Each syncs a disk.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn messages_become_that_in_an_embedded_store_too(pieces in pieces()) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(Embedded::open(folder.path()).expect("a store"));
        // The disk keeps time of its own.
        run(false, goes_as_the_model(store, pieces));
    }
}

/// `WEFT_FDB_CLUSTER=<cluster file> cargo test -p weft-core --features fdb --test partition
/// -- --ignored --exact model::messages_become_that_in_a_cluster_too`
#[cfg(feature = "fdb")]
#[test]
#[ignore = "needs FoundationDB: WEFT_FDB_CLUSTER names its cluster file"]
fn messages_become_that_in_a_cluster_too() {
    use proptest::test_runner::TestRunner;
    use weft_storage::Batch;
    use weft_storage::fdb::{Fdb, Namespace, Network};

    const CASES: u32 = 24;
    let file: std::path::PathBuf = std::env::var_os("WEFT_FDB_CLUSTER").expect("its name").into();
    // Its thread ends with this test, before the process does.
    let network = Network::start().expect("the library's network thread");
    let name = format!("test-{:016x}", rand::random::<u64>());
    let namespace = Namespace::new(&name).expect("a name");
    let open = |file: &std::path::PathBuf| {
        Store::new(Fdb::open(&network, file, namespace.clone()).expect("open"))
    };
    let outcome = TestRunner::new(ProptestConfig::with_cases(CASES)).run(&pieces(), |pieces| {
        run(false, async {
            goes_as_the_model(open(&file), pieces).await;
            let mut all = Batch::new(rand::random());
            all.clear_range(bytes::Bytes::new(), bytes::Bytes::from_static(&[0xff]));
            open(&file).commit(all).await.expect("the namespace is emptied");
        });
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
