//! Moving house: what a store holds is exported and imported into another one, and a core on that
//! goes on as if nothing had happened, with the same ingest logs.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::history::Entry;
use weft_harness::reading::read_room;
use weft_harness::session::Session;
use weft_harness::system::{BOT, Options, System, direct, role_env, unique, weft};
use weft_harness::ulid;
use weft_harness::wait::until;

const PARTITIONS: u16 = 4;

/// How many texts are sent, each of which may be applied or not when core is killed.
const PENDING: usize = 8;

async fn admin(command: &str, store: &str, file: &str) -> Result<Output> {
    let mut weft = tokio::process::Command::new(weft().await);
    Ok(weft.args(["admin", command, "--store", store, file]).output().await?)
}

/// What a command that must succeed says.
async fn admin_says(command: &str, store: &str, file: &str) -> Result<String> {
    let output = admin(command, store, file).await?;
    ensure!(output.status.success(), "{command}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// How many commands the ingest logs hold.
async fn waiting(system: &System) -> Result<u64> {
    let mut nats = system.nats_as("admin").await?;
    let mut waiting = 0;
    for partition in 0..PARTITIONS {
        let info = nats.jetstream(&format!("STREAM.INFO.WEFT_IN_{partition}"), &json!({})).await?;
        waiting += info["state"]["messages"].as_u64().context("no count")?;
    }
    Ok(waiting)
}

/// A text that is sent again and again until it is acknowledged.
async fn acked(session: &mut Session, room: &str, id: &str, text: &str) -> Result<u64> {
    session.acked(room, json!({ "client_id": id, "text": text })).await
}

fn from<'a>(log: &'a [Entry], user: &str) -> Vec<&'a Entry> {
    log.iter().filter(|entry| &*entry.from == user).collect()
}

/// The number before a word of what a command says.
fn number_before(said: &str, word: &str) -> Option<u64> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|other| *other == word)?;
    words.get(at.checked_sub(1)?)?.parse().ok()
}

struct Talk {
    system: System,
    alice: Login,
    bob: Login,
    room: String,
    team: String,
    session: Session,
    /// Client id and seq of what was acknowledged in `room`.
    acked: Vec<(String, u64)>,
}

impl Talk {
    async fn begin() -> Result<Self> {
        let system = System::split(Options { edges: 1, ..Options::default() }).await?;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let (room, team) = (direct(&alice, &bob), unique("team"));
        let mut session = system.session(&alice).await?;
        system.bots().await?;
        let create = json!({ "kind": "create", "title": "T", "members": [bob.user, BOT] });
        session.acked(&team, create).await?;
        let mut acked_texts = Vec::new();
        for number in 1..=20 {
            let id = ulid::fresh();
            let seq = acked(&mut session, &room, &id, &format!("text {number}")).await?;
            acked_texts.push((id, seq));
        }
        Ok(Self { system, alice, bob, room, team, session, acked: acked_texts })
    }

