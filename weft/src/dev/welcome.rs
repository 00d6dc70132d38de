//! What `weft dev` prints when it runs: what there is, and three things to try.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::error::Error;

pub struct Facts<'a> {
    pub address: SocketAddr,
    /// Where metrics, health and readiness are.
    pub admin: SocketAddr,
    pub nats_url: &'a str,
    pub data: &'a Path,
    /// A bot, and the file that holds a token of it.
    pub bot: Option<(&'a str, &'a Path)>,
}

pub fn text(facts: &Facts<'_>) -> String {
    let Facts { address, admin, nats_url, data, bot } = facts;
    let url = format!("http://{address}");
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        r#"
weft {version} runs. Ctrl-C ends it.

  clients        {url}  (WebSocket /v1/ws, HTTP /v1/…)
  other systems  {nats_url}
  metrics        http://{admin}/metrics
  data           {data}

Try, in another terminal:

1. Make an account, and log in:
curl -s {url}/v1/accounts -d '{{"user":"alice","password":"open sesame"}}' && export TOKEN=$(curl -s {url}/v1/login -d '{{"user":"alice","password":"open sesame","device":"laptop"}}' | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])')

2. Listen, on a WebSocket (python3 -m pip install websockets):
python3 -c '
import json, os
from websockets.sync.client import connect
with connect("ws://{address}/v1/ws", subprotocols=["weft.v1"]) as ws:
    ws.send(json.dumps({{"id": 1, "type": "hello", "token": os.environ["TOKEN"]}}))
    for frame in ws: print(frame, flush=True)'
"#,
        version = env!("CARGO_PKG_VERSION"),
        data = data.display(),
    );
    if let Some((bot, file)) = bot {
        let room = room_with(bot, "alice");
        let _ = write!(
            text,
            r#"
3. Write to alice from another system (the `nats` command, or any NATS client; token in {file}):
NATS_USER={bot} NATS_PASSWORD=$(cat {file}) nats -s {nats_url} pub weft.in.{bot}.{room} 'hello from NATS'
"#,
            file = file.display(),
        );
    }
    text
}

/// The direct room of two users.
fn room_with(one: &str, other: &str) -> String {
    if one <= other { format!("{one}~{other}") } else { format!("{other}~{one}") }
}

/// Prints it. Whoever closed standard output does not want it.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output")(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_runs_and_three_things_to_try() {
        let text = text(&Facts {
            address: "127.0.0.1:7300".parse().expect("address"),
            admin: "127.0.0.1:7380".parse().expect("address"),
            nats_url: "nats://127.0.0.1:4223",
            data: Path::new(".weft"),
            bot: Some(("bot", Path::new(".weft/secrets/bot.token"))),
        });
        for needle in [
            "http://127.0.0.1:7300",
            "nats://127.0.0.1:4223",
            "weft.in.bot.alice~bot",
            "bot.token",
            "{\"user\":\"alice\"",
        ] {
            assert!(text.contains(needle), "{needle} in {text}");
        }
    }
}
