//! A search node beside a core that tells what the test says: real NATS, a real index.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use weft_harness::server::{Server, node};
use weft_harness::wait::{PATIENCE, until};
use weft_nats::{Bus, Services};
use weft_proto::svc::{
    ChangedMessages, CommittedEntry, FollowJournal, Followers, Following, FoundEntries,
    FoundMessages, IndexedMessage, IndexedRooms, JournalCommit, JournalPage, ListFollowers,
    ListIndexed, ListSearchable, LogEntry, Method, MoveFollower, ReadChanged, ReadFound,
    ReadJournal, Search, SearchableRoom, SearchableRooms, WalkMessages, WalkedMessages,
};
use weft_runtime::lock;
use weft_search::{SearchNode, SearchOptions};

const STORE: [u8; 8] = [7; 8];

/// One room with as many messages as there are commits; the journal reaches back to the commit after `trimmed`.
#[derive(Default)]
struct Rows {
    newest: u64,
    trimmed: u64,
}

/// A core, and how many walks over all messages it answers.
#[derive(Clone)]
struct Core {
    rows: Arc<Mutex<Rows>>,
    walks: Arc<Semaphore>,
}

fn message(seq: u64) -> IndexedMessage {
    let (room, from, texts) = ("team".into(), "alice".into(), vec!["a needle".into()]);
    IndexedMessage { room, seq, time_ms: seq, from, texts, ..IndexedMessage::default() }
}

fn frame(seq: u64) -> LogEntry {
    let text = json!({ "room": "team", "seq": seq, "from": "alice", "kind": "message", "text": "a needle" });
    LogEntry { head: String::new(), frame: text.to_string().into_bytes().into() }
}

impl Core {
    async fn serve<M: Method + 'static>(
        &self,
        services: &mut Services,
        answer: impl Fn(&Rows, M) -> M::Reply + Send + Sync + Clone + 'static,
    ) where
        M::Reply: Send + 'static,
    {
        let rows = Arc::clone(&self.rows);
        let handle = move |request: M| {
            let answered = answer(&lock(&rows), request);
            async move { Ok(answered) }
        };
        services.handle::<M, _, _>(4, handle).await.expect("served");
    }

    async fn start(&self, bus: &Bus) -> Services {
        let mut services = Services::start(bus, "0.0.1");
        let served = &mut services;
        let following = |rows: &Rows| Following {
            store: STORE.into(),
            commit_no: rows.trimmed,
            epoch: 1,
            newest: rows.newest,
        };
        self.serve(served, |rows, _: ListFollowers| Followers {
            followers: Vec::new(),
            newest: rows.newest,
            partitions: 1,
        })
        .await;
        self.serve(served, move |rows, _: FollowJournal| following(rows)).await;
        self.serve(served, move |rows, _: MoveFollower| following(rows)).await;
        self.serve(served, |rows, asked: ReadJournal| {
            let entry = |seq| CommittedEntry {
                room: "team".into(),
                seq,
                kind: "message".into(),
                from: "alice".into(),
                users: Vec::new(),
            };
            let commit = |commit_no| JournalCommit {
                commit_no,
                entries: vec![entry(commit_no)],
                ..JournalCommit::default()
            };
            let expired = asked.after < rows.trimmed;
            let commits = (asked.after + 1..=rows.newest).filter(|_| !expired).map(commit);
            JournalPage { store: STORE.into(), commits: commits.collect(), more: false, expired }
        })
        .await;
        self.serve(served, |_, asked: ReadChanged| ChangedMessages {
            store: STORE.into(),
            done: asked.places.len() as u32,
            messages: asked.places.iter().map(|place| message(place.seq)).collect(),
            deleted: Vec::new(),
        })
        .await;
        self.serve(served, |_, _: ListIndexed| IndexedRooms::default()).await;
        self.serve(served, |_, _: ListSearchable| {
            let room = SearchableRoom { room: "team".into(), parts: vec![1, u64::MAX] };
            SearchableRooms { user: "alice".into(), rooms: vec![room], more: false }
        })
        .await;
        self.serve(served, |_, asked: ReadFound| FoundEntries {
            done: asked.places.len() as u32,
            entries: asked.places.iter().map(|place| frame(place.seq)).collect(),
        })
        .await;
        let (rows, walks) = (Arc::clone(&self.rows), Arc::clone(&self.walks));
        let walk = move |_: WalkMessages| {
            let (rows, walks) = (Arc::clone(&rows), Arc::clone(&walks));
            async move {
                walks.acquire().await.expect("never closed").forget();
                let messages = (1..=lock(&rows).newest).map(message).collect();
                Ok(WalkedMessages { store: STORE.into(), messages, through: None })
            }
        };
        services.handle::<WalkMessages, _, _>(4, walk).await.expect("served");
        services
    }
}

/// Waits until so many messages are found, by an index that lacks something or not; how many.
async fn finds(edge: &Bus, wanted: usize, partial: bool) -> FoundMessages {
    until(&format!("{wanted} are found, partial: {partial}"), PATIENCE, async || {
        let search = Search { token: "alice's".into(), text: "needle".into(), ..Search::default() };
        let found = edge.call(&search).await.ok()?;
        (found.messages.len() == wanted && found.partial == partial).then_some(found)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_index_answers_while_another_one_is_made_and_says_that_it_may_lack_something() {
    let server = Server::new(1).await;
    let rows = Arc::new(Mutex::new(Rows { newest: 2, trimmed: 0 }));
    let core = Core { rows, walks: Arc::new(Semaphore::new(1)) };
    let services = core.start(&server.bus("core", "core-1").await).await;
    let (bus, folder) = (server.bus("search", "search-1").await, server.folder().path().join("s"));
    let options = SearchOptions { bus, node: node("search-1"), folder };
    let search = SearchNode::start(options).await.expect("a node");
    let edge = server.bus("edge", "edge-1").await;
    finds(&edge, 2, false).await;
    // The journal is deleted beyond what it has read: what came in between it can only read from all messages.
    *lock(&core.rows) = Rows { newest: 4, trimmed: 3 };
    let old = finds(&edge, 2, true).await;
    assert_eq!(old.total, 2);
    lock(&core.rows).newest = 5;
    finds(&edge, 2, true).await;
    core.walks.add_permits(100);
    let new = finds(&edge, 5, false).await;
    assert_eq!(new.total, 5);
    assert_eq!(search.shutdown(Duration::from_secs(5)).await, Vec::<&str>::new());
    services.shutdown().await;
}
