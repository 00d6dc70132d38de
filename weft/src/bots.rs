//! What other systems may read, on the command line.

use clap::Args;
use weft_proto::{RoomId, RoomKind, UserId};

use crate::error::Error;

/// Which groups' events bots get.
#[derive(Args, Clone, Debug, Default)]
pub struct BotEvents {
    /// A group whose events a bot may receive live on NATS, whether it is a member or not: `news=team`;
    /// `news=*`: those of all groups. Can be given several times. Without it a bot gets what concerns it
    /// alone: its direct rooms, and its joining and leaving groups.
    #[arg(
        long = "bot-events",
        value_name = "BOT=GROUP",
        env = "WEFT_BOT_EVENTS",
        value_delimiter = ',',
        value_parser = grant
    )]
    grants: Vec<Grant>,
}

#[derive(Clone, Debug)]
struct Grant {
    bot: UserId,
    /// `None`: all groups.
    group: Option<RoomId>,
}

fn grant(text: &str) -> Result<Grant, String> {
    let (bot, group) = text.split_once('=').ok_or("it is <bot>=<group>, or <bot>=*")?;
    let bot = UserId::new(bot).map_err(|error| error.message)?;
    let group = match group {
        "*" => None,
        group => Some(RoomId::new(group).map_err(|error| error.message)?),
    };
    if group.as_ref().is_some_and(|group| group.kind() != RoomKind::Group) {
        return Err("a direct room's entries go to its own users alone".to_owned());
    }
    Ok(Grant { bot, group })
}

impl BotEvents {
    /// The groups of a bot; `None`: all.
    pub fn of(&self, bot: &UserId) -> Option<Vec<RoomId>> {
        let own = self.grants.iter().filter(|grant| grant.bot == *bot);
        own.map(|grant| grant.group.clone()).collect()
    }

    /// Refuses what would be without effect.
    ///
    /// # Errors
    /// Where a bot is not among these.
    pub fn check(&self, bots: &[UserId]) -> Result<(), Error> {
        match self.grants.iter().find(|grant| !bots.contains(&grant.bot)) {
            Some(Grant { bot, .. }) => {
                Err(Error::Failed(format!("--bot-events names {bot}, which no --bot names")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_gets_the_events_that_it_was_given() {
        let grants = ["news=team", "news=ops", "log=*", "log=team"];
        let grants = grants.map(|text| grant(text).expect(text)).into();
        let events = BotEvents { grants };
        let of = |name| events.of(&UserId::new(name).expect("id"));
        let groups = |names: &[&str]| {
            Some(names.iter().map(|name| RoomId::new(name).expect("id")).collect::<Vec<_>>())
        };
        assert_eq!(of("news"), groups(&["team", "ops"]));
        assert_eq!(of("log"), None);
        assert_eq!(of("bot"), groups(&[]));
        for bad in ["news", "news=", "=team", "news=a.b", "news=>", "news=a~b", "N=team"] {
            assert!(grant(bad).is_err(), "{bad}");
        }
    }
}
