//! This node's key in the bucket.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::NodeInfo;
use crate::bus::Link;
use crate::error::Error;
use crate::jetstream::Stored;
use crate::subject::NODES_BUCKET;

/// The longest wait for the bucket to take a heartbeat.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(2);

/// Writes by plain publishes on the key's subject. The library's own calls would read the key
/// first, and lose the time-to-live of one that had expired.
pub(super) struct NodeKey {
    link: Arc<Link>,
    subject: String,
}

impl NodeKey {
    /// `key`: `<role>.<node>`.
    pub(super) fn new(link: &Arc<Link>, key: &str) -> Self {
        Self { link: Arc::clone(link), subject: format!("$KV.{NODES_BUCKET}.{key}") }
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns when the bucket has it.
    pub(super) async fn put(&self, info: &NodeInfo) -> Result<(), Error> {
        let info = serde_json::to_vec(info).map_err(|_| Error::Malformed("node information"))?;
        self.publish(info.into(), &[]).await
    }

    pub(super) async fn delete(&self) -> Result<(), Error> {
        self.publish(Bytes::new(), &[("KV-Operation", "DEL")]).await
    }

    async fn publish(&self, payload: Bytes, headers: &[(&'static str, &str)]) -> Result<(), Error> {
        let inbox = self.link.new_inbox();
        let mut ack = self.link.subscribe(inbox.clone()).await?;
        self.link.publish(self.subject.clone(), Some(inbox), headers, payload).await?;
        let answer = timeout(ACCEPT_TIMEOUT, ack.next())
            .await
            .map_err(|_| Error::Timeout("heartbeat"))?
            .ok_or(Error::Closed)?;
        match Stored::read(answer.status(), answer.payload()) {
            Stored::At(_) => Ok(()),
            Stored::Refused(_) if answer.status() == Some(503) => {
                Err(Error::NoResponders(format!("bucket {NODES_BUCKET}")))
            }
            Stored::Refused(error) => {
                Err(Error::Bucket { what: "write a heartbeat", reason: error.message })
            }
        }
    }
}
