//! The request to a webhook, as Standard Webhooks has it: signed over its id, its time and its body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

pub const ID: &str = "webhook-id";
pub const TIMESTAMP: &str = "webhook-timestamp";
pub const SIGNATURE: &str = "webhook-signature";

/// The value of [`SIGNATURE`]. `time_s`: Unix seconds, as of [`TIMESTAMP`].
#[must_use]
pub fn signature(secret: &[u8], id: &str, time_s: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{time_s}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// The same with several secrets, while one takes the place of another: the receiver takes any that it knows.
#[must_use]
pub fn signatures(secrets: &[Vec<u8>], id: &str, time_s: u64, body: &[u8]) -> String {
    let all = secrets.iter().map(|secret| signature(secret, id, time_s, body));
    all.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_published_example_does() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let made = signature(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
