//! Uploads: refused before their first byte, resumed whatever is killed, and never half a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use image::ImageFormat;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_harness::account::Login;
use weft_harness::files::{BYTES, Files};
use weft_harness::http;
use weft_harness::system::{Options, START_LIMIT, System, allows_own_disk, shared};
use weft_harness::wait::until;

use crate::files::{noise, owner, picture, uploaded};

/// 1 GB is left free of the disk of files.
const DISK_MB: u32 = 1_100;
const FILLING_BYTES: usize = 90 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_speak_tus() -> Result<()> {
    let (system, files) = owner().await?;
    let abilities = http::request(system.edge(), "OPTIONS", "/v1/files", &[], b"").await?;
    assert_eq!(abilities.status, 204);
    assert_eq!(abilities.header("tus-version"), Some("1.0.0"));
    assert_eq!(abilities.header("access-control-allow-origin"), Some("*"));
    assert!(abilities.header("tus-extension").is_some_and(|list| list.contains("checksum")));
    let old = http::request(system.edge(), "POST", "/v1/files", &[("tus-resumable", "0.2.2")], b"");
    assert_eq!(old.await?.status, 412);
    for (length, status) in [("0", 400), ("x", 400), ("100000001", 413)] {
        let answer = files.tus("POST", "/v1/files", &[("upload-length", length)], b"").await?;
        assert_eq!(answer.status, status, "{length}");
    }
    // With its first bytes.
    let answer =
        files.tus("POST", "/v1/files", &[BYTES, ("upload-length", "10")], b"01234").await?;
    assert_eq!((answer.status, answer.header("upload-offset")), (201, Some("5")));
    assert!(answer.header("upload-expires").is_some_and(|date| date.ends_with("GMT")));
    let path = answer.header("location").context("a location")?.to_owned();
    let at = ("upload-offset", "5");
    // No body type, another offset, another checksum, too many bytes: nothing of them is kept.
    let wrong = ("upload-checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for (headers, body, status) in [
        (&[at][..], &b"56789"[..], 415),
        (&[BYTES, ("upload-offset", "4")], b"56789", 409),
        (&[BYTES, at, wrong], b"56789", 460),
        (&[BYTES, at, ("upload-checksum", "md5 x")], b"56789", 400),
        (&[BYTES, at], b"567890", 413),
    ] {
        assert_eq!(files.tus("PATCH", &path, headers, body).await?.status, status);
        assert_eq!(files.offset(&path).await?, 5, "{status}");
    }
    assert_eq!(files.look(&path).await?.0, 409, "it is not whole");
    // Of "56789", by a client that can't say PATCH.
    let right = ("upload-checksum", "sha1 8iMdKHHmkKKZVwT3ope9e8ZL5yA=");
    let patch = [BYTES, at, right, ("x-http-method-override", "PATCH")];
    let answer = files.tus("POST", &path, &patch, b"56789").await?;
    assert_eq!((answer.status, answer.header("upload-offset")), (204, Some("10")));
    assert_eq!(files.offset(&path).await?, 10);
    let (_, shown) = files.look(&path).await?;
    assert_eq!(files.read(&shown["url"], &[]).await?.body, b"0123456789");

    // Not wanted any more, finished or not.
    let other = files.begin("x", 10).await?;
    for path in [path, other] {
        assert_eq!(files.tus("DELETE", &path, &[], b"").await?.status, 204);
        assert_eq!(files.tus("HEAD", &path, &[], b"").await?.status, 404);
        assert_eq!(files.look(&path).await?.0, 404);
    }
    Ok(())
}

