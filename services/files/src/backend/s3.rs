//! S3-compatible storage.
//!
//! ```text
//! <prefix>/<two characters>/<id>.<variant>   the bytes, as a folder has them: one can be copied to the other
//! <data>/s3/<id>.<variant>                   the name of an upload in parts that is under way
//! ```
//!
//! An object is there when all of it is: a large one is uploaded in parts, which are one only when the upload is
//! completed. What a kill leaves of parts is deleted by the next start, which finds the upload's name on the disk.

mod credentials;

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error as S3Error, GetOptions, GetRange, ObjectStore,
    ObjectStoreExt, RetryConfig,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use weft_proto::FileId;

pub use self::credentials::{S3Credentials, S3Keys};
use super::{Backend, ByteStream};
use crate::error::Error;
use crate::signed::Variant;

/// What is uploaded at once; a file of at most so many bytes is no upload in parts. S3 wants 5 MiB at the least.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Most parts of an upload.
const PARTS_MAX: u64 = 10_000;
/// Parts of one file that are on their way at once.
const PARTS_UNDERWAY: usize = 2;
/// What all uploads together hold of parts in memory.
const MEMORY_BYTES_MAX: u64 = 32 << 20;
const MIB: u64 = 1 << 20;
/// An upload gives up that has had no place in memory for so long.
const PLACE_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the storage may say nothing. A part has to be there within it.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A request that failed is tried again for so long after its beginning.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRIES_MAX: usize = 20;
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Where objects are, and by which key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Options {
    /// `https://host:port`; the bucket is the first part of the path there. `None`: AWS, where it is part of the host.
    pub endpoint: Option<String>,
    pub region: String,
    pub bucket: String,
    /// Before the name of each object; may be empty.
    pub prefix: String,
    /// `http://` will do.
    pub allows_http: bool,
    pub credentials: S3Credentials,
}

impl S3Options {
    fn place(&self) -> String {
        let endpoint = self.endpoint.as_deref().unwrap_or("AWS");
        format!("the bucket {} at {endpoint}", self.bucket)
    }

    fn store(&self, retries_max: usize) -> Result<AmazonS3, Error> {
        let client = ClientOptions::new()
            .with_allow_http(self.allows_http)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(SILENCE_MAX)
            // A download takes as long as its client does.
            .with_timeout_disabled();
        let backoff = BackoffConfig { max_backoff: RETRY_PAUSE_MAX, ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: retries_max, retry_timeout: RETRY_FOR };
        let mut builder = AmazonS3Builder::new()
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.endpoint.is_none())
            .with_credentials(self.credentials.provider()?)
            // Many servers lack it, and a file has three objects.
            .with_disable_bulk_delete(true)
            .with_client_options(client)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build().map_err(|error| Error::StorageRefused(error.to_string()))
    }

    /// Whether the bucket is there, and the key good for it.
    async fn check(&self, prefix: &Path) -> Result<(), Error> {
        let Err(error) = self.store(0)?.list(Some(prefix)).try_next().await else {
            return Ok(());
        };
        let (place, text) = (self.place(), with_causes(&error));
        // Of a list the library says the status in its text alone.
        let status = text.split_once("status code: ").and_then(|(_, rest)| rest.get(..3));
        match status.and_then(|status| status.parse::<u16>().ok()) {
            Some(404) => Err(Error::StorageRefused(format!("there is not {place}: {text}"))),
            Some(401 | 403) => Err(Error::StorageRefused(format!(
                "{place} refuses the key, or it may not list the bucket: {text}"
            ))),
            Some(status) if status < 500 && !matches!(status, 408 | 429) => {
                Err(Error::StorageRefused(format!("{place} refuses to list: {text}")))
            }
            _ => Err(Error::StorageAway(format!("{place}: {text}"))),
        }
    }
}

pub struct S3 {
    store: AmazonS3,
    prefix: Path,
    /// The names of uploads in parts.
    underway: PathBuf,
    /// In MiB.
    memory: Semaphore,
}

impl S3 {
    /// Looks whether the bucket can be used.
    ///
    /// # Errors
    /// [`Error::StorageRefused`], [`Error::StorageAway`]; [`Error::Folder`] of the node's own disk.
    pub async fn open(options: &S3Options, data: &FilePath) -> Result<Self, Error> {
        // An error says that the process has chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let underway = data.join("s3");
        let failed = |source| Error::Folder { path: underway.clone(), source };
        fs::create_dir_all(&underway).map_err(failed)?;
        let notes: Vec<_> = fs::read_dir(&underway).map_err(failed)?.flatten().collect();
        let prefix = Path::from(options.prefix.as_str());
        options.check(&prefix).await?;
        let memory = Semaphore::new((MEMORY_BYTES_MAX / MIB) as usize);
        let this = Self { store: options.store(RETRIES_MAX)?, prefix, underway, memory };
        for note in notes {
            let name = note.file_name().to_string_lossy().into_owned();
            match this.abandon(&name).await {
                Ok(()) => tracing::info!(name, "an upload in parts that was cut off is deleted"),
                Err(error) => tracing::warn!(name, %error, "an upload in parts is not deleted yet"),
            }
        }
        Ok(this)
    }

