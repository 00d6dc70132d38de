//! An export of a store that a core works on.

use std::collections::BTreeMap;

use tokio::sync::Mutex;
use weft_proto::{RoomId, RoomKind, partition_of};
use weft_storage::Store;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::log::Limit;
use weft_storage::tables::{head, log, member, resend};

use super::content::Content;
use super::engines::Busy;
use super::{SIZE, check_positions, exported, imported};

/// Each room is of one moment, and not one of it is acknowledged that is not there.
pub async fn each_room_is_whole(source: Store, target: Store, seed: u64) {
    let content = Content::fill(&source, seed, SIZE).await;
    let partitions = content.partitions;
    let began = applied_of(&source, partitions).await;
    let busy = Store::new(Busy { store: source.clone(), content: Mutex::new(content) });
    let (exported, file) = exported(&busy).await;
    assert!(!exported.whole);
    assert_eq!(exported.counts.get("journal"), None);
    imported(&target, &file).await;
    check_positions(&target).await;
    let (there, here) = (heads_of(&source).await, heads_of(&target).await);
    assert_ne!(there, here, "nobody wrote meanwhile");
    assert!(here.keys().eq(there.keys()));
    for (room, seq) in here {
        assert!(seq <= there[&room], "{room} has {seq} of {}", there[&room]);
        check_room(&source, &target, &room, partitions).await;
    }
    // At least what was applied when it began is in it, and no more is said to be.
    for (partition, row) in applied_of(&target, partitions).await {
        assert!(row.stream_seq >= began[&partition].stream_seq);
        assert_eq!(row.published_up_to, row.last_commit_no());
        let now = &applied_of(&source, partitions).await[&partition];
        assert!(row.stream_seq <= now.stream_seq && row.floor_hour == now.floor_hour);
    }
}

async fn heads_of(store: &Store) -> BTreeMap<RoomId, u64> {
    let snapshot = store.snapshot().await.expect("snapshot");
    let heads = head::page_after(&*snapshot, None, 1_000).await.expect("heads");
    heads.into_iter().map(|(room, head)| (room, head.seq)).collect()
}

async fn applied_of(store: &Store, partitions: u16) -> BTreeMap<u16, Applied> {
    let snapshot = store.snapshot().await.expect("snapshot");
    let mut rows = BTreeMap::new();
    for partition in 0..partitions {
        let row = snapshot.get(applied::key(partition)).await.expect("get");
        let row = row.map(|row| Applied::decode(&row).expect("row")).unwrap_or_default();
        rows.insert(partition, row);
    }
    rows
}

/// Members are as many as the head says; every entry has the record that it had, and no record has
/// another entry.
async fn check_room(source: &Store, target: &Store, room: &RoomId, partitions: u16) {
    let snapshot = target.snapshot().await.expect("snapshot");
    let (_, head) = {
        let row = snapshot.get(head::key(room)).await.expect("get").expect("head");
        head::decode(&row).expect("head")
    };
    if room.kind() == RoomKind::Group {
        let all = member::all(&*snapshot, room).await.expect("members");
        let members = all.iter().filter(|(_, row)| row.role().is_some()).count();
        assert_eq!(members, head.member_count as usize, "{room}");
        assert!(all.iter().all(|(_, row)| row.since_seq.max(row.until_seq) <= head.seq), "{room}");
    }
    let partition = partition_of(room, partitions);
    let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
    let before = source.snapshot().await.expect("snapshot");
    for logged in log::read(&*before, room, 0..u64::MAX, limit).await.expect("log") {
        let entry = logged.entry;
        let Some(id) = entry.client_id else { continue };
        let key = resend::key(partition, room, &entry.from, &id);
        let (was, is) = (before.get(key.clone()).await, snapshot.get(key).await);
        let was = was.expect("get").filter(|_| entry.seq <= head.seq);
        assert_eq!(is.expect("get"), was, "entry {} of {room}", entry.seq);
    }
}
