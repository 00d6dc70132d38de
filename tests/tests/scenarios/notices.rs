//! Of what a user is notified, and when: by what they look at, want to hear of, and are to others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::gateway::{Gateway, LIMIT};
use weft_harness::metrics::Metrics;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, unique};
use weft_harness::wait::until;

/// How long all devices wait, and how much longer where another one is attended. A session that is silent for so long stays.
const DELAY: Duration = Duration::from_secs(1);
const ATTENDED: Duration = Duration::from_secs(6);

/// Users with a webhook each, at a gateway whose paths are their names.
struct Notified {
    system: System,
    at: SocketAddr,
    gateway: Arc<Gateway>,
}

impl Notified {
    async fn start(args: &[&str]) -> Result<Self> {
        let delay = DELAY.as_millis().to_string();
        let attended = ATTENDED.as_millis().to_string();
        let mut push_args: Vec<String> = vec!["--push-delay-ms".into(), delay];
        push_args.extend(["--push-attended-ms".into(), attended]);
        push_args.extend(["--push-allow", "127.0.0.0/8"].map(str::to_owned));
        push_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        let options =
            Options { edges: 2, presences: 1, pushes: 1, push_args, ..Options::default() };
        let system = System::split(options).await?;
        let (at, gateway) = Gateway::start().await?;
        Ok(Self { system, at, gateway })
    }

    /// A user, the session of the device that is notified, and what it registered more.
    async fn user(&self, name: &str, more: &Value) -> Result<(Login, Session)> {
        let login = self.system.user(name).await?;
        let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
        let url = format!("http://{}/{}", self.at, login.user);
        let mut push = json!({ "kind": "webhook", "url": url, "secret": secret });
        for (key, value) in more.as_object().into_iter().flatten() {
            push[key] = value.clone();
        }
        let path = format!("/v1/devices/{}/push", login.device);
        let done = login.call(self.system.edge(), "PUT", &path, &push).await?;
        ensure!(done.status == 204, "{done:?}");
        let session = self.system.session(&login).await?;
        Ok((login, session))
    }

    /// What a user was told so far, and when.
    fn told(&self, login: &Login) -> Vec<(Value, Instant)> {
        let got = self.gateway.at(&format!("/{}", login.user));
        let read = |body: &[u8]| serde_json::from_slice(body).expect("json");
        got.iter().map(|got| (read(&got.body), got.at)).collect()
    }

    async fn told_at_least(&self, login: &Login, count: usize) -> Vec<(Value, Instant)> {
        self.gateway.until(&format!("/{}", login.user), count).await;
        self.told(login)
    }

    /// How many jobs were over without a notification, by the reason.
    async fn not_sent(&self) -> Result<BTreeMap<String, u64>> {
        let metrics = Metrics::of(self.system.admin("push-0")).await?;
        let by_reason = metrics.values.iter().filter_map(|(name, count)| {
            let reason = name.strip_prefix("weft_push_not_sent_total{reason=\"")?;
            Some((reason.trim_end_matches("\"}").to_owned(), *count as u64))
        });
        Ok(by_reason.filter(|(_, count)| *count > 0).collect())
    }

    /// Waits until so many jobs were over for a reason.
    async fn until_not_sent(&self, reason: &str, count: u64) {
        until(&format!("{count} are not sent: {reason}"), LIMIT, async || {
            let by_reason = self.not_sent().await.ok()?;
            (by_reason.get(reason).copied().unwrap_or_default() >= count).then_some(())
        })
        .await;
    }
}

async fn done(session: &mut Session, request: Value) -> Result<()> {
    let answer = session.request(request).await?;
    ensure!(answer["type"] == "done", "{answer}");
    Ok(())
}

/// Sets something for the room, or for all rooms where none is named.
async fn set(session: &mut Session, room: Option<&str>, fields: &Value) -> Result<()> {
    let mut request = fields.clone();
    request["type"] = json!("setting");
    if let Some(room) = room {
        request["room"] = json!(room);
    }
    done(session, request).await
}

fn mentions(users: &[&Login]) -> Value {
    let range = |user: &&Login| json!({ "at": 0, "len": 1, "style": "mention", "user": user.user });
    let ranges: Vec<Value> = users.iter().map(range).collect();
    json!({ "text": "hello", "ranges": ranges })
}

