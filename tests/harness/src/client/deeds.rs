//! What users do to each other, and what their devices are told of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::beside::Beside;
use super::live::{Asked, Live};
use super::{Client, Task};
use crate::history::{ClientId, Deed, Event, Room, Scheduled, Wanted, hash};
use crate::ulid;

impl Client {
    /// Says that its user wants nothing of another one, or not any more, until it is answered.
    pub async fn block(&self, other: &str, is_on: bool) -> Result<()> {
        let wanted = Wanted::Block { user: self.user(), other: other.into(), is_on };
        let frame = json!({ "type": "relation", "user": other, "blocked": is_on });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Says that another one is a contact of its user, or not any more, until it is answered.
    pub async fn contact(&self, other: &str, is_on: bool) -> Result<()> {
        let wanted = Wanted::Contact { user: self.user(), other: other.into(), is_on };
        let frame = json!({ "type": "relation", "user": other, "contact": is_on });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Says that first messages of who is not known to its user are a request, or not any more, until it is answered.
    pub async fn ask_strangers(&self, is_on: bool) -> Result<()> {
        let wanted = Wanted::AskStrangers { user: self.user(), is_on };
        let strangers = if is_on { "request" } else { "welcome" };
        let frame = json!({ "type": "setting", "strangers": strangers });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Says that its user types, until it is answered.
    pub async fn types(&self, room: &str) -> Result<()> {
        let wanted = Wanted::Type { user: self.user(), room: room.into() };
        let frame = json!({ "type": "typing", "room": room });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Asks to come into a group, until it is answered.
    pub async fn ask(&self, room: &str, words: &str) -> Result<()> {
        let wanted = Wanted::Ask { user: self.user(), room: room.into() };
        let frame = json!({ "type": "ask", "room": room, "text": words });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Does not ask any more, until it is answered.
    pub async fn withdraw(&self, room: &str) -> Result<()> {
        let wanted = Wanted::EndAsking { user: self.user(), room: room.into() };
        let frame = json!({ "type": "ask", "room": room, "withdraw": true });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Declines what somebody asks, until it is answered.
    pub async fn decline(&self, room: &str, user: &str) -> Result<()> {
        let wanted = Wanted::EndAsking { user: user.into(), room: room.into() };
        let frame = json!({ "type": "decline", "room": room, "user": user });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Wants somebody to come into a group who decides that by themselves, until it is answered.
    pub async fn invite(&self, room: &str, user: &str) -> Result<()> {
        let wanted = Wanted::Invite { user: user.into(), room: room.into() };
        let client_id = ulid::fresh();
        let frame = json!({ "type": "send", "room": room, "client_id": client_id, "kind": "add", "user": user });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Ends that: for the group, or as who is invited, until it is answered.
    pub async fn end_invitation(&self, room: &str, user: &str) -> Result<()> {
        let wanted = Wanted::EndInvitation { user: user.into(), room: room.into() };
        let frame = json!({ "type": "decline", "room": room, "user": user });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Has a message sent at a time, Unix milliseconds, until it is answered. `id`: that of the command.
    pub async fn schedule(&self, room: &str, id: &ClientId, at_ms: u64, text: &str) -> Result<()> {
        let (user, of_text) = (self.user(), hash(text));
        let wanted =
            Wanted::Schedule { user, room: room.into(), id: id.clone(), at_ms, text: of_text };
        let frame = json!({ "type": "send", "room": room, "client_id": &**id, "kind": "schedule", "at": at_ms, "text": text });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }

    /// Takes it back, until it is answered.
    pub async fn unschedule(&self, room: &str, id: &ClientId) -> Result<()> {
        let wanted = Wanted::Unschedule { user: self.user(), room: room.into(), id: id.clone() };
        let client_id = ulid::fresh();
        let frame = json!({ "type": "send", "room": room, "client_id": client_id, "kind": "unschedule", "schedule": &**id });
        self.say_beside(Beside::Deed(wanted, frame)).await
    }
}

impl Task {
    fn record_deed(&self, deed: Deed) {
        self.recorder.record(Event::Deed(deed));
    }

    pub(super) fn hear_relation(&self, frame: &Value) -> Result<()> {
        let other = frame["user"].as_str().context("a relation without user")?.into();
        let is_on = frame["blocked"].as_bool().context("a relation that is not whole")?;
        self.record_deed(Deed::BlockTold { device: self.name.clone(), other, is_on });
        Ok(())
    }

    pub(super) fn hear_typing(&self, frame: &Value) -> Result<()> {
        let text = |field: &str| frame[field].as_str().map(Arc::from);
        let (Some(room), Some(user)) = (text("room"), text("user")) else {
            anyhow::bail!("typing that is not whole: {frame}");
        };
        self.record_deed(Deed::TypingTold { device: self.name.clone(), room, user });
        Ok(())
    }

    pub(super) fn hear_presence(&self, frame: &Value) {
        for one in frame["users"].as_array().into_iter().flatten() {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let (user, status) = (text("user"), text("status"));
            let is_other = user != self.login.user;
            if is_other && status != "offline" {
                let other = user.as_str().into();
                self.record_deed(Deed::SeenHere { device: self.name.clone(), other });
            }
            let mut shared = self.shared();
            shared.offline += u64::from(is_other && status == "offline");
            shared.statuses.insert(user, status);
        }
    }

    /// Some of those who are something to the user, as they were asked for.
    pub(super) async fn hear_relations(
        &mut self,
        live: &mut Live,
        mut blocked: Vec<Arc<str>>,
        frame: &Value,
    ) -> Result<()> {
        ensure!(frame["type"] == "relations", "asking for relations failed: {frame}");
        let relations = frame["relations"].as_array().context("no relations")?;
        let others = relations.iter().filter(|it| it["blocked"] == true);
        blocked.extend(others.filter_map(|it| it["user"].as_str()).map(Arc::from));
        match relations.last().filter(|_| frame["more"] == true) {
            Some(last) => live.load_relations(blocked, &last["user"]).await?,
            None => {
                let device = self.name.clone();
                self.record_deed(Deed::BlocksLoaded { device, others: blocked });
            }
        }
        self.loaded(live);
        Ok(())
    }
}

impl Task {
    pub(super) fn hear_invitation(&self, frame: &Value) -> Result<()> {
        let room = frame["room"].as_str().context("an invitation without room")?.into();
        let is_on = match frame["state"].as_str() {
            Some("invited") => true,
            Some("ended") => false,
            state => anyhow::bail!("an invitation that is {state:?}"),
        };
        self.record_deed(Deed::InvitationTold { device: self.name.clone(), room, is_on });
        Ok(())
    }

    /// Some of the groups into which the user is invited, as they were asked for.
    pub(super) async fn hear_invitations(
        &mut self,
        live: &mut Live,
        mut rooms: Vec<Room>,
        frame: &Value,
    ) -> Result<()> {
        ensure!(frame["type"] == "invitations", "asking for invitations failed: {frame}");
        let page = frame["invitations"].as_array().context("no invitations")?;
        rooms.extend(page.iter().filter_map(|it| it["room"].as_str()).map(Arc::from));
        match page.last().filter(|_| frame["more"] == true) {
            Some(last) => live.load_invitations(rooms, &last["room"]).await?,
            None => {
                let device = self.name.clone();
                self.record_deed(Deed::InvitationsLoaded { device, rooms });
            }
        }
        self.loaded(live);
        Ok(())
    }

    pub(super) fn hear_schedule(&self, frame: &Value) -> Result<()> {
        let told = Scheduled::read(frame).with_context(|| format!("no schedule: {frame}"))?;
        self.record_deed(Deed::ScheduleTold { device: self.name.clone(), told });
        Ok(())
    }

    /// Some of what the user has scheduled, as it was asked for.
    pub(super) async fn hear_scheduled(
        &mut self,
        live: &mut Live,
        mut all: Vec<Scheduled>,
        frame: &Value,
    ) -> Result<()> {
        ensure!(frame["type"] == "scheduled", "asking for what is scheduled failed: {frame}");
        for one in frame["scheduled"].as_array().into_iter().flatten() {
            all.push(Scheduled::read(one).with_context(|| format!("not scheduled: {frame}"))?);
        }
        if frame["more"] == true {
            live.load_scheduled(all, &frame["cursor"]).await?;
        } else {
            self.record_deed(Deed::ScheduledLoaded { device: self.name.clone(), all });
        }
        self.loaded(live);
        Ok(())
    }
}

impl Live {
    /// `rooms`: those of the pages before.
    pub(super) async fn load_invitations(&mut self, rooms: Vec<Room>, after: &Value) -> Result<()> {
        self.count_open();
        let frame = json!({ "type": "invitations", "after": after });
        self.ask(Asked::Invitations(rooms), frame).await?;
        Ok(())
    }

    /// `all`: those of the pages before.
    pub(super) async fn load_scheduled(
        &mut self,
        all: Vec<Scheduled>,
        after: &Value,
    ) -> Result<()> {
        self.count_open();
        self.ask(Asked::Scheduled(all), json!({ "type": "scheduled", "after": after })).await?;
        Ok(())
    }

    /// `blocked`: those of the pages before.
    pub(super) async fn load_relations(
        &mut self,
        blocked: Vec<Arc<str>>,
        after: &Value,
    ) -> Result<()> {
        self.count_open();
        let frame = json!({ "type": "relations", "after": after });
        self.ask(Asked::Relations(blocked), frame).await?;
        Ok(())
    }
}
