use bytes::Bytes;
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::kind::{DndHours, HiddenAt};
use weft_proto::kind::{DraftText, Text};
use weft_proto::limits::TEXT_CHARS_MAX;
use weft_proto::notify::Notify;
use weft_proto::presence::{Choice, PresenceSettings};
use weft_proto::sign_up::SignUpMode;
use weft_proto::svc::WrittenMessages;
use weft_proto::{Body, ClientId, DeviceId, History, JoinRule, Role, WriteRule};

use super::*;
use crate::tables::account::Account;
use crate::tables::admin_log::AdminLog;
use crate::tables::applied::Applied;
use crate::tables::dead_letter::DeadLetter;
use crate::tables::device::Device;
use crate::tables::draft::{Draft, Kept};
use crate::tables::installation::Installation;
use crate::tables::invitation::Invitation;
use crate::tables::journal::{Journal, JournalEntry, JournalMark};
use crate::tables::last_active::LastActive;
use crate::tables::link::Link;
use crate::tables::mark::Mark;
use crate::tables::relation::Relation;
use crate::tables::report::Report;
use crate::tables::sent::Sent;
use crate::tables::setting::Setting;
use crate::tables::signing_key::SigningKey;
use crate::tables::table::{Table, line};

fn user(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

fn team() -> RoomId {
    RoomId::new("team").expect("id")
}

fn read(text: &str) -> ExportLine {
    ExportLine::parse(text, VERSION).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The bytes of a line are fixed, and what is stored for it is what is read from it.
fn row<T: Table>(key: T::Key, row: T::Row, text: &str) {
    assert_eq!(String::from_utf8(line(T::NAME, &key, &row)).expect("text"), text);
    let ExportLine::Row(read) = read(text) else { panic!("{text}") };
    assert_eq!((read.tag, read.pairs), (T::TAG, T::pairs(&key, &row)), "{text}");
    assert_eq!(read.key, T::key(&key), "{text}");
    is_refused_with_more_or_less(text);
}

fn is_refused_with_more_or_less(text: &str) {
    for more in [
        text.replacen("{\"type\"", "{\"mood\":\"sad\",\"type\"", 1),
        text.replacen("\"row\":{", "\"row\":{\"mood\":\"sad\",", 1),
    ] {
        assert!(more == text || ExportLine::parse(&more, VERSION).is_err(), "{more}");
    }
    let value: serde_json::Value = serde_json::from_str(text).expect("json");
    for name in value.as_object().expect("object").keys().filter(|name| *name != "client_id") {
        let mut less = value.clone();
        less.as_object_mut().expect("object").remove(name);
        assert!(ExportLine::parse(&less.to_string(), VERSION).is_err(), "{less}");
    }
}

#[test]
fn lines_of_people() {
    row::<Account>(
        user("alice"),
        Account { password_hash: "$x".into(), created_ms: 7, ..Account::default() },
        r#"{"type":"account","key":"alice","row":{"password_hash":"$x","display_name":"","avatar":"","is_bot":false,"created_ms":7,"is_admin":false,"suspended_ms":0,"one_time_until_ms":0,"about":"","profile_version":0,"deleted_ms":0}}"#,
    );
    row::<Device>(
        (user("alice"), DeviceId::new("Phone").expect("id")),
        Device { refresh_hash: vec![1, 0xff], login_ms: 7, ..Device::default() },
        r#"{"type":"device","key":["alice","Phone"],"row":{"refresh_hash":"01ff","refresh_expires_ms":0,"login_ms":7,"family_hash":"","repeat_hash":"","repeat_until_ms":0}}"#,
    );
    row::<SigningKey>(
        "k".to_owned().try_into().expect("name"),
        SigningKey { secret: vec![0, 255], created_ms: 7 },
        r#"{"type":"signing_key","key":"k","row":{"secret":"00ff","created_ms":7}}"#,
    );
    row::<PresenceSettings>(
        user("alice"),
        PresenceSettings {
            choice: Choice::Dnd.into(),
            text: "lunch".into(),
            text_until_ms: 9,
            at_ms: 7,
        },
        r#"{"type":"presence_settings","key":"alice","row":{"choice":"dnd","text":"lunch","text_until_ms":9,"at_ms":7}}"#,
    );
    row::<LastActive>(
        user("alice"),
        LastActive(7),
        r#"{"type":"last_active","key":"alice","row":7}"#,
    );
}

#[test]
fn lines_of_administrators() {
    row::<AdminLog>(
        (7, 9),
        AdminLog { by: "root".into(), action: "suspend".into(), seq: 2, ..AdminLog::default() },
        r#"{"type":"admin_log","key":[7,9],"row":{"by":"root","action":"suspend","user":"","room":"","seq":2,"reason":"","invitation":""}}"#,
    );
    row::<Report>(
        (user("bob"), (team(), 2)),
        Report { time_ms: 7, reason: "spam".into(), from: "alice".into() },
        r#"{"type":"report","key":["bob",["team",2]],"row":{"time_ms":7,"reason":"spam","from":"alice"}}"#,
    );
    row::<Installation>(
        String::new().try_into().expect("name"),
        Installation {
            sign_up: SignUpMode::Closed.into(),
            add_by: AddBy::Known.into(),
            strangers: Strangers::Request.into(),
            messages: WrittenMessages::Empty.into(),
        },
        r#"{"type":"installation","key":"","row":{"sign_up":"closed","add_by":"known","strangers":"request","messages":"empty"}}"#,
    );
    row::<Invitation>(
        "00ff".to_owned().try_into().expect("name"),
        Link { by: "root".into(), made_ms: 7, expires_ms: 9, uses_max: 3, used: 2 },
        r#"{"type":"invitation","key":"00ff","row":{"by":"root","made_ms":7,"expires_ms":9,"uses_max":3,"used":2}}"#,
    );
}

#[test]
fn lines_of_marks() {
    row::<Sent>(
        (team(), user("alice")),
        Sent { seq: 7, ordinal: 5 },
        r#"{"type":"sent","key":["team","alice"],"row":{"seq":7,"ordinal":5}}"#,
    );
    row::<Mark>(
        (team(), user("alice")),
        Mark { read: 7, read_ordinal: 5, unread_from: 3, unread_at: 8, ..Mark::default() },
        r#"{"type":"mark","key":["team","alice"],"row":{"read":7,"read_ordinal":5,"delivered":0,"unread_from":3,"unread_ordinal":0,"unread_at":8}}"#,
    );
}

#[test]
fn lines_of_relations() {
    row::<Relation>(
        (user("bob"), user("ann")),
        Relation { contact: true, blocked: false },
        r#"{"type":"relation","key":["bob","ann"],"row":{"contact":true,"blocked":false}}"#,
    );
}

#[test]
fn lines_of_settings() {
    row::<Setting>(
        (user("alice"), team()),
        Setting {
            muted_until_ms: 7,
            pinned: true,
            receipts_off: true,
            add_by: AddBy::Known.into(),
            strangers: Strangers::Request.into(),
            dnd: Some(DndHours {
                from: "22:00".into(),
                to: "07:00".into(),
                days: vec!["sun".into()],
                time_zone: "Asia/Seoul".into(),
            }),
            hidden: Some(HiddenAt { seq: 5, ordinal: 3 }),
            dnd_until_ms: 8,
            notify: Notify::Mentions.into(),
        },
        r#"{"type":"setting","key":["alice","team"],"row":{"muted_until_ms":7,"pinned":true,"receipts_off":true,"add_by":"known","strangers":"request","dnd":{"from":"22:00","to":"07:00","days":["sun"],"time_zone":"Asia/Seoul"},"hidden":{"seq":5,"ordinal":3},"dnd_until_ms":8,"notify":"mentions"}}"#,
    );
}

#[test]
fn lines_of_drafts() {
    let key = || (user("alice"), team());
    row::<Draft>(
        key(),
        Kept { version: 9, time_ms: 7, content: None },
        r#"{"type":"draft","key":["alice","team"],"row":{"version":9,"time_ms":7,"content":null}}"#,
    );
    let content = DraftText { text: "né".into(), thread: Some(2), ..DraftText::default() };
    row::<Draft>(
        key(),
        Kept { version: 9, time_ms: 7, content: Some(content) },
        r#"{"type":"draft","key":["alice","team"],"row":{"version":9,"time_ms":7,"content":{"text":"né","thread":2}}}"#,
    );
    let long = "x".repeat(TEXT_CHARS_MAX + 1);
    let line = format!(
        r#"{{"type":"draft","key":["alice","team"],"row":{{"version":9,"time_ms":7,"content":{{"text":"{long}"}}}}}}"#
    );
    assert!(ExportLine::parse(&line, VERSION).is_err());
}

#[test]
fn lines_of_partitions() {
    let letter = DeadLetter { reason: "a \"defect\"".into(), is_json: true, ..Default::default() };
    row::<DeadLetter>(
        (1, 9),
        DeadLetter { payload: Bytes::from_static(b"{}"), ..letter.clone() },
        r#"{"type":"dead_letter","key":[1,9],"row":{"sender":"","room":"","client_id":null,"is_outsider":false,"is_json":true,"reason":"a \"defect\"","time_ms":0,"payload":{"text":"{}"}}}"#,
    );
    row::<DeadLetter>(
        (1, 9),
        DeadLetter { payload: Bytes::from_static(b"\xff\n"), ..letter },
        r#"{"type":"dead_letter","key":[1,9],"row":{"sender":"","room":"","client_id":null,"is_outsider":false,"is_json":true,"reason":"a \"defect\"","time_ms":0,"payload":{"hex":"ff0a"}}}"#,
    );
    let applied = Applied::default();
    row::<Applied>(
        1,
        Applied { stream_seq: 9, published_up_to: 8, epoch: 3, commit_no: Some(7), ..applied },
        r#"{"type":"applied","key":1,"row":{"stream_seq":9,"owner":"","epoch":3,"batch_id":"","published_up_to":8,"floor_hour":0,"loss_accepted":false,"commit_no":7,"trimmed_up_to":0}}"#,
    );
    let (users, kind, from) = (vec!["bob".into()], "add".into(), "alice".into());
    let entry = JournalEntry { room: "team".into(), seq: 2, users, kind, from };
    let mark = JournalMark { room: "team".into(), user: "bob".into(), thread: 2, own: true };
    row::<Journal>(
        (1, 9),
        Journal {
            entries: vec![entry],
            stream_seq: 8,
            time_ms: 7,
            marks: vec![mark],
            settings: Vec::new(),
            drafts: Vec::new(),
            relations: Vec::new(),
            scheduled: Vec::new(),
            invitations: Vec::new(),
            sights: Vec::new(),
        },
        r#"{"type":"journal","key":[1,9],"row":{"entries":[{"room":"team","seq":2,"users":["bob"],"kind":"add","from":"alice"}],"stream_seq":8,"time_ms":7,"marks":[{"room":"team","user":"bob","thread":2,"own":true}],"settings":[],"drafts":[],"relations":[],"scheduled":[],"invitations":[],"sights":[]}}"#,
    );
}

#[test]
fn lines_of_rooms() {
    let head = Head {
        seq: 2,
        ordinal: 1,
        time_ms: 7,
        title: "T".into(),
        history: History::Joined.into(),
        member_count: 1,
        owner_count: 1,
        large: true,
        first_seq: 3,
        preview_seq: 2,
        topic: "tea".into(),
        join: JoinRule::Open.into(),
        write: WriteRule::Admins.into(),
        slow_mode_s: 5,
        members_limit: 50,
        archived: true,
        retention_days: 7,
        expiry_hour: 9,
        expired_ordinal: 1,
        closed: true,
        file_days: 3,
        avatar: "a".into(),
        previews_off: true,
    };
    let text = r#"{"type":"room","key":"team","row":{"seq":2,"ordinal":1,"time_ms":7,"title":"T","history":"joined","member_count":1,"owner_count":1,"large":true,"first_seq":3,"preview_seq":2,"topic":"tea","join":"open","write":"admins","slow_mode_s":5,"members_limit":50,"archived":true,"retention_days":7,"expiry_hour":9,"expired_ordinal":1,"closed":true,"file_days":3,"avatar":"a","previews_off":true}}"#;
    assert_eq!(line("room", &team(), &head), text.as_bytes());
    let ExportLine::Room(room) = read(text) else { panic!("{text}") };
    assert_eq!((room.key, room.row), (team(), head));
    is_refused_with_more_or_less(text);

    let member = Member::joined(Role::Owner, 1);
    let key = (team(), user("alice"));
    for (member, text) in [
        (
            member.clone(),
            r#"{"type":"member","key":["team","alice"],"row":{"role":"owner","since_seq":1,"until_seq":0,"earlier":[],"is_whole":true,"wrote_ms":0}}"#,
        ),
        (
            member.left(2),
            r#"{"type":"member","key":["team","alice"],"row":{"role":0,"since_seq":1,"until_seq":2,"earlier":[],"is_whole":true,"wrote_ms":0}}"#,
        ),
    ] {
        assert_eq!(String::from_utf8(line("member", &key, &member)).expect("text"), text);
        let ExportLine::Member(line) = read(text) else { panic!("{text}") };
        assert_eq!((line.key, line.row), (key.clone(), member));
        is_refused_with_more_or_less(text);
    }

    let entry = Entry {
        room: team(),
        seq: 2,
        ordinal: 1,
        from: user("alice"),
        client_id: Some(ClientId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("id")),
        time_ms: 7,
        body: Body::Text(Text { text: "hi".into(), ..Text::default() }),
    };
    let text = r#"{"type":"entry","room":"team","seq":2,"ordinal":1,"from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":7,"kind":"message","text":"hi"}"#;
    assert_eq!(entry.to_frame(), text.as_bytes());
    let ExportLine::Entry(line) = read(text) else { panic!("{text}") };
    assert_eq!(*line, entry);
    is_refused_with_more_or_less(text);
}

#[test]
fn lines_of_their_own_form() {
    let header = Header {
        format: "weft-export".into(),
        version: VERSION,
        weft: "0.1.0".into(),
        time: 7,
        store: 0xab,
        partitions: 4,
    };
    let resend = ResendLine {
        room: team(),
        from: user("alice"),
        client_id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
        seq: 2,
        content_hash: 0xab,
        invited: Vec::new(),
    };
    let trailer = Trailer { whole: true, counts: [("room".into(), 2)].into(), sha256: vec![1, 2] };
    for (plain, text) in [
        (
            Plain::Header(header),
            r#"{"type":"header","format":"weft-export","version":6,"weft":"0.1.0","time":7,"store":"00000000000000ab","partitions":4}"#,
        ),
        (
            Plain::Resend(resend),
            r#"{"type":"resend","room":"team","from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","seq":2,"content_hash":"00000000000000ab"}"#,
        ),
        (
            Plain::Trailer(trailer),
            r#"{"type":"trailer","whole":true,"counts":{"room":2},"sha256":"0102"}"#,
        ),
    ] {
        assert_eq!(String::from_utf8(plain.text()).expect("text"), text);
        assert!(text.starts_with(&format!("{{\"type\":\"{}\"", read(text).name())), "{text}");
        let value: serde_json::Value = serde_json::from_str(text).expect("json");
        for name in value.as_object().expect("object").keys() {
            let mut less = value.clone();
            less.as_object_mut().expect("object").remove(name);
            assert!(ExportLine::parse(&less.to_string(), VERSION).is_err(), "{less}");
        }
        let more = text.replacen("{\"type\"", "{\"mood\":\"sad\",\"type\"", 1);
        assert!(ExportLine::parse(&more, VERSION).is_err(), "{more}");
    }
}

#[test]
fn a_name_with_a_zero_byte_is_refused() {
    let text = r#"{"type":"signing_key","key":"k\u0000","row":{"secret":"00ff","created_ms":7}}"#;
    assert!(ExportLine::parse(text, VERSION).is_err());
}

#[test]
fn each_table_has_a_name_of_its_own_and_is_in_the_docs() {
    let docs = include_str!("../../../docs/export.md");
    let mut names: Vec<&str> = Tag::all().map(Tag::name).collect();
    names.extend(["header", "trailer"]);
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "two tables with one name");
    for tag in Tag::all() {
        let line = match tag.carried() {
            Carried::Not(name, why) => {
                assert!(!why.is_empty());
                format!("{name}: {why}")
            }
            _ => format!("| `{}` |", tag.name()),
        };
        assert!(docs.contains(&line), "docs/export.md does not say {line:?}");
    }
}
