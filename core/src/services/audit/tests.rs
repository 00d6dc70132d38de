//! What an audit tells, and where it ends.

use bytes::Bytes;
use proptest::prelude::*;
use weft_proto::Position;
use weft_storage::memory::Memory;
use weft_storage::tables::head::Head;
use weft_storage::{Batch, Outcome, Store};

use super::super::testing::{World, code, room, user};
use super::*;
use weft_proto::ErrorCode;
use weft_proto::kind::DraftText;
use weft_storage::tables::applied::Applied;
use weft_storage::tables::draft::Kept;
use weft_storage::tables::journal::Journal;
use weft_storage::tables::relation::Relation;
use weft_storage::tables::scheduled::Scheduled;
use weft_storage::tables::setting::Setting;
use weft_storage::tables::thread_follower::ThreadFollower;

const PARTITION: Partition = 2;

/// An entry: its room, its seq, whom it concerns.
type Written = (&'static str, u64, &'static [&'static str]);

/// A partition whose commits are written as its owner writes them.
struct Journaled {
    store: Store,
}

impl Journaled {
    fn new() -> Self {
        Self { store: Store::new(Memory::new()) }
    }

    /// Commits the entries under this number. None: refusals alone.
    async fn commit(&self, commit_no: u64, entries: &[Written]) -> Position {
        let mut batch = Batch::new(rand::random());
        for (order, (name, seq, _)) in (0_u16..).zip(entries) {
            head::put(&mut batch, &room(name), order, &Head { seq: *seq, ..Head::default() });
        }
        if !entries.is_empty() {
            let entries = entries.iter().map(|(name, seq, users)| JournalEntry {
                room: (*name).to_owned(),
                seq: *seq,
                users: users.iter().map(|user| (*user).to_owned()).collect(),
                ..JournalEntry::default()
            });
            let row = Journal { entries: entries.collect(), ..Journal::default() };
            batch.set(journal::key(PARTITION, commit_no), row.encode());
        }
        let (stream_seq, commit_no) = (commit_no + 1_000, Some(commit_no));
        let row = Applied { stream_seq, commit_no, epoch: 1, ..Applied::default() };
        batch.set(applied::key(PARTITION), row.encode());
        match self.store.commit(batch).await.expect("commit") {
            Outcome::Committed(position) => position,
            Outcome::Rejected { .. } => panic!("rejected"),
        }
    }

    async fn audit(&self, since: Option<u64>, limit: AuditLimit) -> svc::AuditPage {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        audit(&*snapshot, StoreId(7), PARTITION, since, limit).await.expect("audit")
    }

    async fn whole(&self, since: u64) -> svc::AuditPage {
        self.audit(Some(since), AuditLimit::default()).await
    }
}

/// Room, seq, and the users concerned.
type Told<'p> = (&'p str, u64, Vec<(&'p str, u64)>);

fn told(page: &svc::AuditPage) -> Vec<Told<'_>> {
    let rooms = page.rooms.iter();
    rooms
        .map(|changed| {
            let concerned = changed.concerned.iter().map(|c| (c.user.as_str(), c.seq)).collect();
            (changed.room.as_str(), changed.seq, concerned)
        })
        .collect()
}

#[tokio::test]
async fn each_room_is_told_once_with_its_head_and_whom_it_concerns() {
    let journaled = Journaled::new();
    journaled.commit(4, &[("old", 1, &["dave"])]).await;
    journaled.commit(6, &[("team", 1, &["alice", "bob"]), ("alice~bob", 1, &[])]).await;
    let last = journaled.commit(9, &[("team", 2, &["bob"]), ("team", 3, &["carol"])]).await;
    let page = journaled.whole(4).await;
    assert_eq!(
        told(&page),
        [("alice~bob", 1, vec![]), ("team", 3, vec![("alice", 1), ("bob", 1), ("carol", 3)])]
    );
    assert_eq!(page.rooms[1].position, last.with_order(1).0);
    assert_eq!((page.through, page.more, page.unknown), (9, false, false));
    assert_eq!(page.store, 7_u64.to_be_bytes());
    let read_version = Position::from_slice(&page.read_version).expect("12 bytes");
    assert!(read_version >= last.with_order(1), "everything told is at or before it");
}

/// The marks that a commit moves: in which room, whose, and up to where.
type Moved = (&'static str, &'static str, u64);

impl Journaled {
    async fn commit_marks(&self, commit_no: u64, marks: &[Moved]) -> Position {
        let mut batch = Batch::new(rand::random());
        let mut row = Journal::default();
        for (order, (name, who, read)) in (0x8000_u16..).zip(marks) {
            let mark = mark::Mark { read: *read, ..mark::Mark::default() };
            mark::put(&mut batch, order, (&room(name), &user(who)), &mark);
            let (room, user) = ((*name).to_owned(), (*who).to_owned());
            row.marks.push(JournalMark { room, user, thread: 0, own: false });
        }
        self.commit_row(batch, commit_no, &row).await
    }

    /// Commits it with this row of the journal.
    async fn commit_row(&self, mut batch: Batch, commit_no: u64, row: &Journal) -> Position {
        batch.set(journal::key(PARTITION, commit_no), row.encode());
        let row = Applied { commit_no: Some(commit_no), epoch: 1, ..Applied::default() };
        batch.set(applied::key(PARTITION), row.encode());
        match self.store.commit(batch).await.expect("commit") {
            Outcome::Committed(position) => position,
            Outcome::Rejected { .. } => panic!("rejected"),
        }
    }
}

#[tokio::test]
async fn settings_are_told_as_they_are_now_to_their_user_alone() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    let mut batch = Batch::new(rand::random());
    let setting = Setting { muted_until_ms: 7, pinned: true, ..Setting::default() };
    setting::put(&mut batch, 5, (&user("bob"), &room("team")), &setting);
    let names = JournalMark { room: "team".into(), user: "bob".into(), thread: 0, own: false };
    let row = Journal { settings: vec![names.clone(), names], ..Journal::default() };
    let position = journaled.commit_row(batch, 2, &row).await;
    let head = format!("setting/bob/team {}", position.with_order(5));
    let frame = r#"{"type":"setting","room":"team","muted_until":7,"pinned":true}"#;
    let told = changes(&journaled.whole(1).await);
    assert_eq!(told, [("bob,".to_owned(), head, frame.to_owned())]);
}

#[tokio::test]
async fn drafts_are_told_as_they_are_now_to_their_user_alone() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    let content = DraftText { text: "hi".into(), ..DraftText::default() };
    let kept = Kept { version: 5, time_ms: 7, content: Some(content) };
    let frame = r#"{"type":"draft","room":"team","version":5,"text":"hi"}"#;
    let mut batch = Batch::new(rand::random());
    draft::put(&mut batch, 5, (&user("bob"), &room("team")), &kept, 0);
    // What was shorter is told in the page that has its newest commit.
    for (commit_no, frame_bytes) in [(2, frame.len() - 1), (3, 9), (4, frame.len())] {
        let frame_bytes = frame_bytes as u64;
        let names = JournalDraft { room: "team".into(), user: "bob".into(), frame_bytes };
        let row = Journal { drafts: vec![names], ..Journal::default() };
        batch.set(journal::key(PARTITION, commit_no), row.encode());
    }
    let row = Applied { commit_no: Some(4), epoch: 1, ..Applied::default() };
    batch.set(applied::key(PARTITION), row.encode());
    let Outcome::Committed(position) = journaled.store.commit(batch).await.expect("commit") else {
        panic!("rejected")
    };
    let told = changes(&journaled.whole(1).await);
    let head = format!("draft/bob/team {}", position.with_order(5));
    assert_eq!(told, [("bob,".to_owned(), head, frame.to_owned())]);
    let snapshot = journaled.store.snapshot().await.expect("snapshot");
    let limit = AuditLimit { rows_max: 2, ..AuditLimit::default() };
    let page = audit(&*snapshot, StoreId(7), PARTITION, Some(1), limit).await.expect("a page");
    assert_eq!((page.through, page.more, changes(&page).len()), (3, true, 0));
    let page = audit(&*snapshot, StoreId(7), PARTITION, Some(3), limit).await.expect("a page");
    assert_eq!((page.through, page.more, changes(&page)), (4, false, told));
}

