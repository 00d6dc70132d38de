//! The index beside a plain scan of what is in it.

use proptest::prelude::*;

use super::*;
use crate::state::FORMAT;

fn state() -> State {
    State { format: FORMAT, store: "00".into(), commits: [(0, 7)].into(), walk: None }
}

fn message(room: &str, seq: u64, text: &str) -> Document {
    Document {
        room: room.into(),
        seq,
        time_ms: seq * 10,
        from: "alice".into(),
        texts: vec![text.into()],
        ..Document::default()
    }
}

struct World {
    index: Index,
    _folder: tempfile::TempDir,
}

impl World {
    fn with(messages: &[Document]) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let index = Index::open(folder.path()).expect("index");
        messages.iter().for_each(|message| index.put(message).expect("put"));
        index.commit(&state()).expect("commit");
        Self { index, _folder: folder }
    }

    fn find(&self, filter: &Filter, scope: &Scope, limit: usize) -> Vec<(String, u64)> {
        let found = self.index.find(filter, scope, limit).expect("found").hits;
        found.into_iter().map(|hit| (hit.room, hit.rank.seq)).collect()
    }
}

fn scope(rooms: &[(&str, u64, u64)]) -> Scope {
    let mut scope = Scope::default();
    for (room, first, last) in rooms {
        scope.rooms.entry((*room).into()).or_default().push((*first, *last));
    }
    scope
}

fn filter(query: &str) -> Filter {
    Filter { query: Query::parse(query), ..Filter::default() }
}

const ALL: (u64, u64) = (1, u64::MAX);

#[test]
fn the_newest_come_first_page_by_page_and_only_what_may_be_seen() {
    let texts = ["회의록 하나", "오늘회의록", "meeting", "회의"];
    let mut messages: Vec<Document> =
        texts.iter().zip(1..).map(|(text, seq)| message("team", seq, text)).collect();
    messages.extend(texts.iter().zip(1..).map(|(text, seq)| message("other", seq, text)));
    messages.push(message("secret", 4, "회의"));
    let world = World::with(&messages);
    let mut seen = scope(&[("team", 1, 3), ("other", ALL.0, ALL.1)]);
    let all = world.find(&filter("회의"), &seen, 10);
    let expected = [("other", 4), ("team", 2), ("other", 2), ("team", 1), ("other", 1)];
    assert_eq!(all, expected.map(|(room, seq)| (room.to_owned(), seq)));
    let mut pages = Vec::new();
    loop {
        let page = world.index.find(&filter("회의"), &seen, 2).expect("page");
        assert_eq!(page.by_room, HashMapOf::from([("team".into(), 2), ("other".into(), 3)]));
        let Some(last) = page.hits.last().cloned() else { break };
        pages.extend(page.hits.into_iter().map(|hit| (hit.room, hit.rank.seq)));
        seen.after = Some(After { rank: last.rank, room: last.room });
    }
    assert_eq!(pages, all);
}

type HashMapOf = std::collections::HashMap<String, u64>;

#[test]
fn a_message_that_changed_or_was_removed_is_found_as_it_is() {
    let world = World::with(&[message("team", 1, "before"), message("team", 2, "other")]);
    let seen = scope(&[("team", 1, 9)]);
    world.index.put(&message("team", 1, "between")).expect("put");
    world.index.put(&message("team", 1, "after")).expect("put");
    world.index.commit(&state()).expect("commit");
    assert_eq!(world.find(&filter("before "), &seen, 9), []);
    assert_eq!(world.find(&filter("between"), &seen, 9), []);
    assert_eq!(world.find(&filter("after"), &seen, 9), [("team".to_owned(), 1)]);
    world.index.remove("team", 1);
    world.index.commit(&state()).expect("commit");
    assert_eq!(world.find(&filter("after"), &seen, 9), []);
    for seq in 3..6 {
        world.index.put(&message("team", seq, "other")).expect("put");
        world.index.put(&message("else", seq, "other")).expect("put");
    }
    world.index.remove_before("team", 5).expect("remove");
    world.index.commit(&state()).expect("commit");
    assert_eq!(world.find(&filter("other"), &seen, 9), [("team".to_owned(), 5)]);
    assert_eq!(world.index.documents(), 4);
    assert_eq!(world.index.state().expect("read"), Some(state()));
}

#[test]
fn filters_leave_out_the_rest() {
    let to_bob = Document { mentions: vec!["bob".into()], ..message("team", 1, "hi") };
    let to_all = Document { mentions_everyone: true, ..message("team", 2, "hi") };
    let link =
        Document { has: vec!["link".into()], from: "bob".into(), ..message("team", 3, "hi") };
    let reply = Document { thread: 1, ..message("team", 4, "hi") };
    let world = World::with(&[to_bob, to_all, link, reply, message("else", 5, "hi")]);
    let seen = scope(&[("team", 1, 9), ("else", 1, 9)]);
    let seqs = |filter: Filter, scope: &Scope| -> Vec<u64> {
        world.find(&filter, scope, 9).into_iter().map(|(_, seq)| seq).collect()
    };
    for query in ["hi", "h", " "] {
        let all = || filter(query);
        assert_eq!(seqs(all(), &seen), [5, 4, 3, 2, 1]);
        assert_eq!(seqs(Filter { room: Some("team".into()), ..all() }, &seen), [4, 3, 2, 1]);
        assert_eq!(seqs(Filter { from: Some("bob".into()), ..all() }, &seen), [3]);
        assert_eq!(seqs(Filter { mentions: Some("bob".into()), ..all() }, &seen), [2, 1]);
        assert_eq!(seqs(Filter { has: vec!["link".into()], ..all() }, &seen), [3]);
        assert_eq!(seqs(Filter { thread: Some(1), ..all() }, &seen), [4]);
        assert_eq!(seqs(all(), &Scope { time_ms: Some(20..40), ..seen.clone() }), [3, 2]);
    }
    assert!(seqs(filter("!?"), &seen).is_empty());
}

#[test]
fn what_says_it_more_often_ranks_first() {
    let long = format!("tea {}", "and much else ".repeat(20));
    let world = World::with(&[message("team", 1, "tea tea tea"), message("team", 2, &long)]);
    let seen = Scope { is_ranked: true, ..scope(&[("team", 1, 9)]) };
    let found: Vec<u64> =
        world.find(&filter("tea "), &seen, 9).into_iter().map(|(_, seq)| seq).collect();
    assert_eq!(found, [1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is written and looked for, the index finds what a scan finds.
    #[test]
    fn the_index_finds_what_a_scan_finds(
        texts in proptest::collection::vec("[aAbé가나다漢字か\u{3099} 👍!\"-]{0,12}", 1..40),
        queries in proptest::collection::vec("[abe가나다漢字か\u{3099} 👍\"-]{0,5}", 20),
    ) {
        let texts: Vec<&String> = texts.iter().filter(|text| !text.is_empty()).collect();
        let messages: Vec<Document> =
            texts.iter().zip(1..).map(|(text, seq)| message("team", seq, text)).collect();
        let world = World::with(&messages);
        let seen = scope(&[("team", 1, u64::MAX)]);
        for text in queries {
            let query = Query::parse(&text);
            let is_found = |message: &&Document| query.find(&[tokens(&message.texts[0])]).is_some();
            let scanned: Vec<u64> = messages.iter().rev().filter(is_found).map(|it| it.seq).collect();
            let found: Vec<u64> =
                world.find(&filter(&text), &seen, 100).into_iter().map(|(_, seq)| seq).collect();
            prop_assert_eq!(found, scanned, "{:?}", text);
        }
    }
}
