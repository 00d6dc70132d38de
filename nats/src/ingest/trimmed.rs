//! How far an ingest log was trimmed, kept outside of the store and of the log.
//!
//! Where a log lacks what the store has not applied, it tells two things apart: a log with a hole,
//! which can only have held commands that nobody was told of, and a store that is older than its
//! log, which lacks what was acknowledged.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weft_proto::Partition;

use crate::bus::Link;
use crate::error::Error;
use crate::jetstream::{JsError, ask, publish};
use crate::subject::TRIMMED_BUCKET;

/// Only where the key's last revision is this one.
const EXPECTED_REVISION: &str = "Nats-Expected-Last-Subject-Sequence";
const WHAT: &str = "keep how far an ingest log is trimmed";

/// How far a log was trimmed. Everything up to there was applied, by this store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trimmed {
    /// The store's id. Accepting a loss gives it another one.
    pub store_id: u64,
    /// [`LogInfo::made_at_ns`](super::LogInfo::made_at_ns) of the log.
    pub made_at_ns: u64,
    /// The highest sequence that was trimmed.
    pub seq: u64,
}

impl Trimmed {
    /// True where both are about the same store and the same stream.
    #[must_use]
    pub fn is_same_kind(&self, other: &Self) -> bool {
        (self.store_id, self.made_at_ns) == (other.store_id, other.made_at_ns)
    }
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
    /// Base64.
    #[serde(default)]
    data: String,
}

/// What is kept, and the key's revision. What can't be read counts as nothing.
pub(super) async fn read(
    link: &Link,
    partition: Partition,
) -> Result<(Option<Trimmed>, u64), Error> {
    let verb = format!("STREAM.MSG.GET.KV_{TRIMMED_BUCKET}");
    let got = match ask::<Got>(link, &verb, &json!({ "last_by_subj": key(partition) })).await? {
        Ok(got) => got.message,
        // 10037: no such key. 10059: no such bucket.
        Err(JsError { err_code: 10_037 | 10_059, .. }) => return Ok((None, 0)),
        Err(error) => return Err(error.into_error(verb)),
    };
    let value = super::raw::decode(&got.data).and_then(|value| serde_json::from_slice(&value).ok());
    Ok((value, got.seq))
}

/// Keeps `to`, where nothing higher of the same kind is kept.
pub(super) async fn raise(link: &Link, partition: Partition, to: Trimmed) -> Result<(), Error> {
    loop {
        let (kept, revision) = read(link, partition).await?;
        if kept.is_some_and(|kept| kept.is_same_kind(&to) && kept.seq >= to.seq) {
            return Ok(());
        }
        let revision = revision.to_string();
        let headers = [(EXPECTED_REVISION, revision.as_str())];
        let value = serde_json::to_vec(&to).map_err(|_| Error::Malformed("trim mark"))?;
        match publish::<Value>(link, key(partition), &headers, Bytes::from(value)).await {
            Ok(Ok(_)) => return Ok(()),
            // 10071: somebody else was first.
            Ok(Err(JsError { err_code: 10_071, .. })) => {}
            Ok(Err(error)) => return Err(error.into_error(WHAT)),
            // So looks a refusal of the server too.
            Err(Error::Timeout(_)) => {
                let reason = "no answer: if that stays so, the configuration of nats-server is \
                              older than this Weft (render it anew with `weft nats-config`)";
                return Err(Error::Bucket { what: WHAT, reason: reason.into() });
            }
            Err(error) => return Err(error),
        }
    }
}

fn key(partition: Partition) -> String {
    format!("$KV.{TRIMMED_BUCKET}.{partition}")
}
