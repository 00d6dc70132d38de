//! Requests and replies between the parts (`weft.svc.<service>.<method>`).
//!
//! On the wire: a version byte, then prost. A reply has one more byte: 0 = the message follows,
//! 1 = an [`ApiError`] follows, as JSON. Calls that speak for a user carry the user's own access
//! token; core verifies it again.

use prost::Message;

use crate::error::{ApiError, ErrorCode};

/// The version of the encoding. A reader refuses any other.
const VERSION: u8 = 1;
const OK: u8 = 0;
const ERROR: u8 = 1;

/// Ties a request to its subject and its reply.
pub trait Method: Message + Default {
    /// `accounts`, `admin`, `operator`, `rooms`, `log`, `journal`, `index`, `search`, `files`, `previews`, `push`, `feeds`, `webhooks`,
    /// `hooks`, `status` or `presence`.
    const SERVICE: &'static str;
    const METHOD: &'static str;
    type Reply: Message + Default;
}

#[must_use]
pub fn encode_request<M: Method>(request: &M) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + request.encoded_len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&request.encode_to_vec());
    bytes
}

/// Decodes a request.
///
/// # Errors
/// [`ErrorCode::BadRequest`] for another version or malformed bytes.
pub fn decode_request<M: Method>(bytes: &[u8]) -> Result<M, ApiError> {
    let malformed = || ApiError::new(ErrorCode::BadRequest, "malformed service request");
    match bytes.split_first() {
        Some((&VERSION, rest)) => M::decode(rest).map_err(|_| malformed()),
        _ => Err(malformed()),
    }
}

#[must_use]
pub fn encode_reply<R: Message>(reply: &Result<R, ApiError>) -> Vec<u8> {
    match reply {
        Ok(message) => {
            let mut bytes = vec![VERSION, OK];
            bytes.extend_from_slice(&message.encode_to_vec());
            bytes
        }
        Err(error) => {
            let mut bytes = vec![VERSION, ERROR];
            bytes.extend_from_slice(&serde_json::to_vec(error).unwrap_or_default());
            bytes
        }
    }
}

/// Decodes a reply.
///
/// # Errors
/// The error that core answered, or [`ErrorCode::Internal`] for malformed bytes.
pub fn decode_reply<R: Message + Default>(bytes: &[u8]) -> Result<R, ApiError> {
    let malformed = || ApiError::new(ErrorCode::Internal, "malformed service reply");
    match bytes {
        [VERSION, OK, rest @ ..] => R::decode(rest).map_err(|_| malformed()),
        [VERSION, ERROR, rest @ ..] => {
            Err(serde_json::from_slice(rest).unwrap_or_else(|_| malformed()))
        }
        _ => Err(malformed()),
    }
}

macro_rules! method {
    ($request:ident, $service:literal, $method:literal, $reply:ident) => {
        impl Method for $request {
            const SERVICE: &'static str = $service;
            const METHOD: &'static str = $method;
            type Reply = $reply;
        }
    };
}

