//! Commands of bots and buttons: how people tell bots to do something, and how these answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Query, Request};
use crate::check::{check_chars, missing};
use crate::error::{ApiError, ErrorCode};
use crate::hidden::Hidden;
use crate::ids::UserId;
use crate::json::read_object;
use crate::kind::{Body, target_of};
use crate::limits::{
    BUTTON_ID_BYTES_MAX, COMMAND_CHARS_MAX, COMMAND_TEXT_CHARS_MAX, COMMANDS_PER_BOT_MAX,
    INTERACTION_ANSWERS_MAX, INTERACTION_TEXT_CHARS_MAX,
};
use crate::room::RoomId;
use crate::svc;

/// What a bot is told to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    Command {
        bot: UserId,
        command: String,
        /// What was written after the command's name; may be empty.
        text: String,
    },
    Button {
        /// The message's seq.
        target: u64,
        button: String,
    },
}

impl Told {
    /// Reads its fields out of a frame or a body.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::BadId`].
    pub fn of_text(text: &str) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(borrow)]
            bot: Option<Cow<'a, str>>,
            command: Option<String>,
            text: Option<String>,
            target: Option<u64>,
            button: Option<String>,
        }
        let Fields { bot, command, text, target, button } = read_object(text)?;
        if let Some(button) = button {
            if command.is_some() || button.is_empty() || button.len() > BUTTON_ID_BYTES_MAX {
                let message = "the field button is the id of a button, and goes without a command";
                return Err(ApiError::new(ErrorCode::BadRequest, message));
            }
            return Ok(Self::Button { target: target_of(target)?, button });
        }
        let command = command.ok_or_else(|| missing("command"))?;
        check_name(&command)?;
        let text = text.unwrap_or_default();
        check_chars("text", &text, INTERACTION_TEXT_CHARS_MAX)?;
        let bot = UserId::new(&bot.ok_or_else(|| missing("bot"))?)?;
        Ok(Self::Command { bot, command, text })
    }

    /// What core is asked for.
    #[must_use]
    pub fn request(self, token: String, room: &RoomId) -> svc::Interact {
        let request = svc::Interact { token, room: room.to_string(), ..svc::Interact::default() };
        match self {
            Self::Command { bot, command, text } => {
                svc::Interact { bot: bot.to_string(), command, text, ..request }
            }
            Self::Button { target, button } => svc::Interact { target, button, ..request },
        }
    }
}

/// How a bot answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InteractionAnswer {
    /// It will.
    Defer,
    /// To the one user, on whatever devices are there.
    Ephemeral(String),
    /// A message to the room. The same `part` again is the same message.
    Message { part: u8, body: Box<Body> },
}

impl InteractionAnswer {
    /// Reads it out of a frame or a body.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], or those of the message.
    pub fn of_text(json: &str) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(default)]
            defer: bool,
            #[serde(default)]
            ephemeral: bool,
            text: Option<String>,
            part: Option<u8>,
        }
        let Fields { defer, ephemeral, text, part } = read_object(json)?;
        if defer {
            return Ok(Self::Defer);
        }
        if ephemeral {
            let text = text.filter(|text| !text.is_empty()).ok_or_else(|| missing("text"))?;
            check_chars("text", &text, INTERACTION_TEXT_CHARS_MAX)?;
            return Ok(Self::Ephemeral(text));
        }
        let part = part.unwrap_or_default();
        if part >= INTERACTION_ANSWERS_MAX {
            let message = format!("the field part is less than {INTERACTION_ANSWERS_MAX}");
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        let body = Box::new(Body::from_text(json)?);
        if body.as_message().is_none() {
            let message = "an interaction is answered by a message";
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        Ok(Self::Message { part, body })
    }
}

pub(super) fn read_interact(text: &str) -> Result<Request, ApiError> {
    let room = super::rooms::read_room_id(text)?;
    Ok(Request::Interact { room, told: Box::new(Told::of_text(text)?) })
}

pub(super) fn read_answer(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Fields {
        token: Option<String>,
    }
    let Fields { token } = read_object(text)?;
    let token = token.ok_or_else(|| missing("token"))?;
    Ok(Request::Answer { interaction: Hidden(token), answer: InteractionAnswer::of_text(text)? })
}

pub(super) fn read_commands(text: &str) -> Result<Request, ApiError> {
    Ok(Query::BotCommands { room: super::rooms::read_room_id(text)? }.into())
}

/// A command, as clients show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CommandShown {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    bot: String,
    name: String,
    description: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    usage: String,
}

impl From<svc::BotCommand> for CommandShown {
    fn from(it: svc::BotCommand) -> Self {
        let svc::BotCommand { bot, name, description, usage } = it;
        Self { bot, name, description, usage }
    }
}

