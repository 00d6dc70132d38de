//! Marks of a device: said until they are answered, and what it knows of others'.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Task;
use super::live::{ANSWER_LIMIT, Asked, Live, RETRY_AFTER};
use crate::history::{Attempt, Event, Listed, Mark, Room};

/// A mark without its final answer.
#[derive(Debug)]
pub(super) struct PendingMark {
    pub(super) mark: Mark,
    pub(super) done: Option<oneshot::Sender<Result<()>>>,
    /// Its request on the live socket.
    pub(super) request: Option<u64>,
    /// When it is said (again).
    pub(super) due: Instant,
}

impl PendingMark {
    pub(super) fn new(mark: Mark, done: oneshot::Sender<Result<()>>) -> Self {
        Self { mark, done: Some(done), request: None, due: Instant::now() }
    }
}

impl Task {
    /// Says what is due.
    pub(super) async fn mark_due(&mut self, live: &mut Live) -> Result<()> {
        let now = Instant::now();
        for (number, pending) in &mut self.marks {
            if pending.request.is_some() || pending.due > now || !live.has_room() {
                continue;
            }
            let Mark { room, read, delivered, unread_from, .. } = &pending.mark;
            // Before the bytes leave, as with texts.
            let (mark, attempt) = (pending.mark.clone(), live.attempt());
            self.recorder.record(Event::MarkSent { mark, attempt });
            let mut frame = serde_json::json!({ "type": "mark", "room": &**room });
            let fields =
                [("read", *read), ("delivered", *delivered), ("unread_from", *unread_from)];
            for (field, seq) in fields {
                if seq > 0 {
                    frame[field] = seq.into();
                }
            }
            if let Some(thread) = pending.mark.thread {
                frame["thread"] = thread.root.into();
                if let Some(follow) = thread.follow {
                    frame["follow"] = follow.into();
                }
            }
            pending.request = Some(live.ask(Asked::Mark(*number), frame).await?);
            pending.due = now + ANSWER_LIMIT;
        }
        Ok(())
    }

    /// Gives up the requests of marks that had no answer in time.
    pub(super) fn look_at_marks(&mut self, live: &mut Live, now: Instant) {
        for pending in self.marks.values_mut().filter(|pending| now >= pending.due) {
            if let Some(request) = pending.request.take() {
                live.forget(request);
            }
        }
    }

    pub(super) fn hear_mark_answer(
        &mut self,
        (number, attempt): (u64, Attempt),
        frame: &Value,
    ) -> Result<()> {
        let Some(pending) = self.marks.get_mut(&number) else { return Ok(()) };
        let error = &frame["error"];
        if error["temporary"] == true {
            let wait = error["retry_after_ms"].as_u64();
            let wait = wait.map_or(RETRY_AFTER, std::time::Duration::from_millis);
            (pending.request, pending.due) = (None, Instant::now() + wait);
            return Ok(());
        }
        let Some(PendingMark { mark, done, .. }) = self.marks.remove(&number) else {
            return Ok(());
        };
        let answer = if frame["type"] == "done" {
            self.recorder.record(Event::MarkKept { mark, attempt });
            Ok(())
        } else {
            let code = error["code"].as_str().with_context(|| format!("no answer: {frame}"))?;
            self.recorder.record(Event::MarkRefused { mark, code: code.into() });
            Err(anyhow!("refused: {error}"))
        };
        if let Some(done) = done {
            let _ = done.send(answer);
        }
        Ok(())
    }

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
}
