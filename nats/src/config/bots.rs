//! What the configuration says of bots: what they may ask of Weft's account, and who answers for their logins.

use std::fmt::Write as _;

use super::Secret;
use crate::subject::{BOTS_ACCOUNT, CONNECTIONS};

/// How long a login may take, in seconds: with its way to core and back.
const LOGIN_TIMEOUT_S: u8 = 5;

/// What bots may ask of Weft's account. Whether one may is said by its login.
struct BotService {
    subject: &'static str,
    /// How bots name it.
    local: &'static str,
    answers_many: bool,
}

/// JetStream's API has a prefix of its own among bots, as if `WEFT` were a domain: under the usual one the account's own
/// would answer. Consumers are made by Weft alone: who makes one says where it delivers to, and no permission looks at that.
const BOT_SERVICES: [BotService; 6] = [
    one("weft.out.*.*", "weft.in.$1.$2"),
    one("weft.out.*.*.*", "weft.in.$1.$2.$3"),
    one("weft.api.*.*", "weft.api.$1.$2"),
    one("$JS.API.CONSUMER.INFO.WEFT_BOTS.*", "$JS.WEFT.API.CONSUMER.INFO.WEFT_BOTS.$1"),
    BotService {
        answers_many: true,
        ..one(
            "$JS.API.CONSUMER.MSG.NEXT.WEFT_BOTS.*",
            "$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.$1",
        )
    },
    one("$JS.ACK.WEFT_BOTS.>", "$JS.ACK.WEFT_BOTS.>"),
];

const fn one(subject: &'static str, local: &'static str) -> BotService {
    BotService { subject, local, answers_many: false }
}

/// A user's key that is no point of the curve, so that no signature is its.
const NOBODYS_KEY: &str = "UABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHWN";

/// Ends one connection of a server.
pub(super) const KICKS: &str = "$SYS.REQ.SERVER.*.KICK";

/// What of Weft's account leaves it, and what core has of the system's.
pub(super) fn write_exports(out: &mut String) -> std::fmt::Result {
    writeln!(out, "    exports = [")?;
    for service in BOT_SERVICES {
        let answers = if service.answers_many { ", response_type: stream" } else { "" };
        writeln!(
            out,
            "      {{ service: \"{}\"{answers}, accounts: [{BOTS_ACCOUNT}] }}",
            service.subject
        )?;
    }
    writeln!(out, "      {{ stream: \"weft.ack.u.*.*\", accounts: [{BOTS_ACCOUNT}] }}")?;
    writeln!(out, "    ]")?;
    writeln!(out, "    imports = [")?;
    for subject in [CONNECTIONS, KICKS] {
        writeln!(out, "      {{ service: {{ account: SYS, subject: \"{subject}\" }} }}")?;
    }
    writeln!(out, "    ]")?;
    Ok(())
}

/// The accounts of bots and of the system.
pub(super) fn write_accounts(out: &mut String) -> std::fmt::Result {
    write_bots(out)?;
    write_system(out)
}

/// Who answers for logins. `roles`: those who are not asked about.
pub(super) fn write_callout(out: &mut String, issuer: &Secret, roles: &[&str]) -> std::fmt::Result {
    writeln!(out, "system_account: SYS")?;
    writeln!(out, "authorization {{")?;
    writeln!(out, "  # A bot's login is answered by core: this is how long it may take.")?;
    writeln!(out, "  timeout: {LOGIN_TIMEOUT_S}")?;
    writeln!(out, "  auth_callout {{")?;
    writeln!(out, "    issuer: {}", issuer.render())?;
    writeln!(out, "    account: WEFT")?;
    writeln!(out, "    # Who logs in by the passwords above, and is not asked about.")?;
    writeln!(out, "    auth_users: [ {}, admin ]", roles.join(", "))?;
    writeln!(out, "  }}")?;
    writeln!(out, "}}")
}

fn write_bots(out: &mut String) -> std::fmt::Result {
    writeln!(out, "  {BOTS_ACCOUNT} {{")?;
    writeln!(
        out,
        "    # Nobody: where a key is known, servers have all clients sign something, so that core can tell who"
    )?;
    writeln!(out, "    # has the key that a bot's token names.")?;
    writeln!(
        out,
        "    users = [ {{ nkey: {NOBODYS_KEY}, permissions: {{ publish: {{ deny: \">\" }}, subscribe: {{ deny: \">\" }} }} }} ]"
    )?;
    writeln!(out, "    imports = [")?;
    for BotService { subject, local, .. } in BOT_SERVICES {
        let service = format!("{{ account: WEFT, subject: \"{subject}\" }}");
        writeln!(out, "      {{ service: {service}, to: \"{local}\" }}")?;
    }
    writeln!(out, "      {{ stream: {{ account: WEFT, subject: \"weft.ack.u.*.*\" }} }}")?;
    writeln!(out, "    ]")?;
    writeln!(out, "  }}")
}

fn write_system(out: &mut String) -> std::fmt::Result {
    writeln!(out, "  SYS {{")?;
    writeln!(out, "    exports = [")?;
    writeln!(
        out,
        "      {{ service: \"{CONNECTIONS}\", response_type: stream, accounts: [WEFT] }}"
    )?;
    writeln!(out, "      {{ service: \"{KICKS}\", accounts: [WEFT] }}")?;
    writeln!(out, "    ]")?;
    writeln!(out, "  }}")
}
