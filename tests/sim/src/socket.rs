//! A live session: what goes out on its socket, as the edge's pump has it around the edge's own
//! order. List the groups, follow them, sync, then put out what comes.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_edge::order::{Missing, Order, Since, Verdict};
use weft_proto::svc::{ListGroups, LogEntry, LogPage, ReadLog, Resync, Sync, SyncPage};
use weft_proto::{Cursor, ErrorCode, EventHead, Position, RoomId, RoomKind, UserId};

use super::edge::{Edge, Item, Mailbox};
use super::services::ask;
use super::wire::Topic;
use super::world::World;

/// The socket is closed: the rule was broken, or core's answer makes no sense.
pub struct Closed;

pub struct Socket {
    edge: Arc<Edge>,
    number: u64,
    user: UserId,
    pub mailbox: Arc<Mailbox>,
    order: Order,
    groups: BTreeSet<RoomId>,
    owed: Owed,
    /// As text; empty: none.
    cursor: String,
    pub name: String,
    /// What went out: cursors, and entries between them.
    pub out: Vec<Out>,
}

/// What the session's cursor does not speak of yet, as edges count it.
#[derive(Default)]
struct Owed {
    /// A cursor is worth telling from here on; `None`: the last one speaks of everything.
    from: Option<Position>,
    /// The last position that went out.
    last: Position,
}

/// A frame on the socket.
pub enum Out {
    Entry,
    Cursor(String),
}

impl Socket {
    pub fn open(edge: &Arc<Edge>, number: u64, user: &UserId, cursor: &str) -> Self {
        let since = cursor.parse::<Cursor>().map_or(Position::MIN, |cursor| cursor.position);
        let name = format!("session {number} of {user}");
        let mut check = edge.world.check.lock().expect("check");
        check.due.opens(number, name.clone(), user.clone(), since);
        drop(check);
        let mailbox = Arc::new(Mailbox::default());
        edge.join(&Topic::User(user.clone()), number, &mailbox);
        Self {
            edge: Arc::clone(edge),
            number,
            user: user.clone(),
            mailbox,
            order: Order::new(user.clone()),
            groups: BTreeSet::new(),
            owed: Owed::default(),
            cursor: cursor.into(),
            name,
            out: Vec::new(),
        }
    }

    fn world(&self) -> &World {
        &self.edge.world
    }

    /// Puts out what is due for as long as it is polled.
    pub async fn run(&mut self) -> Result<std::convert::Infallible, Closed> {
        if self.cursor.is_empty() {
            self.sync().await?;
        }
        loop {
            self.list().await?;
            if self.sync().await? {
                break;
            }
        }
        self.owed.from = None;
        self.settle().await?;
        self.owe();
        loop {
            match self.mailbox.take() {
                Some(item) => {
                    let owed = self.owed.from;
                    self.look_at(item).await?;
                    if self.owed.from != owed {
                        self.owe();
                    }
                }
                None => self.mailbox.bell.notified().await,
            }
        }
    }

    /// Asks for a marker. Where the newest one was told too early to say something to this session,
    /// it comes once more, behind all that waits by now.
    fn owe(&self) {
        self.mailbox.owe(self.owed.from);
        if let Some(marked) = self.edge.audits.marked() {
            self.mailbox.mark(marked);
        }
    }

    async fn list(&mut self) -> Result<(), Closed> {
        let groups = ask(self.world(), async |services| {
            let token = services.token(&self.user);
            services.context.groups(ListGroups { token, after: String::new() }).await
        });
        let groups = groups.await.map_err(|code| self.defect(code))?;
        let listed = groups.rooms.iter().map(|room| RoomId::new(room).expect("room")).collect();
        for left in std::mem::replace(&mut self.groups, listed).difference(&self.groups) {
            self.edge.leave(&Topic::Group(left.clone()), self.number);
        }
        for room in &self.groups {
            self.edge.join(&Topic::Group(room.clone()), self.number, &self.mailbox);
        }
        self.order.restart(self.groups.iter().cloned());
        self.world().take_time().await;
        self.edge.audits.ready().await;
        Ok(())
    }

    /// False: it found where to begin, and that is all.
    async fn sync(&mut self) -> Result<bool, Closed> {
        let mut next = Vec::new();
        loop {
            let page: SyncPage = ask(self.world(), async |services| {
                let (cursor, page) = (self.cursor.clone(), next.clone());
                let token = services.token(&self.user);
                services.context.sync(Sync { token, cursor, page }).await
            })
            .await
            .map_err(|code| self.defect(code))?;
            let covered: Cursor = page.cursor.parse().expect("a cursor");
            if page.resync() != Resync::None {
                self.cursor = page.cursor;
                self.world()
                    .check
                    .lock()
                    .expect("check")
                    .due
                    .begins_at(self.number, covered.position);
                self.out.push(Out::Cursor(self.cursor.clone()));
                return Ok(false);
            }
            self.put_stored(&page.entries)?;
            next = page.next;
            if next.is_empty() {
                self.order.synced(covered.position);
                self.tell_cursor(covered)?;
                return Ok(true);
            }
        }
    }

