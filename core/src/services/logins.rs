//! Logins: a password for tokens, a refresh token for new ones, and their ends.

use bytes::Bytes;
use weft_proto::{DeviceId, ErrorCode, UserId, svc};
use weft_storage::engine::Pair;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};
use weft_storage::{Batch, Snapshot};

use super::accounts::{ATTEMPTS_MAX, check_password};
use super::failure::Failure;
use super::refresh_token::{Family, REPEAT_MS, RefreshToken};
use super::sign_ins::Attempt;
use super::{Caller, Context, Login, refresh_token};
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
pub struct Ended {
    pub user: UserId,
    pub devices: Vec<DeviceId>,
}

/// What a refresh token was traded for.
pub enum Refreshed {
    Tokens(svc::Tokens),
    /// Nothing: it had been traded before, so two have it, and the login has ended.
    Ended(Ended),
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
    /// [`ErrorCode::RateLimited`], [`ErrorCode::BadId`], [`ErrorCode::Overloaded`], or the store's.
    pub async fn login(&self, request: svc::Login) -> Result<svc::Tokens, Failure> {
        let user = UserId::new(&request.user)?;
        let device = DeviceId::new(&request.device)?;
        let device_key = device::key(&user, &device);
        let attempt = self
            .sign_ins
            .admit(&user, &request.network)
            .inspect_err(|_| SIGN_INS.increment("limited"))?;
        for _ in 0..ATTEMPTS_MAX {
            let found = self.account(&user).await?;
            let hash = found.as_ref().map(|(_, account)| account.password_hash.clone());
            self.check_credentials(&request.password, hash, attempt).await?;
            let Some((account_row, _)) = found else { return Err(bad_credentials()) };

            let now_ms = self.clock.now_ms();
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
            for (key, row) in self.surplus_logins(&user, &device_key).await? {
                batch.guard(key.clone(), Some(row));
                batch.clear(key);
            }
            if self.commit(batch).await? {
                SIGN_INS.increment("ok");
                self.sign_ins.proved(&user, &request.network);
                let caller = Caller { user, device, login: Login::MadeAt(login_ms) };
                return self.tokens_for(caller, refresh_token);
            }
        }
        Err(Failure::contended())
    }

