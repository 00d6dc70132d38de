//! What requests cost of a rate: 1 where core reads a row or nothing, more where it reads many.
//! `docs/protocol.md` (section 11) says the same.

use weft_proto::frame::{PresenceRequest, Query, Request};
use weft_proto::limits::{PAGE_ENTRIES_MAX, PAGE_ROOMS_MAX, PAGE_ROWS_MAX, PINS_PER_ROOM_MAX};

/// Entries of a page for which one is charged.
const ENTRIES: u32 = 50;
/// Rows of a list for which one is charged.
const ROWS: u32 = 100;
/// Rooms of a list for which one is charged: of each, core reads several rows.
const ROOMS: u32 = 20;
/// Users of a request about presence for which one is charged.
const USERS: usize = 50;
/// A count of who is here may read all members of a group.
const COUNT: u32 = 20;
/// A message has up to 101 versions.
const VERSIONS: u32 = 3;
/// A user has up to 400 rows of drafts (200 of scheduled messages), and as many again are read for the texts.
pub(crate) const DRAFTS: u32 = 8;
/// Of up to 100 threads the unread replies are counted.
const THREADS: u32 = 10;
/// Every edge hears who types, and hands it on to up to 100 members.
const TYPING: u32 = 4;
/// Up to 1,000 bots are looked at.
const COMMANDS: u32 = 10;
/// A bot is told, and who tells it waits; or a user is told on all of their devices.
const INTERACTION: u32 = 4;
/// A group has up to 100 links.
const LINKS: u32 = 2;
/// Up to 100 profiles are asked for at once.
const PROFILES: u32 = 2;
/// Up to 512 rows, and their users' accounts.
const FOUND_USERS: u32 = 10;
/// A profile that has changed is told to up to 1,000 users.
const PROFILE: u32 = 20;
/// An incoming webhook is an account of its own.
const HOOKS: u32 = 20;
/// A search asks an index, and core for what it finds, several times where much of that is not to be shown.
const SEARCH: u32 = 20;
/// A webhook's address is checked elsewhere, and a test of it is delivered.
const WEBHOOK: u32 = 4;
/// Bytes of an answer for which one is charged.
const ANSWER_BYTES: usize = 16_384;

/// What a session's request costs before it is answered. Sends have a rate of their own.
pub(crate) fn of_request(request: &Request) -> u32 {
    match request {
        Request::Query(query) => of_query(query),
        Request::Typing { .. } => TYPING,
        Request::Profile(_) => PROFILE,
        Request::Interact { .. } | Request::Answer { .. } => INTERACTION,
        Request::Presence(PresenceRequest::Get(users) | PresenceRequest::Watch(users)) => {
            1 + u32::try_from(users.users.len() / USERS).unwrap_or(u32::MAX)
        }
        Request::Presence(PresenceRequest::Count { .. }) => COUNT,
        _ => 1,
    }
}

pub(crate) fn of_query(query: &Query) -> u32 {
    match query {
        Query::History { limit, .. } => of_history(*limit),
        Query::Versions { .. } => VERSIONS,
        Query::Pins { limit, .. } => of_pins(*limit),
        Query::Drafts { .. } | Query::Scheduled { .. } => DRAFTS,
        Query::Threads { .. } => THREADS,
        Query::BotCommands { .. } => COMMANDS,
        Query::Links { .. } => LINKS,
        Query::Profiles { .. } => PROFILES,
        Query::FindUsers { .. } => FOUND_USERS,
        Query::Search(_) => SEARCH,
        Query::Rooms { limit, .. } | Query::FindGroups { limit, .. } => of_rooms(*limit),
        Query::Members { limit, .. }
        | Query::Banned { limit, .. }
        | Query::Asking { limit, .. }
        | Query::Invitations { limit, .. }
        | Query::Invited { limit, .. }
        | Query::Reactions { limit, .. }
        | Query::Receipts { limit, .. }
        | Query::Relations { limit, .. } => of_list(*limit),
        Query::Room { .. } | Query::Devices => 1,
    }
}

