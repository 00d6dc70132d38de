//! What core counts.

use weft_proto::Body;
use weft_runtime::metrics::{
    COUNT_BUCKETS, Counter, CounterBy, Gauge, GaugeBy, Histogram, LATENCY_BUCKETS_S, List,
};

/// Of commits: 1 kB to about what a plan takes.
const BYTES_BUCKETS: &[f64] =
    &[1_000.0, 4_000.0, 16_000.0, 64_000.0, 128_000.0, 256_000.0, 512_000.0, 1_000_000.0];

/// What a command can be refused with.
const REFUSALS: &[&str] = &[
    "bad_client_id",
    "bad_id",
    "bad_json",
    "bad_request",
    "unknown_type",
    "bad_encoding",
    "expired_id",
    "too_long",
    "too_large",
    "forbidden",
    "not_member",
    "no_such_room",
    "no_such_user",
    "room_exists",
    "already_member",
    "room_full",
    "too_many_groups",
    "not_found",
    "deleted",
    "too_late",
    "limit_reached",
    "unchanged",
    "conflict",
    "banned",
    "no_such_link",
    "link_expired",
    "link_used_up",
    "archived",
    "closed",
    "slow_mode",
    "rate_limited",
    "overloaded",
    "resend_in_order",
    "internal",
    "other",
];

/// The words of the administrators' log.
const ACTIONS: &[&str] = &[
    "make_user",
    "suspend",
    "unsuspend",
    "reset",
    "delete_user",
    "make_administrator",
    "remove_administrator",
    "sign_up_open",
    "sign_up_invitation",
    "sign_up_closed",
    "default_add_by_all",
    "default_add_by_known",
    "default_add_by_none",
    "default_strangers_welcome",
    "default_strangers_request",
    "policy_messages_any",
    "policy_messages_keep",
    "policy_messages_empty",
    "make_invitation",
    "remove_invitation",
    "delete",
    "close",
    "reopen",
    "see_room",
    "see_members",
    "see_entries",
    "see_file",
    "resolve_report",
    "other",
];

pub(crate) static PARTITIONS: Gauge =
    Gauge::new("weft_core_partitions", "Partitions that this node owns and has taken");
pub(crate) static TAKES: Counter =
    Counter::new("weft_core_partition_takes_total", "How often this node took a partition");
