//! The bucket of files: an object store of NATS in its usual form, so that `nats object` reads it.
//!
//! ```text
//! $O.WEFT_FILES.M.<name in base64>   what is there, in JSON: written last, so a file is there whole or not at all
//! $O.WEFT_FILES.C.<name>             its parts, all under one subject
//! ```
//!
//! Beside what every object store says of a file, the first of these tells the sequence of each part: so a range
//! is read without what is before it. All that is under a name is found by the name, so what a put left that was
//! cut off goes when the file is deleted, or put again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, FuturesOrdered};
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use crate::bus::{Bus, Link};
use crate::error::Error;
use crate::jetstream::{self, JsError, answer_to, ask};
use crate::subject::{FILES_BUCKET, FILES_STREAM};

/// Of a part, the last one aside: what NATS's own clients take.
const PART_BYTES: usize = 128 << 10;
/// Parts of one file that the stream has not acknowledged.
const PARTS_UNDERWAY: usize = 16;
/// Files that are put at once: with the number above, 16 MiB in memory.
const PUTS_MAX: usize = 8;
/// Parts that are read ahead of who reads a file.
const READ_AHEAD: usize = 4;
/// Parts that are asked for and not there yet, of all files: the server drops a connection that has 64 MB waiting.
const READS_MAX: usize = 128;
/// A put gives up that could not begin for so long.
const PUT_TIMEOUT: Duration = Duration::from_secs(60);
/// What fails while NATS is away is tried again for so long.
const RETRY_FOR: Duration = Duration::from_secs(30);
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The stream acknowledges what it has not synced. With the `sync_interval` of our configuration (100 ms) it has when
/// so much more time has passed.
const SYNCED_AFTER: Duration = Duration::from_millis(250);
/// Where the sequences of the parts are, beside what others know.
const SEQUENCES: &str = "weft-sequences";

/// What the bucket says of a file, as far as we read it.
#[derive(Serialize, Deserialize)]
struct Info {
    name: String,
    bucket: String,
    nuid: String,
    size: u64,
    chunks: usize,
    digest: String,
    options: InfoOptions,
    metadata: HashMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct InfoOptions {
    max_chunk_size: usize,
}

/// A file that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredFile {
    pub size: u64,
    part_bytes: u64,
    /// Of its parts.
    sequences: Vec<u64>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct FileBucket(Arc<Inner>);

struct Inner {
    /// A connection of its own: what else its process says does not wait behind the bytes of files.
    link: Arc<Link>,
    puts: Semaphore,
    reads: Semaphore,
}

#[derive(Deserialize)]
struct Kept {
    seq: u64,
}

#[derive(Deserialize)]
struct Done {}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

impl FileBucket {
    /// Looks whether the bucket is there.
    ///
    /// # Errors
    /// [`Error::NoStream`] where core was not told to make it; as every request to JetStream.
    pub async fn open(bus: &Bus) -> Result<Self, Error> {
        let link = bus.another_link().await?;
        let verb = format!("STREAM.INFO.{FILES_STREAM}");
        let _: Done = jetstream::request(&link, &verb, &json!({})).await?;
        let (puts, reads) = (Semaphore::new(PUTS_MAX), Semaphore::new(READS_MAX));
        Ok(Self(Arc::new(Inner { link, puts, reads })))
    }

    /// Keeps what is read, under a name (letters, digits and a dot). When it returns, the file is there whole, and
    /// whoever has it had the time to sync it. What was there before is deleted first.
    ///
    /// # Errors
    /// [`Error::is_full`]; [`Error::Io`] of what is read; as every request to JetStream. Then nothing is there.
    pub async fn put(&self, name: &str, from: impl AsyncRead + Unpin) -> Result<(), Error> {
        let outcome = self.put_now(name, from).await;
        if outcome.is_err() {
            // What can't be deleted now is deleted with the file.
            let _ = self.delete(name).await;
        }
        outcome
    }

    async fn put_now(&self, name: &str, from: impl AsyncRead + Unpin) -> Result<(), Error> {
        let link = &self.0.link;
        let place = self.place().await?;
        let generation = link.state().generation;
        patiently(|| self.delete(name)).await?;
        let (info, sequences) = self.put_parts(name, from).await?;
        let metadata = [(SEQUENCES.to_owned(), encoded(&sequences))].into();
        let info = Info { metadata, ..info };
        let info = serde_json::to_vec(&info).map_err(|_| Error::Malformed("file"))?;
        let headers = [("Nats-Rollup", "sub")];
        let kept = self.keep(info_subject(name), &headers, info.into()).await?;
        drop(place);
        // Who was cut off meanwhile may have acknowledged parts that it has lost.
        sleep(SYNCED_AFTER).await;
        let newest = self.leader(&json!({ "last_by_subj": info_subject(name) })).await?;
        let is_kept = newest.is_some_and(|newest| newest.seq == kept);
        if is_kept && link.state().generation == generation {
            Ok(())
        } else {
            Err(Error::Timeout("keeping a file: the connection was made anew"))
        }
    }

