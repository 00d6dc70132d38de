//! Previews of links: read by `weft files` from hosts of this test, as pages of the web would be.

use std::collections::HashMap;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weft_harness::account::Login;
use weft_harness::files::Files;
use weft_harness::metrics::Metrics;
use weft_harness::session::Session;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::wait::until;

const LIMIT: Duration = Duration::from_secs(20);
const HTML: &str = "text/html; charset=utf-8";

/// A host of the web: what it answers by path, and what it was asked.
#[derive(Clone)]
struct Web {
    address: SocketAddr,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    /// What `/wait` waits for.
    open: Arc<watch::Sender<bool>>,
}

impl Web {
    /// At an address of this machine.
    async fn start(ip: &str) -> Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let web = Self {
            address: listener.local_addr()?,
            asked: Arc::default(),
            open: Arc::new(watch::Sender::new(false)),
        };
        let serving = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let web = serving.clone();
                tokio::spawn(async move { web.answer(stream).await });
            }
        });
        Ok(web)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().expect("a lock").get(path).copied().unwrap_or(0)
    }

    async fn answer(&self, stream: TcpStream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line);
        }
        let path = lines[0].split(' ').nth(1).context("no path")?.to_owned();
        *self.asked.lock().expect("a lock").entry(path.clone()).or_default() += 1;
        let mut stream = stream.into_inner();
        let page = |title: &str| format!("<title>{title}</title>").into_bytes();
        let (kind, more, body) = match &*path {
            "/page" | "/other" | "/once" | "/elsewhere" => {
                (HTML, String::new(), self.page(&path).into_bytes())
            }
            "/image.png" => ("image/png", String::new(), png()),
            "/wait" => {
                self.open.subscribe().wait_for(|open| *open).await?;
                (HTML, String::new(), page("late"))
            }
            "/hang" => std::future::pending().await,
            "/drip" => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>")
                    .await?;
                std::future::pending().await
            }
            "/endless" => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>endless</title>";
                stream.write_all(head.as_bytes()).await?;
                loop {
                    stream.write_all(&[b' '; 4_096]).await?;
                }
            }
            "/loop" => (HTML, "Location: /loop\r\n".to_owned(), Vec::new()),
            "/inside" => (
                HTML,
                format!("Location: http://127.0.0.9:{}/page\r\n", self.address.port()),
                Vec::new(),
            ),
            "/many" => {
                let meta = "<meta property='og:title' content='many'>".repeat(10_000);
                (HTML, String::new(), meta.into_bytes())
            }
            "/packed" => (HTML, "Content-Encoding: gzip\r\n".to_owned(), page("packed")),
            "/pdf" => ("application/pdf", String::new(), page("a pdf")),
            "/unwanted" => (HTML, "X-Robots-Tag: nosnippet\r\n".to_owned(), page("unwanted")),
            "/bad-image" => {
                let html = "<title>bad image</title><meta property=og:image content=/cut.png>";
                (HTML, String::new(), html.into())
            }
            "/cut.png" => ("image/png", String::new(), png()[..200].to_vec()),
            _ => (HTML, String::new(), Vec::new()),
        };
        let status = if more.starts_with("Location") { "302 Found" } else { "200 OK" };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        Ok(())
    }

    fn page(&self, path: &str) -> String {
        format!(
            r#"<!doctype html><html><head><title>plain</title>
            <meta property="og:title" content="The &quot;page&quot; {path}">
            <meta property="og:description" content="What   it
            says"><meta property="og:site_name" content="A site">
            <meta property="og:image" content="image.png"></head><body>text</body></html>"#
        )
    }
}

fn png() -> Vec<u8> {
    let image = RgbImage::from_fn(640, 320, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, ImageFormat::Png).expect("encode");
    bytes.into_inner()
}

fn options(more: &[&str]) -> Options {
    // 127.0.0.0 to 127.0.0.7.
    let args = ["--previews", "--previews-allow", "127.0.0.0/29"];
    let files_args = args.iter().chain(more).map(|arg| (*arg).to_owned()).collect();
    Options { edges: 1, files_args, ..Options::default() }
}

/// A message as history shows it.
async fn shown(session: &mut Session, room: &str, seq: u64) -> Result<Value> {
    let page = session
        .request(json!({ "type": "history", "room": room, "around": seq, "limit": 1 }))
        .await?;
    let entries = page["entries"].as_array().context("no entries")?;
    entries.iter().find(|entry| entry["seq"] == seq).cloned().context("no such entry")
}

