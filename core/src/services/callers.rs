//! Who speaks in a call: the token's user, while the login that the token is of lasts.
//!
//! A token ends by itself after an hour; its login may end before, by a logout, a new password, a new
//! login of the device, a refresh token that was used twice, or a suspension. So each call reads the device's row,
//! in the snapshot that it is answered from: one point read. A bot's token has such a row, too, and ends with it; and it
//! rests while the bot or its owner is suspended, which is two reads more.

use weft_proto::limits::CHECKED_LOGINS_MAX;
use weft_proto::scope::Needs;
use weft_proto::svc::Spoken;
use weft_proto::{ApiError, ErrorCode, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};

use super::failure::Failure;
use super::tokens::{self, Login};
use super::verified::Verified;
use super::{Caller, Context};

/// A bot by its token, as a connection to NATS shows it.
#[derive(Clone, Debug)]
pub struct BotLogin {
    pub caller: Caller,
    /// When its token ends, Unix milliseconds.
    pub expires_ms: u64,
}

impl Context {
    /// Whom the request's token speaks for.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] where its login has ended too, [`ErrorCode::Suspended`], [`ErrorCode::TokenExpired`],
    /// [`ErrorCode::Forbidden`] where it is out of the token's scope, or the store's.
    pub(super) async fn caller(
        &self,
        snapshot: &dyn Snapshot,
        request: &impl Spoken,
    ) -> Result<Caller, Failure> {
        self.caller_who(snapshot, request.token(), request.needs()).await
    }

    /// Whom a token speaks for, where its scope has what is needed.
    ///
    /// # Errors
    /// As [`caller`](Self::caller).
    pub(super) async fn caller_who(
        &self,
        snapshot: &dyn Snapshot,
        token: &str,
        needs: Needs<'_>,
    ) -> Result<Caller, Failure> {
        let caller = self.tokens.verify(token)?;
        if caller.nkey.is_some() {
            return Err(Failure::new(ErrorCode::Unauthorized, "the token is good on NATS alone"));
        }
        check_login(snapshot, &caller).await?;
        if let Some(scope) = &caller.scope {
            scope.check(needs)?;
        }
        Ok(caller)
    }

    /// The bot `user` by its token, with what that is good for. Whether a connection has the key that
    /// [`Caller::nkey`] names, the one who asks has to see to.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] for any other token, too, [`ErrorCode::TokenExpired`], [`ErrorCode::Suspended`], or the
    /// store's.
    pub async fn bot_by_token(&self, user: &str, token: &str) -> Result<BotLogin, Failure> {
        let Verified { caller, expires_ms } = self.tokens.verify_until(token)?;
        if caller.scope.is_none() || caller.user.as_str() != user {
            return Err(Failure::new(ErrorCode::Unauthorized, "the token is not this bot's"));
        }
        check_login(&*self.store.snapshot().await?, &caller).await?;
        Ok(BotLogin { caller, expires_ms })
    }

    /// Which of these tokens are of logins that last. Their signatures and times are not looked at:
    /// the edge has done that, and would ask for so many that checking them once more is most of the
    /// work.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for too many tokens, or the store's.
    pub async fn check_logins(
        &self,
        request: svc::CheckLogins,
    ) -> Result<svc::CheckedLogins, Failure> {
        if request.tokens.len() > CHECKED_LOGINS_MAX {
            let message = format!("more than {CHECKED_LOGINS_MAX} tokens");
            return Err(ApiError::new(ErrorCode::BadRequest, message).into());
        }
        let callers: Vec<Option<Caller>> =
            request.tokens.iter().map(|token| tokens::read_unverified(token)).collect();
        let known = callers.iter().flatten();
        let keys = known.map(|caller| device::key(&caller.user, &caller.device)).collect();
        let snapshot = self.store.snapshot().await?;
        let mut rows = snapshot.get_many(keys).await?.into_iter();
        let mut answer = svc::CheckedLogins::default();
        let mut asked = Vec::with_capacity(callers.len());
        for caller in &callers {
            let Some(caller) = caller else {
                answer.lasts.push(false);
                asked.push(Vec::new());
                continue;
            };
            let row = rows.next().flatten().as_deref().map(Device::decode).transpose()?;
            let lasts = row.as_ref().is_some_and(|row| lasts(caller, row));
            answer.lasts.push(lasts);
            asked.push(match row.filter(|_| lasts) {
                Some(row) => owners(caller, &row)?,
                None => vec![caller.user.clone()],
            });
        }
        let keys: Vec<_> = asked.iter().flatten().map(account::key).collect();
        let rows = if keys.is_empty() { Vec::new() } else { snapshot.get_many(keys).await? };
        let mut rows = rows.into_iter();
        for (asked, lasts) in asked.iter().zip(&mut answer.lasts) {
            let rows: Vec<_> = rows.by_ref().take(asked.len()).collect();
            let are = rows.iter().map(|row| is_suspended(row.as_deref()));
            let is_suspended = are.collect::<Result<Vec<_>, _>>()?.contains(&true);
            *lasts &= !is_suspended;
            answer.suspended.push(is_suspended);
        }
        Ok(answer)
    }
}

/// # Errors
/// [`ErrorCode::Unauthorized`] where the login has ended, [`ErrorCode::Suspended`], or the store's.
pub(super) async fn check_login(snapshot: &dyn Snapshot, caller: &Caller) -> Result<(), Failure> {
    let row = snapshot.get(device::key(&caller.user, &caller.device)).await?;
    let row = row.as_deref().map(Device::decode).transpose()?;
    let row = row.filter(|row| lasts(caller, row));
    let asked = match &row {
        Some(row) => owners(caller, row)?,
        None => vec![caller.user.clone()],
    };
    for user in &asked {
        if is_suspended(snapshot.get(account::key(user)).await?.as_deref())? {
            return Err(suspended());
        }
    }
    if row.is_none() { Err(login_has_ended()) } else { Ok(()) }
}

