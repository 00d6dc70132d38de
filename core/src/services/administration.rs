//! What administrators of the installation, and its operators, do with accounts. Each is one commit with its row of
//! the administrators' log, guarded by the account, and by the administrator's own: so nothing is done that is not told, and
//! who is no administrator any more does nothing more.

use std::sync::Arc;

use bytes::Bytes;
use weft_proto::check::check_chars;
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::limits::REASON_CHARS_MAX;
use weft_proto::scope::Needs;
use weft_proto::svc::AccountAction;
use weft_proto::{ApiError, ErrorCode, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::admin_log::{self, AdminLog, LogKey};
use weft_storage::tables::device;
use weft_storage::tables::layout::{self, Layout};
use weft_storage::{Batch, Snapshot};

use super::Context;
use super::accounts::{ATTEMPTS_MAX, display_name};
use super::bots::bots_of;
use super::deletion::as_installed;
use super::failure::Failure;
use super::sign_ins::SignInAttempt;
use crate::metrics;

#[cfg(test)]
mod tests;

/// How long a password for one login is good.
const ONE_TIME_LIFE_MS: u64 = 7 * 24 * 3_600_000;
/// Letters and digits that nobody takes for another: 5 bits each.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Of a password for one login: 100 bits.
const ONE_TIME_LETTERS: usize = 20;

/// By what right something is asked for.
pub enum Authority {
    /// The request's token is an administrator's.
    Token,
    /// It came as only an operator's can.
    Operator,
}

/// Who administers.
pub(super) enum By {
    Operator,
    /// An administrator, and their account's row.
    Administrator(UserId, Bytes),
}

impl By {
    /// As the log has it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Operator => String::new(),
            Self::Administrator(user, _) => user.to_string(),
        }
    }

    /// The commit is made only while they are an administrator.
    pub(super) fn guard(&self, batch: &mut Batch) {
        if let Self::Administrator(user, row) = self {
            batch.guard(account::key(user), Some(row.clone()));
        }
    }
}

/// An action that was begun.
pub(super) struct Begun {
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) by: By,
    pub(super) batch: Batch,
    pub(super) now_ms: u64,
}

/// Refuses what a store of before can't have.
///
/// # Errors
/// [`ErrorCode::UnknownType`], or the store's.
pub(super) async fn check_level(snapshot: &dyn Snapshot) -> Result<(), Failure> {
    let layout = snapshot.get(layout::key()).await?;
    let layout = layout.as_deref().map(Layout::decode).transpose()?;
    if layout.is_some_and(|it| it.written_level() >= PEOPLE_LEVEL) {
        return Ok(());
    }
    let message = "the service takes that after `weft admin upgrade`";
    Err(Failure::new(ErrorCode::UnknownType, message))
}

/// What was done.
pub struct Administered {
    pub answer: svc::Administered,
    /// Edges are to be told that all logins of these have ended: a user's, and their bots'.
    pub ended: Vec<UserId>,
    /// And that it was for this.
    pub suspended: bool,
}

