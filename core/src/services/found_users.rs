//! Users who are looked for by the beginning of their id, of their display name, or of a word of these.
//!
//! The rows that tell it (`storage/src/tables/name.rs`) are hints: each is held against the account, in the same snapshot.

use std::fmt;

use tracing::error;
use weft_proto::folded::{folded, start};
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::limits::PAGE_FOUND_USERS_MAX;
use weft_proto::{ErrorCode, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::name::{self, Found};
use weft_storage::{Error, Snapshot};

use super::Context;
use super::accounts::profile;
use super::failure::Failure;
use super::rooms::has_level;

/// Rows that a page looks at, at the most: one user may be found by up to 32.
const ROWS_MAX: usize = 512;

impl Context {
    /// A page of the users who are found.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] where nothing that counts is looked for, [`ErrorCode::BadCursor`],
    /// [`ErrorCode::UnknownType`] while the store is at a level before there were such rows; those of the token, or the store's.
    pub async fn find_users(&self, request: svc::FindUsers) -> Result<svc::FoundUsers, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.caller(&*snapshot, &request).await?;
        let looked_for = folded(&request.prefix);
        let looked_for = start(&looked_for);
        if looked_for.is_empty() {
            let message = "the field prefix has no letter and no digit";
            return Err(Failure::new(ErrorCode::BadRequest, message));
        }
        if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
            return Err(Failure::new(ErrorCode::UnknownType, "the service finds nobody yet"));
        }
        let after = match request.after.as_str() {
            "" => None,
            cursor => Some(read_cursor(cursor)?),
        };
        let most = PAGE_FOUND_USERS_MAX as usize;
        let limit = if request.limit == 0 { most } else { most.min(request.limit as usize) };
        Ok(find(&*snapshot, looked_for, after, limit).await?)
    }
}

async fn find(
    snapshot: &dyn Snapshot,
    looked_for: &str,
    mut after: Option<Found>,
    limit: usize,
) -> Result<svc::FoundUsers, Error> {
    let mut page = svc::FoundUsers::default();
    let mut rows_left = ROWS_MAX;
    loop {
        let at_once = (limit + 1).min(rows_left);
        let rows = snapshot.scan(name::range(looked_for, after.as_ref()), at_once, false).await?;
        let found = rows.iter().map(|(key, _)| name::read(key)).collect::<Result<Vec<_>, _>>()?;
        let accounts = found.iter().map(|it| account::key(&it.user)).collect();
        let accounts = snapshot.get_many(accounts).await?;
        for (it, row) in found.into_iter().zip(accounts) {
            if page.profiles.len() == limit {
                page.more = true;
                break;
            }
            match row.as_deref().map(Account::decode).transpose() {
                Ok(account) => {
                    let account = account.filter(|account| is_first(looked_for, &it, account));
                    page.profiles.extend(account.map(|account| profile(&it.user, account)));
                }
                // One damaged account does not cost others the list.
                Err(error) => error!(user = %it.user, %error, "an account can't be read"),
            }
            after = Some(it);
        }
        rows_left -= rows.len();
        if page.more || rows.len() < at_once {
            break;
        }
        if rows_left == 0 {
            page.more = true;
            break;
        }
    }
    page.cursor = after.as_ref().map(|it| Cursor(it).to_string()).unwrap_or_default();
    Ok(page)
}

/// Of all that the user is found by here, this row comes first: so no other page has them. False of a row that the account
/// does not bear out any more.
fn is_first(looked_for: &str, found: &Found, account: &Account) -> bool {
    let all = account.found_by(&found.user);
    all.range(looked_for.to_owned()..).next() == Some(&found.beginning)
}

/// A place in the list, as text.
struct Cursor<'a>(&'a Found);

impl fmt::Display for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.user, self.0.beginning)
    }
}

fn read_cursor(text: &str) -> Result<Found, Failure> {
    let parts = text.split_once(':').filter(|(_, beginning)| start(beginning) == *beginning);
    let found = parts.and_then(|(user, beginning)| {
        let user = UserId::new(user).ok()?;
        (!beginning.contains('\0')).then(|| Found { beginning: beginning.to_owned(), user })
    });
    let message = "the field after is the cursor of a page of users";
    found.ok_or_else(|| Failure::new(ErrorCode::BadCursor, message))
}

#[cfg(test)]
mod tests;
