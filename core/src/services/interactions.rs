//! What people tell bots to do: a command, or a button of a message. The bot is told on its own subject, and answers by
//! an id that core has signed, so nothing of it is kept: who does not hear it in time has not been told.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::frame::{CommandShown, InteractionAnswerFrame, InteractionFrame};
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::limits::{FANOUT_LIMIT, INTERACTION_LIFE_MS};
use weft_proto::scope::Needs;
use weft_proto::svc::AnswerState;
use weft_proto::token::TOKEN_AUDIENCE;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::bot::{self, Bot};
use weft_storage::tables::bot_commands::{self, BotCommand, BotCommands};
use weft_storage::tables::log;
use weft_storage::tables::member::{self, Member};
use weft_storage::{Batch, Snapshot};

use super::access::Access;
use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;
use super::messages::message_row;
use super::relations::hidden_rooms;
use super::rooms::{has_level, page_of_members};
use super::{Caller, Context};

#[cfg(test)]
mod tests;

/// `aud` of an interaction's id: so that it is no access token, and no access token is one.
const AUDIENCE: &str = "weft.interaction";
/// In a large group the bots with commands are looked through, these many of the whole installation.
const BOTS_READ_MAX: usize = 1_000;

/// An interaction as signed claims.
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    /// The bot.
    sub: String,
    room: RoomId,
    user: UserId,
    nonce: u64,
    made_ms: u64,
}

impl Claims {
    /// By which clients know it: nobody answers by that.
    fn name(&self) -> String {
        format!("{:016x}", self.nonce)
    }

    fn ends_ms(&self) -> u64 {
        self.made_ms + INTERACTION_LIFE_MS
    }
}

/// What somebody is to be told on their sessions.
#[derive(Debug)]
pub struct Push {
    pub user: UserId,
    /// The name of the interaction, and its room.
    pub interaction: String,
    pub room: RoomId,
    pub frame: Bytes,
}

