//! Requests of a session whose answers are worked out side by side, but which change something in their order.

use std::sync::Mutex;

use tokio::sync::oneshot;
use weft_runtime::lock;

/// Gives turns, in the order in which they are asked for.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Option<oneshot::Receiver<()>>>);

/// It comes when the one before it is over, and is over when it is dropped.
pub(crate) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _over: oneshot::Sender<()>,
}

impl Turns {
    pub(crate) fn next(&self) -> Turn {
        let (over, is_over) = oneshot::channel();
        // Nothing panics while it is held.
        Turn { before: lock(&self.0).replace(is_over), _over: over }
    }
}

impl Turn {
    /// Waits for it.
    pub(crate) async fn come(&mut self) {
        if let Some(before) = self.before.take() {
            // An error says that it is over, as what is sent does.
            let _ = before.await;
        }
    }
}
