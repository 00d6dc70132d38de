//! Messages that are sent later, as the checker knows them: each commit makes of one what may become of it, the one that sends it
//! has its entry, none is sent twice, early, or though it was taken back, and in the end none waits whose time has come.

use std::collections::{BTreeMap, BTreeSet};

use weft_proto::kind::{Schedule, Text, Unschedule};
use weft_proto::{Body, ClientId, Entry, Position};
use weft_storage::tables::change::Changed;
use weft_storage::tables::scheduled::{self, Scheduled as Row, ScheduledKey, State};
use weft_storage::{Batch, Op, Snapshot};

use super::answers::Asked;
use super::check::{CLOCKS_DIFFER_MS, Judged, Kept, Place};
use super::client::Wish;
use super::marks::Changes;
use super::rows::Rows;
use super::store::now;
use super::world::World;

/// With this each text begins that is scheduled, and no other.
const LATER: &str = "later ";
/// So long after its time one is sent, when all is quiet.
const SENT_WITHIN_MS: u64 = 15_000;

#[derive(Default)]
pub struct Scheduled {
    rows: Rows<ScheduledKey, Told>,
    texts: BTreeSet<String>,
}

/// What a frame tells of one, and what its row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub at_ms: u64,
    pub state: String,
    pub seq: u64,
}

/// What a device knows.
pub type Known = BTreeMap<ScheduledKey, Told>;

impl Told {
    fn of(row: &Row) -> Self {
        let state = match row.state() {
            State::Waiting => "waiting",
            State::Sent => "sent",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        };
        Self { at_ms: row.at_ms, state: state.to_owned(), seq: row.seq }
    }
}

impl Scheduled {
    /// An entry is committed: no text is there twice.
    pub fn judge_entry(&mut self, entry: &Entry) -> Judged<()> {
        let Entry { room, seq, body, .. } = entry;
        match body {
            Body::Text(Text { text, .. })
                if text.starts_with(LATER) && !self.texts.insert(text.clone()) =>
            {
                Err(format!("{room} {seq} is a scheduled message that was sent before"))
            }
            _ => Ok(()),
        }
    }

    /// Takes in what a commit makes of scheduled messages; its entries are taken in.
    pub fn commits(
        &mut self,
        batch: &Batch,
        position: Position,
        snapshot: &dyn Snapshot,
        entries: &BTreeMap<Place, Kept>,
    ) -> Judged<()> {
        for op in batch.ops() {
            let Op::SetPositioned { key, .. } = op else { continue };
            let Ok(at) = scheduled::read_key(key) else { continue };
            let row = now(snapshot.get(key.clone())).ok_or("a schedule that is not written")?;
            let (written_at, row) = scheduled::decode(&row).map_err(|error| error.to_string())?;
            let told = Told::of(&row);
            let before = self.rows.newest(&at).map(|before| &*before.state);
            let may = match before {
                None => &["waiting"][..],
                Some("waiting") => &["sent", "failed", "cancelled"],
                Some("failed") => &["cancelled"],
                Some(_) => &[],
            };
            let wrong = |what: &str| format!("the scheduled message {at:?} {what}: {told:?}");
            if !may.contains(&&*told.state) {
                return Err(wrong(&format!("was {before:?}")));
            }
            if told.seq > 0 {
                let kept = entries.get(&(at.1.clone(), told.seq));
                let is_it = kept.is_some_and(|Kept { entry, position: of, .. }| {
                    let is_of_commit = of.with_order(0) == position.with_order(0);
                    is_of_commit && entry.from == at.0 && entry.client_id.is_none()
                });
                if !is_it {
                    return Err(wrong("is not at its place"));
                }
                let time_ms = kept.map_or(0, |kept| kept.entry.time_ms);
                if time_ms + CLOCKS_DIFFER_MS < told.at_ms {
                    return Err(wrong("is sent before its time"));
                }
            }
            self.rows.write(at, written_at, told);
        }
        Ok(())
    }

    /// A command is answered: it was carried out.
    pub fn answered(&self, asked: &Asked) -> Judged<()> {
        let (id, state) = match &asked.body {
            Some(Body::Unschedule(Unschedule { schedule })) => (Some(*schedule), Some("cancelled")),
            _ => (asked.client_id, None),
        };
        let Some(id) = id else { return Err("something without an id is scheduled".into()) };
        let key = (asked.sender.clone(), asked.room.clone(), id);
        if self.rows.was(&key, |row| state.is_none_or(|state| row.state == state)) {
            return Ok(());
        }
        Err(format!("{} hears that {:?} is done; it never was", asked.sender, asked.body))
    }

    /// A device hears nothing that never was.
    pub fn shows(&self, key: &ScheduledKey, told: &Told) -> Judged<()> {
        if self.rows.was(key, |row| row == told) {
            return Ok(());
        }
        Err(format!("a device is told of {key:?}: {told:?}, which never was"))
    }

    /// A user's device knows what became of all that changed up to there: as it was then, or later.
    pub fn judge_known(
        &self,
        user: &weft_proto::UserId,
        known: &Known,
        began: Position,
        up_to: Position,
    ) -> Judged<()> {
        let mut unheard = self.rows.unheard(|key| known.get(key), began, up_to);
        match unheard.find(|(whose, ..)| whose == user) {
            Some(key) => Err(format!("a device of {user} never hears what became of {key:?}")),
            None => Ok(()),
        }
    }

    /// All is quiet: what was due is sent.
    pub fn judge(&self, now_ms: u64) -> Judged<()> {
        let waits = |(_, _, told): &(&ScheduledKey, &Position, &Told)| {
            told.state == "waiting" && told.at_ms + SENT_WITHIN_MS < now_ms
        };
        match self.rows.all().find(waits) {
            Some((key, _, told)) => {
                Err(format!("the scheduled message {key:?} is not sent: {told:?}"))
            }
            None => Ok(()),
        }
    }

    /// What syncs have to tell.
    pub fn changes(&self, changes: &mut Changes) {
        for ((user, room, id), position, _) in self.rows.all() {
            let changed = Changed::Scheduled(room.clone(), *id);
            changes.entry(user.clone()).or_default().insert(*position, changed);
        }
    }
}

/// A message to be sent later, or one to be taken back that [`aim_scheduled`] finds.
pub fn any_scheduled(world: &World) -> Body {
    if world.below(3) == 0 {
        return Body::Unschedule(Unschedule { schedule: ClientId::from_parts(0, 0) });
    }
    let message = Text { text: format!("{LATER}{}", world.new_number()), ..Text::default() };
    // So long after it is sent.
    let at = 1 + world.below(6_000);
    Body::Schedule(Schedule { at, message: Box::new(message), attached: None })
}

/// What is scheduled gets its time as it is sent, and what is to be taken back is one that waits.
pub fn aim_scheduled(world: &World, wish: &mut Wish) {
    match wish.body.as_mut() {
        Some(Body::Schedule(Schedule { at, .. })) => *at += world.now_ms(),
        Some(Body::Unschedule(Unschedule { schedule })) => {
            let check = world.check.lock().expect("check");
            let rows = check.scheduled.rows.all();
            let own =
                rows.filter(|((user, room, _), ..)| *user == wish.sender && *room == wish.room);
            if let Some(((_, _, id), ..)) = own.last() {
                *schedule = *id;
            }
        }
        _ => {}
    }
}
