//! Who may make an account: everybody, who has an invitation, or nobody by themselves. Administrators and operators say which,
//! and make invitations: secrets, of which the store keeps as little as of links to groups.

use bytes::Bytes;
use weft_proto::limits::{INVITATIONS_MAX, LINK_USES_MAX, REASON_CHARS_MAX};
use weft_proto::sign_up::SignUpMode;
use weft_proto::{ApiError, ErrorCode, LinkId, LinkToken, UserId, check, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::installation::{self, Installation};
use weft_storage::tables::invitation;
use weft_storage::tables::link::Link;
use weft_storage::{Batch, Snapshot};

use super::Context;
use super::accounts::{ATTEMPTS_MAX, check_password, display_name, profile};
use super::administration::{Authority, Begun};
use super::failure::Failure;
use super::sign_ins::SignInAttempt;

#[cfg(test)]
mod tests;

/// What a sign-up depends on, as it is in the store: its commit is made only while this holds.
struct Admitted {
    installation: Option<Bytes>,
    /// The invitation's key, its row, and what it is after one use.
    used: Option<(Bytes, Bytes, Link)>,
}

impl Admitted {
    fn guard(self, batch: &mut Batch) {
        batch.guard(installation::key(), self.installation);
        if let Some((key, row, after)) = self.used {
            batch.guard(key.clone(), Some(row));
            batch.set(key, after.encode());
        }
    }
}

impl Context {
    /// Makes an account. Of several who come at an invitation's last use, one gets it.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::SignUpClosed`],
    /// [`ErrorCode::InvitationNeeded`], [`ErrorCode::NoSuchLink`], [`ErrorCode::LinkExpired`], [`ErrorCode::LinkUsedUp`],
    /// [`ErrorCode::UserExists`], [`ErrorCode::Overloaded`], or the store's.
    pub async fn signup(&self, request: svc::Signup) -> Result<svc::Profile, Failure> {
        let user = UserId::new(&request.user)?;
        check_password("password", &request.password)?;
        let display_name = display_name(request.display_name, &user)?;
        let mut hash = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            // Before anything is said of the user id.
            let admitted = self.admit(&*snapshot, &request.invitation).await?;
            if snapshot.get(account::key(&user)).await?.is_some() {
                return Err(Failure::new(ErrorCode::UserExists, "the user id is taken"));
            }
            drop(snapshot);
            // Hashing costs much more than looking.
            let password_hash = match &hash {
                Some(hash) => String::clone(hash),
                None => {
                    let password = request.password.clone();
                    self.passwords.hash(password, SignInAttempt::Stranger).await?
                }
            };
            hash = Some(password_hash.clone());
            let made = Account {
                password_hash,
                display_name: display_name.clone(),
                created_ms: self.clock.now_ms(),
                ..Account::default()
            };
            let mut batch = Batch::new(rand::random());
            batch.guard(account::key(&user), None);
            account::put(&mut batch, &user, None, &made);
            admitted.guard(&mut batch);
            if self.commit(batch).await? {
                return Ok(profile(&user, made));
            }
        }
        Err(Failure::contended())
    }

    async fn admit(&self, snapshot: &dyn Snapshot, invitation: &str) -> Result<Admitted, Failure> {
        let row = snapshot.get(installation::key()).await?;
        let used = match mode_of(row.as_deref())? {
            SignUpMode::Open => None,
            SignUpMode::Closed => {
                let message = "nobody makes an account by themselves here: ask an administrator";
                return Err(Failure::new(ErrorCode::SignUpClosed, message));
            }
            SignUpMode::Invitation => Some(self.use_once(snapshot, invitation).await?),
        };
        Ok(Admitted { installation: row, used })
    }

    async fn use_once(
        &self,
        snapshot: &dyn Snapshot,
        invitation: &str,
    ) -> Result<(Bytes, Bytes, Link), Failure> {
        if invitation.is_empty() {
            let message = "an account is made by an invitation: the field invitation has it";
            return Err(Failure::new(ErrorCode::InvitationNeeded, message));
        }
        // Another text never was one.
        let token = LinkToken::new(invitation).map_err(|_| no_such_invitation())?;
        let key = invitation::key(&token.id());
        let row = snapshot.get(key.clone()).await?.ok_or_else(no_such_invitation)?;
        let mut link = Link::decode(&row)?;
        if link.is_expired(self.clock.now_ms()) {
            return Err(Failure::new(ErrorCode::LinkExpired, "the invitation's time is over"));
        }
        if link.is_used_up() {
            let message = "as many accounts were made by the invitation as may";
            return Err(Failure::new(ErrorCode::LinkUsedUp, message));
        }
        link.used = link.used.saturating_add(1);
        Ok((key, row, link))
    }

    /// Says who may make an account.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn get_sign_up(
        &self,
        authority: Authority,
        request: svc::GetSignUp,
    ) -> Result<svc::SignUp, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let row = snapshot.get(installation::key()).await?;
        Ok(svc::SignUp { mode: mode_of(row.as_deref())?.into() })
    }

    /// Changes who may make an account.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadRequest`], [`ErrorCode::Unchanged`], [`ErrorCode::TooLong`], those of the
    /// token, or the store's.
    pub async fn set_sign_up(
        &self,
        authority: Authority,
        request: svc::SetSignUp,
    ) -> Result<svc::Empty, Failure> {
        let mode = SignUpMode::try_from(request.mode).map_err(|_| {
            Failure::new(ErrorCode::BadRequest, "the service does not know this mode")
        })?;
        let told = told(&format!("sign_up_{}", mode.as_str()), "", request.reason)?;
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, mut batch, .. } =
                self.begin_action(&authority, &request.token, &told).await?;
            let row = snapshot.get(installation::key()).await?;
            if mode_of(row.as_deref())? == mode {
                return Err(Failure::new(ErrorCode::Unchanged, "it is so already"));
            }
            let before = row.as_deref().map(Installation::decode).transpose()?.unwrap_or_default();
            let after = Installation { sign_up: mode.into(), ..before };
            batch.guard(installation::key(), row);
            batch.set(installation::key(), after.encode());
            if self.commit_action(batch, &told).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Makes an invitation. Where there are as many as may be, those by which no account can be made any more make room.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadRequest`], [`ErrorCode::LimitReached`], [`ErrorCode::TooLong`], those of
    /// the token, or the store's.
    pub async fn make_invitation(
        &self,
        authority: Authority,
        request: svc::MakeInvitation,
    ) -> Result<svc::Invitation, Failure> {
        let svc::MakeInvitation { token: caller, expires_ms, uses, reason } = request;
        if !(1..=LINK_USES_MAX).contains(&uses) {
            let message = format!("the field uses is a whole number from 1 to {LINK_USES_MAX}");
            return Err(ApiError::new(ErrorCode::BadRequest, message).into());
        }
        let token = LinkToken::of_random(rand::random());
        let told = told("make_invitation", token.id().as_str(), reason)?;
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, by, mut batch, now_ms } =
                self.begin_action(&authority, &caller, &told).await?;
            let row = Link { by: by.name(), made_ms: now_ms, expires_ms, uses_max: uses, used: 0 };
            if row.is_expired(now_ms) {
                let message = "the field expires_at is in the past";
                return Err(Failure::new(ErrorCode::BadRequest, message));
            }
            let links = invitation::list(&*snapshot).await?;
            if links.len() >= INVITATIONS_MAX {
                let ended = |(_, it): &&(LinkId, Link)| it.is_expired(now_ms) || it.is_used_up();
                let ended: Vec<_> = links.iter().filter(ended).collect();
                if ended.is_empty() {
                    let message = format!("there are {INVITATIONS_MAX} invitations already");
                    return Err(ApiError::new(ErrorCode::LimitReached, message).into());
                }
                ended.into_iter().for_each(|(id, _)| batch.clear(invitation::key(id)));
            }
            let key = invitation::key(&token.id());
            batch.guard(key.clone(), None);
            batch.set(key, row.encode());
            if self.commit_action(batch, &told).await? {
                let (id, invitation) = (token.id().to_string(), token.as_str().to_owned());
                return Ok(svc::Invitation { id, invitation });
            }
        }
        Err(Failure::contended())
    }

    /// The invitations by which accounts can be made, those that were made last first.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn invitations(
        &self,
        authority: Authority,
        request: svc::ListInvitations,
    ) -> Result<svc::Links, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let links = invitation::list(&*snapshot).await?;
        Ok(svc::Links { links: super::groups::usable(links, self.clock.now_ms()) })
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadRequest`], [`ErrorCode::NoSuchLink`], [`ErrorCode::TooLong`], those of the
    /// token, or the store's.
    pub async fn remove_invitation(
        &self,
        authority: Authority,
        request: svc::RemoveInvitation,
    ) -> Result<svc::Empty, Failure> {
        let id = LinkId::new(&request.id)?;
        let told = told("remove_invitation", id.as_str(), request.reason)?;
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, mut batch, .. } =
                self.begin_action(&authority, &request.token, &told).await?;
            let row = snapshot.get(invitation::key(&id)).await?.ok_or_else(no_such_invitation)?;
            batch.guard(invitation::key(&id), Some(row));
            batch.clear(invitation::key(&id));
            if self.commit_action(batch, &told).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }
}

fn mode_of(row: Option<&[u8]>) -> Result<SignUpMode, weft_storage::Error> {
    let installation = row.map(Installation::decode).transpose()?.unwrap_or_default();
    Ok(installation.sign_up_mode())
}

/// What the log says of it. `invitation`: which one, by its id; empty: none.
fn told(action: &str, invitation: &str, reason: String) -> Result<AdminLog, ApiError> {
    check::check_chars("reason", &reason, REASON_CHARS_MAX)?;
    let (action, invitation) = (action.to_owned(), invitation.to_owned());
    Ok(AdminLog { action, invitation, reason, ..AdminLog::default() })
}

fn no_such_invitation() -> Failure {
    Failure::new(ErrorCode::NoSuchLink, "there is no such invitation")
}
