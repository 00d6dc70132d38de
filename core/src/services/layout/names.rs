//! What users are found by, of a store that has kept none of it until now.

use bytes::Bytes;
use weft_proto::UserId;
use weft_storage::Store;
use weft_storage::tables::account;
use weft_storage::tables::name;

use super::commit;
use super::lists::{FULL_BYTES, guarded};
use crate::Error;

const ACCOUNTS_AT_ONCE: usize = 1_000;

/// Writes the rows of all accounts. Who changes an account meanwhile writes them, too: what is from before such a change, whoever
/// reads it passes over. `layout_row` has to stay as it is.
///
/// # Errors
/// [`Error::Layout`] where the layout row was changed; those of the store.
pub(super) async fn write(store: &Store, layout_row: &Bytes) -> Result<(), Error> {
    let mut last: Option<UserId> = None;
    let mut batch = guarded(layout_row);
    loop {
        // A snapshot for each page: FoundationDB forgets one after 5 s.
        let snapshot = store.snapshot().await?;
        let page = account::page_after(&*snapshot, last.as_ref(), ACCOUNTS_AT_ONCE).await?;
        let Some((user, _)) = page.last() else { break };
        last = Some(user.clone());
        for (user, account) in &page {
            for beginning in account.found_by(user) {
                batch.set(name::key(&beginning, user), Bytes::new());
            }
            if batch.size_bytes() >= FULL_BYTES {
                let full = std::mem::replace(&mut batch, guarded(layout_row));
                commit(store, full).await?;
            }
        }
    }
    commit(store, batch).await
}
