//! Incoming webhooks of groups. A hook is an account that nobody logs in to, and a secret in an address by which other
//! systems post as that account. It is the group's: it stays when who made it leaves.

use std::cmp::Reverse;

use sha2::{Digest, Sha256};
use weft_proto::check::{check_chars, empty};
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::limits::{HOOKS_PER_ROOM_MAX, TITLE_CHARS_MAX};
use weft_proto::svc::Spoken;
use weft_proto::{ApiError, ClientId, ErrorCode, RoomId, UserId, partition_of, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::hook::{self, Hook, HookKey};
use weft_storage::tables::hook_secret::{self, HookSecret};
use weft_storage::tables::resend;
use weft_storage::{Batch, Snapshot};

use super::Context;
use super::access::Access;
use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;
use super::rooms::has_level;
use crate::partition::rights::{self, Action};

/// What the ids of hooks' accounts begin with.
const PREFIX: &str = "hook-";
const HASH_BYTES: usize = 32;
/// The same post may come again within this time at least, and within twice of it at the most: a client id is good for 24 h.
const POST_AGAIN_MS: u64 = 11 * 3_600_000;

impl Context {
    /// Makes a hook of a group, and its account. Who asked puts that account into the group.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::Forbidden`], [`ErrorCode::LimitReached`],
    /// [`ErrorCode::UnknownType`] below the level, those of [`Access`], those of the token, or the store's.
    pub async fn hook_make(&self, request: svc::MakeHook) -> Result<svc::MadeHook, Failure> {
        let svc::MakeHook { room, name, .. } = &request;
        check_chars("name", name, TITLE_CHARS_MAX)?;
        if name.trim().is_empty() {
            return Err(empty("name").into());
        }
        let room = RoomId::new(room)?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let by = self.may_change_hooks(&*snapshot, &request, &room).await?;
            if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
                let message = "the service takes that after `weft admin upgrade`";
                return Err(Failure::new(ErrorCode::UnknownType, message));
            }
            let hooks = hook::of_room(&*snapshot, &room).await?;
            if hooks.len() >= HOOKS_PER_ROOM_MAX {
                let message = format!("the group has {HOOKS_PER_ROOM_MAX} hooks already");
                return Err(ApiError::new(ErrorCode::LimitReached, message).into());
            }
            drop(snapshot);
            let now_ms = self.clock.now_ms();
            let user = UserId::new(&format!("{PREFIX}{:016x}", rand::random::<u64>()))?;
            let secret = new_secret();
            let row = Hook {
                name: name.clone(),
                by: by.to_string(),
                made_ms: now_ms,
                secret_hash: hash_of(&secret),
                secret_ms: now_ms,
            };
            let made = Account {
                display_name: name.clone(),
                is_bot: true,
                created_ms: now_ms,
                ..Account::default()
            };
            let at = (room.clone(), user);
            let mut batch = Batch::new(rand::random());
            batch.guard(account::key(&at.1), None);
            batch.guard(hook::key(&at), None);
            hook::put(&mut batch, &at, &row);
            account::put(&mut batch, &at.1, None, &made);
            if self.commit(batch).await? {
                return Ok(svc::MadeHook { hook: Some(shown((at.1, row))), secret });
            }
        }
        Err(Failure::contended())
    }

    /// The hooks of a group, those that were made last first.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::Forbidden`], those of [`Access`], those of the token, or the store's.
    pub async fn hooks(&self, request: svc::ListHooks) -> Result<svc::Hooks, Failure> {
        let snapshot = self.store.snapshot().await?;
        let room = RoomId::new(&request.room)?;
        self.may_change_hooks(&*snapshot, &request, &room).await?;
        let mut hooks = hook::of_room(&*snapshot, &room).await?;
        hooks.sort_by_key(|(_, row)| Reverse(row.made_ms));
        Ok(svc::Hooks { hooks: hooks.into_iter().map(shown).collect() })
    }

    /// Gives a hook another secret.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], and those of [`hooks`](Self::hooks).
    pub async fn hook_renew(&self, request: svc::RenewHook) -> Result<svc::MadeHook, Failure> {
        let at = (RoomId::new(&request.room)?, UserId::new(&request.hook)?);
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            self.may_change_hooks(&*snapshot, &request, &at.0).await?;
            let (stored, before) = read(&*snapshot, &at).await?;
            drop(snapshot);
            let secret = new_secret();
            let secret_ms = self.clock.now_ms();
            let row = Hook { secret_hash: hash_of(&secret), secret_ms, ..before.clone() };
            let mut batch = Batch::new(rand::random());
            batch.guard(hook::key(&at), Some(stored));
            hook::put(&mut batch, &at, &row);
            batch.clear(hook_secret::key(&before.secret_hash));
            if self.commit(batch).await? {
                return Ok(svc::MadeHook { hook: Some(shown((at.1, row))), secret });
            }
        }
        Err(Failure::contended())
    }

    /// Removes a hook. Nobody posts by it from then on; its account stays, with what it has posted.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], and those of [`hooks`](Self::hooks).
    pub async fn hook_remove(&self, request: svc::RemoveHook) -> Result<svc::Empty, Failure> {
        let at = (RoomId::new(&request.room)?, UserId::new(&request.hook)?);
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            self.may_change_hooks(&*snapshot, &request, &at.0).await?;
            let (stored, row) = read(&*snapshot, &at).await?;
            drop(snapshot);
            let mut batch = Batch::new(rand::random());
            batch.guard(hook::key(&at), Some(stored));
            hook::clear(&mut batch, &at, &row);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// The hook that has a secret. Edges ask; they are told the hash alone.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::BadRequest`], or the store's.
    pub async fn hook_open(&self, request: svc::OpenHook) -> Result<svc::OpenedHook, Failure> {
        let svc::OpenHook { secret_hash, idempotency } = request;
        if secret_hash.len() != HASH_BYTES || !matches!(idempotency.len(), 0 | HASH_BYTES) {
            return Err(Failure::new(ErrorCode::BadRequest, "a hash has 32 bytes"));
        }
        let snapshot = self.store.snapshot().await?;
        let found = snapshot.get(hook_secret::key(&secret_hash)).await?.ok_or_else(no_such_hook)?;
        let at = HookSecret::decode(&found)?.hook()?;
        // The hook itself says which secret it has.
        let (_, row) = read(&*snapshot, &at).await?;
        if row.secret_hash != secret_hash {
            return Err(no_such_hook());
        }
        let client_id = match idempotency.is_empty() {
            true => Vec::new(),
            false => self.client_id(&*snapshot, &at, &idempotency).await?.to_bytes().to_vec(),
        };
        Ok(svc::OpenedHook { room: at.0.to_string(), user: at.1.to_string(), client_id })
    }

    /// The client id of a post that its sender has named. It has the time at which its part of the day began; where the post
    /// was taken in the part before, it is the one of then. (A post that is underway as one part ends and the next one begins,
    /// and is sent again in that moment, may be taken twice.)
    async fn client_id(
        &self,
        snapshot: &dyn Snapshot,
        (room, user): &HookKey,
        idempotency: &[u8],
    ) -> Result<ClientId, Failure> {
        let named = idempotency.iter().take(10).fold(0, |id, byte| id << 8 | u128::from(*byte));
        let part = self.clock.now_ms() / POST_AGAIN_MS;
        let id_in = |part: u64| ClientId::from_parts(part * POST_AGAIN_MS, named);
        let before = id_in(part.saturating_sub(1));
        let partitions = u16::try_from(self.partitions).unwrap_or(u16::MAX);
        let partition = partition_of(room, partitions);
        let taken = snapshot.get(resend::key(partition, room, user, &before)).await?;
        Ok(if taken.is_some() { before } else { id_in(part) })
    }

    /// Who asks, where they may change a group's hooks.
    async fn may_change_hooks(
        &self,
        snapshot: &dyn Snapshot,
        request: &impl Spoken,
        room: &RoomId,
    ) -> Result<UserId, Failure> {
        let user = self.caller(snapshot, request).await?.user;
        if room.direct_users().is_some() {
            return Err(Failure::new(ErrorCode::BadRequest, "only a group has hooks"));
        }
        let role = Access::of(snapshot, room, &user).await?.member_role()?;
        rights::check(role, Action::Hook)?;
        Ok(user)
    }
}

/// A hook, with its row as it is stored.
async fn read(snapshot: &dyn Snapshot, at: &HookKey) -> Result<(bytes::Bytes, Hook), Failure> {
    let row = snapshot.get(hook::key(at)).await?.ok_or_else(no_such_hook)?;
    let hook = Hook::decode(&row)?;
    Ok((row, hook))
}

/// 24 random bytes, as hexadecimal digits.
fn new_secret() -> String {
    rand::random::<[u64; 3]>().map(|part| format!("{part:016x}")).concat()
}

/// What is kept of a secret.
fn hash_of(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

fn shown((user, row): (UserId, Hook)) -> svc::Hook {
    let Hook { name, by, made_ms, secret_ms, .. } = row;
    svc::Hook { hook: user.to_string(), name, by, made_ms, secret_ms }
}

fn no_such_hook() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such hook")
}

#[cfg(test)]
mod tests;
