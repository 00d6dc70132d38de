//! The names of files: the id that core gives to each, and what its owner calls it.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::error::{ApiError, ErrorCode};
use crate::limits::FILE_NAME_BYTES_MAX;

/// What a file is called whose name says nothing.
const NAMELESS: &str = "file";

/// Why there is no preview of an image. It travels as a word: a newer version may have more of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPreview {
    /// Its format is known, and not read: HEIC, AVIF, SVG.
    Format,
    /// It can't be read.
    Damaged,
    /// It has too many pixels or bytes.
    TooLarge,
}

impl NoPreview {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Damaged => "damaged",
            Self::TooLarge => "too_large",
        }
    }
}

/// A file: a ULID of core's in lower case, 80 of its bits by chance. Nobody can guess it, and nothing is
/// allowed to who knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(Ulid);

impl FileId {
    /// Reads 26 characters of `0-9` and `a-z`.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`].
    pub fn new(text: &str) -> Result<Self, ApiError> {
        let wrong =
            || ApiError::new(ErrorCode::BadId, "a file id has 26 characters of 0-9 and a-z");
        let id = Self(Ulid::from_string(text).map_err(|_| wrong())?);
        // Each file has one spelling: it is in addresses, and names what is stored.
        if id.to_string() == text { Ok(id) } else { Err(wrong()) }
    }

    /// A new one: of this time, Unix milliseconds, and 80 bits of chance.
    #[must_use]
    pub fn from_parts(time_ms: u64, random: u128) -> Self {
        Self(Ulid::from_parts(time_ms, random))
    }

    /// The 16 bytes that identify it on disk.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ulid::ULID_LEN];
        self.0.array_to_str(&mut text);
        text.make_ascii_lowercase();
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for FileId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// What a user or a group is shown with: the file of an image, or none. As a text it is the file's id, or empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Avatar(pub Option<FileId>);

impl Avatar {
    /// # Errors
    /// [`ErrorCode::BadId`].
    pub fn new(text: &str) -> Result<Self, ApiError> {
        if text.is_empty() { Ok(Self(None)) } else { FileId::new(text).map(|id| Self(Some(id))) }
    }
}

impl fmt::Display for Avatar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| id.fmt(f))
    }
}

impl Serialize for Avatar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A file's name as others may see it, whatever its owner has given: in NFC (macOS sends Hangul taken apart), without
/// folders, and without characters that are not seen or turn the reading around. Never empty.
#[must_use]
pub fn file_name(given: &str) -> String {
    const NORMALIZER: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|letter| !is_unseen(*letter)).collect();
    let name = NORMALIZER.normalize(&name);
    let name = shortened(name.trim().trim_end_matches('.').trim_end());
    if name.is_empty() { NAMELESS.to_owned() } else { name }
}

/// Controls, marks that turn the direction of a text, and what has no width: `exe.gnp` must not look like `png.exe`.
#[must_use]
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Of a long name the front, and its ending.
fn shortened(name: &str) -> String {
    if name.len() <= FILE_NAME_BYTES_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').map_or("", |at| &name[at..]);
    let ending = if ending.len() <= 16 { ending } else { "" };
    let front = &name[..name.floor_char_boundary(FILE_NAME_BYTES_MAX - ending.len())];
    format!("{front}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = FileId::from_parts(1_790_000_000_000, 7);
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(FileId::new(&text).expect("id"), id);
        assert_eq!(FileId::from_bytes(id.to_bytes()), id);
        let upper = text.to_uppercase();
        for bad in [
            "",
            "x",
            &text[1..],
            &upper,
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "../../../../etc/passwd1234",
        ] {
            assert_eq!(FileId::new(bad).expect_err(bad).code, ErrorCode::BadId, "{bad}");
        }
    }

    #[test]
    fn a_name_is_one_that_can_be_shown() {
        for (given, shown) in [
            ("cat.png", "cat.png"),
            ("../../etc/passwd", "passwd"),
            (r"C:\Users\bob\회의.pdf", "회의.pdf"),
            ("\u{1112}\u{116c}\u{110b}\u{1174}.txt", "회의.txt"),
            ("invoice\u{202e}gnp.exe", "invoicegnp.exe"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("  ", "file"),
            ("..", "file"),
            ("", "file"),
            ("a/", "file"),
            (" a . ", "a"),
        ] {
            assert_eq!(file_name(given), shown, "{given:?}");
        }
        let long = file_name(&format!("{}.docx", "긴".repeat(300)));
        assert!(long.len() <= FILE_NAME_BYTES_MAX && long.ends_with("긴.docx"), "{long}");
        assert!(file_name(&"x".repeat(9_999)).len() <= FILE_NAME_BYTES_MAX);
    }
}
