//! nats-server's configuration, from one source: `weft dev` renders its own, and `nats/weft.conf`
//! for operators is the same text with references to environment variables.
//!
//! Who may do what:
//! - Account `WEFT` holds the parts of Weft: a user per role with the least permissions, and an
//!   inbox prefix of its own (with a shared one, each role could read the others' replies).
//! - Bots, whatever speaks to NATS and is no part of Weft, share the account `BOTS`. None of them is in this file:
//!   nats-server asks core about each login (auth callout, [`callout`](crate::callout)), and core's answer names what
//!   that one bot may do. The account imports the service `weft.out.*.*` under the name `weft.in.*.*`, so what a bot
//!   publishes crosses into Weft's account by an import: JetStream's PubAck goes back to the bots' account, whatever
//!   reply subject was named. (In Weft's account it would land on that subject: in a stream, as somebody else's command,
//!   or on another bot's address.) What bots listen on has a part that others can't guess, for the same reason.
//! - Core sees and ends connections of bots by two services of the system account.
//! - The mapping sends what comes from edges to `weft.p.…` and what comes from outside to
//!   `weft.o.…`, a stream of its own. From there core alone publishes it into the ingest log, as
//!   `weft.x.…`. So the log shows who is an outsider by the subject, which no header can hide.

mod bots;
mod cluster;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use weft_proto::Partition;

use crate::subject::{
    BOT_LOGIN, BOT_REQUESTS, BOTS_STREAM, CONNECTIONS, FILES_BUCKET, FILES_STREAM, NODES_BUCKET,
    PRESENCE_BUCKET, PUSH_DEAD_SUBJECT, PUSH_STREAM, TRIMMED_BUCKET, WEBHOOKS_DEAD_SUBJECTS,
    WEBHOOKS_STREAM, WEBHOOKS_SUBJECTS,
};

use bots::KICKS;
pub use cluster::{Cluster, Routes};

/// The environment variable of nats-server that says who answers for bots' logins.
pub const BOTS_ISSUER_VARIABLE: &str = "WEFT_BOTS_ISSUER";
/// The largest message that the server passes on, in bytes.
const PAYLOAD_BYTES_MAX: u32 = 2_000_000;

#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Value(String),
    /// The name of an environment variable of nats-server that holds it.
    Env(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Secret(…)"),
            Self::Env(name) => write!(f, "Secret(${name})"),
        }
    }
}

impl Secret {
    fn render(&self) -> String {
        match self {
            Self::Value(text) => quote(text),
            Self::Env(name) => format!("${name}"),
        }
    }
}

/// The passwords of the roles. Their users have the roles' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsPasswords {
    /// Of user `edge`.
    pub edge: Secret,
    /// Of user `core`.
    pub core: Secret,
    /// Of user `presence`.
    pub presence: Secret,
    /// Of user `files`.
    pub files: Secret,
    /// Of user `search`.
    pub search: Secret,
    /// Of user `push`.
    pub push: Secret,
    /// Of user `integrations`.
    pub integrations: Secret,
    /// Of user `admin`, who may do everything in Weft's account.
    pub admin: Secret,
}

/// The addresses that one server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddresses {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Where JetStream keeps its files.
    pub store_dir: PathBuf,
    /// Where its log goes; `None`: standard error.
    pub log_file: Option<PathBuf>,
    /// Where it writes its process id.
    pub pid_file: Option<PathBuf>,
    /// The cluster that it is part of; `None`: it is alone.
    pub cluster: Option<Cluster>,
}

/// What the servers of one installation have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// How many partitions the mapping spreads rooms over.
    pub partitions: Partition,
    pub passwords: NatsPasswords,
    /// The public key of who answers for bots' logins ([`Issuer`](crate::callout::Issuer)).
    pub bots_issuer: Secret,
    /// What the bucket of files may grow to; 0: there is none.
    pub files_bytes_max: u64,
}

