//! `weft admin export-room`: all entries of a room, a line each. That is told in the administrators' log.

use clap::Args;
use weft_proto::RoomId;
use weft_proto::svc::{InspectLog, OperatorInspectLog};

use super::administrators::refused;
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

#[derive(Args, Clone, Debug)]
pub struct ExportRoomOptions {
    /// The room.
    #[arg(value_name = "ROOM", value_parser = room)]
    room: RoomId,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

fn room(text: &str) -> Result<RoomId, String> {
    RoomId::new(text).map_err(|error| error.message)
}

/// Prints them, oldest first: the frames that clients get.
pub async fn run(options: &ExportRoomOptions) -> Result<(), Error> {
    let ExportRoomOptions { room, reason, installation } = options;
    let bus = installation.connect().await?;
    let (mut after, mut more) = (0, true);
    while more {
        let (room, reason) = (room.to_string(), reason.clone());
        let request = Some(InspectLog { room, reason, after, ..InspectLog::default() });
        let page = bus.call(&OperatorInspectLog { request }).await.map_err(refused)?;
        for entry in &page.entries {
            let frame = std::str::from_utf8(&entry.frame);
            say(frame.map_err(|error| Error::Failed(format!("an entry is no text: {error}")))?);
        }
        (after, more) = (page.through, page.more);
    }
    bus.close().await;
    Ok(())
}
