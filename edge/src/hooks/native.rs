//! What Alertmanager, Grafana and GitHub post to webhooks that are not Slack's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use weft_proto::kind::formatting::Style;

use super::blocks::{list, word};
use super::mrkdwn::{Allowed, plain};
use super::rich::Rich;

/// Alerts that are shown of a group; of the others how many there are.
const ALERTS_SHOWN_MAX: usize = 50;
/// Labels that are shown of a group, and of an alert.
const LABELS_SHOWN_MAX: usize = 20;
/// Commits that are shown of a push.
const COMMITS_SHOWN_MAX: usize = 20;

/// It is a group of alerts, of Alertmanager or Grafana.
pub(super) fn is_alerts(payload: &Value) -> bool {
    payload["alerts"].is_array() && payload["status"].is_string()
}

/// Writes a group of alerts. Grafana says in `title` what Alertmanager leaves to its receiver.
pub(super) fn alerts(out: &mut Rich, payload: &Value, allowed: &Allowed) {
    let alerts = list(payload, "alerts");
    let from = out.at();
    match word(payload, "title") {
        "" => {
            let status = word(payload, "status").to_uppercase();
            out.push(&format!("[{status}:{}] {}", alerts.len(), group_name(payload)));
        }
        title => out.push(title),
    }
    out.style(from, Style::Bold);
    out.link(from, word(payload, "externalURL"));
    // What all have in common is said once.
    let common = [&payload["groupLabels"], &payload["commonLabels"]];
    let common = common.into_iter().filter_map(Value::as_object).flat_map(Map::keys);
    let known = common.map(String::as_str).chain(["alertname"]).collect();
    for alert in alerts.iter().take(ALERTS_SHOWN_MAX) {
        one(out, alert, &known, allowed);
    }
    let cut = payload["truncatedAlerts"].as_u64().unwrap_or(0);
    let more = (alerts.len().saturating_sub(ALERTS_SHOWN_MAX) as u64).saturating_add(cut);
    if more > 0 {
        out.line();
        out.push(&format!("… and {more} more"));
    }
}

/// What the alerts of a group have in common.
fn group_name(payload: &Value) -> String {
    let labels = payload["groupLabels"].as_object().filter(|labels| !labels.is_empty());
    let labels = labels.or_else(|| payload["commonLabels"].as_object());
    let name = labels.and_then(|labels| labels.get("alertname")?.as_str());
    let others = labels.map(|labels| pairs(labels, &["alertname"].into())).unwrap_or_default();
    let parts = name.map(str::to_owned).into_iter().chain(others);
    parts.collect::<Vec<_>>().join(" ")
}

fn one(out: &mut Rich, alert: &Value, known: &BTreeSet<&str>, allowed: &Allowed) {
    out.line();
    out.push(if word(alert, "status") == "resolved" { "🟢 " } else { "🔴 " });
    let (labels, notes) = (&alert["labels"], &alert["annotations"]);
    let from = out.at();
    let names = [word(notes, "summary"), word(labels, "alertname"), "alert"];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    plain(out, name, allowed);
    out.link(from, word(alert, "generatorURL"));
    let own = labels.as_object().map(|labels| pairs(labels, known)).unwrap_or_default();
    if !own.is_empty() {
        out.push(" (");
        out.push(&own.join(", "));
        out.push(")");
    }
    let texts = ["description", "message"].map(|field| word(notes, field));
    if let Some(text) = texts.into_iter().find(|text| !text.is_empty()) {
        out.line();
        plain(out, text, allowed);
    }
}

/// `severity=critical`, but for those names.
fn pairs(labels: &Map<String, Value>, without: &BTreeSet<&str>) -> Vec<String> {
    let shown = labels.iter().filter(|(name, _)| !without.contains(name.as_str()));
    let shown = shown.filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    shown.take(LABELS_SHOWN_MAX).collect()
}

/// Writes an event of GitHub (`X-GitHub-Event`).
pub(super) fn github(out: &mut Rich, event: &str, payload: &Value, allowed: &Allowed) {
    let repository = word(&payload["repository"], "full_name");
    let sender = word(&payload["sender"], "login");
    if !repository.is_empty() {
        let from = out.at();
        out.push(&format!("[{repository}]"));
        out.link(from, word(&payload["repository"], "html_url"));
        out.push(" ");
    }
    if event == "ping" {
        plain(out, "GitHub will post here: ", allowed);
        return plain(out, word(payload, "zen"), allowed);
    }
    if event == "push" {
        return push(out, payload, allowed);
    }
    plain(out, sender, allowed);
    let words = [word(payload, "action"), event].map(|word| word.replace('_', " "));
    for word in words.iter().filter(|word| !word.is_empty()) {
        out.push(" ");
        out.push(word);
    }
    let about = [
        "comment",
        "review",
        "pull_request",
        "issue",
        "release",
        "workflow_run",
        "check_run",
        "deployment_status",
    ];
    let titled = ["pull_request", "issue", "discussion", "release", "workflow_run", "check_run"];
    let fields = ["title", "name", "tag_name"];
    let title = titled.iter().flat_map(|of| fields.map(|field| word(&payload[*of], field)));
    let url = about.iter().map(|of| word(&payload[*of], "html_url")).find(|url| !url.is_empty());
    if let Some(title) = title.into_iter().find(|title| !title.is_empty()) {
        out.push(": ");
        let from = out.at();
        plain(out, title, allowed);
        out.link(from, url.unwrap_or_default());
    } else if let Some(url) = url {
        out.push(": ");
        let from = out.at();
        out.push(url);
        out.link(from, url);
    }
    let body = ["comment", "review"].map(|of| word(&payload[of], "body"));
    if let Some(body) = body.into_iter().find(|body| !body.is_empty()) {
        out.line();
        let from = out.at();
        plain(out, body, allowed);
        out.style(from, Style::Quote);
    }
}

fn push(out: &mut Rich, payload: &Value, allowed: &Allowed) {
    let commits = list(payload, "commits");
    let branch = word(payload, "ref").trim_start_matches("refs/heads/");
    plain(out, word(&payload["pusher"], "name"), allowed);
    let from = out.at() + 1;
    out.push(&format!(" pushed {} commits to {branch}", commits.len()));
    out.link(from, word(payload, "compare"));
    for commit in commits.iter().take(COMMITS_SHOWN_MAX) {
        out.line();
        let from = out.at();
        out.push(&word(commit, "id").chars().take(7).collect::<String>());
        out.link(from, word(commit, "url"));
        out.push(" ");
        plain(out, word(commit, "message").lines().next().unwrap_or_default(), allowed);
    }
    if commits.len() > COMMITS_SHOWN_MAX {
        out.line();
        out.push(&format!("… and {} more", commits.len() - COMMITS_SHOWN_MAX));
    }
}
