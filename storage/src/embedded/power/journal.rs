//! All journals of a database, oldest first, as one row of batches.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::batch::{self, Broken, JournalBatch, MAGIC};

/// The library counts up from 0: a number beyond this is damage.
const SEQNO_MAX: u64 = 1 << 62;
const BLOCK: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct JournalPlace {
    /// Index of the file, oldest first.
    pub file: usize,
    /// Bytes from its start.
    pub offset: usize,
}

/// Where the row of whole batches ends though there is more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Break {
    /// Behind the last whole batch of the row.
    pub at: JournalPlace,
    /// What follows is the beginning of a batch and nothing else: somebody stopped writing.
    pub is_torn: bool,
    /// The whole batches that follow.
    pub after: Vec<(JournalPlace, JournalBatch)>,
    /// Bytes from there on, up to the last one that is not zero.
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Journals {
    /// The files, oldest first.
    pub files: Vec<PathBuf>,
    /// The newest version in the row of whole batches.
    pub version: Option<u64>,
    /// Where that row is broken off.
    pub broken: Option<Break>,
    /// There is anything but zeros.
    pub has_data: bool,
}

/// Reads all journals in the database's folder.
pub fn read(folder: &Path) -> io::Result<Journals> {
    let mut journals = Journals { files: files(folder)?, ..Journals::default() };
    let mut seqno = None;
    for (file, path) in journals.files.clone().iter().enumerate() {
        let bytes = data(path)?;
        journals.has_data |= !bytes.is_empty();
        journals.read_file(file, &bytes, &mut seqno);
    }
    Ok(journals)
}

impl Journals {
    fn read_file(&mut self, file: usize, bytes: &[u8], seqno: &mut Option<u64>) {
        let mut offset = 0;
        while offset < bytes.len() {
            let found = batch::read(&bytes[offset..]).and_then(|batch| {
                let grows = seqno.is_none_or(|before| before < batch.seqno);
                if grows && batch.seqno < SEQNO_MAX { Ok(batch) } else { Err(Broken::Checksum) }
            });
            let at = JournalPlace { file, offset };
            match (found, &mut self.broken) {
                (Ok(batch), None) => {
                    *seqno = Some(batch.seqno);
                    self.version = batch.state.map(|state| state.version).or(self.version);
                    offset += batch.len;
                }
                (Ok(batch), Some(broken)) => {
                    *seqno = Some(batch.seqno);
                    offset += batch.len;
                    broken.after.push((at, batch));
                    broken.is_torn = false;
                }
                (Err(why), None) => {
                    let is_torn =
                        why == Broken::At(bytes.len() - offset) && !bytes.ends_with(&MAGIC);
                    let bytes = (bytes.len() - offset) as u64;
                    self.broken = Some(Break { at, is_torn, after: Vec::new(), bytes });
                    offset += 1;
                }
                (Err(_), Some(_)) => offset += 1,
            }
        }
        if let Some(broken) = &mut self.broken
            && broken.at.file < file
            && !bytes.is_empty()
        {
            broken.is_torn = false;
            broken.bytes += bytes.len() as u64;
        }
    }
}

/// The journals in the folder, oldest first.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(number) = name.strip_suffix(".jnl").and_then(|name| name.parse::<u64>().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The file's bytes up to the last one that is not zero. Holes cost nothing.
pub fn data(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let file_len = file.metadata()?.len();
    let mut bytes = Vec::new();
    let mut block = vec![0; BLOCK];
    let zeros = vec![0; BLOCK];
    let mut at = next_data(&mut file, 0, file_len);
    while at < file_len {
        file.seek(SeekFrom::Start(at))?;
        let len = file.read(&mut block)?;
        if len == 0 {
            break;
        }
        if block[..len] != zeros[..len] {
            let used = len - block[..len].iter().rev().take_while(|byte| **byte == 0).count();
            bytes.resize(usize::try_from(at).unwrap_or(usize::MAX), 0);
            bytes.extend_from_slice(&block[..used]);
        }
        at = next_data(&mut file, at + len as u64, file_len);
    }
    Ok(bytes)
}

/// Where the file goes on with something other than a hole. Where the system can't say, it has none.
fn next_data(file: &mut File, from: u64, file_len: u64) -> u64 {
    match rustix::fs::seek(&*file, rustix::fs::SeekFrom::Data(from)) {
        Ok(at) => at,
        Err(rustix::io::Errno::NXIO) => file_len,
        Err(_) => from,
    }
}
