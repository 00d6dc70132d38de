//! Typed tables: every key's bytes, and every stored record.
//!
//! ```text
//! 01                                     layout      partition count, epoch, key version, store id
//! 02 partition                           applied     how far a partition's ingest log is applied
//! 03 partition, commit no                journal     which entries one commit wrote
//! 04 partition, stream seq, part         dead letter a command in quarantine
//! 05                                     import      how far an unfinished import is
//! 06 partition, minute                   minute      the first commit of a minute
//! 07 partition, follower                 follower    how far others have read the journal
//! 10 room, seq, part                     log         an entry with its position
//! 11 room                                head        a room's last entry, and what the room is
//! 12 room, user                          member      a user's role in a room
//! 13 user, room kind, room               user room   a user's rooms, groups first
//! 14 room, seq                           message     edits, deletion and reactions of a message
//! 15 room, seq, emoji, user              reaction    who put an emoji on a message
//! 16 room, user                          sent        the last entry that is read because it is one's own
//! 17 room, user                          mark        up to where a user has read and got a room
//! 18 user, bucket, room                  activity    a user's rooms by their newest entry
//! 19 room, user, seq                     mention     that a message mentions a user, or everyone
//! 1a room, root, seq                     thread      a reply, by the message with which its thread begins
//! 1b user, room, root                    thread follower up to where a user has read a thread that they follow
//! 1c room, seq                           pin         a message that is pinned
//! 1d room, user                          ban         who is kept out of a group
//! 20 user, position                      inbox       an entry of interest to the user
//! 21 partition, hour, room, sender, id   resend      the seq that a client id got
//! 22 user                                inbox trimmed up to where pointers are deleted
//! 23 user, position                      change      what changed for a user beside entries
//! 24 user, room                          setting     how a user wants a room to be
//! 25 user, room                          draft       what a user has typed for a room and not sent
//! 26 user, room, part                    draft text  its text
//! 27 room, link id                       link        a link by which one joins a group
//! 28 room, user                          join request who asks to come into a group
//! 29 user, user                          relation    what another user is to a user
//! 2a user, -, room, id, part               scheduled   a message that is sent later
//! 2b partition, time, user, room, id     due         when one is due
//! 2c partition, hour, room               expiry      a room with entries whose time ends, by when the first does
//! 2d room, user                          invited     who is invited to come into a group
//! 2e user, room                          group invitation by whom, and when
//! 30 user                                account
//! 31 user, device                        device
//! 32 key id                              signing key
//! 33 user                                settings    how a user wants to be seen
//! 34 user                                last active when a user was last seen
//! 35 beginning, user                     name        what a user is found by
//! 36 time, id                            admin log   what administrators and operators have done
//! 37 user, room, seq                     report      what a user has reported to the administrators
//! 38 (empty)                             installation what administrators have set for all of it
//! 39 link id                             invitation  by which one makes an account
//! 3a name, room                          open group  a group that everybody may find, by its title or id
//! 3b user                                deletion    what is left of an account's deletion
//! 3c file id                             file        what messages may have beside their text
//! 3d file id, room, seq                  file reference that a message has a file, and until when
//! 3e time, file id                       file due    when a file is to be looked at
//! 3f user, day                           file quota  how much a user has begun to upload on a day
//! 40 user, device                        push registration how a device is notified
//! 41 address                             push endpoint which device is notified there
//! 42 user                                bot         who has a bot
//! 43 user, user                          owned bot   a user's bots
//! 44 room, user                          hook        an address by which other systems post in a group
//! 45 hash of a secret                    hook secret which hook has it
//! 48 user                                bot commands what a bot does when it is told to
//! 4c bot                                 feed        in which form a bot has its entries on NATS
//! 4d room, bot                           room bot    which bots are in a group
//! 46 room                                webhook     the outgoing webhooks of a group, or of a user by their notebook
//! 47 user                                webhook maker which outgoing webhooks a user has made
//! ```
//!
//! Numbers are big-endian (partition 2 bytes, hour, minute, bucket and day 4, seq, time and id 8, part 1, position 12, client
//! and file id 16); names end with a zero byte, which none of their alphabets has. Tags are never reused. Records
//! are a version byte and prost, so that a field can be added; `head`, `log`, `mark`, `minute`, `thread follower`, `setting`, `draft`,
//! `relation`, `scheduled` and `group invitation` have the commit's position before that.

use std::ops::Range;

use bytes::Bytes;

