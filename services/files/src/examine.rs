//! What an upload is, when all its bytes are there: its type, its hash, and of an image what is shown before it is
//! loaded. A file that does harm is one that can't be shown, and no more: it is carried as bytes.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use image::ImageFormat;
use sha2::{Digest, Sha256};
use weft_proto::FileId;
use weft_proto::file::NoPreview;
use weft_proto::svc::ImageFacts;

use crate::picture;
use crate::sniff::{self, SNIFFED_BYTES};
use crate::staging::{Staging, create_anew};
use crate::{duration, strip};

const BUFFER_BYTES: usize = 64 << 10;
/// An image in whose middle the process has ended so often is not looked at again.
const TRIES_MAX: u64 = 2;

/// What is known of a finished upload.
#[derive(Debug)]
pub struct Examined {
    /// The bytes that others get.
    pub content: PathBuf,
    pub size: u64,
    pub sha256: [u8; 32],
    pub content_type: &'static str,
    pub image: Option<ImageFacts>,
    pub duration_ms: u64,
    /// The small one and the medium one.
    pub thumbnails: Option<[PathBuf; 2]>,
    /// Why there is no preview, where it is an image or says so.
    pub no_preview: Option<NoPreview>,
}

/// Looks at an upload. It reads all of it, decodes images, and takes as long as that takes.
///
/// # Errors
/// What the file system says: the upload stays as it is.
pub fn examine(staging: &Staging, file: FileId) -> io::Result<Examined> {
    let part = staging.part(file);
    let mut examined = Examined {
        content_type: sniff_file(&part)?,
        content: part,
        size: 0,
        sha256: [0; 32],
        image: None,
        duration_ms: 0,
        thumbnails: None,
        no_preview: None,
    };
    if let Some(format) = format_of(examined.content_type) {
        match tried(staging, file, format) {
            Ok(Image { content, facts, thumbnails }) => {
                (examined.content, examined.image) = (content, Some(facts));
                examined.no_preview = thumbnails.is_none().then_some(NoPreview::TooLarge);
                examined.thumbnails = thumbnails;
            }
            Err(error) if is_the_files_own(&error) => {
                tracing::debug!(%file, %error, "an image that can't be read");
                (examined.content_type, examined.no_preview) =
                    (sniff::UNKNOWN, Some(NoPreview::Damaged));
            }
            Err(error) => return Err(error),
        }
    } else if examined.content_type.starts_with("image/") {
        examined.no_preview = Some(NoPreview::Format);
    } else if matches!(examined.content_type, "video/mp4" | "video/quicktime" | "audio/m4a") {
        let read = duration::of_mp4(&mut BufReader::new(File::open(&examined.content)?))?;
        examined.duration_ms = read.unwrap_or(0);
    }
    (examined.size, examined.sha256) = hash(&examined.content)?;
    Ok(examined)
}

fn sniff_file(path: &Path) -> io::Result<&'static str> {
    let file = File::open(path)?;
    let is_whole = file.metadata()?.len() <= SNIFFED_BYTES as u64;
    let mut head = Vec::new();
    file.take(SNIFFED_BYTES as u64).read_to_end(&mut head)?;
    Ok(sniff::content_type(&head, is_whole))
}

/// Of the images that are decoded.
fn format_of(content_type: &str) -> Option<ImageFormat> {
    match content_type {
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/png" => Some(ImageFormat::Png),
        "image/webp" => Some(ImageFormat::WebP),
        "image/gif" => Some(ImageFormat::Gif),
        _ => None,
    }
}

struct Image {
    content: PathBuf,
    facts: ImageFacts,
    thumbnails: Option<[PathBuf; 2]>,
}

/// Looks at an image, unless that has ended the process before.
fn tried(staging: &Staging, file: FileId, format: ImageFormat) -> io::Result<Image> {
    if staging.begin_try(file)? >= TRIES_MAX {
        tracing::error!(%file, "an image is carried as bytes: to look at it has ended the process twice");
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has ended the process"));
    }
    let looked = guarded(|| image(staging, file, format));
    staging.end_try(file)?;
    looked
}

/// A decoder that panics has met a file that nobody can read.
fn guarded<T>(look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let panicked = |_| Err(io::Error::new(io::ErrorKind::InvalidData, "the decoder panicked"));
    catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(panicked)
}

