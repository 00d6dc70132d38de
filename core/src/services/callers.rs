//! Who speaks in a call: the token's user, while the login that the token is of lasts.
//!
//! A token ends by itself after an hour; its login may end before, by a logout, a new password, a new
//! login of the device, a refresh token that was used twice, or a suspension. So each call reads the device's row,
//! in the snapshot that it is answered from: one point read.

use weft_proto::limits::CHECKED_LOGINS_MAX;
use weft_proto::{ApiError, ErrorCode, svc};
use weft_storage::Snapshot;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};

use super::failure::Failure;
use super::tokens::{self, Login};
use super::{Caller, Context};

impl Context {
    /// Whom the token speaks for.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] where its login has ended too, [`ErrorCode::Suspended`], [`ErrorCode::TokenExpired`],
    /// or the store's.
    pub(super) async fn caller(
        &self,
        snapshot: &dyn Snapshot,
        token: &str,
    ) -> Result<Caller, Failure> {
        let caller = self.tokens.verify(token)?;
        let row = snapshot.get(device::key(&caller.user, &caller.device)).await?;
        if lasts(&caller, row.as_deref())? {
            return Ok(caller);
        }
        let row = snapshot.get(account::key(&caller.user)).await?;
        Err(if is_suspended(row.as_deref())? { suspended() } else { login_has_ended() })
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
        let lasts = callers.iter().map(|caller| match caller {
            Some(caller) => lasts(caller, rows.next().flatten().as_deref()),
            None => Ok(false),
        });
        let lasts = lasts.collect::<Result<Vec<_>, _>>()?;
        let ended = callers.iter().zip(&lasts).filter(|(_, lasts)| !**lasts);
        let keys = ended.filter_map(|(caller, _)| Some(account::key(&caller.as_ref()?.user)));
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            return Ok(svc::CheckedLogins { suspended: vec![false; lasts.len()], lasts });
        }
        let mut rows = snapshot.get_many(keys).await?.into_iter();
        let suspended = callers.iter().zip(&lasts).map(|(caller, lasts)| match caller {
            Some(_) if !lasts => is_suspended(rows.next().flatten().as_deref()),
            _ => Ok(false),
        });
        Ok(svc::CheckedLogins { suspended: suspended.collect::<Result<_, _>>()?, lasts })
    }
}

fn is_suspended(row: Option<&[u8]>) -> Result<bool, weft_storage::Error> {
    Ok(row.map(Account::decode).transpose()?.is_some_and(|account| account.is_suspended()))
}

pub(super) fn suspended() -> Failure {
    Failure::new(ErrorCode::Suspended, "an administrator has suspended this account")
}

fn lasts(caller: &Caller, row: Option<&[u8]>) -> Result<bool, weft_storage::Error> {
    let Some(row) = row else { return Ok(false) };
    let Device { refresh_hash, login_ms, .. } = Device::decode(row)?;
    let is_same = match caller.login {
        Login::MadeAt(made_ms) => made_ms == login_ms,
        Login::Unnamed { issued_s } => login_ms / 1_000 <= issued_s,
    };
    Ok(is_same && !refresh_hash.is_empty())
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
        let caller = |login| Caller { user: user("alice"), device: phone.clone(), login };
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
