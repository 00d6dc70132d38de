//! Bytes in an export: hexadecimal, in lower case only. For serde's `with`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// The digits' bytes; `None` where they are none, or upper case: bytes have one form.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    ::hex::decode(digits).ok()
}

pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&::hex::encode(bytes))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let digits = String::deserialize(deserializer)?;
    bytes(&digits).ok_or_else(|| D::Error::custom("not hexadecimal"))
}

/// A number of 64 bits as 16 digits: a JSON number is not exact above 2^53 everywhere.
pub mod number {
    use super::{Deserialize, Deserializer, Error, Serializer};

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(&number.to_be_bytes(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = String::deserialize(deserializer)?;
        super::bytes(&digits)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes)
            .ok_or_else(|| D::Error::custom("not 16 hexadecimal digits"))
    }
}

/// Bytes that are mostly text: `{"text": …}` where they are, else `{"hex": …}`.
pub mod or_text {
    use bytes::Bytes;

    use super::{Deserialize, Deserializer, Serializer};

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        Text(String),
        #[serde(with = "super")]
        Hex(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.to_owned()),
            Err(_) => Form::Hex(bytes.to_vec()),
        };
        serde::Serialize::serialize(&form, serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => text.into(),
            Form::Hex(bytes) => bytes.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes(&::hex::encode(&all)), Some(all));
        assert_eq!(::hex::encode([0x0a, 0xff]), "0aff");
        for bad in ["0", "0g", "0A", " 0", "é"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }
}