#[tokio::test]
async fn relations_are_told_as_they_are_now_to_their_user_alone_and_sight_to_the_edges_of_both() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    let mut batch = Batch::new(rand::random());
    let key = (user("bob"), user("ann"));
    relation::put(&mut batch, 5, &key, &Relation { contact: false, blocked: true });
    let names = |sight| JournalRelation { user: "bob".into(), other: "ann".into(), sight };
    let row = Journal { relations: vec![names(true), names(false)], ..Journal::default() };
    let position = journaled.commit_row(batch, 2, &row).await.with_order(5);
    let frame = r#"{"type":"relation","user":"ann","contact":false,"blocked":true}"#;
    let told = |hears: &str, key: &str, frame: &str| {
        (hears.to_owned(), format!("{key} {position}"), frame.to_owned())
    };
    let expected = [
        told("bob,", "relation/bob/ann", frame),
        told("bob,", "sight/bob/ann", ""),
        told("ann,", "sight/ann/bob", ""),
    ];
    assert_eq!(changes(&journaled.whole(1).await), expected);
}

#[tokio::test]
async fn where_one_of_two_has_blocked_the_other_neither_hears_of_the_others_marks() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("alice~bob", 9, &[])]).await;
    journaled.commit_marks(2, &[("alice~bob", "alice", 4), ("alice~bob", "bob", 7)]).await;
    let mut batch = Batch::new(rand::random());
    let key = (user("bob"), user("alice"));
    relation::put(&mut batch, 5, &key, &Relation { contact: false, blocked: true });
    journaled.store.commit(batch).await.expect("commit");
    let told = changes(&journaled.whole(1).await);
    let told: Vec<_> = told.iter().map(|(hears, _, _)| hears.as_str()).collect();
    assert_eq!(told, ["alice,", "bob,"]);
}

