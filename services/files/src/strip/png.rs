//! PNG: chunks of length, name, data and checksum.

use std::io::{self, BufRead, Write};

use super::{Found, array, copy, malformed, skip};

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1A\n";
/// What a decoder needs not, but shows the picture as it was meant, or moves it.
const KEPT: [&[u8; 4]; 14] = [
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs", b"acTL", b"fcTL",
    b"fdAT", b"cICP", b"mDCV", b"cLLI",
];

pub(super) fn strip(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<Found> {
    if array(input)? != SIGNATURE {
        return Err(malformed("no PNG"));
    }
    output.write_all(&SIGNATURE)?;
    let mut found = Found::default();
    loop {
        let (length, name): ([u8; 4], [u8; 4]) = (array(input)?, array(input)?);
        let bytes = u64::from(u32::from_be_bytes(length)) + 4;
        found.animated |= name == *b"acTL";
        if name[0].is_ascii_uppercase() || KEPT.contains(&&name) {
            output.write_all(&length)?;
            output.write_all(&name)?;
            copy(input, output, bytes)?;
        } else {
            skip(input, bytes)?;
        }
        if name == *b"IEND" {
            return Ok(found);
        }
    }
}
