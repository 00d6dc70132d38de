//! Who types: the others of the room hear it on whatever edge they are, soon and not too often, and it
//! is kept nowhere.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::metrics::Metrics;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};

fn types(room: &str) -> Value {
    json!({ "type": "typing", "room": room })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_hear_who_types_and_nobody_else() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob, carol, dave) = (
        system.user("alice").await?,
        system.user("bob").await?,
        system.user("carol").await?,
        system.user("dave").await?,
    );
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut a = Session::open(here, &alice, None).await?;
    let tablet = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(there, &tablet, None).await?;
    let mut b = Session::open(there, &bob, None).await?;
    let mut c = Session::open(there, &carol, None).await?;
    let mut d = Session::open(there, &dave, None).await?;

    // A direct room, before its first message. Said often, it is told once.
    let room = direct(&alice, &bob);
    let heard = json!({ "type": "typing", "room": room, "user": alice.user });
    for _ in 0..6 {
        assert_eq!(a.request(types(&room)).await?["type"], "done");
    }
    assert_eq!(b.told("typing", &room).await?, heard);
    let told = Metrics::of(system.admin("edge-0")).await?;
    let count = |result: &str| told.get(&format!("weft_edge_typing_total{{result=\"{result}\"}}"));
    assert_eq!((count("told"), count("throttled")), (1.0, 5.0));
    assert_eq!(code(&d.request(types(&room)).await?)?, "not_member");

    // By HTTP, and back.
    let path = format!("/v1/rooms/{room}/typing");
    assert_eq!(bob.call(there, "POST", &path, &json!({})).await?.status, 204);
    assert_eq!(a.told("typing", &room).await?["user"], bob.user);

    // A group, whose members alone hear of it.
    let group = unique("group");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user, carol.user] });
    a.acked(&group, create).await?;
    a.acked(&group, json!({ "text": "hello" })).await?;
    // Who has this follows the group.
    for session in [&mut b, &mut c] {
        session.expect(&group, 2).await?;
    }
    assert_eq!(a.request(types(&group)).await?["type"], "done");
    for session in [&mut b, &mut c] {
        assert_eq!(session.told("typing", &group).await?["user"], alice.user);
    }
    a.acked(&group, json!({ "kind": "remove", "user": bob.user })).await?;
    b.expect(&group, 3).await?;
    assert_eq!(tablet.request(types(&group)).await?["type"], "done");
    assert_eq!(c.told("typing", &group).await?["user"], alice.user);
    assert_eq!(code(&b.request(types(&group)).await?)?, "not_member");
    for session in [&mut a, &mut tablet, &mut b, &mut d] {
        assert_eq!(session.told_so_far("typing", &group).await?, Vec::<Value>::new());
    }
    // A user's devices hear of others alone.
    let heard = json!({ "type": "typing", "room": room, "user": bob.user });
    assert_eq!(tablet.told_so_far("typing", &room).await?, [heard]);

    // No stream has it.
    let mut nats = system.nats_as("admin").await?;
    nats.subscribe("_INBOX_admin.x").await?;
    let filter = json!({ "subject": "weft.typing.>" }).to_string();
    nats.publish("$JS.API.STREAM.NAMES", Some("_INBOX_admin.x"), &[], filter.as_bytes()).await?;
    let streams = nats.next().await?.json();
    assert_eq!((&streams["total"], &streams["streams"]), (&json!(0), &Value::Null), "{streams}");
    Ok(())
}