    async fn put_parts(
        &self,
        name: &str,
        mut from: impl AsyncRead + Unpin,
    ) -> Result<(Info, Vec<u64>), Error> {
        let subject = part_subject(name);
        let (mut digest, mut size, mut sequences) = (Sha256::new(), 0, Vec::new());
        let mut underway = FuturesOrdered::new();
        loop {
            let part = read_part(&mut from).await.map_err(Error::io("reading a file"))?;
            if part.is_empty() {
                break;
            }
            digest.update(&part);
            size += part.len() as u64;
            underway.push_back(self.keep(subject.clone(), &[], part));
            if underway.len() >= PARTS_UNDERWAY
                && let Some(kept) = underway.next().await
            {
                sequences.push(kept?);
            }
        }
        while let Some(kept) = underway.next().await {
            sequences.push(kept?);
        }
        let info = Info {
            name: name.to_owned(),
            bucket: FILES_BUCKET.to_owned(),
            nuid: token(name),
            size,
            chunks: sequences.len(),
            digest: format!("SHA-256={}", URL_SAFE.encode(digest.finalize())),
            options: InfoOptions { max_chunk_size: PART_BYTES },
            metadata: HashMap::new(),
        };
        Ok((info, sequences))
    }

    /// What is under this name; `None`: nothing is.
    ///
    /// # Errors
    /// As every request to JetStream.
    pub async fn find(&self, name: &str) -> Result<Option<StoredFile>, Error> {
        let which = json!({ "last_by_subj": info_subject(name) });
        let Some(bytes) = patiently(|| self.get(&which)).await? else { return Ok(None) };
        let info = serde_json::from_slice::<Info>(&bytes).ok();
        info.and_then(StoredFile::read).map(Some).ok_or(Error::Malformed("file of the bucket"))
    }

    /// These bytes of a file, all within its size.
    pub fn read(
        &self,
        file: &StoredFile,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let this = self.clone();
        stream::iter(file.cuts(range))
            .map(move |cut| {
                let this = this.clone();
                // Goes on where its reader does not: nobody waits for a slow one.
                let read = tokio::spawn(async move { this.part(cut).await });
                async move { read.await.unwrap_or(Err(Error::Closed)) }
            })
            .buffered(READ_AHEAD)
    }

    async fn part(&self, cut: Cut) -> Result<Bytes, Error> {
        let _place = self.0.reads.acquire().await.map_err(|_| Error::Closed)?;
        let which = json!({ "seq": cut.seq });
        let found = patiently(|| self.get(&which)).await?;
        let whole = found.filter(|part| part.len() == cut.part_bytes);
        let lost = || Error::Bucket {
            what: "read part of a file",
            reason: format!("it is not at {}", cut.seq),
        };
        Ok(whole.ok_or_else(lost)?.slice(cut.range))
    }

