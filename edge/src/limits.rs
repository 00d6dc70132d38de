//! What an edge allows. Each has a default; benchmarks and tests set others.

use std::time::Duration;

use ipnet::IpNet;
use weft_proto::limits::FEEDS_PER_SESSION_MAX;

use crate::rate::Rate;

#[derive(Clone, Debug)]
pub struct Limits {
    /// A client sends something at least so often. Told at `welcome`.
    pub heartbeat: Duration,
    /// A client that is silent for this long is disconnected. Told at `welcome`.
    pub silence: Duration,
    /// How long a new session may take to say `hello`.
    pub hello_timeout: Duration,
    /// Most unanswered requests of one session. Told at `welcome`.
    pub in_flight_max: u32,
    /// What the requests of one session cost, without its sends; and those of one user by HTTP.
    pub requests: Rate,
    /// Sends of one session; and those of one user by HTTP. Core has a quota per user beside it.
    pub sends: Rate,
    /// How often core is asked whether the logins of live sessions last.
    pub login_check_every: Duration,
    /// Sign-ups, logins and refreshes of one client address.
    pub accounts: Rate,
    /// Secrets of incoming webhooks that one client address shows and this edge does not know.
    pub unknown_hooks: Rate,
    /// Messages by one incoming webhook.
    pub hook_posts: Rate,
    /// Most addresses, or users, of which a rate is remembered. Others share one.
    pub callers_max: usize,
    /// Proxies whose `X-Forwarded-For` is believed, and which no limit of one address is for.
    pub trusted_proxies: Vec<IpNet>,
    /// Most connections of callers who have shown a valid token.
    pub connections_max: usize,
    /// Most connections of others. Where one more comes, the oldest is closed.
    pub strangers_max: usize,
    /// Most connections of one client address (IPv6: of one /64).
    pub address_connections_max: usize,
    /// How long a request's head may take; and how long a connection may be without a request.
    pub header_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Most live sessions.
    pub sessions_max: usize,
    /// New sessions of all clients together. When an edge dies its clients come to the others in one
    /// instant; each costs a sync, and who is refused for a moment is served sooner than who waits
    /// in a queue.
    pub connects: Rate,
    /// New sessions of one client address.
    pub address_connects: Rate,
    /// Most HTTP requests underway of callers with a valid token.
    pub http_in_flight_max: usize,
    /// Of those, the share of one user.
    pub http_user_in_flight_max: usize,
    /// Most HTTP requests underway of others.
    pub http_strangers_in_flight_max: usize,
    /// Most exports of what is kept of users that are made at once; of one user one.
    pub exports_max: usize,
    /// Most groups that one session follows. Core puts nobody into that many; a session with more is
    /// closed.
    pub session_groups_max: usize,
    /// Most bytes of entries that wait for one session. Past it, it is a slow reader.
    pub mailbox_bytes_max: usize,
    /// How long a client may take nothing of what is written to it. Past it, it is a slow reader.
    pub write_stall: Duration,
    /// How long a client that is closed may take to read what was written before the close frame.
    pub goodbye: Duration,
    /// Most bytes of sends that wait for their answers, all sessions together. Past it, sends are
    /// refused with `overloaded`.
    pub outbox_bytes_max: usize,
    /// The share of one session in that. Past it, its sends are refused with `rate_limited`, so that
    /// nobody else's are.
    pub outbox_session_bytes_max: usize,
    /// The share of one user, all sessions and HTTP requests together.
    pub outbox_user_bytes_max: usize,
    /// A send of which nothing is heard is published again after this long, then after twice as long,
    /// and so on. Of what the log has taken, the ticks of its partition tell.
    pub resend_after: Duration,
    /// A send without an answer is answered with `unknown` after this long.
    pub give_up_after: Duration,
    /// A send over HTTP, where that is sooner: before proxies on the way give up, which would leave
    /// the client without any answer.
    pub http_send_timeout: Duration,
    /// Every other request of a session is answered within this time, by `unknown` where nothing else
    /// is known.
    pub answer_within: Duration,
    /// A session whose entries can't be read from core for this long is closed, to try elsewhere.
    /// While NATS itself is away, sessions stay.
    pub sync_patience: Duration,
    /// Most reads for syncs and repairs at once: what core has to take after an outage.
    pub sync_reads_max: usize,
    /// Most reads at once that ask which users a session may see.
    pub presence_reads_max: usize,
    /// How often each partition is asked what has changed in it, where nothing makes the edge ask
    /// sooner. `None`: never; then what the wire loses in silence is found by the next entry alone,
    /// sessions get no cursors by themselves, and sync again after each known loss.
    pub audit_every: Option<Duration>,
    /// A partition that gives no sign of life for this long has no owner: new sends to it are
    /// refused, and an edge that hears of none is not ready. A take-over may last 12 s. `None`: core
    /// gives none, for measuring what they cost.
    pub tick_silence_max: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            hello_timeout: Duration::from_secs(10),
            in_flight_max: 256,
            requests: Rate { per_second: 200, burst: 400 },
            sends: Rate { per_second: 1_000, burst: 2_000 },
            login_check_every: Duration::from_secs(60),
            accounts: Rate { per_second: 10, burst: 100 },
            unknown_hooks: Rate { per_second: 2, burst: 100 },
            hook_posts: Rate { per_second: 10, burst: 100 },
            callers_max: 100_000,
            trusted_proxies: Vec::new(),
            connections_max: 54_096,
            strangers_max: 4_096,
            address_connections_max: 1_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            sessions_max: 50_000,
            connects: Rate { per_second: 1_000, burst: 5_000 },
            address_connects: Rate { per_second: 100, burst: 1_000 },
            http_in_flight_max: 1_024,
            http_user_in_flight_max: 64,
            http_strangers_in_flight_max: 256,
            exports_max: 16,
            session_groups_max: FEEDS_PER_SESSION_MAX,
            mailbox_bytes_max: 4 << 20,
            write_stall: Duration::from_secs(10),
            goodbye: Duration::from_secs(15),
            outbox_bytes_max: 128 << 20,
            outbox_session_bytes_max: 8 << 20,
            outbox_user_bytes_max: 16 << 20,
            resend_after: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
            http_send_timeout: Duration::from_secs(15),
            answer_within: Duration::from_secs(15),
            sync_patience: Duration::from_secs(60),
            sync_reads_max: 64,
            presence_reads_max: 16,
            audit_every: Some(Duration::from_secs(15)),
            tick_silence_max: Some(Duration::from_secs(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::limits as sizes;

    use super::*;

    /// With commas, as people write numbers.
    fn number(value: impl TryInto<u64>) -> String {
        let digits = value.try_into().ok().expect("a number").to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    }

    fn rate(rate: Rate) -> String {
        format!("{} per second, {} at once", number(rate.per_second), number(rate.burst))
    }

    #[test]
    fn the_protocol_names_the_limits_that_are_kept() {
        let text = include_str!("../../docs/protocol.md");
        let (_, section) = text.split_once("\n## 11. Limits\n").expect("the section");
        let limits = Limits::default();
        let seconds = |time: Duration| format!("{} s", time.as_secs());
        let megabytes = |bytes: usize| format!("{} MB", bytes >> 20);
        for phrase in [
            format!(
                "| a frame; the body of an HTTP request with a valid token | {} bytes |",
                number(sizes::FRAME_BYTES_MAX)
            ),
            format!(
                "| {} entries; it ends after the entry that passes {} bytes |",
                sizes::PAGE_ENTRIES_MAX,
                number(sizes::PAGE_BYTES_MAX)
            ),
            format!(
                "| a page of `members`, of `banned`, of `asking`, of `invited`, of `invitations`, of `reactions`, of `receipts`, of `relations`, of an administrator's list; of `rooms`, of `groups` | {}; {} |",
                sizes::PAGE_ROWS_MAX,
                sizes::PAGE_ROOMS_MAX
            ),
            format!(
                "| entries of a direct room that is a request | {} |",
                sizes::REQUEST_ENTRIES_MAX
            ),
            format!(
                "| users who are invited to a group; invitations of a user, and with those that have ended within {} days | {}; {}, {} |",
                sizes::INVITED_DAYS,
                number(sizes::INVITED_PER_GROUP_MAX),
                sizes::INVITATIONS_PER_USER_MAX,
                number(sizes::INVITATION_ROWS_MAX)
            ),
            format!(
                "| links to a group; `uses` of one | {}; {} |",
                sizes::LINKS_PER_ROOM_MAX,
                number(sizes::LINK_USES_MAX as usize)
            ),
            format!(
                "| what `find_groups` looks for, and compares of a title | {} characters |",
                sizes::SEARCH_CHARS_MAX
            ),
            format!(
                "| what `search` looks for; a page of what it finds; those that are ranked | {} characters; {}; {} |",
                number(sizes::FOUND_TEXT_CHARS_MAX),
                sizes::PAGE_FOUND_MAX,
                sizes::RANKED_MAX
            ),
            format!(
                "| a group's `topic`; its `slow_mode_s` | {} characters; {} |",
                number(sizes::TOPIC_CHARS_MAX),
                number(sizes::SLOW_MODE_S_MAX as usize)
            ),
            format!(
                "| scheduled messages of a user; how far ahead one is scheduled | {}; {} days |",
                sizes::SCHEDULED_PER_USER_MAX,
                sizes::SCHEDULED_AHEAD_MS_MAX / 86_400_000
            ),
            format!(
                "| a room's `retention_days`; its `file_days` | {}; {} |",
                number(sizes::RETENTION_DAYS_MAX as usize),
                number(sizes::FILE_DAYS_MAX as usize)
            ),
            format!(
                "| the `title`, `description` and `site` of a preview | {}, {} and {} characters |",
                sizes::PREVIEW_TITLE_CHARS_MAX,
                sizes::PREVIEW_TEXT_CHARS_MAX,
                sizes::PREVIEW_SITE_CHARS_MAX
            ),
            format!(
                "| files of a message; the name of one | {}; {} bytes |",
                sizes::FILES_PER_MESSAGE_MAX,
                sizes::FILE_NAME_BYTES_MAX
            ),
            format!(
                "| how long an upload may take, and wait for its message | {} h |",
                sizes::FILE_WAITS_MS / 3_600_000
            ),
            format!(
                "the address of one; kinds that it names | {}; {}; {}; {} bytes; {} |",
                sizes::WEBHOOKS_PER_ROOM_MAX,
                sizes::WEBHOOKS_PER_USER_MAX,
                sizes::WEBHOOKS_PER_MAKER_MAX,
                number(sizes::WEBHOOK_URL_BYTES_MAX),
                sizes::WEBHOOK_KINDS_MAX
            ),
            format!(
                "| bots of a user; tokens of a bot; rooms and kinds of a token's scope | about {}; about {}; {}, {} |",
                sizes::BOTS_PER_USER_MAX,
                sizes::TOKENS_PER_BOT_MAX,
                sizes::SCOPE_ROOMS_MAX,
                sizes::SCOPE_KINDS_MAX
            ),
            format!(
                "and of an ephemeral answer; messages that answer one | {}; {} characters; {} characters; {} |",
                sizes::COMMANDS_PER_BOT_MAX,
                sizes::COMMAND_TEXT_CHARS_MAX,
                number(sizes::INTERACTION_TEXT_CHARS_MAX),
                sizes::INTERACTION_ANSWERS_MAX
            ),
            format!(
                "the `id` and `label` of one | {}, {}; {} bytes, {} characters |",
                sizes::BUTTON_ROWS_MAX,
                sizes::BUTTONS_PER_ROW_MAX,
                sizes::BUTTON_ID_BYTES_MAX,
                sizes::BUTTON_LABEL_CHARS_MAX
            ),
            format!("| sends of a session; of a user by HTTP \\* | {} |", rate(limits.sends)),
            format!("of a user by HTTP \\* | {} |", rate(limits.requests)),
            format!("from one address \\* | {} |", rate(limits.accounts)),
            format!(
                "of incoming webhooks that the edge does not know, from one address | {} |",
                rate(limits.unknown_hooks)
            ),
            format!("| messages by one incoming webhook | {} |", rate(limits.hook_posts)),
            format!(
                "| incoming webhooks of a group; the body of a message by one | {}; {} bytes |",
                sizes::HOOKS_PER_ROOM_MAX,
                number(crate::hooks::BODY_BYTES_MAX)
            ),
            format!("| {}; {} |", rate(limits.address_connects), rate(limits.connects)),
            format!("| {} (`in_flight_max`) |", limits.in_flight_max),
            format!(
                "| {}; {}; {} |",
                megabytes(limits.outbox_session_bytes_max),
                megabytes(limits.outbox_user_bytes_max),
                megabytes(limits.outbox_bytes_max)
            ),
            format!(
                "| {}; {}; {} |",
                limits.http_user_in_flight_max,
                number(limits.http_in_flight_max),
                limits.http_strangers_in_flight_max
            ),
            format!("that an edge makes at once: of a user; in all | 1; {} |", limits.exports_max),
            format!(
                "| connections from one address \\* | {} |",
                number(limits.address_connections_max)
            ),
            format!("not shown a valid token \\* | {} |", number(limits.strangers_max)),
            format!("| live sessions at one edge \\* | {} |", number(limits.sessions_max)),
            format!(
                "| entries that wait for a session to take them | {} |",
                megabytes(limits.mailbox_bytes_max)
            ),
            format!("a connection without a request | {} |", seconds(limits.header_timeout)),
            format!("| the body of an HTTP request | {};", seconds(limits.body_timeout)),
            format!("| `hello` after the upgrade | {} |", seconds(limits.hello_timeout)),
            format!("| silence of a client | {} (`silence_ms`) |", seconds(limits.silence)),
            format!(
                "| a client takes nothing of what is written to it | {},",
                seconds(limits.write_stall)
            ),
        ] {
            assert!(section.contains(&phrase), "docs/protocol.md, section 11, lacks: {phrase}");
        }
        assert!(text.contains(&format!("does not take that within {}", seconds(limits.goodbye))));
    }
}
