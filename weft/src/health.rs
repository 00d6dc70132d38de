//! `weft health`: asks an edge whether it can serve. For containers and scripts that have no HTTP
//! client of their own.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::time::timeout;

use crate::error::Error;
use crate::http;
use crate::process::block_on;

/// One question.
#[derive(Args, Clone, Debug)]
pub struct HealthOptions {
    /// What to ask. `/readyz` says whether an edge can serve, `/healthz` whether it lives.
    #[arg(default_value = "http://127.0.0.1:7300/readyz", value_parser = target)]
    url: Target,
    /// How long the answer may take, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout_s: u64,
}

/// `http://<host>:<port><path>`
#[derive(Clone, PartialEq, Eq, Debug)]
struct Target {
    authority: String,
    path: String,
}

fn target(url: &str) -> Result<Target, String> {
    let rest = url.strip_prefix("http://").ok_or("an address is http://<host>:<port>/<path>")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let path = if path.is_empty() { "/readyz" } else { path };
    Ok(Target { authority, path: path.to_owned() })
}

/// Asks.
pub fn run(options: &HealthOptions) -> Result<(), Error> {
    let Target { authority, path } = &options.url;
    let failed = |reason: String| Error::Failed(format!("http://{authority}{path}: {reason}"));
    block_on(async {
        let asking = http::request(authority, "GET", path, "");
        let answer = timeout(Duration::from_secs(options.timeout_s), asking).await;
        let answer = answer.map_err(|_| failed(format!("no answer in {} s", options.timeout_s)))?;
        let (status, body) = answer.map_err(|error| failed(error.to_string()))?;
        if status == 200 {
            return Ok(());
        }
        Err(failed(format!("{status}{}", reason_in(&body))))
    })
}

/// What an edge says in its answer.
fn reason_in(body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let message = answer.pointer("/error/message").and_then(Value::as_str);
    message.map(|message| format!(", {message}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_perhaps_a_port_and_a_path() {
        let at = |authority: &str, path: &str| {
            Ok(Target { authority: authority.to_owned(), path: path.to_owned() })
        };
        assert_eq!(target("http://127.0.0.1:7300/healthz"), at("127.0.0.1:7300", "/healthz"));
        assert_eq!(target("http://edge:7300"), at("edge:7300", "/readyz"));
        assert_eq!(target("http://[::1]:7300/"), at("[::1]:7300", "/"));
        assert_eq!(target("http://edge/readyz"), at("edge:80", "/readyz"));
        assert!(target("https://edge").is_err() && target("edge:7300").is_err());
    }

    #[test]
    fn the_reason_is_the_edges_own() {
        let body = r#"{"error":{"code":"unavailable","message":"NATS is away"}}"#;
        assert_eq!(reason_in(body), ", NATS is away");
        assert_eq!(reason_in("<html>"), "");
    }
}
