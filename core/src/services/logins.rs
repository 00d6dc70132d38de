//! Logins: a password for tokens, a refresh token for new ones, and their ends.

use std::cmp::Reverse;
use std::collections::HashMap;

use bytes::Bytes;
use weft_proto::{DeviceId, ErrorCode, UserId, svc};
use weft_storage::engine::Pair;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::push_registration::PushRegistration;
use weft_storage::{Batch, Snapshot};

use super::accounts::{ATTEMPTS_MAX, check_password};
use super::callers::suspended;
use super::failure::Failure;
use super::refresh_token::{Family, REPEAT_MS, RefreshToken};
use super::sign_ins::SignInAttempt;
use super::{Caller, Context, Login, push, refresh_token};
use crate::metrics::{REFRESH_TOKENS_REUSED, SIGN_INS};

/// Most devices of which edges are told that a new password has ended their logins. Of the others
/// they hear when they ask.
const ENDED_MAX: usize = 1_000;

/// Devices of a user that are logged in at once, about: of several that log in at the same time, each
/// may see room for itself.
const LOGINS_MAX: usize = 50;
/// Rows that are read to find those beyond that: a store from before there was a limit may have more,
/// and loses them with the next logins.
const LOGINS_READ_MAX: usize = 100;

/// Logins that have ended: edges are to be told.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedLogin {
    pub user: UserId,
    pub devices: Vec<DeviceId>,
}

/// What a refresh token was traded for.
pub enum Refreshed {
    Tokens(svc::Tokens),
    /// Nothing: it had been traded before, so two have it, and the login has ended.
    Ended(EndedLogin),
}

/// How a refresh token is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    /// It is the newest one.
    First,
    /// It was traded a moment ago, and the answer may have been lost.
    Repeated,
    /// It was traded before, and not a moment ago, or twice.
    Stolen,
    /// It is too old, or was never one of this login.
    Void,
}

fn judge(used: &RefreshToken, login: &Device, now_ms: u64) -> Use {
    if now_ms >= login.refresh_expires_ms {
        Use::Void
    } else if login.refresh_hash == used.hash {
        Use::First
    } else if login.repeat_hash == used.hash && now_ms < login.repeat_until_ms {
        Use::Repeated
    } else if login.family_hash == used.family.hash() {
        Use::Stolen
    } else {
        // Whoever makes a secret up ends nobody's login.
        Use::Void
    }
}

impl Context {
    /// Trades a password for tokens. The device's earlier login ends; and where the user has as many as
    /// there may be, that of the device which was not used for longest: edges hear of it when they ask.
    ///
    /// # Errors
    /// [`ErrorCode::BadCredentials`] (the same, after the same time, where there is no such user),
    /// [`ErrorCode::Suspended`] and [`ErrorCode::NewPasswordNeeded`] where the password is right, [`ErrorCode::BadRequest`],
    /// [`ErrorCode::TooLong`], [`ErrorCode::RateLimited`], [`ErrorCode::BadId`], [`ErrorCode::Overloaded`], or the store's.
    pub async fn login(&self, request: svc::Login) -> Result<svc::Tokens, Failure> {
        let user = UserId::new(&request.user)?;
        let device = DeviceId::new(&request.device)?;
        let device_key = device::key(&user, &device);
        let attempt = self
            .sign_ins
            .admit(&user, &request.network)
            .inspect_err(|_| SIGN_INS.increment("limited"))?;
        let mut new_hash = None;
        for _ in 0..ATTEMPTS_MAX {
            let found = self.account(&user).await?;
            let hash = found.as_ref().map(|(_, account)| account.password_hash.clone());
            self.check_credentials(&request.password, hash, attempt).await?;
            let Some((account_row, account)) = found else { return Err(bad_credentials()) };
            let now_ms = self.clock.now_ms();
            check_login(&account, &request, now_ms)
                .inspect_err(|_| SIGN_INS.increment("refused"))?;
            if account.one_time_until_ms != 0 && new_hash.is_none() {
                let hash = self.passwords.hash(request.new_password.clone(), attempt).await?;
                new_hash = Some(hash);
            }
            let before = self.store.snapshot().await?.get(device_key.clone()).await?;
            let login_ms_before = before.as_deref().map(Device::decode).transpose()?;
            // It names the login: no token of the one before may be good for this one.
            let login_ms = login_ms_before.map_or(now_ms, |it| now_ms.max(it.login_ms + 1));
            let family = Family::new(rand::random());
            let (refresh_token, hash) =
                refresh_token::make(&user, &device, &family, rand::random());
            let login = Device {
                refresh_hash: hash.to_vec(),
                refresh_expires_ms: now_ms + refresh_token::LIFE_MS,
                login_ms,
                family_hash: family.hash(),
                ..Device::default()
            };
            let mut batch = Batch::new(rand::random());
            // Else a login with the old password could outlive a change of the password.
            batch.guard(account::key(&user), Some(account_row));
            batch.guard(device_key.clone(), before);
            batch.set(device_key.clone(), login.encode());
            if let Some(hash) = new_hash.clone().filter(|_| account.one_time_until_ms != 0) {
                let own = Account { password_hash: hash, one_time_until_ms: 0, ..account };
                batch.set(account::key(&user), own.encode());
            }
            for (key, row) in self.surplus_logins(&user, &device_key).await? {
                batch.guard(key.clone(), Some(row));
                batch.clear(key);
            }
            if self.commit(batch).await? {
                SIGN_INS.increment("ok");
                self.sign_ins.proved(&user, &request.network);
                let caller = Caller::person(user, device, Login::MadeAt(login_ms));
                return self.tokens_for(caller, refresh_token);
            }
        }
        Err(Failure::contended())
    }

