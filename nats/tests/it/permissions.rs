//! Who may do what on NATS: every user tries everything, and the answers are `docs/permissions.md`.

use std::fmt::Write as _;
use std::path::Path;

use crate::common::Fixture;
use crate::raw::Raw;

/// The users of the fixture's configuration, and what they are.
const USERS: [(&str, &str); 11] = [
    ("edge", "`weft edge`"),
    ("core", "`weft core`"),
    ("presence", "`weft presence`"),
    ("files", "`weft files`"),
    ("search", "`weft search`"),
    ("push", "`weft push`"),
    ("integrations", "`weft integrations`"),
    ("admin", "`weft admin`, and operators"),
    ("bot", "a bot, by a token for everything"),
    ("eve", "a bot, by a token for messages in the group `public`"),
    ("cron", "a bot, by a token to read"),
];

/// What is tried: publishing and subscribing.
const SUBJECTS: [(&str, &[&str]); 7] = [
    (
        "Commands",
        &[
            "weft.in.alice.public",
            "weft.in.bot.public",
            "weft.in.bot.public.message",
            "weft.in.eve.public",
            "weft.in.eve.public.message",
            "weft.in.eve.public.leave",
            "weft.in.eve.private.message",
            "weft.in.cron.public",
            "weft.in.>",
            "weft.out.alice.public",
            "weft.out.bot.public",
            "weft.out.>",
            "weft.p.0.alice.public",
            "weft.p.0.bot.public",
            "weft.p.>",
            "weft.x.0.alice.public",
            "weft.x.0.bot.public",
            "weft.x.>",
            "weft.o.0.alice.public",
            "weft.o.0.bot.public",
            "weft.o.>",
        ],
    ),
    (
        "Events",
        &[
            "weft.ev.0.group.public",
            "weft.ev.0.group.private",
            "weft.ev.*.group.public",
            "weft.ev.*.group.*",
            "weft.ev.0.direct",
            "weft.ev.*.direct",
            "weft.ev.>",
            "weft.u.alice",
            "weft.u.bot",
            "weft.u.eve",
            "weft.u.*",
        ],
    ),
    (
        "Answers",
        &[
            "weft.ack.e.e1.t",
            "weft.ack.e.e1.*",
            "weft.ack.e.*.*",
            "weft.ack.u.alice.t",
            "weft.ack.u.bot.t",
            "weft.ack.u.bot.*",
            "weft.ack.u.eve.*",
            "weft.ack.u.*.*",
            "weft.ack.>",
        ],
    ),
    (
        "Signals, statuses and services",
        &[
            "weft.sig.tick.0",
            "weft.sig.presence.p1",
            "weft.sig.drain.e1",
            "weft.sig.>",
            "weft.status.alice",
            "weft.status.*",
            "weft.typing.alice.public",
            "weft.typing.*.*",
            "weft.push.first.alice",
            "weft.push.dead",
            "weft.bot.alice.team",
            "weft.webhook.hook.public",
            "weft.webhook-dead.hook",
            "$JS.ACK.WEFT_WEBHOOKS.all.1",
            "$JS.ACK.WEFT_PUSH.first.1",
            "weft.svc.accounts.login",
            "weft.svc.accounts.keys",
            "weft.svc.admin.administer",
            "weft.svc.operator.administer",
            "weft.svc.rooms.list",
            "weft.svc.log.audit",
            "weft.svc.journal.read",
            "weft.svc.journal.move",
            "weft.svc.files.begin",
            "weft.svc.files.due",
            "weft.svc.index.changed",
            "weft.svc.index.found",
            "weft.svc.push.look",
            "weft.svc.feeds.read",
            "weft.svc.webhooks.check",
            "weft.svc.webhooks.look",
            "weft.svc.search.find",
            "weft.svc.search.node-n",
            "weft.svc.status.load",
            "weft.svc.presence.get",
            "weft.svc.presence.attended",
            "weft.svc.*.*",
            "weft.api.bot.history",
            "weft.api.eve.history",
            "weft.api.*.*",
            "weft.bot.bot.public",
            "weft.bot.*.*",
            "$SRV.PING",
            "$SRV.INFO.accounts",
            "$SRV.>",
        ],
    ),
    (
        "Inboxes",
        &[
            "_INBOX_edge.x",
            "_INBOX_core.x",
            "_INBOX_presence.x",
            "_INBOX_files.x",
            "_INBOX_search.x",
            "_INBOX_push.x",
            "_INBOX_integrations.x",
            "_INBOX_admin.x",
            "_INBOX_bot.x",
            "_INBOX_bot_t-bot.x",
            "_INBOX_eve_t-eve.x",
            "_INBOX_cron_t-cron.x",
            "_INBOX.x",
            "_INBOX.>",
        ],
    ),
    (
        "Buckets",
        &[
            "$KV.WEFT_NODES.edge.x",
            "$KV.WEFT_NODES.core.x",
            "$KV.WEFT_NODES.presence.x",
            "$KV.WEFT_NODES.files.x",
            "$KV.WEFT_NODES.search.x",
            "$KV.WEFT_NODES.push.x",
            "$KV.WEFT_NODES.integrations.x",
            "$KV.WEFT_PRESENCE.alice.e1",
            "$KV.WEFT_TRIMMED.0",
            "$KV.WEFT_OTHER.x",
            "$KV.>",
            "$O.WEFT_FILES.C.x",
            "$O.WEFT_FILES.M.x",
            "$O.OTHER.C.x",
            "$O.>",
        ],
    ),
    (
        "The server, and everything",
        &[
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.SERVER.PING.CONNZ",
            "$SYS.REQ.SERVER.x.KICK",
            "$SYS.REQ.USER.AUTH",
            "$SYS._INBOX.x",
            "_R_.x.y",
            "$SYS.REQ.ACCOUNT.WEFT.CONNZ",
            "$SYS.REQ.USER.INFO",
            "$SYS.>",
            "$JS.WEFT.API.CONSUMER.CREATE.WEFT_BOTS.bot.weft.bot.bot.>",
            "$JS.WEFT.API.CONSUMER.INFO.WEFT_BOTS.bot",
            "$JS.WEFT.API.CONSUMER.INFO.WEFT_BOTS.eve",
            "$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.bot",
            "$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.eve",
            "$JS.WEFT.API.STREAM.INFO.WEFT_BOTS",
            "$JS.ACK.WEFT_BOTS.bot.1.1.1.1.0",
            "$JS.ACK.WEFT_BOTS.eve.1.1.1.1.0",
            "$JS.API.INFO",
            "$JS.API.ACCOUNT.PURGE.WEFT",
            "$JS.API.STREAM.NAMES",
            "$JS.API.STREAM.LIST",
            "$JS.API.>",
            "$JS.EVENT.>",
            "another.subject",
            "weft.>",
            ">",
        ],
    ),
];