impl Context {
    /// Does something to an account.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::NoSuchUser`], [`ErrorCode::UserExists`], [`ErrorCode::Unchanged`],
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::BadId`], [`ErrorCode::UnknownType`] below the level,
    /// [`ErrorCode::AgainstPolicy`], [`ErrorCode::Overloaded`], those of the token, or the store's.
    pub async fn administer(
        &self,
        authority: Authority,
        request: svc::Administer,
    ) -> Result<Administered, Failure> {
        let (action, messages) = (request.action(), request.messages());
        let user = UserId::new(&request.user)?;
        check_reason(action, &request.reason)?;
        let display_name = display_name(request.display_name, &user)?;
        let told = AdminLog {
            action: action.word().to_owned(),
            user: user.to_string(),
            reason: request.reason,
            ..AdminLog::default()
        };
        let needs_password = matches!(action, AccountAction::Make | AccountAction::Reset);
        let (password, hash) = match needs_password {
            true => {
                // Hashing costs much more than looking.
                self.by(&*self.store.snapshot().await?, &authority, &request.token).await?;
                self.one_time_password().await?
            }
            false => (String::new(), String::new()),
        };
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, by, mut batch, now_ms } =
                self.begin_action(&authority, &request.token, &told).await?;
            let row = snapshot.get(account::key(&user)).await?;
            let before = row.as_deref().map(Account::decode).transpose()?;
            let mut after = decide(action, &by, before.clone(), now_ms)?;
            if action == AccountAction::Make {
                after.display_name.clone_from(&display_name);
            }
            if needs_password {
                after.password_hash.clone_from(&hash);
                after.one_time_until_ms = now_ms + ONE_TIME_LIFE_MS;
            }
            batch.guard(account::key(&user), row);
            let suspended = action == AccountAction::Suspend;
            let ended = match action {
                AccountAction::Delete => {
                    let messages = as_installed(&*snapshot, &mut batch, messages).await?;
                    let account = (&user, &after);
                    let ended = self.end_all(&*snapshot, &mut batch, account, messages).await?;
                    ended.into_iter().map(|login| login.user).collect()
                }
                AccountAction::Suspend | AccountAction::Reset => {
                    // A bot's tokens rest, and so do those of a user's bots.
                    if !after.is_bot {
                        let logins = device::range(&user);
                        batch.clear_range(logins.start, logins.end);
                    }
                    batch.set(account::key(&user), after.encode());
                    let bots =
                        if suspended { bots_of(&*snapshot, &user).await? } else { Vec::new() };
                    std::iter::once(user.clone()).chain(bots).collect()
                }
                _ => {
                    account::put(&mut batch, &user, before.as_ref(), &after);
                    Vec::new()
                }
            };
            if self.commit_action(batch, &told).await? {
                let password_until_ms = after.one_time_until_ms;
                let answer = svc::Administered { password, password_until_ms };
                return Ok(Administered { answer, ended, suspended });
            }
        }
        Err(Failure::contended())
    }

    /// Begins an action: its commit has a row of the log, and is made only while who asks may administer.
    ///
    /// # Errors
    /// As [`by`](Self::by).
    pub(super) async fn begin_action(
        &self,
        authority: &Authority,
        token: &str,
        told: &AdminLog,
    ) -> Result<Begun, Failure> {
        let snapshot = self.store.snapshot().await?;
        let by = self.by(&*snapshot, authority, token).await?;
        let now_ms = self.clock.now_ms();
        let mut batch = Batch::new(rand::random());
        by.guard(&mut batch);
        // First: nobody else writes this row, so it says whether an unknown commit was made.
        let told = AdminLog { by: by.name(), ..told.clone() };
        admin_log::put(&mut batch, (now_ms, rand::random()), &told);
        Ok(Begun { snapshot, by, batch, now_ms })
    }

    /// Commits an action that was begun, and counts it; false: a guard did not hold.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn commit_action(
        &self,
        batch: Batch,
        told: &AdminLog,
    ) -> Result<bool, Failure> {
        let is_done = self.commit(batch).await?;
        if is_done {
            metrics::ADMIN_ACTIONS.increment(&told.action);
        }
        Ok(is_done)
    }

    /// Lists all accounts.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn list_accounts(
        &self,
        authority: Authority,
        request: svc::ListAccounts,
    ) -> Result<svc::Accounts, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let limit = self.rows_max(request.limit);
        let page = account::page_after(&*snapshot, after.as_ref(), limit + 1).await?;
        let more = page.len() > limit;
        let shown = |(user, it): (UserId, Account)| svc::AccountState {
            user: user.to_string(),
            display_name: it.display_name,
            is_bot: it.is_bot,
            created_ms: it.created_ms,
            is_admin: it.is_admin,
            suspended_ms: it.suspended_ms,
            deleted_ms: it.deleted_ms,
            one_time_until_ms: it.one_time_until_ms,
        };
        Ok(svc::Accounts { accounts: page.into_iter().take(limit).map(shown).collect(), more })
    }

    /// Reads what administrators and operators have done, newest first.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadRequest`], those of the token, or the store's.
    pub async fn admin_log(
        &self,
        authority: Authority,
        request: svc::ReadAdminLog,
    ) -> Result<svc::AdminLogPage, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let before = match &*request.before {
            "" => None,
            id => Some(read_log_id(id).ok_or_else(bad_log_id)?),
        };
        let limit = self.rows_max(request.limit);
        let page = admin_log::page_before(&*snapshot, before.as_ref(), limit + 1).await?;
        let more = page.len() > limit;
        let shown = |(key, it): (LogKey, AdminLog)| svc::AdminLogRow {
            id: log_id(key),
            time_ms: key.0,
            by: it.by,
            action: it.action,
            user: it.user,
            room: it.room,
            seq: it.seq,
            reason: it.reason,
            invitation: it.invitation,
        };
        Ok(svc::AdminLogPage { rows: page.into_iter().take(limit).map(shown).collect(), more })
    }

    /// Who asks, where they may administer.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::UnknownType`] where the store's level is lower, those of the token, or the store's.
    pub(super) async fn by(
        &self,
        snapshot: &dyn Snapshot,
        authority: &Authority,
        token: &str,
    ) -> Result<By, Failure> {
        let by = match authority {
            Authority::Operator => By::Operator,
            Authority::Token => {
                let user = self.caller_who(snapshot, token, Needs::Person).await?.user;
                let row = snapshot.get(account::key(&user)).await?;
                let account = row.as_deref().map(Account::decode).transpose()?;
                match row.filter(|_| account.is_some_and(|it| it.is_admin)) {
                    Some(row) => By::Administrator(user, row),
                    None => return Err(no_administrator()),
                }
            }
        };
        check_level(snapshot).await?;
        Ok(by)
    }

    /// A password for one login, and its hash.
    async fn one_time_password(&self) -> Result<(String, String), ApiError> {
        let chance: [u8; ONE_TIME_LETTERS] = rand::random();
        let letters = chance.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
        let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
        let password = groups.join("-");
        let hash = self.passwords.hash(password.clone(), SignInAttempt::Known).await?;
        Ok((password, hash))
    }
}