    /// Trades a refresh token for new tokens. Where the answer was lost, the same one may be traded
    /// once more, within a minute. One that is used after that is in two hands: the login ends.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`], [`ErrorCode::Suspended`], or the store's.
    pub async fn refresh(&self, request: svc::Refresh) -> Result<Refreshed, Failure> {
        let used = refresh_token::parse(&request.refresh_token).ok_or_else(void)?;
        let key = device::key(&used.user, &used.device);
        for _ in 0..ATTEMPTS_MAX {
            let row = self.store.snapshot().await?.get(key.clone()).await?;
            let Some(row) = row else {
                let account = self.account(&used.user).await?;
                let is_suspended = account.is_some_and(|(_, account)| account.is_suspended());
                return Err(if is_suspended { suspended() } else { void() });
            };
            let login = Device::decode(&row)?;
            let mut batch = Batch::new(rand::random());
            batch.guard(key.clone(), Some(row));
            let now_ms = self.clock.now_ms();
            match judge(&used, &login, now_ms) {
                Use::Void => return Err(void()),
                Use::Stolen => {
                    batch.clear(key.clone());
                    if self.commit(batch).await? {
                        REFRESH_TOKENS_REUSED.increment();
                        tracing::warn!(user = %used.user, device = %used.device,
                            "a refresh token was used again: its login has ended");
                        let (user, devices) = (used.user, vec![used.device]);
                        return Ok(Refreshed::Ended(EndedLogin { user, devices }));
                    }
                }
                good @ (Use::First | Use::Repeated) => {
                    let secret = rand::random();
                    let (refresh_token, hash) =
                        refresh_token::make(&used.user, &used.device, &used.family, secret);
                    let may_repeat = good == Use::First;
                    let renewed = Device {
                        refresh_hash: hash.to_vec(),
                        refresh_expires_ms: now_ms + refresh_token::LIFE_MS,
                        login_ms: login.login_ms,
                        family_hash: used.family.hash(),
                        repeat_hash: if may_repeat { used.hash.to_vec() } else { Vec::new() },
                        repeat_until_ms: if may_repeat { now_ms + REPEAT_MS } else { 0 },
                        bot_token: None,
                    };
                    batch.set(key.clone(), renewed.encode());
                    if self.commit(batch).await? {
                        self.sign_ins.proved(&used.user, &request.network);
                        let login = Login::MadeAt(login.login_ms);
                        let caller = Caller::person(used.user, used.device, login);
                        return self.tokens_for(caller, refresh_token).map(Refreshed::Tokens);
                    }
                }
            }
        }
        Err(Failure::contended())
    }

