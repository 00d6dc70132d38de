use weft_outbound::{Connections, Options, Roots, Rules};

use super::*;
use crate::message::Clear;
use crate::templates::Notification;

fn outbound() -> Outbound {
    let options = Options {
        rules: Rules::of_the_operator(),
        redirects_max: 0,
        patience: Duration::from_secs(1),
        user_agent: "test".into(),
        roots: Roots::default(),
        connections: Connections::Kept,
    };
    Outbound::new(options).expect("a client")
}

fn told(body: &str) -> Notification {
    Notification {
        r#type: "notification",
        title: "Team".into(),
        body: body.into(),
        tag: "team".into(),
        badge: 3,
        about: None,
    }
}

fn push() -> Push {
    Push { address: "cGx:APA91b".into(), ..Push::default() }
}

fn made(message: &Message<'_>) -> Value {
    let body = body(message, &push()).expect("made");
    serde_json::from_slice::<Value>(&body).expect("json")["message"].take()
}

#[test]
fn a_notification_is_shown_by_the_system_once_for_a_room() {
    let told = told("hello");
    let made = made(&Message::Notification { id: "x", told: &told, first: true });
    assert_eq!(made["token"], "cGx:APA91b");
    assert_eq!(made["notification"], json!({ "title": "Team", "body": "hello" }));
    let android = json!({ "priority": "HIGH", "ttl": "86400s", "notification": { "tag": "team" } });
    assert_eq!(made["android"], android);
    assert_eq!(made["apns"]["payload"]["aps"]["badge"], 3);
    assert_eq!(made["apns"]["payload"]["aps"]["thread-id"], "team");
    let data: Value =
        serde_json::from_str(made["data"]["weft"].as_str().expect("a text")).expect("json");
    assert_eq!(data, json!({ "type": "notification", "tag": "team", "badge": 3 }));
}

#[test]
fn a_clear_is_shown_by_nobody() {
    let clear = Clear { r#type: "clear", tag: Some("team".into()), badge: 0 };
    let made = made(&Message::Clear { id: "x", clear: &clear });
    assert_eq!(made["notification"], Value::Null);
    assert_eq!(made["android"], json!({ "priority": "NORMAL", "ttl": "86400s" }));
    let data = r#"{"badge":0,"tag":"team","type":"clear"}"#;
    assert_eq!(made["data"]["weft"], data);
}

#[test]
fn what_is_too_long_is_not_sent() {
    let told = told(&"x".repeat(4_200));
    assert_eq!(body(&Message::Notification { id: "x", told: &told, first: true }, &push()), None);
}

#[test]
fn what_it_says_is_of_the_device_or_of_who_asks() {
    let of_code = |status: u16, code: &str| {
        let detail = json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": code,
        });
        let error = json!({ "code": status, "status": "OTHER", "details": [detail] });
        read(status, None, json!({ "error": error }).to_string().as_bytes())
    };
    assert_eq!(read(200, None, b"{}"), Answer::Delivered);
    assert_eq!(of_code(404, "UNREGISTERED"), Answer::Gone);
    assert_eq!(of_code(403, "SENDER_ID_MISMATCH"), Answer::Gone);
    let limited = Answer::limited("status 429 QUOTA_EXCEEDED", None);
    assert_eq!(of_code(429, "QUOTA_EXCEEDED"), limited);
    for (status, code) in [(503, "UNAVAILABLE"), (500, "INTERNAL"), (401, "THIRD_PARTY_AUTH_ERROR")]
    {
        assert_eq!(of_code(status, code), Answer::failed(format!("status {status} {code}"), None));
    }
    let refused = Answer::Refused("status 400 INVALID_ARGUMENT".into());
    assert_eq!(of_code(400, "INVALID_ARGUMENT"), refused, "it may be of the text");
    let of_field = json!({ "error": {
        "status": "INVALID_ARGUMENT",
        "details": [{ "fieldViolations": [{ "field": "message.token", "description": "no" }] }],
    } });
    assert_eq!(read(400, None, of_field.to_string().as_bytes()), Answer::Gone);
    // Of another project, nobody is unregistered.
    let wrong = json!({ "error": { "code": 404, "status": "NOT_FOUND" } }).to_string();
    assert_eq!(read(404, None, wrong.as_bytes()), Answer::failed("status 404 NOT_FOUND", None));
    assert_eq!(read(404, None, b"<html>"), Answer::failed("status 404", None));
}

#[test]
fn credentials_say_what_is_wrong_with_them_and_not_what_they_are() {
    let good = json!({
        "type": "service_account",
        "project_id": "weft-test",
        "private_key": "-----BEGIN PRIVATE KEY-----\ngeheim\n-----END PRIVATE KEY-----\n",
        "client_email": "push@weft-test.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let error_of = |credentials: &str| {
        let (credentials, url) = (credentials.to_owned(), FCM_URL.to_owned());
        let error = Fcm::read(&FcmOptions { credentials, url }, outbound()).err();
        error.expect("refused").to_string()
    };
    assert!(error_of("geheim").contains("no JSON"));
    for (field, value, expected) in [
        ("private_key", Value::Null, "private_key"),
        ("type", json!("authorized_user"), "authorized_user"),
        ("project_id", json!("a/b"), "project_id"),
        ("private_key", json!("geheim"), "RSA key"),
    ] {
        let mut changed = good.clone();
        changed[field] = value.clone();
        if value.is_null() {
            changed.as_object_mut().expect("an object").remove(field);
        }
        let error = error_of(&changed.to_string());
        assert!(error.contains(expected) && !error.contains("geheim"), "{error}");
    }
}
