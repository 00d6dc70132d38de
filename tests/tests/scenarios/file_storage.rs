//! Where the bytes of files are: a bucket of a server that speaks S3 (SeaweedFS), or of JetStream. What is away comes
//! back, and until then nothing is half there.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use weft_harness::files::Files;
use weft_harness::http::Plain;
use weft_harness::proxy::{Fault, Kind, Proxy};
use weft_harness::s3::{KEY, S3Server};
use weft_harness::session::Session;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::wait::until;

/// More than two parts of S3.
const LARGE: usize = 20_000_000;
/// What makes it last: every exchange takes twice as long.
const SLOW: Fault = Fault::Delay(Duration::from_millis(100));

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

struct Weft {
    system: System,
    files_at: SocketAddr,
    files: Files,
    alice: Session,
    bob: Files,
    room: String,
}

impl Weft {
    async fn of(mut system: System, options: &Options) -> Result<Self> {
        let files_at = system.add_files(options).await?;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let of = |login| Files::of(files_at, login);
        let (files, bob_files) = (of(&alice), of(&bob));
        let session = system.session(&alice).await?;
        let room = direct(&alice, &bob);
        Ok(Self { system, files_at, files, alice: session, bob: bob_files, room })
    }

    /// Uploads a file, and sends it: what bob sees of it.
    async fn sent(&mut self, bytes: &[u8]) -> Result<(u64, Value)> {
        let path = self.files.upload("plans.bin", bytes).await?;
        let id = path.trim_start_matches("/v1/files/");
        let file = json!({ "kind": "file", "files": [{ "id": id }] });
        let seq = self.alice.acked(&self.room, file).await?;
        let (status, shown) = self.looked(&path, seq).await?;
        ensure!(status == 200, "{status} {shown}");
        Ok((seq, shown))
    }

    async fn looked(&self, path: &str, seq: u64) -> Result<(u16, Value)> {
        self.bob.look(&format!("{path}?room={}&seq={seq}", self.room)).await
    }

    /// Uploads in the background: the path, and the answer.
    async fn uploading(&self, bytes: Vec<u8>) -> Result<(String, JoinHandle<Result<Plain>>)> {
        let path = self.files.begin("large.bin", bytes.len()).await?;
        let (files, at) = (self.files.clone(), path.clone());
        Ok((path, tokio::spawn(async move { files.patch(&at, 0, &bytes).await })))
    }

    /// Asks until an upload is a file, as a client does.
    async fn finished(&self, path: &str) -> Value {
        until("the upload is finished", START_LIMIT, async || {
            let _ = self.files.offset(path).await;
            let (status, shown) = self.files.look(path).await.ok()?;
            (status == 200).then_some(shown)
        })
        .await
    }

    /// Kills the files node and starts it again.
    async fn restarted(&self) -> Result<()> {
        let process = self.system.process("files");
        process.kill()?;
        process.restart()?;
        self.system.files_serve(self.files_at).await;
        Ok(())
    }

    async fn reads(&self, shown: &Value, bytes: &[u8]) -> Result<()> {
        let whole = self.bob.read(&shown["url"], &[]).await?;
        ensure!(
            whole.status == 200 && whole.body == bytes,
            "{} {}",
            whole.status,
            whole.body.len()
        );
        let middle = bytes.len() / 2;
        let range = format!("bytes={middle}-{}", middle + 99);
        let part = self.bob.read(&shown["url"], &[("range", &range)]).await?;
        ensure!(part.status == 206 && part.body == bytes[middle..middle + 100], "{}", part.status);
        Ok(())
    }

    /// A message, and how it is deleted: nobody reads the file then.
    async fn sends_reads_and_deletes(&mut self, bytes: &[u8]) -> Result<()> {
        let (seq, shown) = self.sent(bytes).await?;
        self.reads(&shown, bytes).await?;
        self.alice.acked(&self.room, json!({ "kind": "delete", "target": seq })).await?;
        let path = format!("/v1/files/{}", shown["file"].as_str().context("no id")?);
        ensure!(self.looked(&path, seq).await?.0 == 404, "it is deleted");
        Ok(())
    }

