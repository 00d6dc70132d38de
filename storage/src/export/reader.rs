//! A file into lines, with every check that needs no more than one line.

use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;

use super::error::Error;
use super::line::ExportLine;
use super::{FORMAT, VERSION};

/// Longest line that is read, in bytes. The longest that is written holds a command of 2 MB, six
/// bytes for each of its own.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How much memory a file may ask for to be unpacked: 2 to the power of this, in bytes.
const WINDOW_LOG_MAX: u32 = 24;

pub struct Reader<R: Read> {
    input: BufReader<Decoder<'static, BufReader<R>>>,
    sha256: Sha256,
    text: Vec<u8>,
    lines: u64,
    /// Of the format: the header says it.
    version: u32,
    has_ended: bool,
}

/// What every version's header has.
#[derive(Deserialize)]
struct AnyHeader {
    format: String,
    version: u32,
}

impl<R: Read> Reader<R> {
    pub fn new(file: R) -> Result<Self, Error> {
        let mut unpacked = Decoder::new(file).map_err(Error::damaged)?;
        unpacked.window_log_max(WINDOW_LOG_MAX).map_err(Error::damaged)?;
        let (input, sha256) = (BufReader::new(unpacked), Sha256::new());
        Ok(Self { input, sha256, text: Vec::new(), lines: 0, version: VERSION, has_ended: false })
    }

    /// The next line; `None` after the trailer, when that has told that the lines before it are
    /// what was written.
    pub fn next(&mut self) -> Result<Option<ExportLine>, Error> {
        self.text.clear();
        let mut limited = (&mut self.input).take(LINE_BYTES_MAX as u64);
        let bytes = limited.read_until(b'\n', &mut self.text).map_err(Error::damaged)?;
        if self.has_ended {
            let end = if bytes == 0 { Ok(None) } else { Err("there is more after its end") };
            return end.map_err(Error::damaged);
        }
        self.lines += 1;
        let Some((b'\n', text)) = self.text.split_last() else {
            return Err(self.damaged(if bytes == 0 { "the file was cut off" } else { "too long" }));
        };
        let text = std::str::from_utf8(text).map_err(|error| self.damaged(error))?;
        if self.lines == 1 {
            self.version = version(text)?;
        }
        let line = ExportLine::parse(text, self.version).map_err(|error| self.damaged(error))?;
        if let ExportLine::Trailer(trailer) = &line {
            self.has_ended = true;
            let sha256 = self.sha256.finalize_reset();
            if trailer.sha256.as_slice() != sha256.as_slice() {
                return Err(Error::damaged("its checksum does not fit: it was changed"));
            }
        }
        self.sha256.update(&self.text);
        Ok(Some(line))
    }

    fn damaged(&self, what: impl ToString) -> Error {
        Error::Damaged(format!("line {}: {}", self.lines, what.to_string()))
    }
}

/// An older Weft can't read a newer header, but say so.
fn version(text: &str) -> Result<u32, Error> {
    let header: AnyHeader =
        serde_json::from_str(text).map_err(|_| Error::damaged("it has no header"))?;
    if header.format != FORMAT {
        return Err(Error::damaged(format!("its format is {:?}", header.format)));
    }
    if header.version > VERSION {
        return Err(Error::NewerFormat(header.version));
    }
    Ok(header.version)
}
