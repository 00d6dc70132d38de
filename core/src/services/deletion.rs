//! The end of an account, asked for by its user. What is done at once is one commit: nobody logs in to it any more, and
//! its user id is nobody else's, ever. What takes time, owners of partitions do afterwards
//! (`core/src/partition/deletions.rs`), by the row that the commit leaves.

use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::svc::WrittenMessages;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::installation::{self, Installation};
use weft_storage::tables::{device, file_reference};
use weft_storage::{Batch, Snapshot};

use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;
use super::logins::bad_credentials;
use super::rooms::has_level;
use super::sign_ins::SignInAttempt;
use super::{Caller, Context, EndedLogin};

impl Context {
    /// Deletes the caller's account, and those of their bots.
    ///
    /// # Errors
    /// [`ErrorCode::BadCredentials`], [`ErrorCode::RateLimited`], [`ErrorCode::Overloaded`], [`ErrorCode::AgainstPolicy`],
    /// [`ErrorCode::UnknownType`] below the level, those of the token, or the store's.
    pub async fn delete_account(
        &self,
        request: svc::DeleteAccount,
    ) -> Result<Vec<EndedLogin>, Failure> {
        let Caller { user, device, .. } = self.tokens.verify(&request.token)?;
        self.sign_ins.admit_device(&user, &device)?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, .. } = self.caller(&*snapshot, &request).await?;
            if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
                let message = "the service takes that after `weft admin upgrade`";
                return Err(Failure::new(ErrorCode::UnknownType, message));
            }
            let row = snapshot.get(account::key(&user)).await?.ok_or_else(bad_credentials)?;
            let before = Account::decode(&row)?;
            let hash = Some(before.password_hash.clone());
            self.check_credentials(&request.password, hash, SignInAttempt::Known).await?;
            let mut batch = Batch::new(rand::random());
            batch.guard(account::key(&user), Some(row));
            let messages = as_installed(&*snapshot, &mut batch, request.messages()).await?;
            let account = (&user, &before);
            let ended = self.end_all(&*snapshot, &mut batch, account, messages).await?;
            if self.commit(batch).await? {
                return Ok(ended);
            }
        }
        Err(Failure::contended())
    }

    /// What of a deletion is done at once.
    pub(super) fn end(
        &self,
        batch: &mut Batch,
        user: &UserId,
        before: &Account,
        messages: WrittenMessages,
    ) {
        let now_ms = self.clock.now_ms();
        let profile_version = before.profile_version + 1;
        let ended = Account { deleted_ms: now_ms, profile_version, ..Account::default() };
        account::put(batch, user, Some(before), &ended);
        let notebook = RoomId::direct(user, user);
        file_reference::change_avatar(batch, &notebook, &before.avatar, "", now_ms);
        let empties = messages == WrittenMessages::Empty;
        let left = Deletion { empties, ..Deletion::new(self.partitions, now_ms) };
        batch.set(deletion::key(user), left.encode());
        let logins = device::range(user);
        batch.clear_range(logins.start, logins.end);
    }
}

/// What becomes of the messages where this is asked for. The commit is made only while the installation has it so.
///
/// # Errors
/// [`ErrorCode::AgainstPolicy`], or the store's.
pub(super) async fn as_installed(
    snapshot: &dyn Snapshot,
    batch: &mut Batch,
    asked: WrittenMessages,
) -> Result<WrittenMessages, Failure> {
    let row = snapshot.get(installation::key()).await?;
    let installation = row.as_deref().map(Installation::decode).transpose()?.unwrap_or_default();
    batch.guard(installation::key(), row);
    installation.messages_of(asked).ok_or_else(|| {
        let message = match installation.messages() {
            WrittenMessages::Keep => "what users wrote is kept here when accounts are deleted",
            _ => "what users wrote is deleted here with their accounts",
        };
        Failure::new(ErrorCode::AgainstPolicy, message)
    })
}