impl Context {
    /// Registers the commands of a bot: by itself, or by who has it.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchUser`], [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::UnknownType`] below the level,
    /// those of the token, or the store's.
    pub async fn set_bot_commands(
        &self,
        request: svc::SetBotCommands,
    ) -> Result<svc::Empty, Failure> {
        let bot = UserId::new(&request.bot)?;
        let commands = request.commands.iter().cloned().map(CommandShown::from).collect();
        let commands = CommandShown::check(commands)?.into_iter().map(stored).collect();
        let row = BotCommands { commands };
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let caller = self.caller(&*snapshot, &request).await?;
            if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
                let message = "the service takes that after `weft admin upgrade`";
                return Err(Failure::new(ErrorCode::UnknownType, message));
            }
            let owned = snapshot.get(bot::key(&bot)).await?;
            let is_owners = match (&caller.scope, owned.as_deref().map(Bot::decode).transpose()?) {
                (None, Some(owned)) => owned.is_of(&caller.user),
                _ => false,
            };
            if !is_owners && caller.user != bot {
                return Err(Failure::new(ErrorCode::NoSuchUser, "there is no such bot"));
            }
            let account = snapshot.get(account::key(&bot)).await?;
            let is_bot = account.as_deref().map(Account::decode).transpose()?;
            if !is_bot.is_some_and(|account| account.is_bot) {
                return Err(Failure::new(ErrorCode::NoSuchUser, "there is no such bot"));
            }
            let mut batch = Batch::new(rand::random());
            // Not one that is deleted meanwhile.
            batch.guard(account::key(&bot), account);
            match row.commands.is_empty() {
                true => batch.clear(bot_commands::key(&bot)),
                false => batch.set(bot_commands::key(&bot), row.encode()),
            }
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// The commands of the bots in a room of the caller's. In a large group, those of the first [`BOTS_READ_MAX`] bots that
    /// have commands at all.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn bot_commands(
        &self,
        request: svc::ListBotCommands,
    ) -> Result<svc::BotCommands, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &user).await?;
        access.member_role()?;
        let bots = match access.head.large {
            true => members_of(&*snapshot, &room).await?,
            false => {
                let page =
                    page_of_members(&*snapshot, &room, String::new(), FANOUT_LIMIT + 1).await?;
                let users = page.members.iter().map(|member| UserId::new(&member.user));
                users.collect::<Result<Vec<_>, _>>()?
            }
        };
        let keys = bots.iter().map(bot_commands::key).collect();
        let mut commands = Vec::new();
        let mut bytes = 0;
        for (bot, row) in bots.iter().zip(snapshot.get_many(keys).await?) {
            let row = row.as_deref().map(BotCommands::decode).transpose()?.unwrap_or_default();
            bytes += row.encode().len();
            if bytes > self.limits.page.bytes_max {
                break;
            }
            commands.extend(row.commands.into_iter().map(|it| shown(bot, it)));
        }
        Ok(svc::BotCommands { commands })
    }

    /// Has a bot told what the caller wants of it.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] where the bot or the message has no such command or button, [`ErrorCode::NotAllowed`] where
    /// one of two has blocked the other, those of [`Access`], [`ErrorCode::Deleted`], [`ErrorCode::BadId`], those of the
    /// token, or the store's.
    pub async fn interact(
        &self,
        request: svc::Interact,
    ) -> Result<(svc::Interacted, Push), Failure> {
        let snapshot = self.store.snapshot().await?;
        let snapshot = &*snapshot;
        let user = self.caller(snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(snapshot, &room, &user).await?;
        access.member_role()?;
        if hidden_rooms(snapshot, [&room]).await?.contains(&room) {
            let message = "one of the two does not want to hear of the other";
            return Err(Failure::new(ErrorCode::NotAllowed, message));
        }
        let bot = match request.command.is_empty() {
            false => of_command(snapshot, &request).await?,
            true => of_button(snapshot, (&room, &access), &request).await?,
        };
        let no_bot = || Failure::new(ErrorCode::NotFound, "no bot of the room does that");
        let account = snapshot.get(account::key(&bot)).await?;
        let account = account.as_deref().map(Account::decode).transpose()?;
        if !account.is_some_and(|account| account.is_bot) {
            return Err(no_bot());
        }
        match Access::of(snapshot, &room, &bot).await {
            Ok(access) if access.role.is_some() => {}
            Ok(_) | Err(Failure::Refused(_)) => return Err(no_bot()),
            Err(failure) => return Err(failure),
        }
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            iss: TOKEN_AUDIENCE.to_owned(),
            sub: bot.to_string(),
            room: room.clone(),
            user: user.clone(),
            nonce: rand::random(),
            made_ms: self.clock.now_ms(),
        };
        let (id, interaction) = (self.tokens.sign(&claims)?, claims.name());
        let frame = InteractionFrame {
            r#type: "interaction",
            token: &id,
            interaction: &interaction,
            room: room.as_str(),
            user: user.as_str(),
            command: &request.command,
            text: &request.text,
            target: request.target,
            button: &request.button,
            expires_at: claims.ends_ms(),
        };
        let frame = frame.to_frame().into();
        let push = Push { user: bot, interaction: interaction.clone(), room, frame };
        Ok((svc::Interacted { interaction }, push))
    }

    /// A bot answers what it was told; `None`: it has only asked whether it may.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] for the id of another bot's interaction, and of one that is over, [`ErrorCode::NotMember`],
    /// [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn answer_interaction(
        &self,
        request: svc::AnswerInteraction,
    ) -> Result<(svc::Interaction, Option<Push>), Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        let claims = self.read_interaction(&caller, &request.id)?;
        if let Some(scope) = &caller.scope {
            scope.check(Needs::Write(claims.room.as_str()))?;
        }
        // Whoever has left hears nothing of it, and says nothing there.
        for user in [&caller.user, &claims.user] {
            Access::of(&*snapshot, &claims.room, user).await?.member_role()?;
        }
        let interaction = claims.name();
        let state = match request.state() {
            AnswerState::Check => None,
            AnswerState::Deferred => Some("deferred"),
            AnswerState::Answered => Some("answered"),
        };
        let push = state.map(|state| {
            let frame = InteractionAnswerFrame {
                r#type: "interaction_answer".into(),
                interaction: (&*interaction).into(),
                room: claims.room.as_str().into(),
                bot: caller.user.as_str().into(),
                state: state.into(),
                text: Some(&*request.text).filter(|text| !text.is_empty()).map(Into::into),
                seq: Some(request.seq).filter(|seq| *seq != 0),
            };
            let (user, room) = (claims.user.clone(), claims.room.clone());
            Push { user, interaction: interaction.clone(), room, frame: frame.to_frame().into() }
        });
        let answered = svc::Interaction {
            interaction,
            room: claims.room.to_string(),
            user: claims.user.to_string(),
            made_ms: claims.made_ms,
            id: claims.nonce,
        };
        Ok((answered, push))
    }

    fn read_interaction(&self, caller: &Caller, id: &str) -> Result<Claims, Failure> {
        let claims: Option<Claims> = self.tokens.open_signed(id, AUDIENCE);
        let claims = claims.filter(|claims| claims.sub == caller.user.as_str());
        let claims = claims.filter(|claims| self.clock.now_ms() < claims.ends_ms());
        claims.ok_or_else(|| {
            Failure::new(ErrorCode::NotFound, "there is no such interaction, or its time is over")
        })
    }
}