    /// Deletes all that is under a name.
    ///
    /// # Errors
    /// As every request to JetStream.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        for subject in [info_subject(name), part_subject(name)] {
            let verb = format!("STREAM.PURGE.{FILES_STREAM}");
            let _: Done =
                jetstream::request(&self.0.link, &verb, &json!({ "filter": subject })).await?;
        }
        Ok(())
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        let place = timeout(PUT_TIMEOUT, self.0.puts.acquire()).await;
        place.map_err(|_| Error::Timeout("other files"))?.map_err(|_| Error::Closed)
    }

    /// Publishes a message until the stream has it: its sequence.
    async fn keep(
        &self,
        subject: String,
        headers: &[(&'static str, &str)],
        payload: Bytes,
    ) -> Result<u64, Error> {
        let kept = || async {
            let (subject, payload) = (subject.clone(), payload.clone());
            match jetstream::publish::<Kept>(&self.0.link, subject, headers, payload).await? {
                Ok(kept) => Ok(kept.seq),
                Err(error) => Err(error.into_error("keep a file")),
            }
        };
        patiently(kept).await
    }

    /// The payload of one message. Any copy of the stream answers, one that lags, too: what it has not, the leader is
    /// asked for.
    async fn get(&self, which: &Value) -> Result<Option<Bytes>, Error> {
        let subject = format!("$JS.API.DIRECT.GET.{FILES_STREAM}");
        let request = which.to_string().into();
        let answer = answer_to(&self.0.link, subject, &[], request).await?;
        match answer.status.map(|status| status.as_u16()) {
            None => Ok(Some(answer.payload)),
            Some(404) => {
                let found = self.leader(which).await?;
                let decoded = found.map(|found| STANDARD.decode(found.data).map(Bytes::from));
                decoded.transpose().map_err(|_| Error::Malformed("API reply"))
            }
            Some(status) => {
                let reason = format!("status {status}");
                Err(Error::Bucket { what: "read a file", reason })
            }
        }
    }

    async fn leader(&self, which: &Value) -> Result<Option<GotMessage>, Error> {
        let verb = format!("STREAM.MSG.GET.{FILES_STREAM}");
        match ask::<Got>(&self.0.link, &verb, which).await? {
            Ok(got) => Ok(Some(got.message)),
            // 10037: there is no such message.
            Err(JsError { err_code: 10_037, .. }) => Ok(None),
            Err(error) => Err(error.into_error(verb)),
        }
    }
}

/// A part, and what of it is wanted.
#[derive(PartialEq, Eq, Debug)]
struct Cut {
    seq: u64,
    part_bytes: usize,
    range: Range<usize>,
}

impl StoredFile {
    fn read(info: Info) -> Option<Self> {
        let sequences = decoded(info.metadata.get(SEQUENCES)?)?;
        let part_bytes = info.options.max_chunk_size as u64;
        let is_whole = part_bytes > 0 && info.size.div_ceil(part_bytes) == sequences.len() as u64;
        is_whole.then_some(Self { size: info.size, part_bytes, sequences })
    }

    fn cuts(&self, range: Range<u64>) -> Vec<Cut> {
        let range = range.start..range.end.min(self.size);
        if range.is_empty() {
            return Vec::new();
        }
        let cut = |index: u64| {
            let begin = index * self.part_bytes;
            let part_bytes = self.part_bytes.min(self.size - begin);
            let from = range.start.saturating_sub(begin);
            let to = part_bytes.min(range.end - begin);
            Cut {
                seq: self.sequences[index as usize],
                part_bytes: part_bytes as usize,
                range: from as usize..to as usize,
            }
        };
        (range.start / self.part_bytes..range.end.div_ceil(self.part_bytes)).map(cut).collect()
    }
}

/// Full, or the last one; empty: there is none.
async fn read_part(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Bytes> {
    let mut part = BytesMut::with_capacity(PART_BYTES);
    let mut limited = from.take(PART_BYTES as u64);
    while limited.read_buf(&mut part).await? > 0 {}
    Ok(part.freeze())
}

/// A name as one word of a subject.
fn token(name: &str) -> String {
    name.replace('.', "-")
}

fn part_subject(name: &str) -> String {
    format!("$O.{FILES_BUCKET}.C.{}", token(name))
}

fn info_subject(name: &str) -> String {
    format!("$O.{FILES_BUCKET}.M.{}", URL_SAFE.encode(name))
}

/// Numbers that mostly grow a little: the differences, each in bytes of seven bits, the sign in the lowest one.
fn encoded(numbers: &[u64]) -> String {
    let (mut bytes, mut last) = (Vec::new(), 0_u64);
    for number in numbers {
        let difference = number.wrapping_sub(last) as i64;
        let mut rest = ((difference << 1) ^ (difference >> 63)) as u64;
        while rest > 0x7F {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        last = *number;
    }
    STANDARD.encode(bytes)
}

fn decoded(text: &str) -> Option<Vec<u64>> {
    let (mut numbers, mut last, mut read, mut bits) = (Vec::new(), 0_u64, 0_u64, 0);
    for byte in STANDARD.decode(text).ok()? {
        read |= u64::from(byte & 0x7F).checked_shl(bits)?;
        bits += 7;
        if byte < 0x80 {
            last = last.wrapping_add((read >> 1) ^ (read & 1).wrapping_neg());
            numbers.push(last);
            (read, bits) = (0, 0);
        }
    }
    (bits == 0).then_some(numbers)
}

/// Tries again what may succeed later, but what is full.
async fn patiently<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(error)
                if error.is_retryable() && !error.is_full() && began.elapsed() < RETRY_FOR =>
            {
                tracing::debug!(%error, "the bucket of files is asked again");
                sleep(RETRY_PAUSE).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read_as_they_were_written() {
        for numbers in [
            vec![],
            vec![1, 2, 3, 9, 8, 1_000_000, 7],
            vec![u64::MAX, 0, u64::MAX / 2],
            (500..9_000).collect(),
        ] {
            assert_eq!(decoded(&encoded(&numbers)), Some(numbers));
        }
        // One byte for each, where nothing comes between.
        let text = encoded(&(70_000..80_000).collect::<Vec<_>>());
        assert!(text.len() < 10_010 * 4 / 3, "{}", text.len());
        for bad in ["gA==", "//////////////8B", "?"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_range_is_read_from_the_parts_that_have_it() {
        let file = StoredFile { size: 25, part_bytes: 10, sequences: vec![3, 5, 9] };
        let cut = |seq, part_bytes, range| Cut { seq, part_bytes, range };
        assert_eq!(file.cuts(0..25), [cut(3, 10, 0..10), cut(5, 10, 0..10), cut(9, 5, 0..5)]);
        assert_eq!(file.cuts(9..11), [cut(3, 10, 9..10), cut(5, 10, 0..1)]);
        assert_eq!(file.cuts(24..99), [cut(9, 5, 4..5)]);
        assert_eq!(file.cuts(10..20), [cut(5, 10, 0..10)]);
        assert_eq!(file.cuts(7..7), []);
    }
}
