//! Makes the streams and buckets, or brings them up to date. Any number of nodes may do it at once.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use weft_proto::Partition;

use crate::bus::{Bus, Link};
use crate::error::Error;
use crate::feeds::{CONSUMERS_MAX, FEEDS_BYTES_MAX, KNOWN_FOR, ROOM_ENTRIES_MAX};
use crate::jetstream::{JsError, ask};
use crate::jobs::{DUPLICATES_KNOWN_FOR, Lane, USER_JOBS_MAX};
use crate::subject::{
    BOTS_STREAM, FILES_BUCKET, FILES_STREAM, NODES_BUCKET, PRESENCE_BUCKET, PUSH_DEAD_STREAM,
    PUSH_DEAD_SUBJECT, PUSH_STREAM, TRIMMED_BUCKET, WEBHOOKS_DEAD_STREAM, WEBHOOKS_DEAD_SUBJECTS,
    WEBHOOKS_STREAM, WEBHOOKS_SUBJECTS, event_stream, ingest_stream, outside_stream,
};
use crate::webhooks::{WEBHOOK_JOBS_MAX, WEBHOOK_LETTERS_MAX};

/// Events stay readable in their stream for this long; who was away longer reads the journal.
const EVENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// A node that has been silent for this long counts as dead.
pub(crate) const NODE_TTL: Duration = Duration::from_secs(10);
/// A user's key that is not written again for this long is forgotten. Edges refresh theirs well before.
pub const USER_KEY_TTL: Duration = Duration::from_secs(1_800);
/// The largest stored message, headers included. A frame may have 1.3 MB.
const MESSAGE_BYTES_MAX: u64 = 1_500_000;
/// The shortest window that the server takes: Weft knows resends by their client ids.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
const GIB: u64 = 1 << 30;
/// What other systems may have waiting, in a partition. Some seconds of work; whoever sends more is
/// refused.
const OUTSIDE_BYTES_MAX: u64 = 64 << 20;
const OUTSIDE_MESSAGES_MAX: u64 = 100_000;
/// What one bot may have waiting for one room, so that a bot that floods a room is refused before others are.
const OUTSIDE_SUBJECT_MESSAGES_MAX: u64 = 10_000;
/// What comes with a message when it is relayed into the ingest log.
const RELAY_BYTES: u64 = 16_000;
/// Jobs of `weft push` that may wait, some 2 million. Past it the journal keeps what is to be done.
const JOBS_BYTES_MAX: u64 = GIB / 2;
const JOB_BYTES_MAX: u64 = 4_096;
const DEAD_JOBS_BYTES_MAX: u64 = 64 << 20;
/// Jobs of webhooks that may wait, some 500,000. Past it the journal keeps what is to be done.
const WEBHOOKS_BYTES_MAX: u64 = GIB / 4;
const DEAD_WEBHOOKS_BYTES_MAX: u64 = GIB / 8;
const DEAD_JOBS_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetOptions {
    /// How many partitions, from 1. Fixed for the life of a store.
    pub partitions: Partition,
    /// Copies of each stream: 1 on one server, 3 on a cluster.
    pub replicas: u8,
    /// An ingest stream beyond this many bytes refuses commands.
    pub ingest_bytes_max: u64,
    /// An event stream beyond this many bytes drops its oldest events.
    pub event_bytes_max: u64,
    /// The bucket of files refuses what would be more; 0: none is made.
    pub files_bytes_max: u64,
}

impl Default for AssetOptions {
    fn default() -> Self {
        let (ingest_bytes_max, event_bytes_max) = (GIB, GIB);
        Self { partitions: 4, replicas: 1, ingest_bytes_max, event_bytes_max, files_bytes_max: 0 }
    }
}

