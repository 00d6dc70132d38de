//! An import that is interrupted goes on when it is run again.

use std::sync::atomic::AtomicUsize;

use weft_storage::Store;
use weft_storage::export::Error;
use weft_storage::tables::layout;

use super::content::{Content, Size};
use super::engines::{Ends, Unsure};
use super::{check_positions, exported, import, rows};

/// Some ten commits' worth.
const LARGE: Size = Size { users: 4, rooms: 10, entries: 16, large_one_in: 2 };

/// Ends an import into `target` at its commit number `commits` (which happens or not); true where
/// it ended.
async fn import_until(target: &Store, file: &[u8], commits: usize, last_happens: bool) -> bool {
    let commits = AtomicUsize::new(commits);
    let ends = Store::new(Ends { store: target.clone(), commits, last_happens });
    match import(&ends, file).await {
        Ok(()) => false,
        Err(Error::Store(weft_storage::Error::Failed(_))) => true,
        Err(error) => panic!("{error}"),
    }
}

/// At any commit, and at several one after the other. `open` gives a new store, and `reopen` the
/// same one after its process has ended.
pub async fn goes_on<K>(
    source: Store,
    open: impl AsyncFn() -> (Store, K),
    reopen: impl AsyncFn(Store, &K) -> Store,
    seed: u64,
) {
    Content::fill(&source, seed, LARGE).await;
    let (_, file) = exported(&source).await;
    let wanted = rows(&source).await;
    let mut commits = 0;
    let mut ended = true;
    while ended {
        for last_happens in [false, true] {
            let (mut target, kept) = open().await;
            ended = import_until(&target, &file, commits, last_happens).await;
            if ended {
                target = reopen(target, &kept).await;
            }
            if ended && !is_done(&target).await {
                import_until(&target, &file, 1, last_happens).await;
                target = reopen(target, &kept).await;
                finish(&target, &file).await;
            }
            assert_eq!(rows(&target).await, wanted, "after {commits} commits");
            check_positions(&target).await;
        }
        commits += 1;
    }
    assert!(commits > 3, "{commits} commits are too few to be interrupted");
}

async fn is_done(target: &Store) -> bool {
    let snapshot = target.snapshot().await.expect("snapshot");
    snapshot.get(layout::key()).await.expect("get").is_some()
}

/// The last commit may have happened unheard: then the store is no empty one any more.
async fn finish(target: &Store, file: &[u8]) {
    match import(target, file).await {
        Ok(()) | Err(Error::NotEmpty) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Nothing happens twice, and nothing is left out.
pub async fn goes_on_where_outcomes_are_unknown(source: Store, target: Store, seed: u64) {
    Content::fill(&source, seed, LARGE).await;
    let unsure =
        |store: &Store| Store::new(Unsure { store: store.clone(), calls: AtomicUsize::new(0) });
    let (_, file) = exported(&unsure(&source)).await;
    import(&unsure(&target), &file).await.expect("import");
    assert_eq!(rows(&target).await, rows(&source).await);
    check_positions(&target).await;
}

/// What is there is neither overwritten nor taken for one's own.
pub async fn only_its_own_is_gone_on_with(source: Store, target: Store, seed: u64) {
    Content::fill(&source, seed, LARGE).await;
    let (_, file) = exported(&source).await;
    assert!(matches!(import(&source, &file).await, Err(Error::NotEmpty)));
    assert!(import_until(&target, &file, 2, false).await);
    let half = rows(&target).await;
    let mut other = Vec::new();
    let again = weft_storage::export::export(&source, &mut other, 8, &mut |_| {}).await;
    again.expect("export");
    assert!(matches!(import(&target, &other).await, Err(Error::OtherImport)));
    let mut sink = Vec::new();
    let half_out = weft_storage::export::export(&target, &mut sink, 8, &mut |_| {}).await;
    assert!(matches!(half_out, Err(Error::Unfinished)));
    assert_eq!(rows(&target).await, half);
    import(&target, &file).await.expect("its own");
    assert_eq!(rows(&target).await, rows(&source).await);
}
