use serde_json::json;
use weft_proto::Body;

use super::mrkdwn::tests::shown;
use super::*;

fn read_as(content_type: &str, body: &str) -> Result<Text, BadPost> {
    Post { content_type, github_event: "", body: body.as_bytes() }.message()
}

fn read(payload: &Value) -> Result<Text, BadPost> {
    read_as("application/json", &payload.to_string())
}

fn lines(payload: &Value) -> String {
    shown(&read(payload).expect("a message"))
}

#[test]
fn bodies_come_as_json_as_a_form_and_as_plain_text() {
    let json = r#"{"text":"a & b + c 한"}"#;
    let form = "payload=%7B%22text%22%3A%22a+%26+b+%2b+c+%ED%95%9C%22%7D";
    for (kind, body) in [
        ("application/json", json),
        ("application/json; charset=utf-8", json),
        ("application/x-www-form-urlencoded", json),
        ("", json),
        ("application/x-www-form-urlencoded", form),
        ("application/x-www-form-urlencoded", &format!("x=1&{form}&y")),
        ("text/plain; charset=utf-8", "a & b + c 한\n"),
    ] {
        assert_eq!(read_as(kind, body).expect(body).text, "a & b + c 한", "{kind} {body}");
    }
}

#[test]
fn what_is_no_message_is_refused_in_slacks_words() {
    use BadPost::{InvalidBlocks, InvalidPayload, NoText, TooManyAttachments};
    for (body, error) in [
        ("", InvalidPayload),
        ("{", InvalidPayload),
        ("[]", InvalidPayload),
        ("payload=%7", InvalidPayload),
        ("payload=%ff", InvalidPayload),
        ("text=x", InvalidPayload),
        (r#"{"text":7}"#, InvalidPayload),
        (r#"{"text":"x","blocks":{}}"#, InvalidPayload),
        (r#"{"text":"x","allowed_mentions":"all"}"#, InvalidPayload),
        (r#"{"text":"x","allowed_mentions":{"users":["Not An Id"]}}"#, InvalidPayload),
        (r#"{"text":"x","allowed_mentions":{"all":1}}"#, InvalidPayload),
        ("{}", NoText),
        (r#"{"text":" "}"#, NoText),
        (r#"{"blocks":[{"type":"input"}]}"#, NoText),
    ] {
        assert_eq!(read_as("", body), Err(error), "{body}");
    }
    let many = |count| vec![json!({ "text": "x" }); count];
    let refused = read(&json!({ "attachments": many(101) }));
    assert_eq!(refused, Err(TooManyAttachments));
    assert_eq!(read(&json!({ "blocks": many(51) })), Err(InvalidBlocks));
    let deep = "[".repeat(50_000);
    assert_eq!(read_as("", &format!("{{\"text\":{deep}")), Err(InvalidPayload));
    assert_eq!(read_as("text/plain", "\n"), Err(NoText));
    let bytes = Post { content_type: "", github_event: "", body: b"{\"text\":\"\xff\"}" };
    assert_eq!(bytes.message(), Err(InvalidPayload));
}

#[test]
fn blocks_are_lines() {
    let blocks = json!({
        "text": "only where blocks are not shown",
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": "Deploy :rocket:" } },
            { "type": "section", "text": { "type": "mrkdwn", "text": "*api* is <https://x.y|live>" },
              "fields": [{ "type": "mrkdwn", "text": "*By*\nann" }, { "type": "plain_text", "text": "*as is*" }],
              "accessory": { "type": "button", "text": { "type": "plain_text", "text": "Look" }, "url": "https://x.y/1" } },
            { "type": "divider" },
            { "type": "image", "image_url": "https://x.y/z.png", "alt_text": "a graph" },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": "one" }, { "type": "plain_text", "text": "two" }] },
            { "type": "actions", "elements": [
                { "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": "https://x.y/2" },
                { "type": "button", "text": { "type": "plain_text", "text": "Approve" }, "action_id": "a" } ] },
        ],
    });
    let expected = "Deploy 🚀\napi is live\nBy\nann\n*as is*\nLook\n———\na graph\none two\nOpen \
        [bold Deploy 🚀] [bold api] [link live → https://x.y] [bold By] [link Look → https://x.y/1] \
        [link a graph → https://x.y/z.png] [link Open → https://x.y/2]";
    assert_eq!(lines(&blocks), expected);
}

#[test]
fn rich_texts_are_lines() {
    let text = |text: &str| json!({ "type": "text", "text": text });
    let section = |elements: Value| json!({ "type": "rich_text_section", "elements": elements });
    let rich = json!({ "blocks": [{ "type": "rich_text", "elements": [
        section(json!([{ "type": "text", "text": "hot", "style": { "bold": true } }, text(" "),
            { "type": "emoji", "name": "x9", "unicode": "1f525" }, { "type": "user", "user_id": "U1" },
            { "type": "broadcast", "range": "here" }])),
        { "type": "rich_text_list", "style": "ordered", "elements": [section(json!([text("a")])), section(json!([text("b")]))] },
        { "type": "rich_text_quote", "elements": [text("so")] },
        { "type": "rich_text_preformatted", "elements": [text("x = 1")] },
    ] }] });
    let expected = "hot 🔥@U1@here\n1. a\n2. b\nso\nx = 1 [bold hot] [quote so] [code_block x = 1]";
    assert_eq!(lines(&rich), expected);
}

/// As Alertmanager's `slack_configs` sends it, with its default templates.
#[test]
fn alertmanagers_slack_receiver_is_understood() {
    let payload = json!({
        "channel": "#alerts", "username": "Alertmanager",
        "attachments": [{
            "title": "[FIRING:1] DiskFull db-1 (critical)",
            "title_link": "http://am:9093/#/alerts?receiver=weft",
            "text": "disk of *db-1* is 97 % full", "fallback": "[FIRING:1] DiskFull | http://am:9093",
            "color": "danger", "mrkdwn_in": ["fallback", "pretext", "text"],
            "fields": [{ "title": "severity", "value": "critical", "short": true }],
            "footer": "", "ts": 1_700_000_000,
        }],
    });
    let expected = "🔴 [FIRING:1] DiskFull db-1 (critical)\ndisk of db-1 is 97 % full\nseverity: critical\n2023-11-14T22:13:20Z";
    let message = lines(&payload);
    assert!(message.starts_with(expected), "{message}");
    assert!(message.contains("[bold [FIRING:1] DiskFull db-1 (critical)]"), "{message}");
    assert!(message.contains("→ http://am:9093/#/alerts?receiver=weft]"), "{message}");
    assert!(message.contains(&format!("[quote {expected}]")), "{message}");
}

/// As Alertmanager's `webhook_configs` sends it.
#[test]
fn alertmanagers_own_webhook_is_understood() {
    let payload = json!({
        "version": "4", "groupKey": "{}:{alertname=\"DiskFull\"}", "truncatedAlerts": 3, "status": "firing",
        "receiver": "weft", "groupLabels": { "alertname": "DiskFull" },
        "commonLabels": { "alertname": "DiskFull", "severity": "critical" }, "commonAnnotations": {},
        "externalURL": "http://am:9093",
        "alerts": [
            { "status": "firing", "labels": { "alertname": "DiskFull", "instance": "db-1", "severity": "critical" },
              "annotations": { "summary": "disk of db-1", "description": "97 % <full> @all" },
              "startsAt": "2026-12-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
              "generatorURL": "http://prom/graph?g0", "fingerprint": "a" },
            { "status": "resolved", "labels": { "alertname": "DiskFull", "instance": "db-2", "severity": "critical" },
              "annotations": {} },
        ],
    });
    let expected = "[FIRING:2] DiskFull\n🔴 disk of db-1 (instance=db-1)\n97 % <full> @all\n🟢 DiskFull (instance=db-2)\n… and 3 more \
        [bold [FIRING:2] DiskFull] [link [FIRING:2] DiskFull → http://am:9093] [link disk of db-1 → http://prom/graph?g0]";
    let mut message = lines(&payload);
    // The order of two that are alike.
    message = message.replace(
        "[link [FIRING:2] DiskFull → http://am:9093] [bold [FIRING:2] DiskFull]",
        "[bold [FIRING:2] DiskFull] [link [FIRING:2] DiskFull → http://am:9093]",
    );
    assert_eq!(message, expected);
}

/// As Grafana's contact points send it: `webhook`, and `slack`.
#[test]
fn grafana_is_understood() {
    let payload = json!({
        "receiver": "weft", "status": "resolved", "orgId": 1, "version": "1", "state": "ok",
        "alerts": [{ "status": "resolved", "labels": { "alertname": "Latency", "grafana_folder": "api" },
            "annotations": { "summary": "p99 over 1 s" }, "generatorURL": "http://g/alerting/1", "valueString": "[ var='A' ]" }],
        "groupLabels": { "alertname": "Latency" }, "commonLabels": { "alertname": "Latency", "grafana_folder": "api" },
        "externalURL": "http://g/", "title": "[RESOLVED] Latency", "message": "**Resolved** …", "truncatedAlerts": 0,
    });
    let message = lines(&payload);
    assert!(message.starts_with("[RESOLVED] Latency\n🟢 p99 over 1 s [link"), "{message}");
    let slack = json!({
        "channel": "x", "username": "Grafana", "icon_url": "https://grafana.com/static/assets/img/fav32.png",
        "attachments": [{ "title": "[FIRING:1] Latency", "title_link": "http://g/", "color": "#D63232",
            "text": "**Firing**\n\nValue: A=1.5\nLabels:\n - alertname = Latency\n", "fallback": "[FIRING:1] Latency",
            "footer": "Grafana v12.0.0", "footer_icon": "https://grafana.com/x.png", "ts": 1_700_000_000, "mrkdwn_in": ["text"] }],
    });
    let message = lines(&slack);
    assert!(message.starts_with("🔴 [FIRING:1] Latency\nFiring\n\nValue: A=1.5\n"), "{message}");
    assert!(message.contains("Grafana v12.0.0 · 2023-11-14T22:13:20Z"), "{message}");
}

/// As `8398a7/action-slack` and `slackapi/slack-github-action` send it, and GitHub itself.
#[test]
fn senders_on_github_are_understood() {
    let action = json!({ "attachments": [{ "color": "good", "author_name": "build",
        "author_link": "https://github.com/a/b/actions/runs/1",
        "fields": [{ "title": "repo", "value": "<https://github.com/a/b|a/b>", "short": true },
            { "title": "took", "value": 12 }] }] });
    let expected = "build\nrepo: a/b\ntook: 12 [quote build\nrepo: a/b\ntook: 12]";
    let message = lines(&action);
    assert!(message.starts_with(expected), "{message}");
    assert!(message.contains("[link a/b → https://github.com/a/b]"), "{message}");

    let of_event = |github_event, payload: Value| {
        let body = payload.to_string();
        Post { content_type: "application/json", github_event, body: body.as_bytes() }.message()
    };
    let repository = json!({ "full_name": "a/b", "html_url": "https://github.com/a/b" });
    let push = json!({ "ref": "refs/heads/main", "repository": repository, "pusher": { "name": "ann" },
        "compare": "https://github.com/a/b/compare/1...2",
        "commits": [{ "id": "0123456789", "message": "mend it\n\nbody", "url": "https://github.com/a/b/commit/0" }] });
    let message = of_event("push", push).expect("a message");
    assert_eq!(message.text, "[a/b] ann pushed 1 commits to main\n0123456 mend it");
    let issue = json!({ "action": "opened", "repository": repository, "sender": { "login": "bob" },
        "issue": { "title": "It hangs", "html_url": "https://github.com/a/b/issues/7" } });
    let message = shown(&of_event("issues", issue).expect("a message"));
    assert!(message.starts_with("[a/b] bob opened issues: It hangs"), "{message}");
    assert!(message.contains("[link It hangs → https://github.com/a/b/issues/7]"), "{message}");
    let ping = json!({ "zen": "Keep it logically awesome.", "repository": repository });
    assert!(of_event("ping", ping).expect("a message").text.ends_with("awesome."));
}

#[test]
fn who_is_listed_is_mentioned_in_blocks_too() {
    let payload = |allowed: Value| {
        json!({ "allowed_mentions": allowed, "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": "<!here> <@bob>" } },
            { "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
                { "type": "broadcast", "range": "channel" }, { "type": "user", "user_id": "bob" }] }] }] })
    };
    assert_eq!(lines(&payload(Value::Null)), "@here @bob\n@channel@bob");
    let allowed = json!({ "users": ["bob"], "all": true });
    let expected = "@here @bob\n@channel@bob [mention @here → everyone] [mention @bob → bob] \
        [mention @channel → everyone] [mention @bob → bob]";
    assert_eq!(lines(&payload(allowed)), expected);
}