#[tokio::test]
async fn what_is_scheduled_is_told_as_it_is_now_to_its_user_alone() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    let id = ClientId::from_parts(7, 9);
    let key = (user("bob"), room("team"), id);
    let row = Scheduled { id: id.to_string(), at_ms: 5, seq: 3, ..Scheduled::default() };
    let mut batch = Batch::new(rand::random());
    scheduled::put(&mut batch, 5, &key, &row, None);
    for commit_no in [2, 3] {
        let (room, user, id) = ("team".into(), "bob".into(), id.to_string());
        let scheduled = vec![JournalScheduled { room, user, id }];
        let row = Journal { scheduled, ..Journal::default() };
        batch.set(journal::key(PARTITION, commit_no), row.encode());
    }
    let row = Applied { commit_no: Some(3), epoch: 1, ..Applied::default() };
    batch.set(applied::key(PARTITION), row.encode());
    let Outcome::Committed(position) = journaled.store.commit(batch).await.expect("commit") else {
        panic!("rejected")
    };
    let head = format!("schedule/bob/team/{id} {}", position.with_order(5));
    let frame = format!(
        r#"{{"type":"schedule","room":"team","schedule":"{id}","at":5,"state":"sent","seq":3}}"#
    );
    assert_eq!(changes(&journaled.whole(1).await), [("bob,".to_owned(), head, frame)]);
}

/// Who hears, the head, and the frame.
fn changes(page: &svc::AuditPage) -> Vec<(String, String, String)> {
    let text = |change: &svc::Change| {
        let hears = [&change.users[..], std::slice::from_ref(&change.group)].concat().join(",");
        let frame = String::from_utf8(change.frame.to_vec()).expect("utf8");
        (hears, change.head.clone(), frame)
    };
    page.changes.iter().map(text).collect()
}

