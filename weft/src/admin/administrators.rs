//! What an operator does with accounts, as administrators do over HTTP, and who is an administrator: `weft admin make-administrator` and its
//! kin. The core that runs does it, and writes it into the administrators' log.

use clap::Args;
use serde::Serialize;
use weft_proto::svc::{
    AccountAction, AccountState, AdminLogRow, Administer, ListAccounts, OperatorAdminister,
    OperatorListAccounts, OperatorReadAdminLog, ReadAdminLog, WrittenMessages,
};
use weft_proto::{ApiError, UserId};

use super::defaults::messages;
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// Whose account.
#[derive(Args, Clone, Debug)]
pub struct AccountOptions {
    /// The user.
    #[arg(id = "whom", value_name = "USER", value_parser = user)]
    user: UserId,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

/// Which account is deleted, and what becomes of what its user wrote.
#[derive(Args, Clone, Debug)]
pub struct DeleteOptions {
    #[command(flatten)]
    account: AccountOptions,
    /// What becomes of their messages: `keep`, `empty`, or `any`, as the installation has it.
    #[arg(long, value_parser = messages, default_value = "any")]
    messages: WrittenMessages,
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text).map_err(|error| error.message)
}

/// Deletes an account.
pub async fn delete(options: &DeleteOptions) -> Result<(), Error> {
    administer(AccountAction::Delete, &options.account, options.messages).await
}

/// Does it, and says what comes of it.
pub async fn act(action: AccountAction, options: &AccountOptions) -> Result<(), Error> {
    administer(action, options, WrittenMessages::Any).await
}

async fn administer(
    action: AccountAction,
    options: &AccountOptions,
    messages: WrittenMessages,
) -> Result<(), Error> {
    let AccountOptions { user, reason, installation } = options;
    let request = Administer {
        action: action.into(),
        user: user.to_string(),
        reason: reason.clone(),
        messages: messages.into(),
        ..Administer::default()
    };
    let bus = installation.connect().await?;
    let done = bus.call(&OperatorAdminister { request: Some(request) }).await;
    bus.close().await;
    let done = done.map_err(refused)?;
    say(match action {
        AccountAction::Make | AccountAction::Reset => &done.password,
        _ => "done",
    });
    Ok(())
}

/// An account, in one line of JSON.
#[derive(Serialize)]
struct AccountLine<'a> {
    user: &'a str,
    display_name: &'a str,
    is_bot: bool,
    created_ms: u64,
    is_admin: bool,
    /// 0: it is not suspended.
    suspended_ms: u64,
    /// 0: it is not deleted.
    deleted_ms: u64,
    /// Its password is good for one login, up to then; 0: it is the user's own.
    one_time_until_ms: u64,
}

/// Prints all accounts, a line each.
pub async fn users(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let (mut after, mut more) = (String::new(), true);
    while more {
        let request = ListAccounts { after, ..ListAccounts::default() };
        let page = bus.call(&OperatorListAccounts { request: Some(request) }).await;
        let page = page.map_err(refused)?;
        for account in &page.accounts {
            line(&AccountLine::of(account))?;
        }
        more = page.more;
        after = page.accounts.last().map(|it| it.user.clone()).unwrap_or_default();
    }
    bus.close().await;
    Ok(())
}

impl<'a> AccountLine<'a> {
    fn of(account: &'a AccountState) -> Self {
        Self {
            user: &account.user,
            display_name: &account.display_name,
            is_bot: account.is_bot,
            created_ms: account.created_ms,
            is_admin: account.is_admin,
            suspended_ms: account.suspended_ms,
            deleted_ms: account.deleted_ms,
            one_time_until_ms: account.one_time_until_ms,
        }
    }
}

/// What was done, in one line of JSON.
#[derive(Serialize)]
struct LogLine<'a> {
    id: &'a str,
    time_ms: u64,
    /// Which administrator; empty: an operator.
    by: &'a str,
    action: &'a str,
    user: &'a str,
    room: &'a str,
    seq: u64,
    reason: &'a str,
    /// The id of an invitation to make an account.
    invitation: &'a str,
}

/// Prints the administrators' log, a line each, newest first.
pub async fn log(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let (mut before, mut more) = (String::new(), true);
    while more {
        let request = ReadAdminLog { before, ..ReadAdminLog::default() };
        let page = bus.call(&OperatorReadAdminLog { request: Some(request) }).await;
        let page = page.map_err(refused)?;
        for row in &page.rows {
            line(&LogLine::of(row))?;
        }
        more = page.more;
        before = page.rows.last().map(|it| it.id.clone()).unwrap_or_default();
    }
    bus.close().await;
    Ok(())
}

impl<'a> LogLine<'a> {
    fn of(row: &'a AdminLogRow) -> Self {
        let AdminLogRow { id, time_ms, by, action, user, room, seq, reason, invitation } = row;
        Self { id, time_ms: *time_ms, by, action, user, room, seq: *seq, reason, invitation }
    }
}

/// Prints something as a line of JSON.
pub fn line(shown: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(shown);
    say(&text.map_err(|error| Error::Failed(format!("it can't be shown: {error}")))?);
    Ok(())
}

/// What core refused, as the command's failure.
pub fn refused(error: ApiError) -> Error {
    Error::Failed(error.to_string())
}
