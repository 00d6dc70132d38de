//! `push` and `unpush`: how a device is to be notified, and the end of that.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Request;
use crate::check::missing;
use crate::error::{ApiError, ErrorCode};
use crate::hidden::Hidden;
use crate::ids::DeviceId;
use crate::json::{read_object, text_of};
use crate::limits::{
    PUSH_ADDRESS_BYTES_MAX, PUSH_APNS_TOKEN_CHARS, PUSH_LANGUAGE_BYTES_MAX, PUSH_SECRET_BYTES,
    PUSH_TOPIC_BYTES_MAX,
};
use crate::svc::Push;

/// The kinds of gateways.
pub const WEB_PUSH: &str = "webpush";
pub const WEBHOOK: &str = "webhook";
/// Firebase Cloud Messaging.
pub const FCM: &str = "fcm";
/// The Apple Push Notification service.
pub const APNS: &str = "apns";

/// An uncompressed point of P-256.
const KEY_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
const AUTH_BYTES: usize = 16;
/// Before the secret of a webhook, as Standard Webhooks has it.
const SECRET_PREFIX: &str = "whsec_";

/// How a device is notified, as its user sees it: without keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PushShown {
    kind: String,
    address: Hidden<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    language: String,
    private: bool,
    made_at: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    topic: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sandbox: bool,
}

impl From<Push> for PushShown {
    fn from(push: Push) -> Self {
        let Push { kind, address, language, private, made_ms, topic, sandbox, .. } = push;
        let (address, made_at) = (Hidden(address), made_ms);
        Self { kind, address, language, private, made_at, topic, sandbox }
    }
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    Push::from_text(text).map(|push| Request::Push(Box::new(push)))
}

pub(super) fn read_unpush(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Unpush<'a> {
        #[serde(borrow)]
        device: Option<Cow<'a, str>>,
    }
    let Unpush { device } = read_object(text)?;
    Ok(Request::Unpush { device: device.map(|device| DeviceId::new(&device)).transpose()? })
}

#[derive(Deserialize)]
struct Fields<'a> {
    kind: Option<String>,
    /// Of `webpush`.
    endpoint: Option<String>,
    #[serde(borrow)]
    keys: Option<Keys<'a>>,
    /// Of `webhook`.
    url: Option<String>,
    #[serde(borrow)]
    secret: Option<Cow<'a, str>>,
    /// Of `fcm` and `apns`.
    token: Option<String>,
    /// Of `apns`.
    topic: Option<String>,
    sandbox: Option<bool>,
    language: Option<String>,
    private: Option<bool>,
}

#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    p256dh: Option<Cow<'a, str>>,
    #[serde(borrow)]
    auth: Option<Cow<'a, str>>,
}

impl Push {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// Those of [`read_object`], and of [`check`](Self::check).
    pub fn from_text(text: &str) -> Result<Self, ApiError> {
        let fields: Fields<'_> = read_object(text)?;
        let kind = fields.kind.ok_or_else(|| missing("kind"))?;
        let mut push = match &*kind {
            WEB_PUSH => {
                let Keys { p256dh, auth } = fields.keys.ok_or_else(|| missing("keys"))?;
                let p256dh = p256dh.ok_or_else(|| missing("keys.p256dh"))?;
                let auth = auth.ok_or_else(|| missing("keys.auth"))?;
                Self {
                    address: fields.endpoint.ok_or_else(|| missing("endpoint"))?,
                    p256dh: web_safe("keys.p256dh", &p256dh)?,
                    secret: web_safe("keys.auth", &auth)?,
                    ..Self::default()
                }
            }
            WEBHOOK => {
                let secret = fields.secret.ok_or_else(|| missing("secret"))?;
                let address = fields.url.ok_or_else(|| missing("url"))?;
                Self { address, secret: webhook_secret(&secret)?, ..Self::default() }
            }
            FCM => {
                let address = fields.token.ok_or_else(|| missing("token"))?;
                Self { address, ..Self::default() }
            }
            APNS => Self {
                // One device has one, however its hexadecimal digits are written.
                address: fields.token.ok_or_else(|| missing("token"))?.to_ascii_lowercase(),
                topic: fields.topic.ok_or_else(|| missing("topic"))?,
                sandbox: fields.sandbox.unwrap_or_default(),
                ..Self::default()
            },
            other => return Err(unknown(other)),
        };
        push.kind = kind;
        push.language = fields.language.unwrap_or_default();
        push.private = fields.private.unwrap_or_default();
        push.check().map(|()| push)
    }