impl ServerConfig {
    /// The configuration file.
    #[must_use]
    pub fn render(&self, place: &ServerAddresses) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, place);
        text
    }

    fn write(&self, out: &mut String, place: &ServerAddresses) -> std::fmt::Result {
        writeln!(out, "server_name: {}", quote(&place.name))?;
        writeln!(out, "listen: {}", quote(&format!("{}:{}", place.host, place.port)))?;
        for (key, path) in [("log_file", &place.log_file), ("pid_file", &place.pid_file)] {
            if let Some(path) = path {
                writeln!(out, "{key}: {}", quote_path(path))?;
            }
        }
        writeln!(out, "# A frame of 100,000 characters may have 1.3 MB.")?;
        writeln!(out, "max_payload: {PAYLOAD_BYTES_MAX}")?;
        writeln!(out, "jetstream {{")?;
        writeln!(out, "  store_dir: {}", quote_path(&place.store_dir))?;
        writeln!(
            out,
            "  # What the streams may grow to, and not what they use. By default nats-server takes three"
        )?;
        writeln!(
            out,
            "  # quarters of the disk that is free at its start, and refuses streams beyond that."
        )?;
        writeln!(out, "  max_file_store: {}GB", self.max_file_store_gb())?;
        writeln!(out, "  # The default of two minutes would lose as much when the machine fails.")?;
        writeln!(out, "  sync_interval: \"100ms\"")?;
        writeln!(out, "}}")?;
        if let Some(cluster) = &place.cluster {
            cluster.write(out)?;
        }
        writeln!(out, "accounts {{")?;
        self.write_weft(out)?;
        bots::write_accounts(out)?;
        writeln!(out, "}}")?;
        let roles = self.roles();
        let names: Vec<&str> = roles.iter().map(|role| role.name).collect();
        bots::write_callout(out, &self.bots_issuer, &names)
    }

    /// The streams of a partition reserve 2.1 GB, the bucket of files what it may grow to, the feeds of bots 1 GB, jobs half as
    /// much; those of users and nodes next to nothing.
    fn max_file_store_gb(&self) -> u64 {
        u64::from(self.partitions) * 5 / 2 + 4 + self.files_bytes_max.div_ceil(1_000_000_000)
    }

    fn write_weft(&self, out: &mut String) -> std::fmt::Result {
        let n = self.partitions;
        writeln!(out, "  WEFT {{")?;
        writeln!(out, "    jetstream: enabled")?;
        writeln!(out, "    mappings = {{")?;
        for (from, to) in [("weft.in", "weft.p"), ("weft.out", "weft.o")] {
            let rest = format!("{{{{partition({n},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}");
            writeln!(out, "      \"{from}.*.*\": \"{to}.{rest}\"")?;
        }
        let rest = format!(
            "{{{{partition({n},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"
        );
        writeln!(out, "      \"weft.out.*.*.*\": \"weft.o.{rest}\"")?;
        writeln!(out, "    }}")?;
        bots::write_exports(out)?;
        writeln!(out, "    users = [")?;
        for role in self.roles() {
            write_role(out, &role)?;
        }
        // Bots' tokens pass through this account on their way to core: they are for nobody else.
        writeln!(out, "      {{")?;
        writeln!(out, "        user: admin, password: {}", self.passwords.admin.render())?;
        writeln!(
            out,
            "        permissions: {{ publish: \">\", subscribe: {{ allow: \">\", deny: \"{BOT_LOGIN}\" }} }}"
        )?;
        writeln!(out, "      }}")?;
        writeln!(out, "    ]")?;
        writeln!(out, "  }}")
    }

    /// All but `admin`, who may do everything.
    fn roles(&self) -> Vec<Role<'_>> {
        let NatsPasswords { edge, core, presence, files, search, push, integrations, admin: _ } =
            &self.passwords;
        let role = |name, password, publish, subscribe| Role { name, password, publish, subscribe };
        vec![
            role("edge", edge, edge_publish(), edge_subscribe()),
            role("core", core, core_publish(), core_subscribe()),
            role("presence", presence, presence_publish(), presence_subscribe()),
            role("files", files, files_publish(), files_subscribe()),
            role("search", search, search_publish(), search_subscribe()),
            role("push", push, push_publish(), push_subscribe()),
            role("integrations", integrations, integrations_publish(), integrations_subscribe()),
        ]
    }
}

