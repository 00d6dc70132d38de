//! Where the bytes of finished files are.

mod folder;
#[cfg(test)]
mod suite;

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use weft_proto::FileId;

pub use self::folder::Folder;
pub(crate) use self::folder::sync;
use crate::signed::Variant;

/// Bytes on their way out.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Keeps bytes under a file's id. None of its calls holds more than some hundred kB of them in memory.
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
