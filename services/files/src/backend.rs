//! Where the bytes of finished files are.

mod folder;
mod jetstream;
mod s3;
#[cfg(test)]
mod suite;

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use weft_nats::Bus;
use weft_proto::FileId;

use self::folder::Folder;
pub(crate) use self::folder::sync;
use self::jetstream::JetStream;
use self::s3::S3;
pub use self::s3::{S3Credentials, S3Keys, S3Options};
use crate::error::Error;
use crate::signed::Variant;

/// Where the bytes of finished files are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum BackendPlace {
    /// Below the node's own data folder.
    #[default]
    Folder,
    /// In a bucket that core makes.
    JetStream,
    S3(S3Options),
}

/// Opens a backend. `data` is the node's own folder, `bus` its connection.
///
/// # Errors
/// [`Error::StorageAway`] where it may be there later; [`Error::StorageRefused`], [`Error::Folder`].
pub async fn open(place: &BackendPlace, data: &Path, bus: &Bus) -> Result<Box<dyn Backend>, Error> {
    match place {
        BackendPlace::Folder => {
            let path = data.join("objects");
            let opened = Folder::open(&path);
            Ok(Box::new(opened.map_err(|source| Error::Folder { path, source })?))
        }
        BackendPlace::JetStream => Ok(Box::new(JetStream::open(bus).await?)),
        BackendPlace::S3(options) => Ok(Box::new(S3::open(options, data).await?)),
    }
}

/// Bytes on their way out.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Keeps bytes under a file's id. A read holds some hundred kB of them in memory; what all calls of `put` together hold
/// has a bound of its own with each backend.
#[async_trait::async_trait]
pub trait Backend: Send + Sync {
    /// Keeps what is in a file of the local disk. When it returns they are there, whole, and will be after a
    /// power failure; before that nobody reads anything of them. What was there before is replaced.
    async fn put(&self, file: FileId, variant: Variant, from: &Path) -> io::Result<()>;

    /// How many bytes; `None`: there are none.
    async fn size(&self, file: FileId, variant: Variant) -> io::Result<Option<u64>>;

    /// These bytes, all within its size; `None`: there are none.
    async fn read(
        &self,
        file: FileId,
        variant: Variant,
        range: Range<u64>,
    ) -> io::Result<Option<ByteStream>>;

    /// Deletes all of a file. One that is not there is deleted already.
    async fn delete(&self, file: FileId) -> io::Result<()>;
}
