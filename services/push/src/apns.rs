//! The request to the Apple Push Notification service, over HTTP/2, and who asks (a token that is signed by a key of the team).
//! Documentation: "Sending notification requests to APNs", and "Establishing a token-based connection to APNs".

use std::sync::Mutex;
use std::time::Duration;

use ring::digest;
use ring::signature::EcdsaKeyPair;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use weft_outbound::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use weft_outbound::{Method, Request, Url};
use weft_proto::svc::Push;
use weft_runtime::lock;

use crate::answer::{Answer, read_failure, word};
use crate::error::Error;
use crate::keys;
use crate::message::{Message, TRIED_FOR, text_of};

const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";
/// A token is good for an hour, and nobody may have a new one more often than every 20 minutes.
const TOKEN_KEPT: Duration = Duration::from_secs(40 * 60);
const TOKEN_KEPT_MIN: Duration = Duration::from_secs(20 * 60);
/// Ids of keys and teams have ten characters.
const ID_CHARS: usize = 10;
/// Longest body that it takes.
const BODY_BYTES_MAX: usize = 4_096;
/// Longest answer that is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 4_096;

/// How APNs is asked.
#[derive(Clone)]
pub struct ApnsOptions {
    /// The key of the team, as PEM (`AuthKey_….p8`).
    pub key: String,
    pub key_id: String,
    pub team: String,
    /// Another address than Apple's, for both kinds of devices.
    pub url: Option<String>,
}

pub(crate) struct Apns {
    production: Url,
    sandbox: Url,
    key: EcdsaKeyPair,
    key_id: String,
    team: String,
    token: Mutex<Option<Token>>,
}

struct Token {
    text: String,
    made_at: Instant,
}

impl Apns {
    pub(crate) fn read(options: &ApnsOptions) -> Result<Self, Error> {
        let ApnsOptions { key, key_id, team, url } = options;
        let key = keys::p256(key).map_err(|what| Error::Apns(what.to_owned()))?;
        let is_id =
            |id: &str| id.len() == ID_CHARS && id.bytes().all(|it| it.is_ascii_alphanumeric());
        for (what, id) in [("key", key_id), ("team", team)] {
            if !is_id(id) {
                return Err(Error::Apns(format!(
                    "the id of the {what} has ten letters and digits"
                )));
            }
        }
        let address = |own: &str| {
            let url = url.as_deref().unwrap_or(own);
            Url::parse(url).map_err(|_| Error::Apns("its address is none".to_owned()))
        };
        let (production, sandbox) = (address(PRODUCTION)?, address(SANDBOX)?);
        let (key_id, team) = (key_id.clone(), team.clone());
        Ok(Self { production, sandbox, key, key_id, team, token: Mutex::new(None) })
    }

    /// Where the requests for a device go.
    pub(crate) fn url(&self, push: &Push) -> Option<Url> {
        let base = if push.sandbox { &self.sandbox } else { &self.production };
        base.join(&format!("/3/device/{}", push.address)).ok()
    }

    /// Who asks: the same for a while. `now_s`: Unix seconds.
    fn authorization(&self, now_s: u64) -> Option<String> {
        let mut token = lock(&self.token);
        if let Some(token) = token.as_ref().filter(|it| it.made_at.elapsed() < TOKEN_KEPT) {
            return Some(token.text.clone());
        }
        let head = json!({ "alg": "ES256", "kid": self.key_id });
        let claims = json!({ "iss": self.team, "iat": now_s });
        let text = format!("bearer {}", keys::es256_token(&self.key, &head, &claims)?);
        *token = Some(Token { text: text.clone(), made_at: Instant::now() });
        Some(text)
    }

    /// The next request has another token, where that is allowed.
    fn renew(&self) {
        let mut token = lock(&self.token);
        token.take_if(|it| it.made_at.elapsed() >= TOKEN_KEPT_MIN);
    }

    /// `None`: it can't be made.
    pub(crate) fn request(
        &self,
        message: &Message<'_>,
        push: &Push,
        url: Url,
        now_s: u64,
    ) -> Option<Request> {
        let body = serde_json::to_vec(&payload(message)).ok()?;
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
        let expires_s = now_s + TRIED_FOR.as_secs();
        let priority = if message.is_urgent() { "10" } else { "5" };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&self.authorization(now_s)?).ok()?);
        for (name, value) in [
            ("apns-topic", push.topic.as_str()),
            ("apns-push-type", "alert"),
            ("apns-priority", priority),
            ("apns-expiration", &expires_s.to_string()),
            // What comes twice has one id, and is shown once.
            ("apns-id", &uuid_of(message.id())),
            ("apns-collapse-id", message.id()),
        ] {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(Request { method: Method::POST, url, headers, body: body.into() })
    }

    pub(crate) fn answer(&self, status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
        let answer = read(status, after, body);
        if matches!(&answer, Answer::Failed { reason, .. } if reason.contains("Token")) {
            self.renew();
        }
        answer
    }
}

/// With `aps`, which the system reads, and `weft`, which the app does.
pub(crate) fn payload(message: &Message<'_>) -> Value {
    let aps = match message {
        Message::Notification { told, .. } => json!({
            "alert": { "title": told.title, "body": told.body },
            "badge": told.badge,
            "sound": "default",
            "thread-id": told.tag,
            "mutable-content": 1,
        }),
        // Without a text nothing is shown: the badge is set, and the app may take away what it has shown.
        Message::Clear { clear, .. } => json!({ "badge": clear.badge, "content-available": 1 }),
    };
    json!({ "aps": aps, "weft": text_of(message) })
}