/// A user that is a part of Weft.
struct Role<'a> {
    name: &'static str,
    password: &'a Secret,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// What a member needs: its heartbeat, and a watch of the bucket.
fn membership_publish(role: &str) -> Vec<String> {
    let mut list = vec![format!("$KV.{NODES_BUCKET}.{role}.*")];
    list.extend(watch_publish(NODES_BUCKET));
    list
}

/// What a watch of a bucket needs.
fn watch_publish(bucket: &str) -> Vec<String> {
    let bucket = format!("KV_{bucket}");
    vec![
        format!("$JS.API.STREAM.INFO.{bucket}"),
        // Without a name after it: a subject cannot hold several filters.
        format!("$JS.API.CONSUMER.CREATE.{bucket}"),
        format!("$JS.API.CONSUMER.CREATE.{bucket}.>"),
        format!("$JS.API.CONSUMER.DELETE.{bucket}.>"),
        format!("$JS.API.CONSUMER.INFO.{bucket}.>"),
        format!("$JS.FC.{bucket}.>"),
    ]
}

fn edge_publish() -> Vec<String> {
    // The server checks the mapped subject.
    // Each service alone: the journal names every room and user, and an operator needs no token; neither is for edges.
    let mut list = words(&[
        "weft.p.*.*.*",
        "weft.svc.accounts.*",
        "weft.svc.admin.*",
        "weft.svc.hooks.*",
        "weft.svc.log.*",
        "weft.svc.rooms.*",
        "weft.svc.search.find",
        "weft.svc.status.*",
        "weft.svc.presence.*",
        "weft.svc.webhooks.check",
        "weft.typing.*.*",
        "_INBOX_edge.>",
        // Answers to bots: the server makes these subjects.
        "_R_.>",
    ]);
    list.extend(membership_publish("edge"));
    list.push(format!("$KV.{PRESENCE_BUCKET}.*.*"));
    list
}

fn edge_subscribe() -> Vec<String> {
    words(&[
        "_INBOX_edge.>",
        "weft.ack.e.*.*",
        "weft.ev.*.group.*",
        "weft.u.*",
        "weft.sig.>",
        "weft.status.*",
        "weft.typing.*.*",
        BOT_REQUESTS,
    ])
}

fn core_publish() -> Vec<String> {
    let mut list = words(&[
        // What other systems send, on its way into the ingest log.
        "weft.x.*.*.*",
        "weft.x.*.*.*.*",
        "weft.ev.*.group.*",
        "weft.ev.*.direct",
        "weft.u.*",
        "weft.sig.tick.*",
        "weft.ack.e.*.*",
        "weft.ack.u.*.*",
        // Tests of webhooks, which wait for their turn.
        "weft.webhook.*.*",
        // Replies of its services go to inboxes of Weft's roles, and nowhere else.
        "_INBOX_edge.>",
        "_INBOX_core.>",
        "_INBOX_presence.>",
        "_INBOX_files.>",
        "_INBOX_search.>",
        "_INBOX_push.>",
        "_INBOX_integrations.>",
        "_INBOX_admin.>",
        // Of bots: answers about their logins, a look at their connections, and the end of those.
        "$SYS._INBOX.>",
        CONNECTIONS,
        KICKS,
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.*",
        "$JS.API.STREAM.UPDATE.*",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.PURGE.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.CREATE.>",
        "$JS.API.CONSUMER.DELETE.*.*",
        "$JS.API.CONSUMER.MSG.NEXT.>",
    ]);
    list.push(format!("$KV.{TRIMMED_BUCKET}.*"));
    list.extend(membership_publish("core"));
    list
}

fn core_subscribe() -> Vec<String> {
    words(&["_INBOX_core.>", "weft.svc.*.*", BOT_LOGIN, "$SRV.>"])
}

