//! Who may do what: each role, each action, each kind of room, by the owner of a partition that decides it. The
//! answers are docs/roles.md; `WEFT_RENDER=1` writes them there.

use std::fmt::Write as _;
use std::path::Path;

use weft_proto::file::Avatar;
use weft_proto::kind::{
    Add, Ask, Ban, ChangeRole, Close, Decline, Delete, Edit, Join, Leave, Link, Mark, Pin, React,
    Remove, Rename, Text, Unban, Unlink, Unpreview, Update,
};
use weft_proto::svc::FileState;
use weft_proto::{Body, JoinRule, LinkToken, Role, RoomId, WriteRule};

use weft_storage::tables::account::Account;

use crate::administrators::make_administrator;
use crate::create;
use crate::files::{self, file};
use crate::role_reads::{READS, Readers};
use crate::support::{World, id, text, user_id};

/// Who asks, as the columns say it, and the user's name.
const ROLES: [(&str, &str); 7] = [
    ("owner", "owner"),
    ("admin", "admin"),
    ("member", "member"),
    ("former member", "former"),
    ("banned", "banned"),
    ("nobody", "nobody"),
    ("administrator", "root"),
];
/// Others in the room, to whom things are done.
const OTHERS: [&str; 5] = ["owner2", "admin2", "member2", "late", "outsider"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Private,
    Open,
    Asked,
    ReadOnly,
    Archived,
    Closed,
    Large,
    /// There is no such room.
    Nowhere,
}

impl Kind {
    const GROUPS: [(Self, &str); 7] = [
        (Self::Private, "A private group"),
        (Self::Open, "An open group (`join: open`)"),
        (Self::Asked, "A group that one asks (`join: ask`)"),
        (Self::ReadOnly, "A read-only group (`write: admins`)"),
        (Self::Archived, "An archived group (`archived: true`)"),
        (Self::Closed, "A closed group"),
        (Self::Large, "A large group"),
    ];
}

fn token(text: &str) -> LinkToken {
    LinkToken::new(&format!("{text:->24}")).expect("a token")
}

/// What somebody tries, in words, and the command; `seq`: of their own message, and of another member's.
fn actions((own, others): (u64, u64)) -> Vec<(&'static str, Body)> {
    let update = |it: Update| Body::Update(it);
    let none = Update::default;
    let all = br#"{"text":"x","ranges":[{"at":0,"len":1,"style":"mention","everyone":"all"}]}"#;
    let edit = |target| Body::Edit(Edit { target, text: "other".into(), ranges: vec![] });
    let remove = |name: &str| Body::Remove(Remove { user: user_id(name) });
    let ban = |name: &str| Body::Ban(Ban { user: user_id(name), removed: false });
    let add = |role| Body::Add(Add { user: user_id("late"), role });
    vec![
        ("`message`", text("x")),
        ("`edit` of one's own message", edit(own)),
        ("`delete` of one's own message", Body::Delete(Delete::of(own))),
        ("`react`", Body::React(React { target: others, emoji: "+".into() })),
        ("`mark` (read)", Body::Mark(Mark { read: Some(others), ..Mark::default() })),
        ("`edit` of another's message", edit(others)),
        ("`delete` of another's message", Body::Delete(Delete::of(others))),
        ("a mention of everyone", Body::from_json(all).expect("a body")),
        ("`unpreview` of one's own message", Body::Unpreview(Unpreview { target: own })),
        ("`unpreview` of another's message", Body::Unpreview(Unpreview { target: others })),
        ("`pin`", Body::Pin(Pin { target: others })),
        ("`rename`", Body::Rename(Rename { title: "N".into() })),
        ("`update` of the topic", update(Update { topic: Some("t".into()), ..none() })),
        (
            "`update` of the avatar",
            update(Update { avatar: Some(Box::new(Avatar(None))), ..none() }),
        ),
        ("`update`: slow mode", update(Update { slow_mode_s: Some(5), ..none() })),
        ("`update`: most members", update(Update { members_max: Some(500), ..none() })),
        ("`update`: archived, or not any more", update(Update { archived: None, ..none() })),
        (
            "`update`: for how long entries are kept",
            update(Update { retention_days: Some(7), ..none() }),
        ),
        (
            "`update`: for how long messages have files",
            update(Update { file_days: Some(7), ..none() }),
        ),
        ("`update`: previews of links", update(Update { previews: Some(false), ..none() })),
        ("`add` of a member", add(Role::Member)),
        ("`add` of an owner", add(Role::Owner)),
        ("`remove` of a member", remove("member2")),
        ("`remove` of an admin", remove("admin2")),
        ("`remove` of an owner", remove("owner2")),
        ("`ban` of a member", ban("member2")),
        ("`ban` of an admin", ban("admin2")),
        ("`ban` of who is no member", ban("outsider")),
        ("`unban`", Body::Unban(Unban { user: user_id("banned") })),
        ("`role`", Body::ChangeRole(ChangeRole { user: user_id("member2"), role: Role::Admin })),
        ("`link`", Body::Link(Link { link: token("new"), expires_at: None, uses: None })),
        ("`unlink`", Body::Unlink(Unlink { link_id: token("there").id() })),
        ("`ask`", Body::Ask(Ask::default())),
        ("`decline`", Body::Decline(Decline { user: user_id("outsider") })),
        ("`join`", Body::Join(Join { link: None })),
        ("`join` by a link", Body::Join(Join { link: Some(token("there")) })),
        ("`join` by a wrong link", Body::Join(Join { link: Some(token("wrong")) })),
        ("`create` with its id", create(&[])),
        ("`leave`", Body::Leave(Leave {})),
        (
            "`delete` of any message, with a reason",
            Body::Delete(Delete { target: others, reason: Some("spam".into()) }),
        ),
        ("`close`, or open again", Body::Close(Close { closed: true, reason: None })),
    ]
}

