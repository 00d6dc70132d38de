//! A disk that is watched: this file takes the place of `fsync`, `fdatasync` and `unlink` in the whole
//! test process, and remembers what each of them made certain. At some of them, as a seed decides,
//! it takes a picture: the folder as it is, and what of it a power cut could not take back.
//!
//! Nothing becomes certain while a picture is taken: all calls go through one lock.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, OsString, c_char, c_int};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{copy_folder, data_end, entries};

/// Files up to this size may be replaced by a rename; their old content is remembered.
const SMALL_BYTES: u64 = 4096;
/// Calls until a store is made, about.
const BEGINNING_CALLS: u32 = 60;

/// A folder as a power cut finds it.
pub struct Picture {
    /// A copy of it.
    pub folder: PathBuf,
    pub things: Vec<Thing>,
    /// Files whose removal is not certain: where they were, and a copy.
    pub removed: Vec<(PathBuf, PathBuf)>,
    /// What had been answered.
    pub answered: BTreeSet<u32>,
}

/// A file or folder.
pub struct Thing {
    /// Where it is, below the folder.
    pub place: PathBuf,
    /// Bytes that are certain.
    pub synced: u64,
    /// Its name is certain.
    pub is_named: bool,
    /// What the name certainly meant, where it may mean something else now.
    pub old: Option<Vec<u8>>,
}

struct Disk {
    root: PathBuf,
    pictures_folder: PathBuf,
    random: SmallRng,
    calls: u32,
    pictures_max: usize,
    pictures: Vec<Picture>,
    synced: HashMap<u64, u64>,
    names: HashMap<PathBuf, HashMap<OsString, u64>>,
    small: HashMap<PathBuf, Vec<u8>>,
    removed: Vec<(PathBuf, PathBuf)>,
    answered: BTreeSet<u32>,
}

static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches what happens below `root`.
pub fn watch(root: &Path, pictures_folder: &Path, seed: u64, pictures_max: usize) {
    *disk() = Some(Disk {
        root: root.to_owned(),
        pictures_folder: pictures_folder.to_owned(),
        random: SmallRng::seed_from_u64(seed),
        calls: 0,
        pictures_max,
        pictures: Vec::new(),
        synced: HashMap::new(),
        names: HashMap::new(),
        small: HashMap::new(),
        removed: Vec::new(),
        answered: BTreeSet::new(),
    });
}

/// Somebody was told that this batch is committed.
pub fn answered(number: u32) {
    if let Some(disk) = &mut *disk() {
        disk.answered.insert(number);
    }
}

/// Stops watching.
pub fn pictures() -> Vec<Picture> {
    disk().take().map(|disk| disk.pictures).unwrap_or_default()
}

impl Disk {
    fn place(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    fn before_sync(&self, path: &Path) -> Certain {
        if path.is_dir() {
            let found = entries(path).into_iter().filter_map(|path| {
                let found = fs::symlink_metadata(&path).ok()?;
                let small = found.is_file() && found.len() <= SMALL_BYTES;
                let content = if small { fs::read(&path).ok() } else { None };
                Some((path, found.ino(), content))
            });
            return Certain::Names(found.collect());
        }
        let ino = fs::metadata(path).map_or(0, |found| found.ino());
        let from = self.synced.get(&ino).copied().unwrap_or(0);
        Certain::Bytes { ino, end: data_end(path, from) }
    }

    fn after_sync(&mut self, path: &Path, certain: Certain) {
        match certain {
            Certain::Bytes { ino, end } => {
                self.synced.insert(ino, end);
            }
            Certain::Names(found) => {
                self.removed.retain(|(removed, _)| removed.parent() != Some(path));
                let mut names = HashMap::new();
                for (path, ino, content) in found {
                    names.insert(path.file_name().expect("name").to_owned(), ino);
                    if let Some(content) = content {
                        self.small.insert(path, content);
                    }
                }
                self.names.insert(path.to_owned(), names);
            }
        }
    }

    /// A third of them in the beginning, where a store is made.
    fn maybe_picture(&mut self) {
        self.calls += 1;
        let (one_in, max) = match self.calls < BEGINNING_CALLS {
            true => (8, self.pictures_max / 3),
            false => (10, self.pictures_max),
        };
        if self.pictures.len() < max && self.random.random_range(0..one_in) == 0 {
            self.picture();
        }
    }

    fn picture(&mut self) {
        let folder = self.pictures_folder.join(self.pictures.len().to_string());
        copy_folder(&self.root, &folder);
        let mut things = Vec::new();
        self.describe(&self.root, &mut things);
        let removed = self.removed.iter();
        let removed = removed.filter_map(|(path, kept)| Some((self.place(path)?, kept.clone())));
        let (removed, answered) = (removed.collect(), self.answered.clone());
        self.pictures.push(Picture { folder, things, removed, answered });
    }

    fn describe(&self, folder: &Path, things: &mut Vec<Thing>) {
        for path in entries(folder) {
            let Some(place) = self.place(&path) else { continue };
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let names = self.names.get(folder);
            let named = names.and_then(|names| names.get(path.file_name().expect("name")));
            let is_named = named == Some(&found.ino());
            let is_replaced = named.is_some() && !is_named;
            let old = if is_replaced { self.small.get(&path).cloned() } else { None };
            let synced = self.synced.get(&found.ino()).copied().unwrap_or(0);
            things.push(Thing { place, synced, is_named, old });
            if path.is_dir() {
                self.describe(&path, things);
            }
        }
    }
}

enum Certain {
    Bytes { ino: u64, end: u64 },
    Names(Vec<(PathBuf, u64, Option<Vec<u8>>)>),
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// As the system's library answers.
fn answer(done: rustix::io::Result<()>) -> c_int {
    let Err(error) = done else { return 0 };
    // SAFETY: it is this thread's own.
    unsafe { *__errno_location() = error.raw_os_error() };
    -1
}

fn sync(fd: c_int, real: impl FnOnce(BorrowedFd<'_>) -> rustix::io::Result<()>) -> c_int {
    // SAFETY: the caller's file is open for the time of the call.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let path = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let mut disk = disk();
    let Some(disk) = disk.as_mut().filter(|disk| disk.place(&path).is_some()) else {
        drop(disk);
        return answer(real(file));
    };
    disk.maybe_picture();
    let certain = disk.before_sync(&path);
    let done = real(file);
    disk.after_sync(&path, certain);
    disk.maybe_picture();
    answer(done)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, |file| rustix::fs::fsync(file))
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, |file| rustix::fs::fdatasync(file))
}

/// # Safety
/// As of the function whose place it takes.
#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's string ends with a zero.
    let bytes = unsafe { CStr::from_ptr(path) }.to_bytes();
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    let mut disk = disk();
    if let Some(disk) = disk.as_mut().filter(|disk| disk.place(&path).is_some()) {
        let kept = disk.pictures_folder.join(format!("removed-{}", disk.calls));
        disk.calls += 1;
        if fs::hard_link(&path, &kept).is_ok() {
            disk.removed.push((path.clone(), kept));
        }
    }
    answer(rustix::fs::unlink(&path))
}
