//! Messages with files, as clients see them.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use image::ImageFormat;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::files::Files;
use weft_harness::http;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::wait::until;
use weft_nats::{Bus, BusOptions};
use weft_proto::{ErrorCode, NodeId, svc};

use crate::files::picture;

/// What `weft files` asks of core, this asks in its place.
async fn role(system: &System) -> Result<Bus> {
    let (url, password) = (system.nats_url(), system.password("files")?);
    let node = NodeId::new("files-test")?;
    let options = BusOptions { url, user: "files".into(), password, role: "files", node };
    Ok(Bus::connect(&options).await?)
}

async fn begin(role: &Bus, owner: &Login) -> Result<String> {
    let (token, name) = (owner.token.clone(), "../harbour.png".into());
    Ok(role.call(&svc::BeginFile { token, name, size: 9 }).await?.file)
}

fn finished(file: &str) -> svc::FinishFile {
    let image = svc::ImageFacts { width: 4, height: 3, ..svc::ImageFacts::default() };
    svc::FinishFile {
        file: file.into(),
        size: 9,
        sha256: vec![1; 32],
        content_type: "image/png".into(),
        image: Some(image),
        ..svc::FinishFile::default()
    }
}

fn look(who: &Login, file: &str, (room, seq): (&str, u64)) -> svc::LookAtFile {
    let (token, file, room) = (who.token.clone(), file.into(), room.into());
    svc::LookAtFile { token, file, room, seq, ..svc::LookAtFile::default() }
}

fn images(file: &str) -> Value {
    json!({ "kind": "image", "text": "the harbour", "files": [{ "id": file, "name": "mine" }] })
}