#[tokio::test]
async fn marks_are_told_as_they_are_now_to_those_who_hear_of_them() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[]), ("alice~bob", 9, &[])]).await;
    journaled.commit_marks(2, &[("alice~bob", "bob", 3), ("team", "bob", 4)]).await;
    let last = journaled.commit_marks(3, &[("alice~bob", "bob", 7), ("team", "ann", 5)]).await;
    let page = journaled.whole(1).await;
    assert!(told(&page).is_empty() && page.through == 3);
    let told = changes(&page);
    let [own, other, ann, bob, group] = &told[..] else { panic!("{told:?}") };
    let head = format!("mark/alice~bob/bob {}", last.with_order(0x8000));
    assert_eq!((own.0.as_str(), &own.1), ("bob,", &head));
    assert!(own.2.contains(r#""read":7,"read_ordinal":0"#), "{}", own.2);
    assert_eq!((other.0.as_str(), &other.1), ("alice,", &head));
    assert!(other.2.contains(r#""read":7,"delivered":7"#), "{}", other.2);
    assert_eq!((ann.0.as_str(), bob.0.as_str()), ("ann,", "bob,"));
    assert_eq!((group.0.as_str(), group.1.as_str()), ("team", "marks/team -"));
    assert!(
        group.2.contains(r#"[{"user":"ann","read":5},{"user":"bob","read":4}]"#),
        "{}",
        group.2
    );
    // Only what moved since.
    assert_eq!(changes(&journaled.whole(2).await).len(), 4);
    assert!(changes(&journaled.whole(3).await).is_empty());
}

/// Others hear of a mark that was told them, at that place, however often its user has changed since what counts as
/// unread; and of that alone they hear nothing.
#[tokio::test]
async fn what_is_for_the_own_devices_is_told_to_nobody_else() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[]), ("alice~bob", 9, &[])]).await;
    let first = journaled.commit_marks(2, &[("alice~bob", "bob", 7), ("team", "bob", 4)]).await;
    let (mut batch, mut row) = (Batch::new(rand::random()), Journal::default());
    for (order, (name, read)) in (0x8000_u16..).zip([("alice~bob", 7), ("team", 4)]) {
        let told_at = first.with_order(0x8000).0.to_vec();
        let mark = mark::Mark { read, unread_from: 2, told_at, ..mark::Mark::default() };
        mark::put(&mut batch, order, (&room(name), &user("bob")), &mark);
        row.marks.push(JournalMark { room: name.into(), user: "bob".into(), thread: 0, own: true });
    }
    batch.set(journal::key(PARTITION, 3), row.encode());
    let row = Applied { commit_no: Some(3), epoch: 1, ..Applied::default() };
    batch.set(applied::key(PARTITION), row.encode());
    let Outcome::Committed(last) = journaled.store.commit(batch).await.expect("commit") else {
        panic!("rejected")
    };
    let heads = |page: &svc::AuditPage| {
        changes(page).into_iter().map(|(hears, head, _)| (hears, head)).collect::<Vec<_>>()
    };
    let head = |hears: &str, room: &str, position: Position| {
        (format!("{hears},"), format!("mark/{room}/bob {position}"))
    };
    let (direct, group) = (last.with_order(0x8000), last.with_order(0x8001));
    let own = [head("bob", "alice~bob", direct), head("bob", "team", group)];
    assert_eq!(heads(&journaled.whole(2).await), own);
    let [of_direct, of_group] = own;
    let others = head("alice", "alice~bob", first.with_order(0x8000));
    let marks = ("team".to_owned(), "marks/team -".to_owned());
    assert_eq!(heads(&journaled.whole(1).await), [of_direct, others, of_group, marks]);
}

#[tokio::test]
async fn who_has_turned_off_read_receipts_is_not_told_of_and_not_told() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[]), ("alice~bob", 9, &[])]).await;
    let moved = [
        ("alice~bob", "alice", 4),
        ("alice~bob", "bob", 7),
        ("team", "alice", 5),
        ("team", "bob", 6),
    ];
    journaled.commit_marks(2, &moved).await;
    let hears = async || {
        let told = changes(&journaled.whole(1).await);
        told.into_iter().map(|(hears, _, frame)| (hears, frame)).collect::<Vec<_>>()
    };
    let all = hears().await;
    assert_eq!(
        all.iter().map(|(hears, _)| hears.as_str()).collect::<Vec<_>>(),
        ["alice,", "bob,", "bob,", "alice,", "alice,", "bob,", "team"]
    );
    let mut batch = Batch::new(rand::random());
    let off = Setting { receipts_off: true, ..Setting::default() };
    setting::put(&mut batch, 5, (&user("bob"), &room("bob~bob")), &off);
    journaled.store.commit(batch).await.expect("commit");
    let hidden = hears().await;
    assert_eq!(hidden[..4], [all[0].clone(), all[2].clone(), all[4].clone(), all[5].clone()]);
    let marks = r#"{"type":"marks","room":"team","marks":[{"user":"alice","read":5}]}"#;
    assert_eq!(hidden[4..], [("team".to_owned(), marks.to_owned())]);
}