pub mod account;
pub mod activity;
pub mod admin_log;
pub mod applied;
pub mod ban;
pub mod bot;
pub mod bot_commands;
pub mod change;
pub mod dead_letter;
pub mod deletion;
pub mod device;
pub mod draft;
pub mod expiry;
pub mod feed;
pub mod file;
pub mod file_due;
pub mod file_quota;
pub mod file_reference;
pub mod follower;
pub mod group_invitation;
pub mod head;
pub mod hex;
pub mod hook;
pub mod hook_secret;
pub mod import;
pub mod inbox;
pub mod installation;
pub mod invitation;
pub mod join_request;
pub mod journal;
mod key;
pub mod last_active;
pub mod layout;
pub mod link;
pub mod log;
pub mod mark;
pub mod member;
pub mod mention;
pub mod message;
pub mod minute;
pub mod name;
pub mod named;
pub mod open_group;
pub mod pin;
pub mod presence_settings;
pub mod push_endpoint;
pub mod push_registration;
pub mod reaction;
mod record;
pub mod relation;
pub mod report;
pub mod resend;
pub mod room_bot;
pub mod scheduled;
pub mod sent;
pub mod setting;
pub mod signing_key;
pub mod table;
pub mod thread;
pub mod thread_follower;
pub mod unknown;
pub mod user_room;
pub mod webhook;
pub mod webhook_maker;

use weft_proto::presence::PresenceSettings;

use self::table::{AnyTable, Of};

/// Every key of a store: no tag is 0xff.
#[must_use]
pub fn all() -> Range<Bytes> {
    Bytes::new()..Bytes::from_static(&[0xff])
}

/// The first byte of every key. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Tag {
    Layout = 0x01,
    Applied = 0x02,
    Journal = 0x03,
    DeadLetter = 0x04,
    Import = 0x05,
    Minute = 0x06,
    Follower = 0x07,
    Log = 0x10,
    Head = 0x11,
    Member = 0x12,
    UserRoom = 0x13,
    Message = 0x14,
    Reaction = 0x15,
    Sent = 0x16,
    Mark = 0x17,
    Activity = 0x18,
    Mention = 0x19,
    Thread = 0x1a,
    ThreadFollower = 0x1b,
    Pin = 0x1c,
    Ban = 0x1d,
    Inbox = 0x20,
    Resend = 0x21,
    InboxTrimmed = 0x22,
    Change = 0x23,
    Setting = 0x24,
    Draft = 0x25,
    DraftText = 0x26,
    Link = 0x27,
    JoinRequest = 0x28,
    Relation = 0x29,
    Scheduled = 0x2a,
    Due = 0x2b,
    Expiry = 0x2c,
    Invited = 0x2d,
    GroupInvitation = 0x2e,
    Account = 0x30,
    Device = 0x31,
    SigningKey = 0x32,
    PresenceSettings = 0x33,
    LastActive = 0x34,
    Name = 0x35,
    AdminLog = 0x36,
    Report = 0x37,
    Installation = 0x38,
    Invitation = 0x39,
    OpenGroup = 0x3a,
    Deletion = 0x3b,
    File = 0x3c,
    FileReference = 0x3d,
    FileDue = 0x3e,
    FileQuota = 0x3f,
    PushRegistration = 0x40,
    PushEndpoint = 0x41,
    Bot = 0x42,
    OwnedBot = 0x43,
    Hook = 0x44,
    HookSecret = 0x45,
    BotCommands = 0x48,
    Feed = 0x4c,
    RoomBot = 0x4d,
    Webhook = 0x46,
    WebhookMaker = 0x47,
}