/// The name of a message, as APNs has it.
fn uuid_of(id: &str) -> String {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    let hex: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn read(status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
    #[derive(Deserialize, Default)]
    struct Said {
        #[serde(default)]
        reason: String,
    }
    if status == 200 {
        return Answer::Delivered;
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let reason = format!("status {status} {}", word(&said.reason)).trim_end().to_owned();
    match &*said.reason {
        "BadDeviceToken" | "DeviceTokenNotForTopic" | "Unregistered" | "ExpiredToken" => {
            Answer::Gone
        }
        // Of who asks, not of whom it is for: an operator mends it, and nothing is lost meanwhile.
        "ExpiredProviderToken"
        | "InvalidProviderToken"
        | "MissingProviderToken"
        | "Forbidden"
        | "BadCertificate"
        | "BadCertificateEnvironment" => Answer::failed(reason, after),
        _ => read_failure(status, reason, after),
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, UnparsedPublicKey};

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::message::Clear;
    use crate::web_push::Vapid;

    fn options() -> ApnsOptions {
        ApnsOptions {
            key: Vapid::make_key().expect("a key"),
            key_id: "ABC123DEFG".into(),
            team: "TEAM123456".into(),
            url: None,
        }
    }

    fn claims(apns: &Apns, value: &str) -> Value {
        let token = value.strip_prefix("bearer ").expect("a token");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, apns.key.public_key());
        verifier.verify(signed.as_bytes(), &decode(signature)).expect("it is signed");
        let (head, claims) = signed.split_once('.').expect("claims");
        let head: Value = serde_json::from_slice(&decode(head)).expect("json");
        assert_eq!(head, json!({ "alg": "ES256", "kid": "ABC123DEFG" }));
        serde_json::from_slice(&decode(claims)).expect("json")
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_for_longer_than_20_minutes_and_less_than_an_hour() {
        let apns = Apns::read(&options()).expect("read");
        let first = apns.authorization(1_000).expect("a token");
        assert_eq!(claims(&apns, &first), json!({ "iss": "TEAM123456", "iat": 1_000 }));
        tokio::time::advance(TOKEN_KEPT_MIN - Duration::from_secs(1)).await;
        let said = apns.answer(403, None, br#"{"reason":"ExpiredProviderToken"}"#);
        assert_eq!(said, Answer::failed("status 403 ExpiredProviderToken", None));
        assert_eq!(apns.authorization(2_000).expect("a token"), first, "a new one is refused");
        tokio::time::advance(Duration::from_secs(1)).await;
        apns.answer(403, None, br#"{"reason":"ExpiredProviderToken"}"#);
        let second = apns.authorization(3_000).expect("a token");
        assert_eq!(claims(&apns, &second)["iat"], 3_000);
        tokio::time::advance(TOKEN_KEPT).await;
        assert_eq!(claims(&apns, &apns.authorization(4_000).expect("a token"))["iat"], 4_000);
    }

    #[test]
    fn what_it_says_is_of_the_device_or_of_who_asks() {
        let said = |status, reason: &str| {
            read(status, None, json!({ "reason": reason }).to_string().as_bytes())
        };
        assert_eq!(read(200, None, b""), Answer::Delivered);
        for (status, reason) in
            [(410, "Unregistered"), (400, "BadDeviceToken"), (400, "DeviceTokenNotForTopic")]
        {
            assert_eq!(said(status, reason), Answer::Gone, "{reason}");
        }
        let limited = Answer::limited("status 429 TooManyRequests", None);
        assert_eq!(said(429, "TooManyRequests"), limited);
        for (status, reason) in
            [(403, "InvalidProviderToken"), (500, "InternalServerError"), (503, "Shutdown")]
        {
            let failed = Answer::failed(format!("status {status} {reason}"), None);
            assert_eq!(said(status, reason), failed);
        }
        let refused = Answer::Refused("status 400 TopicDisallowed".into());
        assert_eq!(said(400, "TopicDisallowed"), refused);
        assert_eq!(read(404, None, b"<html>"), Answer::Refused("status 404".into()));
    }

    #[test]
    fn devices_of_the_sandbox_are_asked_there() {
        let apns = Apns::read(&options()).expect("read");
        let push = |sandbox| Push { address: "ab12".into(), sandbox, ..Push::default() };
        let url = |sandbox| apns.url(&push(sandbox)).expect("a url").to_string();
        assert_eq!(url(false), "https://api.push.apple.com/3/device/ab12");
        assert_eq!(url(true), "https://api.sandbox.push.apple.com/3/device/ab12");
    }

    #[test]
    fn a_clear_shows_nothing() {
        let clear = Clear { r#type: "clear", tag: Some("team".into()), badge: 2 };
        let made = payload(&Message::Clear { id: "x", clear: &clear });
        assert_eq!(made["aps"], json!({ "badge": 2, "content-available": 1 }));
        assert_eq!(made["weft"], json!({ "type": "clear", "tag": "team", "badge": 2 }));
    }

    #[test]
    fn credentials_say_what_is_wrong_with_them() {
        for (change, expected) in [
            (ApnsOptions { key: "x y".into(), ..options() }, "PEM"),
            (ApnsOptions { key_id: "short".into(), ..options() }, "id of the key"),
            (ApnsOptions { team: "TEAM-12345".into(), ..options() }, "id of the team"),
            (ApnsOptions { url: Some("nowhere".into()), ..options() }, "address"),
        ] {
            let error = Apns::read(&change).err().expect("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let uuid = uuid_of("bob/phone/team/7");
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!((lengths, uuid == uuid_of("other")), (vec![8, 4, 4, 4, 12], false));
    }
}