    /// Where an object is, by its last name.
    fn place(&self, name: &str) -> Path {
        let id = name.split('.').next().unwrap_or_default();
        let folder = &id[id.len().saturating_sub(2)..];
        self.prefix.clone().join(folder).join(name)
    }

    /// Deletes the parts of an upload that was cut off, if there was one.
    async fn abandon(&self, name: &str) -> io::Result<()> {
        let note = self.underway.join(name);
        let upload = match fs::read_to_string(&note) {
            Ok(upload) => upload,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match self.store.abort_multipart(&self.place(name), &upload).await {
            Ok(()) | Err(S3Error::NotFound { .. }) => fs::remove_file(note),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Room for so many bytes in memory.
    async fn room(&self, bytes: u64) -> io::Result<SemaphorePermit<'_>> {
        let mib = bytes.min(MEMORY_BYTES_MAX).div_ceil(MIB);
        let room = timeout(PLACE_TIMEOUT, self.memory.acquire_many(mib as u32)).await;
        let room = room.map_err(|_| io::Error::new(ErrorKind::TimedOut, "no room for a part"))?;
        room.map_err(io::Error::other)
    }

    async fn put_whole(&self, object: &Path, from: &Arc<fs::File>, size: u64) -> io::Result<()> {
        let _room = self.room(size).await?;
        let bytes = part(from, 0..size).await?;
        self.store.put(object, bytes.into()).await.map_err(|error| failed(&error))?;
        Ok(())
    }

    async fn put_in_parts(
        &self,
        name: &str,
        from: &Arc<fs::File>,
        size: u64,
        part_bytes: u64,
    ) -> io::Result<()> {
        let object = self.place(name);
        let upload = self.store.create_multipart(&object).await.map_err(|e| failed(&e))?;
        fs::write(self.underway.join(name), &upload)?;
        let (object, upload) = (&object, &upload);
        let put = |index: u64| async move {
            let range = index * part_bytes..size.min((index + 1) * part_bytes);
            let _room = self.room(range.end - range.start).await?;
            let bytes = part(from, range).await?;
            let put = self.store.put_part(object, upload, index as usize, bytes.into()).await;
            put.map_err(|error| failed(&error))
        };
        let parts = stream::iter(0..size.div_ceil(part_bytes)).map(put);
        let done = async {
            let parts: Vec<_> = parts.buffered(PARTS_UNDERWAY).try_collect().await?;
            let completed = self.store.complete_multipart(object, upload, parts).await;
            completed.map_err(|error| failed(&error))
        };
        match done.await {
            Ok(_) => fs::remove_file(self.underway.join(name)),
            Err(error) => {
                if let Err(error) = self.abandon(name).await {
                    tracing::warn!(name, %error, "an upload in parts is not deleted yet");
                }
                Err(error)
            }
        }
    }
}

/// How large the parts of a file are, so that they are not too many.
fn part_bytes(size: u64) -> u64 {
    size.div_ceil(PARTS_MAX).next_multiple_of(MIB).max(PART_BYTES_MIN)
}

async fn part(from: &Arc<fs::File>, range: Range<u64>) -> io::Result<Bytes> {
    let from = Arc::clone(from);
    let read = spawn_blocking(move || {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        from.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    });
    read.await?
}

fn present<T>(found: Result<T, S3Error>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(S3Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// Why a connection fails is the last cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn failed(error: &S3Error) -> io::Error {
    let text = with_causes(error);
    let kind = if is_full(&text) { ErrorKind::StorageFull } else { ErrorKind::Other };
    io::Error::new(kind, text)
}

/// Whether a server says that it takes no more: AWS never does, and others have their own words for it.
fn is_full(error: &str) -> bool {
    // The status, MinIO's disks and its quota of a bucket, Ceph's quota.
    let words = [
        "507 Insufficient Storage",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "<Code>QuotaExceeded</Code>",
    ];
    words.iter().any(|word| error.contains(word))
}

fn name(file: FileId, variant: Variant) -> String {
    format!("{file}.{}", variant.letter())
}

#[async_trait::async_trait]
impl Backend for S3 {
    async fn put(&self, file: FileId, variant: Variant, from: &FilePath) -> io::Result<()> {
        let from = Arc::new(fs::File::open(from)?);
        let (name, size) = (name(file, variant), from.metadata()?.len());
        self.abandon(&name).await?;
        match part_bytes(size) {
            part_bytes if size > part_bytes => {
                self.put_in_parts(&name, &from, size, part_bytes).await
            }
            _ => self.put_whole(&self.place(&name), &from, size).await,
        }
    }

    async fn size(&self, file: FileId, variant: Variant) -> io::Result<Option<u64>> {
        let found = present(self.store.head(&self.place(&name(file, variant))).await)?;
        Ok(found.map(|found| found.size))
    }

    async fn read(
        &self,
        file: FileId,
        variant: Variant,
        range: Range<u64>,
    ) -> io::Result<Option<ByteStream>> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.store.get_opts(&self.place(&name(file, variant)), options).await;
        let bytes = present(found)?.map(|found| found.into_stream());
        Ok(bytes.map(|bytes| bytes.map_err(|error| failed(&error)).boxed()))
    }

    async fn delete(&self, file: FileId) -> io::Result<()> {
        for variant in Variant::ALL {
            let name = name(file, variant);
            self.abandon(&name).await?;
            present(self.store.delete(&self.place(&name)).await)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weft_harness::s3::{BUCKET, KEY, S3Server};
    use weft_harness::system::Folder;

    use super::super::suite::keeps_what_it_is_given;
    use super::*;

    fn options(server: &S3Server) -> S3Options {
        let (id, secret) = (KEY.0.to_owned(), KEY.1.to_owned());
        S3Options {
            endpoint: Some(format!("http://{}", server.address())),
            region: "us-east-1".to_owned(),
            bucket: BUCKET.to_owned(),
            prefix: "of/weft".to_owned(),
            allows_http: true,
            credentials: S3Credentials::Keys(S3Keys { id, secret, token: None }),
        }
    }

    async fn refused(options: S3Options, data: &FilePath) -> String {
        match S3::open(&options, data).await {
            Ok(_) => panic!("it is opened"),
            Err(error) => format!("{} {error}", error.is_retryable()),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_keeps_what_it_is_given() {
        let folder = Folder::new().expect("a folder");
        let server = S3Server::start(folder.path()).await.expect("a server");
        let data = folder.path().join("files");
        let backend = S3::open(&options(&server), &data).await.expect("opened");
        keeps_what_it_is_given(&backend).await;
        assert_eq!(fs::read_dir(&backend.underway).expect("read").count(), 0);
        assert_eq!(server.names(".uploads").await.expect("listed"), Vec::<String>::new());

        // What a kill leaves of an upload in parts is no object, and is deleted by the next start.
        let file = FileId::from_parts(2, 2);
        let (name, at) =
            (name(file, Variant::Original), backend.place(&name(file, Variant::Original)));
        let upload = backend.store.create_multipart(&at).await.expect("begun");
        backend
            .store
            .put_part(&at, &upload, 0, Bytes::from(vec![1; 1 << 20]).into())
            .await
            .expect("put");
        fs::write(backend.underway.join(&name), upload).expect("noted");
        assert_eq!(server.names(".uploads").await.expect("listed").len(), 1);
        let backend = S3::open(&options(&server), &data).await.expect("opened");
        assert_eq!(backend.size(file, Variant::Original).await.expect("size"), None);
        assert_eq!(server.names(".uploads").await.expect("listed"), Vec::<String>::new());
        assert!(!backend.underway.join(&name).exists());

        // What its operator has to hear.
        let other = S3Options { bucket: "other".to_owned(), ..options(&server) };
        let heard = refused(other, &data).await;
        assert!(
            heard.starts_with("false") && heard.contains("there is not the bucket other"),
            "{heard}"
        );
        let keys = S3Keys { id: KEY.0.to_owned(), secret: "wrong".to_owned(), token: None };
        let wrong = S3Options { credentials: S3Credentials::Keys(keys), ..options(&server) };
        let heard = refused(wrong, &data).await;
        assert!(heard.starts_with("false") && heard.contains("refuses the key"), "{heard}");
        let tls = Some(format!("https://{}", server.address()));
        let heard = refused(S3Options { endpoint: tls, ..options(&server) }, &data).await;
        assert!(heard.starts_with("true") && heard.contains("corrupt message"), "no TLS: {heard}");
        server.process.kill().expect("killed");
        let heard = refused(options(&server), &data).await;
        assert!(heard.starts_with("true"), "{heard}");
    }

    #[test]
    fn parts_are_neither_small_nor_too_many() {
        assert_eq!(part_bytes(1), PART_BYTES_MIN);
        assert_eq!(part_bytes(80_000_000_000), PART_BYTES_MIN);
        for size in [100_000_000_000, 1_000_000_000_000] {
            let bytes = part_bytes(size);
            assert!(size.div_ceil(bytes) <= PARTS_MAX && bytes >= PART_BYTES_MIN, "{size}");
        }
    }

    #[test]
    fn a_full_storage_is_told_from_one_that_fails() {
        for full in [
            "Server returned non-2xx status code: 507 Insufficient Storage: ",
            "403 Forbidden: <Error><Code>QuotaExceeded</Code></Error>",
            "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive",
        ] {
            assert!(is_full(full), "{full}");
        }
        assert!(!is_full("500 Internal Server Error: <Error><Code>InternalError</Code></Error>"));
    }
}
