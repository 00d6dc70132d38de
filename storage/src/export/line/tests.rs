use bytes::Bytes;
use weft_proto::presence::{Choice, Chosen};
use weft_proto::{Body, ClientId, DeviceId, History, Role, RoomId, UserId};

use super::*;
use crate::tables::account::Account;
use crate::tables::applied::Applied;
use crate::tables::dead_letter::{DeadLetter, Kept};
use crate::tables::device::Device;
use crate::tables::head::Head;
use crate::tables::journal::{Journal, JournalEntry};
use crate::tables::member::Member;
use crate::tables::resend::Resend;
use crate::tables::signing_key::SigningKey;

fn user(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

fn team() -> RoomId {
    RoomId::new("team").expect("id")
}

fn letter(payload: &'static [u8]) -> Line {
    let letter = DeadLetter {
        sender: "alice".into(),
        room: "Team".into(),
        is_json: true,
        reason: "a \"defect\"".into(),
        time_ms: 7,
        payload: Bytes::from_static(payload),
        ..DeadLetter::default()
    };
    Line::DeadLetter(Kept { partition: 1, stream_seq: 9, letter }.into())
}

fn entry() -> Entry {
    Entry {
        room: team(),
        seq: 2,
        ordinal: 1,
        from: user("alice"),
        client_id: Some(ClientId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("id")),
        time_ms: 7,
        body: Body::Message { text: "hi".into() },
    }
}

fn journal() -> Line {
    let row = JournalEntry { room: "team".into(), seq: 2, users: vec!["bob".into()] };
    let other = JournalEntry { room: "a~b".into(), seq: 1, users: Vec::new() };
    let row = Journal { entries: vec![row, other] };
    Line::Journal(JournalLine::new(1, 9, &row).expect("line"))
}

/// What docs/export.md says, with every field that can be left out once there and once not.
fn all() -> Vec<(Line, &'static str)> {
    let header = Header {
        format: "weft-export".into(),
        version: 3,
        weft: "0.1.0".into(),
        time: 7,
        store: 0xab,
        partitions: 4,
    };
    let trailer = Trailer { whole: true, counts: [("room".into(), 2)].into(), sha256: vec![1, 2] };
    let key = SigningKey { secret: vec![0, 255], created_ms: 7 };
    let bot = Account { is_bot: true, created_ms: 7, ..Account::default() };
    let person = Account { password_hash: "$x".into(), avatar: "y".into(), ..Account::default() };
    let device = (user("alice"), DeviceId::new("Phone").expect("id"));
    let gone = Device { refresh_expires_ms: 8, login_ms: 7, ..Device::default() };
    let here = Device { refresh_hash: vec![1], ..gone.clone() };
    let repeats =
        Device { family_hash: vec![2], repeat_hash: vec![3], repeat_until_ms: 9, ..here.clone() };
    let dnd =
        Chosen { choice: Choice::Dnd.into(), text: "lunch".into(), text_until_ms: 9, at_ms: 7 };
    let head = Head {
        seq: 2,
        ordinal: 1,
        time_ms: 7,
        title: "T".into(),
        history: History::Joined.into(),
        member_count: 1,
        owner_count: 1,
        large: true,
    };
    let direct = Head { seq: 1, ..Head::default() };
    let a_b = RoomId::new("a~b").expect("id");
    let member = Member::joined(Role::Owner, 1);
    let resend = Resend { seq: 2, content_hash: 0xab };
    let id = entry().client_id.expect("id");
    let applied = Applied { stream_seq: 9, published_up_to: 8, epoch: 3, ..Applied::default() };
    vec![
        (
            Line::Header(header),
            r#"{"type":"header","format":"weft-export","version":3,"weft":"0.1.0","time":7,"store":"00000000000000ab","partitions":4}"#,
        ),
        (
            Line::SigningKey(("k".into(), key).into()),
            r#"{"type":"signing_key","key":"k","secret":"00ff","created_at":7}"#,
        ),
        (
            Line::Account((user("bot"), bot).into()),
            r#"{"type":"account","user":"bot","display_name":"","is_bot":true,"created_at":7}"#,
        ),
        (
            Line::Account((user("alice"), person).into()),
            r#"{"type":"account","user":"alice","password_hash":"$x","display_name":"","avatar":"y","is_bot":false,"created_at":0}"#,
        ),
        (
            Line::Device((device.clone(), gone).into()),
            r#"{"type":"device","user":"alice","device":"Phone","refresh_expires_at":8,"login_at":7}"#,
        ),
        (
            Line::Device((device.clone(), here).into()),
            r#"{"type":"device","user":"alice","device":"Phone","refresh_hash":"01","refresh_expires_at":8,"login_at":7}"#,
        ),
        (
            Line::Device((device, repeats).into()),
            r#"{"type":"device","user":"alice","device":"Phone","refresh_hash":"01","refresh_expires_at":8,"login_at":7,"family_hash":"02","repeat_hash":"03","repeat_until":9}"#,
        ),
        (
            Line::Chosen(ChosenLine::new(user("alice"), dnd).expect("line")),
            r#"{"type":"chosen","user":"alice","choice":"dnd","text":"lunch","text_until":9,"chosen_at":7}"#,
        ),
        (
            Line::Chosen(ChosenLine::new(user("bob"), Chosen::default()).expect("line")),
            r#"{"type":"chosen","user":"bob","choice":"online","chosen_at":0}"#,
        ),
        (
            Line::LastActive(LastActiveLine { user: user("alice"), last_active: 7 }),
            r#"{"type":"last_active","user":"alice","last_active":7}"#,
        ),
        (
            Line::Room(RoomLine::new(team(), head).expect("line")),
            r#"{"type":"room","room":"team","seq":2,"ordinal":1,"time":7,"title":"T","history":"joined","member_count":1,"owner_count":1,"large":true}"#,
        ),
        (
            Line::Room(RoomLine::new(a_b, direct).expect("line")),
            r#"{"type":"room","room":"a~b","seq":1,"ordinal":0,"time":0,"history":"all","member_count":0,"owner_count":0,"large":false}"#,
        ),
        (
            Line::Member(MemberLine::new(team(), user("alice"), &member)),
            r#"{"type":"member","room":"team","user":"alice","role":"owner","since":1}"#,
        ),
        (
            Line::Member(MemberLine::new(team(), user("bob"), &member.left(2))),
            r#"{"type":"member","room":"team","user":"bob","since":1,"until":2}"#,
        ),
        (
            Line::Entry(Box::new(entry())),
            r#"{"type":"entry","room":"team","seq":2,"ordinal":1,"from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":7,"kind":"message","text":"hi"}"#,
        ),
        (
            Line::Resend(ResendLine::new(&entry(), &id, &resend)),
            r#"{"type":"resend","room":"team","from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","seq":2,"content_hash":"00000000000000ab"}"#,
        ),
        (
            letter(b"{}"),
            r#"{"type":"dead_letter","partition":1,"stream_seq":9,"time":7,"sender":"alice","room":"Team","outside":false,"json":true,"reason":"a \"defect\"","payload":"{}"}"#,
        ),
        (
            letter(b"\xff\n"),
            r#"{"type":"dead_letter","partition":1,"stream_seq":9,"time":7,"sender":"alice","room":"Team","outside":false,"json":true,"reason":"a \"defect\"","payload_hex":"ff0a"}"#,
        ),
        (
            Line::Partition(PartitionLine::new(1, &applied)),
            r#"{"type":"partition","partition":1,"epoch":3,"applied":9,"published":8,"floor_hour":0,"loss_accepted":false}"#,
        ),
        (
            journal(),
            r#"{"type":"journal","partition":1,"stream_seq":9,"entries":[{"room":"team","seq":2,"users":["bob"]},{"room":"a~b","seq":1}]}"#,
        ),
        (
            Line::Trailer(trailer),
            r#"{"type":"trailer","whole":true,"counts":{"room":2},"sha256":"0102"}"#,
        ),
    ]
}

#[test]
fn the_bytes_of_lines_are_fixed_and_are_read_back() {
    for (line, text) in all() {
        assert_eq!(String::from_utf8(line.text()).expect("text"), text);
        assert!(text.starts_with(&format!("{{\"type\":\"{}\"", line.name())), "{text}");
        let read = Line::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(read == line, "{text}");
    }
}

#[test]
fn a_field_more_or_less_is_refused() {
    for (_, text) in all() {
        let more = text.replacen("\",", "\",\"mood\":\"sad\",", 1);
        assert!(Line::parse(&more).is_err(), "{more}");
        let value: serde_json::Value = serde_json::from_str(text).expect("json");
        let required = value.as_object().expect("object").keys().filter(|key| {
            let left_out = [
                "password_hash",
                "avatar",
                "refresh_hash",
                "family_hash",
                "repeat_hash",
                "repeat_until",
                "text_until",
                "title",
                "role",
                "until",
                "client_id",
            ];
            let is_text = *key == "text" && value["type"] == "chosen";
            !left_out.contains(&key.as_str()) && !key.starts_with("payload") && !is_text
        });
        for key in required {
            let mut less = value.clone();
            less.as_object_mut().expect("object").remove(key);
            assert!(Line::parse(&less.to_string()).is_err(), "{less}");
        }
    }
}
