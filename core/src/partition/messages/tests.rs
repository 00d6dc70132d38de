use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use weft_proto::kind::ChangeRole;
use weft_proto::{ClientId, Position};
use weft_storage::engine::Pair;
use weft_storage::memory::Memory;
use weft_storage::tables::head::Head;
use weft_storage::tables::layout::FEATURE_LEVEL;
use weft_storage::tables::member::Member;
use weft_storage::{BatchId, Store};

use super::*;
use crate::partition::rooms::{Former, Members};

/// Counts the keys that are read.
struct Counted(Arc<dyn Snapshot>, AtomicUsize);

#[async_trait]
impl Snapshot for Counted {
    fn read_version(&self) -> Position {
        self.0.read_version()
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.get(key).await
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        self.1.fetch_add(keys.len(), Ordering::SeqCst);
        self.0.get_many(keys).await
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        self.0.scan(range, limit, reverse).await
    }
}

const EDITS: u64 = 100;
const BATCH: BatchId = [1; 16];

fn user(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

fn team() -> RoomId {
    RoomId::new("team").expect("id")
}

fn room(members: &[(&str, Role)]) -> Room {
    let joined = |(name, role): &(&str, Role)| (user(name), Member::joined(*role, 1));
    let members: BTreeMap<UserId, Member> = members.iter().map(joined).collect();
    let head = Head { seq: EDITS + 1, member_count: 3, ..Head::default() };
    let (members, former) = (Members::All(members), Former::default());
    Room { head, place: Place::Nowhere, members, former, is_accepted: false, touched: 0 }
}

fn sent_by(sender: &str, body: Body) -> Incoming {
    let command = Command {
        sender: user(sender),
        room: team(),
        client_id: Some(ClientId::from_parts(1, 1)),
        made_by: None,
        after: None,
        content_hash: body.content_hash(),
        body,
        scheduled: None,
        bytes: 1,
    };
    let (sender, reply, command) = (sender.to_owned(), None, Ok(command));
    Incoming { stream_seq: 1, stored_at_ms: 2_000, sender, reply, command, letter: None }
}

fn delete_by(sender: &str) -> Incoming {
    sent_by(sender, Body::Delete(Delete::of(1)))
}

/// Ben's message with as many edits as there may be, of which the store lacks some.
async fn edited(lost: &[u64]) -> (Store, State) {
    let store = Store::new(Memory::new());
    let mut batch = Batch::new(BATCH);
    let entry = |seq, body| Entry {
        room: team(),
        seq,
        ordinal: 1,
        from: user("ben"),
        client_id: None,
        time_ms: 1_000,
        body,
    };
    log::put(&mut batch, 0, &entry(1, Body::message("long ".repeat(100)).expect("text")));
    let edits: Vec<u64> = (2..2 + EDITS).collect();
    for seq in edits.iter().filter(|seq| !lost.contains(seq)) {
        log::put(
            &mut batch,
            *seq as u16,
            &entry(*seq, Body::Edit(Edit { target: 1, text: "x".into(), ranges: vec![] })),
        );
    }
    let row = Message { edits, edited_at_ms: 1_000, ..Message::default() };
    batch.set(message::key(&team(), 1), row.encode());
    weft_storage::tables::head::put(&mut batch, &team(), 200, &room(&[]).head);
    store.commit(batch).await.expect("commit");
    let mut state = State::new(usize::MAX, FEATURE_LEVEL);
    let members = [("ann", Role::Owner), ("ben", Role::Member), ("cem", Role::Member)];
    state.rooms.insert(team(), room(&members));
    (store, state)
}

async fn loaded(store: &Store, state: &State, run: &[Incoming]) -> (FoundMessages, usize) {
    let snapshot = Counted(store.snapshot().await.expect("snapshot"), AtomicUsize::new(0));
    let found = load(&snapshot, state, run, &HashMap::new()).await.expect("loaded");
    (found, snapshot.1.load(Ordering::SeqCst))
}

#[tokio::test]
async fn edits_are_read_once_and_not_for_who_may_not_delete_them() {
    let (store, mut state) = edited(&[]).await;
    let all = EDITS as usize;
    let reads = async |state: &State, who: &[&str]| {
        let run: Vec<Incoming> = who.iter().map(|name| delete_by(name)).collect();
        loaded(&store, state, &run).await.1
    };
    for (who, expected) in [
        (&["ben"; 50][..], all),
        (&["ann"], all),
        (&["cem"; 50], 0),
        (&["cem", "dia"], 0),
        (&["cem", "ben", "ann"], all),
    ] {
        let read = reads(&state, who).await;
        assert!((expected..expected + 4).contains(&read), "{who:?}: {read}");
    }
    // Who is made an admin by the command before may.
    let role = ChangeRole { user: user("cem"), role: Role::Admin };
    let run = [sent_by("ann", Body::ChangeRole(role)), delete_by("cem")];
    assert!(loaded(&store, &state, &run).await.1 >= all);
    state.edit_window_ms = 999;
    assert!(reads(&state, &["ben"; 9]).await < 4, "it is too late");
    assert!(reads(&state, &["ann"]).await >= all);
    state.edit_window_ms = 0;
    // Who left does not delete what they said there.
    state.rooms.insert(team(), room(&[("ann", Role::Owner)]));
    assert!(reads(&state, &["ben"; 9]).await < 4);
}

#[tokio::test]
async fn what_messages_say_is_not_kept_in_memory() {
    let (store, state) = edited(&[]).await;
    let (found, _) = loaded(&store, &state, &[delete_by("ben")]).await;
    assert_eq!(found.entries.len() as u64, EDITS + 1);
    for planned in found.entries.values() {
        let body = String::from_utf8(planned.entry.body.to_json()).expect("utf8");
        assert!(body.len() < 40, "{body}");
    }
}

/// A store that is damaged does not keep anybody from deleting what is left.
#[tokio::test]
async fn a_message_is_deleted_of_which_an_edit_is_lost() {
    let (store, state) = edited(&[7, 9]).await;
    let (found, _) = loaded(&store, &state, &[delete_by("ben")]).await;
    let (id, body) = (team(), Body::Delete(Delete::of(1)));
    let in_room = (&id, state.rooms.get(&id).expect("a room"), EDITS + 2);
    let (ben, times) = (user("ben"), Times { now_ms: 2_000, stored_at_ms: 2_000 });
    let decided = decide(in_room, (&ben, Some(Role::Member)), &body, (&found, &state, times));
    let change = decided.expect("taken").expect("a change");
    assert_eq!(change.rewrites.len() as u64, EDITS + 1 - 2);
    assert!(absent::is_said(&id));
}
