use super::formatting::{Everyone, Range, Style};
use super::*;
use crate::file::Avatar;
use crate::limits::TEXT_CHARS_MAX;
use crate::role::Role;
use crate::room::{History, JoinRule, RoomId, WriteRule};
use crate::{ClientId, Entry, FileId, LinkId, LinkToken};

mod message;

fn code(json: &str) -> ErrorCode {
    Body::from_json(json.as_bytes()).expect_err(json).code
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

fn mention(at: u32, user: Option<&str>, everyone: Option<i32>) -> Range {
    let (style, user) = (Style::Mention.into(), user.map(str::to_owned));
    Range { at, len: 1, style, user, everyone, ..Range::default() }
}

fn with(text: &str, extras: Extras) -> Body {
    Body::Text(Text { text: text.into(), extras: extras.boxed() })
}

fn attachment(facts: Option<FileFacts>) -> Attachment {
    Attachment { id: FileId::from_parts(1, 2), facts: facts.map(Box::new) }
}

/// Each kind as a store has it, as clients see it, and what tells its resends: none of them may ever
/// change.
fn kept() -> Vec<(Body, &'static str, &'static str, u64)> {
    let bob = || user("bob");
    let create = |members, history| Body::Create(Create { title: "T".into(), members, history });
    vec![
        (
            Body::Text(Text { text: "hé \"you\"\n".into(), ..Text::default() }),
            "30013a0a68c3a92022796f75220a",
            r#""kind":"message","text":"hé \"you\"\n""#,
            0xceddbfbfae594834,
        ),
        (
            with(
                "a b",
                Extras {
                    ranges: vec![Range {
                        at: 2,
                        len: 1,
                        style: Style::Link.into(),
                        url: Some("https://w".into()),
                        ..Range::default()
                    }],
                    reply_to: Some(3),
                    meta: serde_json::from_str(r#"{"b":1,"a":[]}"#).expect("an object"),
                    ..Extras::default()
                },
            ),
            "30013a03612062ca01250a11080210011807220968747470733a2f2f7710031a0e7b2261223a5b5d2c2262223a317d",
            r#""kind":"message","text":"a b","ranges":[{"at":2,"len":1,"style":"link","url":"https://w"}],"reply_to":3,"meta":{"a":[],"b":1}"#,
            0x2f533384444100b1,
        ),
        (
            with(
                "a b",
                Extras {
                    ranges: vec![
                        mention(0, Some("bob"), None),
                        mention(2, None, Some(Everyone::Here.into())),
                    ],
                    silent: true,
                    skip_push: true,
                    forwarded: Some(Forwarded {
                        origin: Some(Origin { room: RoomId::new("team").expect("id"), seq: 4 }),
                        from: Some(user("cem")),
                    }),
                    ..Extras::default()
                },
            ),
            "30013a03612062ca01280a09100118082a03626f620a080802100118083002200128013\
             20d0a047465616d10041a0363656d",
            r#""kind":"message","text":"a b","ranges":[{"at":0,"len":1,"style":"mention","user":"bob"},{"at":2,"len":1,"style":"mention","everyone":"here"}],"silent":true,"skip_push":true,"forwarded":{"room":"team","seq":4,"from":"cem"}"#,
            0xc5b96327f93be164,
        ),
        (
            with("a", Extras { thread: Some(3), ..Extras::default() }),
            "30013a0161ca01023803",
            r#""kind":"message","text":"a","thread":3"#,
            0xb2a106ab032b0549,
        ),
        (
            create(vec![bob()], History::Joined),
            "30024201544a03626f625002",
            r#""kind":"create","title":"T","members":["bob"],"history":"joined""#,
            0xd7fe2892100fbce0,
        ),
        (
            create(vec![], History::All),
            "30024201545001",
            r#""kind":"create","title":"T","members":[],"history":"all""#,
            0xa844585bd5e0e4e7,
        ),
        (
            Body::Rename(Rename { title: "N".into() }),
            "300342014e",
            r#""kind":"rename","title":"N""#,
            0x1635301560ad6a65,
        ),
        (
            Body::Add(Add { user: bob(), role: Role::Admin }),
            "30045a03626f626002",
            r#""kind":"add","user":"bob","role":"admin""#,
            0x9030d53487430911,
        ),
        (
            Body::Remove(Remove { user: bob() }),
            "30055a03626f62",
            r#""kind":"remove","user":"bob""#,
            0x0bef63b1a72b846f,
        ),
        (
            Body::Edit(Edit { target: 3, text: "x".into(), ranges: vec![] }),
            "3008a201050803120178",
            r#""kind":"edit","target":3,"text":"x""#,
            0x43becf48fa1ded10,
        ),
        (
            Body::Edit(Edit {
                target: 3,
                text: "x".into(),
                ranges: vec![mention(0, None, Some(Everyone::All.into()))],
            }),
            "3008a2010d08031201781a06100118083001",
            r#""kind":"edit","target":3,"text":"x","ranges":[{"at":0,"len":1,"style":"mention","everyone":"all"}]"#,
            0x4dc2eeef6c54a398,
        ),
        (
            Body::Delete(Delete::of(3)),
            "3009aa01020803",
            r#""kind":"delete","target":3"#,
            0xbc6ba313f7941934,
        ),
        (
            Body::Deleted(Deleted { by: 9, thread: None }),
            "300ab201020809",
            r#""kind":"deleted","by":9"#,
            0x2288f17e69458540,
        ),
        (
            Body::Deleted(Deleted { by: 9, thread: Some(3) }),
            "300ab2010408091003",
            r#""kind":"deleted","by":9,"thread":3"#,
            0xc9c086de33eeb9c7,
        ),
        (
            Body::React(React { target: 3, emoji: "+".into() }),
            "300bba0105080312012b",
            r#""kind":"react","target":3,"emoji":"+""#,
            0x67e16545e1b45385,
        ),
        (
            Body::Unreact(Unreact { target: 3, emoji: "+".into() }),
            "300cc20105080312012b",
            r#""kind":"unreact","target":3,"emoji":"+""#,
            0x1da41f27b5b7939e,
        ),
        // No entry ever has it. Its number and its tag are its own all the same.
        (
            Body::Mark(Mark { read: Some(3), delivered: Some(4), ..Mark::default() }),
            "300dd2010408031004",
            r#""kind":"mark","read":3,"delivered":4"#,
            0xa77915e6196a45c1,
        ),
        (
            Body::Mark(Mark { unread_from: Some(3), ..Mark::default() }),
            "300dd201021803",
            r#""kind":"mark","unread_from":3"#,
            0x6f43133466983c3d,
        ),
        (
            Body::Mark(Mark { thread: Some(3), follow: Some(false), ..Mark::default() }),
            "300dd2010420032800",
            r#""kind":"mark","thread":3,"follow":false"#,
            0x6b9987b033a6aad9,
        ),
        (
            Body::Setting(Setting {
                room: Some(RoomId::new("team").expect("id")),
                muted_until: Some(0),
                pinned: Some(true),
                ..Setting::default()
            }),
            "3010ea010a0a047465616d10001801",
            r#""kind":"setting","room":"team","muted_until":0,"pinned":true"#,
            0x39ed99e99888e195,
        ),
        (
            Body::Setting(Setting { receipts: Some(false), ..Setting::default() }),
            "3010ea01022000",
            r#""kind":"setting","receipts":false"#,
            0x1b62f177a398bb4b,
        ),
        (
            Body::Setting(Setting {
                add_by: Some(crate::consent::AddBy::Known),
                ..Setting::default()
            }),
            "3010ea01022801",
            r#""kind":"setting","add_by":"known""#,
            0xac5455f7c8b0f1ad,
        ),
        (
            Body::Setting(Setting {
                room: Some(RoomId::new("team").expect("id")),
                hidden: Some(Box::new(HiddenAt { seq: 7, ordinal: 3 })),
                ..Setting::default()
            }),
            "3010ea010d0a047465616db2010408071003",
            r#""kind":"setting","room":"team","hidden":{"seq":7,"ordinal":3}"#,
            0xc8767da53e19b461,
        ),
        (
            Body::Setting(Setting {
                dnd: Some(Box::new(DndHours {
                    from: "22:00".into(),
                    to: "07:00".into(),
                    days: vec!["mon".into()],
                    time_zone: "UTC".into(),
                })),
                dnd_until: Some(0),
                ..Setting::default()
            }),
            "3010ea011ea201180a0532323a3030120530373a30301a036d6f6e2203555443a80100",
            r#""kind":"setting","dnd":{"from":"22:00","to":"07:00","days":["mon"],"time_zone":"UTC"},"dnd_until":0"#,
            0xcd94987a2cf72073,
        ),
        (
            Body::Draft(Draft {
                room: RoomId::new("team").expect("id"),
                version: 7,
                content: Some(Box::new(DraftText {
                    text: "hi".into(),
                    ranges: Vec::new(),
                    reply_to: Some(3),
                    thread: Some(2),
                })),
            }),
            "3011f201120a047465616d10071a080a02686918032002",
            r#""kind":"draft","room":"team","version":7,"text":"hi","reply_to":3,"thread":2"#,
            0x56fe28c1b2fca302,
        ),
        (
            Body::Relation(Relation { user: bob(), contact: Some(true), blocked: Some(false) }),
            "3019b202090a03626f6210011800",
            r#""kind":"relation","user":"bob","contact":true,"blocked":false"#,
            0xb117c657d8b902f2,
        ),
        (
            Body::Close(Close { closed: true, reason: None }),
            "301fe202020801",
            r#""kind":"close","closed":true"#,
            0x46918b42597f9177,
        ),
        (
            Body::Pin(Pin { target: 3 }),
            "300eda01020803",
            r#""kind":"pin","target":3"#,
            0xf668289a64b690c0,
        ),
        (
            Body::Unpin(Unpin { target: 3 }),
            "300fe201020803",
            r#""kind":"unpin","target":3"#,
            0x015130a3c79e245b,
        ),
        (
            Body::Update(Update {
                topic: Some("t".into()),
                join: Some(JoinRule::Open),
                write: Some(WriteRule::Admins),
                slow_mode_s: Some(30),
                members_max: Some(50),
                archived: Some(true),
                retention_days: None,
                file_days: None,
                avatar: None,
                previews: None,
            }),
            "3012fa010d0a017410021802201e28323001",
            r#""kind":"update","topic":"t","join":"open","write":"admins","slow_mode_s":30,"members_max":50,"archived":true"#,
            0xaa41430b6d045d45,
        ),
        (
            Body::Update(Update { retention_days: Some(7), ..Update::default() }),
            "3012fa01023807",
            r#""kind":"update","retention_days":7"#,
            0x3c8007df227fa737,
        ),
        (
            Body::Update(Update {
                avatar: Avatar::new("00000000010000000000000002").ok().map(Box::new),
                ..Update::default()
            }),
            "3012fa011c4a1a3030303030303030303130303030303030303030303030303032",
            r#""kind":"update","avatar":"00000000010000000000000002""#,
            0xb4c88b8d65079768,
        ),
        (
            Body::Update(Update { file_days: Some(7), ..Update::default() }),
            "3012fa01024007",
            r#""kind":"update","file_days":7"#,
            0x5669e44a6c727a9,
        ),
        (
            Body::Update(Update { previews: Some(false), ..Update::default() }),
            "3012fa0103f00200",
            r#""kind":"update","previews":false"#,
            0xf9cb5f630044b148,
        ),
        (
            Body::Preview(Preview {
                target: 3,
                edit: Some(5),
                link: Box::new(LinkPreview {
                    url: "https://w".into(),
                    title: "T".into(),
                    description: "d".into(),
                    site: "s".into(),
                    image: Some(PreviewImage {
                        id: "00000000010000000000000002".into(),
                        facts: Some(FileFacts {
                            name: "p.webp".into(),
                            size: 9,
                            ..FileFacts::default()
                        }),
                    }),
                }),
            }),
            "3025920344080310051a3e0a0968747470733a2f2f771201541a01642201732a280a1a3030303030303030303130303030303030303030303030303032120a0a06702e776562701009",
            r#""kind":"preview","target":3,"edit":5,"url":"https://w","title":"T","description":"d","site":"s","image":{"id":"00000000010000000000000002","name":"p.webp","size":9,"content_type":"","expires":0}"#,
            0xe5bc6f7402fe2abf,
        ),
        (
            Body::Unpreview(Unpreview { target: 3 }),
            "30269a03020803",
            r#""kind":"unpreview","target":3"#,
            0xb67376736aa4c2ce,
        ),
        (
            Body::Image(Image(Attachments {
                caption: Text {
                    text: "hi".into(),
                    extras: Extras { reply_to: Some(3), ..Extras::default() }.boxed(),
                },
                files: vec![attachment(Some(FileFacts {
                    name: "cat.png".into(),
                    size: 9,
                    content_type: "image/png".into(),
                    expires: 7,
                    width: Some(2),
                    height: Some(1),
                    thumbhash: Some("0a".into()),
                    ..FileFacts::default()
                }))],
            })),
            "30238203480a026869120210031a3e0a1a303030303030303030313030303030303030\
             303030303030303212200a076361742e706e6710091a09696d6167652f706e67200728\
             0230013a023061",
            r#""kind":"image","text":"hi","reply_to":3,"files":[{"id":"00000000010000000000000002","name":"cat.png","size":9,"content_type":"image/png","expires":7,"width":2,"height":1,"thumbhash":"0a"}]"#,
            0xbb716b74a214d0f7,
        ),
        (
            Body::File(File(Attachments {
                caption: Text::default(),
                files: vec![attachment(None)],
            })),
            "30248a031e1a1c0a1a3030303030303030303130303030303030303030303030303032",
            r#""kind":"file","text":"","files":[{"id":"00000000010000000000000002"}]"#,
            0x541b1d6deb4d9355,
        ),
        (
            Body::Schedule(Schedule {
                at: 9,
                message: Box::new(Text { text: "t".into(), ..Text::default() }),
                attached: None,
            }),
            "301cca0207080912033a0174",
            r#""kind":"schedule","at":9,"text":"t""#,
            0x4edfd0181e92b0a3,
        ),
        (
            Body::Unschedule(Unschedule { schedule: ClientId::from_parts(1, 2) }),
            "301dd2021c0a1a3030303030303030303130303030303030303030303030303032",
            r#""kind":"unschedule","schedule":"00000000010000000000000002""#,
            0x547c66c1587b00eb,
        ),
        (
            Body::Due(Due { schedule: ClientId::from_parts(1, 2), at: 9 }),
            "301eda021e0a1a30303030303030303031303030303030303030303030303030321009",
            r#""kind":"due","schedule":"00000000010000000000000002","at":9"#,
            0xe0195c7b802de9d1,
        ),
        (
            Body::Expire(Expire { hour: 7 }),
            "3020ea02020807",
            r#""kind":"expire","hour":7"#,
            0x1ec20c38cbb081f7,
        ),
        (
            Body::Update(Update { topic: Some("".into()), ..Update::default() }),
            "3012fa01020a00",
            r#""kind":"update","topic":"""#,
            0xb7211ec0420cc169,
        ),
        (
            Body::Ban(Ban { user: bob(), removed: true }),
            "30138202070a03626f621001",
            r#""kind":"ban","user":"bob","removed":true"#,
            0x00764b1c69f34cd4,
        ),
        (
            Body::Ban(Ban { user: bob(), removed: false }),
            "30138202050a03626f62",
            r#""kind":"ban","user":"bob""#,
            0xe2e535a554cbe9a0,
        ),
        (
            Body::Unban(Unban { user: bob() }),
            "30148a02050a03626f62",
            r#""kind":"unban","user":"bob""#,
            0xe6efb50b696d8d47,
        ),
        (Body::Join(Join { link: None }), "3015920200", r#""kind":"join""#, 0xf79401a0f0084bc5),
        (
            Body::Link(Link {
                link: LinkToken::new("0123456789012345678901").expect("a token"),
                expires_at: Some(9),
                uses: Some(5),
            }),
            "30169a021c0a163031323334353637383930313233343536373839303110091805",
            r#""kind":"link","link":"0123456789012345678901","expires_at":9,"uses":5"#,
            0x74de8f7e525c4a6e,
        ),
        (
            Body::Unlink(Unlink { link_id: LinkId::new(&"0a".repeat(16)).expect("an id") }),
            "3017a202220a203061306130613061306130613061306130613061306130613061306130613061",
            r#""kind":"unlink","link_id":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a""#,
            0xae43174692d222e6,
        ),
        (
            Body::Ask(Ask { text: Some("hi".into()), withdraw: false }),
            "301aba02040a026869",
            r#""kind":"ask","text":"hi""#,
            0x3cde58c8f43d5ca4,
        ),
        (
            Body::Ask(Ask { text: None, withdraw: true }),
            "301aba02021001",
            r#""kind":"ask","withdraw":true"#,
            0xb9348db40a9e46c4,
        ),
        (
            Body::Decline(Decline { user: bob() }),
            "301bc202050a03626f62",
            r#""kind":"decline","user":"bob""#,
            0x36111858843c2e11,
        ),
        (Body::Leave(Leave {}), "3006", r#""kind":"leave""#, 0xd23c81e7e023a8ca),
        (
            Body::ChangeRole(ChangeRole { user: bob(), role: Role::Owner }),
            "30075a03626f626003",
            r#""kind":"role","user":"bob","role":"owner""#,
            0x147d5b958715dcea,
        ),
    ]
}

const STORED: &str =
    "080710051a05616c696365221a303141525a334e44454b545356345252464651363947354641562880d095ffbc31";
const FRAME: &str = r#"{"type":"entry","room":"team","seq":7,"ordinal":5,"from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":1700000000000,"#;

#[test]
fn stored_bytes_frames_and_hashes_stay_what_they_were() {
    for (body, stored, json, hash) in kept() {
        let entry = Entry {
            room: RoomId::new("team").expect("id"),
            seq: 7,
            ordinal: 5,
            from: user("alice"),
            client_id: Some(ClientId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("id")),
            time_ms: 1_700_000_000_000,
            body,
        };
        let bytes = entry.to_stored();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("{STORED}{stored}"));
        assert_eq!(Entry::from_stored(entry.room.clone(), &bytes).expect("stored"), entry);
        let frame = String::from_utf8(entry.to_frame()).expect("utf8");
        assert_eq!(frame, format!("{FRAME}{json}}}"));
        // A command that is no entry may have fields of an entry's own.
        let read = Entry::from_frame(&frame);
        assert!(!entry.body.kind().is_entry || read.expect("frame") == entry);
        let body = entry.body;
        assert_eq!(String::from_utf8(body.to_json()).expect("utf8"), format!("{{{json}}}"));
        assert_eq!(Body::from_json(&body.to_json()).expect("json"), body);
        assert_eq!(body.content_hash(), hash, "{json}");
    }
}

/// The first release left out what has its first value: the number of a message, the history `all`,
/// the role `member`.
#[test]
fn entries_of_the_first_release_are_read() {
    let (member, all) = (Role::Member, History::All);
    let create = Create { title: "T".into(), members: vec![], history: all };
    for (body, stored) in [
        (Body::Text(Text { text: "hi".into(), ..Text::default() }), "3a026869"),
        (Body::Create(create), "3002420154"),
        (Body::Add(Add { user: user("bob"), role: member }), "30045a03626f62"),
        (Body::ChangeRole(ChangeRole { user: user("bob"), role: member }), "30075a03626f62"),
    ] {
        let bytes = hex::decode(format!("{STORED}{stored}")).expect("hex");
        let read = Entry::from_stored(RoomId::new("team").expect("id"), &bytes).expect(stored);
        assert_eq!(read.body, body);
    }
}

#[test]
fn each_kind_has_a_word_and_a_number_of_its_own() {
    for (at, kind) in ALL.iter().enumerate() {
        let others = || ALL.iter().skip(at + 1);
        assert!(others().all(|other| other.word != kind.word && other.number != kind.number));
        assert!(kept().iter().any(|(body, ..)| body.kind() == *kind), "{kind:?} is not pinned");
    }
}

#[test]
fn whom_an_entry_concerns() {
    let (alice, bob, cem) = (user("alice"), user("bob"), user("cem"));
    let create = Create {
        title: "T".into(),
        members: vec![alice.clone(), bob.clone(), cem.clone()],
        history: History::All,
    };
    let create = Body::Create(create);
    assert_eq!(create.users(&bob), [&bob, &alice, &cem]);
    assert_eq!(create.user(&bob), None);
    let leave = Body::Leave(Leave {});
    assert_eq!((leave.user(&bob), leave.users(&bob)), (Some(&bob), vec![&bob]));
    let remove = Body::Remove(Remove { user: cem.clone() });
    assert_eq!(remove.user(&bob), Some(&cem));
    assert_eq!(Body::message("x".into()).expect("text").users(&bob), Vec::<&UserId>::new());
}

#[test]
fn bad_bodies_have_stable_codes() {
    let not_utf8 = Body::from_json(b"{\"text\":\"\xc3\x28\"}").expect_err("not UTF-8");
    assert_eq!(not_utf8.code, ErrorCode::BadEncoding);
    assert_eq!(code("{"), ErrorCode::BadJson);
    assert_eq!(code("[]"), ErrorCode::BadRequest);
    assert_eq!(code(r#"["message","hi"]"#), ErrorCode::BadRequest);
    assert_eq!(code("{}"), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"text":""}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"text":7}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"dance"}"#), ErrorCode::UnknownType);
    assert_eq!(code(r#"{"kind":"add","user":"a.b"}"#), ErrorCode::BadId);
    assert_eq!(code(r#"{"kind":"add","user":"bob","role":"king"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"rename","title":"  "}"#), ErrorCode::BadRequest);
    let long = format!(r#"{{"kind":"ask","text":"{}"}}"#, "x".repeat(301));
    assert_eq!(code(&long), ErrorCode::TooLong);
    assert_eq!(code(r#"{"kind":"ask","text":"x","withdraw":true}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","topic":null,"join":null}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","join":"everybody"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","slow_mode_s":21601}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","retention_days":3651}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","file_days":3651}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","avatar":"cat.png"}"#), ErrorCode::BadId);
    assert!(Body::from_json(br#"{"kind":"update","avatar":""}"#).is_ok());
    assert_eq!(code(r#"{"kind":"preview","target":3,"title":"T"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"preview","target":3,"url":"https://w"}"#), ErrorCode::BadRequest);
    let long =
        format!(r#"{{"kind":"preview","target":3,"url":"u","title":"{}"}}"#, "x".repeat(201));
    assert_eq!(code(&long), ErrorCode::TooLong);
    assert_eq!(code(r#"{"kind":"unpreview"}"#), ErrorCode::BadRequest);
    let id = r#"{"id":"00000000010000000000000002"}"#;
    let file = |files: &str| format!(r#"{{"kind":"file","files":[{files}]}}"#);
    assert!(Body::from_json(file(id).as_bytes()).is_ok());
    assert_eq!(code(r#"{"kind":"image","text":"hi"}"#), ErrorCode::BadRequest);
    assert_eq!(code(&file("")), ErrorCode::BadRequest);
    assert_eq!(code(&file("{}")), ErrorCode::BadRequest);
    assert_eq!(code(&file(r#"{"id":"../x"}"#)), ErrorCode::BadId);
    assert_eq!(code(&file(&format!("{id},{id}"))), ErrorCode::BadRequest);
    let many: Vec<String> =
        (0..11).map(|n| format!(r#"{{"id":"000000000100000000000000{n:02}"}}"#)).collect();
    assert_eq!(code(&file(&many.join(","))), ErrorCode::BadRequest);
    assert!(Body::from_json(file(&many[..10].join(",")).as_bytes()).is_ok());
    assert_eq!(code(r#"{"kind":"update","members_max":1}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"update","members_max":100001}"#), ErrorCode::BadRequest);
    let topic = |chars: usize| format!(r#"{{"kind":"update","topic":"{}"}}"#, "한".repeat(chars));
    assert_eq!(code(&topic(1_001)), ErrorCode::TooLong);
    assert!(Body::from_json(topic(1_000).as_bytes()).is_ok());
    assert_eq!(code(r#"{"kind":"join","link":"short"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"link"}"#), ErrorCode::BadRequest);
    assert_eq!(code(&link(r#","uses":0"#)), ErrorCode::BadRequest);
    assert_eq!(code(&link(r#","uses":10001"#)), ErrorCode::BadRequest);
    assert_eq!(code(&link(r#","expires_at":0"#)), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"unlink","link_id":"x"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","delivered":0}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","read":"1"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","read":2,"unread_from":1}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","thread":1}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","thread":1,"read":2,"follow":true}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","thread":1,"delivered":2}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"mark","follow":true}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"relation","user":"bob"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"relation","contact":true}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"kind":"relation","user":"a.b","contact":true}"#), ErrorCode::BadId);
    assert_eq!(code(r#"{"kind":"relation","user":"bob","blocked":1}"#), ErrorCode::BadRequest);
}

fn link(more: &str) -> String {
    format!(r#"{{"kind":"link","link":"0123456789012345678901"{more}}}"#)
}

#[test]
fn what_is_kept_of_a_joining_has_no_link() {
    let json = r#"{"kind":"join","link":"0123456789012345678901"}"#;
    let body = Body::from_json(json.as_bytes()).expect(json);
    assert_eq!(body.to_json(), json.as_bytes());
    let mut stored = Vec::new();
    body.store(&mut stored);
    assert!(!stored.windows(4).any(|part| part == b"0123"));
    assert!(!format!("{body:?}").contains("0123"));
}

#[test]
fn a_field_without_a_value_is_not_there() {
    let read = |json: &str| Body::from_json(json.as_bytes()).expect(json);
    let create = r#"{"kind":"create","title":"T","members":null,"history":null}"#;
    assert_eq!(read(create), read(r#"{"kind":"create","title":"T"}"#));
    let add = Body::Add(Add { user: user("bob"), role: Role::Member });
    assert_eq!(read(r#"{"kind":"add","user":"bob","role":null,"text":7}"#), add);
}

#[test]
fn length_is_counted_in_characters() {
    assert!(Body::message("한".repeat(TEXT_CHARS_MAX)).is_ok());
    let error = Body::message("한".repeat(TEXT_CHARS_MAX + 1)).expect_err("too long");
    assert_eq!(error.code, ErrorCode::TooLong);
}
