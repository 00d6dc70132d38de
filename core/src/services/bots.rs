//! Bots: accounts that are no person's. A user has some of their own, the installation has others; whoever has one makes
//! the tokens by which it comes in.
//!
//! A token is an access token with a long life and a scope, and its evidence is a row beside those of devices: so it is
//! listed, ends, and is looked at in each call as a person's login is (`callers`), and no secret of it is kept.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;
use weft_proto::check::check_chars;
use weft_proto::limits::{
    BOT_TOKEN_LIFE_S_DEFAULT, BOT_TOKEN_LIFE_S_MAX, BOTS_PER_USER_MAX, TITLE_CHARS_MAX,
    TOKENS_PER_BOT_MAX,
};
use weft_proto::scope::{Needs, Scope};
use weft_proto::svc::WrittenMessages;
use weft_proto::{ApiError, DeviceId, ErrorCode, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::admin_log::{self, AdminLog};
use weft_storage::tables::bot::{self, Bot};
use weft_storage::tables::bot_commands;
use weft_storage::tables::device::{self, BotToken, Device};
use weft_storage::{Batch, Snapshot};

use super::accounts::{ATTEMPTS_MAX, display_name};
use super::administration::{Authority, check_level};
use super::deletion::as_installed;
use super::failure::Failure;
use super::logins::EndedLogin;
use super::{Caller, Context, Login};

#[cfg(test)]
mod tests;

/// Rows that are read: of several that are made at the same time, each may see room for itself.
const BOTS_READ_MAX: usize = 2 * BOTS_PER_USER_MAX;
const TOKENS_READ_MAX: usize = 2 * TOKENS_PER_BOT_MAX;
/// A public key of a user, as NATS writes it.
const NKEY_CHARS: usize = 56;

/// A bot that somebody asks something of who may.
struct Kept {
    snapshot: Arc<dyn Snapshot>,
    bot: UserId,
    row: Bytes,
    /// Guarded by the bot, and by who asks; with a row of the administrators' log, where it is not their own bot.
    batch: Batch,
    now_ms: u64,
}

impl Context {
    /// Makes a bot.
    ///
    /// # Errors
    /// [`ErrorCode::UserExists`], [`ErrorCode::LimitReached`], [`ErrorCode::Forbidden`], [`ErrorCode::TooLong`],
    /// [`ErrorCode::BadId`], [`ErrorCode::UnknownType`] below the level, those of the token, or the store's.
    pub async fn make_bot(
        &self,
        authority: Authority,
        request: svc::MakeBot,
    ) -> Result<svc::Bot, Failure> {
        let bot = UserId::new(&request.bot)?;
        let display_name = display_name(request.display_name, &bot)?;
        for _ in 0..ATTEMPTS_MAX {
            let is_own = matches!(authority, Authority::Token) && !request.of_installation;
            let snapshot;
            let (mut batch, owner, now_ms) = if is_own {
                snapshot = self.store.snapshot().await?;
                let user = self.caller_who(&*snapshot, &request.token, Needs::Person).await?.user;
                check_level(&*snapshot).await?;
                let mut batch = Batch::new(rand::random());
                let row = snapshot.get(account::key(&user)).await?;
                batch.guard(account::key(&user), row);
                if bot::of_owner(&*snapshot, &user, BOTS_READ_MAX).await?.len() >= BOTS_PER_USER_MAX
                {
                    let message = format!("a user has at most {BOTS_PER_USER_MAX} bots");
                    return Err(ApiError::new(ErrorCode::LimitReached, message).into());
                }
                (batch, user.to_string(), self.clock.now_ms())
            } else {
                let told = told("make_bot", &bot);
                let begun = self.begin_action(&authority, &request.token, &told).await?;
                snapshot = begun.snapshot;
                (begun.batch, String::new(), begun.now_ms)
            };
            if snapshot.get(account::key(&bot)).await?.is_some() {
                return Err(Failure::new(ErrorCode::UserExists, "the user id is taken"));
            }
            let made = Account {
                display_name: display_name.clone(),
                is_bot: true,
                created_ms: now_ms,
                ..Account::default()
            };
            let row = Bot { owner, made_ms: now_ms };
            batch.guard(account::key(&bot), None);
            batch.guard(bot::key(&bot), None);
            // First: it says whose it is, where it is not known whether the commit was made.
            bot::put(&mut batch, &bot, &row);
            account::put(&mut batch, &bot, None, &made);
            if self.commit(batch).await? {
                return Ok(shown(&bot, &row, &made));
            }
        }
        Err(Failure::contended())
    }

    /// The caller's bots, or all of them.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn bots(
        &self,
        authority: Authority,
        request: svc::ListBots,
    ) -> Result<svc::Bots, Failure> {
        let snapshot = self.store.snapshot().await?;
        let (rows, more) = if request.all || matches!(authority, Authority::Operator) {
            self.by(&*snapshot, &authority, &request.token).await?;
            let after = Some(&*request.after).filter(|after| !after.is_empty());
            let after = after.map(UserId::new).transpose()?;
            let limit = self.rows_max(request.limit);
            let mut rows = bot::page_after(&*snapshot, after.as_ref(), limit + 1).await?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            (rows, more)
        } else {
            let user = self.caller_who(&*snapshot, &request.token, Needs::Person).await?.user;
            let mut rows = Vec::new();
            for bot in bot::of_owner(&*snapshot, &user, BOTS_READ_MAX).await? {
                let row = snapshot.get(bot::key(&bot)).await?;
                rows.extend(row.as_deref().map(Bot::decode).transpose()?.map(|row| (bot, row)));
            }
            (rows, false)
        };
        let keys = rows.iter().map(|(bot, _)| account::key(bot)).collect();
        let mut bots = Vec::with_capacity(rows.len());
        for ((bot, row), account) in rows.iter().zip(snapshot.get_many(keys).await?) {
            let account = account.as_deref().map(Account::decode).transpose()?.unwrap_or_default();
            bots.push(shown(bot, row, &account));
        }
        Ok(svc::Bots { bots, more })
    }

    /// Deletes a bot, as an account is.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchUser`], [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn delete_bot(
        &self,
        authority: Authority,
        request: svc::DeleteBot,
    ) -> Result<Vec<EndedLogin>, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let kept = self.kept(&authority, (&request.token, &request.bot), "delete_bot").await?;
            let Kept { snapshot, bot, mut batch, .. } = kept;
            let account = read_account(&*snapshot, &bot).await?;
            let messages = as_installed(&*snapshot, &mut batch, WrittenMessages::Any).await?;
            let ended = self.end_all(&*snapshot, &mut batch, (&bot, &account), messages).await?;
            if self.commit(batch).await? {
                return Ok(ended);
            }
        }
        Err(Failure::contended())
    }

    /// Makes a token for a bot. Those that have ended make room.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchUser`], [`ErrorCode::Forbidden`], [`ErrorCode::LimitReached`], [`ErrorCode::BadRequest`],
    /// [`ErrorCode::TooLong`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn make_bot_token(
        &self,
        authority: Authority,
        request: svc::MakeBotToken,
    ) -> Result<svc::MadeBotToken, Failure> {
        let svc::MakeBotToken { token, bot, name, scope, life_s, nkey } = request;
        check_chars("name", &name, TITLE_CHARS_MAX)?;
        let scope = Scope::try_from(scope.unwrap_or_default())?.checked()?;
        let life_s = match life_s {
            0 => BOT_TOKEN_LIFE_S_DEFAULT,
            asked if asked <= BOT_TOKEN_LIFE_S_MAX => asked,
            _ => {
                let message = format!("a token is good for at most {BOT_TOKEN_LIFE_S_MAX} seconds");
                return Err(ApiError::new(ErrorCode::BadRequest, message).into());
            }
        };
        check_nkey(&nkey)?;
        for _ in 0..ATTEMPTS_MAX {
            let kept = self.kept(&authority, (&token, &bot), "make_bot_token").await?;
            let Kept { snapshot, bot, row, mut batch, now_ms } = kept;
            let (mut good, range) = (0, device::range(&bot));
            for (key, row) in snapshot.scan(range, TOKENS_READ_MAX, false).await? {
                if Device::decode(&row)?.refresh_expires_ms > now_ms {
                    good += 1;
                } else {
                    batch.guard(key.clone(), Some(row));
                    batch.clear(key);
                }
            }
            if good >= TOKENS_PER_BOT_MAX {
                let message = format!("a bot has at most {TOKENS_PER_BOT_MAX} tokens");
                return Err(ApiError::new(ErrorCode::LimitReached, message).into());
            }
            let device = DeviceId::new(&format!("t-{:016x}", rand::random::<u64>()))?;
            let caller = Caller {
                user: bot.clone(),
                device: device.clone(),
                login: Login::MadeAt(now_ms),
                scope: Some(Arc::new(scope.clone())),
                nkey: Some(&*nkey).filter(|nkey| !nkey.is_empty()).map(Into::into),
            };
            let (secret, expires_ms) = self.tokens.issue_for(&caller, life_s)?;
            let told = svc::BotScope::from(scope.clone());
            let made = Device {
                // Of nothing that anybody knows: it is not refreshed.
                refresh_hash: rand::random::<[u8; 32]>().to_vec(),
                refresh_expires_ms: expires_ms,
                login_ms: now_ms,
                bot_token: Some(BotToken {
                    name: name.clone(),
                    owner: Bot::decode(&row)?.owner,
                    rooms: told.rooms,
                    kinds: told.kinds,
                    is_read_only: told.is_read_only,
                    nkey: nkey.clone(),
                }),
                ..Device::default()
            };
            batch.guard(device::key(&bot, &device), None);
            batch.set(device::key(&bot, &device), made.encode());
            if self.commit(batch).await? {
                return Ok(svc::MadeBotToken { id: device.to_string(), token: secret, expires_ms });
            }
        }
        Err(Failure::contended())
    }

    /// A bot's tokens that are good.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchUser`], [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn bot_tokens(
        &self,
        authority: Authority,
        request: svc::ListBotTokens,
    ) -> Result<svc::BotTokens, Failure> {
        // It is begun as what changes something, and nothing is committed.
        let kept = self.kept(&authority, (&request.token, &request.bot), "list_bot_tokens").await?;
        let Kept { snapshot, bot, now_ms, .. } = kept;
        let mut tokens = Vec::new();
        for (key, row) in snapshot.scan(device::range(&bot), TOKENS_READ_MAX, false).await? {
            let (id, row) = (device::device(&key)?.to_string(), Device::decode(&row)?);
            let Some(of) = row.bot_token.filter(|_| row.refresh_expires_ms > now_ms) else {
                continue;
            };
            let BotToken { name, rooms, kinds, is_read_only, nkey, .. } = of;
            let scope = Some(svc::BotScope { rooms, kinds, is_read_only });
            let (made_ms, expires_ms) = (row.login_ms, row.refresh_expires_ms);
            tokens.push(svc::BotToken { id, name, scope, made_ms, expires_ms, nkey });
        }
        tokens.sort_by_key(|token| Reverse(token.made_ms));
        Ok(svc::BotTokens { tokens })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::NoSuchUser`], [`ErrorCode::Forbidden`], [`ErrorCode::BadId`], those of the token,
    /// or the store's.
    pub async fn revoke_bot_token(
        &self,
        authority: Authority,
        request: svc::RevokeBotToken,
    ) -> Result<EndedLogin, Failure> {
        let device = DeviceId::new(&request.id)?;
        for _ in 0..ATTEMPTS_MAX {
            let asked = (&*request.token, &*request.bot);
            let Kept { snapshot, bot, mut batch, .. } =
                self.kept(&authority, asked, "revoke_bot_token").await?;
            let key = device::key(&bot, &device);
            let row = snapshot.get(key.clone()).await?;
            if row.is_none() {
                return Err(Failure::new(ErrorCode::NotFound, "the bot has no such token"));
            }
            batch.guard(key.clone(), row);
            batch.clear(key);
            if self.commit(batch).await? {
                return Ok(EndedLogin { user: bot, devices: vec![device] });
            }
        }
        Err(Failure::contended())
    }

    /// What of the deletion of an account is done at once, and of those of its bots: whose logins have ended.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn end_all(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        (user, before): (&UserId, &Account),
        messages: WrittenMessages,
    ) -> Result<Vec<EndedLogin>, Failure> {
        let mut ended = vec![logins_of(snapshot, user).await?];
        self.end(batch, user, before, messages);
        if let Some(row) = snapshot.get(bot::key(user)).await? {
            bot::clear(batch, user, row)?;
            batch.clear(bot_commands::key(user));
        }
        for bot in bot::of_owner(snapshot, user, BOTS_READ_MAX).await? {
            let keys = vec![account::key(&bot), bot::key(&bot)];
            let mut rows = snapshot.get_many(keys).await?.into_iter();
            if let Some(row) = rows.next().flatten() {
                let account = Account::decode(&row)?;
                ended.push(logins_of(snapshot, &bot).await?);
                batch.guard(account::key(&bot), Some(row));
                self.end(batch, &bot, &account, messages);
            }
            if let Some(row) = rows.next().flatten() {
                bot::clear(batch, &bot, row)?;
                batch.clear(bot_commands::key(&bot));
            }
        }
        Ok(ended)
    }

    /// A bot of the caller's; or any one, where they administer.
    async fn kept(
        &self,
        authority: &Authority,
        (token, bot): (&str, &str),
        action: &str,
    ) -> Result<Kept, Failure> {
        let bot = UserId::new(bot)?;
        let snapshot = self.store.snapshot().await?;
        let row = snapshot.get(bot::key(&bot)).await?;
        let no_such_bot = || Failure::new(ErrorCode::NoSuchUser, "there is no such bot");
        let now_ms = self.clock.now_ms();
        let mut batch = Batch::new(rand::random());
        let is_own = match authority {
            Authority::Operator => false,
            Authority::Token => {
                let user = self.caller_who(&*snapshot, token, Needs::Person).await?.user;
                let row = row.as_deref().map(Bot::decode).transpose()?;
                row.is_some_and(|row| row.is_of(&user))
            }
        };
        if !is_own {
            let by = match self.by(&*snapshot, authority, token).await {
                // Whose bots there are is nobody else's business.
                Err(Failure::Refused(error)) if error.code == ErrorCode::Forbidden => {
                    return Err(no_such_bot());
                }
                by => by?,
            };
            by.guard(&mut batch);
            let told = AdminLog { by: by.name(), ..told(action, &bot) };
            admin_log::put(&mut batch, (now_ms, rand::random()), &told);
        }
        let row = row.ok_or_else(no_such_bot)?;
        batch.guard(bot::key(&bot), Some(row.clone()));
        Ok(Kept { snapshot, bot, row, batch, now_ms })
    }
}

/// The bots of a user: edges are told what becomes of them with the user.
pub(super) async fn bots_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Vec<UserId>, weft_storage::Error> {
    bot::of_owner(snapshot, user, BOTS_READ_MAX).await
}

async fn read_account(snapshot: &dyn Snapshot, bot: &UserId) -> Result<Account, Failure> {
    let row = snapshot.get(account::key(bot)).await?;
    Ok(row.as_deref().map(Account::decode).transpose()?.unwrap_or_default())
}

async fn logins_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<EndedLogin, weft_storage::Error> {
    let rows = snapshot.scan(device::range(user), TOKENS_READ_MAX, false).await?;
    let devices = rows.iter().map(|(key, _)| device::device(key)).collect::<Result<_, _>>()?;
    Ok(EndedLogin { user: user.clone(), devices })
}

fn told(action: &str, bot: &UserId) -> AdminLog {
    AdminLog { action: action.to_owned(), user: bot.to_string(), ..AdminLog::default() }
}

fn shown(bot: &UserId, row: &Bot, account: &Account) -> svc::Bot {
    svc::Bot {
        bot: bot.to_string(),
        display_name: account.display_name.clone(),
        owner: row.owner.clone(),
        made_ms: row.made_ms,
        suspended_ms: account.suspended_ms,
    }
}

/// Of its form alone: whether somebody has the key, NATS finds out.
fn check_nkey(nkey: &str) -> Result<(), ApiError> {
    let is_base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    let is_one = nkey.len() == NKEY_CHARS && nkey.starts_with('U') && nkey.bytes().all(is_base32);
    match nkey.is_empty() || is_one {
        true => Ok(()),
        false => {
            let message = "the field nkey is the public key of a user, as nk -gen user makes it";
            Err(ApiError::new(ErrorCode::BadRequest, message))
        }
    }
}