fn image(staging: &Staging, file: FileId, format: ImageFormat) -> io::Result<Image> {
    let content = staging.made(file, "clean");
    let mut input = BufReader::with_capacity(BUFFER_BYTES, File::open(staging.part(file))?);
    let mut output = BufWriter::with_capacity(BUFFER_BYTES, create_anew(&content)?);
    let found = strip::strip(format, &mut input, &mut output)?;
    output.flush()?;
    let picture = picture::read(&content, format)?;
    let mut facts = ImageFacts {
        width: picture.width,
        height: picture.height,
        animated: found.animated,
        ..ImageFacts::default()
    };
    let Some(small) = picture.small else { return Ok(Image { content, facts, thumbnails: None }) };
    let thumbnails = [staging.made(file, "s"), staging.made(file, "m")];
    for (path, bytes) in thumbnails.iter().zip([&small.small, &small.medium]) {
        create_anew(path)?.write_all(bytes)?;
    }
    (facts.thumbhash, facts.has_thumbnails) = (small.thumb_hash, true);
    Ok(Image { content, facts, thumbnails: Some(thumbnails) })
}

/// True where another file would not have failed.
fn is_the_files_own(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

pub fn hash(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let (mut file, mut sum) = (File::open(path)?, Sha256::new());
    let (mut size, mut buffer) = (0, vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, sum.finalize().into())),
            read => {
                sum.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, RgbImage};

    use super::*;

    fn examined(bytes: &[u8]) -> (tempfile::TempDir, Examined) {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(folder.path()).expect("opened");
        let file = FileId::from_parts(1, 1);
        staging.create(file, bytes.len() as u64).expect("created");
        std::fs::write(staging.part(file), bytes).expect("written");
        let examined = examine(&staging, file).expect("examined");
        assert_eq!(std::fs::read(staging.part(file)).expect("read"), bytes, "it stays as it is");
        (folder, examined)
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image =
            RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).expect("encode");
        bytes.into_inner()
    }

    #[test]
    fn an_image_has_facts_and_thumbnails() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
            let (_folder, it) = examined(&encoded(format));
            assert_eq!(it.content_type, format.to_mime_type());
            let facts = it.image.expect("facts");
            assert_eq!((facts.width, facts.height, facts.animated), (640, 480, false));
            assert!(facts.has_thumbnails && !facts.thumbhash.is_empty());
            assert_eq!(it.no_preview, None);
            let thumbnails = it.thumbnails.expect("thumbnails");
            assert!(thumbnails.iter().all(|path| path.is_file()));
            let (size, sha256) = hash(&it.content).expect("read");
            assert_eq!((it.size, it.sha256), (size, sha256));
        }
    }

    #[test]
    fn an_image_that_ends_the_process_fails_alone_and_not_for_ever() {
        let panicked = guarded::<()>(|| panic!("as a decoder does")).expect_err("no image");
        assert!(is_the_files_own(&panicked), "{panicked}");
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(folder.path()).expect("opened");
        let (file, png) = (FileId::from_parts(1, 1), encoded(ImageFormat::Png));
        for (killed, no_preview) in [(0, None), (1, None), (2, Some(NoPreview::Damaged))] {
            staging.create(file, png.len() as u64).expect("created");
            std::fs::write(staging.part(file), &png).expect("written");
            for _ in 0..killed {
                staging.begin_try(file).expect("begun");
            }
            let it = examine(&staging, file).expect("examined");
            assert_eq!((it.no_preview, it.image.is_some()), (no_preview, no_preview.is_none()));
            staging.remove(file).expect("removed");
            assert_eq!(staging.begin_try(file).expect("begun"), 0, "{killed}");
            staging.end_try(file).expect("ended");
        }
    }

    #[test]
    fn what_can_not_be_read_is_carried_as_bytes() {
        let png = encoded(ImageFormat::Png);
        let mut broken = png.clone();
        broken[60..90].fill(0xAA);
        for bytes in
            [&png[..png.len() / 2], &broken, b"\xFF\xD8\xFF\xE0", b"GIF89a", b"\x89PNG\r\n\x1A\n"]
        {
            let (_folder, it) = examined(bytes);
            assert_eq!(it.no_preview, Some(NoPreview::Damaged), "{:?}", &bytes[..4]);
            assert_eq!(it.image, None);
            assert_eq!((it.content_type, it.size), (sniff::UNKNOWN, bytes.len() as u64));
        }
        let (_folder, it) = examined(b"<html><script>alert(1)</script>");
        assert_eq!((it.content_type, it.no_preview), ("text/html", None));
        let (_folder, it) = examined(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1");
        assert_eq!((it.content_type, it.no_preview), ("image/heif", Some(NoPreview::Format)));
    }
}
