//! `weft admin push`: notifications that could not be delivered.

use clap::{Args, Subcommand};
use serde::Serialize;
use weft_nats::jobs::{self, Lane};
use weft_proto::UserId;
use weft_push::job::DeadJob;

use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// Letters that are read at once.
const AT_ONCE: usize = 100;

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
            for (number, letter) in letters(&bus, None).await? {
                let line = Line { number, letter: &letter };
                say(&serde_json::to_string(&line).map_err(unreadable)?);
            }
            Ok(())
        }
        PushCommand::Replay(chosen) => {
            let bus = chosen.installation.connect().await?;
            for (seq, DeadJob { job, died_ms, .. }) in letters(&bus, chosen.number).await? {
                let lane = if job.first { Lane::First } else { Lane::Rest };
                let bytes = serde_json::to_vec(&job).map_err(unreadable)?;
                // Under its own name the queue may know it from before.
                let id = format!("{}/{died_ms}", job.id());
                let user = UserId::new(&job.user);
                let user = user.map_err(|error| Error::Failed(error.to_string()))?;
                if !jobs::put(&bus, lane, &user, &id, bytes.into()).await? {
                    say(&format!("{seq} stays: as many notifications of {user} wait as may"));
                    continue;
                }
                jobs::remove_dead(&bus, seq).await?;
                say(&format!("{seq} is tried again"));
            }
            Ok(())
        }
        PushCommand::Discard(chosen) => {
            let bus = chosen.installation.connect().await?;
            for (seq, _) in letters(&bus, chosen.number).await? {
                jobs::remove_dead(&bus, seq).await?;
                say(&format!("{seq} is removed"));
            }
            Ok(())
        }
    }
}

/// Those that there are, or the one with this number.
async fn letters(bus: &weft_nats::Bus, number: Option<u64>) -> Result<Vec<(u64, DeadJob)>, Error> {
    let (mut found, mut after) = (Vec::new(), number.map_or(0, |number| number.saturating_sub(1)));
    loop {
        let at_once = if number.is_some() { 1 } else { AT_ONCE };
        let page = jobs::dead_letters(bus, after, at_once).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for letter in page {
            found.push((letter.seq, serde_json::from_slice(&letter.payload).map_err(unreadable)?));
        }
        if number.is_some() {
            break;
        }
    }
    found.retain(|(seq, _)| number.is_none_or(|number| *seq == number));
    Ok(found)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::Failed(format!("a letter can't be read: {error}"))
}