fn presence_publish() -> Vec<String> {
    let mut list = words(&[
        "weft.status.*",
        "weft.sig.presence.*",
        "weft.svc.status.*",
        "_INBOX_presence.>",
        "_INBOX_edge.>",
        "_INBOX_core.>",
        "_INBOX_push.>",
        "_INBOX_admin.>",
    ]);
    list.extend(membership_publish("presence"));
    list.extend(watch_publish(PRESENCE_BUCKET));
    list
}

fn presence_subscribe() -> Vec<String> {
    words(&["_INBOX_presence.>", "weft.svc.presence.*", "weft.status.*", "$SRV.>"])
}

fn files_publish() -> Vec<String> {
    // What it asks is asked with its user's token, or is its own: no other role may.
    let mut list = words(&[
        "weft.svc.files.*",
        // Of links it learns the addresses, and where in the journal it is: no text, and nobody's name.
        "weft.svc.previews.*",
        "weft.svc.journal.follow",
        "weft.svc.journal.move",
        "weft.svc.journal.followers",
        "_INBOX_files.>",
    ]);
    list.extend(membership_publish("files"));
    // Where the bytes are in JetStream. Core makes the bucket: who may make a stream says what goes into it.
    list.extend(["C", "M"].map(|kind| format!("$O.{FILES_BUCKET}.{kind}.*")));
    for verb in ["STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE", "DIRECT.GET"] {
        list.push(format!("$JS.API.{verb}.{FILES_STREAM}"));
    }
    list
}

fn files_subscribe() -> Vec<String> {
    words(&["_INBOX_files.>"])
}

fn search_publish() -> Vec<String> {
    let mut list = words(&[
        "weft.svc.journal.*",
        "weft.svc.index.*",
        // Answers, of edges' searches and operators' questions.
        "_INBOX_search.>",
        "_INBOX_edge.>",
        "_INBOX_admin.>",
    ]);
    list.extend(membership_publish("search"));
    list
}

fn search_subscribe() -> Vec<String> {
    words(&["_INBOX_search.>", "weft.svc.search.*", "$SRV.>"])
}

fn push_publish() -> Vec<String> {
    let mut list = words(&[
        "weft.svc.journal.*",
        "weft.svc.push.*",
        "weft.svc.presence.attended",
        "_INBOX_push.>",
    ]);
    list.extend(words(&["weft.push.first.*", "weft.push.rest.*", PUSH_DEAD_SUBJECT]));
    list.push(format!("$JS.API.CONSUMER.CREATE.{PUSH_STREAM}.>"));
    list.push(format!("$JS.API.CONSUMER.MSG.NEXT.{PUSH_STREAM}.*"));
    list.push(format!("$JS.ACK.{PUSH_STREAM}.>"));
    list.extend(membership_publish("push"));
    list
}

fn integrations_publish() -> Vec<String> {
    let mut list = words(&["weft.svc.journal.*", "weft.svc.feeds.*", "_INBOX_integrations.>"]);
    // The feeds of bots: it fills them, and removes what is too old.
    list.push("weft.bot.*.*".to_owned());
    for verb in ["STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE"] {
        list.push(format!("$JS.API.{verb}.{BOTS_STREAM}"));
    }
    // And makes the consumers by which they are read.
    list.push(format!("$JS.API.CONSUMER.CREATE.{BOTS_STREAM}.>"));
    list.push(format!("$JS.API.CONSUMER.DELETE.{BOTS_STREAM}.*"));
    // Webhooks: what is to be delivered, and the answers whether an address may be asked.
    list.extend(words(&["weft.svc.webhooks.*", WEBHOOKS_SUBJECTS, WEBHOOKS_DEAD_SUBJECTS]));
    list.extend(words(&["_INBOX_edge.>", "_INBOX_admin.>"]));
    list.push(format!("$JS.API.CONSUMER.CREATE.{WEBHOOKS_STREAM}.>"));
    list.push(format!("$JS.API.CONSUMER.MSG.NEXT.{WEBHOOKS_STREAM}.*"));
    list.push(format!("$JS.API.STREAM.MSG.GET.{WEBHOOKS_STREAM}"));
    list.push(format!("$JS.ACK.{WEBHOOKS_STREAM}.>"));
    list.extend(membership_publish("integrations"));
    list
}

