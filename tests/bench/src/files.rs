//! `weft-bench files`: what a file costs, and what files cost those who write.
//!
//! One large file goes up and down, beside the same bytes over TCP to a file and back, without Weft. Images go up, of which
//! thumbnails are made. Then pairs of users send messages: alone, while files go up and down without a pause but at a
//! rate that is named, and while uploads hang in a storage that does not answer.

mod client;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, ValueEnum};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use weft_harness::account::sign_up_all;
use weft_harness::proxy::{Fault, Kind, Proxy};
use weft_harness::s3::S3Server;
use weft_harness::system::System;

use crate::cpu::resident_bytes;
use crate::pairs::Pairs;
use crate::progress;
use crate::report::{Quantiles, print, round};
use crate::system::{Place, end};
use client::{BLOCK, Client};

const MB: u64 = 1_000_000;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Uploads at once: of images, and as a load.
const AT_ONCE: usize = 4;
/// Of one file of the load.
const LOAD_FILE_BYTES: u64 = 4 * MB;

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Backend {
    Folder,
    Jetstream,
    /// A SeaweedFS of its own.
    S3,
}

#[derive(Args, Clone, Debug)]
pub struct FilesOptions {
    /// Where files are.
    #[arg(long, value_enum, default_value = "folder")]
    backend: Backend,
    /// The size of the large file, in MB.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    mb: u64,
    /// How many images of each size.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    images: u32,
    /// How long messages are measured each time, after 2 s of warming up.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Messages per second, of 20 pairs.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// MB per second that go up while messages are measured, and as many down.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    load_mb: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    backend: String,
    mb: u64,
    /// The same bytes over TCP to a file on the same disk, synced, and back.
    bare_upload_mb_per_s: f64,
    bare_download_mb_per_s: f64,
    upload_mb_per_s: f64,
    upload_ratio: f64,
    download_mb_per_s: f64,
    download_ratio: f64,
    /// Of the files process, in MB.
    rss_before: f64,
    rss_upload_max: f64,
    rss_download_max: f64,
    images: Vec<Images>,
    messages: Messages,
}

#[derive(Serialize)]
struct Images {
    width: u32,
    height: u32,
    bytes: usize,
    images_per_s: f64,
}

/// Sends, by what files do meanwhile.
#[derive(Serialize)]
struct Messages {
    rate: u32,
    alone_ack_ms: Quantiles,
    load_mb_per_s: f64,
    under_load_ack_ms: Quantiles,
    alone_again_ack_ms: Quantiles,
    hanging_uploads: usize,
    storage_hangs_ack_ms: Quantiles,
}

/// A system with files, and who uploads there.
struct Measured {
    system: System,
    client: Client,
    /// What its files are in, and the way there.
    _s3: Option<(S3Server, Proxy)>,
}

pub async fn measure(options: &FilesOptions) -> Result<()> {
    let parent = options.place.parent();
    let bytes = options.mb * MB;
    let bare = spawn_blocking(move || bare(&parent, bytes)).await??;
    progress(&format!("without Weft: {:.0} MB/s up, {:.0} MB/s down", bare.0, bare.1));
    let measured = start(options, options.backend).await?;
    let report = with_files(options, &measured, bare).await;
    let mut report = end(measured.system, report)?;
    let hanging = start(options, Backend::S3).await?;
    let outcome = while_it_hangs(options, &hanging).await;
    let (hung, count) = end(hanging.system, outcome)?;
    report.messages.storage_hangs_ack_ms = hung;
    report.messages.hanging_uploads = count;
    print(&report)
}

/// The same hops with nothing but bytes in them: over TCP to a file, synced, and back. MB per second up and down.
fn bare(parent: &Path, bytes: u64) -> Result<(f64, f64)> {
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
    let path = folder.path().join("bytes");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = std::thread::spawn(move || -> Result<()> {
        let (mut up, _) = listener.accept()?;
        let mut file = File::create(&path)?;
        passed(&mut up, &mut file)?;
        file.sync_all()?;
        up.write_all(b"!")?;
        let (mut down, _) = listener.accept()?;
        passed(&mut File::open(&path)?, &mut down)?;
        Ok(())
    });
    let mb_per_s = |began: Instant| bytes as f64 / MB as f64 / began.elapsed().as_secs_f64();
    let block = client::noise();
    let began = Instant::now();
    let mut up = TcpStream::connect(address)?;
    for at in (0..bytes).step_by(BLOCK) {
        up.write_all(&block[..BLOCK.min((bytes - at) as usize)])?;
    }
    up.shutdown(Shutdown::Write)?;
    up.read_exact(&mut [0])?;
    let upload = mb_per_s(began);
    let began = Instant::now();
    let came = passed(&mut TcpStream::connect(address)?, &mut std::io::sink())?;
    let download = mb_per_s(began);
    ensure!(came == bytes, "{came} bytes came back of {bytes}");
    server.join().map_err(|_| anyhow!("the bare server panicked"))??;
    Ok((upload, download))
}

