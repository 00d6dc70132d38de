//! What a bot's token is good for. A scope can only take away: its bot's account may do no more by it.
//!
//! What a request needs of a scope is said in one table, `svc/scopes.rs`; what is published is held against
//! [`Scope::check_publish`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorCode};
use crate::kind::Body;
use crate::limits::{SCOPE_KINDS_MAX, SCOPE_ROOMS_MAX};
use crate::room::RoomId;

/// What a token's holder may do. What is left out is not limited. A scope with a field that this Weft does not know
/// can't be read, and its token is good for nothing here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// In these rooms alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<BTreeSet<RoomId>>,
    /// It publishes these kinds of entries and commands alone, by their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<String>>,
    #[serde(default)]
    pub access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Read,
    /// And read.
    #[default]
    Write,
}

/// What a request needs of the scope of its token. Rooms are as the request names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs<'a> {
    /// Nothing: it is about the caller, or about what everybody may see.
    Nothing,
    /// It reads a room.
    Read(&'a str),
    /// It reads several rooms: the answer leaves out those that the scope does not name.
    ReadSome,
    /// It reads what is of no room, or of all.
    ReadAll,
    /// It changes something in a room, and is no entry.
    Write(&'a str),
    /// It uploads what entries may have.
    Upload,
    /// It changes what is of no room.
    WriteAll,
    /// No bot's token is good for it.
    Person,
}

impl Scope {
    /// The scope where it may be a token's.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
    pub fn checked(self) -> Result<Self, ApiError> {
        let no = |code, message: String| Err(ApiError::new(code, message));
        let is_empty = self.rooms.as_ref().is_some_and(BTreeSet::is_empty)
            || self.kinds.as_ref().is_some_and(BTreeSet::is_empty);
        if is_empty {
            let message = "a scope names at least one room and one kind, where it names some";
            return no(ErrorCode::BadRequest, message.into());
        }
        if self.rooms.as_ref().is_some_and(|rooms| rooms.len() > SCOPE_ROOMS_MAX) {
            return no(
                ErrorCode::TooLong,
                format!("a scope names at most {SCOPE_ROOMS_MAX} rooms"),
            );
        }
        let kinds = self.kinds.iter().flatten();
        if kinds.clone().count() > SCOPE_KINDS_MAX {
            return no(
                ErrorCode::TooLong,
                format!("a scope names at most {SCOPE_KINDS_MAX} kinds"),
            );
        }
        for kind in kinds {
            if !Body::is_sent(kind) {
                return no(ErrorCode::BadRequest, format!("nobody sends the kind {kind:?}"));
            }
        }
        Ok(self)
    }

    /// The room is one of the scope's.
    #[must_use]
    pub fn has_room(&self, room: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|it| it.as_str() == room))
    }

    /// Whether this may be published in a room. What it forwards has to be of a room of the scope, too.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`].
    pub fn check_publish(&self, room: &RoomId, body: &Body) -> Result<(), ApiError> {
        self.check(Needs::Write(room.as_str()))?;
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(body.kind().word)) {
            return Err(out_of_scope("the token's scope does not have this kind"));
        }
        if let Body::Schedule(later) = body {
            return self.check_publish(room, &later.body());
        }
        let origin =
            body.as_message().and_then(|it| it.extras().forwarded.as_ref()?.origin.as_ref());
        origin.map_or(Ok(()), |origin| self.check(Needs::Read(origin.room.as_str())))
    }

    /// # Errors
    /// [`ErrorCode::Forbidden`] where the scope does not allow what a request needs.
    pub fn check(&self, needs: Needs<'_>) -> Result<(), ApiError> {
        let writes = matches!(needs, Needs::Write(_) | Needs::WriteAll | Needs::Upload);
        if writes && self.access != Access::Write {
            return Err(out_of_scope("the token is good for reading alone"));
        }
        let is_in_scope = match needs {
            Needs::Nothing | Needs::ReadSome | Needs::Upload => true,
            Needs::Read(room) | Needs::Write(room) => self.has_room(room),
            Needs::ReadAll => self.rooms.is_none(),
            Needs::WriteAll => self.rooms.is_none() && self.kinds.is_none(),
            Needs::Person => return Err(out_of_scope("no bot may do that")),
        };
        match is_in_scope {
            true => Ok(()),
            false => Err(out_of_scope("the token's scope does not have this")),
        }
    }
}