/// What JetStream is asked of a stream. `{}` is the stream.
const API: [&str; 20] = [
    "$JS.API.STREAM.INFO.{}",
    "$JS.API.STREAM.CREATE.{}",
    "$JS.API.STREAM.UPDATE.{}",
    "$JS.API.STREAM.MSG.GET.{}",
    "$JS.API.DIRECT.GET.{}",
    "$JS.API.STREAM.SNAPSHOT.{}",
    "$JS.API.CONSUMER.CREATE.{}",
    "$JS.API.CONSUMER.CREATE.{}.c",
    "$JS.API.CONSUMER.DURABLE.CREATE.{}.c",
    "$JS.API.CONSUMER.INFO.{}.c",
    "$JS.API.CONSUMER.LIST.{}",
    "$JS.API.CONSUMER.MSG.NEXT.{}.c",
    "$JS.API.CONSUMER.DELETE.{}.c",
    "$JS.ACK.{}.c.1.1.1.1.0",
    "$JS.FC.{}.c.x",
    "$JS.API.STREAM.MSG.DELETE.{}",
    "$JS.API.STREAM.PURGE.{}",
    "$JS.API.STREAM.LEADER.STEPDOWN.{}",
    "$JS.API.STREAM.RESTORE.{}",
    "$JS.API.STREAM.DELETE.{}",
];

