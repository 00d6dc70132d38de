//! Outcomes that nobody learns, on any engine: settled by evidence, each change happens once.

use std::time::Duration;

use weft_storage::faulty::Faulty;
use weft_storage::{Batch, Error, Outcome, Store};

use super::{b, get, numbered, seed};

const WRITERS: u32 = 4;
const CHANGES: u32 = 60;
/// Of 100 calls this many fail.
const FAULTS: u32 = 40;

#[derive(Default, Debug)]
struct Seen {
    unavailable: u32,
    unknown_done: u32,
    unknown_undone: u32,
    echoes: u32,
}

/// Each writer counts in a row of its own and appends each number to a log.
pub async fn what_nobody_learned_happens_once(store: Store) {
    let faulty = Store::new(Faulty::new(store.clone(), seed(), FAULTS));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(faulty.clone(), writer))).collect();
    let mut all = Seen::default();
    for (writer, task) in (0..).zip(writers) {
        let seen = task.await.expect("writer");
        all.unavailable += seen.unavailable;
        all.unknown_done += seen.unknown_done;
        all.unknown_undone += seen.unknown_undone;
        all.echoes += seen.echoes;
        let snapshot = store.snapshot().await.expect("snapshot");
        let range = numbered("log/", writer)..numbered("log/", writer + 1);
        let log = snapshot.scan(range, usize::MAX, false).await.expect("scan");
        let written: Vec<_> = log.into_iter().map(|(_, number)| number).collect();
        let expected: Vec<_> = (1..=CHANGES).map(|number| b(number.to_be_bytes())).collect();
        assert_eq!(written, expected, "writer {writer}");
        assert!(get(&store, numbered("row/", writer)).await.is_some());
    }
    println!("{all:?}");
    let kinds = [all.unavailable, all.unknown_done, all.unknown_undone, all.echoes];
    assert!(kinds.iter().all(|count| *count > 0), "a kind of fault never came: {all:?}");
}

async fn write(store: Store, writer: u32) -> Seen {
    let (row_key, log) = (numbered("row/", writer), numbered("log/", writer));
    let (mut row, mut seen) = (None, Seen::default());
    for number in 1..=CHANGES {
        let id = rand::random();
        let mut batch = Batch::new(id);
        batch.guard(row_key.clone(), row.clone());
        let after = b([number.to_be_bytes().as_ref(), &id].concat());
        batch.set(row_key.clone(), after.clone());
        batch.set_at_position(log.clone(), 0, b(number.to_be_bytes()));
        loop {
            let outcome = store.commit(batch.clone()).await;
            let (is_known, is_done) = match &outcome {
                Ok(Outcome::Committed(_)) => (true, true),
                Err(Error::Unavailable(_)) => (true, false),
                // Nobody else writes this row: so what is there is one's own attempt.
                Ok(Outcome::Rejected { .. }) | Err(Error::Unknown(_)) => {
                    let now = evidence(&store, &row_key).await;
                    let is_done = now.as_ref() == Some(&after);
                    assert!(is_done || now == row, "a third id");
                    (false, is_done)
                }
                Err(error) => panic!("{error}"),
            };
            match (&outcome, is_known, is_done) {
                (Err(_), true, _) => seen.unavailable += 1,
                (Err(_), false, true) => seen.unknown_done += 1,
                (Err(_), false, false) => seen.unknown_undone += 1,
                (Ok(_), false, true) => seen.echoes += 1,
                (Ok(_), false, false) => panic!("rejected, and the row is as it was"),
                (Ok(_), true, _) => {}
            }
            if is_done {
                break;
            }
        }
        row = Some(after);
    }
    seen
}

/// The row's value, as soon as the store can tell.
async fn evidence(store: &Store, key: &bytes::Bytes) -> Option<bytes::Bytes> {
    loop {
        let read = async { store.snapshot().await?.get(key.clone()).await };
        match read.await {
            Ok(value) => return value,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
