//! Client ids as a client makes them.

use crate::socket::now_ms;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A fresh ULID, stamped now.
pub fn fresh() -> String {
    at(now_ms())
}

/// A fresh ULID, stamped with a Unix time in milliseconds.
pub fn at(time_ms: u64) -> String {
    let random = rand::random::<u128>() >> 48;
    let bits = (u128::from(time_ms) << 80) | random;
    (0..26).rev().map(|i| ALPHABET[((bits >> (5 * i)) & 31) as usize] as char).collect()
}

/// A fresh UUIDv7, stamped with a Unix time in milliseconds.
pub fn uuid_at(time_ms: u64) -> String {
    let random = rand::random::<u128>();
    let (high, low) = (random >> 116, random & ((1 << 62) - 1));
    let bits = (u128::from(time_ms) << 80) | (7 << 76) | (high << 64) | (2 << 62) | low;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_have_their_published_form() {
        let ulid = super::at(1_469_922_850_259);
        assert_eq!((ulid.len(), &ulid[..10]), (26, "01ARZ3NDEK"));
        let uuid = super::uuid_at(0x017f_22e2_79b0);
        assert_eq!((uuid.len(), &uuid[..15]), (36, "017f22e2-79b0-7"));
        assert!(weft_proto::ClientId::parse(&ulid).is_ok());
        assert!(weft_proto::ClientId::parse(&uuid).is_ok());
    }
}
