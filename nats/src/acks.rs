//! Publishes that streams acknowledge, in batches: many underway at once, each batch waited for.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use weft_runtime::lock;

use crate::bus::{Link, Message, Subscription};
use crate::error::Error;
use crate::jetstream::Stored;

/// After this long without the stream's word a message counts as not stored.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Hears the acknowledgements of one connection's publishes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Acks {
    link: Arc<Link>,
    inbox: Arc<str>,
    batches: Arc<Batches>,
    _router: Arc<Router>,
}

/// Stops the task that hears the PubAcks with the last publisher.
struct Router(tokio::task::JoinHandle<()>);

impl Drop for Router {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Batches with events that are not acknowledged yet.
#[derive(Default)]
struct Batches(Mutex<HashMap<u64, Batch>>);

struct Batch {
    /// By index: the sequence under which the stream has it.
    stored: Vec<Option<u64>>,
    stored_count: usize,
    /// What the stream said first against one of them.
    refused: Option<String>,
    refused_count: usize,
    done: oneshot::Sender<()>,
}

impl Batches {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Batch>> {
        // Nothing panics while it is held.
        lock(&self.0)
    }

    /// The stream's word on one event.
    fn settle(&self, batch_id: u64, index: usize, stored: Stored) {
        let mut batches = self.lock();
        let Some(batch) = batches.get_mut(&batch_id) else { return };
        match stored {
            Stored::At(seq) => {
                let Some(seen) = batch.stored.get_mut(index) else { return };
                if seen.replace(seq).is_none() {
                    batch.stored_count += 1;
                }
            }
            Stored::Refused(error) => {
                batch.refused_count += 1;
                batch.refused.get_or_insert(error.message);
            }
        }
        if batch.stored_count + batch.refused_count < batch.stored.len() {
            return;
        }
        // The waiter takes it out, and reads what is missing.
        let (done, _) = oneshot::channel();
        let _ = std::mem::replace(&mut batch.done, done).send(());
    }
}

impl Acks {
    /// Subscribes to acknowledgements.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub(crate) async fn start(link: &Arc<Link>) -> Result<Self, Error> {
        let inbox = link.new_inbox();
        let acks = link.subscribe(format!("{inbox}.*.*")).await?;
        link.flush().await?;
        let batches = Arc::new(Batches::default());
        let router = tokio::spawn(route(acks, Arc::clone(&batches)));
        let (link, inbox) = (Arc::clone(link), inbox.into());
        Ok(Self { link, inbox, batches, _router: Arc::new(Router(router)) })
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// A batch of this many messages. Publish each with [`publish`](Self::publish), then wait.
    pub(crate) fn batch(&self, count: usize) -> PendingAcks {
        let (done, receiver) = oneshot::channel();
        let batch_id = rand::random::<u64>();
        if count > 0 {
            let stored = vec![None; count];
            let batch = Batch { stored, stored_count: 0, refused: None, refused_count: 0, done };
            self.batches.lock().insert(batch_id, batch);
        }
        PendingAcks {
            batches: Arc::clone(&self.batches),
            batch_id,
            done: (count > 0).then_some(receiver),
            timeout: Box::pin(sleep(ACK_TIMEOUT)),
        }
    }

