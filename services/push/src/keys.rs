//! Keys in files, and the tokens (JWT) that are signed by them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde::Serialize;

/// What a PEM file of one private key (PKCS #8) has in it.
pub(crate) fn document(pem: &str) -> Option<Vec<u8>> {
    let text: String =
        pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    STANDARD.decode(text).ok()
}

/// A key of P-256, as PEM (PKCS #8); else what is wrong with it.
pub(crate) fn p256(pem: &str) -> Result<EcdsaKeyPair, &'static str> {
    let document = document(pem).ok_or("it is no PEM file")?;
    let random = SystemRandom::new();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document, &random)
        .map_err(|_| "it is no key of P-256 in PKCS #8")
}

/// A token with these claims. `None`: nothing is signed.
pub(crate) fn token(
    head: &impl Serialize,
    claims: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Option<String> {
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let (head, claims) = (serde_json::to_vec(head).ok()?, serde_json::to_vec(claims).ok()?);
    let signed = format!("{}.{}", part(head), part(claims));
    let signature = part(sign(signed.as_bytes())?);
    Some(format!("{signed}.{signature}"))
}

/// The same with a key of P-256.
pub(crate) fn es256_token(
    key: &EcdsaKeyPair,
    head: &impl Serialize,
    claims: &impl Serialize,
) -> Option<String> {
    let sign = |bytes: &[u8]| {
        let signature = key.sign(&SystemRandom::new(), bytes).ok()?;
        Some(signature.as_ref().to_vec())
    };
    token(head, claims, sign)
}