/// Waits until a message has a preview.
async fn previewed(session: &mut Session, room: &str, seq: u64) -> Value {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let message = shown(session, room, seq).await.expect("history");
        if !message["preview"].is_null() {
            return message["preview"].clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{room} {seq} has no preview");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many links had this outcome.
async fn outcomes(system: &System, outcome: &str) -> Result<u64> {
    let metrics = Metrics::of(system.admin("files")).await?;
    Ok(metrics.get(&format!("weft_files_previews_total{{outcome=\"{outcome}\"}}")) as u64)
}

async fn wait_for_outcomes(system: &System, outcome: &str, count: u64) {
    until(&format!("{count} links were {outcome}"), LIMIT, async || {
        (outcomes(system, outcome).await.ok()? >= count).then_some(())
    })
    .await;
}

async fn pair(system: &System) -> Result<(Login, Login, String)> {
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    Ok((alice, bob, room))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_has_a_preview_until_its_sender_removes_it() -> Result<()> {
    let (web, options) = (Web::start("127.0.0.1").await?, options(&[]));
    let mut system = System::split(options.clone()).await?;
    let files = system.add_files(&options).await?;
    let (alice, bob, room) = pair(&system).await?;
    let (mut one, mut other) = (system.session(&alice).await?, system.session(&bob).await?);
    let text = format!("look: {} and {}", web.url("/page"), web.url("/other"));
    let seq = one.acked(&room, json!({ "text": text })).await?;
    let entry = other.expect(&room, seq + 1).await?;
    assert_eq!((&entry["kind"], &entry["target"]), (&json!("preview"), &json!(seq)), "{entry}");
    assert_eq!((&entry["from"], &entry["ordinal"]), (&json!(alice.user), &json!(1)));
    assert_eq!(entry["url"], web.url("/page"));
    assert_eq!(entry["title"], r#"The "page" /page"#);
    assert_eq!((&entry["description"], &entry["site"]), (&json!("What it says"), &json!("A site")));
    assert_eq!(
        (&entry["image"]["width"], &entry["image"]["content_type"]),
        (&json!(640), &json!("image/webp"))
    );
    let preview = previewed(&mut other, &room, seq).await;
    assert_eq!((&preview["title"], &preview["image"]), (&entry["title"], &entry["image"]));
    assert_eq!(preview["seq"], seq + 1);
    let rooms = other.request(json!({ "type": "rooms" })).await?;
    assert_eq!(
        (&rooms["rooms"][0]["unread"], &rooms["rooms"][0]["last"]["seq"]),
        (&json!(1), &json!(seq))
    );

    // Its image is a file of the message, for who may see that, until it goes.
    let image = entry["image"]["id"].as_str().context("an image")?;
    let path = format!("/v1/files/{image}?room={room}&seq={seq}");
    let (bobs, eves) = (Files::of(files, &bob), Files::of(files, &system.user("eve").await?));
    let (status, file) = bobs.look(&path).await?;
    assert_eq!(status, 200, "{file}");
    let read = bobs.read(&file["url"], &[]).await?;
    let webp = image::load_from_memory_with_format(&read.body, ImageFormat::WebP)?;
    assert_eq!((webp.width(), webp.height()), (640, 320));
    assert_eq!(eves.look(&path).await?.0, 404);

    // The same address again is not read again; the second message has a preview of its own.
    let again = other.acked(&room, json!({ "text": web.url("/page") })).await?;
    let second = previewed(&mut one, &room, again).await;
    assert_eq!((second["image"]["id"].as_str(), web.asked("/page")), (Some(image), 1));
    assert_eq!(web.asked("/other"), 0, "it is of the first link alone");

    let remove = json!({ "kind": "unpreview", "target": seq });
    assert_eq!(other.refused(&room, remove.clone()).await?, "forbidden");
    one.acked(&room, remove).await?;
    assert!(shown(&mut other, &room, seq).await?["preview"].is_null());
    assert_eq!(shown(&mut other, &room, seq + 1).await?["kind"], "deleted");
    assert_eq!(bobs.look(&path).await?.0, 404);
    assert_eq!(bobs.look(&format!("/v1/files/{image}?room={room}&seq={again}")).await?.0, 200);

    // It goes with its link, and comes with another one; and it goes with the message.
    let edit = format!("now {}", web.url("/other"));
    other.acked(&room, json!({ "kind": "edit", "target": again, "text": edit })).await?;
    assert!(shown(&mut one, &room, again).await?["preview"]["title"] != second["title"]);
    let new = previewed(&mut one, &room, again).await;
    assert_eq!(new["title"], r#"The "page" /other"#);
    other.acked(&room, json!({ "kind": "delete", "target": again })).await?;
    let place = new["seq"].as_u64().context("a seq")?;
    assert_eq!(shown(&mut one, &room, place).await?["kind"], "deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_hosts_harm_nobody_else() -> Result<()> {
    let options = options(&["--previews-refuse", "127.0.0.2"]);
    let good = Web::start("127.0.0.1").await?;
    let refused = Web::start("127.0.0.2").await?;
    let bad = Web::start("127.0.0.3").await?;
    let slow = [Web::start("127.0.0.4").await?, Web::start("127.0.0.5").await?];
    // Where a redirect may not lead: on the port of who redirects there.
    let inside = TcpListener::bind(("127.0.0.9", bad.address.port())).await?;
    let mut system = System::split(options.clone()).await?;
    system.add_files(&options).await?;
    let (alice, _, room) = pair(&system).await?;
    let mut one = system.session(&alice).await?;
    for url in [slow[0].url("/hang"), slow[1].url("/drip")] {
        one.acked(&room, json!({ "text": url })).await?;
    }
    let seq = one.acked(&room, json!({ "text": good.url("/page") })).await?;
    previewed(&mut one, &room, seq).await;
    assert_eq!(outcomes(&system, "hung").await?, 0, "others wait for none of them");

    for path in ["/loop", "/packed"] {
        one.acked(&room, json!({ "text": bad.url(path) })).await?;
    }
    for url in [
        bad.url("/inside"),
        bad.url("/unwanted"),
        refused.url("/page"),
        "http://127.0.0.9/".to_owned(),
    ] {
        one.acked(&room, json!({ "text": url })).await?;
    }
    for url in [bad.url("/pdf"), bad.url("/empty")] {
        one.acked(&room, json!({ "text": url })).await?;
    }
    for (path, title) in [("/endless", "endless"), ("/many", "many"), ("/bad-image", "bad image")] {
        let seq = one.acked(&room, json!({ "text": bad.url(path) })).await?;
        let preview = previewed(&mut one, &room, seq).await;
        assert_eq!((&preview["title"], preview.get("image")), (&json!(title), None), "{path}");
    }
    wait_for_outcomes(&system, "failed", 2).await;
    wait_for_outcomes(&system, "refused", 4).await;
    wait_for_outcomes(&system, "nothing", 2).await;
    assert_eq!((outcomes(&system, "made").await?, refused.asked("/page")), (4, 0));
    let connected = tokio::time::timeout(Duration::ZERO, inside.accept()).await;
    ensure!(connected.is_err(), "a redirect led inside");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_without_previews_uses_up_no_links() -> Result<()> {
    let (web, options) = (Web::start("127.0.0.1").await?, options(&[]));
    let mut system = System::split(options.clone()).await?;
    system.add_files(&options).await?;
    let (alice, bob, room) = pair(&system).await?;
    let (mut one, mut other) = (system.session(&alice).await?, system.session(&bob).await?);
    one.acked(&room, json!({ "text": "hi" })).await?;
    other.acked(&room, json!({ "kind": "update", "previews": false })).await?;
    let rooms = one.request(json!({ "type": "rooms" })).await?;
    assert_eq!(rooms["rooms"][0]["previews"], false, "{rooms}");
    one.acked(&room, json!({ "text": web.url("/once") })).await?;
    let carol = system.user("carol").await?;
    let with_previews = direct(&alice, &carol);
    let closed = format!("<{}> is good once", web.url("/once"));
    one.acked(&with_previews, json!({ "text": closed })).await?;
    // The second one is found by a look at all rooms that began after the first one was.
    for path in ["/page", "/other"] {
        let seq = one.acked(&with_previews, json!({ "text": web.url(path) })).await?;
        previewed(&mut one, &with_previews, seq).await;
    }
    assert_eq!((web.asked("/once"), web.asked("/page")), (0, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_a_preview_comes_once() -> Result<()> {
    let (web, options) = (Web::start("127.0.0.1").await?, options(&[]));
    let mut system = System::split(options.clone()).await?;
    let address = system.add_files(&options).await?;
    let (alice, _, room) = pair(&system).await?;
    let mut one = system.session(&alice).await?;
    let before = one.acked(&room, json!({ "text": web.url("/page") })).await?;
    previewed(&mut one, &room, before).await;
    let seq = one.acked(&room, json!({ "text": web.url("/wait") })).await?;
    until("it is being read", START_LIMIT, async || (web.asked("/wait") == 1).then_some(())).await;
    system.process("files").kill()?;
    system.process("files").restart()?;
    system.files_serve(address).await;
    until("it is read again", LIMIT, async || (web.asked("/wait") == 2).then_some(())).await;
    web.open.send_replace(true);
    let preview = previewed(&mut one, &room, seq).await;
    assert_eq!(preview["title"], "late");
    // What had one has no second one.
    let last = one.acked(&room, json!({ "text": web.url("/elsewhere") })).await?;
    previewed(&mut one, &room, last).await;
    let page = one.request(json!({ "type": "history", "room": room })).await?;
    let entries = page["entries"].as_array().context("no entries")?;
    let previews = entries.iter().filter(|entry| entry["kind"] == "preview").count();
    assert_eq!(previews, 3, "{page}");
    Ok(())
}
