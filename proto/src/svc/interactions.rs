//! What people tell bots to do, and what these answer.

use std::fmt;

use prost::Message;

use super::{Empty, Method};

redacted! {
    SetBotCommands { bot }
    ListBotCommands { room }
    Interact { room, bot, command, target, button }
    AnswerInteraction { state, seq }
    Interaction { id }
}

/// A command of a bot.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BotCommand {
    /// Of a room's list: whose it is.
    #[prost(string, tag = "1")]
    pub bot: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// What it does.
    #[prost(string, tag = "3")]
    pub description: String,
    /// What is written after its name; empty: nothing.
    #[prost(string, tag = "4")]
    pub usage: String,
}

/// Registers the commands of a bot, in the place of those before.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetBotCommands {
    /// The bot's own, or that of who has it.
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
    #[prost(message, repeated, tag = "3")]
    pub commands: Vec<BotCommand>,
}
method!(SetBotCommands, "accounts", "set_bot_commands", Empty);

/// Lists the commands of the bots in a room.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListBotCommands {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(ListBotCommands, "rooms", "bot_commands", BotCommands);

#[derive(Clone, PartialEq, Message)]
pub struct BotCommands {
    /// By bot and name.
    #[prost(message, repeated, tag = "1")]
    pub commands: Vec<BotCommand>,
}

/// Tells a bot to do something: by a command, or by a button of one of its messages.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Interact {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Of a command.
    #[prost(string, tag = "3")]
    pub bot: String,
    /// Empty: it is a button.
    #[prost(string, tag = "4")]
    pub command: String,
    /// What was written after the command's name.
    #[prost(string, tag = "5")]
    pub text: String,
    /// Of a button: the message's seq.
    #[prost(uint64, tag = "6")]
    pub target: u64,
    /// Of a button: its id.
    #[prost(string, tag = "7")]
    pub button: String,
}
method!(Interact, "rooms", "interact", Interacted);

#[derive(Clone, PartialEq, Message)]
pub struct Interacted {
    /// Its name, for who was told and who is: not what the bot answers by.
    #[prost(string, tag = "1")]
    pub interaction: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum AnswerState {
    /// Nobody is told: it is asked whether it may be answered.
    Check = 0,
    /// The answer comes later.
    Deferred = 1,
    /// Here it is.
    Answered = 2,
}

/// A bot answers.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct AnswerInteraction {
    #[prost(string, tag = "1")]
    pub token: String,
    /// The secret that the bot got with it.
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(enumeration = "AnswerState", tag = "3")]
    pub state: i32,
    /// For the one user alone; empty: none.
    #[prost(string, tag = "4")]
    pub text: String,
    /// Where the answer is in the room; 0: it is not there.
    #[prost(uint64, tag = "5")]
    pub seq: u64,
}
method!(AnswerInteraction, "rooms", "answer_interaction", Interaction);

/// An interaction, as it was.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Interaction {
    #[prost(string, tag = "1")]
    pub interaction: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Who told the bot.
    #[prost(string, tag = "3")]
    pub user: String,
    /// Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub made_ms: u64,
    /// A number of chance.
    #[prost(uint64, tag = "5")]
    pub id: u64,
}
