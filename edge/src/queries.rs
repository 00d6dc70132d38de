//! Requests that only read, answered by core: the one list, for sessions, HTTP and bots on NATS.

use weft_proto::frame::{
    Query, Reply, bot_commands_frame, drafts_frame, history_frame, pins_frame, scheduled_frame,
    search_frame, threads_frame, versions_frame,
};
use weft_proto::svc::{
    FindGroups, FindUsers, GetProfiles, GetRoom, ListAsking, ListBanned, ListBotCommands,
    ListDevices, ListDrafts, ListGroupInvitations, ListInvited, ListLinks, ListMembers, ListPins,
    ListReactions, ListReceipts, ListRelations, ListRooms, ListScheduled, ListThreads,
    ReadVersions,
};
use weft_proto::{ApiError, RoomId};

use crate::searching;
use crate::shared::Shared;

/// The answer's frame, without a request id. `token`: whose request it is.
///
/// # Errors
/// What core answers.
pub(crate) async fn answer(
    shared: &Shared,
    token: String,
    query: Query,
) -> Result<Vec<u8>, ApiError> {
    let bus = &shared.bus;
    Ok(match query {
        Query::History { room, thread, from, limit } => {
            let page = shared.reading.history(&token, (&room, thread), from, limit).await?;
            history_frame(&room, thread, &page)
        }
        Query::Versions { room, target, after } => {
            let request = ReadVersions { token, room: room.to_string(), target, after };
            versions_frame(&room, target, &bus.call(&request).await?)
        }
        Query::Reactions { room, target, emoji, after, limit } => {
            let room = room.to_string();
            let request = ListReactions { token, room, target, emoji, after, limit };
            let page = bus.call(&request).await?;
            Reply::reactions(request, page).to_frame()
        }
        Query::Threads { room, before, limit } => {
            let request = ListThreads { token, room: room.to_string(), before, limit };
            threads_frame(&room, &bus.call(&request).await?)
        }
        Query::Pins { room, before, limit } => {
            let request = ListPins { token, room: room.to_string(), before, limit };
            pins_frame(&room, &bus.call(&request).await?)
        }
        Query::Receipts { room, seq, after, limit } => {
            let request = ListReceipts { token, room: room.to_string(), seq, after, limit };
            Reply::receipts(bus.call(&request).await?).to_frame()
        }
        Query::Rooms { after, limit, hidden } => {
            Reply::rooms(bus.call(&ListRooms { token, after, limit, hidden }).await?).to_frame()
        }
        Query::Room { room } => {
            let room = bus.call(&GetRoom { token, room: room.to_string() }).await?;
            Reply::Room { room: Box::new(room.into()) }.to_frame()
        }
        Query::Members { room, after, limit } => {
            let request = ListMembers { token, room: room.to_string(), after, limit };
            Reply::members(bus.call(&request).await?).to_frame()
        }
        Query::FindGroups { text, after, limit } => {
            let request = FindGroups { token, text, after, limit };
            Reply::groups(bus.call(&request).await?).to_frame()
        }
        Query::Asking { room, after, limit } => {
            let request = ListAsking { token, room: room.to_string(), after, limit };
            Reply::asking(bus.call(&request).await?).to_frame()
        }
        Query::Invitations { after, limit } => {
            let request = ListGroupInvitations { token, after, limit };
            Reply::invitations(bus.call(&request).await?).to_frame()
        }
        Query::Invited { room, after, limit } => {
            let request = ListInvited { token, room: room.to_string(), after, limit };
            Reply::invited(bus.call(&request).await?).to_frame()
        }
        Query::Banned { room, after, limit } => {
            let request = ListBanned { token, room: room.to_string(), after, limit };
            Reply::banned(bus.call(&request).await?).to_frame()
        }
        Query::Links { room } => {
            let request = ListLinks { token, room: room.to_string() };
            Reply::links(bus.call(&request).await?).to_frame()
        }
        Query::Scheduled { after } => {
            scheduled_frame(&bus.call(&ListScheduled { token, after }).await?)
        }
        Query::Drafts { after, limit } => {
            let after = after.as_ref().map(RoomId::to_string).unwrap_or_default();
            drafts_frame(&bus.call(&ListDrafts { token, after, limit }).await?)
        }
        Query::Relations { after, limit } => {
            Reply::relations(bus.call(&ListRelations { token, after, limit }).await?).to_frame()
        }
        Query::Search(searched) => {
            search_frame(&bus.call(&searching::request(token, *searched)?).await?)
        }
        Query::Profiles { users } => {
            let users = users.iter().map(ToString::to_string).collect();
            Reply::profiles(bus.call(&GetProfiles { token, users }).await?).to_frame()
        }
        Query::FindUsers { prefix, after, limit } => {
            let request = FindUsers { token, prefix, after, limit };
            Reply::found_users(bus.call(&request).await?).to_frame()
        }
        Query::BotCommands { room } => {
            let request = ListBotCommands { token, room: room.to_string() };
            bot_commands_frame(&room, bus.call(&request).await?)
        }
        Query::Devices => Reply::devices(bus.call(&ListDevices { token }).await?).to_frame(),
    })
}