/// Reads all and writes it, in pieces as the node does.
fn passed(from: &mut impl Read, to: &mut impl Write) -> Result<u64> {
    let (mut buffer, mut all) = (vec![0; 128 << 10], 0);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(all);
        }
        to.write_all(&buffer[..read])?;
        all += read as u64;
    }
}

async fn start(options: &FilesOptions, backend: Backend) -> Result<Measured> {
    let most = "1000000000000";
    let limits = ["--file-bytes", most, "--file-day-bytes", most, "--file-day-files", "1000000"];
    let mut started = options.place.weft_options(2, 0).core(&limits);
    started.files_args = ["--file-bytes", most].map(str::to_owned).to_vec();
    if backend == Backend::Jetstream {
        started = started.files_in_jetstream(options.mb * MB * 2 + 500 * MB);
    }
    let mut system = System::split(started.clone()).await?;
    let mut s3 = None;
    if backend == Backend::S3 {
        let server = S3Server::start(system.path()).await?;
        let proxy = Proxy::start(server.address(), Kind::Tcp).await?;
        started = started.files_in_s3(proxy.addr());
        s3 = Some((server, proxy));
    }
    let address = system.add_files(&started).await?;
    let logins = sign_up_all(system.edge(), &["uploader".to_owned()], 1).await?;
    let client = Client::new(address, logins.into_iter().next().context("nobody")?);
    Ok(Measured { system, client, _s3: s3 })
}

async fn with_files(
    options: &FilesOptions,
    measured: &Measured,
    (bare_upload, bare_download): (f64, f64),
) -> Result<Report> {
    let Measured { system, client, .. } = measured;
    let pid = system.process("files").pid()?;
    let (bytes, mb) = (options.mb * MB, |bytes: u64| round(bytes as f64 / MB as f64));
    let rss_before = resident_bytes(pid)?;
    let (path, uploading, rss_upload) = watched(pid, client.upload(bytes)).await?;
    let upload = options.mb as f64 / uploading.as_secs_f64();
    progress(&format!("{upload:.0} MB/s up"));
    let (read, downloading, rss_download) = watched(pid, client.download(&path)).await?;
    ensure!(read == bytes, "{read} bytes came back of {bytes}");
    let download = options.mb as f64 / downloading.as_secs_f64();
    progress(&format!("{download:.0} MB/s down"));
    let mut images = Vec::new();
    for (width, height) in [(800, 600), (2_000, 1_500), (4_000, 3_000)] {
        images.push(of_images(options, client, width, height).await?);
    }
    let alone = sending(options, system, "alone").await?;
    let (loaded, load_mb_per_s) = under_load(options, system, client).await?;
    let again = sending(options, system, "again").await?;
    Ok(Report {
        scenario: "files",
        backend: format!("{:?}", options.backend).to_lowercase(),
        mb: options.mb,
        bare_upload_mb_per_s: round(bare_upload),
        bare_download_mb_per_s: round(bare_download),
        upload_mb_per_s: round(upload),
        upload_ratio: round(upload / bare_upload),
        download_mb_per_s: round(download),
        download_ratio: round(download / bare_download),
        rss_before: mb(rss_before),
        rss_upload_max: mb(rss_upload),
        rss_download_max: mb(rss_download),
        images,
        messages: Messages {
            rate: options.rate,
            alone_ack_ms: alone,
            load_mb_per_s: round(load_mb_per_s),
            under_load_ack_ms: loaded,
            alone_again_ack_ms: again,
            hanging_uploads: 0,
            storage_hangs_ack_ms: Quantiles::default(),
        },
    })
}

/// How long something takes, and the most memory that a process has meanwhile.
async fn watched<T>(pid: u32, work: impl Future<Output = Result<T>>) -> Result<(T, Duration, u64)> {
    let began = Instant::now();
    let mut most = resident_bytes(pid)?;
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased; // the end first
            done = &mut work => return Ok((done?, began.elapsed(), most)),
            () = sleep(LOOK_EVERY) => most = most.max(resident_bytes(pid)?),
        }
    }
}