fn check_reason(action: AccountAction, reason: &str) -> Result<(), ApiError> {
    check_chars("reason", reason, REASON_CHARS_MAX)?;
    let needs_one = matches!(action, AccountAction::Suspend | AccountAction::Delete);
    if needs_one && reason.trim().is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field reason is missing or blank"));
    }
    Ok(())
}

/// The account as the action leaves it, but for a password.
fn decide(
    action: AccountAction,
    by: &By,
    before: Option<Account>,
    now_ms: u64,
) -> Result<Account, ApiError> {
    use AccountAction as A;
    let no = |code, message| Err(ApiError::new(code, message));
    let is_operators = matches!(action, A::MakeAdministrator | A::RemoveAdministrator);
    if is_operators && !matches!(by, By::Operator) {
        return no(ErrorCode::Forbidden, "only an operator makes and removes administrators");
    }
    let Some(mut account) = before else {
        return match action {
            A::Make => Ok(Account { created_ms: now_ms, ..Account::default() }),
            _ => no(ErrorCode::NoSuchUser, "there is no such user"),
        };
    };
    if action == A::Make {
        return no(ErrorCode::UserExists, "the user id is taken");
    }
    if account.is_deleted() {
        return no(ErrorCode::NoSuchUser, "the account is deleted");
    }
    if account.is_bot && !matches!(action, A::Suspend | A::Unsuspend | A::Delete) {
        return no(ErrorCode::BadRequest, "a bot has no password, and administers nothing");
    }
    if account.is_admin && !matches!(by, By::Operator) {
        return no(ErrorCode::Forbidden, "only an operator changes an administrator's account");
    }
    let is_so_already = match action {
        A::Suspend => account.is_suspended(),
        A::Unsuspend => !account.is_suspended(),
        A::MakeAdministrator => account.is_admin,
        A::RemoveAdministrator => !account.is_admin,
        A::Reset | A::Delete => false,
        A::Unknown | A::Make => {
            return no(ErrorCode::BadRequest, "the service does not know this action");
        }
    };
    if is_so_already {
        return no(ErrorCode::Unchanged, "the account is so already");
    }
    match action {
        A::Suspend => account.suspended_ms = now_ms.max(1),
        A::Unsuspend => account.suspended_ms = 0,
        A::MakeAdministrator => account.is_admin = true,
        A::RemoveAdministrator => account.is_admin = false,
        A::Reset | A::Delete | A::Unknown | A::Make => {}
    }
    Ok(account)
}

/// A row of the log as clients name it.
fn log_id((time_ms, id): LogKey) -> String {
    format!("{time_ms:016x}{id:016x}")
}

fn read_log_id(text: &str) -> Option<LogKey> {
    let (time, id) = text.split_at_checked(16).filter(|(_, id)| id.len() == 16)?;
    Some((u64::from_str_radix(time, 16).ok()?, u64::from_str_radix(id, 16).ok()?))
}

fn bad_log_id() -> Failure {
    Failure::new(ErrorCode::BadRequest, "the field before has to be the id of a row of the log")
}

fn no_administrator() -> Failure {
    Failure::new(ErrorCode::Forbidden, "only an administrator of the installation may do that")
}