pub(crate) static BACKLOG: GaugeBy = GaugeBy::new(
    "weft_core_backlog_commands",
    "Commands in the ingest log of an owned partition that are not applied, once a second",
    "partition",
);
pub(crate) static COMMANDS: Counter = Counter::new(
    "weft_core_commands_total",
    "Commands that were decided and committed, refused ones and repetitions included",
);
pub(crate) static ENTRIES: CounterBy = CounterBy::new(
    "weft_core_entries_total",
    "Entries that were committed",
    "kind",
    weft_proto::kind::WORDS,
);
pub(crate) static MARKS: Counter = Counter::new(
    "weft_core_marks_total",
    "Marks that were moved: up to where somebody has read a room or a thread, or got it, and whether they follow a thread; each once in a commit",
);
pub(crate) static SETTINGS: Counter = Counter::new(
    "weft_core_settings_total",
    "Settings of rooms that users have changed, each once in a commit",
);
pub(crate) static DRAFTS: Counter = Counter::new(
    "weft_core_drafts_total",
    "Drafts that users have changed or dismissed, each once in a commit",
);
pub(crate) static RELATIONS: Counter = Counter::new(
    "weft_core_relations_total",
    "What users have said that others are to them, each once in a commit",
);
pub(crate) static CHANGES: Counter = Counter::new(
    "weft_core_changes_total",
    "What users and groups were told of changes that are no entries: of marks, settings, drafts and relations",
);
pub(crate) static MESSAGES_WITH: CounterBy = CounterBy::new(
    "weft_core_messages_with_total",
    "Messages and edits that were committed, by what they have beside a text: a mention of a user, or of everyone; \
     silent, not to be notified of; forwarded",
    "what",
    &["mention", "everyone", "silent", "skip_push", "forwarded"],
);
pub(crate) static FILES: CounterBy = CounterBy::new(
    "weft_core_files_total",
    "What became of files: begun, uploaded, got by a message (each for each message), not needed by any message any more, \
     deleted with their bytes",
    "what",
    &["begun", "ready", "referred", "expired", "deleted"],
);
pub(crate) static FILE_BYTES: CounterBy = CounterBy::new(
    "weft_core_file_bytes_total",
    "The sizes of these files, as they were announced, and from ready on as they are kept",
    "what",
    &["begun", "ready", "referred", "expired", "deleted"],
);
pub(crate) static REFUSED: CounterBy = CounterBy::new(
    "weft_core_refused_commands_total",
    "Commands that were refused, by the error's code",
    "code",
    REFUSALS,
);
pub(crate) static ADMIN_ACTIONS: CounterBy = CounterBy::new(
    "weft_core_admin_actions_total",
    "What administrators and operators have done that is in the administrators' log, by the action",
    "action",
    ACTIONS,
);
pub(crate) static COMMIT_DURATION: Histogram = Histogram::new(
    "weft_core_commit_duration_seconds",
    "How long the store took for a partition's commit, retries included, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static COMMIT_COMMANDS: Histogram =
    Histogram::new("weft_core_commit_commands", "Commands in a commit", COUNT_BUCKETS);
pub(crate) static COMMIT_BYTES: Histogram =
    Histogram::new("weft_core_commit_bytes", "Bytes that a commit writes", BYTES_BUCKETS);
pub(crate) static COMMAND_DURATION: Histogram = Histogram::new(
    "weft_core_command_duration_seconds",
    "From the ingest log's taking the last command of a commit to the commit's end, by the clocks \
     of nats-server and core, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static PUBLISH_DURATION: Histogram = Histogram::new(
    "weft_core_publish_duration_seconds",
    "From a commit's end to its events being stored by their stream, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static PUBLISHES_AGAIN: Counter = Counter::new(
    "weft_core_events_again_total",
    "Commits whose events were published again because their stream did not take them",
);
pub(crate) static LOG_READS_ANEW: Counter = Counter::new(
    "weft_core_log_reads_anew_total",
    "How often an ingest log's reader had to be opened anew",
);
pub(crate) static LOG_HOLES: Counter = Counter::new(
    "weft_core_log_holes_total",
    "How often an ingest log lacked what came next, and it was skipped",
);
pub(crate) static RELAYED: Counter = Counter::new(
    "weft_core_relayed_commands_total",
    "Commands of other systems that were taken into an ingest log, repetitions included",
);
pub(crate) static RELAY_BACKLOG: GaugeBy = GaugeBy::new(
    "weft_core_relay_backlog_commands",
    "Commands of other systems that were read from their stream and are not applied",
    "partition",
);
pub(crate) static DEAD_LETTERS: Counter = Counter::new(
    "weft_core_dead_letters_total",
    "Commands in quarantine, because they could not be planned or committed",
);
pub(crate) static SCHEDULED: CounterBy = CounterBy::new(
    "weft_core_scheduled_total",
    "Scheduled messages that have come into a state",
    "state",
    &["waiting", "sent", "failed", "cancelled"],
);
pub(crate) static TRIMMED: CounterBy = CounterBy::new(
    "weft_core_trimmed_total",
    "What was removed because it is not kept for ever: commits of the journal, inboxes (each at most once a day), logins, settings, relations and invitations that are none any more, drafts that were dismissed, scheduled messages that were sent or taken back, dead letters, minutes (a partition's, once a day), entries whose time in their room is over",
    "what",
    &[
        "journal",
        "inbox",
        "login",
        "setting",
        "draft",
        "relation",
        "scheduled",
        "invitation",
        "dead_letter",
        "minute",
        "entry",
    ],
);
pub(crate) static ABSENT_ENTRIES: Counter = Counter::new(
    "weft_core_absent_entries_total",
    "Entries that a reader found missing in a room's log, each time that one did: the store is damaged",
);
pub(crate) static STORE_RETRIES: Counter = Counter::new(
    "weft_core_store_retries_total",
    "Waits before the store or the log was tried again",
);

/// How long nothing could be committed or read.
pub(crate) static STORE_TROUBLE: Gauge = Gauge::new(
    "weft_core_store_trouble_seconds",
    "How long the store has taken nothing, because it is away or its disk is nearly full; 0: it is well",
);
pub(crate) static SIGN_INS: CounterBy = CounterBy::new(
    "weft_core_sign_ins_total",
    "Attempts to sign in: with the right password, with a wrong one, too many of one account, and with the right one where that was not enough (suspended, or a new password is needed)",
    "result",
    &["ok", "wrong", "limited", "refused"],
);
pub(crate) static REFRESH_TOKENS_REUSED: Counter = Counter::new(
    "weft_core_refresh_tokens_reused_total",
    "Logins that ended because a refresh token was used again: somebody else may have it",
);

pub(crate) static REFUSED_UNHEARD: CounterBy = CounterBy::new(
    "weft_core_refused_unheard_total",
    "Commands of other systems that were refused without anybody being told, by the error's code",
    "code",
    REFUSALS,
);

/// How far this machine's clock is off.
pub(crate) static CLOCK_AHEAD: Gauge = Gauge::new(
    "weft_core_clock_ahead_seconds",
    "By how much this machine's clock is ahead of nats-server's; below 0 it is behind it. Beyond 120 nothing is committed",
);

/// What a partition's rooms take in memory.
pub(crate) static ROOMS: GaugeBy = GaugeBy::new(
    "weft_core_rooms_bytes",
    "What a partition's rooms take in memory, about",
    "partition",
);

pub(crate) static ROOMS_FORGOTTEN: Counter = Counter::new(
    "weft_core_rooms_forgotten_total",
    "Rooms that were forgotten because all of them took too much memory, and are read again when they are used",
);

/// Counts an entry that was committed.
pub(crate) fn count_entry(body: &Body) {
    ENTRIES.increment(body.kind().word);
    let mentions = body.mentions();
    let (mut silent, mut skip_push, mut forwarded) = (false, false, false);
    if let Some(text) = body.as_message() {
        let extras = text.extras();
        (silent, skip_push, forwarded) =
            (extras.silent, extras.skip_push, extras.forwarded.is_some());
    }
    let with = [
        (!mentions.users.is_empty(), "mention"),
        (mentions.everyone, "everyone"),
        (silent, "silent"),
        (skip_push, "skip_push"),
        (forwarded, "forwarded"),
    ];
    for (_, what) in with.into_iter().filter(|(has, _)| *has) {
        MESSAGES_WITH.increment(what);
    }
    for file in body.files() {
        count_file("referred", file.facts.as_ref().map_or(0, |facts| facts.size));
    }
}

/// Counts what became of a file.
pub(crate) fn count_file(what: &'static str, bytes: u64) {
    FILES.increment(what);
    FILE_BYTES.add(what, bytes);
}

pub static METRICS: &List = &[
    &PARTITIONS,
    &TAKES,
    &BACKLOG,
    &COMMANDS,
    &ENTRIES,
    &MARKS,
    &SETTINGS,
    &DRAFTS,
    &RELATIONS,
    &CHANGES,
    &MESSAGES_WITH,
    &FILES,
    &FILE_BYTES,
    &REFUSED,
    &REFUSED_UNHEARD,
    &ADMIN_ACTIONS,
    &COMMIT_DURATION,
    &COMMIT_COMMANDS,
    &COMMIT_BYTES,
    &COMMAND_DURATION,
    &PUBLISH_DURATION,
    &PUBLISHES_AGAIN,
    &LOG_READS_ANEW,
    &LOG_HOLES,
    &RELAYED,
    &RELAY_BACKLOG,
    &DEAD_LETTERS,
    &SCHEDULED,
    &TRIMMED,
    &ABSENT_ENTRIES,
    &STORE_RETRIES,
    &STORE_TROUBLE,
    &SIGN_INS,
    &REFRESH_TOKENS_REUSED,
    &CLOCK_AHEAD,
    &ROOMS,
    &ROOMS_FORGOTTEN,
];