    /// Trades a refresh token for new tokens. Where the answer was lost, the same one may be traded
    /// once more, within a minute. One that is used after that is in two hands: the login ends.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`], or the store's.
    pub async fn refresh(&self, request: svc::Refresh) -> Result<Refreshed, Failure> {
        let used = refresh_token::parse(&request.refresh_token).ok_or_else(void)?;
        let key = device::key(&used.user, &used.device);
        for _ in 0..ATTEMPTS_MAX {
            let row = self.store.snapshot().await?.get(key.clone()).await?.ok_or_else(void)?;
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
                        return Ok(Refreshed::Ended(Ended { user, devices }));
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
                    };
                    batch.set(key.clone(), renewed.encode());
                    if self.commit(batch).await? {
                        self.sign_ins.proved(&used.user, &request.network);
                        let login = Login::MadeAt(login.login_ms);
                        let caller = Caller { user: used.user, device: used.device, login };
                        return self.tokens_for(caller, refresh_token).map(Refreshed::Tokens);
                    }
                }
            }
        }
        Err(Failure::contended())
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
    /// [`ErrorCode::RateLimited`], [`ErrorCode::Overloaded`], those of the token, or the store's.
    pub async fn password(&self, request: svc::ChangePassword) -> Result<Ended, Failure> {
        check_password("new", &request.new)?;
        let mut new_hash = None;
        let Caller { user, device, .. } = self.tokens.verify(&request.token)?;
        self.sign_ins.admit_device(&user, &device)?;
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
            let old_hash = Some(account.password_hash.clone());
            self.check_credentials(&request.old, old_hash, Attempt::Known).await?;
            let password_hash = match new_hash {
                Some(hash) => hash,
                None => self.passwords.hash(request.new.clone(), Attempt::Known).await?,
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
    async fn check_credentials(
        &self,
        password: &str,
        hash: Option<String>,
        attempt: Attempt,
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

pub(super) fn void() -> Failure {
    Failure::new(ErrorCode::Unauthorized, "the refresh token is void: log in again")
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
        let login = svc::Login {
            user: "alice".into(),
            password: password.into(),
            device: device.into(),
            ..svc::Login::default()
        };
        world.context.login(login).await
    }

    async fn refresh(world: &World, tokens: &svc::Tokens) -> Result<svc::Tokens, Failure> {
        let refresh_token = tokens.refresh_token.clone();
        match world
            .context
            .refresh(svc::Refresh { refresh_token, ..svc::Refresh::default() })
            .await?
        {
            Refreshed::Tokens(tokens) => Ok(tokens),
            Refreshed::Ended(_) => Err(void()),
        }
    }

    async fn lasts(world: &World, tokens: &svc::Tokens) -> bool {
        let request = svc::CheckLogins { tokens: vec![tokens.token.clone()] };
        world.context.check_logins(request).await.expect("check").lasts[0]
    }

    #[tokio::test]
    async fn the_login_that_was_not_used_for_longest_makes_room() {
        let world = with_alice().await;
        let mut tokens = Vec::new();
        for number in 0..LOGINS_MAX {
            world.clock.advance_ms(1_000);
            tokens.push(login(&world, &format!("d{number}"), "hunter22").await.expect("login"));
        }
        world.clock.advance_ms(1_000);
        // The first one is used again, so the second one is the oldest. One that logs in anew takes no room.
        tokens[0] = refresh(&world, &tokens[0]).await.expect("refreshed");
        tokens[5] = login(&world, "d5", "hunter22").await.expect("login");
        let lasting = async |tokens: &[svc::Tokens]| {
            let mut lasting = Vec::new();
            for (number, tokens) in tokens.iter().enumerate() {
                lasting.extend(lasts(&world, tokens).await.then_some(number));
            }
            lasting
        };
        assert_eq!(lasting(&tokens).await.len(), LOGINS_MAX);
        tokens.push(login(&world, "one-more", "hunter22").await.expect("login"));
        let all_but_one: Vec<usize> = (0..=LOGINS_MAX).filter(|number| *number != 1).collect();
        assert_eq!(lasting(&tokens).await, all_but_one);
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
        let nobody = svc::Login {
            user: "nobody".into(),
            password: "hunter22".into(),
            device: "d".into(),
            ..svc::Login::default()
        };
        assert_eq!(code(world.context.login(nobody).await), ErrorCode::BadCredentials);
    }

    #[tokio::test]
    async fn a_refresh_may_be_repeated_once_within_a_minute() {
        let world = with_alice().await;
        let first = login(&world, "phone", "hunter22").await.expect("login");
        // Its answer is lost, so the client never has what it brought.
        refresh(&world, &first).await.expect("refresh");
        world.clock.advance_ms(REPEAT_MS - 1);
        let third = refresh(&world, &first).await.expect("once more");
        let fourth = refresh(&world, &third).await.expect("the new one works");
        assert!(lasts(&world, &first).await, "the login is the same");
        world.clock.advance_ms(refresh_token::LIFE_MS);
        assert_eq!(code(refresh(&world, &fourth).await), ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn a_refresh_token_in_two_hands_ends_the_login() {
        for (late_ms, uses) in [(REPEAT_MS, 1), (0, 2)] {
            let world = with_alice().await;
            let other = login(&world, "laptop", "hunter22").await.expect("login");
            let first = login(&world, "phone", "hunter22").await.expect("login");
            let mut newest = first.clone();
            for _ in 0..uses {
                newest = refresh(&world, &first).await.expect("in time");
            }
            world.clock.advance_ms(late_ms);
            assert!(lasts(&world, &newest).await);
            let again = svc::Refresh {
                refresh_token: first.refresh_token.clone(),
                ..svc::Refresh::default()
            };
            let Refreshed::Ended(told) = world.context.refresh(again).await.expect("ended") else {
                panic!("it brought tokens");
            };
            assert_eq!(told, ended(&["phone"]));
            assert_eq!(code(refresh(&world, &newest).await), ErrorCode::Unauthorized);
            assert!(!lasts(&world, &newest).await && lasts(&world, &other).await);
            // The next login is another one.
            let next = login(&world, "phone", "hunter22").await.expect("login");
            assert_eq!(code(refresh(&world, &newest).await), ErrorCode::Unauthorized);
            assert!(lasts(&world, &next).await);
        }
    }

    /// A thief repeats in time; then the owner comes with what they got.
    #[tokio::test]
    async fn what_a_repeat_replaced_is_in_two_hands_too() {
        let world = with_alice().await;
        let first = login(&world, "phone", "hunter22").await.expect("login");
        let owners = refresh(&world, &first).await.expect("the owner");
        let thiefs = refresh(&world, &first).await.expect("the thief");
        assert_eq!(code(refresh(&world, &owners).await), ErrorCode::Unauthorized);
        assert_eq!(code(refresh(&world, &thiefs).await), ErrorCode::Unauthorized);
    }

    #[tokio::test]
    async fn a_secret_that_is_made_up_ends_nothing() {
        let world = with_alice().await;
        let tokens = login(&world, "phone", "hunter22").await.expect("login");
        for forged in ["", "alice.phone", &format!("alice.phone.{}", "0".repeat(64))] {
            let forged = svc::Refresh { refresh_token: forged.into(), ..svc::Refresh::default() };
            assert_eq!(code(world.context.refresh(forged).await), ErrorCode::Unauthorized);
        }
        let (one, two) = tokio::join!(refresh(&world, &tokens), refresh(&world, &tokens));
        assert!(one.is_ok() && two.is_ok(), "two at once are a repeat");
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

    #[tokio::test]
    async fn passwords_are_tried_slowly_and_the_owner_is_not_kept_out() {
        let world = with_alice().await;
        let from = async |user: &str, password: &str, network: &str| {
            let (user, password, network) = (user.into(), password.into(), network.into());
            let login = svc::Login { user, password, device: "phone".into(), network };
            world.context.login(login).await
        };
        from("alice", "hunter22", "198.51.100.7").await.expect("at home");
        // Somebody from elsewhere, whether the user exists or not.
        for user in ["alice", "nobody"] {
            let mut wrong = 0;
            while code(from(user, "hunter23", "192.0.2.1").await) == ErrorCode::BadCredentials {
                wrong += 1;
            }
            assert_eq!(wrong, 20, "{user}");
            // The right one tells nothing then.
            let refused = from(user, "hunter22", "192.0.2.1").await;
            assert_eq!(code(refused), ErrorCode::RateLimited, "{user}");
        }
        from("alice", "hunter22", "198.51.100.7").await.expect("at home");
        from("alice", "hunter22", "203.0.113.5").await.expect("elsewhere");
    }

    #[tokio::test]
    async fn who_is_signed_in_tries_the_password_slowly_too() {
        let world = with_alice().await;
        let token = login(&world, "phone", "hunter22").await.expect("login").token;
        let change = async |old: &str| {
            let (token, old, new) = (token.clone(), old.into(), "hunter33".into());
            world.context.password(svc::ChangePassword { token, old, new }).await
        };
        let mut wrong = 0;
        while code(change("hunter23").await) == ErrorCode::BadCredentials {
            wrong += 1;
        }
        assert_eq!(wrong, 20);
        assert_eq!(code(change("hunter22").await), ErrorCode::RateLimited);
    }
}