    async fn look_at(&mut self, item: Item) -> Result<(), Closed> {
        match &item {
            Item::Event(head) => match self.order.offer(head) {
                Verdict::Drop => {}
                Verdict::Put => self.put(head)?,
                Verdict::Repair(missing) => {
                    // It is offered again when that has been read.
                    let through = head.seq;
                    self.mailbox.put_back(item);
                    self.repair(&missing, through).await?;
                }
            },
            Item::Notice(notice) => {
                if let Some(missing) = self.order.notice(notice) {
                    let through = notice.seq;
                    self.mailbox.put_back(item);
                    self.repair(&missing, through).await?;
                }
            }
            Item::Marker(position) => {
                let mut cursor: Cursor = self.cursor.parse().expect("a cursor");
                if *position > cursor.position {
                    cursor.position = *position;
                    self.order.synced(*position);
                    let last = self.owed.last;
                    self.owed.from = (*position < last).then_some(last);
                    self.tell_cursor(cursor)?;
                }
            }
        }
        self.settle().await
    }

    /// Reads one page of what is missing. `through`: up to there the room is not for this user, if
    /// core shows nothing of it.
    async fn repair(&mut self, missing: &Missing, through: u64) -> Result<(), Closed> {
        loop {
            let Some(page) = self.read(missing).await? else {
                self.order.refuse(&missing.room, through);
                return Ok(());
            };
            let has_moved_on = match missing.since {
                Since::Seq(after) => page.through > after,
                Since::Position(_) => page.through >= page.from && page.from > 0,
            };
            if has_moved_on {
                return self.put_page(&missing.room, &page);
            }
            self.world().sleep_below(500).await;
        }
    }

    /// Follows the rooms that the user has joined, and leaves the others.
    async fn settle(&mut self) -> Result<(), Closed> {
        let mut moved = self.order.take_moved();
        while let Some(room) = moved.pop() {
            let topic = Topic::Group(room.clone());
            if !self.order.is_in(&room) {
                self.groups.remove(&room);
                self.edge.leave(&topic, self.number);
            } else if room.kind() == RoomKind::Group && self.groups.insert(room.clone()) {
                self.edge.join(&topic, self.number, &self.mailbox);
                self.world().take_time().await;
                self.catch_up(room).await?;
                moved.extend(self.order.take_moved());
            }
        }
        Ok(())
    }

    /// Reads what was published in a room before its subscription stood.
    async fn catch_up(&mut self, room: RoomId) -> Result<(), Closed> {
        loop {
            let since = self.order.since(&room);
            let missing = Missing { since, room: room.clone(), to: 0, joined_after: None };
            let Some(page) = self.read(&missing).await? else { return Ok(()) };
            self.put_page(&room, &page)?;
            if !page.more || !self.order.is_in(&room) {
                return Ok(());
            }
        }
    }

    /// `None`: it is not for this user.
    async fn read(&self, missing: &Missing) -> Result<Option<LogPage>, Closed> {
        let (after, after_position) = match missing.since {
            Since::Seq(seq) => (Some(seq), None),
            Since::Position(position) => (None, Some(position.0.to_vec())),
        };
        let asked = ask(self.world(), async |services| {
            let (token, room) = (services.token(&self.user), missing.room.to_string());
            let after_position = after_position.clone();
            let joined_after = missing.joined_after.map(|position| position.0.to_vec());
            let request = ReadLog {
                token,
                room,
                after,
                after_position,
                to: missing.to,
                joined_after,
                ..ReadLog::default()
            };
            services.context.log_read(request).await
        });
        match asked.await {
            Ok(page) => Ok(Some(page)),
            Err(ErrorCode::NotMember | ErrorCode::NoSuchRoom | ErrorCode::Forbidden) => Ok(None),
            Err(code) => Err(self.defect(code)),
        }
    }

    fn put_page(&mut self, room: &RoomId, page: &LogPage) -> Result<(), Closed> {
        self.put_stored(&page.entries)?;
        self.order.cover(room, page.through);
        Ok(())
    }

    fn put_stored(&mut self, entries: &[LogEntry]) -> Result<(), Closed> {
        for entry in entries {
            let head: EventHead = entry.head.parse().expect("a head");
            if self.order.offer_stored(&head) {
                self.put(&head)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, head: &EventHead) -> Result<(), Closed> {
        self.out.push(Out::Entry);
        self.owed.last = self.owed.last.max(head.position);
        self.owed.from.get_or_insert(head.position);
        let (name, world) = (&self.name, self.world());
        world.say(format_args!("{name} puts out {} {}", head.room, head.seq));
        let judged = world.check.lock().expect("check").due.puts(self.number, head);
        judged.map_err(|violation| self.violation(violation))
    }

    fn tell_cursor(&mut self, cursor: Cursor) -> Result<(), Closed> {
        self.cursor = cursor.to_string();
        self.out.push(Out::Cursor(self.cursor.clone()));
        let world = self.world();
        world.say(format_args!("{} has all up to {}", self.name, cursor.position));
        let mut check = world.check.lock().expect("check");
        let judged = check.due.tells_cursor(self.number, cursor.position);
        drop(check);
        judged.map_err(|violation| self.violation(violation))
    }

    fn violation(&self, violation: String) -> Closed {
        self.world().violate(violation);
        Closed
    }

    fn defect(&self, code: ErrorCode) -> Closed {
        self.violation(format!("{} is told {code:?}", self.name))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.edge.leave_all(self.number);
        self.edge.world.check.lock().expect("check").due.closes(self.number);
    }
}