    /// The same of a body.
    ///
    /// # Errors
    /// Those of [`from_text`](Self::from_text), and [`ErrorCode::BadEncoding`].
    pub fn of_body(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::from_text(text_of(bytes)?)
    }

    /// Checks forms and lengths.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
    pub fn check(&self) -> Result<(), ApiError> {
        match &*self.kind {
            WEB_PUSH => {
                check_address("endpoint", &self.address, PUSH_ADDRESS_BYTES_MAX)?;
                if self.p256dh.len() != KEY_BYTES || self.p256dh[0] != UNCOMPRESSED {
                    return Err(bad("keys.p256dh is a public key of P-256, 65 bytes as base64url"));
                }
                if self.secret.len() != AUTH_BYTES {
                    return Err(bad("keys.auth has 16 bytes, as base64url"));
                }
            }
            WEBHOOK => {
                check_address("url", &self.address, PUSH_ADDRESS_BYTES_MAX)?;
                if !PUSH_SECRET_BYTES.contains(&self.secret.len()) {
                    return Err(no_secret());
                }
            }
            FCM => check_fcm_token(&self.address)?,
            APNS => {
                let (token, topic) = (&self.address, &self.topic);
                let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                if !PUSH_APNS_TOKEN_CHARS.contains(&token.len()) || !token.bytes().all(is_hex) {
                    return Err(bad("token is the device's of APNs, in hexadecimal"));
                }
                let is_name =
                    |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
                let is_topic = (1..=PUSH_TOPIC_BYTES_MAX).contains(&topic.len());
                if !is_topic || !topic.bytes().all(is_name) {
                    return Err(bad("topic is the app's id, as org.example.app"));
                }
            }
            other => return Err(unknown(other)),
        }
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let language = &self.language;
        if language.len() > PUSH_LANGUAGE_BYTES_MAX || !language.bytes().all(is_tag) {
            return Err(bad("language is a language tag, as ko or en-GB"));
        }
        Ok(())
    }
}

fn bad(what: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {what}"))
}

fn unknown(kind: &str) -> ApiError {
    let kind: String = kind.chars().take(32).collect();
    bad(&format!("kind is {WEB_PUSH}, {WEBHOOK}, {FCM} or {APNS}, not {kind:?}"))
}

/// Nothing is known of their form: what is of letters can't be taken for something else anywhere.
fn check_fcm_token(token: &str) -> Result<(), ApiError> {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte);
    let is_long_enough = (1..=PUSH_ADDRESS_BYTES_MAX).contains(&token.len());
    if is_long_enough && token.bytes().all(is_of_token) {
        return Ok(());
    }
    Err(bad("token is the app's registration token of FCM"))
}

fn no_secret() -> ApiError {
    bad("secret is whsec_ and 24 to 64 bytes as base64")
}

/// Browsers write it without padding; some libraries with it.
fn web_safe(field: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    bytes.map_err(|_| bad(&format!("{field} is base64url")))
}

/// The secret of a webhook, as its receiver is given it.
#[must_use]
pub fn webhook_secret_text(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret))
}

fn webhook_secret(text: &str) -> Result<Vec<u8>, ApiError> {
    let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text).ok());
    bytes.ok_or_else(no_secret)
}

