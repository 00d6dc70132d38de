//! `weft admin webhooks`: what could not be delivered to webhooks, and those that are paused.

use clap::{Args, Subcommand};
use serde::Serialize;
use weft_integrations::webhooks::DeadDelivery;
use weft_nats::webhooks::{self, WEBHOOK_LETTERS};
use weft_nats::{Bus, jobs};
use weft_proto::svc::{OperatorResumeWebhook, WebhookPlace};
use weft_proto::{RoomId, UserId, WebhookId};

use super::administrators::refused;
use super::letters::{self, Letter};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// What to do with them.
#[derive(Args, Clone, Debug)]
pub struct WebhooksOptions {
    #[command(subcommand)]
    command: WebhooksCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum WebhooksCommand {
    /// Lists what could not be delivered, oldest first: a JSON object a line.
    List(Installation),
    /// Has it tried again: all of it, or one. It comes after what waits by then.
    Replay(Chosen),
    /// Removes it: all of it, or one.
    Discard(Chosen),
    /// Has a webhook told again that was paused because it failed.
    Resume(Which),
}

#[derive(Args, Clone, Debug)]
struct Chosen {
    /// The number that the list has before it.
    #[arg(long)]
    number: Option<u64>,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// Its id.
    #[arg(value_parser = id)]
    webhook: WebhookId,
    /// The group that it is of.
    #[arg(long, value_parser = room, required_unless_present = "own_of", conflicts_with = "own_of")]
    room: Option<RoomId>,
    /// The user whose own it is.
    #[arg(long = "user", value_parser = user)]
    own_of: Option<UserId>,
    #[command(flatten)]
    installation: Installation,
}

fn id(text: &str) -> Result<WebhookId, String> {
    WebhookId::new(text).map_err(|error| error.message)
}

fn room(text: &str) -> Result<RoomId, String> {
    RoomId::new(text).map_err(|error| error.message)
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text).map_err(|error| error.message)
}

/// What could not be delivered, in one line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    #[serde(flatten)]
    letter: &'a DeadDelivery,
}

pub async fn run(options: WebhooksOptions) -> Result<(), Error> {
    match options.command {
        WebhooksCommand::List(installation) => {
            for Letter { number, letter } in all(&installation.connect().await?, None).await? {
                let line = Line { number, letter: &letter };
                say(&serde_json::to_string(&line).map_err(letters::unreadable)?);
            }
            Ok(())
        }
        WebhooksCommand::Replay(chosen) => {
            let bus = chosen.installation.connect().await?;
            for Letter { number, letter } in all(&bus, chosen.number).await? {
                let DeadDelivery { job, died_ms, .. } = letter;
                // Under its own name the queue may know it from before.
                if !webhooks::put(&bus, &job, &format!("{}/{died_ms}", job.id())).await? {
                    say(&format!("{number} stays: as much as may waits for {}", job.webhook));
                    continue;
                }
                jobs::remove_dead(&bus, WEBHOOK_LETTERS, number).await?;
                say(&format!("{number} is tried again"));
            }
            Ok(())
        }
        WebhooksCommand::Discard(chosen) => {
            let bus = chosen.installation.connect().await?;
            for Letter { number, .. } in all(&bus, chosen.number).await? {
                jobs::remove_dead(&bus, WEBHOOK_LETTERS, number).await?;
                say(&format!("{number} is removed"));
            }
            Ok(())
        }
        WebhooksCommand::Resume(Which { webhook, room, own_of, installation }) => {
            let own = own_of.map(|user| RoomId::direct(&user, &user));
            let Some(owner) = room.or(own) else { return Ok(()) };
            let (owner, id) = (owner.to_string(), webhook.to_string());
            let asked = OperatorResumeWebhook { webhook: Some(WebhookPlace { owner, id }) };
            installation.connect().await?.call(&asked).await.map_err(refused)?;
            say(&format!("{webhook} is told again"));
            Ok(())
        }
    }
}

async fn all(bus: &Bus, number: Option<u64>) -> Result<Vec<Letter<DeadDelivery>>, Error> {
    letters::read(bus, WEBHOOK_LETTERS, number).await
}
