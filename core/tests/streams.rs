//! What becomes of a partition when its streams on a real nats-server are deleted, made anew, put
//! back to an older copy, or stop to deliver: nothing acknowledged is lost, no number is given twice.

#[path = "streams/levels.rs"]
mod levels;
#[path = "streams/lost_store.rs"]
mod lost_store;
mod wire;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use weft_nats::assets;

use wire::{Fixture, eventually};

#[tokio::test]
async fn ticks_reach_an_edge() {
    let fixture = Fixture::new().await;
    let mut ticks = fixture.ticks().await;
    let mut sender = fixture.sender().await;
    sender.send(3).await;
    loop {
        let tick = ticks.next().await;
        assert_eq!((tick.epoch, tick.read_version.len()), (1, 12));
        if tick.applied == 3 {
            assert_eq!(tick.last_seq, 3);
            break;
        }
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_core_whose_clock_is_a_day_ahead_waits_until_it_is_set() {
    let fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(1).await;
    let floor_hour = fixture.floor_hour().await;
    let hour_ms = 3_600_000;
    fixture.clock.0.store(26 * hour_ms, Ordering::SeqCst);
    let mut ticks = fixture.ticks().await;
    let waits = async {
        // The log has it, and its owner is alive.
        while ticks.next().await.last_seq < 2 {}
        // New commands are refused by the edges meanwhile.
        let told = ticks.next().await;
        assert_eq!((told.epoch, told.stalled), (1, true));
        assert_eq!(fixture.floor_hour().await, floor_hour);
        fixture.clock.0.store(0, Ordering::SeqCst);
    };
    tokio::join!(sender.send(1), waits);
    sender.send(1).await;
    assert!(fixture.floor_hour().await <= floor_hour + 1);
    fixture.end().await;
}

#[tokio::test]
async fn a_deleted_log_is_made_anew_behind_what_is_applied() {
    let fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(5).await;
    fixture.order("STREAM.DELETE.WEFT_IN_0", "").await;
    sender.send(5).await;
    assert!(fixture.log().await.last_seq >= 10, "numbers go on above what is applied");
    assert_eq!(fixture.seqs().await, (1..=10).collect::<Vec<_>>());
    fixture.end().await;
}

#[tokio::test]
async fn a_log_that_is_empty_again_is_moved_forward() {
    let fixture = Fixture::new().await;
    let mut ticks = fixture.ticks().await;
    let mut sender = fixture.sender().await;
    sender.send(5).await;
    fixture.order("STREAM.DELETE.WEFT_IN_0", "").await;
    assets::ensure_ingest(&fixture.core_bus, &fixture.assets, 0).await.expect("made");
    sender.send(5).await;
    assert!(fixture.log().await.last_seq >= 10, "numbers go on above what is applied");
    assert_eq!(fixture.seqs().await, (1..=10).collect::<Vec<_>>());
    // Whoever waits for an answer hears that the log went back: by a new epoch.
    loop {
        let tick = ticks.next().await;
        assert!(tick.last_seq >= tick.applied, "{tick:?}");
        if tick.applied >= 10 {
            assert!(tick.epoch > 1);
            break;
        }
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_log_that_was_put_back_to_an_older_copy_is_moved_forward() {
    let mut fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(5).await;
    fixture.stop_server().await;
    let copy = fixture.copy_files();
    fixture.start_server().await;
    sender.send(5).await;
    fixture.stop_server().await;
    fixture.put_back(&copy);
    fixture.start_server().await;
    sender.send(5).await;
    assert!(fixture.log().await.last_seq >= 15, "numbers go on above what is applied");
    assert_eq!(fixture.seqs().await, (1..=15).collect::<Vec<_>>());
    fixture.end().await;
}

#[tokio::test]
async fn a_deleted_event_stream_is_made_anew_and_gets_what_it_lacks() {
    let fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(2).await;
    fixture.order("STREAM.DELETE.WEFT_EV_0", "").await;
    sender.send(3).await;
    eventually("the events of what came after", async || {
        fixture.ask("STREAM.INFO.WEFT_EV_0", "").await.contains("\"messages\":3,")
    })
    .await;
    fixture.end().await;
}

/// As where the stream has no leader: nothing is stored, for as long as it takes.
#[tokio::test]
async fn events_that_nobody_stores_hold_up_no_answer_and_are_stored_later() {
    const MANY: u64 = 150;
    let fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(2).await;
    fixture.order("STREAM.DELETE.WEFT_EV_0", "").await;
    let refuses = r#"{"name":"X","subjects":["weft.ev.0.>"],"max_msg_size":1,"storage":"memory"}"#;
    fixture.order("STREAM.CREATE.X", refuses).await;
    let began = Instant::now();
    sender.send(MANY).await;
    eprintln!("{MANY} sends without an event stream: {:?}", began.elapsed());
    assert!(fixture.ask("STREAM.INFO.WEFT_EV_0", "").await.contains("not found"));
    fixture.order("STREAM.DELETE.X", "").await;
    eventually("all of their events", async || {
        let info = fixture.ask("STREAM.INFO.WEFT_EV_0", "").await;
        let info: serde_json::Value = serde_json::from_str(&info).expect("json");
        info["state"]["messages"].as_u64() >= Some(MANY)
    })
    .await;
    fixture.end().await;
}

#[tokio::test]
async fn a_consumer_that_delivers_nothing_is_replaced_within_seconds() {
    let fixture = Fixture::new().await;
    let mut sender = fixture.sender().await;
    sender.send(1).await;
    let names = fixture.order("CONSUMER.NAMES.WEFT_IN_0", "").await;
    let name = names.split('"').find(|word| word.starts_with("owner-")).expect("a consumer");
    // It goes on with its heartbeats, so its reader can't know.
    let pause = r#"{"pause_until":"2099-01-01T00:00:00Z"}"#;
    fixture.order(&format!("CONSUMER.PAUSE.WEFT_IN_0.{name}"), pause).await;
    let paused_at = Instant::now();
    sender.send(1).await;
    let took = paused_at.elapsed();
    assert!(took < Duration::from_millis(3_500), "{took:?}");
    fixture.end().await;
}
