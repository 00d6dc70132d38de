//! What the version after this one says, in a running system: real edge, core and client.

use anyhow::Result;
use serde_json::json;
use weft_harness::session::Session;
use weft_harness::system::{direct, shared};

/// An entry that a newer core would publish: a kind, a field, a mark and words that nobody knows.
#[tokio::test]
async fn an_edge_hands_on_what_it_does_not_understand() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut listener = system.session(&alice).await?;
    let mut speaker = system.session(&bob).await?;
    assert_eq!(speaker.text(&room, "1").await?["seq"], 1);
    listener.expect(&room, 1).await?;
    let cursor = listener.next_cursor().await?;

    let newer = format!(
        r#"{{"type":"entry","room":"{room}","seq":2,"ordinal":1,"from":"{}","time":1,"kind":"dance","tempo":{{"bpm":[120]}}}}"#,
        bob.user
    );
    // Its place is after all that there is.
    let place = "7fffffffffffffff00000000";
    let head = format!("{room} 2 dance {place} - - xu 17 more");
    let mut core = system.nats_as("core").await?;
    let subject = format!("weft.u.{}", alice.user);
    core.publish(&subject, None, &[("Weft-Entry", &head)], newer.as_bytes()).await?;
    assert!(core.flush().await?.is_empty());
    let came = listener.expect(&room, 2).await?;
    assert_eq!((&came["kind"], &came["tempo"]), (&json!("dance"), &json!({ "bpm": [120] })));

    // The session lives on, and the store knows better after a resume.
    assert_eq!(speaker.text(&room, "2").await?["seq"], 2);
    assert_eq!(speaker.text(&room, "3").await?["seq"], 3);
    listener.expect(&room, 3).await?;
    let mut again = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    assert_eq!(again.expect(&room, 2).await?["text"], "2");
    Ok(())
}
