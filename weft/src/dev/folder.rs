//! The data folder of `weft dev`.
//!
//! ```text
//! lock                     held while a weft runs here; its process id
//! node                     the node's name
//! secrets/<user>.password  of each NATS user, readable by the owner alone
//! secrets/<bot>.token      of each bot of `--bot`
//! secrets/bots.seed        the key by which core answers for bots' logins
//! store/                   the embedded store
//! search/                  the index of all messages
//! files/                   uploaded files
//! nats/                    nats-server's configuration, log and streams
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use weft_proto::{NodeId, UserId};

use crate::error::Error;
use crate::nats_login::read_password;
use crate::process::{new_node_name, node_name};

/// What must be free to start on: the store refuses commits below 256 MB, and the streams need
/// room too.
const FREE_BYTES_MIN: u64 = 300 * 1024 * 1024;

/// An open data folder: nobody else has it. The lock ends with this value, or with the process.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self, Error> {
        make_private_folder(path)?;
        let lock = lock(path)?;
        check_free_space(path)?;
        make_private_folder(&path.join("secrets"))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Opens it where a `weft dev` has made it.
    pub fn open_existing(path: &Path) -> Result<Self, Error> {
        if !path.join("store").is_dir() {
            return Err(Error::Failed(format!("{} is no data folder", path.display())));
        }
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub fn search(&self) -> PathBuf {
        self.path.join("search")
    }

    /// The key of Web Push.
    pub fn push_key(&self) -> PathBuf {
        self.path.join("secrets").join("push.pem")
    }

    /// The key of bots' logins.
    pub fn bots_seed(&self) -> PathBuf {
        self.path.join("secrets").join("bots.seed")
    }

    /// The file that holds a token of a bot.
    pub fn token_file(&self, bot: &UserId) -> PathBuf {
        self.path.join("secrets").join(format!("{bot}.token"))
    }

    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    pub fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// The node's name: kept, so that a restart takes over what its earlier life held.
    pub fn node_name(&self) -> Result<NodeId, Error> {
        let file = self.path.join("node");
        let text = kept(&file, 0o644, || Ok(new_node_name("dev")?.to_string()))?;
        node_name(text.trim())
    }

    /// The file that holds the password of a NATS user.
    pub fn password_file(&self, user: &str) -> PathBuf {
        self.path.join("secrets").join(format!("{user}.password"))
    }

    /// The password of a NATS user, made at first use.
    pub fn password(&self, user: &str) -> Result<String, Error> {
        let file = self.password_file(user);
        kept(&file, 0o600, || Ok(new_password()))?;
        read_password(&file)
    }
}

/// 128 random bits. The letter at its start keeps nats-server from reading it as a number.
pub fn new_password() -> String {
    format!("w{:032x}", rand::random::<u128>())
}

fn make_private_folder(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::io(format!("can't use the folder {}", path.display())))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let mut options = File::options();
    let opened = options.create(true).truncate(false).read(true).write(true).open(&path);
    let mut file = opened.map_err(Error::file(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only a hint for people; the lock itself counts.
            let _ = file.read_to_string(&mut text);
            let owner = text.trim().parse::<u32>().map(|pid| format!(" (process {pid})"));
            return Err(Error::InUse {
                folder: folder.display().to_string(),
                owner: owner.unwrap_or_default(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(Error::file(&path)(error)),
    }
    let note = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    note.map_err(Error::file(&path))?;
    Ok(file)
}

fn check_free_space(folder: &Path) -> Result<(), Error> {
    // Where the system doesn't say, the first write will.
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= FREE_BYTES_MIN {
        return Ok(());
    }
    Err(Error::DiskFull {
        folder: folder.display().to_string(),
        free_mb: free >> 20,
        needed_mb: FREE_BYTES_MIN >> 20,
    })
}

/// A small file's text. Where it is missing it is made whole or not at all, and synced. Of several processes that make
/// it at the same time each gets the same text.
pub fn kept(
    file: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, Error>,
) -> Result<String, Error> {
    match fs::read_to_string(file) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::file(file)(error)),
    }
    let text = make()?;
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let write = || {
        let mut unfinished = tempfile::Builder::new();
        unfinished.permissions(fs::Permissions::from_mode(mode));
        let mut out = unfinished.tempfile_in(folder)?;
        writeln!(out, "{text}")?;
        out.as_file().sync_all()?;
        match out.persist_noclobber(file) {
            Ok(_) => Ok(text),
            // Another one was quicker.
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                fs::read_to_string(file)
            }
            Err(error) => Err(error.error),
        }
    };
    write().map_err(Error::file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_a_file_at_the_same_time_gets_the_same_text() {
        let temp = tempfile::tempdir().expect("folder");
        for round in 0..50 {
            let file = temp.path().join(format!("key-{round}"));
            let make = |number: usize| Ok(format!("made by {number}"));
            let texts = std::thread::scope(|scope| {
                let file = &file;
                let makers =
                    (0..4).map(|number| scope.spawn(move || kept(file, 0o600, || make(number))));
                let makers: Vec<_> = makers.collect();
                makers.into_iter().map(|it| it.join().expect("thread")).collect::<Vec<_>>()
            });
            let is = fs::read_to_string(&file).expect("file");
            for text in texts {
                assert_eq!(text.expect("kept").trim(), is.trim());
            }
            let mode = fs::metadata(&file).expect("file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let left = fs::read_dir(temp.path()).expect("folder").count();
        assert_eq!(left, 50, "nothing unfinished is left");
    }

    #[test]
    fn passwords_and_the_node_name_are_kept_and_private() {
        let temp = tempfile::tempdir().expect("folder");
        let path = temp.path().join("data");
        let first = Folder::open(&path).expect("open");
        let (password, node) =
            (first.password("core").expect("password"), first.node_name().expect("node"));
        assert_eq!(password.len(), 33);
        drop(first);
        let again = Folder::open(&path).expect("open");
        assert_eq!(again.password("core").expect("password"), password);
        assert_eq!(again.node_name().expect("node"), node);
        assert_ne!(again.password("edge").expect("password"), password);
        let mode = fs::metadata(again.password_file("core")).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_belongs_to_one() {
        let temp = tempfile::tempdir().expect("folder");
        let _first = Folder::open(temp.path()).expect("open");
        let Err(error) = Folder::open(temp.path()) else { panic!("opened twice") };
        let line = error.one_line();
        assert!(line.contains("in use by another weft"), "{line}");
        assert!(line.contains(&format!("process {}", std::process::id())), "{line}");
    }
}