fn out_of_scope(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Forbidden, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"text":"x"}"#;

    fn room(id: &str) -> RoomId {
        RoomId::new(id).expect("id")
    }

    fn may_publish(scope: &Scope, body: &str) -> bool {
        let body = Body::from_text(body).expect("a body");
        scope.check_publish(&room("team"), &body).is_ok()
    }

    fn scope(json: &str) -> Scope {
        serde_json::from_str(json).expect("a scope")
    }

    #[test]
    fn a_scope_takes_away() {
        let all = Scope::default();
        assert!(all.check(Needs::WriteAll).is_ok() && all.check(Needs::ReadAll).is_ok());
        assert!(all.check(Needs::Person).is_err(), "a bot is no person");
        assert!(may_publish(&all, TEXT));

        let read = scope(r#"{"access":"read"}"#);
        for needs in [Needs::Write("team"), Needs::WriteAll, Needs::Upload, Needs::Person] {
            assert!(read.check(needs).is_err(), "{needs:?}");
        }
        assert!(read.check(Needs::ReadAll).is_ok() && read.check(Needs::Read("team")).is_ok());
        assert!(!may_publish(&read, TEXT));

        let rooms = scope(r#"{"rooms":["team"]}"#);
        for needs in [Needs::Nothing, Needs::ReadSome, Needs::Read("team"), Needs::Write("team")] {
            assert!(rooms.check(needs).is_ok(), "{needs:?}");
        }
        let forwards = |room| format!(r#"{{"text":"x","forwarded":{{"room":"{room}","seq":7}}}}"#);
        assert!(
            may_publish(&rooms, &forwards("team")) && !may_publish(&rooms, &forwards("secret"))
        );
        for needs in [Needs::Read("other"), Needs::Write(""), Needs::ReadAll, Needs::WriteAll] {
            assert!(rooms.check(needs).is_err(), "{needs:?}");
        }

        let kinds = scope(r#"{"kinds":["message"]}"#);
        assert!(may_publish(&kinds, TEXT) && !may_publish(&kinds, r#"{"kind":"leave"}"#));
        let later = r#"{"kind":"schedule","at":7,"text":"x"}"#;
        assert!(!may_publish(&kinds, later));
        assert!(may_publish(&scope(r#"{"kinds":["message","schedule"]}"#), later));
        assert!(!may_publish(&scope(r#"{"kinds":["schedule"]}"#), later));
        assert!(kinds.check(Needs::ReadAll).is_ok() && kinds.check(Needs::WriteAll).is_err());
    }

    #[test]
    fn scopes_are_bounded_and_name_what_there_is() {
        let many: BTreeSet<RoomId> =
            (0..=SCOPE_ROOMS_MAX).map(|n| room(&format!("r{n}"))).collect();
        let many = Scope { rooms: Some(many), ..Scope::default() };
        assert_eq!(many.checked().expect_err("many").code, ErrorCode::TooLong);
        for bad in
            [r#"{"rooms":[]}"#, r#"{"kinds":[]}"#, r#"{"kinds":["no"]}"#, r#"{"kinds":["due"]}"#]
        {
            assert_eq!(scope(bad).checked().expect_err(bad).code, ErrorCode::BadRequest);
        }
        assert!(scope(r#"{"kinds":["message","mark"],"rooms":["team"]}"#).checked().is_ok());
        // Of a newer Weft: it may limit more than this one knows.
        assert!(serde_json::from_str::<Scope>(r#"{"hours":[9]}"#).is_err());
    }
}
