//! Messages with files, as clients see them. What `weft files` asks of core, this asks in its place.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::http;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::wait::until;
use weft_nats::{Bus, BusOptions};
use weft_proto::{ErrorCode, NodeId, svc};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_has_files_until_it_is_deleted_whatever_happens_to_core() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let eve = system.user("eve").await?;
    let (room, files) = (direct(&alice, &bob), role(&system).await?);
    let (mut one, mut other) = (system.session(&alice).await?, system.session(&bob).await?);
    let file = begin(&files, &alice).await?;
    assert_eq!(one.refused(&room, images(&file)).await?, "not_found", "it is not uploaded yet");
    files.call(&finished(&file)).await?;
    assert_eq!(other.refused(&room, images(&file)).await?, "not_found", "it is not bob's");
    let seq = one.acked(&room, images(&file)).await?;
    let shown = other.expect(&room, seq).await?;
    let facts = &shown["files"][0];
    assert_eq!((&shown["kind"], &shown["text"]), (&json!("image"), &json!("the harbour")));
    assert_eq!((&facts["name"], &facts["width"]), (&json!("harbour.png"), &json!(4)), "{shown}");

    // Acknowledged means kept.
    system.process("core").kill()?;
    system.process("core").restart()?;
    until("core serves", START_LIMIT, async || {
        let told = http::call(system.admin("core"), "GET", "/readyz", None, &Value::Null).await;
        (told.ok()?.status == 200).then_some(())
    })
    .await;
    system.ready().await;
    let seen = files.call(&look(&bob, &file, (&room, seq))).await?;
    assert_eq!(json!(seen.until_ms), facts["expires"]);
    let of_eve = files.call(&look(&eve, &file, (&room, seq))).await;
    assert_eq!(of_eve.expect_err("not hers").code, ErrorCode::NotFound);

    // In a list, unread, edited, and read again.
    let list = other.request(json!({ "type": "rooms" })).await?;
    let listed = &list["rooms"][0];
    assert_eq!(
        (&listed["unread"], &listed["last"]["kind"]),
        (&json!(1), &json!("image")),
        "{list}"
    );
    let edit = json!({ "kind": "edit", "target": seq, "text": "the old harbour" });
    one.acked(&room, edit).await?;
    let page = other.request(json!({ "type": "history", "room": room, "around": seq })).await?;
    let now = &page["entries"][0];
    assert_eq!(now["text"], "the old harbour", "{page}");
    assert_eq!(&now["files"][0], facts);

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
    Ok(())
}