/// Sends the head of a `PATCH` that brings all bytes from `at` on, and the first half of them; the connection stays open.
async fn half(
    address: SocketAddr,
    token: &str,
    path: &str,
    at: usize,
    bytes: &[u8],
) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let rest = bytes.len() - at;
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: files\r\ntus-resumable: 1.0.0\r\nauthorization: Bearer {token}\r\n\
         content-type: {}\r\nupload-offset: {at}\r\ncontent-length: {rest}\r\n\r\n",
        BYTES.1
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&bytes[at..at + rest / 2]).await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_request_has_the_older_one_make_way() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let files = Files::of(system.edge(), &alice);
    let bytes = noise(200_000);
    let path = files.begin("x", bytes.len()).await?;
    let dead = half(system.edge(), &alice.token, &path, 0, &bytes).await?;
    let offset = until("the bytes have come", START_LIMIT, async || {
        files.offset(&path).await.ok().filter(|offset| *offset > 0)
    })
    .await;
    let answer = files.patch(&path, offset, &bytes[offset..]).await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    drop(dead);
    let (_, shown) = files.look(&path).await?;
    assert!(files.read(&shown["url"], &[]).await?.body == bytes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_an_upload_it_goes_on_and_loses_nothing() -> Result<()> {
    let options = Options { edges: 1, ..Options::default() };
    let mut system = System::split(options.clone()).await?;
    let address = system.add_files(&options).await?;
    let alice = system.user("alice").await?;
    let files = Files::of(address, &alice);
    let node = format!("http://{address}");
    until("the edge knows it", START_LIMIT, async || {
        let answer =
            http::call(system.edge(), "GET", "/v1/connect", None, &Value::Null).await.ok()?;
        (answer.body["files"] == node.as_str()).then_some(())
    })
    .await;
    let whole = uploaded(&files, "whole.bin", b"acknowledged").await?;
    let bytes = noise(3_000_000);
    let path = files.begin("half.bin", bytes.len()).await?;
    // No byte of it passes an edge.
    system.process("edge-0").kill()?;
    let mut at = 0;
    while at < bytes.len() {
        // Bytes of a request that is cut off by the kill.
        let stream = half(address, &alice.token, &path, at, &bytes).await?;
        until("some of them are there", START_LIMIT, async || {
            let uploads = system.path().join("files/uploads");
            let mut parts = std::fs::read_dir(uploads).ok()?.flatten();
            parts.find(|part| part.metadata().is_ok_and(|found| found.len() > at as u64)).map(drop)
        })
        .await;
        system.process("files").kill()?;
        drop(stream);
        system.process("files").restart()?;
        system.files_serve(address).await;
        let offset = files.offset(&path).await?;
        assert!(offset > at, "{offset} of those that had come");
        // The rest in one piece, the second time.
        at = if at == 0 { offset } else { bytes.len() };
        if at == bytes.len() {
            assert_eq!(files.patch(&path, offset, &bytes[offset..]).await?.status, 204);
        }
    }
    // Whatever moment it is killed at: what it said is there is there.
    system.process("files").kill()?;
    system.process("files").restart()?;
    system.files_serve(address).await;
    assert!(!system.process("edge-0").is_running());
    for (shown, expected) in [(whole, &b"acknowledged"[..]), (files.look(&path).await?.1, &bytes)] {
        let read = files.read(&shown["url"], &[]).await?;
        assert_eq!((read.status, read.body == expected), (200, true));
    }
    let left = std::fs::read_dir(system.path().join("files/uploads"))?.count();
    assert_eq!(left, 0, "uploads that are finished are not kept twice");
    Ok(())
}

/// Waits until some bytes of an upload are in a folder, or what is made of them.
async fn some_came(uploads: &Path, is_it: impl Fn(&std::fs::DirEntry) -> bool) {
    until("something of the upload is there", START_LIMIT, async || {
        std::fs::read_dir(uploads).ok()?.flatten().find(|part| is_it(part)).map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_in_one_it_goes_on_with_an_upload_after_it_was_killed() -> Result<()> {
    let system = System::dev().await?;
    let alice = system.user("alice").await?;
    let files = Files::of(system.edge(), &alice);
    let uploads = system.path().join("data/files/uploads");
    let dev = system.process("dev");
    let again = async || -> Result<()> {
        dev.kill()?;
        dev.restart()?;
        system.ready().await;
        system.files_serve(system.edge()).await;
        Ok(())
    };
    // In the middle of its bytes, and while it is looked at: a large image.
    let bytes = picture(4_000, 3_000, ImageFormat::Png);
    let path = files.begin("large.png", bytes.len()).await?;
    let stream = half(system.edge(), &alice.token, &path, 0, &bytes).await?;
    some_came(&uploads, |part| part.metadata().is_ok_and(|found| found.len() > 0)).await;
    again().await?;
    drop(stream);
    let offset = files.offset(&path).await?;
    assert!(offset > 0 && offset < bytes.len(), "{offset} of {}", bytes.len());
    let rest = files.clone();
    let rest = async { rest.patch(&path, offset, &bytes[offset..]).await };
    let killed = async {
        some_came(&uploads, |part| part.path().extension().is_some_and(|it| it == "tries")).await;
        again().await
    };
    let (_, killed) = tokio::join!(rest, killed);
    killed?;
    assert_eq!(files.offset(&path).await?, bytes.len());
    let (_, shown) = files.look(&path).await?;
    assert_eq!(shown["image"]["width"], 4_000, "{shown}");
    assert_eq!(files.read(&shown["thumbnails"]["m"], &[]).await?.status, 200);
    assert_eq!(std::fs::read_dir(uploads)?.count(), 0);
    Ok(())
}

/// Says that so many bytes come, and sends none of them: the answer.
async fn announced(address: SocketAddr, login: &Login, size: usize) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "POST /v1/files HTTP/1.1\r\nhost: files\r\ntus-resumable: 1.0.0\r\nauthorization: Bearer {}\r\n\
         content-type: {}\r\nupload-length: {size}\r\ncontent-length: {size}\r\n\r\n",
        login.token, BYTES.1
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    while !answer.contains("limit_reached") {
        let mut part = [0; 1_024];
        let read = tokio::time::timeout(START_LIMIT, stream.read(&mut part)).await??;
        anyhow::ensure!(read > 0, "{answer}");
        answer.push_str(std::str::from_utf8(&part[..read])?);
    }
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_a_quota_of_a_day_and_a_full_disk_takes_nothing_half() -> Result<()> {
    let has_disk = allows_own_disk();
    let mut options = Options { edges: 1, ..Options::default() };
    options.files_disk_mb = Some(DISK_MB).filter(|_| has_disk);
    let options = options.core(&["--file-day-bytes", "4000000", "--file-day-files", "3"]);
    let mut system = System::split(options.clone()).await?;
    let address = system.add_files(&options).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let files = Files::of(address, &alice);
    let bytes = noise(3_000_000);
    let path = files.begin("big.bin", bytes.len()).await?;
    let answer = announced(address, &alice, 1_000_001).await?;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}");
    for _ in 0..2 {
        files.begin("small.bin", 1).await?;
    }
    let refused = files.tus("POST", "/v1/files", &[("upload-length", "1")], b"").await?.json()?;
    assert_eq!((refused.status, refused.code()), (429, "limit_reached"), "{}", refused.body);
    uploaded(&Files::of(address, &bob), "of another user", b"x").await?;
    if !has_disk {
        eprintln!("skipped: no mount namespaces here");
        return Ok(());
    }

    assert_eq!(files.patch(&path, 0, &bytes[..1_000_000]).await?.status, 204);
    let root = PathBuf::from(format!("/proc/{}/root", system.process("files").pid()?));
    let filling = system.path().join("files/filling");
    let filling = root.join(filling.strip_prefix("/").context("an absolute path")?);
    std::fs::write(&filling, vec![0; FILLING_BYTES])?;
    let full = files.patch(&path, 1_000_000, &bytes[1_000_000..]).await?.json()?;
    assert_eq!((full.status, full.code()), (507, "unavailable"), "{}", full.body);
    let bobs = Files::of(address, &bob);
    let begun = bobs.tus("POST", "/v1/files", &[("upload-length", "9")], b"").await?;
    assert_eq!(begun.status, 507, "{begun:?}");
    assert_eq!(files.offset(&path).await?, 1_000_000);
    assert_eq!(files.look(&path).await?.0, 409, "it is not whole");
    std::fs::remove_file(&filling)?;
    assert_eq!(files.patch(&path, 1_000_000, &bytes[1_000_000..]).await?.status, 204);
    let (_, shown) = files.look(&path).await?;
    assert!(files.read(&shown["url"], &[]).await?.body == bytes);
    Ok(())
}