/// Kills core, and waits until it serves again.
async fn core_begins_anew(system: &System) -> Result<()> {
    system.process("core").kill()?;
    system.process("core").restart()?;
    until("core serves", START_LIMIT, async || {
        let told = http::call(system.admin("core"), "GET", "/readyz", None, &Value::Null).await;
        (told.ok()?.status == 200).then_some(())
    })
    .await;
    system.ready().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_files_until_it_is_deleted_whatever_happens_to_core() -> Result<()> {
    let options = Options { edges: 1, ..Options::default() };
    let mut system = System::split(options.clone()).await?;
    let address = system.add_files(&options).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let of = |login: &Login| Files::of(address, login);
    let room = direct(&alice, &bob);
    let (mut one, mut other) = (system.session(&alice).await?, system.session(&bob).await?);
    let bytes = picture(4, 3, ImageFormat::Png);
    let path = of(&alice).begin("harbour.png", bytes.len()).await?;
    let file = path.trim_start_matches("/v1/files/");
    assert_eq!(one.refused(&room, images(file)).await?, "not_found", "it is not uploaded yet");
    assert_eq!(of(&alice).patch(&path, 0, &bytes).await?.status, 204);
    assert_eq!(other.refused(&room, images(file)).await?, "not_found", "it is not bob's");
    let seq = one.acked(&room, images(file)).await?;
    let shown = other.expect(&room, seq).await?;
    let facts = &shown["files"][0];
    assert_eq!((&shown["kind"], &shown["text"]), (&json!("image"), &json!("the harbour")));
    assert_eq!((&facts["name"], &facts["width"]), (&json!("harbour.png"), &json!(4)), "{shown}");

    // Acknowledged means kept.
    core_begins_anew(&system).await?;
    let place = format!("{path}?room={room}&seq={seq}");
    let (status, seen) = of(&bob).look(&place).await?;
    assert_eq!((status, &seen["expires_at"]), (200, &facts["expires"]), "{seen}");

    // Nobody else sees it, but administrators to whom it was reported; and that is told.
    let (eve, root) = (system.user("eve").await?, system.user("root").await?);
    system.operated(&["make-administrator", &root.user]).await?;
    let by_report = format!("{path}?report={}.{room}.{seq}&reason=spam", bob.user);
    assert_eq!(of(&root).look(&place).await?.0, 404);
    assert_eq!(of(&root).look(&by_report).await?.0, 404, "it is not reported");
    let report = json!({ "reason": "is that allowed?" });
    let report_path = format!("/v1/rooms/{room}/entries/{seq}/report");
    let answer = bob.call(system.edge(), "POST", &report_path, &report).await?;
    assert!(answer.status < 300, "{answer:?}");
    for (login, status) in [(&root, 200), (&eve, 403), (&bob, 403)] {
        let (seen, shown) = of(login).look(&by_report).await?;
        assert_eq!(seen, status, "{}: {shown}", login.user);
    }
    let log = root.call(system.edge(), "GET", "/v1/admin/log?limit=9", &Value::Null).await?.body;
    let rows = log["rows"].as_array().context("rows")?;
    let looks: Vec<_> = rows.iter().filter(|row| row["action"] == "see_file").collect();
    assert_eq!(looks.len(), 1, "{log}");
    let (by, why) = (&looks[0]["by"], &looks[0]["reason"]);
    assert_eq!((by, why, &looks[0]["seq"]), (&json!(root.user), &json!("spam"), &json!(seq)));

    one.acked(&room, json!({ "kind": "delete", "target": seq })).await?;
    for (login, path) in [(&alice, &place), (&bob, &place), (&root, &by_report)] {
        assert_eq!(of(login).look(path).await?.0, 404, "{}", login.user);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_files_is_listed_edited_forwarded_and_sent_later() -> Result<()> {
    let system = crate::two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (room, files) = (direct(&alice, &bob), role(system).await?);
    let (mut one, mut other) = (system.session(&alice).await?, system.session(&bob).await?);
    let file = begin(&files, &alice).await?;
    files.call(&finished(&file)).await?;
    let seq = one.acked(&room, images(&file)).await?;
    let facts = other.expect(&room, seq).await?["files"][0].clone();
    let list = other.request(json!({ "type": "rooms" })).await?;
    let (unread, last) = (&list["rooms"][0]["unread"], &list["rooms"][0]["last"]["kind"]);
    assert_eq!((unread, last), (&json!(1), &json!("image")), "{list}");
    for caption in ["the old harbour", ""] {
        one.acked(&room, json!({ "kind": "edit", "target": seq, "text": caption })).await?;
        let page = json!({ "type": "history", "room": room, "around": seq });
        let page = other.request(page).await?;
        let now = &page["entries"][0];
        assert_eq!((&now["text"], &now["files"][0]), (&json!(caption), &facts), "{page}");
    }

    // Forwarded by who may read it, and gone with the last message that has it.
    let own = format!("{0}~{0}", bob.user);
    let mut forward = images(&file);
    forward["forwarded"] = json!({ "room": room, "seq": seq });
    let forwarded = other.acked(&own, forward).await?;
    one.acked(&room, json!({ "kind": "delete", "target": seq })).await?;
    let deleted = files.call(&look(&bob, &file, (&room, seq))).await;
    assert_eq!(deleted.expect_err("deleted").code, ErrorCode::NotFound);
    let kept = files.call(&look(&bob, &file, (&own, forwarded))).await?;
    ensure!(kept.sha256 == vec![1; 32], "{kept:?}");

    // Sent later.
    let file = begin(&files, &alice).await?;
    files.call(&finished(&file)).await?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64 + 1_000;
    let mut later = images(&file);
    (later["kind"], later["message_kind"], later["at"]) =
        ("schedule".into(), "image".into(), at.into());
    let done = one.entry(&room, later).await?;
    assert_eq!(done["type"], "done", "{done}");
    let discard = svc::DiscardFile { token: alice.token.clone(), file: file.clone() };
    let refused = files.call(&discard).await.expect_err("it waits");
    assert_eq!(refused.code, ErrorCode::Conflict);
    let sent = other.expect(&room, seq + 4).await?;
    assert_eq!((&sent["kind"], &sent["files"][0]["width"]), (&json!("image"), &json!(4)), "{sent}");
    files.call(&look(&bob, &file, (&room, seq + 4))).await?;
    Ok(())
}