    /// Kills core in the middle of texts; the ids of those that have no answer. A bot without ids
    /// publishes too.
    async fn kill_core_while_sending(&mut self) -> Result<Vec<String>> {
        let mut pending = Vec::new();
        // While core is away nobody new comes in, and who is there stays.
        let mut bot = self.system.nats_as(BOT).await?;
        for number in 0..PENDING {
            if number == PENDING / 2 {
                self.system.process("core").kill()?;
            }
            let id = ulid::fresh();
            let text = format!("pending {number}");
            let send = json!({ "type": "send", "room": self.room, "client_id": id, "text": text });
            self.session.begin(send).await?;
            pending.push(id);
        }
        for number in 0..PENDING {
            let (subject, text) = (format!("weft.in.{BOT}.{}", self.team), number.to_string());
            bot.publish(&subject, None, &[], text.as_bytes()).await?;
        }
        ensure!(bot.flush().await?.is_empty(), "the bot was refused");
        let least = PENDING + PENDING / 2;
        until("the ingest logs hold what nobody applies", Duration::from_secs(20), async || {
            let waiting = waiting(&self.system).await.expect("info");
            (waiting >= least as u64).then_some(())
        })
        .await;
        Ok(pending)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_and_what_was_not_applied_is_applied_once() -> Result<()> {
    let mut talk = Talk::begin().await?;
    let cursor = talk.session.cursor();
    let pending = talk.kill_core_while_sending().await?;

    let path = talk.system.path();
    let place = |name: &str| format!("embedded:{}", path.join(name).display());
    let file = path.join("house.weft");
    let name = file.display().to_string();
    let said = admin_says("export", &place("store"), &name).await?;
    assert!(said.contains("Nothing was committed meanwhile"), "{said}");
    let exported = number_before(&said, "entries").with_context(|| said.clone())?;
    let least = talk.acked.len() as u64 + 1;
    let most = least + PENDING as u64;
    assert!((least..most).contains(&exported), "something is still to be applied: {said}");
    assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    let again = admin("export", &place("store"), &name).await?;
    assert!(!again.status.success(), "an export was overwritten");
    let said = admin_says("import", &place("new"), &name).await?;
    assert!(said.contains("with 4 partitions"), "{said}");
    let again = admin("import", &place("new"), &name).await?;
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");

    let args = talk.system.core_args("new");
    talk.system.add("core-2", weft().await, args, role_env("core")).await?;
    talk.system.ready().await;
    let log = talk.settled(&pending).await?;
    talk.check_resends(&log, &pending).await?;
    talk.check_cursor(&cursor).await
}

impl Talk {
    /// Both rooms' entries, when they have everything that was pending.
    async fn settled(&mut self, pending: &[String]) -> Result<HashMap<String, Vec<Entry>>> {
        // Whatever its first session heard: who has no answer sends again.
        let mut session = self.system.session(&self.alice).await?;
        for (number, id) in pending.iter().enumerate() {
            acked(&mut session, &self.room, id, &format!("pending {number}")).await?;
        }
        let mut logs = HashMap::new();
        let bot_has_spoken = async || {
            let log = read_room(self.system.edge(), &self.bob, &self.team).await.ok()?;
            (from(&log, BOT).len() >= PENDING).then_some(log)
        };
        let team = until("the bot's texts", Duration::from_secs(20), bot_has_spoken).await;
        logs.insert(self.team.clone(), team);
        let room = read_room(self.system.edge(), &self.bob, &self.room).await?;
        logs.insert(self.room.clone(), room);
        Ok(logs)
    }

    /// Each text is there once; who sends again hears the first seq.
    async fn check_resends(
        &mut self,
        logs: &HashMap<String, Vec<Entry>>,
        pending: &[String],
    ) -> Result<()> {
        let (room, team) = (&logs[&self.room], &logs[&self.team]);
        assert_eq!(room.len(), self.acked.len() + pending.len(), "{room:?}");
        assert_eq!((team.len(), from(team, BOT).len()), (1 + PENDING, PENDING), "{team:?}");
        for log in [room, team] {
            assert!(log.iter().map(|entry| entry.seq).eq(1..=log.len() as u64), "{log:?}");
        }
        let mut session = self.system.session(&self.alice).await?;
        for (number, (id, seq)) in (1..).zip(&self.acked) {
            let again = acked(&mut session, &self.room, id, &format!("text {number}")).await?;
            assert_eq!(again, *seq);
        }
        let (id, _) = &self.acked[0];
        let other = json!({ "client_id": id, "text": "another" });
        assert_eq!(session.refused(&self.room, other).await?, "conflict");
        Ok(())
    }

    /// The token of the old store still opens a session. Its cursor is answered with `resync`, and
    /// from the new one on everything comes.
    async fn check_cursor(&mut self, cursor: &str) -> Result<()> {
        let edge = self.system.edge();
        let session = Session::open(edge, &self.bob, Some(cursor)).await?;
        let synced = (&session.synced["recovered"], &session.synced["resync"]);
        assert_eq!(synced, (&json!(false), &json!("other_store")));
        let cursor = session.cursor();
        drop(session);
        let mut alice = self.system.session(&self.alice).await?;
        let seq = alice.acked(&self.room, json!({ "text": "at home" })).await?;
        let in_team = alice.acked(&self.team, json!({ "text": "all at home" })).await?;
        let mut session = Session::open(edge, &self.bob, Some(&cursor)).await?;
        assert_eq!(session.synced["recovered"], Value::Bool(true));
        assert_eq!(session.expect(&self.room, seq).await?["text"], "at home");
        assert_eq!(session.expect(&self.team, in_team).await?["text"], "all at home");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_imported_store_is_not_served() -> Result<()> {
    use weft_storage::embedded::Embedded;
    use weft_storage::tables::import::{self, Import};
    use weft_storage::{Batch, Store};

    let mut system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let folder = system.path().join("half");
    let store = Store::new(Embedded::open(&folder)?);
    let mut batch = Batch::new([1; 16]);
    batch.set(import::key(), Import::default().encode());
    store.commit(batch).await?;
    drop(store);
    let args = system.core_args("half");
    system.add("core-2", weft().await, args, role_env("core")).await?;
    let core = system.process("core-2");
    let status = core.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(core.output().contains("`weft admin import` again"), "{}", core.output());
    Ok(())
}
