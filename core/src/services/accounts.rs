//! Accounts of people and bots, and what others see of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use tracing::error;
use weft_proto::check::check_chars;
use weft_proto::frame::profiles_of;
use weft_proto::limits::{ABOUT_CHARS_MAX, PASSWORD_BYTES, TITLE_CHARS_MAX};
use weft_proto::{ApiError, ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::file_reference;
use weft_storage::{Batch, Op, Outcome, Snapshot};

use super::failure::Failure;
use super::{Context, avatars};

/// How often a call begins anew where others change the same rows.
pub(super) const ATTEMPTS_MAX: usize = 5;

/// A profile as it is after a change.
#[derive(Debug)]
pub struct SetProfile {
    pub profile: svc::Profile,
    /// Who is told of the change, the user first; empty: nothing has changed.
    pub hear: Vec<UserId>,
}

impl Context {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchUser`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn profile_get(&self, request: svc::GetProfile) -> Result<svc::Profile, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        drop(snapshot);
        let user = match request.user.as_str() {
            "" => caller.user,
            other => UserId::new(other)?,
        };
        let (_, found) = self.account(&user).await?.ok_or_else(no_such_user)?;
        Ok(profile(&user, found))
    }

    /// Reads the profiles of several users: of those that exist, each once.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn profiles(&self, request: svc::GetProfiles) -> Result<svc::Profiles, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.caller(&*snapshot, &request).await?;
        let users: BTreeSet<UserId> = profiles_of(&request.users)?.into_iter().collect();
        let profiles = profiles(&*snapshot, users.into_iter().collect()).await?;
        Ok(svc::Profiles { profiles: profiles.into_iter().flatten().collect() })
    }

    /// Changes the caller's profile. What changes nothing is done.
    ///
    /// # Errors
    /// [`ErrorCode::TooLong`], [`ErrorCode::NoSuchUser`], those of [`avatars::wanted`], those of the token, or the store's.
    pub async fn profile_set(&self, request: svc::SetProfile) -> Result<SetProfile, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        drop(snapshot);
        let svc::SetProfile { display_name: name, avatar, about, .. } = request;
        let name = name.map(|name| display_name(name, &user)).transpose()?;
        if let Some(about) = &about {
            check_chars("about", about, ABOUT_CHARS_MAX)?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let row = snapshot.get(account::key(&user)).await?.ok_or_else(no_such_user)?;
            let before = Account::decode(&row)?;
            let mut changed = before.clone();
            changed.display_name = name.clone().unwrap_or(changed.display_name);
            changed.avatar = avatar.clone().unwrap_or(changed.avatar);
            changed.about = about.clone().unwrap_or(changed.about);
            if changed == before {
                return Ok(SetProfile { profile: profile(&user, before), hear: Vec::new() });
            }
            changed.profile_version += 1;
            let mut batch = Batch::new(rand::random());
            batch.guard(account::key(&user), Some(row));
            account::put(&mut batch, &user, Some(&before), &changed);
            if changed.avatar != before.avatar {
                let file = avatars::wanted(&*snapshot, &user, &changed.avatar).await?;
                if let Some((key, row)) = file {
                    batch.guard(key, Some(row));
                }
                let (notebook, now_ms) = (RoomId::direct(&user, &user), self.clock.now_ms());
                let (before, after) = (&before.avatar, &changed.avatar);
                file_reference::change_avatar(&mut batch, &notebook, before, after, now_ms);
            }
            if self.commit(batch).await? {
                let hear = self.who_hears(&user).await?;
                return Ok(SetProfile { profile: profile(&user, changed), hear });
            }
        }
        Err(Failure::contended())
    }

    /// An account, with its row as it is in the store.
    pub(super) async fn account(&self, user: &UserId) -> Result<Option<(Bytes, Account)>, Failure> {
        let row = self.store.snapshot().await?.get(account::key(user)).await?;
        Ok(row.map(|row| Account::decode(&row).map(|account| (row, account))).transpose()?)
    }

    /// Commits; false where a guard did not hold. An unknown outcome is settled by the row that the
    /// batch sets first: callers see to it that nobody else writes the same bytes there.
    pub(super) async fn commit(&self, batch: Batch) -> Result<bool, Failure> {
        let evidence = batch.ops().iter().find_map(|op| match op {
            Op::Set { key, value } => Some((key.clone(), value.clone())),
            _ => None,
        });
        let error = match self.store.commit(batch).await {
            Ok(Outcome::Committed(_)) => return Ok(true),
            Ok(Outcome::Rejected { .. }) => return Ok(false),
            Err(error) => error,
        };
        if let (weft_storage::Error::Unknown(_), Some((key, value))) = (&error, evidence)
            && self.store.snapshot().await?.get(key).await? == Some(value)
        {
            return Ok(true);
        }
        Err(error.into())
    }
}

pub(super) fn check_password(field: &str, password: &str) -> Result<(), ApiError> {
    let (shortest, longest) = (PASSWORD_BYTES.start(), PASSWORD_BYTES.end());
    if password.len() < *shortest {
        let message = format!("the field {field} has fewer than {shortest} bytes");
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    if password.len() > *longest {
        let message = format!("the field {field} has more than {longest} bytes");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    Ok(())
}

pub(super) fn display_name(name: String, user: &UserId) -> Result<String, ApiError> {
    check_chars("display_name", &name, TITLE_CHARS_MAX)?;
    Ok(if name.trim().is_empty() { user.to_string() } else { name })
}

pub(super) fn profile(user: &UserId, account: Account) -> svc::Profile {
    svc::Profile {
        user: user.to_string(),
        deleted: account.is_deleted(),
        display_name: account.display_name,
        avatar: account.avatar,
        is_bot: account.is_bot,
        about: account.about,
        version: account.profile_version,
    }
}

/// The profiles of these users, in their order; `None`: there is no account, or it can't be read.
pub(super) async fn profiles(
    snapshot: &dyn Snapshot,
    users: Vec<UserId>,
) -> Result<Vec<Option<svc::Profile>>, weft_storage::Error> {
    let rows = snapshot.get_many(users.iter().map(account::key).collect()).await?;
    let read = |(user, row): (&UserId, Option<Bytes>)| match Account::decode(&row?) {
        Ok(account) => Some(profile(user, account)),
        // One damaged account does not cost others a list.
        Err(error) => {
            error!(%user, %error, "an account can't be read");
            None
        }
    };
    Ok(users.iter().zip(rows).map(read).collect())
}

fn no_such_user() -> Failure {
    Failure::new(ErrorCode::NoSuchUser, "there is no such user")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use weft_storage::Store;
    use weft_storage::memory::Memory;
    use weft_storage::{Engine, Snapshot};

    use super::super::testing::{World, code};
    use super::*;

    fn signup(user: &str, password: &str, display_name: &str) -> svc::Signup {
        svc::Signup {
            user: user.into(),
            password: password.into(),
            display_name: display_name.into(),
            ..svc::Signup::default()
        }
    }

    #[tokio::test]
    async fn an_account_is_made_once() {
        let world = World::new().await;
        let made = world.context.signup(signup("alice", "hunter22", "")).await.expect("signup");
        assert_eq!((made.user.as_str(), made.display_name.as_str()), ("alice", "alice"));
        let (one, two) = tokio::join!(
            world.context.signup(signup("bob", "hunter22", "B1")),
            world.context.signup(signup("bob", "hunter33", "B2")),
        );
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        assert_eq!(code(lost), ErrorCode::UserExists);
        let request = svc::GetProfile { token: world.token("alice"), user: "bob".into() };
        let read = world.context.profile_get(request).await.expect("profile");
        assert_eq!(read, won.expect("one won"));
        assert_eq!(
            code(world.context.signup(signup("alice", "hunter22", "")).await),
            ErrorCode::UserExists
        );
    }

    #[tokio::test]
    async fn bad_signups_have_stable_codes() {
        let world = World::new().await;
        let long_name = "한".repeat(TITLE_CHARS_MAX + 1);
        for (request, expected) in [
            (signup("a.b", "hunter22", ""), ErrorCode::BadId),
            (signup("alice", "short", ""), ErrorCode::BadRequest),
            (signup("alice", &"x".repeat(257), ""), ErrorCode::TooLong),
            (signup("alice", "hunter22", &long_name), ErrorCode::TooLong),
        ] {
            assert_eq!(code(world.context.signup(request).await), expected);
        }
    }

    #[tokio::test]
    async fn a_profile_changes_field_by_field() {
        let world = World::new().await;
        world.context.signup(signup("alice", "hunter22", "Alice")).await.expect("signup");
        let set = |display_name: Option<&str>, about: Option<String>| svc::SetProfile {
            token: world.token("alice"),
            display_name: display_name.map(Into::into),
            avatar: None,
            about,
        };
        let changed = world.context.profile_set(set(None, Some("cat".into()))).await.expect("set");
        let shown = (changed.profile.display_name.as_str(), changed.profile.about.as_str());
        assert_eq!((shown, changed.profile.version), (("Alice", "cat"), 1));
        assert_eq!(changed.hear, [UserId::new("alice").expect("id")]);
        let same = world.context.profile_set(set(Some("Alice"), None)).await.expect("the same");
        assert_eq!((&same.profile, same.hear.len()), (&changed.profile, 0), "nobody is told");
        let changed = world.context.profile_set(set(Some(" "), None)).await.expect("set").profile;
        let shown = (changed.display_name.as_str(), changed.about.as_str(), changed.version);
        assert_eq!(shown, ("alice", "cat", 2));
        let refused = world.context.profile_set(set(None, Some("x".repeat(141)))).await;
        assert_eq!(code(refused), ErrorCode::TooLong);
        let own = svc::GetProfile { token: world.token("alice"), user: String::new() };
        assert_eq!(world.context.profile_get(own).await.expect("own"), changed);
        let nobody = svc::GetProfile { token: world.token("alice"), user: "nobody".into() };
        assert_eq!(code(world.context.profile_get(nobody).await), ErrorCode::NoSuchUser);
        let no_token = svc::GetProfile::default();
        assert_eq!(code(world.context.profile_get(no_token).await), ErrorCode::Unauthorized);
    }

    /// An account as bots have it.
    async fn add_bot(world: &World, bot: &str) {
        let bot = UserId::new(bot).expect("id");
        let made = Account { is_bot: true, ..Account::default() };
        let mut batch = Batch::new(rand::random());
        account::put(&mut batch, &bot, None, &made);
        world.store.commit(batch).await.expect("commit");
    }

    #[tokio::test]
    async fn bots_have_accounts_without_a_password() {
        let world = World::new().await;
        add_bot(&world, "feed").await;
        let request = svc::GetProfile { token: world.token("alice"), user: "feed".into() };
        assert!(world.context.profile_get(request).await.expect("profile").is_bot);
        let login = svc::Login { user: "feed".into(), ..svc::Login::default() };
        for password in ["", "hunter22"] {
            let login =
                svc::Login { password: password.into(), device: "d".into(), ..login.clone() };
            assert_eq!(code(world.context.login(login).await), ErrorCode::BadCredentials);
        }
    }

    /// Commits, and says that nobody knows.
    struct Silent(Memory);

    #[async_trait]
    impl Engine for Silent {
        async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, weft_storage::Error> {
            self.0.snapshot().await
        }

        async fn commit(&self, batch: Batch) -> Result<Outcome, weft_storage::Error> {
            self.0.commit(batch).await?;
            Err(weft_storage::Error::Unknown("on purpose".into()))
        }
    }

    #[tokio::test]
    async fn a_commit_that_nobody_heard_of_is_settled_by_what_stands_there() {
        let world = World::on(Store::new(Silent(Memory::new()))).await;
        world.context.signup(signup("alice", "hunter22", "")).await.expect("signup");
        let login = svc::Login {
            user: "alice".into(),
            password: "hunter22".into(),
            device: "phone".into(),
            ..svc::Login::default()
        };
        let refresh_token = world.context.login(login).await.expect("login").refresh_token;
        let refresh = svc::Refresh { refresh_token, ..svc::Refresh::default() };
        assert!(world.context.refresh(refresh.clone()).await.is_ok(), "first");
        assert!(world.context.refresh(refresh.clone()).await.is_ok(), "once more");
        assert!(world.context.refresh(refresh.clone()).await.is_err(), "it ends the login");
        assert_eq!(code(world.context.refresh(refresh).await), ErrorCode::Unauthorized);
    }
}
