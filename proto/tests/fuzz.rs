//! Whatever bytes come: words are read or refused, never more.

use weft_fuzz::run;
use weft_proto::frame::{error_in, parse_request, with_id};
use weft_proto::presence::Presence;
use weft_proto::svc::{self, Method, decode_reply, decode_request, encode_reply, encode_request};
use weft_proto::{Body, ChangeHead, ClientId, Cursor, EventHead, Position, RoomId, Tick, UserId};

const FRAMES: [&[u8]; 11] = [
    br#"{"id":1,"type":"hello","token":"a.b.c","cursor":"0000000000000001.000000000000000100000001","presence":true}"#,
    r#"{"id":2,"type":"send","room":"alice~bob","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"안녕 \ud83d\ude00"}"#.as_bytes(),
    br#"{"id":3,"type":"send","room":"team","client_id":"018f4e2a-7b3c-7d4e-8f5a-6b7c8d9e0f1a","kind":"create","title":"T","members":["a","b"],"history":"joined"}"#,
    br#"{"id":4,"type":"history","room":"team","before":9007199254740991,"limit":200}"#,
    br#"{"id":5,"type":"rooms","after":"team","limit":1}"#,
    br#"{"id":6,"type":"presence.watch","users":["a","b"],"room":"team"}"#,
    br#"{"id":7,"type":"presence.set","status":"dnd","text":"x","text_until":1790000000000}"#,
    br#"{"type":"error","error":{"code":"resend_in_order","message":"m","temporary":true,"retry_after_ms":1}}"#,
    br#"{"kind":"add","user":"bob","role":"admin"}"#,
    br#"{"kind":"mark","read":7,"delivered":9}"#,
    br#"{"user":"bob","status":"away","text":"x","last_active":1,"version":2}"#,
];

const WORDS: [&[u8]; 8] = [
    b"0000000000000007.000000000000000100000001",
    b"team 7 message 000000000000000100000001 000000000000000100000000 -",
    b"alice~bob 1 message 000000000000000100000001 - bob",
    b"mark/alice~bob/bob 000000000000000100000001",
    b"01ARZ3NDEKTSV4RRFFQ69G5FAV",
    b"018f4e2a-7b3c-7d4e-8f5a-6b7c8d9e0f1a",
    b"alice~bob",
    "한글".as_bytes(),
];

#[test]
fn frames() {
    run("frames", &FRAMES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(bad) = parse_request(&text) {
            assert!(!bad.error.temporary, "what is malformed stays so: {}", bad.error);
        }
        let _ = error_in(bytes);
        let _ = with_id(7, bytes);
        if let Ok(body) = Body::from_json(bytes) {
            assert_eq!(Body::from_json(&body.to_json()).expect("its own words"), body);
            let _ = body.content_hash();
        }
        let _ = Presence::from_json(bytes);
    });
}

#[test]
fn ids_cursors_and_heads() {
    run("words", &WORDS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(cursor) = text.parse::<Cursor>() {
            assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }
        if let Ok(head) = text.parse::<EventHead>() {
            assert_eq!(head.to_string().parse::<EventHead>().expect("its own words"), head);
        }
        if let Ok(head) = text.parse::<ChangeHead>() {
            assert_eq!(head.to_string().parse::<ChangeHead>().expect("its own words"), head);
        }
        if let Ok(id) = ClientId::parse(&text) {
            let _ = (id.hour(), id.time_ms(), id.to_bytes());
        }
        if let Ok(room) = RoomId::new(&text) {
            let _ = (room.kind(), room.direct_users());
        }
        let _ = (UserId::new(&text), text.parse::<Position>(), Position::from_slice(bytes));
        let _ = Tick::decode(bytes);
    });
}

fn both<M: Method>(bytes: &[u8])
where
    M::Reply: PartialEq,
{
    if let Ok(request) = decode_request::<M>(bytes) {
        let again = decode_request::<M>(&encode_request(&request)).expect("its own words");
        assert!(encode_request(&again) == encode_request(&request), "{}", M::METHOD);
    }
    if let Ok(reply) = decode_reply::<M::Reply>(bytes) {
        assert!(decode_reply::<M::Reply>(&encode_reply(&Ok(reply))).is_ok(), "{}", M::METHOD);
    }
}

#[test]
fn requests_and_replies() {
    let login = svc::Login {
        user: "alice".into(),
        password: "hunter22".into(),
        device: "phone".into(),
        network: "192.0.2.1".into(),
        ..svc::Login::default()
    };
    let read = svc::ReadLog {
        token: "t".into(),
        room: "team".into(),
        after: Some(7),
        after_position: Some(vec![0; 12]),
        ..svc::ReadLog::default()
    };
    let room = svc::ChangedRoom { room: "team".into(), seq: 7, ..svc::ChangedRoom::default() };
    let change = svc::Change { head: "marks/team -".into(), ..svc::Change::default() };
    let (rooms, changes) = (vec![room], vec![change]);
    let page = svc::AuditPage { rooms, changes, ..svc::AuditPage::default() };
    let seeds = [encode_request(&login), encode_request(&read), encode_reply(&Ok(page))];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    run("requests and replies", &seeds, |bytes| {
        both::<svc::Signup>(bytes);
        both::<svc::Login>(bytes);
        both::<svc::CheckLogins>(bytes);
        both::<svc::GetKeys>(bytes);
        both::<svc::Logout>(bytes);
        both::<svc::DeleteAccount>(bytes);
        both::<svc::ListDevices>(bytes);
        both::<svc::SetPush>(bytes);
        both::<svc::SetProfile>(bytes);
        both::<svc::ListRooms>(bytes);
        both::<svc::ListMembers>(bytes);
        both::<svc::ListReceipts>(bytes);
        both::<svc::ListDrafts>(bytes);
        both::<svc::ReadLog>(bytes);
        both::<svc::Sync>(bytes);
        both::<svc::ReadVersions>(bytes);
        both::<svc::ListReactions>(bytes);
        both::<svc::ListPins>(bytes);
        both::<svc::ListThreads>(bytes);
        both::<svc::Audit>(bytes);
        both::<svc::GetPresence>(bytes);
        both::<svc::ChooseStatus>(bytes);
        both::<svc::LoadStatuses>(bytes);
        both::<svc::NoteActive>(bytes);
        both::<svc::AreVisible>(bytes);
    });
}
