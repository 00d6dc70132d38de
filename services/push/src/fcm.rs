//! The request to Firebase Cloud Messaging (HTTP v1), and who asks: a token of OAuth 2.0 that a service account is granted (RFC 7523).
//! Documentation: "Method: projects.messages.send", "ErrorCode", and "Using OAuth 2.0 for Server to Server Applications".

use std::time::Duration;

use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use weft_outbound::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use weft_outbound::{Method, Outbound, Request, Url};
use weft_proto::svc::Push;

use crate::answer::{Answer, read_failure, word};
use crate::apns;
use crate::error::Error;
use crate::keys;
use crate::message::{Message, TRIED_FOR, text_of};

/// Where it is.
pub const FCM_URL: &str = "https://fcm.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// For how long a token is asked for: no more is granted.
const LIFE: Duration = Duration::from_secs(3_600);
/// A token is not used in the last part of its life.
const LIFE_LEFT_MIN: Duration = Duration::from_secs(300);
/// After a grant has failed nobody asks for another one for so long.
const FAILED_FOR: Duration = Duration::from_secs(5);
const GRANT_BYTES_MAX: usize = 65_536;
/// Longest answer that is read.
pub(crate) const ANSWER_BYTES_MAX: usize = 65_536;
/// Longest text of the data and the notification that it takes.
const BODY_BYTES_MAX: usize = 4_096;

/// How FCM is asked.
#[derive(Clone)]
pub struct FcmOptions {
    /// The file of a service account, as Google gives it (JSON).
    pub credentials: String,
    /// [`FCM_URL`], or another one.
    pub url: String,
}

/// What is needed of the file.
#[derive(Deserialize)]
struct ServiceAccount {
    r#type: String,
    project_id: String,
    #[serde(default)]
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

pub(crate) struct Fcm {
    outbound: Outbound,
    url: Url,
    token_url: Url,
    key: RsaKeyPair,
    key_id: String,
    email: String,
    /// Whoever asks for one has it: the others wait for that one.
    granted: Mutex<Granted>,
}

#[derive(Clone)]
enum Granted {
    Token { text: String, until: Instant },
    Failed { reason: String, until: Instant },
    Nothing,
}

impl Fcm {
    pub(crate) fn read(options: &FcmOptions, outbound: Outbound) -> Result<Self, Error> {
        let wrong = |what: String| Error::Fcm(what);
        let account: ServiceAccount = serde_json::from_str(&options.credentials)
            // Its text is not said: the key may be in it.
            .map_err(|error| {
                wrong(match error.classify() {
                    serde_json::error::Category::Data => {
                        format!(
                            "a field of a service account is missing, or is none: {}",
                            field_of(&error)
                        )
                    }
                    _ => "it is no JSON file".to_owned(),
                })
            })?;
        if account.r#type != "service_account" {
            return Err(wrong(format!(
                "it is of type {:?}, not service_account",
                word(&account.r#type)
            )));
        }
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let project = &account.project_id;
        if project.is_empty() || !project.bytes().all(is_id) {
            return Err(wrong("its project_id is none".to_owned()));
        }
        let key = keys::document(&account.private_key);
        let key = key.and_then(|key| RsaKeyPair::from_pkcs8(&key).ok());
        let key =
            key.ok_or_else(|| wrong("its private_key is no RSA key in PKCS #8".to_owned()))?;
        let path = format!("/v1/projects/{project}/messages:send");
        let url = Url::parse(&options.url).and_then(|url| url.join(&path));
        let url = url.map_err(|_| wrong("the address of FCM is none".to_owned()))?;
        let token_url = Url::parse(&account.token_uri);
        let token_url = token_url.map_err(|_| wrong("its token_uri is no address".to_owned()))?;
        let (key_id, email) = (account.private_key_id, account.client_email);
        let granted = Mutex::new(Granted::Nothing);
        Ok(Self { outbound, url, token_url, key, key_id, email, granted })
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    /// The token of who asks; else why there is none. `now_s`: Unix seconds.
    async fn authorization(&self, now_s: u64) -> Result<String, String> {
        let mut granted = self.granted.lock().await;
        match &*granted {
            Granted::Token { text, until } if *until > Instant::now() => return Ok(text.clone()),
            Granted::Failed { reason, until } if *until > Instant::now() => {
                return Err(reason.clone());
            }
            _ => {}
        }
        let asked = self.grant(now_s).await;
        *granted = match &asked {
            Ok((text, life)) => {
                let until = Instant::now() + life.saturating_sub(LIFE_LEFT_MIN);
                Granted::Token { text: text.clone(), until }
            }
            Err(reason) => {
                tracing::error!(reason, "FCM grants no token: nobody is notified by it");
                Granted::Failed { reason: reason.clone(), until: Instant::now() + FAILED_FOR }
            }
        };
        asked.map(|(text, _)| text)
    }

    async fn grant(&self, now_s: u64) -> Result<(String, Duration), String> {
        #[derive(Deserialize)]
        struct Grant {
            access_token: String,
            expires_in: u64,
        }
        let request = self.grant_request(now_s).ok_or("no token can be signed")?;
        let failed = |error: weft_outbound::Error| format!("the grant of a token: {error}");
        let answer = self.outbound.send(request).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = answer.read(GRANT_BYTES_MAX).await.map_err(failed)?;
        if status != 200 {
            return Err(format!("the grant of a token: status {status}"));
        }
        let grant: Grant = serde_json::from_slice(&body.bytes)
            .map_err(|_| "the grant of a token: the answer has none".to_owned())?;
        Ok((grant.access_token, Duration::from_secs(grant.expires_in).min(LIFE)))
    }

    fn grant_request(&self, now_s: u64) -> Option<Request> {
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url.as_str(),
            "iat": now_s,
            "exp": now_s + LIFE.as_secs(),
        });
        let sign = |bytes: &[u8]| {
            let mut signature = vec![0; self.key.public().modulus_len()];
            let random = SystemRandom::new();
            self.key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).ok()?;
            Some(signature)
        };
        let assertion = keys::token(&head, &claims, sign)?;
        // Nothing in a token has to be escaped.
        let body = format!("grant_type={}&assertion={assertion}", GRANT.replace(':', "%3A"));
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form);
        let (method, url) = (Method::POST, self.token_url.clone());
        Some(Request { method, url, headers, body: body.into() })
    }

    /// `Err`: what comes of it instead.
    pub(crate) async fn request(
        &self,
        message: &Message<'_>,
        push: &Push,
        now_s: u64,
    ) -> Result<Request, Answer> {
        let body = body(message, push)
            .ok_or_else(|| Answer::Refused("the notification is too long".to_owned()))?;
        let token = self.authorization(now_s).await;
        let token = token.map_err(|reason| Answer::failed(reason, None))?;
        let token = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut token = token.map_err(|_| Answer::failed("its token is none", None))?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, token);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Request { method: Method::POST, url: self.url(), headers, body })
    }

    pub(crate) async fn answer(&self, status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
        if status == 401 {
            let mut granted = self.granted.lock().await;
            if matches!(&*granted, Granted::Token { .. }) {
                *granted = Granted::Nothing;
            }
        }
        read(status, after, body)
    }
}

