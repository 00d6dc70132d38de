//! Files: what is made of uploads, and who may read them.

use std::io::Cursor;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use weft_harness::files::Files;
use weft_harness::http;
use weft_harness::session::Session;
use weft_harness::system::{START_LIMIT, System, shared, unique};

pub(crate) fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let color = |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]);
    encoded(RgbImage::from_fn(width, height, color), format)
}

fn encoded(image: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).expect("encode");
    bytes.into_inner()
}

pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

pub(crate) async fn owner() -> Result<(&'static System, Files)> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    Ok((system, Files::of(system.edge(), &alice)))
}

/// Waits until a search finds so many messages.
pub(crate) async fn found(session: &mut Session, text: &str, count: usize) -> Result<Value> {
    let mut page = Value::Null;
    let deadline = Instant::now() + START_LIMIT;
    while page["messages"].as_array().map(Vec::len) != Some(count) {
        ensure!(Instant::now() < deadline, "{text} is found {count} times, not: {page}");
        page = session.request(json!({ "type": "search", "text": text })).await?;
    }
    Ok(page)
}

/// What a file is that was uploaded just now.
pub(crate) async fn uploaded(files: &Files, name: &str, bytes: &[u8]) -> Result<Value> {
    let path = files.upload(name, bytes).await?;
    let (status, shown) = files.look(&path).await?;
    ensure!(status == 200, "{name}: {status} {shown}");
    Ok(shown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_read_whole_and_in_parts_by_who_has_its_address() -> Result<()> {
    let (system, files) = owner().await?;
    let bytes = noise(300_000);
    let shown = uploaded(&files, "회의 1/2.bin", &bytes).await?;
    assert_eq!((&shown["name"], &shown["size"]), (&json!("2.bin"), &json!(300_000)));
    assert_eq!(shown["content_type"], "application/octet-stream");
    let url = &shown["url"];
    let whole = files.read(url, &[]).await?;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert_eq!(whole.header("content-length"), Some("300000"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let tag = whole.header("etag").context("no tag")?.to_owned();
    assert_eq!(files.read(url, &[("if-none-match", &tag)]).await?.status, 304);
    for (range, expected) in [("bytes=0-9", 0..10), ("bytes=299990-", 299_990..300_000)] {
        let part = files.read(url, &[("range", range), ("if-range", &tag)]).await?;
        assert_eq!((part.status, &part.body[..]), (206, &bytes[expected]), "{range}");
    }
    assert_eq!(files.read(url, &[("range", "bytes=300000-")]).await?.status, 416);
    let other = files.read(url, &[("range", "bytes=0-9"), ("if-range", "\"other\"")]).await?;
    assert_eq!((other.status, other.body.len()), (200, 300_000));

    // An address that somebody has changed is none.
    let text = url.as_str().context("an address")?;
    for changed in [text.replace("2.bin", "3.bin"), text.replace("&e=", "&e=1"), format!("{text}x")]
    {
        assert_eq!(files.read(&json!(changed), &[]).await?.status, 404, "{changed}");
    }
    // It is the same one for an hour, and nobody else is told of it.
    let path = format!("/v1/files/{}", shown["file"].as_str().context("an id")?);
    let again = files.look(&path).await?.1;
    let hour = |shown: &Value| shown["url_expires_at"].as_u64().unwrap_or(0) / 3_600_000;
    assert!(again["url"] == *url || hour(&again) != hour(&shown), "{again}");
    let bob = Files::of(system.edge(), &system.user("bob").await?);
    assert_eq!(bob.look(&path).await?.0, 404);
    assert_eq!(bob.tus("HEAD", &path, &[], b"").await?.status, 404);
    assert_eq!(bob.tus("DELETE", &path, &[], b"").await?.status, 404);
    let stranger = http::request(system.edge(), "GET", &path, &[], b"").await?;
    assert_eq!(stranger.status, 401);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_have_facts_and_thumbnails_and_no_metadata() -> Result<()> {
    const SECRET: &[u8] = b"GPS 52.5200N 13.4050E";
    let (_, files) = owner().await?;
    // White on the left, which is up when it is turned.
    let halves = RgbImage::from_fn(800, 600, |x, _| Rgb([if x < 400 { 255 } else { 0 }; 3]));
    let plain = encoded(halves, ImageFormat::Jpeg);
    // Turned by a quarter, and with the place where it was taken.
    let mut exif =
        b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    exif.extend(SECRET);
    let mut photo = plain[..2].to_vec();
    photo.extend([0xFF, 0xE1]);
    photo.extend((exif.len() as u16 + 2).to_be_bytes());
    photo.extend(&exif);
    photo.extend(&plain[2..]);
    assert!(holds(&photo, SECRET));
    let shown = uploaded(&files, "photo.jpg", &photo).await?;
    assert_eq!(shown["content_type"], "image/jpeg");
    let image = &shown["image"];
    assert_eq!((&image["width"], &image["height"]), (&json!(600), &json!(800)), "{shown}");
    assert!(image["thumbhash"].as_str().is_some_and(|hash| hash.len() > 8), "{shown}");
    let read = files.read(&shown["url"], &[]).await?;
    assert!(!holds(&read.body, SECRET) && read.body.len() < photo.len());
    assert_eq!(read.header("content-disposition"), Some("inline; filename*=UTF-8''photo.jpg"));
    for (size, expected) in [("s", (240, 320)), ("m", (600, 800))] {
        let read = files.read(&shown["thumbnails"][size], &[]).await?;
        assert_eq!((read.status, read.header("content-type")), (200, Some("image/webp")));
        let small = image::load_from_memory_with_format(&read.body, ImageFormat::WebP)?;
        assert_eq!((small.width(), small.height()), expected, "{size}");
        let light = |y| small.to_luma8().get_pixel(expected.0 / 2, y).0[0];
        let (above, below) = (light(expected.1 / 5), light(expected.1 * 4 / 5));
        assert!(above > 200 && below < 50, "{size}: {above} above {below}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_file_fails_alone_and_nothing_of_it_runs() -> Result<()> {
    let (_, files) = owner().await?;
    let png = picture(64, 64, ImageFormat::Png);
    let mut bomb = png.clone();
    bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let mut broken = png.clone();
    broken[50..].fill(0xAA);
    let octets = "application/octet-stream";
    let (damaged, format, other) = (json!("damaged"), json!("format"), Value::Null);
    let html = b"<html><script>alert(document.cookie)</script>".to_vec();
    let svg = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
        .to_vec();
    for (name, bytes, kind, why) in [
        ("cut.png", png[..png.len() / 2].to_vec(), octets, &damaged),
        ("bomb.png", bomb, octets, &damaged),
        ("broken.png", broken, octets, &damaged),
        ("jpeg.png", b"\xFF\xD8\xFF\xE0\0\x10JFIF\0".to_vec(), octets, &damaged),
        ("gif.gif", b"GIF89a\xFF\xFF\xFF\xFF\0\0\0".to_vec(), octets, &damaged),
        ("webp.webp", b"RIFF\xFF\xFF\xFF\xFFWEBPVP8 \xFF\xFF\xFF\x7F".to_vec(), octets, &damaged),
        ("cat.png", html, "text/html", &other),
        ("cat.svg", svg, "image/svg+xml", &format),
        (
            "photo.heic",
            b"\0\0\0\x18ftypheic\0\0\0\0heicmif1\0\0\0\0".to_vec(),
            "image/heif",
            &format,
        ),
    ] {
        let shown = uploaded(&files, name, &bytes).await?;
        assert_eq!((&shown["content_type"], &shown["no_preview"]), (&json!(kind), why), "{name}");
        assert_eq!(shown["image"], Value::Null, "{name}");
        let read = files.read(&shown["url"], &[]).await?;
        assert_eq!((read.status, read.body == bytes), (200, true), "{name}");
        assert_eq!(read.header("x-content-type-options"), Some("nosniff"), "{name}");
        let policy = read.header("content-security-policy");
        assert_eq!(policy, Some("sandbox; default-src 'none'"), "{name}");
        let disposition = read.header("content-disposition").unwrap_or_default();
        assert!(disposition.starts_with("attachment"), "{name}: {disposition}");
        let told = if kind == "image/heif" { kind } else { octets };
        assert_eq!(read.header("content-type"), Some(told), "{name}");
    }
    // Of 10,000 frames the first one is looked at.
    let mut frames = b"GIF89a\x01\0\x01\0\x80\0\0\xFF\xFF\xFF\0\0\0".to_vec();
    for _ in 0..10_000 {
        frames.extend(b"\x2C\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0");
    }
    frames.push(0x3B);
    let shown = uploaded(&files, "frames.gif", &frames).await?;
    let image = &shown["image"];
    assert_eq!((&image["width"], &image["animated"]), (&json!(1), &json!(true)), "{shown}");
    assert_eq!(files.read(&shown["thumbnails"]["s"], &[]).await?.status, 200);
    let named = "x\r\nSet-Cookie: a=b\"\u{202E}gnp.exe";
    let shown = uploaded(&files, named, b"MZ").await?;
    let read = files.read(&shown["url"], &[]).await?;
    assert_eq!((read.status, read.header("set-cookie")), (200, None));
    // Others are not touched.
    let shown = uploaded(&files, "good.png", &png).await?;
    assert_eq!(shown["image"]["width"], 64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_a_message_is_seen_and_found_by_who_is_there_until_it_is_deleted() -> Result<()>
{
    let system = shared().await;
    let (alice, bob, carol) =
        (system.user("alice").await?, system.user("bob").await?, system.user("carol").await?);
    let of = |login| Files::of(system.edge(), login);
    let path = of(&alice).upload("항구.png", &picture(400, 300, ImageFormat::Png)).await?;
    let id = path.trim_start_matches("/v1/files/");
    let (mut a, mut b) = (system.session(&alice).await?, system.session(&bob).await?);
    let room = unique("team");
    let members = json!([bob.user, carol.user]);
    a.acked(&room, json!({ "kind": "create", "title": "Team", "members": members })).await?;
    let image = json!({ "kind": "image", "text": "the harbour", "files": [{ "id": id }] });
    let seq = a.acked(&room, image).await?;
    let entry = b.expect(&room, seq).await?;
    let file = &entry["files"][0];
    assert_eq!(
        (&file["name"], &file["width"], &file["thumbnails"]),
        (&json!("항구.png"), &json!(400), &json!(true))
    );
    let place = format!("{path}?room={room}&seq={seq}");
    let (status, shown) = of(&bob).look(&place).await?;
    assert_eq!((status, &shown["sha256"].is_string()), (200, &true), "{shown}");
    for url in [&shown["url"], &shown["thumbnails"]["s"]] {
        assert_eq!(of(&bob).read(url, &[]).await?.status, 200, "{url}");
    }
    assert_eq!(of(&bob).look(&path).await?.0, 404);
    let mallory = system.user("mallory").await?;
    assert_eq!(of(&mallory).look(&place).await?.0, 404);

    let page = found(&mut b, "harbour", 1).await?;
    assert_eq!(page["messages"][0]["highlights"], json!([{ "at": 4, "len": 7 }]));
    for (has, count) in [("image", 1), ("file", 0)] {
        let search = json!({ "type": "search", "text": "harbour", "room": room, "has": [has] });
        let page = b.request(search).await?;
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(count), "{has}: {page}");
    }
    let page = found(&mut b, "항구", 1).await?;
    assert_eq!(page["messages"][0]["highlights"], json!([]));

    // Who leaves finds nothing of it, and may see what `history` still shows them, until it is deleted.
    b.acked(&room, json!({ "kind": "leave" })).await?;
    found(&mut b, "harbour", 0).await?;
    assert_eq!(of(&bob).look(&place).await?.0, 200);
    a.acked(&room, json!({ "kind": "delete", "target": seq })).await?;
    for login in [&bob, &carol] {
        assert_eq!(of(login).look(&place).await?.0, 404);
    }
    found(&mut system.session(&carol).await?, "harbour", 0).await?;
    Ok(())
}
