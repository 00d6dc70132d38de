//! Takes out of an image file what says where, when and with what it was made, without decoding it: the
//! picture's own bytes are copied as they are. What shows it as it was meant stays: colour profiles, and
//! the orientation.
//!
//! An image is read piece by piece, so memory is bounded whatever its size is. What comes after the
//! image's end is left out: phones put further pictures and videos there, with metadata of their own.

mod gif;
mod jpeg;
mod png;
mod webp;

use std::io::{self, BufRead, ErrorKind, Read, Seek, Write};

use image::ImageFormat;

/// What was seen on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// It has more than one frame.
    pub animated: bool,
}

/// Copies an image of this format without its metadata.
///
/// # Errors
/// [`ErrorKind::InvalidData`] or [`ErrorKind::UnexpectedEof`] where it is not a whole image of this
/// format; [`ErrorKind::Unsupported`] for another format; what the file system says.
pub fn strip(
    format: ImageFormat,
    input: &mut impl BufRead,
    output: &mut (impl Write + Seek),
) -> io::Result<Found> {
    match format {
        ImageFormat::Jpeg => jpeg::strip(input, output),
        ImageFormat::Png => png::strip(input, output),
        ImageFormat::WebP => webp::strip(input, output),
        ImageFormat::Gif => gif::strip(input, output),
        _ => Err(io::Error::new(ErrorKind::Unsupported, "metadata of this format is not known")),
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

fn byte(input: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    input.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Copies so many bytes, all of them or none to be used.
fn copy(input: &mut impl Read, output: &mut impl Write, bytes: u64) -> io::Result<()> {
    let copied = io::copy(&mut input.take(bytes), output)?;
    if copied == bytes { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn skip(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    copy(input, &mut io::sink(), bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, RgbaImage};

    use super::*;

    const SECRET: &[u8] = b"GPS 52.5200N 13.4050E";

    fn picture() -> DynamicImage {
        DynamicImage::ImageRgba8(RgbaImage::from_fn(40, 30, |x, y| {
            image::Rgba([x as u8 * 6, y as u8 * 8, 99, 255])
        }))
    }

    pub(super) fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = match format {
            ImageFormat::Jpeg => DynamicImage::ImageRgb8(picture().to_rgb8()),
            _ => picture(),
        };
        picture.write_to(&mut bytes, format).expect("encode");
        bytes.into_inner()
    }

    pub(super) fn stripped(format: ImageFormat, bytes: &[u8]) -> io::Result<(Found, Vec<u8>)> {
        let mut output = Cursor::new(Vec::new());
        let found = strip(format, &mut &bytes[..], &mut output)?;
        Ok((found, output.into_inner()))
    }

    fn holds(bytes: &[u8], text: &[u8]) -> bool {
        bytes.windows(text.len()).any(|window| window == text)
    }

    /// Puts the secret in where each format has its metadata.
    fn with_secrets(format: ImageFormat) -> Vec<u8> {
        let plain = encoded(format);
        let mut bytes = Vec::new();
        match format {
            ImageFormat::Jpeg => {
                bytes.extend(&plain[..2]);
                for (marker, head) in [(0xE1, &b"Exif\0\0"[..]), (0xED, b"Photoshop"), (0xFE, b"")]
                {
                    let payload = [head, SECRET].concat();
                    bytes.extend([0xFF, marker]);
                    bytes.extend((payload.len() as u16 + 2).to_be_bytes());
                    bytes.extend(payload);
                }
                bytes.extend(&plain[2..]);
            }
            ImageFormat::Png => {
                let end = plain.len() - 12;
                bytes.extend(&plain[..end]);
                for name in [b"eXIf", b"tEXt", b"iTXt"] {
                    bytes.extend((SECRET.len() as u32).to_be_bytes());
                    bytes.extend(name);
                    bytes.extend(SECRET);
                    bytes.extend([0; 4]);
                }
                bytes.extend(&plain[end..]);
            }
            ImageFormat::WebP => {
                bytes.extend(&plain);
                for name in [b"EXIF", b"XMP "] {
                    bytes.extend(name);
                    bytes.extend((SECRET.len() as u32).to_le_bytes());
                    bytes.extend(SECRET);
                    bytes.extend([0; 1]);
                }
                let size = bytes.len() as u32 - 8;
                bytes[4..8].copy_from_slice(&size.to_le_bytes());
            }
            _ => {
                let end = plain.len() - 1;
                bytes.extend(&plain[..end]);
                bytes.extend([0x21, 0xFE, SECRET.len() as u8]);
                bytes.extend(SECRET);
                bytes.extend([0, 0x3B]);
            }
        }
        // As phones do.
        bytes.extend(SECRET);
        bytes
    }

    const FORMATS: [ImageFormat; 4] =
        [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif];

    #[test]
    fn metadata_goes_and_the_picture_stays() {
        for format in FORMATS {
            let bytes = with_secrets(format);
            assert!(holds(&bytes, SECRET));
            let (found, clean) = stripped(format, &bytes).expect("strip");
            assert!(!holds(&clean, SECRET), "{format:?}");
            assert!(!found.animated, "{format:?}");
            let read = |bytes: &[u8]| {
                image::load_from_memory_with_format(bytes, format).expect("decode").to_rgba8()
            };
            assert_eq!(read(&clean), read(&encoded(format)), "{format:?}");
            // Once more changes nothing.
            assert_eq!(stripped(format, &clean).expect("strip").1, clean, "{format:?}");
        }
    }

    #[test]
    fn what_is_cut_or_wrong_is_an_error_or_an_image() {
        for format in FORMATS {
            let whole = with_secrets(format);
            for end in 0..encoded(format).len() {
                let Ok((_, clean)) = stripped(format, &whole[..end]) else { continue };
                assert!(!holds(&clean, SECRET), "{format:?} cut at {end}");
            }
            for place in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[place] ^= 0xFF;
                // It must end.
                let _ = stripped(format, &bytes);
            }
            assert!(stripped(format, b"").is_err() && stripped(format, &[0; 100]).is_err());
        }
    }
}
