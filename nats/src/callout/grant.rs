//! What a bot's connection may do, of what its token allows. Pure.

use weft_proto::{DeviceId, RoomId, UserId};

use crate::subject::BOTS_STREAM;

/// Subscriptions of one connection.
pub(super) const SUBSCRIPTIONS_MAX: u32 = 100;
/// The largest message of a bot: a frame of the largest text, in JSON.
pub(super) const PAYLOAD_BYTES_MAX: u32 = 1_400_000;

/// A bot, and what one of its tokens allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotGrant {
    pub bot: UserId,
    /// The token's name: a device of the bot. Others don't know it.
    pub token: DeviceId,
    /// Which token of this name: when it was made, Unix milliseconds.
    pub made_ms: u64,
    /// In which rooms it may write; `None`: in all.
    pub rooms: Option<Vec<RoomId>>,
    /// What kinds of entries it may write; `None`: all.
    pub kinds: Option<Vec<String>>,
    pub may_write: bool,
    /// When it ends, Unix seconds.
    pub expires_s: u64,
}

impl BotGrant {
    /// How nats-server calls the connection: `<bot>/<token>/<made>`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.bot, self.token, self.made_ms)
    }

    /// Where its replies go. The token's name in it is what others can't guess: any bot may name any subject as the one
    /// that *its* answers go to.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("_INBOX_{}_{}", self.bot, self.token)
    }

    pub(super) fn publishes(&self) -> Vec<String> {
        let Self { bot, .. } = self;
        let mut list = self.writes();
        list.push(format!("weft.api.{bot}.*"));
        if self.rooms.is_some() {
            // The bot's feed is of all its rooms.
            return list;
        }
        // Its own consumer, which Weft makes.
        let api = "$JS.WEFT.API.CONSUMER";
        list.push(format!("{api}.INFO.{BOTS_STREAM}.{bot}"));
        list.push(format!("{api}.MSG.NEXT.{BOTS_STREAM}.{bot}"));
        list.push(format!("$JS.ACK.{BOTS_STREAM}.{bot}.>"));
        list
    }

    pub(super) fn subscribes(&self) -> Vec<String> {
        vec![format!("{}.>", self.inbox()), format!("weft.ack.u.{}.*", self.bot)]
    }

    fn writes(&self) -> Vec<String> {
        if !self.may_write {
            return Vec::new();
        }
        let places: Vec<String> = match &self.rooms {
            None => vec![format!("weft.in.{}.*", self.bot)],
            Some(rooms) => {
                rooms.iter().map(|room| format!("weft.in.{}.{room}", self.bot)).collect()
            }
        };
        // Who names the kind is held to it, and to the room: nothing is forwarded from another one, nor scheduled. Who has
        // only some rooms or kinds has to name it.
        let kinds = |place: &String| -> Vec<String> {
            match &self.kinds {
                Some(kinds) => kinds.iter().map(|kind| format!("{place}.{kind}")).collect(),
                None if self.rooms.is_some() => vec![format!("{place}.*")],
                None => vec![place.clone(), format!("{place}.*")],
            }
        };
        places.iter().flat_map(kinds).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> BotGrant {
        BotGrant {
            bot: UserId::new("news").expect("id"),
            token: DeviceId::new("t-7").expect("id"),
            made_ms: 5,
            rooms: None,
            kinds: None,
            may_write: true,
            expires_s: 9,
        }
    }

    #[test]
    fn a_token_is_no_wider_than_its_scope() {
        let rooms = ["team", "ops"].map(|room| RoomId::new(room).expect("id"));
        let kinds = Some(vec!["message".to_owned()]);
        let writes = |grant: BotGrant| grant.writes();
        assert_eq!(writes(grant()), ["weft.in.news.*", "weft.in.news.*.*"]);
        let in_rooms = BotGrant { rooms: Some(rooms.to_vec()), ..grant() };
        assert_eq!(writes(in_rooms.clone()), ["weft.in.news.team.*", "weft.in.news.ops.*"]);
        let reads_feed = |grant: &BotGrant| grant.publishes().iter().any(|it| it.contains("NEXT"));
        assert!(reads_feed(&grant()) && !reads_feed(&in_rooms));
        let messages = BotGrant { kinds: kinds.clone(), ..grant() };
        assert_eq!(writes(messages), ["weft.in.news.*.message"]);
        let both = BotGrant { kinds, ..in_rooms };
        assert_eq!(writes(both), ["weft.in.news.team.message", "weft.in.news.ops.message"]);
        let reads = BotGrant { may_write: false, ..grant() };
        assert!(reads.publishes().iter().all(|subject| !subject.contains("weft.in")));
    }

    #[test]
    fn an_inbox_has_what_others_do_not_know() {
        assert_eq!(grant().subscribes(), ["_INBOX_news_t-7.>", "weft.ack.u.news.*"]);
        assert_eq!(grant().name(), "news/t-7/5");
    }
}
