//! What a device is told beside entries: marks, threads, settings and drafts.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Task;
use super::live::{Asked, Live};
use crate::history::{Draft, Event, Followed, Listed, Mark, OfThread, Room, Setting};

impl Task {
    /// What is told of one user's mark in a room.
    pub(super) fn hear_mark(&self, room: &Value, mark: &Value) -> Result<()> {
        let told = || -> Option<Mark> {
            let number = |field: &str| mark[field].as_u64();
            let delivered = number("delivered").unwrap_or(0);
            let (room, user) = (room.as_str()?.into(), Arc::from(mark["user"].as_str()?));
            let (read, read_ordinal) = (number("read")?, number("read_ordinal"));
            let unread_from = number("unread_from").unwrap_or(0);
            Some(Mark { room, user, read, delivered, unread_from, read_ordinal, thread: None })
        };
        let mark = told().with_context(|| format!("no mark: {mark}"))?;
        self.shared().shelf.keep_mark(&mark);
        self.recorder.record(Event::MarkTold { device: self.name.clone(), mark });
        Ok(())
    }

    /// Up to where the own user has read a thread, and whether they follow it.
    pub(super) fn hear_thread_mark(&self, frame: &Value) -> Result<()> {
        let told = || -> Option<Mark> {
            let (room, user) = (frame["room"].as_str()?.into(), frame["user"].as_str()?.into());
            let follow = Some(frame["following"].as_bool()?);
            let thread = Some(OfThread { root: frame["thread"].as_u64()?, follow });
            Some(Mark { room, user, read: frame["read"].as_u64()?, thread, ..Mark::default() })
        };
        let mark = told().with_context(|| format!("no mark of a thread: {frame}"))?;
        self.recorder.record(Event::MarkTold { device: self.name.clone(), mark });
        Ok(())
    }

    pub(super) fn hear_setting(&self, frame: &Value) -> Result<()> {
        let room = frame["room"].as_str().context("a setting without room")?.into();
        let is_whole = frame["muted_until"].is_u64() && frame["pinned"].is_boolean();
        anyhow::ensure!(is_whole, "a setting that is not whole: {frame}");
        let (device, setting) = (self.name.clone(), Setting::read(frame));
        self.recorder.record(Event::SettingTold { device, room, setting });
        Ok(())
    }

    pub(super) fn hear_draft(&self, frame: &Value) -> Result<()> {
        let draft = Draft::read(&self.login.user, frame);
        let draft = draft.with_context(|| format!("no draft: {frame}"))?;
        self.shared().shelf.keep_draft(&draft.room, draft.version);
        self.recorder.record(Event::DraftTold { device: self.name.clone(), draft });
        Ok(())
    }

    /// Some of the own user's drafts, as they were asked for.
    pub(super) async fn hear_drafts(
        &mut self,
        live: &mut Live,
        mut drafts: Vec<Draft>,
        frame: &Value,
    ) -> Result<()> {
        anyhow::ensure!(frame["type"] == "drafts", "asking for drafts failed: {frame}");
        for draft in frame["drafts"].as_array().into_iter().flatten() {
            let draft = Draft::read(&self.login.user, draft);
            let draft = draft.with_context(|| format!("not a draft: {frame}"))?;
            self.shared().shelf.keep_draft(&draft.room, draft.version);
            drafts.push(draft);
        }
        if frame["more"] == true {
            live.load_drafts(drafts).await?;
        } else {
            self.recorder.record(Event::DraftsLoaded { device: self.name.clone(), drafts });
        }
        self.loaded(live);
        Ok(())
    }

    /// What a list of rooms says of the own user's mark. A frame that has come since the session began to load is
    /// at least as new.
    pub(super) fn hear_listed(&self, room: &Room, frame: &Value) -> Result<()> {
        let listed = Listed::read(frame).with_context(|| format!("not a room: {frame}"))?;
        let device = self.name.clone();
        self.recorder.record(Event::ListLoaded { device, room: room.clone(), listed });
        Ok(())
    }

    /// The marks of a room, as they were asked for.
    pub(super) fn hear_receipts(
        &mut self,
        live: &mut Live,
        room: &Room,
        frame: &Value,
    ) -> Result<()> {
        if frame["type"] == "error" && frame["error"]["temporary"] == true {
            anyhow::bail!("asking for the marks of {room} failed: {frame}");
        }
        for mark in frame["receipts"].as_array().into_iter().flatten() {
            self.hear_mark(&Value::from(&**room), mark)?;
        }
        self.loaded(live);
        Ok(())
    }

    /// Some of the threads of a room that the own user follows, as they were asked for.
    pub(super) async fn hear_threads(
        &mut self,
        live: &mut Live,
        (room, mut threads): (Room, Vec<Followed>),
        frame: &Value,
    ) -> Result<()> {
        if frame["type"] == "error" && frame["error"]["temporary"] == true {
            anyhow::bail!("asking for the threads of {room} failed: {frame}");
        }
        for thread in frame["threads"].as_array().into_iter().flatten() {
            let thread = Followed::read(thread);
            threads.push(thread.with_context(|| format!("not a thread: {frame}"))?);
        }
        if frame["more"] == true {
            live.load_threads(room, threads).await?;
        } else if frame["type"] == "threads" {
            let device = self.name.clone();
            self.recorder.record(Event::ThreadsLoaded { device, room, threads });
        }
        self.loaded(live);
        Ok(())
    }
}

impl Live {
    pub(super) async fn load_marks(&mut self, room: Room) -> Result<()> {
        let frame = json!({ "type": "receipts", "room": &*room });
        self.count_open();
        self.ask(Asked::Receipts(room), frame).await?;
        Ok(())
    }

    /// `before`: those of the pages before.
    pub(super) async fn load_threads(&mut self, room: Room, before: Vec<Followed>) -> Result<()> {
        let mut frame = json!({ "type": "threads", "room": &*room });
        if let Some(last) = before.last() {
            frame["before"] = last.root.into();
        }
        self.count_open();
        self.ask(Asked::Threads(room, before), frame).await?;
        Ok(())
    }

    /// `before`: those of the pages before.
    pub(super) async fn load_drafts(&mut self, before: Vec<Draft>) -> Result<()> {
        let after = before.last().map(|last| &*last.room);
        let frame = json!({ "type": "drafts", "after": after });
        self.count_open();
        self.ask(Asked::Drafts(before), frame).await?;
        Ok(())
    }
}
