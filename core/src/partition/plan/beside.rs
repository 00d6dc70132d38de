//! Plans what is no entry: marks, settings, drafts and links.

use weft_proto::frame::{Reply, drafted_frame};
use weft_proto::{ApiError, Body, ErrorCode};

use super::{Found, Plan, Times, not_loaded};
use crate::partition::marks::{self, MarkKey};
use crate::partition::rules::{self, Known};
use crate::partition::state::State;
use crate::partition::{drafts, followers, links, settings};

impl Plan {
    /// Changes what is no entry, where that is allowed: a mark of the sender, a setting, a draft, or a link. The
    /// answer.
    pub(super) fn change_beside(
        &mut self,
        state: &mut State,
        found: &Found,
        times: Times,
        key: MarkKey,
        body: &Body,
    ) -> Result<Vec<u8>, ApiError> {
        match body {
            Body::Link(_) | Body::Unlink(_) => {
                let (id, sender) = key;
                let room = state.rooms.get(&id).ok_or_else(not_loaded)?;
                let known = Known::of(found, state);
                let changes = rules::decide_link((&id, room), &sender, body, times.now_ms, &known)?;
                links::write(&mut self.batch, state, self.no, &id, changes);
            }
            Body::Mark(wanted) if wanted.thread.is_some() => {
                let room = state.rooms.get(&key.0).ok_or_else(not_loaded)?;
                let known = (&found.followers, &found.messages, &*state);
                if let Some((at, row)) = followers::decide((&key.0, room), &key.1, wanted, known)? {
                    let with = (state, &found.followers, self.no);
                    self.journal_bytes += self.followers.take(with, at, row);
                }
            }
            Body::Mark(wanted) => {
                let room = state.rooms.get(&key.0).ok_or_else(not_loaded)?;
                if let Some(mark) = marks::decide(&key, room, wanted, (&found.marks, state))? {
                    let with = (state, &found.marks, self.no);
                    self.journal_bytes += self.marks.take(with, key, mark);
                }
            }
            Body::Setting(wanted) => {
                let (notebook, sender) = key;
                let with = (&found.settings, &*state);
                if let Some(setting) = settings::decide(&notebook, &sender, wanted, with)? {
                    let (with, key) = (
                        (state, &found.settings, self.no),
                        (sender.clone(), wanted.kept_for(&sender)),
                    );
                    self.journal_bytes += self.settings.take(with, key, setting);
                }
            }
            Body::Draft(wanted) => {
                let (notebook, sender) = key;
                let known = (&found.drafts, &*state);
                let decided = drafts::decide(&notebook, &sender, wanted, times.now_ms, known)?;
                let version = decided.version();
                let with = (state, &found.drafts, self.no);
                self.journal_bytes += self.drafts.take(&mut self.batch, with, decided);
                return Ok(drafted_frame(version));
            }
            _ => return Err(ApiError::new(ErrorCode::Internal, "it is an entry")),
        }
        Ok(Reply::Done {}.to_frame())
    }
}