const STREAMS: [&str; 9] = [
    "WEFT_IN_0",
    "WEFT_OUT_0",
    "WEFT_EV_0",
    "KV_WEFT_NODES",
    "KV_WEFT_PRESENCE",
    "KV_WEFT_TRIMMED",
    "OBJ_WEFT_FILES",
    "WEFT_BOTS",
    "ANOTHER",
];

const HEAD: &str = "\
# Who may do what on NATS

Made by `nats/tests/it/permissions.rs`: each user of the configuration that Weft renders, and three bots, try everything
below on a real nats-server, and the test fails where its answers differ from this page. To write it anew:
`WEFT_RENDER=1 cargo test -p weft-nats --test it permissions`.

`P` is publish, `S` is subscribe, `–` is refused. A role's command is published on `weft.in.…` and checked as the
`weft.p.…` that it is mapped to. Bots have an account of their own: what they may publish there is imported from Weft's
account, and so are the answers on `weft.ack.u.…`. They are not in the configuration: what each may do was said as it
logged in.

";

#[tokio::test]
async fn everybody_may_do_what_the_page_says() {
    let fixture = Fixture::new(1).await;
    let mut users = Vec::new();
    for (name, _) in USERS {
        users.push(Raw::connect(&fixture, name).await);
    }
    let mut page = HEAD.to_owned();
    for (name, what) in USERS {
        let _ = writeln!(page, "- `{name}`: {what}.");
    }
    for (title, subjects) in SUBJECTS {
        begin_table(&mut page, title, "subject");
        for subject in subjects {
            let mut cells = Vec::new();
            for raw in &mut users {
                cells
                    .push(cell(may_publish(raw, subject).await, may_subscribe(raw, subject).await));
            }
            row(&mut page, subject, &cells);
        }
    }
    for stream in STREAMS {
        begin_table(&mut page, &format!("Stream `{stream}`"), "request");
        for request in API {
            let subject = request.replace("{}", stream);
            let mut cells = Vec::new();
            for raw in &mut users {
                cells.push(cell(may_publish(raw, &subject).await, false));
            }
            row(&mut page, &subject, &cells);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/permissions.md");
    if std::env::var_os("WEFT_RENDER").is_some() {
        std::fs::write(&path, &page).expect("write");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().find(|line| !committed.lines().any(|known| known == *line));
    assert!(
        committed == page,
        "docs/permissions.md differs, as in {differs:?}; is that meant? Then run: \
         WEFT_RENDER=1 cargo test -p weft-nats --test it permissions"
    );
}

fn begin_table(page: &mut String, title: &str, what: &str) {
    let names: Vec<&str> = USERS.iter().map(|(name, _)| *name).collect();
    let _ = writeln!(page, "\n## {title}\n\n| {what} | {} |", names.join(" | "));
    let _ = writeln!(page, "| --- |{}", " --- |".repeat(names.len()));
}

fn row(page: &mut String, subject: &str, cells: &[&str]) {
    let _ = writeln!(page, "| `{subject}` | {} |", cells.join(" | "));
}

fn cell(publish: bool, subscribe: bool) -> &'static str {
    match (publish, subscribe) {
        (true, true) => "P S",
        (true, false) => "P",
        (false, true) => "S",
        (false, false) => "–",
    }
}

async fn may_publish(raw: &mut Raw, subject: &str) -> bool {
    // Nobody publishes to a wildcard.
    if subject.split('.').any(|word| word == "*" || word == ">") {
        return false;
    }
    raw.errors.clear();
    raw.publish(subject.as_bytes(), "", b"", b"").await;
    raw.sync().await;
    !is_refused(raw, "Publish")
}

async fn may_subscribe(raw: &mut Raw, subject: &str) -> bool {
    raw.errors.clear();
    raw.subscribe(subject).await;
    raw.sync().await;
    let may = !is_refused(raw, "Subscription");
    if may {
        raw.unsubscribe_last().await;
    }
    raw.messages.clear();
    may
}

fn is_refused(raw: &Raw, what: &str) -> bool {
    let words = format!("Permissions Violation for {what}");
    let refused = raw.errors.iter().any(|error| error.contains(&words));
    assert!(refused || raw.errors.is_empty(), "{:?}", raw.errors);
    refused
}