/// The device says that it is attended; returns when presence has heard it.
async fn attend(desk: &mut Session, watcher: &mut Session, user: &Login) -> Result<()> {
    done(desk, json!({ "type": "presence.attend", "attended": true })).await?;
    // One key says both, and what is seen of it is what came last.
    for (idle, status) in [(true, "away"), (false, "online")] {
        done(desk, json!({ "type": "presence.idle", "idle": idle })).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let request = json!({ "type": "presence.get", "users": [user.user] });
            let answer = watcher.request(request).await?;
            if answer["users"][0]["status"] == status {
                break;
            }
            ensure!(Instant::now() < deadline, "{answer}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_waits_longer_while_its_user_looks_at_another_device_and_for_no_idle_one()
-> Result<()> {
    let notified = Notified::start(&[]).await?;
    let (_, mut alices) = notified.user("alice", &json!({})).await?;
    let (bob, _bobs) = notified.user("bob", &json!({})).await?;
    let (carol, _carols) = notified.user("carol", &json!({})).await?;
    let group = unique("team");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user, carol.user] });
    alices.acked(&group, create).await?;
    let desk_of = async |login: &Login| -> Result<Session> {
        let desk = notified.system.device(&login.user, "desk").await?;
        Session::open(notified.system.edges()[1], &desk, None).await
    };
    let (mut bobs_desk, mut desk) = (desk_of(&bob).await?, desk_of(&carol).await?);
    done(&mut bobs_desk, json!({ "type": "presence.idle", "idle": true })).await?;
    attend(&mut desk, &mut alices, &carol).await?;
    let began = Instant::now();
    let first = alices.acked(&group, json!({ "text": "one" })).await?;
    let of_carol = notified.told_at_least(&carol, 1).await.remove(0);
    assert_eq!(of_carol.0["seq"], first);
    assert!(of_carol.1 - began >= DELAY + ATTENDED, "she could have read it at her desk");
    let of_bob = notified.told_at_least(&bob, 1).await.remove(0);
    assert!(of_bob.1 < of_carol.1, "a device that is connected and idle holds nothing back");
    // Read at the desk, after the ordinary time: the phone says nothing.
    attend(&mut desk, &mut alices, &carol).await?;
    let read = alices.acked(&group, json!({ "text": "two" })).await?;
    notified.told_at_least(&bob, 2).await;
    done(&mut desk, json!({ "type": "mark", "room": group, "read": read })).await?;
    notified.until_not_sent("read", 1).await;
    // Nobody looks any more.
    done(&mut desk, json!({ "type": "presence.attend", "attended": false })).await?;
    let last = alices.acked(&group, json!({ "text": "three" })).await?;
    let told = notified.told_at_least(&carol, 2).await;
    assert_eq!((told.len(), &told[1].0["seq"]), (2, &json!(last)));
    // Without presence nothing is held back, and nothing is lost.
    notified.system.process("presence").kill()?;
    let alone = alices.acked(&group, json!({ "text": "four" })).await?;
    let told = notified.told_at_least(&carol, 3).await;
    assert_eq!(told[2].0["seq"], alone);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_invited_to_a_group_is_notified_unless_it_has_ended() -> Result<()> {
    let notified = Notified::start(&[]).await?;
    let (alice, mut alices) = notified.user("alice", &json!({})).await?;
    let (bob, mut bobs) = notified.user("bob", &json!({})).await?;
    let (dora, mut doras) = notified.user("dora", &json!({ "language": "ko" })).await?;
    for session in [&mut bobs, &mut doras] {
        set(session, None, &json!({ "add_by": "none" })).await?;
    }
    let (tea, milk) = (unique("tea"), unique("milk"));
    for (group, title) in [(&tea, "Tea"), (&milk, "Milk")] {
        alices.acked(group, json!({ "kind": "create", "title": title, "members": [] })).await?;
    }
    let mut invite = async |group: &str, user: &Login| -> Result<()> {
        let answer = alices.entry(group, json!({ "kind": "add", "user": user.user })).await?;
        ensure!(answer["invited"] == json!([user.user]), "{answer}");
        Ok(())
    };
    // Declined within the time.
    invite(&milk, &bob).await?;
    done(&mut bobs, json!({ "type": "decline", "room": milk, "user": bob.user })).await?;
    invite(&tea, &bob).await?;
    let told = notified.told_at_least(&bob, 1).await.remove(0).0;
    let field = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (field("what"), field("title"), field("room")),
        ("invitation".into(), "Tea".into(), tea.clone())
    );
    assert_eq!(
        (field("from"), field("body")),
        (alice.user.clone(), format!("{} invited you", alice.user))
    );
    assert!(told["seq"].is_null(), "it is no entry: {told}");
    // Another one to the same group is another one.
    done(&mut bobs, json!({ "type": "decline", "room": tea, "user": bob.user })).await?;
    invite(&tea, &bob).await?;
    assert_eq!(notified.told_at_least(&bob, 2).await[1].0["room"], tea);
    invite(&tea, &dora).await?;
    let told = notified.told_at_least(&dora, 1).await.remove(0).0;
    assert_eq!(told["body"], format!("{}님이 회원님을 초대했습니다", alice.user));
    // Who wants to hear of nothing is told nothing.
    set(&mut doras, None, &json!({ "notify": "none" })).await?;
    invite(&milk, &dora).await?;
    notified.until_not_sent("level", 1).await;
    assert_eq!((notified.told(&bob).len(), notified.told(&dora).len()), (2, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_group_each_hears_what_they_want_to_hear_and_once() -> Result<()> {
    let notified = Notified::start(&[]).await?;
    let (_, mut alices) = notified.user("alice", &json!({})).await?;
    // Of Bob's rooms this one is at mentions, and all others at none; Carol has said nothing.
    let (bob, mut bobs) = notified.user("bob", &json!({})).await?;
    let (carol, mut carols) = notified.user("carol", &json!({})).await?;
    let group = unique("team");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user, carol.user] });
    alices.acked(&group, create).await?;
    set(&mut bobs, None, &json!({ "notify": "none" })).await?;
    set(&mut bobs, Some(&group), &json!({ "notify": "mentions" })).await?;
    let (mut of_bob, mut of_carol) = (Vec::new(), Vec::new());
    // Who writes has read what was before, so what they write comes first.
    let root = bobs.acked(&group, json!({ "text": "root" })).await?;
    let of_carols = carols.acked(&group, json!({ "text": "from Carol" })).await?;
    let plain = alices.acked(&group, json!({ "text": "to all" })).await?;
    of_carol.push(plain);
    let both = alices.acked(&group, mentions(&[&bob, &carol])).await?;
    of_bob.push(both);
    of_carol.push(both);
    // An edit notifies who is newly mentioned, and nobody again.
    let edit = |target: u64, users: &[&Login]| {
        let mut fields = mentions(users);
        (fields["kind"], fields["target"]) = (json!("edit"), json!(target));
        fields["text"] = json!("hello again");
        fields
    };
    of_bob.push(alices.acked(&group, edit(plain, &[&bob])).await?);
    alices.acked(&group, edit(both, &[&bob, &carol])).await?;
    // A thread is heard of by who follows it, or is mentioned there, once though it is for both reasons.
    of_bob.push(alices.acked(&group, json!({ "text": "reply", "thread": root })).await?);
    let mut reply = mentions(&[&bob]);
    reply["thread"] = json!(root);
    of_bob.push(alices.acked(&group, reply).await?);
    // A reaction is heard of by whose message it is on, where they want to hear of all.
    let react = |target: u64| json!({ "kind": "react", "target": target, "emoji": "+1" });
    of_carol.push(alices.acked(&group, react(of_carols)).await?);
    alices.acked(&group, react(root)).await?;
    // A direct message of another room, at none.
    let direct = weft_harness::system::direct(&bob, &carol);
    carols.acked(&direct, json!({ "text": "at none" })).await?;
    // Muted: mentions, too.
    let told_of = |login: &Login| {
        let told = notified.told(login);
        let mut seqs: Vec<u64> = told.iter().filter_map(|(it, _)| it["seq"].as_u64()).collect();
        seqs.sort_unstable();
        seqs
    };
    notified.told_at_least(&bob, of_bob.len()).await;
    notified.told_at_least(&carol, of_carol.len()).await;
    let mark = json!({ "type": "mark", "room": group, "thread": root, "follow": false });
    done(&mut bobs, mark).await?;
    alices.acked(&group, json!({ "text": "unfollowed", "thread": root })).await?;
    set(&mut carols, Some(&group), &json!({ "muted_until": 9_000_000_000_000_u64 })).await?;
    alices.acked(&group, mentions(&[&carol])).await?;
    notified.until_not_sent("muted", 1).await;
    set(&mut carols, Some(&group), &json!({ "muted_until": 0 })).await?;
    // Not to be disturbed: what came then is not told later either.
    set(&mut bobs, None, &json!({ "dnd_until": 9_000_000_000_000_u64 })).await?;
    of_carol.push(alices.acked(&group, mentions(&[&bob])).await?);
    notified.until_not_sent("dnd", 1).await;
    set(&mut bobs, None, &json!({ "dnd_until": 0 })).await?;
    let last = alices.acked(&group, mentions(&[&bob, &carol])).await?;
    of_bob.push(last);
    of_carol.push(last);
    notified.told_at_least(&bob, of_bob.len()).await;
    notified.told_at_least(&carol, of_carol.len()).await;
    assert_eq!((told_of(&bob), told_of(&carol)), (of_bob, of_carol));
    Ok(())
}
