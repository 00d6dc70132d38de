//! `weft admin push`: notifications that could not be delivered.

use clap::{Args, Subcommand};
use serde::Serialize;
use weft_nats::Bus;
use weft_nats::jobs::{self, Lane, PUSH_LETTERS};
use weft_proto::UserId;
use weft_push::job::DeadJob;

use super::letters::{self, Letter};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// What to do with them.
#[derive(Args, Clone, Debug)]
pub struct PushOptions {
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum PushCommand {
    /// Lists the notifications that could not be delivered, oldest first: a JSON object a line.
    List(Installation),
    /// Has them tried again: all of them, or one.
    Replay(Chosen),
    /// Removes them: all of them, or one.
    Discard(Chosen),
}

#[derive(Args, Clone, Debug)]
struct Chosen {
    /// The number that the list has before it.
    #[arg(long)]
    number: Option<u64>,
    #[command(flatten)]
    installation: Installation,
}

/// A notification that could not be delivered, in one line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    #[serde(flatten)]
    letter: &'a DeadJob,
}

pub async fn run(options: PushOptions) -> Result<(), Error> {
    match options.command {
        PushCommand::List(installation) => {
            let bus = installation.connect().await?;
            for Letter { number, letter } in all(&bus, None).await? {
                let line = Line { number, letter: &letter };
                say(&serde_json::to_string(&line).map_err(letters::unreadable)?);
            }
            Ok(())
        }
        PushCommand::Replay(chosen) => {
            let bus = chosen.installation.connect().await?;
            for Letter { number: seq, letter } in all(&bus, chosen.number).await? {
                let DeadJob { job, died_ms, .. } = letter;
                let lane = if job.first { Lane::First } else { Lane::Rest };
                let bytes = serde_json::to_vec(&job).map_err(letters::unreadable)?;
                // Under its own name the queue may know it from before.
                let id = format!("{}/{died_ms}", job.id());
                let user = UserId::new(&job.user);
                let user = user.map_err(|error| Error::Failed(error.to_string()))?;
                if !jobs::put(&bus, lane, &user, &id, bytes.into()).await? {
                    say(&format!("{seq} stays: as many notifications of {user} wait as may"));
                    continue;
                }
                jobs::remove_dead(&bus, PUSH_LETTERS, seq).await?;
                say(&format!("{seq} is tried again"));
            }
            Ok(())
        }
        PushCommand::Discard(chosen) => {
            let bus = chosen.installation.connect().await?;
            for Letter { number: seq, .. } in all(&bus, chosen.number).await? {
                jobs::remove_dead(&bus, PUSH_LETTERS, seq).await?;
                say(&format!("{seq} is removed"));
            }
            Ok(())
        }
    }
}

async fn all(bus: &Bus, number: Option<u64>) -> Result<Vec<Letter<DeadJob>>, Error> {
    letters::read(bus, PUSH_LETTERS, number).await
}
