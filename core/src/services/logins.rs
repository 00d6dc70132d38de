//! Logins: a password for tokens, a refresh token for new ones, and their ends.

use weft_proto::{DeviceId, ErrorCode, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};
use weft_storage::{Batch, Snapshot};

use super::accounts::{ATTEMPTS_MAX, check_password};
use super::failure::Failure;
use super::{Caller, Context, Login, refresh_token};

/// Most devices of which edges are told that a new password has ended their logins. Of the others
/// they hear when they ask.
const ENDED_MAX: usize = 1_000;

/// Logins that have ended, by the user's own will: edges are to be told.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Whose.
    pub user: UserId,
    /// On which devices.
    pub devices: Vec<DeviceId>,
}

impl Context {
    /// Trades a password for tokens. The device's earlier login ends.
    ///
    /// # Errors
    /// [`ErrorCode::BadCredentials`] (the same, after the same time, where there is no such user),
    /// [`ErrorCode::BadId`], [`ErrorCode::Overloaded`], or the store's.
    pub async fn login(&self, request: svc::Login) -> Result<svc::Tokens, Failure> {
        let user = UserId::new(&request.user)?;
        let device = DeviceId::new(&request.device)?;
        let device_key = device::key(&user, &device);
        for _ in 0..ATTEMPTS_MAX {
            let found = self.account(&user).await?;
            let hash = found.as_ref().map(|(_, account)| account.password_hash.clone());
            self.check_credentials(&request.password, hash).await?;
            let Some((account_row, _)) = found else { return Err(bad_credentials()) };

            let now_ms = self.clock.now_ms();
            let before = self.store.snapshot().await?.get(device_key.clone()).await?;
            let login_ms_before = before.as_deref().map(Device::decode).transpose()?;
            // It names the login: no token of the one before may be good for this one.
            let login_ms = login_ms_before.map_or(now_ms, |it| now_ms.max(it.login_ms + 1));
            let (refresh_token, hash) = refresh_token::make(&user, &device, rand::random());
            let login = Device {
                refresh_hash: hash.to_vec(),
                refresh_expires_ms: now_ms + refresh_token::LIFE_MS,
                login_ms,
            };
            let mut batch = Batch::new(rand::random());
            // Else a login with the old password could outlive a change of the password.
            batch.guard(account::key(&user), Some(account_row));
            batch.guard(device_key.clone(), before);
            batch.set(device_key.clone(), login.encode());
            if self.commit(batch).await? {
                let caller = Caller { user, device, login: Login::MadeAt(login_ms) };
                return self.tokens_for(caller, refresh_token);
            }
        }
        Err(Failure::contended())
    }

    /// Trades a refresh token for new tokens. It works once: of two at the same time, one wins.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`], or the store's.
    pub async fn refresh(&self, request: svc::Refresh) -> Result<svc::Tokens, Failure> {
        let unauthorized =
            || Failure::new(ErrorCode::Unauthorized, "the refresh token is void: log in again");
        let used = refresh_token::parse(&request.refresh_token).ok_or_else(unauthorized)?;
        let key = device::key(&used.user, &used.device);
        let row = self.store.snapshot().await?.get(key.clone()).await?;
        let row = row.ok_or_else(unauthorized)?;
        let login = Device::decode(&row)?;
        let now_ms = self.clock.now_ms();
        if login.refresh_hash != used.hash || now_ms >= login.refresh_expires_ms {
            return Err(unauthorized());
        }
        let (refresh_token, hash) = refresh_token::make(&used.user, &used.device, rand::random());
        let renewed = Device {
            refresh_hash: hash.to_vec(),
            refresh_expires_ms: now_ms + refresh_token::LIFE_MS,
            login_ms: login.login_ms,
        };
        let mut batch = Batch::new(rand::random());
        batch.guard(key.clone(), Some(row));
        batch.set(key, renewed.encode());
        if !self.commit(batch).await? {
            return Err(unauthorized());
        }
        let login = Login::MadeAt(login.login_ms);
        self.tokens_for(Caller { user: used.user, device: used.device, login }, refresh_token)
    }