    /// Ends the login of a device of the caller: the token's, or another one.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] where the other one is not logged in, [`ErrorCode::BadId`], those of the token, or
    /// the store's.
    pub async fn logout(&self, request: svc::Logout) -> Result<EndedLogin, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device: own, .. } = self.caller(&*snapshot, &request).await?;
            let device = match &*request.device {
                "" => own,
                other => DeviceId::new(other)?,
            };
            let key = device::key(&user, &device);
            let row = snapshot.get(key.clone()).await?;
            if row.is_none() {
                let message = "the user is not logged in on this device";
                return Err(Failure::new(ErrorCode::NotFound, message));
            }
            drop(snapshot);
            let mut batch = Batch::new(rand::random());
            // Not a login that was made since.
            batch.guard(key.clone(), row);
            batch.clear(key);
            // Nothing to settle: it may be done again.
            if self.commit(batch).await? {
                return Ok(EndedLogin { user, devices: vec![device] });
            }
        }
        Err(Failure::contended())
    }

    /// The devices on which the caller is logged in. It has no limit of its own: there are about [`LOGINS_MAX`].
    ///
    /// # Errors
    /// Those of the token, or the store's.
    pub async fn devices(&self, request: svc::ListDevices) -> Result<svc::Devices, Failure> {
        let snapshot = self.store.snapshot().await?;
        let Caller { user, device: own, .. } = self.caller(&*snapshot, &request).await?;
        let now_ms = self.clock.now_ms();
        let mut pushes: HashMap<DeviceId, PushRegistration> =
            push::of_user(&*snapshot, &user).await?.into_iter().collect();
        let mut devices = Vec::new();
        for (key, row) in snapshot.scan(device::range(&user), LOGINS_READ_MAX, false).await? {
            let (device, login) = (device::device(&key)?, Device::decode(&row)?);
            if login.refresh_hash.is_empty() || now_ms >= login.refresh_expires_ms {
                continue;
            }
            devices.push(svc::LoggedInDevice {
                is_own: device == own,
                push: pushes.remove(&device).map(push::shown),
                device: device.to_string(),
                login_ms: login.login_ms,
                refreshed_ms: login.refresh_expires_ms.saturating_sub(refresh_token::LIFE_MS),
            });
        }
        devices.sort_by_key(|device| Reverse(device.refreshed_ms));
        Ok(svc::Devices { devices })
    }

    /// Changes the password and ends the logins of all other devices.
    ///
    /// # Errors
    /// [`ErrorCode::BadCredentials`], [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`],
    /// [`ErrorCode::RateLimited`], [`ErrorCode::Overloaded`], those of the token, or the store's.
    pub async fn password(&self, request: svc::ChangePassword) -> Result<EndedLogin, Failure> {
        check_password("new", &request.new)?;
        let mut new_hash = None;
        let Caller { user, device, .. } = self.tokens.verify(&request.token)?;
        self.sign_ins.admit_device(&user, &device)?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device, .. } = self.caller(&*snapshot, &request).await?;
            let (account_key, device_key) = (account::key(&user), device::key(&user, &device));
            let account_row =
                snapshot.get(account_key.clone()).await?.ok_or_else(bad_credentials)?;
            let own_login = snapshot.get(device_key.clone()).await?;
            // Who logs in from here on, with the old password, is not told. It is a courtesy.
            let devices = other_devices(&*snapshot, &user, &device).await?;
            drop(snapshot);
            let account = Account::decode(&account_row)?;
            let old_hash = Some(account.password_hash.clone());
            self.check_credentials(&request.old, old_hash, SignInAttempt::Known).await?;
            let password_hash = match new_hash {
                Some(hash) => hash,
                None => self.passwords.hash(request.new.clone(), SignInAttempt::Known).await?,
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
                return Ok(EndedLogin { user, devices });
            }
        }
        Err(Failure::contended())
    }

    /// Those logins of other devices that have to end so that one more has room: the ones that were
    /// not used for longest.
    async fn surplus_logins(&self, user: &UserId, own: &Bytes) -> Result<Vec<Pair>, Failure> {
        let snapshot = self.store.snapshot().await?;
        let rows = snapshot.scan(device::range(user), LOGINS_READ_MAX, false).await?;
        let mut others = Vec::with_capacity(rows.len());
        for pair in rows.into_iter().filter(|(key, _)| key != own) {
            others.push((Device::decode(&pair.1)?.refresh_expires_ms, pair));
        }
        others.sort_by_key(|(expires_ms, _)| *expires_ms);
        let surplus = (others.len() + 1).saturating_sub(LOGINS_MAX);
        Ok(others.into_iter().take(surplus).map(|(_, pair)| pair).collect())
    }

    /// An empty hash, a bot's, counts as none.
    pub(super) async fn check_credentials(
        &self,
        password: &str,
        hash: Option<String>,
        attempt: SignInAttempt,
    ) -> Result<(), Failure> {
        // Such a password was never taken, so nobody learns anything from the quick answer.
        if check_password("password", password).is_err() {
            return Err(bad_credentials());
        }
        let hash = hash.filter(|hash| !hash.is_empty());
        let matches = self.passwords.verify(password.to_owned(), hash, attempt).await?;
        if matches {
            return Ok(());
        }
        SIGN_INS.increment("wrong");
        Err(bad_credentials())
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

/// What else is asked of who has the right password.
fn check_login(account: &Account, request: &svc::Login, now_ms: u64) -> Result<(), Failure> {
    if account.is_suspended() {
        return Err(suspended());
    }
    let new = &request.new_password;
    match account.one_time_until_ms {
        0 if new.is_empty() => Ok(()),
        0 => Err(Failure::new(
            ErrorCode::BadRequest,
            "the field new_password is only for a password that is good for one login",
        )),
        until_ms if now_ms >= until_ms => Err(Failure::new(
            ErrorCode::BadCredentials,
            "the password for one login is too old: an administrator can make another",
        )),
        _ if new.is_empty() => Err(Failure::new(
            ErrorCode::NewPasswordNeeded,
            "the password is good for one login: say your own one from now on in new_password",
        )),
        _ if *new == request.password => Err(Failure::new(
            ErrorCode::BadRequest,
            "the field new_password has to be another password",
        )),
        _ => Ok(check_password("new_password", new)?),
    }
}

/// Devices with a login, but for one: at most [`ENDED_MAX`].
pub(super) async fn other_devices(
    snapshot: &dyn Snapshot,
    user: &UserId,
    device: &DeviceId,
) -> Result<Vec<DeviceId>, weft_storage::Error> {
    let rows = snapshot.scan(device::range(user), ENDED_MAX, false).await?;
    let devices = rows.iter().map(|(key, _)| device::device(key));
    devices.filter(|other| !matches!(other, Ok(other) if other == device)).collect()
}

pub(super) fn void() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "the refresh token is void: log in again")
}

pub(super) fn bad_credentials() -> Failure {
    Failure::new(ErrorCode::BadCredentials, "user or password is wrong")
}

#[cfg(test)]
mod tests;
