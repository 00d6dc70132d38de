//! `weft admin presence`: what is known of who is here.

use clap::Args;
use serde::Serialize;
use weft_nats::nodes::live_nodes;
use weft_nats::presence::keys_of;
use weft_proto::presence::{Choice, EdgePresence};
use weft_proto::svc::{GetPresence, LoadStatuses, UserPresence};
use weft_proto::{NodeId, Presence, UserId};

use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// Whose.
#[derive(Args, Clone, Debug)]
pub struct PresenceOptions {
    /// The user.
    #[arg(id = "whom", value_name = "USER", value_parser = user)]
    user: UserId,
    #[command(flatten)]
    installation: Installation,
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text).map_err(|error| error.message)
}

/// All of it, in one line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    user: &'a UserId,
    /// What others see.
    seen: &'a Presence,
    /// What the user chose; others do not see that somebody is invisible.
    chosen: Choice,
    edges: Vec<EdgeLine>,
}

/// What an edge says of the user.
#[derive(Serialize)]
struct EdgeLine {
    edge: NodeId,
    /// It lives, and this is of its present life: else it says nothing.
    alive: bool,
    devices: Vec<String>,
    idle: Vec<String>,
    last_active: u64,
}

/// Prints it.
pub async fn run(options: &PresenceOptions) -> Result<(), Error> {
    let PresenceOptions { user, installation } = options;
    let refused = |error: weft_proto::ApiError| Error::Failed(error.to_string());
    let bus = installation.connect().await?;
    let users = vec![user.to_string()];
    let answer = bus.call(&GetPresence { users: users.clone() }).await.map_err(refused)?;
    let seen = answer.users.into_iter().next().and_then(UserPresence::read);
    let seen = seen.ok_or_else(|| Error::Failed("the answer can't be read".to_owned()))?;
    let kept = bus.call(&LoadStatuses { users }).await.map_err(refused)?;
    let chosen = kept.users.into_iter().next().and_then(|kept| kept.chosen);
    let chosen = chosen.and_then(|chosen| Choice::try_from(chosen.choice).ok());
    let nodes = live_nodes(&bus).await?;
    let lives = |edge: &NodeId, here: &EdgePresence| {
        nodes.get("edge").and_then(|edges| edges.get(edge)).is_some_and(|it| it.boot == here.boot)
    };
    let edges = keys_of(&bus, user).await?.into_iter();
    let edges = edges.map(|(edge, here)| EdgeLine::of(lives(&edge, &here), edge, here));
    let chosen = chosen.unwrap_or(Choice::Online);
    let line = Line { user, seen: &seen, chosen, edges: edges.collect() };
    let line = serde_json::to_string(&line);
    say(&line.map_err(|error| Error::Failed(format!("it can't be shown: {error}")))?);
    bus.close().await;
    Ok(())
}

impl EdgeLine {
    fn of(alive: bool, edge: NodeId, here: EdgePresence) -> Self {
        let (idle, devices) = here.devices.into_iter().partition::<Vec<_>, _>(|it| it.idle);
        let names = |of: Vec<weft_proto::presence::DevicePresence>| {
            of.into_iter().map(|it| it.device).collect()
        };
        let (devices, idle) = (names(devices), names(idle));
        Self { edge, alive, devices, idle, last_active: here.last_active_ms }
    }
}
