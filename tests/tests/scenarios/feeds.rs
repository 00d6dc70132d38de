//! Bots have the entries of their rooms in feeds on NATS: all of those of when they were members, in order, whatever dies; and what a bot
//! does not have any more, it is told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::nats::{Message, Nats};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, unique};
use weft_harness::{http, ulid};

/// How long something may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A bot of a user.
async fn bot_of(system: &System, owner: &Login) -> Result<String> {
    let bot = unique("bot");
    let body = json!({ "bot": bot, "display_name": "A bot" });
    let made = owner.call(system.edge(), "POST", "/v1/bots", &body).await?;
    ensure!(made.status < 300, "{made:?}");
    Ok(bot)
}

async fn system(integrations: usize, args: &[&str]) -> Result<System> {
    let integrations_args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let options = Options { edges: 1, integrations, integrations_args, ..Options::default() };
    System::split(options).await
}

/// What a bot has got of its feed, as a program that uses a durable consumer of JetStream.
struct Reader {
    nats: Nats,
    bot: String,
    got: Vec<Message>,
}

fn header(message: &Message, name: &str) -> Option<String> {
    let line =
        message.headers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn number(message: &Message, name: &str) -> u64 {
    header(message, name).and_then(|it| it.parse().ok()).unwrap_or_default()
}

impl Reader {
    /// The bot has been in a room: so its consumer is there soon.
    async fn new(system: &System, bot: &str) -> Result<Self> {
        let (mut nats, deadline) = (system.nats_as("admin").await?, Instant::now() + LIMIT);
        let verb = format!("CONSUMER.INFO.WEFT_BOTS.{bot}");
        while let Err(error) = nats.jetstream(&verb, &json!({})).await {
            ensure!(Instant::now() < deadline, "{error:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { nats, bot: bot.to_owned(), got: Vec::new() })
    }

    /// Takes what there is.
    async fn take(&mut self) -> Result<()> {
        let inbox = format!("_INBOX_admin.{}", ulid::fresh());
        self.nats.subscribe(&inbox).await?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.WEFT_BOTS.{}", self.bot);
        let body = json!({ "batch": 500, "no_wait": true }).to_string();
        self.nats.publish(&subject, Some(&inbox), &[], body.as_bytes()).await?;
        loop {
            let message = self.nats.next().await?;
            let Some(ack) = message.reply.clone().filter(|it| it.starts_with("$JS.ACK.")) else {
                return Ok(());
            };
            self.nats.publish(&ack, None, &[], b"+ACK").await?;
            self.got.push(message);
        }
    }

    /// Takes until a room's entry is there.
    async fn until(&mut self, room: &str, seq: u64) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.seqs(room).last() != Some(&seq) {
            ensure!(Instant::now() < deadline, "{room}: {:?}, and not {seq}", self.seqs(room));
            self.take().await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn of(&self, room: &str) -> impl Iterator<Item = &Message> {
        let subject = format!("weft.bot.{}.{room}", self.bot);
        self.got.iter().filter(move |message| message.subject == subject)
    }

    /// Each with those that came again.
    fn seqs(&self, room: &str) -> Vec<u64> {
        self.of(room).map(|message| number(message, "Weft-Seq")).collect()
    }

    /// In order, without holes, and what comes again comes as it was.
    fn check(&self, room: &str, seqs: impl Iterator<Item = u64>) -> Result<usize> {
        let (mut once, mut again) = (Vec::new(), 0);
        let mut known: BTreeMap<u64, &[u8]> = BTreeMap::new();
        for message in self.of(room) {
            let seq = number(message, "Weft-Seq");
            let entry = message.json();
            ensure!(entry["seq"] == seq && entry["room"] == *room, "{entry}");
            match known.insert(seq, &message.payload) {
                None => once.push(seq),
                Some(before) => {
                    ensure!(before == message.payload, "{entry} is another one");
                    again += 1;
                }
            }
        }
        let expected: Vec<u64> = seqs.collect();
        ensure!(once == expected, "{room}: {once:?}, and not {expected:?}");
        Ok(again)
    }
}

async fn group(session: &mut Session, members: &[&str]) -> Result<String> {
    let group = unique("group");
    let body = json!({ "kind": "create", "title": "T", "members": members });
    session.acked(&group, body).await?;
    Ok(group)
}

#[tokio::test]
async fn a_bot_has_the_entries_of_its_memberships_and_no_others() -> Result<()> {
    let system = system(1, &[]).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let bot = bot_of(&system, &alice).await?;
    let mut a = system.session(&alice).await?;
    let without = group(&mut a, &[&bob.user]).await?;
    a.acked(&without, json!({ "text": "not for bots" })).await?;
    let room = group(&mut a, &[&bob.user]).await?;
    a.acked(&room, json!({ "text": "before it came" })).await?;
    let added = a.acked(&room, json!({ "kind": "add", "user": bot })).await?;
    a.acked(&room, json!({ "text": "hello, bot" })).await?;
    let removed = a.acked(&room, json!({ "kind": "remove", "user": bot })).await?;
    a.acked(&room, json!({ "text": "is it gone?" })).await?;
    let back = a.acked(&room, json!({ "kind": "add", "user": bot })).await?;
    let last = a.acked(&room, json!({ "text": "there it is" })).await?;
    let mut both = [alice.user.as_str(), &bot];
    both.sort_unstable();
    let direct = both.join("~");
    a.acked(&direct, json!({ "text": "between us" })).await?;
    a.acked(&direct, json!({ "text": "and more" })).await?;
    let mut reader = Reader::new(&system, &bot).await?;
    reader.until(&room, last).await?;
    reader.until(&direct, 2).await?;
    reader.check(&room, (added..=removed).chain(back..=last))?;
    reader.check(&direct, 1..=2)?;
    assert!(reader.got.iter().all(|it| !it.subject.ends_with(&without)));
    // What is missing before a message shows by it.
    let befores: Vec<_> = reader.of(&room).map(|it| number(it, "Weft-Before")).collect();
    assert_eq!(befores, [0, added, added + 1, 0, back]);
    let first = reader.of(&room).next().context("the first one")?;
    assert_eq!(header(first, "Weft-Room").as_deref(), Some(&*room));
    assert_eq!(header(first, "Nats-Msg-Id"), Some(format!("{bot}:{room}:{added}")));
    assert_eq!(header(first, "Content-Type").as_deref(), Some("application/json"));
    // It is the frame that a session has.
    let mut b = system.session(&bob).await?;
    let seq = a.acked(&room, json!({ "text": "the same for all" })).await?;
    let frame = b.expect(&room, seq).await?;
    reader.until(&room, seq).await?;
    assert_eq!(reader.of(&room).last().context("the last one")?.json(), frame);
    Ok(())
}

#[tokio::test]
async fn nothing_is_missed_and_little_comes_twice_whatever_is_killed() -> Result<()> {
    const MESSAGES: u64 = 90;
    let system = system(1, &[]).await?;
    let alice = system.user("alice").await?;
    let bot = bot_of(&system, &alice).await?;
    let mut a = system.session(&alice).await?;
    let rooms = [group(&mut a, &[&bot]).await?, group(&mut a, &[&bot]).await?];
    let mut reader = Reader::new(&system, &bot).await?;
    let (began, mut last) = (Instant::now(), [0; 2]);
    for n in 0..MESSAGES {
        for (room, last) in rooms.iter().zip(&mut last) {
            let text = json!({ "text": format!("message {n}") });
            // While NATS is away it is refused.
            while let Err(error) = a.acked(room, text.clone()).await.map(|seq| *last = seq) {
                ensure!(began.elapsed() < LIMIT, "{error:#}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if n % 30 == 10 {
            system.process("integrations-0").kill()?;
            system.process("integrations-0").restart()?;
        }
        if n == 50 {
            system.process("nats").kill()?;
            system.process("nats").restart()?;
            system.ready().await;
        }
    }
    // Those who read are cut off by the restart, and read on as the same consumer.
    reader.nats = system.nats_as("admin").await?;
    for (room, last) in rooms.iter().zip(last) {
        reader.until(room, last).await?;
        let again = reader.check(room, 1..=last)?;
        println!("{last} entries, {again} came again");
        // The stream knows for two minutes what it had.
        assert!(again == 0 || began.elapsed() > Duration::from_secs(100), "{again} came again");
    }
    Ok(())
}

#[tokio::test]
async fn another_node_goes_on_where_the_first_one_was_killed() -> Result<()> {
    let system = system(2, &[]).await?;
    let alice = system.user("alice").await?;
    let bot = bot_of(&system, &alice).await?;
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[&bot]).await?;
    let mut reader = Reader::new(&system, &bot).await?;
    let mut last = 0;
    for n in 0..20 {
        last = a.acked(&room, json!({ "text": format!("message {n}") })).await?;
        if n == 10 {
            system.process("integrations-0").kill()?;
        }
    }
    reader.until(&room, last).await?;
    system.process("integrations-0").restart()?;
    last = a.acked(&room, json!({ "text": "back" })).await?;
    reader.until(&room, last).await?;
    reader.check(&room, 1..=last)?;
    Ok(())
}

#[tokio::test]
async fn a_bot_that_fetches_nothing_is_told_what_it_has_lost_and_holds_up_nobody() -> Result<()> {
    const SHARE: &str = "100000";
    let system = system(1, &["--feed-bytes", SHARE]).await?;
    let alice = system.user("alice").await?;
    let bot = bot_of(&system, &alice).await?;
    let mut a = system.session(&alice).await?;
    let (quiet, loud) = (group(&mut a, &[&bot]).await?, group(&mut a, &[&bot]).await?);
    a.acked(&quiet, json!({ "text": "the last one here" })).await?;
    let mut last = 0;
    for n in 0..60 {
        last = a.acked(&loud, json!({ "text": format!("{n}{}", "x".repeat(4_000)) })).await?;
    }
    let deadline = Instant::now() + LIMIT;
    let mut admin = system.nats_as("admin").await?;
    let newest = json!({ "last_by_subj": format!("weft.bot.{bot}.{loud}") });
    loop {
        // All of it came to the feed, and little of it is there.
        let found = admin.jetstream("STREAM.MSG.GET.WEFT_BOTS", &newest).await;
        let id = format!("{bot}:{loud}:{last}");
        if let Ok(found) = found {
            let block = found["message"]["hdrs"].as_str().unwrap_or_default().to_owned();
            use base64::Engine as _;
            let block = base64::engine::general_purpose::STANDARD.decode(block)?;
            if String::from_utf8_lossy(&block).contains(&id) {
                break;
            }
        }
        ensure!(Instant::now() < deadline, "the last one does not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while admin.jetstream("STREAM.INFO.WEFT_BOTS", &json!({})).await?["state"]["bytes"]
        .as_u64()
        .is_none_or(|bytes| bytes > 150_000)
    {
        ensure!(Instant::now() < deadline, "it is not bounded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut reader = Reader::new(&system, &bot).await?;
    reader.until(&loud, last).await?;
    let bytes: usize = reader.got.iter().map(|it| it.payload.len()).sum();
    assert!(bytes <= 100_000, "{bytes}");
    let of_quiet = reader.seqs(&quiet);
    assert!(
        of_quiet.is_empty(),
        "what is oldest goes first, whichever room it is of: {of_quiet:?}"
    );
    let told: Vec<_> = reader.got.iter().filter(|it| it.subject.ends_with(".~expired")).collect();
    assert_eq!(told.len(), 1, "one word takes the place of the one before");
    assert!(number(told[0], "Weft-Expired") > 0, "{told:?}");
    assert_eq!(told[0].json()["type"], "expired");
    // It catches up by the rooms' history.
    let first = reader.of(&loud).next().context("the first one that is left")?;
    assert!(number(first, "Weft-Before") > 1, "{first:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_too_old_goes_and_a_bot_is_told() -> Result<()> {
    let system = system(1, &["--feed-age-s", "4"]).await?;
    let alice = system.user("alice").await?;
    let bot = bot_of(&system, &alice).await?;
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[&bot]).await?;
    let mut admin = system.nats_as("admin").await?;
    let word = json!({ "last_by_subj": format!("weft.bot.{bot}.~expired") });
    let deadline = Instant::now() + LIMIT;
    while admin.jetstream("STREAM.MSG.GET.WEFT_BOTS", &word).await.is_err() {
        ensure!(Instant::now() < deadline, "nothing expires");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let of_room = json!({ "last_by_subj": format!("weft.bot.{bot}.{room}") });
    while admin.jetstream("STREAM.MSG.GET.WEFT_BOTS", &of_room).await.is_ok() {
        ensure!(Instant::now() < deadline, "it is there still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // However late it comes, a bot finds the word.
    let mut reader = Reader::new(&system, &bot).await?;
    reader.take().await?;
    assert!(reader.got.iter().any(|it| it.subject.ends_with(".~expired")));
    Ok(())
}

#[tokio::test]
async fn a_bots_owner_has_its_feed_as_cloudevents_and_nobody_else_does() -> Result<()> {
    let system = system(1, &[]).await?;
    let (alice, eve) = (system.user("alice").await?, system.user("eve").await?);
    let bot = bot_of(&system, &alice).await?;
    let path = format!("/v1/bots/{bot}/feed");
    let body = json!({ "format": "cloudevents" });
    let call = async |who: &Login, method: &str, body: &Value| {
        who.call(system.edge(), method, &path, body).await.map(|answer| answer.status)
    };
    assert_eq!(call(&eve, "PUT", &body).await?, 404);
    assert_eq!(call(&eve, "GET", &Value::Null).await?, 404);
    assert_eq!(call(&alice, "PUT", &json!({ "format": "xml" })).await?, 400);
    assert_eq!(http::call(system.edge(), "GET", &path, None, &Value::Null).await?.status, 401);
    assert_eq!(call(&alice, "PUT", &body).await?, 204);
    let shown = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    assert_eq!(shown, body);
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[&bot]).await?;
    let seq = a.acked(&room, json!({ "text": "hello" })).await?;
    let mut reader = Reader::new(&system, &bot).await?;
    reader.until(&room, seq).await?;
    let message = reader.of(&room).last().context("the last one")?;
    let content_type = header(message, "Content-Type");
    assert_eq!(content_type.as_deref(), Some("application/cloudevents+json"));
    let event = message.json();
    assert_eq!(
        (&event["specversion"], &event["type"]),
        (&json!("1.0"), &json!("weft.entry.message"))
    );
    assert_eq!((&event["id"], &event["subject"]), (&json!(format!("{room}:{seq}")), &json!(room)));
    assert_eq!(event["data"]["text"], "hello");
    Ok(())
}