    /// The storage is cut off in the middle of a download, which ends well, or its client asks for the rest.
    async fn read_over(&self, shown: &Value, bytes: &[u8], proxy: &Proxy) -> Result<()> {
        proxy.set(SLOW);
        let (files, url) = (self.bob.clone(), shown["url"].clone());
        let passed = proxy.counts().to_client.bytes;
        let reading = tokio::spawn(async move { files.read(&url, &[]).await });
        until("some of it has come", START_LIMIT, async || {
            (proxy.counts().to_client.bytes > passed + 100_000).then_some(())
        })
        .await;
        proxy.cut();
        proxy.set(Fault::None);
        let read = reading.await??.body;
        ensure!(bytes.starts_with(&read), "{} bytes that are not its first ones", read.len());
        if read.len() < bytes.len() {
            let range = format!("bytes={}-", read.len());
            let rest = self.bob.read(&shown["url"], &[("range", &range)]).await?;
            ensure!(rest.status == 206 && rest.body == bytes[read.len()..], "{}", rest.status);
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_in_a_bucket_and_come_back_with_it() -> Result<()> {
    let options = Options { edges: 1, ..Options::default() };
    let system = System::split(options.clone()).await?;
    let server = S3Server::start(system.path()).await?;
    let proxy = Proxy::start(server.address(), Kind::Tcp).await?;
    let mut weft = Weft::of(system, &options.files_in_s3(proxy.addr())).await?;
    weft.sends_reads_and_deletes(&noise(300_000)).await?;
    let large = noise(LARGE);
    let (_, shown) = weft.sent(&large).await?;
    weft.reads(&shown, &large).await?;

    // The bucket dies in the middle of an upload, and in the middle of a download.
    proxy.set(SLOW);
    let (path, upload) = weft.uploading(large.clone()).await?;
    let notes = weft.system.path().join("files/s3");
    let has_begun = async || std::fs::read_dir(&notes).ok()?.next().map(drop);
    until("parts are under way", START_LIMIT, has_begun).await;
    server.process.kill()?;
    assert_eq!(weft.files.look(&path).await?.0, 409, "it is not uploaded yet");
    weft.alice.acked(&weft.room, json!({ "text": "it is slow today" })).await?;
    server.process.restart()?;
    server.serves().await;
    proxy.set(Fault::None);
    let _ = upload.await?;
    let second = weft.finished(&path).await;
    weft.reads(&second, &large).await?;
    weft.read_over(&shown, &large, &proxy).await?;

    // The files node is killed in the middle of an upload: no object, and no parts of one.
    proxy.set(SLOW);
    let (path, upload) = weft.uploading(large.clone()).await?;
    until("parts are under way", START_LIMIT, has_begun).await;
    let id = path.trim_start_matches("/v1/files/").to_owned();
    weft.system.process("files").kill()?;
    ensure!(upload.await?.is_err(), "nobody could answer");
    let objects = server.objects().await?;
    ensure!(!objects.iter().any(|name| name.starts_with(&id)), "{objects:?}");
    proxy.set(Fault::None);
    weft.system.process("files").restart()?;
    weft.system.files_serve(weft.files_at).await;
    assert_eq!(server.names(".uploads").await?, Vec::<String>::new());
    assert_eq!(weft.files.look(&path).await?.0, 409, "it is not uploaded yet");
    let third = weft.finished(&path).await;
    weft.reads(&third, &large).await?;
    ensure!(!weft.system.process("files").output().contains(KEY.1), "the key is in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_in_jetstream_which_may_be_full_or_away() -> Result<()> {
    let options = Options { edges: 1, proxied: true, ..Options::default() };
    let options = options.files_in_jetstream(32 << 20);
    let system = System::split(options.clone()).await?;
    let mut weft = Weft::of(system, &options).await?;
    weft.sends_reads_and_deletes(&noise(300_000)).await?;
    let large = noise(LARGE / 2);
    let (_, shown) = weft.sent(&large).await?;
    weft.reads(&shown, &large).await?;

    // More than there is room for: refused, and in nobody's way.
    let path = weft.files.begin("huge.bin", 30_000_000).await?;
    let answer = weft.files.patch(&path, 0, &noise(30_000_000)).await?;
    assert_eq!(answer.status, 507, "{answer:?}");
    assert_eq!(weft.files.look(&path).await?.0, 409, "it is no file");
    weft.files.tus("DELETE", &path, &[], b"").await?;

    // JetStream is away from the files node, in the middle of an upload and of a download.
    let begins = |weft: &Weft| weft.system.proxy("files").counts().to_server.bytes + 2_000_000;
    let under_way = async |weft: &Weft, begins: u64| {
        until("parts are under way", START_LIMIT, async || {
            (weft.system.proxy("files").counts().to_server.bytes > begins).then_some(())
        })
        .await;
    };
    weft.system.proxy("files").set(SLOW);
    let (begun, (path, upload)) = (begins(&weft), weft.uploading(large.clone()).await?);
    under_way(&weft, begun).await;
    weft.system.proxy("files").set(Fault::Stall);
    weft.alice.acked(&weft.room, json!({ "text": "it is slow today" })).await?;
    weft.system.proxy("files").cut();
    weft.system.proxy("files").set(Fault::None);
    let _ = upload.await?;
    let second = weft.finished(&path).await;
    weft.reads(&second, &large).await?;
    weft.read_over(&shown, &large, weft.system.proxy("files")).await?;

    // Killed in the middle of an upload.
    weft.system.proxy("files").set(SLOW);
    let bytes = noise(LARGE / 4);
    let (begun, (path, upload)) = (begins(&weft), weft.uploading(bytes.clone()).await?);
    under_way(&weft, begun).await;
    weft.system.process("files").kill()?;
    ensure!(upload.await?.is_err(), "nobody could answer");
    weft.system.proxy("files").set(Fault::None);
    weft.system.process("files").restart()?;
    weft.system.files_serve(weft.files_at).await;
    assert_eq!(weft.files.look(&path).await?.0, 409, "it is not uploaded yet");
    let third = weft.finished(&path).await;
    weft.reads(&third, &bytes).await?;
    weft.restarted().await?;
    weft.reads(&third, &bytes).await
}
