//! Messages that users have scheduled.

use serde_json::value::RawValue;
use tracing::error;
use weft_proto::{ClientId, ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::scheduled::{self, Scheduled, ScheduledKey};
use weft_storage::{Error, Snapshot};

use super::Context;
use super::failure::Failure;
use crate::partition::scheduled::ROWS_MAX;

impl Context {
    /// The caller's scheduled messages that wait, and those that were refused, by room and id. One that can't be read
    /// hides no other.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::BadClientId`], those of the token, or the store's.
    pub async fn scheduled(
        &self,
        request: svc::ListScheduled,
    ) -> Result<svc::ScheduledPage, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let mut range = scheduled::range(&user);
        if let Some(after) = Some(&request.after).filter(|after| !after.is_empty()) {
            range.start = scheduled::key_after(&read_cursor(&user, after)?);
        }
        let (mut page, mut bytes, mut last) = (svc::ScheduledPage::default(), 0, None);
        for (key, row) in snapshot.scan(range, 2 * ROWS_MAX, false).await? {
            if let Some((_, room, id)) = last.take().filter(|_| bytes >= self.limits.page.bytes_max)
            {
                page.cursor = format!("{room}/{id}");
                break;
            }
            let key = scheduled::read_key(&key)?;
            match item(&*snapshot, &key, &row).await {
                Ok(None) => continue,
                Ok(Some(item)) => {
                    bytes += item.len();
                    page.scheduled.push(item);
                }
                Err(Error::Corrupt(what)) => {
                    error!(%user, room = %key.1, what, "what is scheduled can't be read");
                }
                Err(error) => return Err(error.into()),
            }
            last = Some(key);
        }
        Ok(page)
    }
}

async fn item(
    snapshot: &dyn Snapshot,
    key: &ScheduledKey,
    row: &[u8],
) -> Result<Option<bytes::Bytes>, Error> {
    let (_, row): (_, Scheduled) = scheduled::decode(row)?;
    if row.is_over() {
        return Ok(None);
    }
    let message = scheduled::message(snapshot, key, &row).await?.unwrap_or_default();
    let bad = |error: serde_json::Error| Error::Corrupt(format!("scheduled: {error}"));
    let message: Box<RawValue> = RawValue::from_string(message).map_err(bad)?;
    let mut now = crate::scheduled::now(key, &row);
    now.message = Some(&message);
    Ok(Some(now.to_frame()))
}

fn read_cursor(user: &UserId, after: &str) -> Result<ScheduledKey, Failure> {
    let (room, id) = after
        .split_once('/')
        .ok_or_else(|| Failure::new(ErrorCode::BadRequest, "after is the cursor of a page"))?;
    Ok((user.clone(), RoomId::new(room)?, ClientId::parse(id)?))
}
