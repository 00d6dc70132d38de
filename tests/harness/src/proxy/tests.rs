//! The faults, between clients by hand and a real nats-server.

use anyhow::Result;
use tokio::time::{Instant, timeout};

use super::*;
use crate::nats::{Message, Nats};
use crate::process::{Process, Spec};
use crate::system::{Folder, START_LIMIT, free_address, nats_server};
use crate::wait::until;

/// Long enough for a message that does come, on a busy machine; short enough to wait for one that
/// does not.
const MOMENT: Duration = Duration::from_millis(300);

/// A nats-server, a proxy before it, a listener that uses the proxy, and a speaker that does not.
struct Rig {
    proxy: Proxy,
    listener: Nats,
    speaker: Nats,
    _server: Process,
    _folder: Folder,
}

impl Rig {
    async fn start() -> Result<Self> {
        let (folder, address) = (Folder::new()?, free_address()?);
        let spec = Spec {
            name: "nats".to_owned(),
            program: nats_server().await.to_owned(),
            args: ["-a", "127.0.0.1", "-p", &address.port().to_string()].map(str::to_owned).into(),
            env: Vec::new(),
            folder: folder.path().to_owned(),
        };
        let server = Process::start(spec)?;
        let proxy = Proxy::start(address, Kind::Nats).await?;
        let (mut listener, speaker) = until("nats-server answers", START_LIMIT, async || {
            let speaker = Nats::connect(address, "a", "b").await.ok()?;
            Some((Nats::connect(proxy.addr(), "a", "b").await.ok()?, speaker))
        })
        .await;
        listener.subscribe("t.>").await?;
        listener.flush().await?;
        Ok(Self { proxy, listener, speaker, _server: server, _folder: folder })
    }

    async fn say(&mut self, subject: &str, texts: std::ops::Range<u32>) -> Result<()> {
        for text in texts {
            self.speaker.publish(subject, None, &[], text.to_string().as_bytes()).await?;
        }
        self.speaker.flush().await?;
        Ok(())
    }

    /// What has come, after the server has answered a ping that was sent after all of it.
    async fn heard(&mut self) -> Result<Vec<u32>> {
        self.listener.taken().await?.into_iter().map(number).collect()
    }
}

fn number(message: Message) -> Result<u32> {
    Ok(String::from_utf8(message.payload)?.parse()?)
}

#[tokio::test]
async fn messages_vanish_and_nobody_notices() -> Result<()> {
    let mut rig = Rig::start().await?;
    rig.say("t.a", 0..3).await?;
    assert_eq!(rig.heard().await?, [0, 1, 2]);
    rig.proxy.set(Fault::Swallow);
    rig.say("t.a", 3..6).await?;
    assert!(rig.heard().await?.is_empty());
    rig.proxy.set(Fault::SwallowSome { every: 3 });
    rig.say("t.a", 10..19).await?;
    assert_eq!(rig.heard().await?, [10, 11, 13, 14, 16, 17]);
    rig.proxy.set(Fault::SwallowOne { subject_prefix: "t.b".to_owned() });
    rig.say("t.a", 20..22).await?;
    rig.say("t.b", 30..33).await?;
    assert_eq!(rig.heard().await?, [20, 21, 31, 32]);
    let flow = rig.proxy.counts().to_client;
    assert_eq!((flow.messages, flow.swallowed), (3 + 6 + 4, 3 + 3 + 1), "{flow:?}");
    Ok(())
}

#[tokio::test]
async fn one_way_is_lost_and_the_other_is_not() -> Result<()> {
    let mut rig = Rig::start().await?;
    rig.proxy.set_towards(Towards::Server, Fault::Swallow);
    rig.listener.publish("t.own", None, &[("A", "b")], b"7").await?;
    rig.say("t.a", 0..1).await?;
    assert_eq!(rig.heard().await?, [0]);
    rig.proxy.set(Fault::None);
    rig.listener.publish("t.own", None, &[("A", "b")], b"8").await?;
    rig.listener.flush().await?;
    assert_eq!(rig.heard().await?, [8]);
    assert_eq!(rig.proxy.counts().to_server.swallowed, 1);
    Ok(())
}

#[tokio::test]
async fn a_stall_holds_back_and_a_delay_keeps_the_order() -> Result<()> {
    let mut rig = Rig::start().await?;
    rig.proxy.set(Fault::Stall);
    rig.say("t.a", 0..100).await?;
    assert!(timeout(MOMENT, rig.listener.next()).await.is_err(), "nothing passes");
    rig.proxy.set(Fault::None);
    for text in 0..100 {
        assert_eq!(number(rig.listener.next().await?)?, text);
    }
    rig.proxy.set_towards(Towards::Client, Fault::Delay(MOMENT));
    let began = Instant::now();
    rig.say("t.a", 0..100).await?;
    for text in 0..100 {
        assert_eq!(number(rig.listener.next().await?)?, text);
    }
    assert!(began.elapsed() >= MOMENT);
    Ok(())
}

#[tokio::test]
async fn connections_are_cut_refused_and_led_elsewhere() -> Result<()> {
    let mut rig = Rig::start().await?;
    let other = Rig::start().await?;
    rig.proxy.set(Fault::Refuse);
    rig.say("t.a", 0..1).await?;
    assert_eq!(rig.heard().await?, [0], "open connections go on");
    assert!(Nats::connect(rig.proxy.addr(), "a", "b").await.is_err());
    rig.proxy.set(Fault::None);
    rig.proxy.cut();
    assert!(rig.listener.flush().await.is_err());
    rig.proxy.retarget(other.proxy.addr());
    let before = other.proxy.counts().to_server.bytes;
    Nats::connect(rig.proxy.addr(), "a", "b").await?.flush().await?;
    assert!(other.proxy.counts().to_server.bytes > before);
    Ok(())
}