/// `https`, with a host, and nothing in it that a log or a header could take for something else. To this machine itself plain
/// `http` will do.
pub(crate) fn check_address(field: &str, address: &str, bytes_max: usize) -> Result<(), ApiError> {
    if address.len() > bytes_max {
        let message = format!("the field {field} has more than {bytes_max} bytes");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    let no_url = || bad(&format!("{field} is an address, https://…"));
    let (rest, is_plain) = match address.strip_prefix("https://") {
        Some(rest) => (rest, false),
        None => (address.strip_prefix("http://").ok_or_else(no_url)?, true),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let is_printed = address.bytes().all(|byte| byte.is_ascii_graphic());
    let is_whole = is_printed && !host.is_empty() && !authority.contains(['@', '\\']);
    if !is_whole || address.contains('#') {
        return Err(no_url());
    }
    if is_plain && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Err(no_url());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn web_push(endpoint: &str, p256dh: &str, auth: &str) -> String {
        format!(
            r#"{{"id":1,"type":"push","kind":"webpush","endpoint":"{endpoint}","expirationTime":null,"keys":{{"p256dh":"{p256dh}","auth":"{auth}"}}}}"#
        )
    }

    #[test]
    fn what_a_browser_says_is_read_as_it_is() {
        let text = web_push("https://push.example.net/a?b=c", P256DH, AUTH);
        let Request::Push(push) = read(&text).expect("read") else { panic!("a push") };
        assert_eq!(push.address, "https://push.example.net/a?b=c");
        assert_eq!((push.p256dh.len(), push.secret.len()), (65, 16));
        assert!(!format!("{push:?}").contains("example"), "{push:?}");
        let padded = web_push("https://push.example.net/a", &format!("{P256DH}="), AUTH);
        assert!(read(&padded).is_ok());
    }

    #[test]
    fn a_webhook_has_a_secret() {
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        let hook = |url: &str, secret: &str| {
            Push::from_text(&format!(
                r#"{{"kind":"webhook","url":"{url}","secret":"{secret}","language":"ko","private":true}}"#
            ))
        };
        let push = hook("https://example.org/hook", &secret).expect("read");
        assert_eq!((&*push.secret, &*push.language, push.private), (&[7; 32][..], "ko", true));
        assert!(hook("http://127.0.0.1:7/hook", &secret).is_ok(), "this machine itself");
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for (url, secret) in [
            ("https://example.org/hook", short.as_str()),
            ("https://example.org/hook", "geheim"),
            ("http://example.org/hook", &secret),
            ("http://localhost.example.org/", &secret),
            ("ftp://example.org/", &secret),
            ("https://", &secret),
            ("https:///path", &secret),
            ("https://:7/", &secret),
            ("https://user@example.org/", &secret),
            ("https://example.org/#a", &secret),
            ("https://example.org/a b", &secret),
        ] {
            let error = hook(url, secret).expect_err(url);
            assert_eq!(error.code, ErrorCode::BadRequest, "{url}");
        }
        let long = format!("https://example.org/{}", "x".repeat(PUSH_ADDRESS_BYTES_MAX));
        assert_eq!(hook(&long, &secret).expect_err("long").code, ErrorCode::TooLong);
    }

    #[test]
    fn phones_have_tokens() {
        let fcm = Push::from_text(r#"{"kind":"fcm","token":"cGx:APA91b-_x"}"#).expect("read");
        assert_eq!((&*fcm.kind, &*fcm.address), (FCM, "cGx:APA91b-_x"));
        let apns = |token: &str, topic: &str| {
            let fields = format!(r#""token":"{token}","topic":"{topic}","sandbox":true"#);
            Push::from_text(&format!(r#"{{"kind":"apns",{fields}}}"#))
        };
        let push = apns(&"AB".repeat(32), "org.example.app").expect("read");
        assert_eq!((&*push.address, &*push.topic), (&*"ab".repeat(32), "org.example.app"));
        assert!(push.sandbox);
        let shown = serde_json::to_string(&PushShown::from(push)).expect("json");
        assert!(shown.contains(r#""topic":"org.example.app","sandbox":true"#), "{shown}");
        for (token, topic) in [
            (&*"ab".repeat(31), "org.example.app"),
            (&"xy".repeat(32), "org.example.app"),
            (&"ab".repeat(32), ""),
            (&"ab".repeat(32), "org/example"),
            (&"ab".repeat(32), &"x".repeat(PUSH_TOPIC_BYTES_MAX + 1)),
        ] {
            let error = apns(token, topic).expect_err(topic);
            assert_eq!(error.code, ErrorCode::BadRequest, "{token} {topic}");
        }
        for bad in [
            r#"{"kind":"fcm"}"#,
            r#"{"kind":"fcm","token":""}"#,
            r#"{"kind":"fcm","token":"a b"}"#,
            r#"{"kind":"fcm","token":"https://example.org/"}"#,
            r#"{"kind":"apns","topic":"org.example.app"}"#,
        ] {
            assert_eq!(Push::from_text(bad).expect_err(bad).code, ErrorCode::BadRequest, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for bad in [
            r#"{"id":1,"type":"push"}"#.to_owned(),
            r#"{"kind":"gcm","token":"x"}"#.to_owned(),
            r#"{"kind":"webpush","endpoint":"https://example.org/"}"#.to_owned(),
            r#"{"kind":"webhook","url":"https://example.org/"}"#.to_owned(),
            web_push("https://example.org/", AUTH, AUTH),
            web_push("https://example.org/", P256DH, P256DH),
            web_push("https://example.org/", "?", AUTH),
        ] {
            assert_eq!(read(&bad).expect_err(&bad).code, ErrorCode::BadRequest, "{bad}");
        }
        let tablet = read_unpush(r#"{"id":1,"type":"unpush","device":"tablet"}"#).expect("read");
        let device = Some(DeviceId::new("tablet").expect("id"));
        assert_eq!(tablet, Request::Unpush { device });
    }
}