/// What an error of serde says of a field, and nothing else: `private_key`.
fn field_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split('`').nth(1).map(word).unwrap_or_default()
}

/// What the app reads is one text, `data.weft`, since FCM keeps some names of data for itself (`from`).
fn body(message: &Message<'_>, push: &Push) -> Option<Bytes> {
    let data = json!({ "weft": text_of(message).to_string() });
    let ttl = format!("{}s", TRIED_FOR.as_secs());
    let priority = if message.is_urgent() { "10" } else { "5" };
    let mut apns = apns::payload(message);
    // FCM adds the data by itself.
    apns.as_object_mut()?.remove("weft");
    let apns = json!({
        "headers": {
            "apns-push-type": "alert",
            "apns-priority": priority,
            "apns-collapse-id": message.id(),
        },
        "payload": apns,
    });
    let mut made = json!({ "token": push.address, "data": data, "apns": apns });
    made["android"] = match message {
        Message::Notification { told, .. } => {
            let notification = json!({ "title": told.title, "body": told.body });
            made["notification"] = notification;
            let priority = if message.is_urgent() { "HIGH" } else { "NORMAL" };
            // A tag is shown once. A collapse_key would do so on the way, too, but a device has no more than four of them.
            json!({ "priority": priority, "ttl": ttl, "notification": { "tag": told.tag } })
        }
        Message::Clear { .. } => json!({ "priority": "NORMAL", "ttl": ttl }),
    };
    let length = [&made["data"], &made["notification"]].map(|part| part.to_string().len());
    let made: Value = json!({ "message": made });
    (length.iter().sum::<usize>() <= BODY_BYTES_MAX).then(|| made.to_string().into())
}

fn read(status: u16, after: Option<Duration>, body: &[u8]) -> Answer {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Failure {
        error: Said,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Said {
        status: String,
        details: Vec<Detail>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Detail {
        error_code: String,
        field_violations: Vec<Violation>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Violation {
        field: String,
    }
    if (200..=299).contains(&status) {
        return Answer::Delivered;
    }
    let Failure { error } = serde_json::from_slice(body).unwrap_or_default();
    let codes = error.details.iter().map(|it| it.error_code.as_str());
    let code = codes.into_iter().find(|code| !code.is_empty()).unwrap_or(&error.status);
    let mut violations = error.details.iter().flat_map(|it| &it.field_violations);
    let is_of_token = violations.any(|it| it.field == "message.token");
    let reason = format!("status {status} {}", word(code)).trim_end().to_owned();
    match code {
        "UNREGISTERED" | "SENDER_ID_MISMATCH" => Answer::Gone,
        "INVALID_ARGUMENT" if is_of_token => Answer::Gone,
        "QUOTA_EXCEEDED" => Answer::limited(reason, after),
        // Of who asks, not of whom it is for: an operator mends it, and nothing is lost meanwhile.
        "UNAUTHENTICATED" | "THIRD_PARTY_AUTH_ERROR" | "PERMISSION_DENIED" | "NOT_FOUND" => {
            Answer::failed(reason, after)
        }
        _ if matches!(status, 401 | 403 | 404) => Answer::failed(reason, after),
        _ => read_failure(status, reason, after),
    }
}

#[cfg(test)]
mod tests;
