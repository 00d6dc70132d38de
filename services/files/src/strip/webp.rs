//! WebP: chunks of name, length and data in a RIFF container that says how long it is.

use std::io::{self, BufRead, Seek, SeekFrom, Write};

use super::{Found, array, copy, malformed, skip};

/// Bits of the extended header.
const HAS_ANIMATION: u8 = 0x02;
const HAS_XMP: u8 = 0x04;
const HAS_EXIF: u8 = 0x08;

pub(super) fn strip(
    input: &mut impl BufRead,
    output: &mut (impl Write + Seek),
) -> io::Result<Found> {
    let head: [u8; 12] = array(input)?;
    if &head[..4] != b"RIFF" || &head[8..] != b"WEBP" {
        return Err(malformed("no WebP"));
    }
    let mut left = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
    left = left.checked_sub(4).ok_or_else(|| malformed("an empty container"))?;
    let begin = output.stream_position()?;
    output.write_all(&head)?;
    let mut found = Found::default();
    let mut written: u32 = 4;
    while left >= 8 {
        let (name, length): ([u8; 4], [u8; 4]) = (array(input)?, array(input)?);
        let length_padded = u64::from(u32::from_le_bytes(length)).next_multiple_of(2);
        left = left.saturating_sub(8 + length_padded);
        if !matches!(&name, b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" | b"ANIM" | b"ANMF" | b"ICCP") {
            skip(input, length_padded)?;
            continue;
        }
        output.write_all(&name)?;
        output.write_all(&length)?;
        let mut rest = length_padded;
        if &name == b"VP8X" && rest > 0 {
            let flags = super::byte(input)?;
            found.animated = flags & HAS_ANIMATION != 0;
            output.write_all(&[flags & !(HAS_EXIF | HAS_XMP)])?;
            rest -= 1;
        }
        copy(input, output, rest)?;
        let chunk = u32::try_from(8 + length_padded).ok();
        let sum = chunk.and_then(|chunk| written.checked_add(chunk));
        written = sum.ok_or_else(|| malformed("a container that is too long"))?;
    }
    if written == 4 {
        return Err(malformed("a container without a picture"));
    }
    output.seek(SeekFrom::Start(begin + 4))?;
    output.write_all(&written.to_le_bytes())?;
    output.seek(SeekFrom::End(0))?;
    Ok(found)
}