    /// Ends the login of the token's device.
    ///
    /// # Errors
    /// Those of the token, or the store's.
    pub async fn logout(&self, request: svc::Logout) -> Result<Ended, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device, .. } = self.caller(&*snapshot, &request.token).await?;
            let key = device::key(&user, &device);
            let row = snapshot.get(key.clone()).await?;
            drop(snapshot);
            let mut batch = Batch::new(rand::random());
            // Not a login that was made since.
            batch.guard(key.clone(), row);
            batch.clear(key);
            // Nothing to settle: it may be done again.
            if self.commit(batch).await? {
                return Ok(Ended { user, devices: vec![device] });
            }
        }
        Err(Failure::contended())
    }

    /// Changes the password and ends the logins of all other devices.
    ///
    /// # Errors
    /// [`ErrorCode::BadCredentials`], [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`],
    /// [`ErrorCode::Overloaded`], those of the token, or the store's.
    pub async fn password(&self, request: svc::ChangePassword) -> Result<Ended, Failure> {
        check_password("new", &request.new)?;
        let mut new_hash = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device, .. } = self.caller(&*snapshot, &request.token).await?;
            let (account_key, device_key) = (account::key(&user), device::key(&user, &device));
            let account_row =
                snapshot.get(account_key.clone()).await?.ok_or_else(bad_credentials)?;
            let own_login = snapshot.get(device_key.clone()).await?;
            // Who logs in from here on, with the old password, is not told. It is a courtesy.
            let devices = other_devices(&*snapshot, &user, &device).await?;
            drop(snapshot);
            let account = Account::decode(&account_row)?;
            self.check_credentials(&request.old, Some(account.password_hash.clone())).await?;
            let password_hash = match new_hash {
                Some(hash) => hash,
                None => self.passwords.hash(request.new.clone()).await?,
            };
            new_hash = Some(password_hash.clone());

            let mut batch = Batch::new(rand::random());
            batch.guard(account_key.clone(), Some(account_row));
            batch.guard(device_key.clone(), own_login.clone());
            batch.set(account_key.clone(), Account { password_hash, ..account }.encode());
            let logins = device::range(&user);
            batch.clear_range(logins.start, logins.end);
            if let Some(login) = own_login {
                batch.set(device_key.clone(), login);
            }
            if self.commit(batch).await? {
                return Ok(Ended { user, devices });
            }
        }
        Err(Failure::contended())
    }

    /// An empty hash, a bot's, counts as none.
    async fn check_credentials(&self, password: &str, hash: Option<String>) -> Result<(), Failure> {
        // Such a password was never taken, so nobody learns anything from the quick answer.
        if check_password("password", password).is_err() {
            return Err(bad_credentials());
        }
        let hash = hash.filter(|hash| !hash.is_empty());
        let matches = self.passwords.verify(password.to_owned(), hash).await?;
        if matches { Ok(()) } else { Err(bad_credentials()) }
    }

    fn tokens_for(&self, caller: Caller, refresh_token: String) -> Result<svc::Tokens, Failure> {
        let (token, expires_at_ms) = self.tokens.issue(&caller)?;
        Ok(svc::Tokens {
            user: caller.user.to_string(),
            device: caller.device.to_string(),
            token,
            expires_at_ms,
            refresh_token,
        })
    }
}

/// Devices with a login, but for one: at most [`ENDED_MAX`].
async fn other_devices(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &DeviceId,
) -> Result<Vec<DeviceId>, weft_storage::Error> {
    let rows = snapshot.scan(device::range(user), ENDED_MAX, false).await?;
    let devices = rows.iter().map(|(key, _)| device::device(key));
    devices.filter(|other| !matches!(other, Ok(other) if other == device)).collect()
}

