//! How each kind of gateway is asked: what a request to it is, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weft_outbound::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use weft_outbound::{Connections, IpNet, Method, Options, Outbound, Request, Roots, Rules, Url};
use weft_proto::frame::{APNS, FCM, WEB_PUSH, WEBHOOK};
use weft_proto::svc::Push;
use weft_runtime::Clock;

use crate::answer::{self, Answer, retry_after};
use crate::apns::{self, Apns, ApnsOptions};
use crate::error::Error;
use crate::fcm::{self, Fcm, FcmOptions};
use crate::message::{Message, TRIED_FOR};
use crate::metrics::DURATION;
use crate::web_push::{self, Vapid};
use crate::webhook;

/// How long a gateway may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is needed to ask them.
pub(crate) struct SenderOptions {
    pub(crate) vapid: Vapid,
    pub(crate) fcm: Option<FcmOptions>,
    pub(crate) apns: Option<ApnsOptions>,
    /// These addresses may be asked beside public ones.
    pub(crate) allowed: Vec<IpNet>,
    /// Authorities of their certificates, beside the machine's.
    pub(crate) roots: Roots,
}

pub(crate) struct Senders {
    clock: Arc<dyn Clock>,
    /// Of addresses that people name.
    outbound: Outbound,
    vapid: Vapid,
    fcm: Option<Fcm>,
    apns: Option<(Apns, Outbound)>,
}

/// Where a device is notified.
pub(crate) struct Place {
    url: Url,
    /// Its gateway's name: those of one share what it does to them.
    pub(crate) gateway: String,
}

impl Senders {
    pub(crate) fn new(options: SenderOptions, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let SenderOptions { vapid, fcm, apns, allowed, roots } = options;
        let client = |rules, connections| {
            Outbound::new(Options {
                rules,
                redirects_max: 0,
                patience: PATIENCE,
                user_agent: format!("weft-push/{}", env!("CARGO_PKG_VERSION")),
                roots: roots.clone(),
                connections,
            })
        };
        let of_people = Rules { allowed, ..Rules::default() };
        let outbound = client(of_people, Connections::Short)?;
        let fcm = match fcm {
            Some(options) => {
                let outbound = client(Rules::of_the_operator(), Connections::Kept)?;
                Some(Fcm::read(&options, outbound)?)
            }
            None => None,
        };
        let apns = match apns {
            Some(options) => {
                let outbound = client(Rules::of_the_operator(), Connections::KeptHttp2)?;
                Some((Apns::read(&options)?, outbound))
            }
            None => None,
        };
        Ok(Self { clock, outbound, vapid, fcm, apns })
    }