fn is_avatar(body: &Body) -> bool {
    matches!(body, Body::Update(Update { avatar: Some(_), .. }))
}

/// Each one's own image.
fn avatar_of(name: &str) -> Body {
    let number = ROLES.iter().position(|(_, of)| *of == name).unwrap_or_default();
    let avatar = Some(Box::new(Avatar(Some(file(number as u128)))));
    Body::Update(Update { avatar, ..Update::default() })
}

/// Groups that are made one after the other: one is used until something in it was changed.
struct Rooms {
    world: World,
    number: u128,
    made: usize,
    crowd: Vec<String>,
}

impl Rooms {
    async fn try_it(&mut self, from: &str, room: &str, body: &Body) -> Result<u64, String> {
        self.number += 1;
        let answer = self.world.send(from, room, Some(id(self.number)), body).await;
        match answer["error"]["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok(answer["seq"].as_u64().unwrap_or_default()),
        }
    }

    async fn done(&mut self, from: &str, room: &str, body: Body) -> u64 {
        self.try_it(from, room, &body).await.unwrap_or_else(|code| panic!("{body:?}: {code}"))
    }

    /// A group of this kind: its name, and the seq of each one's own message.
    async fn make(&mut self, kind: Kind) -> (String, Vec<(&'static str, u64)>) {
        self.made += 1;
        let room = format!("room-{}", self.made);
        if kind == Kind::Nowhere {
            return (room, Vec::new());
        }
        let mut members = vec!["admin", "member", "former", "banned"];
        members.extend(["owner2", "admin2", "member2"]);
        let crowd: Vec<String> = self.crowd.clone();
        if kind == Kind::Large {
            members.extend(crowd.iter().map(String::as_str));
        }
        let (first, rest) = members.split_at(members.len().min(99));
        self.done("owner", &room, create(first)).await;
        for name in rest {
            let add = Add { user: user_id(name), role: Role::Member };
            self.done("owner", &room, Body::Add(add)).await;
        }
        for (name, role) in
            [("owner2", Role::Owner), ("admin", Role::Admin), ("admin2", Role::Admin)]
        {
            let role = Body::ChangeRole(ChangeRole { user: user_id(name), role });
            self.done("owner", &room, role).await;
        }
        let mut own = Vec::new();
        for name in ["owner", "admin", "member", "former", "banned", "member2"] {
            let said = Body::Text(Text { text: "x".into(), ..Text::default() });
            own.push((name, self.done(name, &room, said).await));
        }
        self.done("former", &room, Body::Leave(Leave {})).await;
        let ban = Ban { user: user_id("banned"), removed: false };
        self.done("owner", &room, Body::Ban(ban)).await;
        let link = Link { link: token("there"), expires_at: None, uses: None };
        self.done("owner", &room, Body::Link(link)).await;
        let update = match kind {
            Kind::Open => Update { join: Some(JoinRule::Open), ..Update::default() },
            Kind::Asked => Update { join: Some(JoinRule::Ask), ..Update::default() },
            Kind::ReadOnly => Update { write: Some(WriteRule::Admins), ..Update::default() },
            Kind::Archived => Update { archived: Some(true), ..Update::default() },
            Kind::Closed => {
                let close = Close { closed: true, reason: None };
                self.done("root", &room, Body::Close(close)).await;
                return (room, own);
            }
            Kind::Private | Kind::Large | Kind::Nowhere => return (room, own),
        };
        self.done("owner", &room, Body::Update(update)).await;
        (room, own)
    }

    /// What each role is answered to each action: `yes`, or the code.
    async fn answers(&mut self, kind: Kind) -> Vec<(&'static str, Vec<String>)> {
        let (mut room, mut own) = self.make(kind).await;
        let mut rows: Vec<(&'static str, Vec<String>)> = Vec::new();
        for index in 0..actions((1, 1)).len() {
            let mut row = Vec::new();
            for (_, name) in ROLES {
                let of = |own: &[(&str, u64)], name: &str| {
                    own.iter().find(|(of, _)| *of == name).map_or(1, |(_, seq)| *seq)
                };
                let (action, body) =
                    actions((of(&own, name), of(&own, "member2"))).swap_remove(index);
                let body = match body {
                    Body::Update(it) if it == Update::default() => {
                        let archived = Some(kind != Kind::Archived);
                        Body::Update(Update { archived, ..it })
                    }
                    body if is_avatar(&body) => avatar_of(name),
                    Body::Close(it) => Body::Close(Close { closed: kind != Kind::Closed, ..it }),
                    body => body,
                };
                if row.is_empty() {
                    rows.push((action, Vec::new()));
                }
                match self.try_it(name, &room, &body).await {
                    Ok(_) => {
                        row.push("yes".to_owned());
                        (room, own) = self.make(kind).await;
                    }
                    Err(code) => row.push(format!("`{code}`")),
                }
            }
            rows.last_mut().expect("a row").1 = row;
        }
        rows
    }

    /// What each role is answered who reads a group of this kind.
    async fn reads(&mut self, kind: Kind, readers: &Readers) -> Vec<(&'static str, Vec<String>)> {
        let (room, own) = self.make(kind).await;
        let target = own.iter().find(|(of, _)| *of == "member2").map_or(1, |(_, seq)| *seq);
        let mut rows = Vec::new();
        for read in READS {
            let mut row = Vec::new();
            for (_, name) in ROLES {
                row.push(readers.answer(read, name, &room, target).await);
            }
            rows.push((read, row));
        }
        rows
    }
}

fn rendered(title: &str, columns: &[&str], rows: &[(&str, Vec<String>)]) -> String {
    format!("\n## {title}\n{}", table(columns, rows))
}

fn table(columns: &[&str], rows: &[(&str, Vec<String>)]) -> String {
    let mut text = format!("\n| | {} |\n|", columns.join(" | "));
    text.push_str(&" --- |".repeat(columns.len() + 1));
    text.push('\n');
    for (action, answers) in rows {
        let _ = writeln!(text, "| {action} | {} |", answers.join(" | "));
    }
    text
}

#[tokio::test]
async fn who_may_do_what_is_what_the_page_says() {
    let crowd: Vec<String> = (0..130).map(|number| format!("crowd-{number}")).collect();
    let mut users: Vec<&str> = ROLES.iter().map(|(_, name)| *name).chain(OTHERS).collect();
    users.extend(crowd.iter().map(String::as_str));
    let world = World::new(&users).await;
    let root = Account { is_admin: true, ..Account::default() };
    make_administrator(&world, "root", root).await;
    let owner = world.own("n1").await;
    for (number, (_, name)) in ROLES.iter().enumerate() {
        files::put(&world, number as u128, name, FileState::Ready, true).await;
    }
    let mut rooms = Rooms { world, number: 0, made: 0, crowd: crowd.clone() };
    let mut page = PREFACE.to_owned();
    let columns = ROLES.map(|(title, _)| title);
    let readers = Readers::open(&rooms.world, &users).await;
    let nowhere = rooms.answers(Kind::Nowhere).await;
    let unread = rooms.reads(Kind::Nowhere, &readers).await;
    for (kind, title) in Kind::GROUPS {
        let rows = rooms.answers(kind).await;
        // Who never was there can't tell it from one that is not there, but by a name that they choose for a group of
        // their own, and by a link that they hold.
        for ((action, answers), (_, none)) in rows.iter().zip(&nowhere) {
            let tells = ["`create` with its id", "`join` by a link"].contains(action)
                || kind == Kind::Open && action.starts_with("`join`")
                || [Kind::Open, Kind::Asked].contains(&kind) && *action == "`ask`";
            assert!(tells || answers[5] == none[5], "{title}, {action}: {answers:?}, {none:?}");
        }
        page.push_str(&rendered(title, &columns, &rows));
        let reads = rooms.reads(kind, &readers).await;
        for ((read, answers), (_, none)) in reads.iter().zip(&unread) {
            assert_eq!(answers[5], none[5], "{title}, {read}: as of none");
        }
        page.push_str("\nWho reads it:\n");
        page.push_str(&table(&columns, &reads));
    }
    let mut rows = Vec::new();
    for index in 0..actions((1, 1)).len() {
        let mut row = Vec::new();
        let mut action = "";
        for name in ["member", "nobody", "root"] {
            // Each in a room of its own, in which both have written.
            rooms.made += 1;
            let other = rooms.crowd.pop().unwrap_or_default();
            let mut names = ["member", &*other];
            names.sort_unstable();
            let room = names.join("~");
            for from in ["member", &*other] {
                rooms.done(from, &room, text("x")).await;
            }
            let (said, body) = actions((1, 2)).swap_remove(index);
            action = said;
            let body = match body {
                Body::Update(it) if it == Update::default() => {
                    Body::Update(Update { archived: Some(true), ..it })
                }
                body if is_avatar(&body) => avatar_of(name),
                body => body,
            };
            let answer = rooms.try_it(name, &room, &body).await;
            row.push(answer.map_or_else(|code| format!("`{code}`"), |_| "yes".to_owned()));
        }
        rows.push((action, row));
    }
    let columns = ["one of the two", "nobody", "administrator"];
    page.push_str(&rendered("A direct room", &columns, &rows));
    let other = rooms.crowd.pop().unwrap_or_default();
    let room = RoomId::direct(&user_id("member"), &user_id(&other)).to_string();
    rooms.done("member", &room, text("x")).await;
    let mut reads = Vec::new();
    for read in READS {
        let mut row = Vec::new();
        for name in ["member", "nobody", "root"] {
            row.push(readers.answer(read, name, &room, 1).await);
        }
        reads.push((read, row));
    }
    page.push_str("\nWho reads it:\n");
    page.push_str(&table(&columns, &reads));
    owner.leave().await.expect("leave");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roles.md");
    if std::env::var_os("WEFT_RENDER").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/roles.md says something else: WEFT_RENDER=1 writes it");
}

const PREFACE: &str = "# Who may do what

This page is made by a test (`core/tests/partition/roles.rs`), which tries each of these in each kind of room: `yes`, or the code of the refusal
([protocol.md](protocol.md), section 6). What each entry is: section 5 there; what each reading: section 4. *Yes* says that there is an answer, and not how much of the room is in it.

*Former member*: who left or was removed. *Banned*: a former member who was banned. *Nobody*: who never was a member. *Administrator*: of the
installation, who never was a member, either. A group may be several of these
kinds: then a refusal by one of them is one.
";
