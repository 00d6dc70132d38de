//! What an answer carries: the client id as it was sent, the entry's time and ordinal, and the same
//! for each resend, whatever was restarted in between.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, shared};
use weft_harness::ulid;

/// The answer without its request's id, which differs from time to time.
fn bare(mut answer: Value) -> Value {
    answer.as_object_mut().map(|fields| fields.remove("id"));
    answer
}

/// A UUIDv7 of the same time and the last bits of a fresh ULID, in capitals.
fn uuid() -> String {
    let now_ms = weft_harness::socket::now_ms();
    let random: u64 = rand::random();
    let (high, low) = (now_ms >> 16, now_ms & 0xffff);
    let (a, b) = (random >> 48 & 0xfff, random & 0xffff_ffff_ffff);
    format!("{high:08X}-{low:04X}-7{a:03X}-8ABC-{b:012X}")
}

#[tokio::test]
async fn a_client_id_is_given_back_as_it_was_sent() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let (mut phone, mut reader) = (system.session(&alice).await?, system.session(&bob).await?);
    let path = format!("/v1/rooms/{room}/entries");
    for (seq, id) in (1_u64..).zip([ulid::fresh(), ulid::fresh().to_lowercase(), uuid()]) {
        let fields = json!({ "client_id": id, "text": "x" });
        let ack = bare(phone.entry(&room, fields.clone()).await?);
        assert_eq!((&ack["seq"], &ack["client_id"]), (&json!(seq), &json!(id)), "{ack}");
        for session in [&mut phone, &mut reader] {
            assert_eq!(session.expect(&room, seq).await?["client_id"], json!(id));
        }
        // Another spelling is the same command.
        let mut other = fields.clone();
        other["client_id"] = json!(id.to_lowercase());
        let again = phone.entry(&room, other.clone()).await?;
        assert_eq!((&again["seq"], &again["client_id"]), (&json!(seq), &other["client_id"]));
        let answer = alice.call(system.edge(), "POST", &path, &fields).await?;
        assert_eq!((answer.status, &answer.body), (201, &ack), "{answer:?}");
        let page = phone.request(json!({ "type": "history", "room": room })).await?;
        assert_eq!(page["entries"][seq as usize - 1]["client_id"], json!(id), "{page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_is_told_the_time_and_ordinal_of_the_first() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut phone = system.session(&alice).await?;
    let large = "한".repeat(50_000);
    let mut sent: Vec<(Value, Value)> = Vec::new();
    for text in ["one", &large, "three"] {
        let fields = json!({ "client_id": ulid::fresh(), "text": text });
        let ack = bare(phone.entry(&room, fields.clone()).await?);
        let entry = phone.expect(&room, sent.len() as u64 + 1).await?;
        for field in ["seq", "ordinal", "time", "client_id"] {
            assert!(!ack[field].is_null() && ack[field] == entry[field], "{field}: {ack}");
        }
        sent.push((fields, ack));
    }
    system.process("core").kill()?;
    system.process("core").restart()?;
    system.ready().await;
    let mut tablet = Session::open(system.edge(), &alice, None).await?;
    for (fields, ack) in &sent {
        assert_eq!(tablet.acked(&room, fields.clone()).await?, ack["seq"], "it is committed");
        assert_eq!(bare(tablet.entry(&room, fields.clone()).await?), *ack);
        let mut other = fields.clone();
        other["text"] = "something else".into();
        let error = tablet.entry(&room, other).await?;
        assert_eq!((code(&error)?.as_str(), &error["error"]["seq"]), ("conflict", &ack["seq"]));
    }
    Ok(())
}
