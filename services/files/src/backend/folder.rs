//! A folder of the local disk.
//!
//! ```text
//! <two characters>/<id>.<variant>   the bytes; the characters are the last ones of the id
//! new/<id>.<variant>                what has no name yet
//! ```

use std::fs;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;
use weft_proto::FileId;

use super::{Backend, ByteStream};
use crate::signed::Variant;

/// How much of a file is read at once.
const READ_BYTES: usize = 128 << 10;

#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, where there is none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path.join("new"))?;
        sync(path)?;
        Ok(Self { path: path.to_owned() })
    }

    fn place(&self, file: FileId, variant: Variant) -> (PathBuf, String) {
        let id = file.to_string();
        let folder = self.path.join(&id[id.len() - 2..]);
        (folder, format!("{id}.{}", variant.letter()))
    }

    fn keep(&self, file: FileId, variant: Variant, from: &Path) -> io::Result<()> {
        let (folder, name) = self.place(file, variant);
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            sync(&self.path)?;
        }
        let unfinished = self.path.join("new").join(&name);
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // A second name for the same bytes: nothing is copied, and what they came from stays until it is known that
        // they are kept.
        if fs::hard_link(from, &unfinished).is_err() {
            fs::copy(from, &unfinished)?;
        }
        fs::File::open(&unfinished)?.sync_all()?;
        fs::rename(&unfinished, folder.join(&name))?;
        sync(&folder)
    }

    fn remove(&self, file: FileId) -> io::Result<()> {
        let mut folder = PathBuf::new();
        let mut had_some = false;
        for variant in Variant::ALL {
            let name;
            (folder, name) = self.place(file, variant);
            match fs::remove_file(folder.join(name)) {
                Ok(()) => had_some = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if had_some { sync(&folder) } else { Ok(()) }
    }
}

/// Has the names in a folder outlast a power failure.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[async_trait::async_trait]
impl Backend for Folder {
    async fn put(&self, file: FileId, variant: Variant, from: &Path) -> io::Result<()> {
        let (this, from) = (self.clone(), from.to_owned());
        spawn_blocking(move || this.keep(file, variant, &from)).await?
    }

    async fn size(&self, file: FileId, variant: Variant) -> io::Result<Option<u64>> {
        let (folder, name) = self.place(file, variant);
        let found = present(tokio::fs::metadata(folder.join(name)).await)?;
        Ok(found.map(|found| found.len()))
    }

    async fn read(
        &self,
        file: FileId,
        variant: Variant,
        range: Range<u64>,
    ) -> io::Result<Option<ByteStream>> {
        let (folder, name) = self.place(file, variant);
        let path = folder.join(name);
        let opened = spawn_blocking(move || {
            let mut opened = fs::File::open(path)?;
            opened.seek(SeekFrom::Start(range.start))?;
            Ok(opened)
        });
        let Some(opened) = present(opened.await?)? else { return Ok(None) };
        let bytes = tokio::fs::File::from_std(opened).take(range.end - range.start);
        Ok(Some(ReaderStream::with_capacity(bytes, READ_BYTES).boxed()))
    }

    async fn delete(&self, file: FileId) -> io::Result<()> {
        let this = self.clone();
        spawn_blocking(move || this.remove(file)).await?
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::keeps_what_it_is_given;
    use super::*;

    #[tokio::test]
    async fn it_keeps_what_it_is_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = Folder::open(folder.path()).expect("opened");
        keeps_what_it_is_given(&backend).await;
        assert_eq!(fs::read_dir(folder.path().join("new")).expect("read").count(), 0);
    }
}
