//! Addresses that are good by themselves for an hour or two: whoever has one may read the file, as long as its
//! time lasts. A browser can show it, a cache can keep it, and no token is in it.
//!
//! Its end is that of the next hour but one, so the same file has the same address for an hour.

use std::fmt;
use std::fmt::Write as _;

use jsonwebtoken::crypto::{sign, verify};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use weft_proto::FileId;

/// For how long an address stays the same, in seconds.
pub const WINDOW_S: u64 = 3_600;

/// What may stay as it is in a part of an address.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Variant {
    /// As they were uploaded, but for metadata.
    Original,
    Small,
    Medium,
}

impl Variant {
    pub const ALL: [Self; 3] = [Self::Original, Self::Small, Self::Medium];

    /// One letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Original => 'o',
            Self::Small => 's',
            Self::Medium => 'm',
        }
    }

    /// A thumbnail by its letter.
    #[must_use]
    pub fn thumbnail(letter: &str) -> Option<Self> {
        match letter {
            "s" => Some(Self::Small),
            "m" => Some(Self::Medium),
            _ => None,
        }
    }
}

/// What an address says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub file: FileId,
    pub variant: Variant,
    /// What it is called where it is saved; empty with a thumbnail.
    pub name: String,
    /// Empty with a thumbnail: WebP.
    pub content_type: String,
    /// Good until then, Unix seconds.
    pub until_s: u64,
}

impl Address {
    fn signed_text(&self) -> String {
        let Self { file, variant, name, content_type, until_s } = self;
        format!("{file}\n{}\n{name}\n{content_type}\n{until_s}", variant.letter())
    }
}

/// When an address ends that is made now; `until_ms`: when the file itself does, 0: it does not.
#[must_use]
pub fn until_s(now_ms: u64, until_ms: u64) -> u64 {
    let end = (now_ms / 1_000 / WINDOW_S + 2) * WINDOW_S;
    if until_ms == 0 { end } else { end.min(until_ms.div_ceil(1_000)) }
}

/// Signs addresses, and says whether one was signed.
pub struct Signer {
    signs: EncodingKey,
    verify: Vec<DecodingKey>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

impl Signer {
    /// Newest key first; `None`: there is no key.
    #[must_use]
    pub fn new(keys: &[Vec<u8>]) -> Option<Self> {
        let newest = keys.first().filter(|key| key.len() >= 32)?;
        let verify = keys.iter().map(|key| DecodingKey::from_secret(key)).collect();
        Some(Self { signs: EncodingKey::from_secret(newest), verify })
    }

    /// The address as a path and its query; `None`: a defect of the library.
    #[must_use]
    pub fn path(&self, address: &Address) -> Option<String> {
        let signature = sign(address.signed_text().as_bytes(), &self.signs, Algorithm::HS256);
        let signature = signature.ok()?;
        let Address { file, variant, name, content_type, until_s } = address;
        let mut path = format!("/f/{file}/");
        // Writing to a string does not fail.
        let _ = match variant {
            Variant::Original => {
                let (name, kind) = (encoded(name), encoded(content_type));
                write!(path, "{name}?t={kind}&e={until_s}&k={signature}")
            }
            thumbnail => {
                write!(path, "thumb/{}?e={until_s}&k={signature}", thumbnail.letter())
            }
        };
        Some(path)
    }

    /// True where this very address was signed. Its time is not looked at.
    #[must_use]
    pub fn is_signed(&self, address: &Address, signature: &str) -> bool {
        let text = address.signed_text();
        let fits = |key| verify(signature, text.as_bytes(), key, Algorithm::HS256);
        self.verify.iter().any(|key| fits(key).unwrap_or(false))
    }
}

/// For a part of an address, and for the name in a header.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            file: FileId::from_parts(1_790_000_000_000, 7),
            variant: Variant::Original,
            name: "회의 1/2.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            until_s: 1_790_000_000,
        }
    }

    #[test]
    fn an_address_is_good_as_it_is_and_in_no_other_way() {
        let signer = Signer::new(&[vec![1; 32], vec![2; 32]]).expect("keys");
        let path = signer.path(&address()).expect("signed");
        let (place, query) = path.split_once('?').expect("a query");
        assert_eq!(place, format!("/f/{}/%ED%9A%8C%EC%9D%98%201%2F2.pdf", address().file));
        assert!(query.starts_with("t=application%2Fpdf&e=1790000000&k="), "{query}");
        let (_, signature) = query.split_once("&k=").expect("a signature");
        assert!(signer.is_signed(&address(), signature));
        let old = Signer::new(&[vec![2; 32]]).expect("a key").path(&address()).expect("signed");
        assert!(signer.is_signed(&address(), old.split_once("&k=").expect("signed").1));
        let changes: [fn(&mut Address); 5] = [
            |it| it.file = FileId::from_parts(1_790_000_000_000, 8),
            |it| it.variant = Variant::Small,
            |it| it.name.push('x'),
            |it| it.content_type = "text/html".to_owned(),
            |it| it.until_s += 1,
        ];
        for change in changes {
            let mut other = address();
            change(&mut other);
            assert!(!signer.is_signed(&other, signature), "{other:?}");
        }
        for other in ["", "x", &signature[1..], "!"] {
            assert!(!signer.is_signed(&address(), other), "{other}");
        }
        assert!(!Signer::new(&[vec![3; 32]]).expect("a key").is_signed(&address(), signature));
        assert!(Signer::new(&[]).is_none() && Signer::new(&[vec![1; 8]]).is_none());
    }

    #[test]
    fn it_stays_the_same_for_an_hour_and_ends_with_the_file() {
        let hour_ms = WINDOW_S * 1_000;
        assert_eq!(until_s(0, 0), 2 * WINDOW_S);
        assert_eq!(until_s(hour_ms - 1, 0), 2 * WINDOW_S);
        assert_eq!(until_s(hour_ms, 0), 3 * WINDOW_S);
        assert_eq!(until_s(hour_ms, hour_ms + 5_500), WINDOW_S + 6);
    }
}
