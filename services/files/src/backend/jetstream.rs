//! The bucket `WEFT_FILES` of JetStream.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use weft_nats::{Bus, Error as NatsError, FileBucket};
use weft_proto::FileId;

use super::{Backend, ByteStream};
use crate::error::Error;
use crate::signed::Variant;

pub struct JetStream(FileBucket);

impl JetStream {
    /// Looks whether the bucket is there.
    ///
    /// # Errors
    /// [`Error::StorageAway`] where core has not made it yet, or NATS is away; [`Error::Nats`].
    pub async fn open(bus: &Bus) -> Result<Self, Error> {
        match FileBucket::open(bus).await {
            Ok(bucket) => Ok(Self(bucket)),
            Err(NatsError::NoStream(_)) => {
                let why = "there is no bucket WEFT_FILES: core makes it, with --files-stream-bytes";
                Err(Error::StorageAway(why.to_owned()))
            }
            Err(error) if error.is_retryable() => Err(Error::StorageAway(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

fn name(file: FileId, variant: Variant) -> String {
    format!("{file}.{}", variant.letter())
}

fn failed(error: NatsError) -> io::Error {
    let kind = if error.is_full() { ErrorKind::StorageFull } else { ErrorKind::Other };
    io::Error::new(kind, error)
}

#[async_trait::async_trait]
impl Backend for JetStream {
    async fn put(&self, file: FileId, variant: Variant, from: &Path) -> io::Result<()> {
        let from = tokio::fs::File::open(from).await?;
        self.0.put(&name(file, variant), from).await.map_err(failed)
    }

    async fn size(&self, file: FileId, variant: Variant) -> io::Result<Option<u64>> {
        let found = self.0.find(&name(file, variant)).await.map_err(failed)?;
        Ok(found.map(|found| found.size))
    }

    async fn read(
        &self,
        file: FileId,
        variant: Variant,
        range: Range<u64>,
    ) -> io::Result<Option<ByteStream>> {
        let found = self.0.find(&name(file, variant)).await.map_err(failed)?;
        Ok(found.map(|found| self.0.read(&found, range).map_err(failed).boxed()))
    }

    async fn delete(&self, file: FileId) -> io::Result<()> {
        for variant in Variant::ALL {
            self.0.delete(&name(file, variant)).await.map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weft_harness::server::Server;

    use super::super::suite::keeps_what_it_is_given;
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_what_it_is_given_and_says_when_it_is_full() {
        let server = Server::new(1).await;
        let bus = server.bus("files", "files-1").await;
        let backend = JetStream::open(&bus).await.expect("opened");
        keeps_what_it_is_given(&backend).await;

        // What is more than the stream may have is refused whole, and takes no room from others.
        let (file, original) = (FileId::from_parts(3, 3), Variant::Original);
        let large = server.folder().path().join("large");
        std::fs::write(&large, vec![7; 70_000_000]).expect("written");
        let error = backend.put(file, original, &large).await.expect_err("full");
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        assert_eq!(backend.size(file, original).await.expect("size"), None);
        std::fs::write(&large, vec![7; 50_000_000]).expect("written");
        backend.put(file, original, &large).await.expect("there is room");
        assert_eq!(backend.size(file, original).await.expect("size"), Some(50_000_000));
        bus.close().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_its_bucket_it_says_who_makes_it() {
        let server = Server::bare(1).await;
        let bus = server.bus("files", "files-1").await;
        let Err(error) = JetStream::open(&bus).await else { panic!("opened") };
        assert!(error.is_retryable() && error.to_string().contains("--files-stream-bytes"));
    }
}
