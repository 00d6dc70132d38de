//! Power cuts for a store in a folder: what the disk has for certain, and what may become of the rest.

pub mod disk;
pub mod spoil;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const BLOCK: usize = 64 * 1024;

/// Where the file's bytes end that are not zero, where that is known to be at or after `from`.
pub fn data_end(path: &Path, from: u64) -> u64 {
    let Ok(mut file) = File::open(path) else { return 0 };
    file.seek(SeekFrom::Start(from)).expect("seek");
    let (mut end, mut at, mut block) = (from, from, vec![0; BLOCK]);
    loop {
        let len = file.read(&mut block).expect("read");
        let used = block[..len].iter().rposition(|byte| *byte != 0);
        if let Some(last) = used {
            end = at + last as u64 + 1;
        }
        // What is written is never a block of zeros.
        if used.is_none() {
            return end;
        }
        at += len as u64;
    }
}

/// Copies a file, and makes it as long as it was. One that was renamed meanwhile is left out.
pub fn copy_file(from: &Path, to: &Path) {
    let Ok(mut source) = File::open(from) else { return };
    let len = source.metadata().expect("metadata").len();
    let mut bytes = vec![0; usize::try_from(data_end(from, 0)).expect("small")];
    source.read_exact(&mut bytes).expect("read");
    let mut file = File::create(to).expect("create");
    file.write_all(&bytes).expect("write");
    file.set_len(len.max(bytes.len() as u64)).expect("length");
}

/// Copies a folder. Small files first: a list of tables is never newer than the tables.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    let mut paths = entries(from);
    paths.sort_by_key(|path| fs::metadata(path).map_or(0, |found| found.len()));
    for path in paths {
        let target = to.join(path.file_name().expect("name"));
        if path.is_dir() { copy_folder(&path, &target) } else { copy_file(&path, &target) }
    }
}

pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("folder");
    entries.map(|entry| entry.expect("entry").path()).collect()
}