/// What an export does with a table.
pub enum Carried {
    /// A line for each row.
    Rows(&'static dyn AnyTable),
    /// A line for each row that `export/from_store/partitions.rs` picks, at the end.
    Partitions(&'static dyn AnyTable),
    /// A line for each row, after the entry that it is about: `export/from_store/rooms.rs`.
    Entries(&'static dyn AnyTable),
    /// Lines of its own: `export/from_store/rooms.rs`.
    Rooms(&'static str),
    /// Nothing, for this reason.
    Not(&'static str, &'static str),
}

impl Tag {
    /// Every one, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..i32::from(u8::MAX)).filter_map(|byte| Self::try_from(byte).ok())
    }

    /// How an export carries the table, or why it does not. There is no other way to add one.
    #[must_use]
    pub fn carried(self) -> Carried {
        use Carried::{Entries, Not, Partitions, Rooms, Rows};
        match self {
            Self::Layout => Not("layout", "an import makes a new one"),
            Self::Applied => Partitions(&Of::<applied::Applied>::NEW),
            Self::Journal => Partitions(&Of::<journal::Journal>::NEW),
            Self::DeadLetter => Rows(&Of::<dead_letter::DeadLetter>::NEW),
            Self::Import => Not("import", "a store with it is not exported"),
            Self::Minute => Not("minute", "it names positions, which an import makes new"),
            Self::Follower => Not("follower", "what it would read next is not carried"),
            Self::Log => Rooms("entry"),
            Self::Head => Rooms("room"),
            Self::Member => Rooms("member"),
            Self::UserRoom => Not("user_room", "it follows from members and direct rooms' ids"),
            Self::Message => Entries(&Of::<message::Message>::NEW),
            Self::Reaction => Entries(&Of::<reaction::Reaction>::NEW),
            Self::Sent => Rows(&Of::<sent::Sent>::NEW),
            Self::Mark => Rows(&Of::<mark::Mark>::NEW),
            Self::Activity => {
                Not("activity", "it follows from heads, members and direct rooms' ids")
            }
            Self::Mention => Entries(&Of::<mention::Mention>::NEW),
            Self::Thread => Not("thread", "it follows from entries"),
            Self::ThreadFollower => Rows(&Of::<thread_follower::ThreadFollower>::NEW),
            Self::Pin => Entries(&Of::<pin::Pin>::NEW),
            Self::Ban => Rows(&Of::<ban::Ban>::NEW),
            Self::Inbox => Not("inbox", "every cursor of the new store is newer than its rows"),
            Self::InboxTrimmed => Not("inbox_trimmed", "an import makes no inboxes"),
            Self::Change => Not("change", "every cursor of the new store is newer than its rows"),
            Self::Setting => Rows(&Of::<setting::Setting>::NEW),
            Self::Draft => Rows(&Of::<draft::Draft>::NEW),
            Self::DraftText => Not("draft_text", "it is in the lines of drafts"),
            Self::Link => Rows(&Of::<link::Link>::NEW),
            Self::JoinRequest => Rows(&Of::<join_request::JoinRequest>::NEW),
            Self::Relation => Rows(&Of::<relation::Relation>::NEW),
            Self::Scheduled => Rows(&Of::<scheduled::Scheduled>::NEW),
            Self::Due => Not("due", "it follows from what is scheduled"),
            Self::Expiry => Not("expiry", "it follows from heads"),
            Self::Invited => Not("invited", "it follows from invitations to groups"),
            Self::GroupInvitation => Rows(&Of::<group_invitation::GroupInvitation>::NEW),
            Self::Resend => Rooms("resend"),
            Self::Account => Rows(&Of::<account::Account>::NEW),
            Self::Device => Rows(&Of::<device::Device>::NEW),
            Self::SigningKey => Rows(&Of::<signing_key::SigningKey>::NEW),
            Self::PresenceSettings => Rows(&Of::<PresenceSettings>::NEW),
            Self::LastActive => Rows(&Of::<last_active::LastActive>::NEW),
            Self::Name => Not("name", "it follows from accounts"),
            Self::AdminLog => Rows(&Of::<admin_log::AdminLog>::NEW),
            Self::Report => Rows(&Of::<report::Report>::NEW),
            Self::Installation => Rows(&Of::<installation::Installation>::NEW),
            Self::Invitation => Rows(&Of::<invitation::Invitation>::NEW),
            Self::OpenGroup => Not("open_group", "it follows from heads"),
            Self::Deletion => Rows(&Of::<deletion::Deletion>::NEW),
            Self::File => Rows(&Of::<file::File>::NEW),
            Self::FileReference => Rows(&Of::<file_reference::FileReference>::NEW),
            Self::FileDue => Not("file_due", "it follows from files and references"),
            Self::FileQuota => Not("file_quota", "it is good for a day"),
            Self::PushRegistration => Rows(&Of::<push_registration::PushRegistration>::NEW),
            Self::PushEndpoint => Not("push_endpoint", "it follows from push registrations"),
            Self::Bot => Rows(&Of::<bot::Bot>::NEW),
            Self::OwnedBot => Not("owned_bot", "it follows from bots"),
            Self::Hook => Rows(&Of::<hook::Hook>::NEW),
            Self::HookSecret => Not("hook_secret", "it follows from hooks"),
            Self::BotCommands => Rows(&Of::<bot_commands::BotCommands>::NEW),
            Self::Feed => Rows(&Of::<feed::Feed>::NEW),
            Self::RoomBot => Not("room_bot", "who makes the feeds finds them anew"),
            Self::Webhook => Rows(&Of::<webhook::Webhooks>::NEW),
            Self::WebhookMaker => Rows(&Of::<webhook_maker::WebhookMaker>::NEW),
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self.carried() {
            Carried::Rows(table) | Carried::Partitions(table) | Carried::Entries(table) => {
                table.name()
            }
            Carried::Rooms(name) | Carried::Not(name, _) => name,
        }
    }
}
