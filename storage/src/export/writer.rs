//! Lines into a file: counted, checksummed, compressed.

use std::io::{self, Write};

use sha2::{Digest, Sha256};
use zstd::stream::write::Encoder;

use super::error::Error;
use super::line::{Plain, Trailer};
use super::{ExportCounts, ExportProgress, count};

/// zstd's own default: about as fast as a store can be read.
const LEVEL: i32 = 3;

pub struct ExportWriter<'a, W: Write> {
    out: Encoder<'static, W>,
    sha256: Sha256,
    counts: ExportCounts,
    lines: u64,
    bytes: u64,
    progress: ExportProgress<'a>,
}

impl<'a, W: Write> ExportWriter<'a, W> {
    pub fn new(sink: W, progress: ExportProgress<'a>) -> Result<Self, Error> {
        let mut out = Encoder::new(sink, LEVEL).map_err(failed)?;
        // It covers the last line too.
        out.include_checksum(true).map_err(failed)?;
        let (sha256, counts) = (Sha256::new(), ExportCounts::new());
        Ok(Self { out, sha256, counts, lines: 0, bytes: 0, progress })
    }

    pub fn line(&mut self, name: &str, mut text: Vec<u8>) -> Result<(), Error> {
        text.push(b'\n');
        self.sha256.update(&text);
        self.out.write_all(&text).map_err(failed)?;
        count(&mut self.counts, name);
        self.lines += 1;
        self.bytes += text.len() as u64;
        (self.progress)(self.lines);
        Ok(())
    }

    /// Writes the last line. The counts, and the bytes before compression.
    pub fn finish(mut self, whole: bool) -> Result<(ExportCounts, u64), Error> {
        let sha256 = self.sha256.finalize().to_vec();
        let trailer = Trailer { whole, counts: self.counts, sha256 };
        let mut text = Plain::Trailer(trailer.clone()).text();
        text.push(b'\n');
        self.out.write_all(&text).map_err(failed)?;
        self.out.finish().and_then(|mut sink| sink.flush()).map_err(failed)?;
        Ok((trailer.counts, self.bytes + text.len() as u64))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: io::Error) -> Error {
    let is_full = error.kind() == io::ErrorKind::StorageFull;
    Error::Write(if is_full { "the disk is full".to_owned() } else { error.to_string() })
}
