//! Ways into groups, on their way to core: links by which one joins, and asking to come in.

use weft_proto::frame::{Reply, WantedLink};
use weft_proto::kind::Unlink;
use weft_proto::{ApiError, Body, RoomId, UserId};

use crate::http::answered;
use crate::outbox::Command;
use crate::sending::made_id;
use crate::shared::Shared;

/// Makes a link, with a token of chance where none is given: the answer to who asked.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn make(
    shared: &Shared,
    user: &UserId,
    room: RoomId,
    wanted: WantedLink,
) -> Result<Reply, ApiError> {
    let link = wanted.command(rand::random())?;
    let reply = Reply::link(&room, &link.link);
    send(shared, user, room, Body::Link(link)).await?;
    Ok(reply)
}

/// Has somebody ask to come into a group, or withdraw or decline that.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn ask(
    shared: &Shared,
    user: &UserId,
    room: RoomId,
    body: Body,
) -> Result<Reply, ApiError> {
    send(shared, user, room, body).await?;
    Ok(Reply::Done {})
}

/// Takes a link back.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn take_back(
    shared: &Shared,
    user: &UserId,
    room: RoomId,
    unlink: Unlink,
) -> Result<Reply, ApiError> {
    send(shared, user, room, Body::Unlink(unlink)).await?;
    Ok(Reply::Done {})
}

async fn send(shared: &Shared, user: &UserId, room: RoomId, body: Body) -> Result<(), ApiError> {
    let (client_id, payload) = (made_id(), body.to_json().into());
    let command = Command { room, client_id, is_made: true, payload };
    answered(shared, user, command).await.map(drop)
}
