//! What is made of an image: its size as it is shown, a hash to paint before it is loaded, and two small
//! ones. It decodes what strangers have sent, so everything has a bound: the pixels, the bytes that are
//! read, the scans of a progressive JPEG (the decoder's own bound), and frames: the first one alone is decoded.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use webp::{Encoder, PixelLayout};

/// Most pixels of an image that is decoded. At its worst, a progressive JPEG, decoding takes 10 bytes for each.
pub const PIXELS_MAX: u64 = 40_000_000;
/// Most bytes of an image that is decoded: some decoders read all of it first.
pub const IMAGE_BYTES_MAX: u64 = 32 << 20;
const SIDE_MAX: u32 = 16_384;
/// Most bytes that a decoder may ask for, as far as it can be told so.
const DECODER_BYTES_MAX: u64 = 400_000_000;
/// The longest side of the small images.
pub const SMALL_SIDE: u32 = 320;
pub const MEDIUM_SIDE: u32 = 1_280;
/// The longest side of what is hashed.
const HASHED_SIDE: u32 = 100;
/// Of WebP: 0 to 100.
const QUALITY: f32 = 78.0;

#[derive(Clone, PartialEq, Debug)]
pub struct Picture {
    /// As it is shown, after its orientation.
    pub width: u32,
    pub height: u32,
    /// `None`: it is too large to be decoded.
    pub small: Option<Small>,
}

/// What stands in for a picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Small {
    pub thumb_hash: Vec<u8>,
    /// In WebP: at most [`SMALL_SIDE`] long.
    pub small: Vec<u8>,
    /// At most [`MEDIUM_SIDE`] long.
    pub medium: Vec<u8>,
}

/// Reads an image, and makes the small ones.
///
/// # Errors
/// Where it is none that can be read, or the file can't be.
pub fn read(path: &Path, format: ImageFormat) -> io::Result<Picture> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(unreadable("an image without pixels"));
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let is_turned = matches!(orientation.to_exif(), 5..=8);
    let (shown_width, shown_height) = if is_turned { (height, width) } else { (width, height) };
    let mut picture = Picture { width: shown_width, height: shown_height, small: None };
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX || width.max(height) > SIDE_MAX || bytes > IMAGE_BYTES_MAX {
        return Ok(picture);
    }
    let whole = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    let mut medium = within(&whole, MEDIUM_SIDE);
    drop(whole);
    medium.apply_orientation(orientation);
    let small = within(&medium, SMALL_SIDE);
    let hashed = within(&small, HASHED_SIDE).to_rgba8();
    let (hashed_width, hashed_height) = (hashed.width() as usize, hashed.height() as usize);
    picture.small = Some(Small {
        thumb_hash: thumbhash::rgba_to_thumb_hash(hashed_width, hashed_height, hashed.as_raw()),
        medium: encode(&medium)?,
        small: encode(&small)?,
    });
    Ok(picture)
}

/// It, or a smaller one of its shape.
fn within(image: &DynamicImage, side: u32) -> DynamicImage {
    if image.width().max(image.height()) <= side {
        return image.clone();
    }
    image.thumbnail(side, side)
}

fn encode(image: &DynamicImage) -> io::Result<Vec<u8>> {
    let (width, height) = (image.width(), image.height());
    let encoded = if image.color().has_alpha() {
        let pixels = image.to_rgba8();
        Encoder::new(pixels.as_raw(), PixelLayout::Rgba, width, height)
            .encode_simple(false, QUALITY)
    } else {
        let pixels = image.to_rgb8();
        Encoder::new(pixels.as_raw(), PixelLayout::Rgb, width, height).encode_simple(false, QUALITY)
    };
    let encoded = encoded.map_err(|error| io::Error::other(format!("WebP: {error:?}")))?;
    Ok(encoded.to_vec())
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn written(
        image: &DynamicImage,
        format: ImageFormat,
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image");
        image.save_with_format(&path, format).expect("written");
        (folder, path)
    }

    fn picture(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8])).into()
    }

    fn size_of(webp: &[u8]) -> (u32, u32) {
        let image = image::load_from_memory_with_format(webp, ImageFormat::WebP).expect("WebP");
        (image.width(), image.height())
    }

    #[test]
    fn small_ones_have_the_shape_of_the_large_one_and_are_never_larger() {
        for (size, small, medium) in [
            ((2_000, 1_000), (320, 160), (1_280, 640)),
            ((500, 1_000), (160, 320), (500, 1_000)),
            ((100, 50), (100, 50), (100, 50)),
            ((1, 1), (1, 1), (1, 1)),
            ((4_000, 1), (320, 1), (1_280, 1)),
        ] {
            let (_folder, path) = written(&picture(size.0, size.1), ImageFormat::Png);
            let read = read(&path, ImageFormat::Png).expect("read");
            assert_eq!((read.width, read.height), size);
            let made = read.small.expect("small ones");
            assert_eq!(size_of(&made.small), small, "{size:?}");
            assert_eq!(size_of(&made.medium), medium, "{size:?}");
            assert!((5..=25).contains(&made.thumb_hash.len()), "{}", made.thumb_hash.len());
        }
    }

    #[test]
    fn a_bomb_is_not_decoded() {
        // 20,000 × 20,000 pixels in few bytes: the header alone says so.
        let mut bomb = Vec::new();
        bomb.extend(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR");
        let mut header = Vec::new();
        header.extend(20_000_u32.to_be_bytes());
        header.extend(20_000_u32.to_be_bytes());
        header.extend([8, 6, 0, 0, 0]);
        let crc = crc(&[b"IHDR", header.as_slice()].concat());
        bomb.extend(header);
        bomb.extend(crc.to_be_bytes());
        bomb.extend(b"\0\0\0\x04IDAT\x78\x9C\x03\0\0\0\0\0");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bomb");
        std::fs::write(&path, bomb).expect("written");
        let read = read(&path, ImageFormat::Png).expect("its header is right");
        assert_eq!((read.width, read.height, read.small), (20_000, 20_000, None));
    }

    #[test]
    fn what_is_cut_or_something_else_is_an_error() {
        let (_folder, path) = written(&picture(300, 300), ImageFormat::Png);
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
        assert!(read(&path, ImageFormat::Png).is_err());
        std::fs::write(&path, b"hello").expect("written");
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            assert!(read(&path, format).is_err(), "{format:?}");
        }
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
            })
        })
    }
}
