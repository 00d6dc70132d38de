//! Ways into groups, on their way to core: links by which one joins, and asking to come in.

use weft_proto::frame::{Reply, WantedLink};
use weft_proto::kind::Unlink;
use weft_proto::{ApiError, Body, RoomId};

use crate::auth::Caller;
use crate::http::answered;
use crate::sending::made_id;
use crate::shared::Shared;

/// Makes a link, with a token of chance where none is given: the answer to who asked.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn make(
    shared: &Shared,
    caller: &Caller,
    room: RoomId,
    wanted: WantedLink,
) -> Result<Reply, ApiError> {
    let link = wanted.command(rand::random())?;
    let reply = Reply::link(&room, &link.link);
    send(shared, caller, room, Body::Link(link)).await?;
    Ok(reply)
}

/// Has somebody ask to come into a group, or withdraw or decline that.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn ask(
    shared: &Shared,
    caller: &Caller,
    room: RoomId,
    body: Body,
) -> Result<Reply, ApiError> {
    send(shared, caller, room, body).await?;
    Ok(Reply::Done {})
}

/// Takes a link back.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn take_back(
    shared: &Shared,
    caller: &Caller,
    room: RoomId,
    unlink: Unlink,
) -> Result<Reply, ApiError> {
    send(shared, caller, room, Body::Unlink(unlink)).await?;
    Ok(Reply::Done {})
}

async fn send(shared: &Shared, caller: &Caller, room: RoomId, body: Body) -> Result<(), ApiError> {
    let command = caller.command(room, (made_id(), true), &body)?;
    answered(shared, &caller.user, command).await.map(drop)
}
