//! What has been uploaded so far, on the local disk. How far an upload is, is how long its file is: there is
//! no other state, so nothing has to be put right after a crash.
//!
//! ```text
//! lock               held while a process uses the folder
//! uploads/<id>.part  the bytes as they came
//! uploads/<id>.<x>   what is made of them, on its way to the backend: clean, s, m
//! uploads/<id>.tries a byte for each time that an image was looked at and the process ended in the middle
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use weft_proto::FileId;

use crate::backend::sync;
use crate::error::Error;

/// What is left free on the disk whatever is uploaded: the store may be there, too, and stops 256 MB before it is
/// full; what is made of images comes on top.
pub(crate) const FREE_BYTES_MIN: u64 = 1 << 30;

#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    _lock: File,
}

impl Staging {
    /// Nobody else may use the folder meanwhile.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Folder`].
    pub fn open(data: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Folder { path: data.to_owned(), source };
        let folder = data.join("uploads");
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::options().create(true).truncate(false).write(true).open(data.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(data.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        sync(data).map_err(failed)?;
        Ok(Self { folder, _lock: lock })
    }

    /// Where the bytes are that came.
    pub fn part(&self, file: FileId) -> PathBuf {
        self.made(file, "part")
    }

    /// Where something that is made of them is.
    pub fn made(&self, file: FileId, what: &str) -> PathBuf {
        self.folder.join(format!("{file}.{what}"))
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] where the disk has no room for it; what the file system says.
    pub fn create(&self, file: FileId, size: u64) -> io::Result<()> {
        keeps_free(&File::open(&self.folder)?, size, FREE_BYTES_MIN)?;
        File::create(self.part(file))?;
        sync(&self.folder)
    }

    /// How many bytes have come; `None`: there is no such upload here.
    pub fn length(&self, file: FileId) -> io::Result<Option<u64>> {
        match fs::metadata(self.part(file)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes that an image is looked at from now on. How often that was begun before and has not come to an end: what
    /// makes a decoder end the whole process must not meet it over and over.
    pub fn begin_try(&self, file: FileId) -> io::Result<u64> {
        let path = self.made(file, "tries");
        let mut tries = File::options().create(true).append(true).open(path)?;
        let before = tries.metadata()?.len();
        tries.write_all(b"x")?;
        Ok(before)
    }

    /// It came to an end.
    pub fn end_try(&self, file: FileId) -> io::Result<()> {
        remove(&self.made(file, "tries"))
    }

    /// Forgets an upload.
    pub fn remove(&self, file: FileId) -> io::Result<()> {
        for what in ["clean", "s", "m", "tries", "part"] {
            remove(&self.made(file, what))?;
        }
        Ok(())
    }

    /// Deletes what nobody has touched for so long. How many files.
    pub fn sweep(&self, age: Duration) -> io::Result<usize> {
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut swept = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // It may have been removed meanwhile.
            let Ok(touched) = entry.metadata().and_then(|found| found.modified()) else { continue };
            if touched < before {
                remove(&entry.path())?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A new file in place of one that may be there: the old one's bytes may have other names.
pub fn create_anew(path: &Path) -> io::Result<File> {
    remove(path)?;
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Whether so many bytes more leave so many free on the disk of a file.
///
/// # Errors
/// [`ErrorKind::StorageFull`] where they don't; what the file system says.
pub(crate) fn keeps_free(on: &File, bytes: u64, free_min: u64) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(on)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < bytes.saturating_add(free_min) { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_would_fill_the_disk_are_refused() {
        let file = tempfile::tempfile().expect("a file");
        assert!(keeps_free(&file, 1, 0).is_ok());
        for (bytes, free_min) in [(u64::MAX, 0), (0, u64::MAX / 2), (1, u64::MAX)] {
            let refused = keeps_free(&file, bytes, free_min).expect_err("no disk has so many");
            assert_eq!(refused.kind(), ErrorKind::StorageFull, "{bytes} {free_min}");
        }
    }

    #[test]
    fn one_process_uses_a_folder_and_what_is_old_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let staging = Staging::open(folder.path()).expect("opened");
        assert!(matches!(Staging::open(folder.path()), Err(Error::InUse(_))));
        let (old, new) = (FileId::from_parts(1, 1), FileId::from_parts(2, 2));
        staging.create(old, 5).expect("created");
        staging.create(new, 5).expect("created");
        fs::write(staging.part(new), b"abc").expect("written");
        assert_eq!(staging.length(new).expect("read"), Some(3));
        let error = staging.create(FileId::from_parts(3, 3), u64::MAX).expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let touched = File::options().write(true).open(staging.part(old)).expect("opened");
        touched.set_modified(SystemTime::now() - Duration::from_secs(100)).expect("made old");
        assert_eq!(staging.sweep(Duration::from_secs(90)).expect("swept"), 1);
        assert_eq!(staging.length(old).expect("read"), None);
        staging.remove(new).expect("removed");
        staging.remove(new).expect("nothing to remove");
        assert_eq!(staging.length(new).expect("read"), None);
        drop(staging);
        Staging::open(folder.path()).expect("nobody has it");
    }
}
