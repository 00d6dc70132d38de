//! Every limit that more than one part must agree on. Each is a promise to clients: raising one is
//! easy, lowering one breaks somebody.

/// Longest id of a user, group, device, node, and longest reply token, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest text body, in Unicode scalar values.
pub const TEXT_CHARS_MAX: usize = 100_000;
/// Most ranges of a text that look in some way.
pub const RANGES_MAX: usize = 200;
/// Most different users whom a text mentions.
pub const MENTIONS_MAX: usize = 50;
/// Longest address of a link, in Unicode scalar values.
pub const LINK_CHARS_MAX: usize = 2_000;
/// All links of a text together, in bytes: they must not outweigh it.
pub const LINK_BYTES_MAX: usize = 20_000;
/// How deep the `meta` of a message may be nested, itself included.
pub const META_DEPTH_MAX: usize = 16;
/// Longest title of the preview of a link, its description, and the name of its site, in Unicode scalar values.
pub const PREVIEW_TITLE_CHARS_MAX: usize = 200;
pub const PREVIEW_TEXT_CHARS_MAX: usize = 400;
pub const PREVIEW_SITE_CHARS_MAX: usize = 100;
/// Largest `meta` of a message, in bytes of JSON.
pub const META_BYTES_MAX: usize = 4_096;
/// Longest emoji of a reaction, in Unicode scalar values: a family of four has eleven.
pub const EMOJI_CHARS_MAX: usize = 32;
/// Most different emojis on one message.
pub const EMOJIS_PER_MESSAGE_MAX: usize = 50;
/// Most edits of one message.
pub const EDITS_PER_MESSAGE_MAX: usize = 100;
/// Most messages that are pinned in one room.
pub const PINS_PER_ROOM_MAX: usize = 100;
/// Most rooms for which a user keeps settings, those included for which they did so within the last 30 days.
pub const SETTINGS_PER_USER_MAX: usize = 1_000;
/// Most rooms for which a user has a draft.
pub const DRAFTS_PER_USER_MAX: usize = 200;
/// Most users of whom a user keeps something, those included of whom they did so within the last 30 days.
pub const RELATIONS_PER_USER_MAX: usize = 2_000;
/// Longest title of a room or display name of a user, in Unicode scalar values.
pub const TITLE_CHARS_MAX: usize = 200;
/// Longest reason of what an administrator does, in Unicode scalar values.
pub const REASON_CHARS_MAX: usize = 1_000;
/// Most reports of one user that wait for an administrator.
pub const REPORTS_PER_USER_MAX: usize = 100;
/// Most invitations by which accounts can be made.
pub const INVITATIONS_MAX: usize = 500;
/// Most users who ask to come into one group.
pub const ASKING_MAX: usize = 1_000;
/// In a direct room that is a request, so many entries.
pub const REQUEST_ENTRIES_MAX: u64 = 20;
/// Most users who are invited to come into one group.
pub const INVITED_PER_GROUP_MAX: usize = 1_000;
/// Most groups into which one user is invited.
pub const INVITATIONS_PER_USER_MAX: usize = 200;
/// The same, with the invitations that have ended within some weeks.
pub const INVITATION_ROWS_MAX: usize = 1_000;
/// For so many days somebody is invited to come into a group.
pub const INVITED_DAYS: u64 = 30;
/// Longest text of who asks to come into a group, in Unicode scalar values.
pub const ASK_CHARS_MAX: usize = 300;
/// So many Unicode scalar values of a name are looked for.
pub const SEARCH_CHARS_MAX: usize = 64;
/// Longest text that is searched for in messages, in Unicode scalar values.
pub const FOUND_TEXT_CHARS_MAX: usize = 1_000;
/// Most messages of one page of those that were found.
pub const PAGE_FOUND_MAX: u32 = 50;
/// So many messages are put into the order of how well they match, at the most.
pub const RANKED_MAX: u32 = 500;
/// Most links of one group by which one may join.
pub const LINKS_PER_ROOM_MAX: usize = 100;
/// How often one may join by a link that is limited.
pub const LINK_USES_MAX: u32 = 10_000;
/// Most incoming webhooks of one group.
pub const HOOKS_PER_ROOM_MAX: usize = 20;
/// Longest topic of a group, in Unicode scalar values.
pub const TOPIC_CHARS_MAX: usize = 1_000;
/// Longest time between two messages of one member of a group in slow mode, in seconds.
pub const SLOW_MODE_S_MAX: u32 = 21_600;
/// Most messages that a user has scheduled, those that were refused included.
pub const SCHEDULED_PER_USER_MAX: usize = 100;
/// How long ahead a message is scheduled, in milliseconds: a year.
pub const SCHEDULED_AHEAD_MS_MAX: u64 = 366 * 86_400_000;
/// For how many days a room keeps its entries at the most, where not for ever.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// Longest name of a file, in bytes.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Most files of one message.
pub const FILES_PER_MESSAGE_MAX: usize = 10;
/// So long a file may be uploaded, or wait for the message that has it, in milliseconds.
pub const FILE_WAITS_MS: u64 = 86_400_000;
/// For how many days a room keeps files at the most.
pub const FILE_DAYS_MAX: u32 = 3_650;
/// Longest line that users say about themselves, in Unicode scalar values.
pub const ABOUT_CHARS_MAX: usize = 140;
/// Longest address of a gateway at which a device is notified.
pub const PUSH_ADDRESS_BYTES_MAX: usize = 2_000;
pub const PUSH_LANGUAGE_BYTES_MAX: usize = 35;
/// Shortest and longest secret of a webhook, as Standard Webhooks has it.
pub const PUSH_SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Shortest and longest token of a device of APNs, in hexadecimal digits.
pub const PUSH_APNS_TOKEN_CHARS: std::ops::RangeInclusive<usize> = 64..=200;
/// Longest id of an app of APNs.
pub const PUSH_TOPIC_BYTES_MAX: usize = 155;
/// Most outgoing webhooks of a group, ...
pub const WEBHOOKS_PER_ROOM_MAX: usize = 10;
/// ... of a user for what concerns them, ...
pub const WEBHOOKS_PER_USER_MAX: usize = 5;
/// ... and of those that one user has made, wherever.
pub const WEBHOOKS_PER_MAKER_MAX: usize = 20;
/// Longest address of an outgoing webhook.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_000;
/// Most kinds of entries that an outgoing webhook names.
pub const WEBHOOK_KINDS_MAX: usize = 32;
/// Most users of one page of those who were found.
pub const PAGE_FOUND_USERS_MAX: u32 = 50;
/// Most profiles that are asked for at once.
pub const PROFILES_MAX: usize = 100;
/// Shortest and longest password, in bytes.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=256;
/// Largest WebSocket frame or HTTP body that is read, in bytes. 100,000 characters can be
/// `\uXXXX` escapes, two of them for one character: 1.2 MB.
pub const FRAME_BYTES_MAX: usize = 1_300_000;
/// A group that once had more members is *large*: it is no longer fanned out to inboxes.
pub const FANOUT_LIMIT: usize = 100;
/// Most members that a `create` may name beside its sender.
pub const CREATE_MEMBERS_MAX: usize = 99;
/// Nobody comes into a group with so many members, where it says nothing else.
pub const GROUP_MEMBERS_DEFAULT: u32 = 10_000;
/// The most that a group may say.
pub const GROUP_MEMBERS_MAX: usize = 100_000;
/// Whoever is in this many groups is put into no more. Counted now and then, so some more may be.
pub const GROUPS_PER_USER_MAX: usize = 10_000;
/// Groups that one session follows; more than [`GROUPS_PER_USER_MAX`], which is no exact limit.
pub const FEEDS_PER_SESSION_MAX: usize = 12_000;
/// Most entries that one page of history or sync carries.
pub const PAGE_ENTRIES_MAX: u32 = 200;
/// A page of history or sync ends after the entry that passes this size, in bytes.
pub const PAGE_BYTES_MAX: usize = 400_000;
/// Most rooms that one page carries: each is several reads.
pub const PAGE_ROOMS_MAX: u32 = 100;
/// Most members, reactions or names of groups that one page carries.
pub const PAGE_ROWS_MAX: u32 = 500;
/// A sync that would carry more entries than this is answered with `resync`.
pub const SYNC_ENTRIES_MAX: u64 = 10_000;
/// A client id older than this is refused with `expired_id`, in milliseconds.
pub const CLIENT_ID_AGE_MS_MAX: u64 = 24 * 3_600_000;
/// A client id further in the future than this is refused with `expired_id`, in milliseconds.
pub const CLIENT_ID_AHEAD_MS_MAX: u64 = 3_600_000;
/// Most users that one request about presence names.
pub const PRESENCE_USERS_MAX: usize = 1_000;
/// Most users whom a session watches without asking: the partners of direct rooms and the members
/// of groups that are not large.
pub const COMPANIONS_MAX: usize = 1_000;
/// Most users whom a session watches because it asked to.
pub const WATCHED_USERS_MAX: usize = 1_000;
/// Longest status text, in Unicode scalar values.
pub const STATUS_TEXT_CHARS_MAX: usize = 100;
/// Most bots of one user, about.
pub const BOTS_PER_USER_MAX: usize = 20;
/// Most tokens of one bot, about.
pub const TOKENS_PER_BOT_MAX: usize = 50;
/// How long a bot's token is good, in seconds: where nothing else is said, and at the most.
pub const BOT_TOKEN_LIFE_S_DEFAULT: u64 = 90 * 86_400;
pub const BOT_TOKEN_LIFE_S_MAX: u64 = 365 * 86_400;
/// Most commands of one bot; longest name of one, and longest description and usage, in Unicode scalar values.
pub const COMMANDS_PER_BOT_MAX: usize = 50;
pub const COMMAND_CHARS_MAX: usize = 32;
pub const COMMAND_TEXT_CHARS_MAX: usize = 200;
/// Longest text with which a bot is told something, and longest answer to one user, in Unicode scalar values.
pub const INTERACTION_TEXT_CHARS_MAX: usize = 4_000;
/// So long a bot may answer, in milliseconds, and by so many messages.
pub const INTERACTION_LIFE_MS: u64 = 15 * 60_000;
pub const INTERACTION_ANSWERS_MAX: u8 = 5;
/// Most rows of buttons of one message, and buttons of a row; longest id and label of one.
pub const BUTTON_ROWS_MAX: usize = 5;
pub const BUTTONS_PER_ROW_MAX: usize = 5;
pub const BUTTON_ID_BYTES_MAX: usize = 64;
pub const BUTTON_LABEL_CHARS_MAX: usize = 80;
/// Most rooms that the scope of a bot's token names.
pub const SCOPE_ROOMS_MAX: usize = 32;
/// Most kinds that it names.
pub const SCOPE_KINDS_MAX: usize = 32;
/// Most tokens of one question whether their logins last.
pub const CHECKED_LOGINS_MAX: usize = 256;
