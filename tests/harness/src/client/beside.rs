//! What a device says beside entries, until it is answered: marks, settings, drafts, and what becomes no entry.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Task;
use super::live::{ANSWER_LIMIT, Asked, Live, RETRY_AFTER};
use crate::history::{Attempt, Deed, Draft, Event, Mark, Wanted, Wish};

#[derive(Clone, Debug)]
pub(super) enum Beside {
    Mark(Mark),
    Setting(Wish),
    /// With its text.
    Draft(Draft, Option<String>),
    /// With the frame that says it.
    Deed(Wanted, Value),
}

/// One without its final answer.
#[derive(Debug)]
pub(super) struct PendingBeside {
    pub(super) what: Beside,
    pub(super) done: Option<oneshot::Sender<Result<()>>>,
    /// Its request on the live socket.
    pub(super) request: Option<u64>,
    /// When it is said (again).
    pub(super) due: Instant,
}

impl PendingBeside {
    pub(super) fn new(what: Beside, done: oneshot::Sender<Result<()>>) -> Self {
        Self { what, done: Some(done), request: None, due: Instant::now() }
    }
}

impl Beside {
    fn frame(&self) -> Value {
        match self {
            Self::Mark(mark) => mark_frame(mark),
            Self::Setting(Wish { room, muted_until, pinned, .. }) => {
                let mut frame = json!({ "type": "setting", "room": &**room });
                if let Some(muted_until) = muted_until {
                    frame["muted_until"] = (*muted_until).into();
                }
                if let Some(pinned) = pinned {
                    frame["pinned"] = (*pinned).into();
                }
                frame
            }
            Self::Draft(Draft { room, version, .. }, text) => {
                json!({ "type": "draft", "room": &**room, "version": version, "text": text })
            }
            Self::Deed(_, frame) => frame.clone(),
        }
    }

    fn sent(self, attempt: Attempt) -> Event {
        match self {
            Self::Mark(mark) => Event::MarkSent { mark, attempt },
            Self::Setting(wish) => Event::SettingSent { wish, attempt },
            Self::Draft(draft, _) => Event::DraftSent { draft, attempt },
            Self::Deed(wanted, _) => Event::Deed(Deed::Asked { wanted, attempt }),
        }
    }

    /// `frame`: the answer.
    fn kept(self, attempt: Attempt, frame: &Value) -> Result<Event> {
        Ok(match self {
            Self::Mark(mark) => Event::MarkKept { mark, attempt },
            Self::Setting(wish) => Event::SettingKept { wish, attempt },
            Self::Draft(draft, _) => {
                let version = frame["version"].as_u64();
                let version = version.with_context(|| format!("no version: {frame}"))?;
                Event::DraftKept { draft, version, attempt }
            }
            Self::Deed(wanted, _) => Event::Deed(Deed::Done { wanted, attempt }),
        })
    }

    fn refused(self, attempt: Attempt, code: Arc<str>, error: &Value) -> Event {
        match self {
            Self::Deed(wanted, _) => Event::Deed(Deed::Refused { wanted, attempt, code }),
            Self::Mark(mark) => Event::MarkRefused { mark, code },
            Self::Setting(wish) => Event::SettingRefused { wish, code },
            Self::Draft(draft, _) => match Draft::read(&draft.user, &error["draft"]) {
                Some(found) if &*code == "conflict" => Event::DraftConflict { draft, found },
                _ => Event::DraftRefused { draft, code },
            },
        }
    }
}

fn mark_frame(mark: &Mark) -> Value {
    let Mark { room, read, delivered, unread_from, thread, .. } = mark;
    let mut frame = json!({ "type": "mark", "room": &**room });
    let fields = [("read", *read), ("delivered", *delivered), ("unread_from", *unread_from)];
    for (field, seq) in fields {
        if seq > 0 {
            frame[field] = seq.into();
        }
    }
    if let Some(thread) = thread {
        frame["thread"] = thread.root.into();
        if let Some(follow) = thread.follow {
            frame["follow"] = follow.into();
        }
    }
    frame
}

impl Task {
    /// Says what is due.
    pub(super) async fn beside_due(&mut self, live: &mut Live) -> Result<()> {
        let now = Instant::now();
        for (number, pending) in &mut self.beside {
            if pending.request.is_some() || pending.due > now || !live.has_room() {
                continue;
            }
            // Before the bytes leave, as with texts.
            self.recorder.record(pending.what.clone().sent(live.attempt()));
            let asked = Asked::Beside(*number);
            pending.request = Some(live.ask(asked, pending.what.frame()).await?);
            pending.due = now + ANSWER_LIMIT;
        }
        Ok(())
    }

    /// Gives up the requests that had no answer in time.
    pub(super) fn look_at_beside(&mut self, live: &mut Live, now: Instant) {
        for pending in self.beside.values_mut().filter(|pending| now >= pending.due) {
            if let Some(request) = pending.request.take() {
                live.forget(request);
            }
        }
    }

    pub(super) fn hear_beside_answer(
        &mut self,
        (number, attempt): (u64, Attempt),
        frame: &Value,
    ) -> Result<()> {
        let Some(pending) = self.beside.get_mut(&number) else { return Ok(()) };
        let error = &frame["error"];
        if error["temporary"] == true {
            let wait = error["retry_after_ms"].as_u64();
            let wait = wait.map_or(RETRY_AFTER, std::time::Duration::from_millis);
            (pending.request, pending.due) = (None, Instant::now() + wait);
            return Ok(());
        }
        let Some(PendingBeside { what, done, .. }) = self.beside.remove(&number) else {
            return Ok(());
        };
        let answer = if frame["type"] == "done" {
            let kept = what.kept(attempt, frame)?;
            if let Event::DraftKept { draft, version, .. } = &kept {
                self.shared().shelf.keep_draft(&draft.room, *version);
            }
            self.recorder.record(kept);
            Ok(())
        } else {
            // An entry, in the place of something that is none, is an `ack`.
            let code = error["code"].as_str().or(frame["type"].as_str());
            let code = code.with_context(|| format!("no answer: {frame}"))?;
            let refused = what.refused(attempt, code.into(), error);
            if let Event::DraftConflict { found, .. } = &refused {
                self.shared().shelf.keep_draft(&found.room, found.version);
            }
            self.recorder.record(refused);
            Err(anyhow!("refused: {error}"))
        };
        if let Some(done) = done {
            let _ = done.send(answer);
        }
        Ok(())
    }
}