/// `Debug` of messages with a password or a token in them: only these fields are shown.
macro_rules! redacted {
    ($($message:ident { $($field:ident),* })*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

/// Ties a request of an administrator to the same one of an operator, which has no token.
macro_rules! operator {
    ($operated:ident, $request:ident) => {
        #[derive(Clone, PartialEq, Message)]
        pub struct $operated {
            /// Its token is not looked at.
            #[prost(message, optional, tag = "1")]
            pub request: Option<$request>,
        }

        impl Method for $operated {
            const SERVICE: &'static str = "operator";
            const METHOD: &'static str = $request::METHOD;
            type Reply = <$request as Method>::Reply;
        }

        impl From<$operated> for $request {
            fn from($operated { request }: $operated) -> Self {
                request.unwrap_or_default()
            }
        }
    };
}

mod accounts;
mod admin;
mod audit;
mod bots;
mod defaults;
mod drafts;
mod feeds;
mod files;
mod groups;
mod hooks;
mod index;
mod inspection;
mod interactions;
mod invitations;
mod journal;
mod log;
mod messages;
mod presence;
mod previews;
mod push;
mod relations;
mod reports;
mod rooms;
mod scheduled;
mod scopes;
mod search;
mod sign_up;
mod webhooks;

pub use accounts::{
    ChangePassword, CheckLogins, CheckedLogins, DeleteAccount, Devices, FindUsers, FoundUsers,
    GetKeys, GetProfile, GetProfiles, Keys, ListDevices, LoggedInDevice, Login, Logout, Profile,
    Profiles, Refresh, SetProfile, Signup, Tokens, VerifyKey, WrittenMessages,
};
pub use admin::{
    AccountAction, AccountState, Accounts, AdminLogPage, AdminLogRow, Administer, Administered,
    ListAccounts, OperatorAdminister, OperatorListAccounts, OperatorReadAdminLog, ReadAdminLog,
};
pub use audit::{Audit, AuditPage, Change, ChangedRoom, ConcernedUser};
pub use bots::{
    Bot, BotScope, BotToken, BotTokens, Bots, DeleteBot, ListBotTokens, ListBots, MadeBotToken,
    MakeBot, MakeBotToken, OperatorDeleteBot, OperatorListBotTokens, OperatorListBots,
    OperatorMakeBot, OperatorMakeBotToken, OperatorRevokeBotToken, RevokeBotToken,
};
pub use defaults::{Defaults, GetDefaults, OperatorGetDefaults, OperatorSetDefault, SetDefault};
pub use drafts::{Drafts, ListDrafts};
pub use feeds::{
    Feed, FeedBot, FeedEntries, FeedEntry, FeedPlace, Feeds, FindBots, FoundBots, GetFeed,
    ListFeeds, ReadFeeds, SetFeed,
};
pub use files::{
    BeginFile, DiscardFile, DueFiles, File, FileDeleted, FileState, FinishFile, GetUrlKeys,
    ImageFacts, ListDueFiles, LookAtFile, UrlKeys,
};
pub use groups::{
    AskingUser, AskingUsers, Banned, BannedUser, FindGroups, FoundGroup, FoundGroups, Link, Links,
    ListAsking, ListBanned, ListLinks,
};
pub use hooks::{
    Hook, Hooks, ListHooks, MadeHook, MakeHook, OpenHook, OpenedHook, RemoveHook, RenewHook,
};
pub use index::{
    ChangedMessages, FoundEntries, IndexedMessage, IndexedRoom, IndexedRooms, ListIndexed,
    ListSearchable, Place, ReadChanged, ReadFound, SearchableRoom, SearchableRooms, WalkMessages,
    WalkedMessages,
};
pub use inspection::{
    InspectLog, InspectMembers, InspectRoom, OperatorInspectLog, OperatorInspectMembers,
    OperatorInspectRoom,
};
pub use interactions::{
    AnswerInteraction, AnswerState, BotCommand, BotCommands, Interact, Interacted, Interaction,
    ListBotCommands, SetBotCommands,
};
pub use invitations::{
    GroupInvitation, GroupInvitations, InvitedUser, InvitedUsers, ListGroupInvitations, ListInvited,
};
pub use journal::{
    CommittedEntry, CommittedMark, FollowJournal, FollowerPlace, Followers, Following,
    ForgetFollower, Forgotten, JournalCommit, JournalPage, ListFollowers, MoveFollower,
    ReadJournal,
};
pub use log::{LogEntry, LogPage, ReadLog, Resync, Sync, SyncPage};
pub use messages::{
    FollowedThread, FollowedThreads, ListPins, ListReactions, ListThreads, PinnedMessages,
    ReactionUsers, ReadVersions, Versions,
};
pub use presence::{
    Active, AreVisible, Attended, ChooseStatus, Companions, CountPresent, GetPresence, GetStatus,
    IsAttended, KeptStatus, KeptStatuses, ListCompanions, LoadStatuses, NoteActive, Presences,
    Present, UserPresence, Visible,
};
pub use previews::{BeginImage, FindLinks, FoundLink, FoundLinks, PutPreview};
pub use push::{
    DropPush, Invited, ListInvitedTargets, ListPushTargets, LookAtPush, Push, PushFacts,
    PushTarget, PushTargets, RemovePush, SetPush,
};
pub use relations::{ListRelations, Reached, Reaches, RelatedUser, Relations};
pub use reports::{
    ListReports, OperatorListReports, OperatorResolveReport, Report, ReportRow, Reports,
    ResolveReport,
};
pub use rooms::{
    GetRoom, Groups, ListGroups, ListMembers, ListReceipts, ListRooms, Member, Members, Partner,
    Receipt, Receipts, RoomSummary, Rooms,
};
pub use scheduled::{ListScheduled, ScheduledPage};
pub use scopes::Spoken;
pub use search::{
    AskSearchNode, FoundMessage, FoundMessages, Highlight, RoomCount, Search, SearchNodeState,
};

pub use sign_up::{
    GetSignUp, Invitation, ListInvitations, MakeInvitation, OperatorGetSignUp,
    OperatorListInvitations, OperatorMakeInvitation, OperatorRemoveInvitation, OperatorSetSignUp,
    RemoveInvitation, SetSignUp, SignUp,
};
pub use webhooks::{
    CLOUD_EVENTS, ChangeWebhook, CheckWebhookUrl, ListWebhookTargets, ListWebhooks, LookAtWebhook,
    MakeWebhook, NoteWebhook, OperatorResumeWebhook, RemoveWebhook, RenewWebhook, TestWebhook,
    Webhook, WebhookFacts, WebhookPlace, WebhookState, WebhookTarget, WebhookTargets, Webhooks,
};

#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_carry_a_message_or_an_error() {
        let profile = Profile { user: "alice".into(), ..Profile::default() };
        let bytes = encode_reply(&Ok(profile.clone()));
        assert_eq!(decode_reply::<Profile>(&bytes), Ok(profile));
        let error = ApiError::new(ErrorCode::Overloaded, "busy").retry_after_ms(250);
        let bytes = encode_reply::<Profile>(&Err(error.clone()));
        assert_eq!(decode_reply::<Profile>(&bytes), Err(error));
        assert_eq!(decode_reply::<Profile>(b"").expect_err("empty").code, ErrorCode::Internal);
        assert!(decode_request::<Login>(&[9]).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let (user, password) = ("alice".into(), "hunter22".into());
        let login = Login { user, password, device: "d".into(), ..Login::default() };
        let text = format!("{login:?}");
        assert!(text.contains("alice") && !text.contains("hunter22"), "{text}");
        let tokens = Tokens { token: "JWT".into(), refresh_token: "R".into(), ..Tokens::default() };
        let text = format!("{tokens:?}");
        assert!(!text.contains("JWT") && !text.contains("\"R\""), "{text}");
    }
}