fn bad_credentials() -> Failure {
    Failure::new(ErrorCode::BadCredentials, "user or password is wrong")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, code};
    use super::*;

    async fn with_alice() -> World {
        let world = World::new().await;
        let signup = svc::Signup {
            user: "alice".into(),
            password: "hunter22".into(),
            display_name: String::new(),
        };
        world.context.signup(signup).await.expect("signup");
        world
    }

    async fn login(world: &World, device: &str, password: &str) -> Result<svc::Tokens, Failure> {
        let login =
            svc::Login { user: "alice".into(), password: password.into(), device: device.into() };
        world.context.login(login).await
    }

    async fn refresh(world: &World, tokens: &svc::Tokens) -> Result<svc::Tokens, Failure> {
        let refresh_token = tokens.refresh_token.clone();
        world.context.refresh(svc::Refresh { refresh_token }).await
    }

    fn ended(devices: &[&str]) -> Ended {
        let devices = devices.iter().map(|name| DeviceId::new(name).expect("id")).collect();
        Ended { user: UserId::new("alice").expect("id"), devices }
    }

    #[tokio::test]
    async fn only_the_right_password_logs_in() {
        let world = with_alice().await;
        let tokens = login(&world, "phone", "hunter22").await.expect("login");
        let caller = world.context.tokens().verify(&tokens.token).expect("verify");
        assert_eq!((caller.user.as_str(), caller.device.as_str()), ("alice", "phone"));
        assert_eq!(code(login(&world, "phone", "hunter23").await), ErrorCode::BadCredentials);
        assert_eq!(code(login(&world, "phone", "x").await), ErrorCode::BadCredentials);
        assert_eq!(code(login(&world, "p.q", "hunter22").await), ErrorCode::BadId);
        let nobody =
            svc::Login { user: "nobody".into(), password: "hunter22".into(), device: "d".into() };
        assert_eq!(code(world.context.login(nobody).await), ErrorCode::BadCredentials);
    }

    #[tokio::test]
    async fn a_refresh_token_works_once() {
        let world = with_alice().await;
        let first = login(&world, "phone", "hunter22").await.expect("login");
        let (one, two) = tokio::join!(refresh(&world, &first), refresh(&world, &first));
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        assert_eq!(code(lost), ErrorCode::Unauthorized);
        let second = won.expect("one won");
        assert_eq!(code(refresh(&world, &first).await), ErrorCode::Unauthorized);
        let third = refresh(&world, &second).await.expect("the new one works");
        world.clock.advance_ms(refresh_token::LIFE_MS);
        assert_eq!(code(refresh(&world, &third).await), ErrorCode::Unauthorized);
        for forged in ["", "alice.phone", &format!("alice.phone.{}", "0".repeat(64))] {
            let forged = svc::Refresh { refresh_token: forged.into() };
            assert_eq!(code(world.context.refresh(forged).await), ErrorCode::Unauthorized);
        }
    }

    #[tokio::test]
    async fn a_login_ends_where_it_should() {
        let world = with_alice().await;
        let old_phone = login(&world, "phone", "hunter22").await.expect("login");
        let phone = login(&world, "phone", "hunter22").await.expect("login");
        let laptop = login(&world, "laptop", "hunter22").await.expect("login");
        assert_eq!(code(refresh(&world, &old_phone).await), ErrorCode::Unauthorized);
        let phone = refresh(&world, &phone).await.expect("refresh");
        let logout = svc::Logout { token: phone.token.clone() };
        assert_eq!(world.context.logout(logout).await.expect("logout"), ended(&["phone"]));
        assert_eq!(code(refresh(&world, &phone).await), ErrorCode::Unauthorized);
        refresh(&world, &laptop).await.expect("the other device stays");
    }

    #[tokio::test]
    async fn a_new_password_ends_the_other_devices_logins() {
        let world = with_alice().await;
        let phone = login(&world, "phone", "hunter22").await.expect("login");
        let laptop = login(&world, "laptop", "hunter22").await.expect("login");
        let change = |old: &str, new: &str| svc::ChangePassword {
            token: phone.token.clone(),
            old: old.into(),
            new: new.into(),
        };
        let wrong = world.context.password(change("hunter23", "hunter33")).await;
        assert_eq!(code(wrong), ErrorCode::BadCredentials);
        let short = world.context.password(change("hunter22", "x")).await;
        assert_eq!(code(short), ErrorCode::BadRequest);
        let changed = world.context.password(change("hunter22", "hunter33")).await;
        assert_eq!(changed.expect("change"), ended(&["laptop"]));
        assert_eq!(code(refresh(&world, &laptop).await), ErrorCode::Unauthorized);
        refresh(&world, &phone).await.expect("the own device stays");
        assert_eq!(code(login(&world, "laptop", "hunter22").await), ErrorCode::BadCredentials);
        login(&world, "laptop", "hunter33").await.expect("login");
    }
}
