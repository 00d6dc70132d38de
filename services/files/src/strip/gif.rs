//! GIF: a header, then blocks: pictures, and extensions of which most say something about them.

use std::io::{self, BufRead, Write};

use super::{Found, array, byte, copy, malformed};

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2C;
const TRAILER: u8 = 0x3B;
const GRAPHIC_CONTROL: u8 = 0xF9;
const APPLICATION: u8 = 0xFF;

pub(super) fn strip(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<Found> {
    let head: [u8; 13] = array(input)?;
    if !matches!(&head[..6], b"GIF87a" | b"GIF89a") {
        return Err(malformed("no GIF"));
    }
    output.write_all(&head)?;
    copy(input, output, color_table_bytes(head[10]))?;
    let mut frames = 0_u32;
    loop {
        match byte(input)? {
            TRAILER if frames > 0 => {
                output.write_all(&[TRAILER])?;
                return Ok(Found { animated: frames > 1 });
            }
            IMAGE => {
                let head: [u8; 9] = array(input)?;
                output.write_all(&[IMAGE])?;
                output.write_all(&head)?;
                copy(input, output, color_table_bytes(head[8]))?;
                // How long the codes are at first.
                copy(input, output, 1)?;
                blocks(input, output)?;
                frames = frames.saturating_add(1);
            }
            EXTENSION => extension(input, output)?,
            _ => return Err(malformed("a block that has no place here")),
        }
    }
}

fn color_table_bytes(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Copies the ones that say when a frame is shown and how often all are, and no others.
fn extension(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let label = byte(input)?;
    let length = byte(input)?;
    let mut first = vec![0; usize::from(length)];
    input.read_exact(&mut first)?;
    let stays = match label {
        GRAPHIC_CONTROL => true,
        APPLICATION => matches!(first.as_slice(), b"NETSCAPE2.0" | b"ANIMEXTS1.0"),
        _ => false,
    };
    if length == 0 {
        return Ok(());
    }
    if stays {
        output.write_all(&[EXTENSION, label, length])?;
        output.write_all(&first)?;
        blocks(input, output)
    } else {
        blocks(input, &mut io::sink())
    }
}

/// Copies blocks up to the empty one, which ends them.
fn blocks(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    loop {
        let length = byte(input)?;
        output.write_all(&[length])?;
        if length == 0 {
            return Ok(());
        }
        copy(input, output, length.into())?;
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::gif::GifEncoder;
    use image::{Frame, ImageFormat, RgbaImage};

    use super::super::tests::stripped;

    #[test]
    fn one_that_moves_is_told_from_one_that_does_not() {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        let frames = (0..3).map(|_| Frame::new(RgbaImage::new(8, 8)));
        encoder.encode_frames(frames).expect("encode");
        drop(encoder);
        let (found, clean) = stripped(ImageFormat::Gif, &bytes).expect("strip");
        assert!(found.animated && clean.len() <= bytes.len());
    }
}