impl CommandShown {
    /// Checks what a bot registers. The bot that they may name is not looked at.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
    pub fn check(commands: Vec<Self>) -> Result<Vec<svc::BotCommand>, ApiError> {
        if commands.len() > COMMANDS_PER_BOT_MAX {
            let message = format!("a bot has at most {COMMANDS_PER_BOT_MAX} commands");
            return Err(ApiError::new(ErrorCode::TooLong, message));
        }
        let checked = commands.into_iter().map(|Self { name, description, usage, .. }| {
            check_name(&name)?;
            check_chars("description", &description, COMMAND_TEXT_CHARS_MAX)?;
            check_chars("usage", &usage, COMMAND_TEXT_CHARS_MAX)?;
            Ok(svc::BotCommand { bot: String::new(), name, description, usage })
        });
        let mut checked = checked.collect::<Result<Vec<_>, ApiError>>()?;
        checked.sort_by(|one, other| one.name.cmp(&other.name));
        if checked.windows(2).any(|two| two[0].name == two[1].name) {
            return Err(ApiError::new(ErrorCode::BadRequest, "a command is there twice"));
        }
        Ok(checked)
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.is_empty() && name.len() <= COMMAND_CHARS_MAX && name.bytes().all(is_letter) {
        return Ok(());
    }
    let message =
        format!("the name of a command is 1 to {COMMAND_CHARS_MAX} letters of a-z, 0-9 and -");
    Err(ApiError::new(ErrorCode::BadRequest, message))
}

/// The commands of a room.
#[must_use]
pub fn bot_commands_frame(room: &RoomId, page: svc::BotCommands) -> Vec<u8> {
    #[derive(Serialize)]
    struct Frame<'a> {
        r#type: &'static str,
        room: &'a RoomId,
        commands: Vec<CommandShown>,
    }
    let commands = page.commands.into_iter().map(Into::into).collect();
    let frame = Frame { r#type: "commands", room, commands };
    serde_json::to_vec(&frame).expect("plain fields serialise")
}

/// What a bot is pushed.
#[derive(Serialize)]
pub struct InteractionFrame<'a> {
    /// `interaction`.
    pub r#type: &'static str,
    /// By which it answers. It is good for this bot alone.
    pub token: &'a str,
    /// By which clients know it.
    pub interaction: &'a str,
    pub room: &'a str,
    /// Who has told it.
    pub user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub command: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub text: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    pub target: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub button: &'a str,
    /// Until when it answers, Unix milliseconds.
    pub expires_at: u64,
}

/// What who has told a bot is pushed, on all of their devices.
#[derive(Serialize, Deserialize)]
pub struct InteractionAnswerFrame<'a> {
    /// `interaction_answer`.
    pub r#type: Cow<'a, str>,
    pub interaction: Cow<'a, str>,
    pub room: Cow<'a, str>,
    pub bot: Cow<'a, str>,
    /// `deferred` or `answered`.
    pub state: Cow<'a, str>,
    /// For this user alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// Where the answer is in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// What who tells a bot is answered: `state` is `answered`, `deferred` or `silent`.
#[must_use]
pub fn interacted_frame(interaction: &str, state: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Frame<'a> {
        r#type: &'static str,
        interaction: &'a str,
        state: &'a str,
    }
    let frame = Frame { r#type: "interacted", interaction, state };
    serde_json::to_vec(&frame).expect("plain fields serialise")
}

impl InteractionFrame<'_> {
    /// Without a request id.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

impl InteractionAnswerFrame<'_> {
    /// Without a request id.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it in so")]
fn is_none(seq: &u64) -> bool {
    *seq == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_told_by_a_command_or_a_button() {
        let told = Told::of_text(r#"{"bot":"ci","command":"deploy","text":"main"}"#).expect("told");
        let bot = UserId::new("ci").expect("id");
        let (command, text) = ("deploy".into(), "main".into());
        assert_eq!(told, Told::Command { bot, command, text });
        let told = Told::of_text(r#"{"target":7,"button":"yes"}"#).expect("told");
        assert_eq!(told, Told::Button { target: 7, button: "yes".into() });
        for bad in [
            "{}",
            r#"{"command":"deploy"}"#,
            r#"{"bot":"ci","command":"De ploy"}"#,
            r#"{"button":"yes"}"#,
            r#"{"target":7,"button":""}"#,
            r#"{"target":7,"button":"yes","command":"deploy"}"#,
        ] {
            assert_eq!(Told::of_text(bad).expect_err(bad).code, ErrorCode::BadRequest, "{bad}");
        }
    }

    #[test]
    fn a_bot_answers_later_to_one_or_to_all() {
        let read = InteractionAnswer::of_text;
        assert_eq!(read(r#"{"defer":true}"#), Ok(InteractionAnswer::Defer));
        let one = read(r#"{"text":"psst","ephemeral":true}"#);
        assert_eq!(one, Ok(InteractionAnswer::Ephemeral("psst".into())));
        let all = read(r#"{"type":"answer","text":"done","part":4}"#).expect("a message");
        assert!(matches!(all, InteractionAnswer::Message { part: 4, .. }));
        for bad in [r#"{"ephemeral":true}"#, r#"{"text":"x","part":5}"#, r#"{"kind":"leave"}"#] {
            assert_eq!(read(bad).expect_err(bad).code, ErrorCode::BadRequest, "{bad}");
        }
    }

    #[test]
    fn commands_are_few_and_told_apart() {
        let check = |json: &str| CommandShown::check(serde_json::from_str(json).expect("json"));
        let two =
            r#"[{"name":"b","description":"B","usage":"<x>"},{"name":"a","description":"A"}]"#;
        let names: Vec<_> = check(two).expect("two").into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a", "b"]);
        let twice = r#"[{"name":"a","description":"A"},{"name":"a","description":"B"}]"#;
        assert_eq!(check(twice).expect_err("twice").code, ErrorCode::BadRequest);
        let many = vec![r#"{"name":"a","description":"A"}"#; COMMANDS_PER_BOT_MAX + 1].join(",");
        assert_eq!(check(&format!("[{many}]")).expect_err("many").code, ErrorCode::TooLong);
    }
}