/// Creates or updates everything that [`AssetOptions`] says.
///
/// # Errors
/// [`Error::AssetMismatch`] where a stream exists with settings that can't be changed, or for more
/// partitions than `options` says; [`Error::JetStream`], [`Error::Timeout`].
pub async fn ensure(bus: &Bus, options: &AssetOptions) -> Result<(), Error> {
    let link = bus.link();
    refuse_other_partition_count(link, options.partitions).await?;
    for partition in 0..options.partitions {
        ensure_ingest(bus, options, partition).await?;
        ensure_outside(bus, options, partition).await?;
        ensure_events(bus, options, partition).await?;
    }
    let buckets = [
        (NODES_BUCKET, "Weft: live nodes", NODE_TTL),
        (PRESENCE_BUCKET, "Weft: users with sessions, by edge", USER_KEY_TTL),
    ];
    for (name, description, ttl) in buckets {
        ensure_stream(link, bucket_config(name, description, ttl, options)).await?;
    }
    if options.files_bytes_max > 0 {
        ensure_stream(link, files_config(options)).await?;
    }
    ensure_stream(link, jobs_config(options)).await?;
    ensure_stream(link, dead_jobs_config(options)).await?;
    ensure_stream(link, feeds_config(options)).await?;
    ensure_stream(link, webhooks_config(options)).await?;
    ensure_stream(link, dead_webhooks_config(options)).await?;
    ensure_trimmed(bus, options).await
}

/// Creates or updates the bucket that keeps how far ingest logs are trimmed.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_trimmed(bus: &Bus, options: &AssetOptions) -> Result<(), Error> {
    ensure_stream(bus.link(), trimmed_config(options)).await
}

/// Creates or updates one partition's ingest stream.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_ingest(bus: &Bus, options: &AssetOptions, n: Partition) -> Result<(), Error> {
    ensure_stream(bus.link(), ingest_config(n, options)).await
}

/// Creates or updates one partition's stream of what other systems send.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_outside(bus: &Bus, options: &AssetOptions, n: Partition) -> Result<(), Error> {
    ensure_stream(bus.link(), outside_config(n, options)).await
}

