//! A small file of our own beside the database: which boot of the machine wrote to it last, and the
//! store's mark. It is made when the store is, after the first sync: without it nothing was
//! answered by this Weft.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const LIFE_FILE: &str = "life.json";

/// See above.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Life {
    /// See [`State::mark`](crate::embedded::keys::State::mark). Never 0.
    pub mark: u64,
    /// The machine's boot; `None` where the system doesn't say.
    pub boot: Option<String>,
}

impl Life {
    /// What was written last; `None` where there is nothing that can be read.
    pub fn read(store: &Path) -> io::Result<Option<Self>> {
        read_json(&store.join(LIFE_FILE))
    }

    /// Writes it, so that it is there whole or not at all.
    pub fn write(&self, store: &Path) -> io::Result<()> {
        write_json(store, LIFE_FILE, self)
    }

    /// Nobody but a process that was killed has stopped writing since: the machine ran on, so all
    /// that was written is there.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot.is_some() && self.boot == boot()
    }
}

/// Names the time since the machine was started.
pub fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// `None` where there is no such file, or something else in it.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a new file and puts it into the place of the old one.
pub fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    sync_folder(folder)
}

/// A new file or folder is durable only when the folder that names it is.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