#[tokio::test]
async fn marks_of_threads_are_told_as_they_are_now_to_their_users_alone() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    let commit = async |commit_no, rows: &[(&str, u64, u64, bool)]| {
        let (mut batch, mut row) = (Batch::new(rand::random()), Journal::default());
        for (order, (who, root, read, follows)) in (0x8000_u16..).zip(rows) {
            let at = (user(who), (room("team"), *root));
            let of = ThreadFollower { follows: *follows, read: *read };
            thread_follower::put(&mut batch, order, &at, &of);
            let (room, user) = ("team".to_owned(), (*who).to_owned());
            row.marks.push(JournalMark { room, user, thread: *root, own: false });
        }
        batch.set(journal::key(PARTITION, commit_no), row.encode());
        let row = Applied { commit_no: Some(commit_no), epoch: 1, ..Applied::default() };
        batch.set(applied::key(PARTITION), row.encode());
        match journaled.store.commit(batch).await.expect("commit") {
            Outcome::Committed(position) => position,
            Outcome::Rejected { .. } => panic!("rejected"),
        }
    };
    let first = commit(2, &[("bob", 2, 3, true), ("ann", 2, 3, true)]).await;
    let last = commit(3, &[("bob", 2, 5, false), ("bob", 4, 5, true)]).await;
    let page = journaled.whole(1).await;
    assert!(told(&page).is_empty() && page.through == 3);
    let told = |who: &str, root: u64, position: Position, read: u64, following: bool| {
        let frame = format!(
            r#"{{"type":"mark","room":"team","user":"{who}","thread":{root},"read":{read},"following":{following}}}"#
        );
        (format!("{who},"), format!("mark/team/{who}/{root} {position}"), frame)
    };
    let of_bob = [
        told("bob", 2, last.with_order(0x8000), 5, false),
        told("bob", 4, last.with_order(0x8001), 5, true),
    ];
    let of_ann = told("ann", 2, first.with_order(0x8001), 3, true);
    assert_eq!(changes(&page), [&[of_ann][..], &of_bob].concat());
    assert_eq!(changes(&journaled.whole(2).await), of_bob);
}

#[tokio::test]
async fn a_mark_that_can_not_be_read_hides_no_other_one() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("alice~bob", 9, &[])]).await;
    journaled.commit_marks(2, &[("alice~bob", "alice", 3), ("alice~bob", "bob", 4)]).await;
    let mut batch = Batch::new(rand::random());
    batch.set(mark::key(&room("alice~bob"), &user("alice")), Bytes::from_static(b"?"));
    journaled.store.commit(batch).await.expect("commit");
    let told = changes(&journaled.whole(1).await);
    let told: Vec<_> = told.iter().map(|(hears, head, _)| (&**hears, &head[..18])).collect();
    assert_eq!(told, [("bob,", "mark/alice~bob/bob"), ("alice,", "mark/alice~bob/bob")]);
}

#[tokio::test]
async fn a_large_group_hears_nothing_of_marks() {
    let journaled = Journaled::new();
    let mut batch = Batch::new(rand::random());
    let head = Head { seq: 9, large: true, ..Head::default() };
    head::put(&mut batch, &room("crowd"), 0, &head);
    journaled.store.commit(batch).await.expect("commit");
    journaled.commit_marks(1, &[("crowd", "bob", 4)]).await;
    let told = changes(&journaled.whole(0).await);
    assert_eq!(told.iter().map(|told| told.0.as_str()).collect::<Vec<_>>(), ["bob,"]);
}

#[tokio::test]
async fn marks_end_a_page_as_entries_do() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 9, &[])]).await;
    for commit_no in 2..=4 {
        journaled.commit_marks(commit_no, &[("team", "ann", 1), ("team", "bob", 1)]).await;
    }
    let limit = AuditLimit { entries_max: 4, ..AuditLimit::default() };
    let page = journaled.audit(Some(1), limit).await;
    assert_eq!((page.through, page.more, page.changes.len()), (3, true, 3));
}

#[tokio::test]
async fn refusals_alone_change_nothing() {
    let journaled = Journaled::new();
    journaled.commit(3, &[("team", 1, &["alice"])]).await;
    journaled.commit(3, &[]).await;
    let page = journaled.whole(3).await;
    assert_eq!((told(&page), page.through, page.more), (vec![], 3, false));
}

#[tokio::test]
async fn without_a_place_only_where_it_stands_is_told() {
    let journaled = Journaled::new();
    let page = journaled.audit(None, AuditLimit::default()).await;
    assert_eq!((page.through, page.more, page.unknown), (0, false, false));
    journaled.commit(3, &[("team", 1, &["alice"])]).await;
    let page = journaled.audit(None, AuditLimit::default()).await;
    assert_eq!((told(&page), page.through, page.read_version.len()), (vec![], 3, 12));
}

#[tokio::test]
async fn a_place_that_the_store_does_not_know_is_said_to_be_unknown() {
    let journaled = Journaled::new();
    journaled.commit(3, &[("team", 1, &["alice"])]).await;
    let page = journaled.whole(4).await;
    assert_eq!((told(&page), page.through, page.unknown), (vec![], 3, true));
}