/// What an HTTP request costs before it is answered.
pub(crate) fn of_http(path: &str, query: &str) -> u32 {
    let limit = query.split('&').find_map(|field| field.strip_prefix("limit="));
    let limit = limit.and_then(|limit| limit.parse().ok()).unwrap_or(0);
    if path == "/v1/users" {
        return FOUND_USERS;
    }
    if path.starts_with("/v1/interactions/") {
        return INTERACTION;
    }
    match path.rsplit('/').next() {
        Some("entries") => of_history(limit),
        Some("versions") => VERSIONS,
        Some("typing") => TYPING,
        Some("pins") => of_pins(limit),
        Some("drafts" | "scheduled") => DRAFTS,
        Some("threads") => THREADS,
        Some("commands") => COMMANDS,
        Some("interactions") => INTERACTION,
        Some("links") => LINKS,
        Some("hooks") => HOOKS,
        Some("search") => SEARCH,
        Some("profiles") => PROFILES,
        Some("profile") => PROFILE,
        Some("webhooks" | "test") => WEBHOOK,
        Some("rooms" | "groups") => of_rooms(limit),
        Some(
            "members" | "banned" | "asking" | "invited" | "reactions" | "receipts" | "relations"
            | "users" | "log" | "invitations" | "reports" | "bots",
        ) => of_list(limit),
        _ => 1,
    }
}

/// What is charged when the answer is there.
pub(crate) fn of_answer(bytes: usize) -> u32 {
    u32::try_from(bytes / ANSWER_BYTES).unwrap_or(u32::MAX)
}

pub(crate) fn of_history(limit: u32) -> u32 {
    1 + asked(limit, PAGE_ENTRIES_MAX) / ENTRIES
}

fn of_pins(limit: u32) -> u32 {
    1 + asked(limit, PINS_PER_ROOM_MAX as u32) / ENTRIES
}

fn of_rooms(limit: u32) -> u32 {
    1 + asked(limit, PAGE_ROOMS_MAX) / ROOMS
}

pub(crate) fn of_list(limit: u32) -> u32 {
    1 + asked(limit, PAGE_ROWS_MAX) / ROWS
}

/// 0 asks for a full page.
fn asked(limit: u32, max: u32) -> u32 {
    if limit == 0 { max } else { limit.min(max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_costs_what_it_may_hold() {
        for (path, query, cost) in [
            ("/v1/rooms/team/entries", "", 5),
            ("/v1/rooms/team/entries", "before=7&limit=10", 1),
            ("/v1/rooms/team/entries", "limit=4000000000", 5),
            ("/v1/rooms/team/members", "limit=0", 6),
            ("/v1/rooms", "limit=20&after=x", 2),
            ("/v1/rooms", "", 6),
            ("/v1/groups", "text=tea&limit=20", 2),
            ("/v1/rooms/team", "", 1),
            ("/v1/rooms/team/mark", "", 1),
            ("/v1/rooms/team/receipts", "seq=7", 6),
            ("/v1/rooms/team/typing", "", 4),
            ("/v1/profile", "limit=x", 20),
            ("/v1/profiles", "users=bob", 2),
            ("/v1/users", "prefix=b&limit=1", 10),
            ("/v1/users/bob", "", 1),
            ("/v1/admin/users", "", 6),
            ("/v1/relations", "", 6),
            ("/v1/relations/bob", "", 1),
            ("/v1/rooms/team/entries/7/versions", "", 3),
            ("/v1/rooms/team/pins", "", 3),
            ("/v1/rooms/team/threads", "", 10),
            ("/v1/rooms/team/links", "", 2),
            ("/v1/rooms/team/commands", "", 10),
            ("/v1/rooms/team/interactions", "", 4),
            ("/v1/interactions/x.y.z", "", 4),
            ("/v1/rooms/team/hooks", "", 20),
            ("/v1/rooms/team/draft", "", 1),
            ("/v1/drafts", "", 8),
            ("/v1/search", "text=x&limit=1", 20),
            ("/v1/rooms/team/entries/7/reactions", "emoji=%2B", 6),
        ] {
            assert_eq!(of_http(path, query), cost, "{path}?{query}");
        }
        let typing = Request::Typing { room: weft_proto::RoomId::new("team").expect("id") };
        assert_eq!(of_request(&typing), 4);
        assert_eq!((of_answer(100), of_answer(400_000)), (0, 24));
    }
}