    /// Publishes the message of this index. An error leaves the batch without it: drop the batch, or
    /// wait and find it missing.
    pub(crate) async fn publish(
        &self,
        batch: &PendingAcks,
        index: usize,
        subject: String,
        headers: &[(&'static str, &str)],
        payload: Bytes,
    ) -> Result<(), Error> {
        let reply = format!("{}.{}.{index}", self.inbox, batch.batch_id);
        self.link.publish(subject, Some(reply), headers, payload).await
    }
}

async fn route(mut acks: Subscription, batches: Arc<Batches>) {
    while let Some(ack) = acks.next().await {
        if let Some((batch_id, index)) = read_address(&ack) {
            batches.settle(batch_id, index, Stored::read(ack.status(), ack.payload()));
        }
    }
}

/// `<inbox>.<batch>.<index>`
fn read_address(ack: &Message) -> Option<(u64, usize)> {
    let mut words = ack.subject().rsplit('.');
    let index = words.next()?.parse().ok()?;
    Some((words.next()?.parse().ok()?, index))
}

/// Resolves when streams have all messages of a batch, or with [`Error::NotStored`] when one was
/// refused or 5 s have passed since the batch began. Dropping it forgets them.
#[must_use = "published means acknowledged by the stream"]
pub struct PendingAcks {
    batches: Arc<Batches>,
    batch_id: u64,
    /// `None`: nothing to wait for.
    done: Option<oneshot::Receiver<()>>,
    timeout: Pin<Box<Sleep>>,
}

impl PendingAcks {
    /// By index the sequence of each message that a stream has; and the outcome as where it is
    /// awaited.
    pub(crate) async fn sequences(mut self) -> (Vec<Option<u64>>, Result<(), Error>) {
        let (stored, refused) = poll_fn(|cx| self.poll_stored(cx)).await;
        let outcome = outcome(&stored, refused);
        (stored, outcome)
    }

    fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<Option<u64>>, Option<String>)> {
        let Some(done) = self.done.as_mut() else { return Poll::Ready(Default::default()) };
        if Pin::new(done).poll(cx).is_pending() && self.timeout.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.done = None;
        let batch = self.batches.lock().remove(&self.batch_id);
        Poll::Ready(batch.map(|batch| (batch.stored, batch.refused)).unwrap_or_default())
    }
}

impl Future for PendingAcks {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_stored(cx).map(|(stored, refused)| outcome(&stored, refused))
    }
}

fn outcome(stored: &[Option<u64>], refused: Option<String>) -> Result<(), Error> {
    let missing: Vec<usize> = (0..stored.len()).filter(|index| stored[*index].is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let reason = refused.unwrap_or_else(|| "no answer in time".to_owned());
    Err(Error::NotStored { missing, reason })
}

impl Drop for PendingAcks {
    fn drop(&mut self) {
        if self.done.is_some() {
            self.batches.lock().remove(&self.batch_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::{ApiError, ErrorCode};

    use super::*;

    fn batch(count: usize) -> (Arc<Batches>, PendingAcks) {
        let (done, receiver) = oneshot::channel();
        let batches = Arc::new(Batches::default());
        let stored = vec![None; count];
        let batch = Batch { stored, stored_count: 0, refused: None, refused_count: 0, done };
        batches.lock().insert(1, batch);
        let pending = PendingAcks {
            batches: Arc::clone(&batches),
            batch_id: 1,
            done: Some(receiver),
            timeout: Box::pin(sleep(ACK_TIMEOUT)),
        };
        (batches, pending)
    }

    #[tokio::test]
    async fn all_must_be_stored() {
        let (batches, pending) = batch(2);
        batches.settle(1, 1, Stored::At(8));
        batches.settle(1, 1, Stored::At(8));
        batches.settle(9, 0, Stored::At(1));
        assert_eq!(batches.lock().len(), 1);
        batches.settle(1, 0, Stored::At(7));
        pending.await.expect("stored");
        assert!(batches.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_named_after_the_timeout() {
        let (batches, pending) = batch(3);
        batches.settle(1, 1, Stored::At(8));
        match pending.await {
            Err(Error::NotStored { missing, .. }) => assert_eq!(missing, [0, 2]),
            other => panic!("{other:?}"),
        }
        assert!(batches.lock().is_empty());
    }

    #[tokio::test]
    async fn a_refusal_is_said_at_once() {
        let (batches, pending) = batch(2);
        batches.settle(1, 0, Stored::At(8));
        batches.settle(1, 1, Stored::Refused(ApiError::new(ErrorCode::Internal, "why")));
        match pending.await {
            Err(Error::NotStored { missing, reason }) => {
                assert_eq!((missing.as_slice(), reason.as_str()), (&[1][..], "why"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_leaves_nothing_behind() {
        let (batches, pending) = batch(1);
        drop(pending);
        assert!(batches.lock().is_empty());
    }
}