fn integrations_subscribe() -> Vec<String> {
    words(&["_INBOX_integrations.>", "weft.svc.webhooks.check", "$SRV.>"])
}

fn push_subscribe() -> Vec<String> {
    words(&["_INBOX_push.>", "weft.u.*"])
}

fn write_role(out: &mut String, role: &Role<'_>) -> std::fmt::Result {
    writeln!(out, "      {{")?;
    writeln!(out, "        user: {}, password: {}", role.name, role.password.render())?;
    write_permissions(out, &role.publish, &role.subscribe)?;
    writeln!(out, "      }}")
}

fn write_permissions(
    out: &mut String,
    publish: &[String],
    subscribe: &[String],
) -> std::fmt::Result {
    let list = |subjects: &[String]| {
        let quoted: Vec<String> = subjects.iter().map(|subject| quote(subject)).collect();
        quoted.join("\n            ")
    };
    writeln!(out, "        permissions: {{")?;
    writeln!(out, "          publish: [\n            {}\n          ]", list(publish))?;
    writeln!(out, "          subscribe: [\n            {}\n          ]", list(subscribe))?;
    writeln!(out, "        }}")
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// A double-quoted string of nats-server's format. Control characters have no place in a name or a
/// password and are left out.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// The text of `nats/weft.conf`: one server of 4 partitions.
#[must_use]
pub fn operators_file() -> String {
    let env = |name: &str| Secret::Env(format!("WEFT_{name}_PASSWORD"));
    let config = ServerConfig {
        partitions: 4,
        passwords: NatsPasswords {
            edge: env("EDGE"),
            core: env("CORE"),
            presence: env("PRESENCE"),
            files: env("FILES"),
            search: env("SEARCH"),
            push: env("PUSH"),
            integrations: env("INTEGRATIONS"),
            admin: env("ADMIN"),
        },
        bots_issuer: Secret::Env(BOTS_ISSUER_VARIABLE.to_owned()),
        files_bytes_max: 0,
    };
    let place = ServerAddresses {
        name: "weft-1".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 4222,
        store_dir: "/data".into(),
        log_file: None,
        pid_file: None,
        cluster: None,
    };
    format!("{OPERATORS_HEAD}{}", config.render(&place))
}

const OPERATORS_HEAD: &str = "\
# nats-server (2.11 or newer) for Weft: nats-server -c weft.conf
#
# Rendered by weft-nats (nats/src/config.rs); a test keeps it so. Passwords come from the server's
# environment. nats-server reads an environment variable like a value of this file: a password must
# begin with a letter and consist of letters, digits, - and _.
#
# The partition count is in the mapping and in core's configuration; both must say the same.
# It listens on this machine alone: `listen` says another address where others are to reach it.
# For three servers as one cluster: weft nats-config --cluster weft --name weft-1 --host 0.0.0.0,
# and weft core --replicas 3.
#
# Bots are not in it: core answers for their logins, as the holder of a key whose public half is in WEFT_BOTS_ISSUER
# (weft bots-key makes it).
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_is_what_is_rendered() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("weft.conf");
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let rendered = operators_file();
        if std::env::var_os("WEFT_RENDER").is_some() {
            std::fs::write(&path, &rendered).expect("write");
            return;
        }
        assert!(
            committed == rendered,
            "run: WEFT_RENDER=1 cargo test -p weft-nats --lib committed"
        );
    }

    #[test]
    fn a_password_cannot_end_its_string() {
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quote("a\nb"), "\"ab\"");
        assert_eq!(format!("{:?}", Secret::Value("geheim".into())), "Secret(…)");
    }
}
