//! The words of tus 1.0 (<https://tus.io/protocols/resumable-upload>), without a file or a socket.
//!
//! Extensions: creation, creation-with-upload, expiration, checksum, termination.

use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::refusal::Refusal;

pub const VERSION: &str = "1.0.0";
pub const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination";
pub const CHECKSUM_ALGORITHMS: &str = "sha1,sha256";
pub const CONTENT_TYPE: &str = "application/offset+octet-stream";

pub const RESUMABLE: &str = "tus-resumable";
pub const UPLOAD_OFFSET: &str = "upload-offset";
pub const UPLOAD_LENGTH: &str = "upload-length";
pub const UPLOAD_EXPIRES: &str = "upload-expires";
pub const UPLOAD_METADATA: &str = "upload-metadata";
pub const UPLOAD_CHECKSUM: &str = "upload-checksum";
pub const DEFER_LENGTH: &str = "upload-defer-length";
pub const METHOD_OVERRIDE: &str = "x-http-method-override";

/// The bytes do not have the checksum that was told: they are thrown away.
pub const CHECKSUM_MISMATCH: u16 = 460;
/// Longest `Upload-Metadata`.
const METADATA_BYTES_MAX: usize = 4_096;

/// What a creation says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Creation {
    /// How many bytes will come.
    pub size: u64,
    /// What the client calls the file; may be empty.
    pub name: String,
}

/// Reads the head of a creation.
///
/// # Errors
/// Where it says no length, or what can't be read.
pub fn creation(headers: &HeaderMap) -> Result<Creation, Refusal> {
    if headers.contains_key(DEFER_LENGTH) {
        return Err(Refusal::bad("the length of an upload has to be told when it is created"));
    }
    let size =
        number(headers, UPLOAD_LENGTH)?.ok_or_else(|| Refusal::bad("Upload-Length is missing"))?;
    if size == 0 {
        return Err(Refusal::bad("a file has at least one byte"));
    }
    let metadata = text(headers, UPLOAD_METADATA)?.unwrap_or_default();
    if metadata.len() > METADATA_BYTES_MAX {
        return Err(Refusal::bad("Upload-Metadata is too long"));
    }
    let name = metadata_value(metadata, "filename")?
        .map_or_else(|| metadata_value(metadata, "name"), |name| Ok(Some(name)))?;
    Ok(Creation { size, name: name.unwrap_or_default() })
}