/// Whatever comes is a message that the service takes, or a refusal.
#[test]
fn any_bytes_are_a_message_or_a_refusal() {
    let seeds = [
        r#"{"text":"*a* <https://x.y|_b_> <!here> <@bob> `c` ```d``` > e :fire: @all","allowed_mentions":{"users":["bob"],"all":true}}"#,
        r#"{"blocks":[{"type":"header","text":{"type":"plain_text","text":"h"}},{"type":"section","text":{"type":"mrkdwn","text":"*s*"},"fields":[{"type":"mrkdwn","text":"f"}]},{"type":"context","elements":[{"type":"image","image_url":"https://x/y","alt_text":"i"}]},{"type":"rich_text","elements":[{"type":"rich_text_list","style":"bullet","indent":1,"elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"t","style":{"bold":true}},{"type":"emoji","name":"x","unicode":"1f525"}]}]}]}]}"#,
        r#"{"attachments":[{"pretext":"p","title":"t","title_link":"https://x","text":"*x*\n> y","fields":[{"title":"a","value":"b"}],"color":"good","footer":"f","ts":1700000000}]}"#,
        r#"{"status":"firing","alerts":[{"status":"firing","labels":{"alertname":"a","b":"c"},"annotations":{"summary":"s"},"generatorURL":"http://x"}],"groupLabels":{"alertname":"a"},"truncatedAlerts":18446744073709551615}"#,
        "payload=%7B%22text%22%3A%22x%22%7D",
    ];
    weft_fuzz::run("posts to hooks", &seeds.map(str::as_bytes), |bytes| {
        for content_type in ["application/json", "text/plain"] {
            let Ok(text) = (Post { content_type, github_event: "issues", body: bytes }).message()
            else {
                continue;
            };
            let json = Body::Text(text.clone()).to_json();
            let taken = Body::from_json(&json).expect("within the limits");
            assert_eq!(taken, Body::Text(text));
        }
    });
}
