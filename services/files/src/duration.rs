//! How long a video or a sound lasts, where its container says so in a few bytes: MP4 and its kin.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

/// Boxes that are looked at on one level: a hostile file may have any number.
const BOXES_MAX: usize = 1_000;

/// In milliseconds; `None` where the file does not say.
///
/// # Errors
/// What the file system says.
pub fn of_mp4(file: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    let end = file.seek(SeekFrom::End(0))?;
    let Some((begin, end)) = find(file, *b"moov", 0, end)? else { return Ok(None) };
    let Some((begin, end)) = find(file, *b"mvhd", begin, end)? else { return Ok(None) };
    file.seek(SeekFrom::Start(begin))?;
    let mut head = Vec::new();
    file.take((end - begin).min(32)).read_to_end(&mut head)?;
    Ok(header_says(&head))
}

/// Where the content of the first box of this name is, between two places.
fn find(
    file: &mut (impl Read + Seek),
    name: [u8; 4],
    mut at: u64,
    end: u64,
) -> io::Result<Option<(u64, u64)>> {
    for _ in 0..BOXES_MAX {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        match file.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let (size, found) = head.split_at(4);
        let mut begin = at + 8;
        let mut size = u64::from(u32::from_be_bytes([size[0], size[1], size[2], size[3]]));
        if size == 1 {
            let mut long = [0; 8];
            if file.read_exact(&mut long).is_err() {
                return Ok(None);
            }
            size = u64::from_be_bytes(long);
            begin += 8;
        } else if size == 0 {
            size = end.saturating_sub(at);
        }
        let Some(next) = at.checked_add(size).filter(|next| *next >= begin && *next <= end) else {
            return Ok(None);
        };
        if found == name {
            return Ok(Some((begin, next)));
        }
        at = next;
    }
    Ok(None)
}

fn header_says(head: &[u8]) -> Option<u64> {
    let number = |at: usize| -> Option<u64> {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes).into())
    };
    let (scale, duration) = match head.first()? {
        0 => (number(12)?, number(16)?),
        1 => (number(20)?, number(24)? << 32 | number(28)?),
        _ => return None,
    };
    if scale == 0 || duration == u64::from(u32::MAX) {
        return None;
    }
    u64::try_from(u128::from(duration) * 1_000 / u128::from(scale)).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
    }

    fn header(scale: u32, duration: u32) -> Vec<u8> {
        let mut head = vec![0; 12];
        head.extend(scale.to_be_bytes());
        head.extend(duration.to_be_bytes());
        head.extend([0; 80]);
        boxed(b"mvhd", &head)
    }

    #[test]
    fn a_video_says_how_long_it_is() {
        let movie = boxed(b"moov", &[boxed(b"free", b"x"), header(600, 900)].concat());
        let file = [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[7; 100]), movie].concat();
        let of = |bytes: &[u8]| of_mp4(&mut Cursor::new(bytes)).expect("read");
        assert_eq!(of(&file), Some(1_500));
        for cut in 0..file.len() - 81 {
            assert_eq!(of(&file[..cut]), None, "{cut}");
        }
        assert_eq!(of(&boxed(b"moov", &header(0, 5))), None);
        assert_eq!(
            of(&[0, 0, 0, 1, b'm', b'o', b'o', b'v', 255, 255, 255, 255, 255, 255, 255, 255]),
            None
        );
        assert_eq!(of(b""), None);
    }
}