/// The value of a key of `Upload-Metadata`.
fn metadata_value(metadata: &str, key: &str) -> Result<Option<String>, Refusal> {
    let pairs =
        metadata.split(',').map(str::trim).map(|pair| pair.split_once(' ').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.into_iter().find(|(name, _)| *name == key) else {
        return Ok(None);
    };
    let bytes = STANDARD
        .decode(value.trim())
        .map_err(|_| Refusal::bad("Upload-Metadata is not in base64"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Refusal::bad("a file's name is not in UTF-8"))?;
    Ok(Some(text))
}

/// Where the bytes of a request begin.
///
/// # Errors
/// Where it does not say so, or the body is of another type than tus has.
pub fn offset(headers: &HeaderMap) -> Result<u64, Refusal> {
    if !has_bytes(headers) {
        return Err(Refusal::bad("Content-Type has to be application/offset+octet-stream")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    number(headers, UPLOAD_OFFSET)?.ok_or_else(|| Refusal::bad("Upload-Offset is missing"))
}

/// True where the body is bytes of the upload.
#[must_use]
pub fn has_bytes(headers: &HeaderMap) -> bool {
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(CONTENT_TYPE))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let value = headers.get(name).map(|value| value.to_str());
    value.transpose().map_err(|_| Refusal::bad(format!("{name} can't be read")))
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_plain);
    number.map(Some).ok_or_else(|| Refusal::bad(format!("{name} has to be a whole number")))
}

/// What the bytes of one request have to have.
#[derive(Clone, Debug)]
pub struct Checksum {
    sum: Sum,
    expected: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Sum {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// Reads `Upload-Checksum`; `None`: there is none.
    ///
    /// # Errors
    /// Where the algorithm is not known, or it can't be read.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(text) = text(headers, UPLOAD_CHECKSUM)? else { return Ok(None) };
        let (algorithm, expected) = text.trim().split_once(' ').unwrap_or((text, ""));
        let sum = match algorithm {
            "sha1" => Sum::Sha1(Sha1::default()),
            "sha256" => Sum::Sha256(Sha256::default()),
            _ => return Err(Refusal::bad("this checksum is not known")),
        };
        let expected = STANDARD.decode(expected.trim());
        let expected = expected.map_err(|_| Refusal::bad("the checksum is not in base64"))?;
        Ok(Some(Self { sum, expected }))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.sum {
            Sum::Sha1(sum) => sha1::Digest::update(sum, bytes),
            Sum::Sha256(sum) => sum.update(bytes),
        }
    }

    /// True where the bytes are those that were meant.
    #[must_use]
    pub fn fits(self) -> bool {
        match self.sum {
            Sum::Sha1(sum) => sha1::Digest::finalize(sum)[..] == self.expected,
            Sum::Sha256(sum) => sum.finalize()[..] == self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                ((*name).try_into().expect("name"), HeaderValue::from_str(value).expect("value"))
            })
            .collect()
    }

    #[test]
    fn a_creation_says_how_long_and_what_it_is_called() {
        let read = |metadata: &str| {
            creation(&headers(&[(UPLOAD_LENGTH, "12"), (UPLOAD_METADATA, metadata)]))
        };
        for (metadata, name) in [
            ("filename Y2F0LnBuZw==", "cat.png"),
            ("filetype aW1hZ2UvcG5n, filename 7ZqM7J2YLnBkZg==,is_confidential", "회의.pdf"),
            ("name Y2F0LnBuZw==", "cat.png"),
            ("", ""),
            ("filename", ""),
        ] {
            let expected = Creation { size: 12, name: name.to_owned() };
            assert_eq!(read(metadata).expect(metadata), expected, "{metadata}");
        }
        assert!(read("filename *").is_err() && read("filename /////w==").is_err());
        for wrong in [
            headers(&[]),
            headers(&[(UPLOAD_LENGTH, "0")]),
            headers(&[(UPLOAD_LENGTH, "-1")]),
            headers(&[(UPLOAD_LENGTH, "+1")]),
            headers(&[(UPLOAD_LENGTH, "99999999999999999999")]),
            headers(&[(UPLOAD_LENGTH, "5"), (DEFER_LENGTH, "1")]),
        ] {
            assert!(creation(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn bytes_have_a_place_and_a_type() {
        let bytes = ("content-type", CONTENT_TYPE);
        assert_eq!(offset(&headers(&[bytes, (UPLOAD_OFFSET, "7")])).expect("offset"), 7);
        let error = offset(&headers(&[(UPLOAD_OFFSET, "7")])).expect_err("no type");
        assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(offset(&headers(&[bytes])).is_err());
    }

    #[test]
    fn a_checksum_fits_its_bytes_alone() {
        // Of "hello world".
        for text in [
            "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
        ] {
            let read = || Checksum::read(&headers(&[(UPLOAD_CHECKSUM, text)])).expect("read");
            let (mut right, mut wrong) = (read().expect("one"), read().expect("one"));
            right.update(b"hello ");
            right.update(b"world");
            wrong.update(b"hello World");
            assert!(right.fits() && !wrong.fits(), "{text}");
        }
        for text in ["md5 XUFAKrxLKna5cZ2REBfFkg==", "sha1 *", "sha1"] {
            let read = Checksum::read(&headers(&[(UPLOAD_CHECKSUM, text)]));
            assert!(read.map_or(true, |sum| sum.is_some_and(|sum| !sum.fits())), "{text}");
        }
        assert!(Checksum::read(&headers(&[])).expect("none").is_none());
    }
}
