//! A client id is good for a day: within it a resend gets the first ack again, whatever was
//! restarted meanwhile; after it, nobody can tell, so it is refused.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use weft_harness::session::Session;
use weft_harness::socket::now_ms;
use weft_harness::system::{Options, System, direct};
use weft_harness::ulid;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// A client id of this age.
fn id_of(age: Duration) -> String {
    ulid::at(now_ms() - u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_sends_again_after_hours_gets_its_first_ack() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let mut sent = Vec::new();
    for age in [MINUTE, HOUR, 12 * HOUR, 23 * HOUR, 24 * HOUR - MINUTE] {
        let fields = json!({ "client_id": id_of(age), "text": format!("{age:?} ago") });
        let seq = phone.acked(&room, fields.clone()).await?;
        phone.acked(&room, json!({ "text": "in between" })).await?;
        sent.push((fields, seq));
    }
    // Nothing that lives in memory knows of them any more.
    for part in ["core", "edge-0", "edge-1"] {
        system.process(part).kill()?;
        system.process(part).restart()?;
    }
    system.ready().await;
    let mut tablet = Session::open(system.edges()[1], &alice, None).await?;
    for (fields, seq) in &sent {
        assert_eq!(tablet.acked(&room, fields.clone()).await?, *seq, "{fields}");
        let mut other = fields.clone();
        other["text"] = "something else".into();
        assert_eq!(tablet.refused(&room, other).await?, "conflict");
    }
    let head = 2 * sent.len() as u64;
    assert_eq!(tablet.acked(&room, json!({ "text": "new" })).await?, head + 1, "none came twice");
    Ok(())
}
