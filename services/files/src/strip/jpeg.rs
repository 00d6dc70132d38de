//! JPEG: segments, and between them what the entropy coder wrote.

use std::io::{self, BufRead, ErrorKind, Write};

use image::metadata::Orientation;

use super::{Found, array, byte, copy, malformed, skip};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COMMENT: u8 = 0xFE;

const EXIF: &[u8] = b"Exif\0\0";

pub(super) fn strip(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<Found> {
    if array(input)? != [0xFF, SOI] {
        return Err(malformed("no JPEG"));
    }
    output.write_all(&[0xFF, SOI])?;
    let mut marker = next_marker(input)?;
    loop {
        match marker {
            EOI => {
                output.write_all(&[0xFF, EOI])?;
                return Ok(Found::default());
            }
            0x01 | 0xD0..=0xD7 => {
                output.write_all(&[0xFF, marker])?;
                marker = next_marker(input)?;
            }
            SOS => {
                segment(marker, input, output)?;
                marker = entropy(input, output)?;
            }
            0 | SOI | 0xFF => return Err(malformed("a marker that has no place here")),
            _ => {
                segment(marker, input, output)?;
                marker = next_marker(input)?;
            }
        }
    }
}

fn next_marker(input: &mut impl BufRead) -> io::Result<u8> {
    if byte(input)? != 0xFF {
        return Err(malformed("no marker"));
    }
    loop {
        match byte(input)? {
            0xFF => {}
            marker => return Ok(marker),
        }
    }
}

/// Copies a segment, or what of it may stay.
fn segment(marker: u8, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let length: [u8; 2] = array(input)?;
    let bytes = u64::from(u16::from_be_bytes(length)).checked_sub(2);
    let bytes = bytes.ok_or_else(|| malformed("a segment without a length"))?;
    if !matches!(marker, APP0..=APP15 | COMMENT) {
        output.write_all(&[0xFF, marker])?;
        output.write_all(&length)?;
        return copy(input, output, bytes);
    }
    if !matches!(marker, APP0 | APP1 | APP2 | APP14) {
        return skip(input, bytes);
    }
    let mut payload = Vec::new();
    copy(input, &mut payload, bytes)?;
    if let Some(exif) = payload.strip_prefix(EXIF).filter(|_| marker == APP1) {
        return match Orientation::from_exif_chunk(exif) {
            None | Some(Orientation::NoTransforms) => Ok(()),
            Some(orientation) => output.write_all(&orientation_alone(orientation)),
        };
    }
    let stays = match marker {
        APP0 => payload.starts_with(b"JFIF\0"),
        APP2 => payload.starts_with(b"ICC_PROFILE\0"),
        APP14 => payload.starts_with(b"Adobe"),
        _ => false,
    };
    if stays {
        output.write_all(&[0xFF, marker])?;
        output.write_all(&length)?;
        output.write_all(&payload)?;
    }
    Ok(())
}

/// A segment that says how the picture is to be turned, and nothing else.
fn orientation_alone(orientation: Orientation) -> Vec<u8> {
    let mut segment = vec![0xFF, APP1, 0, 34];
    segment.extend(EXIF);
    // Big endian; the first directory at 8, with one entry: tag, type (short), count, value.
    segment.extend(*b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
    segment.extend([orientation.to_exif(), 0, 0, 0, 0, 0, 0]);
    segment
}

/// Copies up to the next marker, and reads that. Where the file ends before, the picture ends there.
fn entropy(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<u8> {
    loop {
        let read = input.fill_buf()?;
        if read.is_empty() {
            return Ok(EOI);
        }
        let plain = read.iter().position(|byte| *byte == 0xFF).unwrap_or(read.len());
        output.write_all(&read[..plain])?;
        let is_marker = plain < read.len();
        input.consume(plain);
        if !is_marker {
            continue;
        }
        match next_marker(input) {
            Ok(stuffed @ (0 | 0xD0..=0xD7)) => output.write_all(&[0xFF, stuffed])?,
            Ok(marker) => return Ok(marker),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(EOI),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::super::tests::{encoded, stripped};
    use super::*;

    #[test]
    fn the_orientation_stays_alone() {
        let plain = encoded(ImageFormat::Jpeg);
        let mut turned = plain[..2].to_vec();
        let orientation = orientation_alone(Orientation::Rotate90);
        // With more than the orientation, as a camera writes it.
        let mut exif = orientation[4..].to_vec();
        exif.extend(b"GPS");
        turned.extend([0xFF, APP1]);
        turned.extend((exif.len() as u16 + 2).to_be_bytes());
        turned.extend(&exif);
        turned.extend(&plain[2..]);
        let (_, clean) = stripped(ImageFormat::Jpeg, &turned).expect("strip");
        assert_eq!(clean[2..2 + orientation.len()], orientation[..]);
        assert_eq!(
            clean[2 + orientation.len()..],
            stripped(ImageFormat::Jpeg, &plain).expect("strip").1[2..]
        );
    }
}
