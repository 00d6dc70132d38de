//! What an edge counts.

use weft_runtime::metrics::{Counter, CounterBy, Gauge, Histogram, LATENCY_BUCKETS_S, List};

/// What a send can be answered with.
const RESULTS: &[&str] = &[
    "ok",
    "bad_client_id",
    "bad_request",
    "expired_id",
    "too_long",
    "too_large",
    "unauthorized",
    "token_expired",
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
    "unavailable",
    "unknown",
    "internal",
    "other",
];
/// What a post by a hook can be answered with.
const HOOK_ANSWERS: &[&str] = &[
    "ok",
    "no_service",
    "invalid_payload",
    "invalid_blocks",
    "too_many_attachments",
    "no_text",
    "invalid_idempotency_key",
    "idempotency_key_reused",
    "channel_not_found",
    "user_not_found",
    "channel_is_archived",
    "action_prohibited",
    "too_large",
    "too_slow",
    "rate_limited",
    "rollup_error",
    "other",
];
/// How a session can end. `gone`: its client closed it, or the connection broke.
const CLOSE_CODES: &[&str] = &[
    "gone", "1000", "1002", "1007", "1009", "4000", "4001", "4002", "4003", "4100", "4101", "4102",
    "4103", "4104", "other",
];

pub(crate) static SESSIONS: Gauge =
    Gauge::new("weft_edge_sessions", "Live WebSocket sessions, those without a hello included");
pub(crate) static CONNECTIONS: Gauge =
    Gauge::new("weft_edge_connections", "Open connections of clients, sessions included");
pub(crate) static LIMITED: CounterBy = CounterBy::new(
    "weft_edge_limited_total",
    "How often a limit of the edge was reached, so that somebody was refused or closed",
    "limit",
    crate::limited::NAMES,
);

pub(crate) static CONNECTS: Counter =
    Counter::new("weft_edge_connects_total", "WebSockets that were opened");
pub(crate) static CLOSES: CounterBy = CounterBy::new(
    "weft_edge_closes_total",
    "WebSockets that have ended, by the code that they were closed with (gone: by the client)",
    "code",
    CLOSE_CODES,
);
pub(crate) static FRAMES_RECEIVED: Counter =
    Counter::new("weft_edge_received_frames_total", "Frames that clients sent on WebSockets");
pub(crate) static BYTES_RECEIVED: Counter =
    Counter::new("weft_edge_received_bytes_total", "Bytes of text frames that clients sent");
pub(crate) static FRAMES_SENT: Counter =
    Counter::new("weft_edge_sent_frames_total", "Frames that clients were sent on WebSockets");
pub(crate) static BYTES_SENT: Counter =
    Counter::new("weft_edge_sent_bytes_total", "Bytes of frames that clients were sent");
pub(crate) static SENDS: CounterBy = CounterBy::new(
    "weft_edge_sends_total",
    "Entries that clients asked to write, repetitions included",
    "via",
    &["websocket", "http"],
);
pub(crate) static HOOK_POSTS: CounterBy = CounterBy::new(
    "weft_edge_hook_posts_total",
    "What came by incoming webhooks, by its answer",
    "answer",
    HOOK_ANSWERS,
);
pub(crate) static ACKS: CounterBy = CounterBy::new(
    "weft_edge_acks_total",
    "Answers to sends, by their result: ok, or the error's code",
    "result",
    RESULTS,
);
pub(crate) static ACK_DURATION: Histogram = Histogram::new(
    "weft_edge_ack_duration_seconds",
    "From a send's arrival at the edge to its ack, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static RESENDS: Counter = Counter::new(
    "weft_edge_resends_total",
    "Commands that this edge published again for want of an answer",
);
pub(crate) static DELIVERY_DURATION: Histogram = Histogram::new(
    "weft_edge_delivery_duration_seconds",
    "From an entry's arrival at the edge to its way out on a session, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static REPAIRS: Counter = Counter::new(
    "weft_edge_repairs_total",
    "Reads of what a session missed, because the wire lost it or it came out of order",
);
pub(crate) static RESUMES: CounterBy = CounterBy::new(
    "weft_edge_resumes_total",
    "Sessions that came with a cursor and have synced: recovered, or why they could not be",
    "result",
    &["recovered", "no_cursor", "other_store", "cursor_expired", "too_far_behind", "other"],
);
pub(crate) static SYNCS_AGAIN: Counter = Counter::new(
    "weft_edge_syncs_again_total",
    "Syncs of live sessions after losses that no audit could tell of",
);
pub(crate) static AUDITS: CounterBy = CounterBy::new(
    "weft_edge_audits_total",
    "Answers to audits: nothing new, rooms that have changed, a new baseline, or no answer",
    "result",
    &["nothing", "rooms", "ready", "anew", "failed"],
);
pub(crate) static PRESENCE_TOLD: Counter = Counter::new(
    "weft_edge_presence_statuses_total",
    "Statuses of users that sessions were told without asking",
);
pub(crate) static MARKS: CounterBy = CounterBy::new(
    "weft_edge_marks_total",
    "Answers to marks of clients, by their result: ok, or the error's code",
    "result",
    RESULTS,
);
pub(crate) static SETTINGS: CounterBy = CounterBy::new(
    "weft_edge_settings_total",
    "Answers to settings of clients, by their result: ok, or the error's code",
    "result",
    RESULTS,
);
pub(crate) static DRAFTS: CounterBy = CounterBy::new(
    "weft_edge_drafts_total",
    "Answers to drafts of clients, by their result: ok, or the error's code",
    "result",
    RESULTS,
);
pub(crate) static RELATIONS: CounterBy = CounterBy::new(
    "weft_edge_relations_total",
    "Answers to relations of clients, by their result: ok, or the error's code",
    "result",
    RESULTS,
);
pub(crate) static MARK_COMMANDS: Counter = Counter::new(
    "weft_edge_mark_commands_total",
    "Commands that this edge sent for marks: fewer, since those of a session and room that come together go as one",
);
pub(crate) static CHANGES: CounterBy = CounterBy::new(
    "weft_edge_changes_total",
    "Changes beside entries, as marks, that were handed on to the sessions of a user or group, by what brought them",
    "from",
    &["wire", "audit"],
);
pub(crate) static TYPING: CounterBy = CounterBy::new(
    "weft_edge_typing_total",
    "How often clients said that their user types: others were told, it came too soon after the last, nobody is to hear it, or it was refused",
    "result",
    &["told", "throttled", "unheard", "refused"],
);

pub(crate) static EXPORTS: CounterBy = CounterBy::new(
    "weft_edge_exports_total",
    "Exports of what is kept of a user: made to the end, left by the client, refused on the way, or stopped with the edge",
    "result",
    &["ok", "gone", "refused", "stopped"],
);

pub static METRICS: &List = &[
    &SESSIONS,
    &CONNECTIONS,
    &LIMITED,
    &CONNECTS,
    &CLOSES,
    &FRAMES_RECEIVED,
    &BYTES_RECEIVED,
    &FRAMES_SENT,
    &BYTES_SENT,
    &SENDS,
    &HOOK_POSTS,
    &ACKS,
    &ACK_DURATION,
    &RESENDS,
    &DELIVERY_DURATION,
    &REPAIRS,
    &RESUMES,
    &SYNCS_AGAIN,
    &AUDITS,
    &PRESENCE_TOLD,
    &MARKS,
    &SETTINGS,
    &DRAFTS,
    &RELATIONS,
    &MARK_COMMANDS,
    &CHANGES,
    &TYPING,
    &EXPORTS,
];
