//! What administrators of the installation ask for (`weft.svc.admin.…`, with their own tokens), and operators
//! (`weft.svc.operator.…`, without one: edges may not call these).

use std::fmt;

use prost::Message;

use super::{Method, WrittenMessages};

redacted! {
    Administer { action }
    Administered {}
    ListAccounts { after, limit }
    ReadAdminLog { before, limit }
}

/// What is done to an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum AccountAction {
    /// An older core does not know it.
    Unknown = 0,
    /// Makes it, with a password for one login.
    Make = 1,
    /// Ends all its logins, and lets it make none.
    Suspend = 2,
    Unsuspend = 3,
    /// Ends all its logins, and gives it a password for one login.
    Reset = 4,
    /// Makes its user an administrator: for operators alone.
    MakeAdministrator = 5,
    /// For operators alone.
    RemoveAdministrator = 6,
    /// Deletes it, as its user may.
    Delete = 7,
}

impl AccountAction {
    /// As the administrators' log has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Make => "make_user",
            Self::Suspend => "suspend",
            Self::Unsuspend => "unsuspend",
            Self::Reset => "reset",
            Self::MakeAdministrator => "make_administrator",
            Self::RemoveAdministrator => "remove_administrator",
            Self::Delete => "delete_user",
        }
    }
}

/// Does something to an account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Administer {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(enumeration = "AccountAction", tag = "2")]
    pub action: i32,
    #[prost(string, tag = "3")]
    pub user: String,
    /// Why, for the administrators' log.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// Of an account that is made; empty: the user id.
    #[prost(string, tag = "5")]
    pub display_name: String,
    /// Of an account that is deleted.
    #[prost(enumeration = "WrittenMessages", tag = "6")]
    pub messages: i32,
}
method!(Administer, "admin", "administer", Administered);
operator!(OperatorAdminister, Administer);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Administered {
    /// The password for one login, where one was made.
    #[prost(string, tag = "1")]
    pub password: String,
    /// Up to when it is good, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub password_until_ms: u64,
}

/// Lists all accounts.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListAccounts {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListAccounts, "admin", "accounts", Accounts);
operator!(OperatorListAccounts, ListAccounts);

#[derive(Clone, PartialEq, Message)]
pub struct Accounts {
    /// Ascending by user id.
    #[prost(message, repeated, tag = "1")]
    pub accounts: Vec<AccountState>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// An account, as administrators see it.
#[derive(Clone, PartialEq, Message)]
pub struct AccountState {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub display_name: String,
    #[prost(bool, tag = "3")]
    pub is_bot: bool,
    #[prost(uint64, tag = "4")]
    pub created_ms: u64,
    #[prost(bool, tag = "5")]
    pub is_admin: bool,
    /// Unix milliseconds; 0: it is not suspended.
    #[prost(uint64, tag = "6")]
    pub suspended_ms: u64,
    /// Its password is good for one login, up to then; 0: it is the user's own.
    #[prost(uint64, tag = "7")]
    pub one_time_until_ms: u64,
    /// Unix milliseconds; 0: it is not deleted.
    #[prost(uint64, tag = "8")]
    pub deleted_ms: u64,
}

/// Reads what administrators and operators have done, newest first.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ReadAdminLog {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only what comes before this one, by its id; empty: from the newest.
    #[prost(string, tag = "2")]
    pub before: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ReadAdminLog, "admin", "log", AdminLogPage);
operator!(OperatorReadAdminLog, ReadAdminLog);

#[derive(Clone, PartialEq, Message)]
pub struct AdminLogPage {
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<AdminLogRow>,
    /// There are more: ask again with `before` = the last one's id.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct AdminLogRow {
    #[prost(string, tag = "1")]
    pub id: String,
    /// Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub time_ms: u64,
    /// Which administrator; empty: an operator.
    #[prost(string, tag = "3")]
    pub by: String,
    #[prost(string, tag = "4")]
    pub action: String,
    /// Empty: none.
    #[prost(string, tag = "5")]
    pub user: String,
    /// Empty: none.
    #[prost(string, tag = "6")]
    pub room: String,
    /// 0: none.
    #[prost(uint64, tag = "7")]
    pub seq: u64,
    #[prost(string, tag = "8")]
    pub reason: String,
    /// An invitation's id; empty: none.
    #[prost(string, tag = "9")]
    pub invitation: String,
}
