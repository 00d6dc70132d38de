//! What users have typed for rooms and not sent.

use weft_proto::{RoomId, svc};
use weft_storage::Error;
use weft_storage::tables::draft::{self, DraftKey};

use super::Context;
use super::failure::Failure;
use crate::drafts;
use crate::partition::drafts::ROWS_MAX;

/// Drafts whose texts are read at once: with the longest ones 2 MB.
const READ_AT_ONCE: usize = 4;

impl Context {
    /// The caller's drafts, ascending by room, but for those that are dismissed. One that can't be read hides no
    /// other.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of the token, or the store's.
    pub async fn drafts(&self, request: svc::ListDrafts) -> Result<svc::Drafts, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let after = Some(request.after).filter(|after| !after.is_empty());
        let after = after.map(|after| RoomId::new(&after)).transpose()?;
        let range = draft::range_after(&user, after.as_ref());
        let mut wanted: Vec<DraftKey> = Vec::new();
        for (key, row) in snapshot.scan(range, 2 * ROWS_MAX, false).await? {
            match draft::decode(&row) {
                Ok((_, draft)) if draft.is_dismissed() => {}
                Ok(_) | Err(Error::Corrupt(_)) => {
                    wanted.push((user.clone(), draft::room(&key)?));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (mut page, mut bytes, mut read) = (svc::Drafts::default(), 0, 0);
        let limit = self.rows_max(request.limit);
        'page: for keys in wanted.chunks(READ_AT_ONCE) {
            for (key, row) in keys.iter().zip(draft::get_many(&*snapshot, keys).await?) {
                if page.drafts.len() >= limit || bytes >= self.limits.page.bytes_max {
                    break 'page;
                }
                read += 1;
                let Some((_, kept)) = row else { continue };
                let frame = drafts::frame(&key.1, &kept);
                bytes += frame.len();
                page.drafts.push(frame);
            }
        }
        page.more = read < wanted.len();
        Ok(page)
    }
}

#[cfg(test)]
mod tests;