/// The bot whose command it is.
async fn of_command(snapshot: &dyn Snapshot, request: &svc::Interact) -> Result<UserId, Failure> {
    let bot = UserId::new(&request.bot)?;
    let row = snapshot.get(bot_commands::key(&bot)).await?;
    let row = row.as_deref().map(BotCommands::decode).transpose()?.unwrap_or_default();
    match row.commands.iter().any(|command| command.name == request.command) {
        true => Ok(bot),
        false => Err(Failure::new(ErrorCode::NotFound, "the bot has no such command")),
    }
}

/// Who has written the message with the button.
async fn of_button(
    snapshot: &dyn Snapshot,
    (room, access): (&RoomId, &Access),
    request: &svc::Interact,
) -> Result<UserId, Failure> {
    message_row(snapshot, room, access, request.target).await?;
    let found = log::get_many(snapshot, &[(room.clone(), request.target)]).await?;
    let no_button = || Failure::new(ErrorCode::NotFound, "the message has no such button");
    let entry = found.into_iter().flatten().next().ok_or_else(no_button)?.entry;
    let rows = entry.body.as_message().map(|message| &message.extras().buttons);
    let mut buttons = rows.into_iter().flatten().flat_map(|row| &row.buttons);
    match buttons.any(|button| button.id == request.button) {
        true => Ok(entry.from),
        false => Err(no_button()),
    }
}

/// Those bots with commands that are in a large group.
async fn members_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<Vec<UserId>, weft_storage::Error> {
    let bots = bot_commands::bots(snapshot, BOTS_READ_MAX).await?;
    let rows = snapshot.get_many(bots.iter().map(|bot| member::key(room, bot)).collect()).await?;
    let mut members = Vec::new();
    for (bot, row) in bots.into_iter().zip(rows) {
        let row = row.as_deref().map(Member::decode).transpose()?;
        members.extend(row.and_then(|row| row.role()).map(|_| bot));
    }
    Ok(members)
}

fn stored(it: svc::BotCommand) -> BotCommand {
    BotCommand { name: it.name, description: it.description, usage: it.usage }
}

fn shown(bot: &UserId, it: BotCommand) -> svc::BotCommand {
    let BotCommand { name, description, usage } = it;
    svc::BotCommand { bot: bot.to_string(), name, description, usage }
}
