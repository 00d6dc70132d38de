//! Keys in the form of NATS: letters that say what a key is for, and a check sum.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};

/// What the first letter of an account's public key, `A`, is made of.
pub(super) const ACCOUNT: u8 = 0;
/// The same of a user's, `U`.
const USER: u8 = 20 << 3;
const KEY_BYTES: usize = 32;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// True for a user's public key.
#[must_use]
pub fn is_user_key(text: &str) -> bool {
    decode(text).is_some_and(|(prefix, _)| prefix == USER)
}

/// A user's public key, of its 32 bytes.
#[must_use]
pub fn user_key(key: &[u8]) -> String {
    encode(USER, key)
}

/// Whether the holder of a user's key has signed this.
pub(super) fn has_signed(key: &str, signed: &[u8], signature: &str) -> bool {
    let Some((USER, key)) = decode(key) else { return false };
    // Clients write it either way.
    let signature = URL_SAFE_NO_PAD
        .decode(signature.trim_end_matches('='))
        .or_else(|_| STANDARD_NO_PAD.decode(signature.trim_end_matches('=')));
    let Ok(signature) = signature else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(signed, &signature).is_ok()
}

/// An nkey: prefix, key and check sum in base 32.
pub(super) fn encode(prefix: u8, key: &[u8]) -> String {
    let mut bytes = vec![prefix];
    bytes.extend_from_slice(key);
    bytes.extend(crc16(&bytes).to_le_bytes());
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(BASE32[((bits >> count) & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(BASE32[((bits << (5 - count)) & 31) as usize]));
    }
    text
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}

/// Prefix and key.
fn decode(text: &str) -> Option<(u8, [u8; KEY_BYTES])> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let digit = BASE32.iter().position(|it| *it == letter)?;
        bits = (bits << 5) | u32::try_from(digit).ok()?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 255) as u8);
        }
        bits &= (1 << count) - 1;
    }
    let (body, sum) = bytes.split_at_checked(KEY_BYTES + 1)?;
    if sum != crc16(body).to_le_bytes() {
        return None;
    }
    Some((body[0], body[1..].try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let key = [9; KEY_BYTES];
        let text = encode(USER, &key);
        assert!(text.starts_with('U') && is_user_key(&text), "{text}");
        assert_eq!(decode(&text), Some((USER, key)));
        assert!(!is_user_key(&encode(ACCOUNT, &key)));
        for bad in ["", "U", &text[1..], &text.to_lowercase(), &format!("{text}AAAA")] {
            assert!(!is_user_key(bad), "{bad}");
        }
    }

    #[test]
    fn a_signature_is_of_the_key_and_of_what_was_signed() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("seed");
        let key = encode(USER, pair.public_key().as_ref());
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(b"nonce"));
        assert!(has_signed(&key, b"nonce", &signature));
        assert!(!has_signed(&key, b"other", &signature));
        assert!(!has_signed(&encode(USER, &[9; 32]), b"nonce", &signature));
        assert!(!has_signed(&key, b"nonce", "x"));
    }
}