async fn of_images(
    options: &FilesOptions,
    client: &Client,
    width: u32,
    height: u32,
) -> Result<Images> {
    let jpeg: Arc<[u8]> = spawn_blocking(move || photo(width, height)).await??.into();
    let began = Instant::now();
    let mut uploads = JoinSet::new();
    for _ in 0..options.images {
        if uploads.len() >= AT_ONCE {
            uploads.join_next().await.context("an upload")???;
        }
        let (client, jpeg) = (client.clone(), Arc::clone(&jpeg));
        uploads.spawn(async move { client.upload_bytes(&jpeg).await });
    }
    let mut last = String::new();
    while let Some(done) = uploads.join_next().await {
        last = done??;
    }
    let images_per_s = round(f64::from(options.images) / began.elapsed().as_secs_f64());
    ensure!(client.has_thumbnails(&last).await?, "no thumbnails were made");
    progress(&format!("{width} x {height}: {images_per_s} images per second"));
    Ok(Images { width, height, bytes: jpeg.len(), images_per_s })
}

/// A picture with as much detail as a photo has, about.
fn photo(width: u32, height: u32) -> Result<Vec<u8>> {
    let mut random = SmallRng::seed_from_u64(1);
    let image = RgbImage::from_fn(width, height, |x, y| {
        let noise: u8 = random.random_range(0..24);
        let wave = ((x as f32 / 37.0).sin() + (y as f32 / 53.0).cos()) * 50.0 + 110.0;
        Rgb([wave as u8 + noise, (x * 200 / width) as u8 + noise, (y * 200 / height) as u8 + noise])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}

/// Sends messages by themselves: from due to `ack`.
async fn sending(options: &FilesOptions, system: &System, phase: &str) -> Result<Quantiles> {
    let measured = Duration::from_secs(options.seconds.into());
    let pairs = Pairs { phase, rate: options.rate, measured };
    Ok(pairs.send(system, async |_| Ok(())).await?.ack)
}

/// The same while files go up and down: and how many MB per second did.
async fn under_load(
    options: &FilesOptions,
    system: &System,
    client: &Client,
) -> Result<(Quantiles, f64)> {
    let began = Instant::now();
    let every = Duration::from_secs_f64(
        LOAD_FILE_BYTES as f64 * AT_ONCE as f64 / (f64::from(options.load_mb) * MB as f64),
    );
    let mut load = JoinSet::new();
    let loaded = Arc::new(std::sync::atomic::AtomicU64::new(0));
    for _ in 0..AT_ONCE {
        let (client, loaded) = (client.clone(), Arc::clone(&loaded));
        load.spawn(async move {
            let mut pace = tokio::time::interval(every);
            loop {
                pace.tick().await;
                let path = client.upload(LOAD_FILE_BYTES).await?;
                client.download(&path).await?;
                loaded.fetch_add(LOAD_FILE_BYTES, std::sync::atomic::Ordering::Relaxed);
            }
        });
    }
    let sent = tokio::select! {
        sent = sending(options, system, "loaded") => sent?,
        Some(ended) = load.join_next() => {
            let failed: Result<std::convert::Infallible> = ended?;
            return failed.map(|never| match never {});
        }
    };
    let loaded = loaded.load(std::sync::atomic::Ordering::Relaxed);
    Ok((sent, loaded as f64 / MB as f64 / began.elapsed().as_secs_f64()))
}

/// Messages while uploads wait for a storage that says nothing; how many do.
async fn while_it_hangs(options: &FilesOptions, measured: &Measured) -> Result<(Quantiles, usize)> {
    let Measured { system, client, _s3: s3 } = measured;
    let (_, proxy) = s3.as_ref().context("no proxy")?;
    client.upload(LOAD_FILE_BYTES).await?;
    proxy.set(Fault::Stall);
    let mut waiting = JoinSet::new();
    // One user has eight at once.
    for _ in 0..2 * AT_ONCE {
        let client = client.clone();
        waiting.spawn(async move { client.upload(LOAD_FILE_BYTES).await });
    }
    let sent = sending(options, system, "hanging").await?;
    let mut hanging = waiting.len();
    while let Some(Ok(Ok(_))) = waiting.try_join_next() {
        hanging -= 1;
    }
    ensure!(hanging > 0, "no upload waited for the storage");
    proxy.set(Fault::None);
    Ok((sent, hanging))
}