#[tokio::test]
async fn a_place_whose_journal_is_deleted_is_unknown() {
    let journaled = Journaled::new();
    for commit_no in 1..=3 {
        journaled.commit(commit_no, &[("team", commit_no, &["alice"])]).await;
    }
    let snapshot = journaled.store.snapshot().await.expect("snapshot");
    let mut row = applied::read(&*snapshot, PARTITION).await.expect("row");
    let mut batch = Batch::new(rand::random());
    journal::trim(&mut batch, PARTITION, &mut row, 2);
    batch.set(applied::key(PARTITION), row.encode());
    journaled.store.commit(batch).await.expect("commit");
    for since in [0, 1] {
        let page = journaled.whole(since).await;
        assert_eq!((told(&page), page.through, page.unknown), (vec![], 3, true), "{since}");
    }
    assert_eq!(told(&journaled.whole(2).await), [("team", 3, vec![("alice", 3)])]);
}

#[tokio::test]
async fn a_room_whose_head_is_behind_the_page_is_told_with_its_head() {
    let journaled = Journaled::new();
    journaled.commit(1, &[("team", 1, &["alice"])]).await;
    let head = journaled.commit(2, &[("team", 2, &["bob"])]).await;
    let limit = AuditLimit { rows_max: 1, ..AuditLimit::default() };
    let page = journaled.audit(Some(0), limit).await;
    assert_eq!(told(&page), [("team", 2, vec![("alice", 1)])]);
    assert_eq!(page.rooms[0].position, head.0, "the position of that very entry");
    assert_eq!((page.through, page.more), (1, true));
}

#[tokio::test]
async fn a_partition_beyond_the_store_is_refused() {
    let world = World::new().await;
    for partition in [4, 65_536] {
        let answer = world.context.audit(svc::Audit { partition, since: None }).await;
        assert_eq!(code(answer), ErrorCode::BadRequest);
    }
    let page = world.context.audit(svc::Audit { partition: 3, since: Some(0) }).await;
    assert_eq!(page.expect("a page").store, world.store_id().0.to_be_bytes());
}

const ROOMS: [&str; 4] = ["a", "b", "c", "alice~bob"];
const USERS: [&[&str]; 3] = [&[], &["alice"], &["alice", "bob"]];

proptest! {
    /// Whatever bounds a page, all pages together tell of each room what one page tells.
    #[test]
    fn pages_tell_the_same_as_one(
        commits in prop::collection::vec(
            prop::collection::vec((0..ROOMS.len(), 0..USERS.len()), 0..4), 0..60),
        rows_max in 1..8_usize,
        entries_max in 1..12_usize,
        bytes_max in 1..400_usize,
        since in 0..60_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async {
            let journaled = Journaled::new();
            let mut seqs = [0; ROOMS.len()];
            let mut commit_no = 0;
            for commit in &commits {
                commit_no += u64::from(!commit.is_empty());
                let entries: Vec<Written> = commit.iter().map(|(room, users)| {
                    seqs[*room] += 1;
                    (ROOMS[*room], seqs[*room], USERS[*users])
                }).collect();
                journaled.commit(commit_no, &entries).await;
            }
            let since = since.min(commit_no);
            let whole = journaled.whole(since).await;
            let limit = AuditLimit { rows_max, entries_max, bytes_max };
            let mut rooms = BTreeMap::new();
            let mut page = journaled.audit(Some(since), limit).await;
            loop {
                for (room, seq, concerned) in told(&page) {
                    let known = rooms.entry(room.to_owned()).or_insert((0, BTreeMap::new()));
                    known.0 = seq;
                    for (user, seq) in concerned {
                        known.1.entry(user.to_owned()).or_insert(seq);
                    }
                }
                if !page.more {
                    break;
                }
                let asked = page.through;
                page = journaled.audit(Some(asked), limit).await;
                assert!(page.through > asked || !page.more, "it goes on");
            }
            assert_eq!(page.through, commit_no);
            let told: Vec<_> = rooms.iter().map(|(room, (seq, concerned))| {
                let concerned = concerned.iter().map(|(u, s)| (u.as_str(), *s)).collect::<Vec<_>>();
                (room.as_str(), *seq, concerned)
            }).collect();
            assert_eq!(told, self::told(&whole));
        });
    }
}
