//! What each request that speaks for a user needs of its token's scope: the one table. Core asks for it in every call,
//! so that a request without a line here can't be answered.

use super::{
    Administer, AnswerInteraction, AreVisible, BeginFile, ChangePassword, ChangeWebhook,
    ChooseStatus, DeleteAccount, DiscardFile, FindGroups, FindUsers, GetFeed, GetProfile,
    GetProfiles, GetRoom, GetStatus, Interact, ListAsking, ListBanned, ListBotCommands,
    ListCompanions, ListDevices, ListDrafts, ListGroupInvitations, ListGroups, ListHooks,
    ListInvited, ListLinks, ListMembers, ListPins, ListReactions, ListReceipts, ListRelations,
    ListRooms, ListScheduled, ListSearchable, ListThreads, ListWebhooks, Logout, LookAtFile,
    MakeHook, MakeWebhook, Method, Reaches, ReadFound, ReadLog, ReadVersions, RemoveHook,
    RemovePush, RemoveWebhook, RenewHook, RenewWebhook, Report, SetBotCommands, SetFeed,
    SetProfile, SetPush, Sync, TestWebhook,
};
use crate::scope::Needs;

/// A request that speaks for a user.
pub trait Spoken: Method {
    /// The user's access token.
    fn token(&self) -> &str;

    /// What it needs where that is a bot's.
    fn needs(&self) -> Needs<'_>;
}

macro_rules! needs {
    ($($Request:ident: |$it:ident| $needs:expr;)*) => {$(
        impl Spoken for $Request {
            fn token(&self) -> &str {
                &self.token
            }

            fn needs(&self) -> Needs<'_> {
                let $it = self;
                $needs
            }
        }
    )*};
}

needs! {
    // The caller, and what everybody may see.
    GetProfile: |_it| Needs::Nothing;
    GetProfiles: |_it| Needs::Nothing;
    // Whether the other one of a direct room hears who types: the edge has looked at the scope.
    Reaches: |_it| Needs::Nothing;
    // A token may end itself.
    Logout: |it| if it.device.is_empty() { Needs::Nothing } else { Needs::Person };

    // One room.
    GetRoom: |it| Needs::Read(&it.room);
    ReadLog: |it| Needs::Read(&it.room);
    ReadVersions: |it| Needs::Read(&it.room);
    ListMembers: |it| Needs::Read(&it.room);
    ListBanned: |it| Needs::Read(&it.room);
    ListAsking: |it| Needs::Read(&it.room);
    ListInvited: |it| Needs::Read(&it.room);
    ListLinks: |it| Needs::Read(&it.room);
    ListHooks: |it| Needs::Read(&it.room);
    ListReceipts: |it| Needs::Read(&it.room);
    ListPins: |it| Needs::Read(&it.room);
    ListThreads: |it| Needs::Read(&it.room);
    ListReactions: |it| Needs::Read(&it.room);
    Report: |it| Needs::Write(&it.room);
    ListBotCommands: |it| Needs::Read(&it.room);
    // Its room is in what it answers: core looks at that itself.
    AnswerInteraction: |_it| Needs::Nothing;
    // Bots tell bots nothing: two of them would not end.
    Interact: |_it| Needs::Person;

    // Those of the caller's rooms that the scope has.
    ListRooms: |_it| Needs::ReadSome;
    ListGroups: |_it| Needs::ReadSome;
    Sync: |_it| Needs::ReadSome;
    ReadFound: |_it| Needs::ReadSome;
    ListSearchable: |it| of_room(&it.room, Needs::ReadSome);

    // What is of no room.
    ListDrafts: |_it| Needs::ReadAll;
    ListScheduled: |_it| Needs::ReadAll;
    ListRelations: |_it| Needs::ReadAll;
    ListGroupInvitations: |_it| Needs::ReadAll;
    ListCompanions: |_it| Needs::ReadAll;
    GetStatus: |_it| Needs::ReadAll;
    FindUsers: |_it| Needs::ReadAll;
    FindGroups: |_it| Needs::ReadAll;
    AreVisible: |it| of_room(&it.room, Needs::ReadAll);
    SetProfile: |_it| Needs::WriteAll;
    // The feed is of all rooms of the bot.
    GetFeed: |_it| Needs::ReadAll;
    SetFeed: |_it| Needs::WriteAll;
    SetBotCommands: |_it| Needs::WriteAll;
    ChooseStatus: |_it| Needs::WriteAll;

    // Files: one's own, a user's avatar, or those of a room. What was reported is for administrators.
    BeginFile: |_it| Needs::Upload;
    DiscardFile: |_it| Needs::Upload;
    LookAtFile: |it| match it.report.is_empty() {
        true => of_room(&it.room, Needs::Nothing),
        false => Needs::Person,
    };

    // A hook is good for longer than the token that makes it, and for more than its scope.
    MakeHook: |_it| Needs::Person;
    RenewHook: |_it| Needs::Person;
    RemoveHook: |_it| Needs::Person;

    // What bots have not: a password, devices that are notified, rights over the installation.
    ListDevices: |_it| Needs::Person;
    ChangePassword: |_it| Needs::Person;
    DeleteAccount: |_it| Needs::Person;
    SetPush: |_it| Needs::Person;
    RemovePush: |_it| Needs::Person;
    Administer: |_it| Needs::Person;

    // Bots have streams of their own: what people send elsewhere is theirs.
    MakeWebhook: |_it| Needs::Person;
    ListWebhooks: |_it| Needs::Person;
    ChangeWebhook: |_it| Needs::Person;
    RemoveWebhook: |_it| Needs::Person;
    RenewWebhook: |_it| Needs::Person;
    TestWebhook: |_it| Needs::Person;
}

/// The room, where one is named.
fn of_room<'a>(room: &'a str, without: Needs<'a>) -> Needs<'a> {
    if room.is_empty() { without } else { Needs::Read(room) }
}