/// Creates or updates one partition's event stream.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_events(bus: &Bus, options: &AssetOptions, n: Partition) -> Result<(), Error> {
    ensure_stream(bus.link(), event_config(n, options)).await
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn ingest_config(n: Partition, options: &AssetOptions) -> Value {
    json!({
        "name": ingest_stream(n),
        "description": "Weft: commands that are not yet applied",
        "subjects": [format!("weft.p.{n}.*.*"), format!("weft.x.{n}.*.*"), format!("weft.x.{n}.*.*.*")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": options.ingest_bytes_max,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
    })
}

fn outside_config(n: Partition, options: &AssetOptions) -> Value {
    json!({
        "name": outside_stream(n),
        "description": "Weft: what other systems send, before the ingest log takes it",
        "subjects": [format!("weft.o.{n}.*.*"), format!("weft.o.{n}.*.*.*")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": OUTSIDE_BYTES_MAX,
        "max_msgs": OUTSIDE_MESSAGES_MAX,
        "max_msgs_per_subject": OUTSIDE_SUBJECT_MESSAGES_MAX,
        "discard_new_per_subject": true,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": MESSAGE_BYTES_MAX - RELAY_BYTES,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
    })
}

fn event_config(n: Partition, options: &AssetOptions) -> Value {
    json!({
        "name": event_stream(n),
        "description": "Weft: committed entries",
        "subjects": [format!("weft.ev.{n}.>")],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": options.event_bytes_max,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "max_age": nanos(EVENT_AGE_MAX),
        "max_msg_size": MESSAGE_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
    })
}

/// What is in it is to be done, and is there until it is done.
fn jobs_config(options: &AssetOptions) -> Value {
    json!({
        "name": PUSH_STREAM,
        "description": "Weft: devices that are to be notified",
        "subjects": Lane::ALL.map(Lane::subjects),
        "storage": "file",
        "retention": "workqueue",
        "discard": "new",
        "max_bytes": JOBS_BYTES_MAX,
        "max_msgs": -1,
        "max_msgs_per_subject": USER_JOBS_MAX,
        "discard_new_per_subject": true,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": JOB_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATES_KNOWN_FOR),
        "num_replicas": options.replicas,
    })
}

fn dead_jobs_config(options: &AssetOptions) -> Value {
    json!({
        "name": PUSH_DEAD_STREAM,
        "description": "Weft: notifications that could not be delivered",
        "subjects": [PUSH_DEAD_SUBJECT],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": DEAD_JOBS_BYTES_MAX,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "max_age": nanos(DEAD_JOBS_AGE_MAX),
        "max_msg_size": JOB_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATES_KNOWN_FOR),
        "num_replicas": options.replicas,
    })
}

/// Whoever fills it removes what is too old or too much, and says so to the bot before: the stream itself knows no way to do both.
fn feeds_config(options: &AssetOptions) -> Value {
    json!({
        "name": BOTS_STREAM,
        "description": "Weft: what bots read",
        "subjects": ["weft.bot.*.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": FEEDS_BYTES_MAX,
        "max_msgs": -1,
        "max_msgs_per_subject": ROOM_ENTRIES_MAX,
        "max_consumers": CONSUMERS_MAX,
        "max_age": 0,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "duplicate_window": nanos(KNOWN_FOR),
        "num_replicas": options.replicas,
        "allow_rollup_hdrs": true,
    })
}

/// As [`jobs_config`].
fn webhooks_config(options: &AssetOptions) -> Value {
    json!({
        "name": WEBHOOKS_STREAM,
        "description": "Weft: what is to be delivered to webhooks",
        "subjects": [WEBHOOKS_SUBJECTS],
        "storage": "file",
        "retention": "workqueue",
        "discard": "new",
        "max_bytes": WEBHOOKS_BYTES_MAX,
        "max_msgs": -1,
        "max_msgs_per_subject": WEBHOOK_JOBS_MAX,
        "discard_new_per_subject": true,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": JOB_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATES_KNOWN_FOR),
        "num_replicas": options.replicas,
    })
}

fn dead_webhooks_config(options: &AssetOptions) -> Value {
    json!({
        "name": WEBHOOKS_DEAD_STREAM,
        "description": "Weft: what could not be delivered to webhooks",
        "subjects": [WEBHOOKS_DEAD_SUBJECTS],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_bytes": DEAD_WEBHOOKS_BYTES_MAX,
        "max_msgs": -1,
        "max_msgs_per_subject": WEBHOOK_LETTERS_MAX,
        "max_consumers": -1,
        "max_age": nanos(DEAD_JOBS_AGE_MAX),
        "max_msg_size": JOB_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATES_KNOWN_FOR),
        "num_replicas": options.replicas,
    })
}

/// A bucket whose keys expire, and say so.
fn bucket_config(name: &str, description: &str, ttl: Duration, options: &AssetOptions) -> Value {
    json!({
        "name": format!("KV_{name}"),
        "description": description,
        "subjects": [format!("$KV.{name}.>")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "max_consumers": -1,
        "max_age": nanos(ttl),
        "max_msg_size": -1,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
        // Without markers an expiry reaches no watcher.
        "allow_msg_ttl": true,
        "subject_delete_marker_ttl": nanos(NODE_TTL.min(ttl)),
    })
}

/// A bucket whose keys stay.
fn trimmed_config(options: &AssetOptions) -> Value {
    json!({
        "name": format!("KV_{TRIMMED_BUCKET}"),
        "description": "Weft: how far each ingest log was trimmed",
        "subjects": [format!("$KV.{TRIMMED_BUCKET}.>")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
        "allow_rollup_hdrs": true,
        "deny_delete": true,
        "allow_direct": true,
    })
}

/// As NATS's own clients make an object store.
fn files_config(options: &AssetOptions) -> Value {
    json!({
        "name": FILES_STREAM,
        "description": "Weft: the bytes of files",
        "subjects": [format!("$O.{FILES_BUCKET}.C.>"), format!("$O.{FILES_BUCKET}.M.>")],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": options.files_bytes_max,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_consumers": -1,
        "max_age": 0,
        "max_msg_size": MESSAGE_BYTES_MAX,
        "duplicate_window": nanos(DUPLICATE_WINDOW),
        "num_replicas": options.replicas,
        "allow_rollup_hdrs": true,
        "allow_direct": true,
    })
}

#[derive(Deserialize)]
struct StreamReply {
    config: Value,
}

#[derive(Deserialize)]
struct StreamNames {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// Rooms are spread by the number of partitions: with another number, a room's commands would go
/// to a partition that does not own it.
async fn refuse_other_partition_count(link: &Link, partitions: Partition) -> Result<(), Error> {
    let filter = json!({ "subject": "weft.p.>" });
    let names: StreamNames = crate::jetstream::request(link, "STREAM.NAMES", &filter).await?;
    let beyond = names.streams.unwrap_or_default().into_iter().find(|name| {
        let number = name.strip_prefix("WEFT_IN_").and_then(|n| n.parse::<Partition>().ok());
        number.is_some_and(|n| n >= partitions)
    });
    match beyond {
        None => Ok(()),
        Some(name) => Err(Error::AssetMismatch {
            name,
            reason: format!("it belongs to a layout of more than {partitions} partitions"),
        }),
    }
}

async fn ensure_stream(link: &Link, wanted: Value) -> Result<(), Error> {
    let name = wanted["name"].as_str().unwrap_or_default().to_owned();
    // Create first: it succeeds where the stream is there with the same settings, and of several
    // that create at once all but one go on to the update.
    let create = format!("STREAM.CREATE.{name}");
    match ask::<StreamReply>(link, &create, &wanted).await? {
        Ok(made) => return check(&name, &wanted, &made.config),
        // 10058: the name is in use with other settings. 10065: so is a subject.
        Err(JsError { err_code: 10_058, .. }) => {}
        Err(error) if error.err_code == 10_065 => {
            return Err(Error::AssetMismatch {
                name,
                reason: "another stream has one of its subjects".to_owned(),
            });
        }
        Err(error) => return Err(error.into_error(create)),
    }
    let update = format!("STREAM.UPDATE.{name}");
    match ask::<StreamReply>(link, &update, &wanted).await? {
        Ok(updated) => check(&name, &wanted, &updated.config),
        Err(error) if error.code == 503 => Err(error.into_error(update)),
        Err(error) => Err(Error::AssetMismatch { name, reason: error.description }),
    }
}

/// The server may answer "done" and keep a setting as it was.
fn check(name: &str, wanted: &Value, found: &Value) -> Result<(), Error> {
    for key in ["subjects", "storage", "discard", "max_bytes", "max_age", "num_replicas"] {
        if wanted[key] != found[key] {
            return Err(Error::AssetMismatch {
                name: name.to_owned(),
                reason: format!("{key} is {}, not {}", found[key], wanted[key]),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ingest_stream_refuses_rather_than_drops() {
        let config = ingest_config(3, &AssetOptions::default());
        assert_eq!(config["discard"], "new");
        assert_eq!(config["max_age"], 0);
        assert_eq!(config["subjects"], json!(["weft.p.3.*.*", "weft.x.3.*.*", "weft.x.3.*.*.*"]));
        let config = outside_config(3, &AssetOptions::default());
        assert_eq!((&config["discard"], &config["max_age"]), (&json!("new"), &json!(0)));
    }

    #[test]
    fn a_setting_that_was_not_taken_is_named() {
        let wanted = event_config(0, &AssetOptions::default());
        let mut found = wanted.clone();
        assert!(check("WEFT_EV_0", &wanted, &found).is_ok());
        found["max_bytes"] = json!(7);
        let error = check("WEFT_EV_0", &wanted, &found).expect_err("other").to_string();
        assert!(error.contains("max_bytes is 7, not 1073741824"), "{error}");
    }
}
