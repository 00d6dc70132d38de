//! What users keep for their own devices alone: settings, drafts and relations.

use std::sync::Arc;

use weft_proto::Body;

use super::Requests;
use crate::settings;

impl Requests {
    /// Has a command made to the user's own notebook, after those before it.
    pub(super) fn keep(&mut self, id: u64, unpaid: u32, body: Body) {
        let (shared, caller) = (Arc::clone(&self.shared), self.caller.clone());
        let mut turn = self.notebook.next();
        self.call(id, unpaid, async move {
            turn.come().await;
            Ok(settings::keep(&shared, &caller, &body).await?.into())
        });
    }
}