    /// The kinds of gateways that it can ask.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let fcm = self.fcm.is_some().then_some(FCM);
        let apns = self.apns.is_some().then_some(APNS);
        let kinds = [Some(WEB_PUSH), Some(WEBHOOK), fcm, apns];
        kinds.into_iter().flatten().map(str::to_owned).collect()
    }

    /// Where a device is notified; else why it can't be.
    pub(crate) fn place(&self, push: &Push) -> Result<Place, String> {
        let none = || format!("this node has no credentials of {}", push.kind);
        let (of, url) = match &*push.kind {
            FCM => ("fcm ", self.fcm.as_ref().ok_or_else(none)?.url()),
            APNS => {
                let (apns, _) = self.apns.as_ref().ok_or_else(none)?;
                ("apns ", apns.url(push).ok_or("the device has no address")?)
            }
            _ => ("", self.outbound.check(&push.address).map_err(|error| error.to_string())?),
        };
        let gateway = format!("{of}{}", url.origin().ascii_serialization());
        Ok(Place { url, gateway })
    }

    /// Asks a device's gateway.
    pub(crate) async fn send(&self, message: &Message<'_>, push: &Push, place: Place) -> Answer {
        let now_s = self.clock.now_ms() / 1_000;
        let cant = || Answer::Refused("the notification can't be made for the device".to_owned());
        let (outbound, request, answer_bytes_max) = match (&*push.kind, &self.fcm, &self.apns) {
            (FCM, Some(fcm), _) => match fcm.request(message, push, now_s).await {
                Ok(request) => (fcm.outbound(), request, fcm::ANSWER_BYTES_MAX),
                Err(instead) => return instead,
            },
            (APNS, _, Some((apns, outbound))) => {
                let request = apns.request(message, push, place.url, now_s);
                let Some(request) = request else { return cant() };
                (outbound, request, apns::ANSWER_BYTES_MAX)
            }
            _ => {
                let request = self.request_of_people(message, push, place.url, now_s);
                let Some(request) = request else { return cant() };
                (&self.outbound, request, 0)
            }
        };
        let began_at = Instant::now();
        let said = ask(outbound, request, answer_bytes_max, self.clock.now_ms()).await;
        DURATION.record(began_at.elapsed().as_secs_f64());
        let (status, after, body) = match said {
            Ok(said) => said,
            Err(
                error @ (weft_outbound::Error::Url(_)
                | weft_outbound::Error::HostRefused
                | weft_outbound::Error::NotPublic),
            ) => return Answer::Refused(error.to_string()),
            Err(error) => return Answer::failed(error.to_string(), None),
        };
        match (&*push.kind, &self.fcm, &self.apns) {
            (FCM, Some(fcm), _) => fcm.answer(status, after, &body).await,
            (APNS, _, Some((apns, _))) => apns.answer(status, after, &body),
            _ => answer::read(status, after),
        }
    }

    /// A request to what its user has named. `None`: it can't be made.
    fn request_of_people(
        &self,
        message: &Message<'_>,
        push: &Push,
        url: Url,
        now_s: u64,
    ) -> Option<Request> {
        let Message::Notification { id, told, first } = message else { return None };
        let text = serde_json::to_vec(told).ok()?;
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
            Some(())
        };
        let body: Bytes = match &*push.kind {
            WEB_PUSH => {
                let origin = url.origin().ascii_serialization();
                set(AUTHORIZATION, &self.vapid.authorization(&origin, now_s).ok()?)?;
                set(CONTENT_ENCODING, "aes128gcm")?;
                set(CONTENT_TYPE, "application/octet-stream")?;
                set(HeaderName::from_static("ttl"), &TRIED_FOR.as_secs().to_string())?;
                set(HeaderName::from_static("urgency"), if *first { "high" } else { "normal" })?;
                // What is said to the user alone is not replaced by what others say in the room.
                let of_room = web_push::topic(&told.tag);
                let topic = if *first { *id } else { of_room.as_str() };
                set(HeaderName::from_static("topic"), topic)?;
                web_push::encrypt(&push.p256dh, &push.secret, &text)?.into()
            }
            WEBHOOK => {
                let signature = webhook::signature(&push.secret, id, now_s, &text);
                set(CONTENT_TYPE, "application/json")?;
                set(HeaderName::from_static(webhook::ID), id)?;
                set(HeaderName::from_static(webhook::TIMESTAMP), &now_s.to_string())?;
                set(HeaderName::from_static(webhook::SIGNATURE), &signature)?;
                text.into()
            }
            _ => return None,
        };
        Some(Request { method: Method::POST, url, headers, body })
    }
}

/// Status, `Retry-After`, and the first bytes of the body, where they are wanted.
async fn ask(
    outbound: &Outbound,
    request: Request,
    bytes_max: usize,
    now_ms: u64,
) -> Result<(u16, Option<Duration>, Vec<u8>), weft_outbound::Error> {
    let answer = outbound.send(request).await?;
    let status = answer.status().as_u16();
    let after = answer.headers().get(RETRY_AFTER).and_then(|it| retry_after(it, now_ms));
    let bytes = match bytes_max {
        0 => Vec::new(),
        // That it was taken, the status says: a body that breaks off changes nothing.
        _ if answer.status().is_success() => {
            let _ = answer.read(bytes_max).await;
            Vec::new()
        }
        _ => answer.read(bytes_max).await?.bytes,
    };
    Ok((status, after, bytes))
}

#[cfg(test)]
mod tests {
    use weft_runtime::SystemClock;

    use super::*;

    #[test]
    fn who_has_no_credentials_says_so() {
        let vapid = Vapid::read(&Vapid::make_key().expect("a key"), String::new());
        let options = SenderOptions {
            vapid: vapid.expect("read"),
            fcm: None,
            apns: None,
            allowed: Vec::new(),
            roots: Roots::default(),
        };
        let senders = Senders::new(options, Arc::new(SystemClock)).expect("made");
        assert_eq!(senders.kinds(), [WEB_PUSH, WEBHOOK]);
        let push = |kind: &str| Push { kind: kind.into(), ..Push::default() };
        for kind in [FCM, APNS] {
            let error = senders.place(&push(kind)).err().expect("no place");
            assert!(error.contains(kind), "{error}");
        }
    }
}