/// On whose accounts a login depends that lasts: a bot's on its own and its owner's. A person who is suspended has none.
fn owners(caller: &Caller, row: &Device) -> Result<Vec<UserId>, weft_storage::Error> {
    if caller.scope.is_none() {
        return Ok(Vec::new());
    }
    let owner = row.bot_token.as_ref().map(device::BotToken::owner).transpose()?.flatten();
    Ok(std::iter::once(caller.user.clone()).chain(owner).collect())
}

fn is_suspended(row: Option<&[u8]>) -> Result<bool, weft_storage::Error> {
    Ok(row.map(Account::decode).transpose()?.is_some_and(|account| account.is_suspended()))
}

pub(super) fn suspended() -> Failure {
    Failure::new(ErrorCode::Suspended, "an administrator has suspended this account")
}

fn lasts(caller: &Caller, row: &Device) -> bool {
    let is_same = match caller.login {
        Login::MadeAt(made_ms) => made_ms == row.login_ms,
        Login::Unnamed { issued_s } => row.login_ms / 1_000 <= issued_s,
    };
    // A bot's token is of a row that says what it is good for, and no other is.
    let is_bots = caller.scope.is_some() == row.bot_token.is_some();
    is_same && is_bots && !row.refresh_hash.is_empty()
}

fn login_has_ended() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "the login has ended: log in again")
}

#[cfg(test)]
mod tests {
    use weft_proto::DeviceId;

    use super::super::testing::{World, code, user};
    use super::*;

    async fn login(world: &World, device: &str) -> String {
        let (user, password) = ("alice".into(), "hunter22".into());
        let login = svc::Login { user, password, device: device.into(), ..svc::Login::default() };
        world.context.login(login).await.expect("login").token
    }

    async fn with_alice() -> World {
        let world = World::new().await;
        let (user, password) = ("alice".into(), "hunter22".into());
        let signup = svc::Signup { user, password, ..svc::Signup::default() };
        world.context.signup(signup).await.expect("signup");
        world
    }

    async fn lasts(world: &World, tokens: &[&str]) -> Vec<bool> {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        world.context.check_logins(svc::CheckLogins { tokens }).await.expect("check").lasts
    }

    async fn is_refused(world: &World, token: &str) -> bool {
        let list = svc::ListRooms { token: token.into(), ..svc::ListRooms::default() };
        let answer = world.context.list(list).await;
        answer.is_err_and(|failure| failure.answer("list").code == ErrorCode::Unauthorized)
    }

    #[tokio::test]
    async fn a_token_ends_with_its_login() {
        let world = with_alice().await;
        let (phone, laptop) = (login(&world, "phone").await, login(&world, "laptop").await);
        let (old, new) = ("hunter22".into(), "hunter33".into());
        let change = svc::ChangePassword { token: laptop.clone(), old, new };
        assert_eq!(lasts(&world, &[&phone, &laptop, "x"]).await, [true, true, false]);
        let ended = world.context.password(change).await.expect("password").devices;
        assert_eq!(ended.len(), 1);
        assert_eq!(lasts(&world, &["x", &phone, &laptop]).await, [false, false, true]);
        assert!(is_refused(&world, &phone).await && !is_refused(&world, &laptop).await);
        let logout = svc::Logout { token: laptop.clone(), ..svc::Logout::default() };
        assert_eq!(world.context.logout(logout).await.expect("logout").devices.len(), 1);
        assert_eq!(lasts(&world, &[&phone, &laptop]).await, [false, false]);
        assert!(is_refused(&world, &laptop).await);
        let again =
            world.context.logout(svc::Logout { token: laptop, ..svc::Logout::default() }).await;
        assert_eq!(code(again), ErrorCode::Unauthorized);
    }

    /// In the same millisecond, too: the clock does not move.
    #[tokio::test]
    async fn a_token_is_not_good_for_the_devices_next_login() {
        let world = with_alice().await;
        let before = login(&world, "phone").await;
        let after = login(&world, "phone").await;
        assert_eq!(lasts(&world, &[&before, &after]).await, [false, true]);
        assert!(is_refused(&world, &before).await && !is_refused(&world, &after).await);
        let late =
            world.context.logout(svc::Logout { token: before, ..svc::Logout::default() }).await;
        assert_eq!(code(late), ErrorCode::Unauthorized);
        assert_eq!(lasts(&world, &[&after]).await, [true]);
    }

    #[tokio::test]
    async fn a_token_that_names_no_login_is_good_for_the_one_it_was_issued_in() {
        let world = with_alice().await;
        let phone = DeviceId::new("phone").expect("id");
        let caller = |login| Caller::person(user("alice"), phone.clone(), login);
        let unnamed = caller(Login::Unnamed { issued_s: 0 });
        login(&world, "phone").await;
        world.clock.advance_ms(5_000);
        let token = world.context.tokens().issue(&unnamed).expect("issue").0;
        assert_eq!(lasts(&world, &[&token]).await, [true]);
        world.clock.advance_ms(1_000);
        login(&world, "phone").await;
        assert_eq!(lasts(&world, &[&token]).await, [false]);
    }

    #[tokio::test]
    async fn a_question_is_bounded() {
        let world = World::new().await;
        let tokens = vec![String::new(); CHECKED_LOGINS_MAX + 1];
        let refused = world.context.check_logins(svc::CheckLogins { tokens }).await;
        assert_eq!(code(refused), ErrorCode::BadRequest);
    }
}
