use super::*;
use crate::ids::UserId;
use crate::presence::Choice;
use crate::svc;

fn refused(text: &str) -> (Option<u64>, ErrorCode) {
    let bad = parse_request(text).expect_err(text);
    (bad.id, bad.error.code)
}

#[test]
fn a_send_is_read() {
    let text = r#"{"id":3,"type":"send","room":"alice~bob","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"h\u00e9"}"#;
    let (id, request) = parse_request(text).expect("parse");
    assert_eq!(id, 3);
    let Request::Send { room, body, .. } = request else { panic!("not a send") };
    assert_eq!(room.expect("a room").as_str(), "alice~bob");
    assert_eq!(body, Body::message("hé".into()).expect("text"));
}

#[test]
fn only_a_create_may_leave_the_room_out() {
    let send = |fields: &str| {
        format!(r#"{{"id":3,"type":"send","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV",{fields}}}"#)
    };
    let create = send(r#""kind":"create","title":"T""#);
    let (_, request) = parse_request(&create).expect("parse");
    assert!(matches!(request, Request::Send { room: None, .. }), "{request:?}");
    assert_eq!(refused(&send(r#""text":"x""#)), (Some(3), ErrorCode::BadRequest));
}

#[test]
fn what_is_read_at_once_is_read_as_any_frame_is() {
    let good = r#"{"id":3,"type":"send","room":"a~b","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"h\u00e9"}"#;
    let long = format!(r#""text":"{}""#, "x".repeat(crate::limits::TEXT_CHARS_MAX + 1));
    let deep = format!(r#""new":{}{}"#, "[".repeat(200), "]".repeat(200));
    let mut at_once = 0;
    for (old, new) in [
        ("{", "{"),
        ("{", " {"),
        ("{", r#"{"kind":"message","#),
        ("{", r#"{"kind":null,"#),
        ("{", r#"{"new":[{"id":7}],"#),
        ("send", r"s\u0065nd"),
        ("{", r#"{"kind":"edit","target":1,"#),
        ("{", r#"{"reply_to":1,"#),
        ("{", r#"{"kind":7,"#),
        ("{", r#"{"id":3,"#),
        ("{", r#"{"text":"again","#),
        ("{", &format!("{{{deep},")),
        (r#""id":3"#, r#""id":0"#),
        (r#""id":3"#, r#""id":9007199254740992"#),
        ("send", "ping"),
        ("a~b", "b~a"),
        ("01AR", "91AR"),
        (r#""h\u00e9""#, r#""""#),
        (r#""h\u00e9""#, "null"),
        (r#""text":"h\u00e9""#, &long),
        (r"\u00e9", r"\ud800"),
        ("}", "}}"),
    ] {
        let text = good.replacen(old, new, 1);
        let Some(read) = send::read_message(&text) else { continue };
        assert_eq!(read_any(&text).expect(&text), read);
        at_once += 1;
    }
    assert_eq!(at_once, 5);
}

#[test]
fn bad_frames_name_their_id_and_a_stable_code() {
    assert_eq!(refused("nonsense"), (None, ErrorCode::BadJson));
    assert_eq!(refused("[]"), (None, ErrorCode::BadRequest));
    let list = format!(r#"[1,"ping"{}]"#, ",null".repeat(19));
    assert_eq!(refused(&list), (None, ErrorCode::BadRequest));
    assert_eq!(refused("[7,8]"), (None, ErrorCode::BadRequest));
    assert_eq!(refused("{}"), (None, ErrorCode::BadRequest));
    assert_eq!(refused(r#"{"id":0,"type":"ping"}"#), (None, ErrorCode::BadRequest));
    assert_eq!(refused(r#"{"id":"x","type":"ping"}"#), (None, ErrorCode::BadRequest));
    assert_eq!(refused(r#"{"id":1}"#), (Some(1), ErrorCode::BadRequest));
    assert_eq!(refused(r#"{"id":1,"type":7}"#), (Some(1), ErrorCode::BadRequest));
    assert_eq!(refused(r#"{"id":1,"type":"fly"}"#), (Some(1), ErrorCode::UnknownType));
    assert_eq!(refused(r#"{"id":1,"type":"send"}"#), (Some(1), ErrorCode::BadRequest));
    assert_eq!(
        refused(r#"{"id":1,"type":"send","room":"a.b","client_id":"x","text":"y"}"#),
        (Some(1), ErrorCode::BadId)
    );
    assert_eq!(
        refused(r#"{"id":1,"type":"send","room":"a","client_id":"x","text":"y"}"#),
        (Some(1), ErrorCode::BadClientId)
    );
    assert_eq!(
        refused(r#"{"id":1,"type":"history","room":"a","before":1,"after":2}"#),
        (Some(1), ErrorCode::BadRequest)
    );
    for nothing in [
        r#""history","room":"a","before":0"#,
        r#""history","room":"a","around":0"#,
        r#""history","room":"a","thread":0"#,
        r#""history","room":"a","around":1,"at":2"#,
        r#""rooms","limit":0"#,
        r#""versions","room":"a""#,
        r#""versions","room":"a","target":0"#,
        r#""reactions","room":"a","target":1"#,
        r#""reactions","room":"a","target":1,"emoji":"a b""#,
    ] {
        let text = format!(r#"{{"id":1,"type":{nothing}}}"#);
        assert_eq!(refused(&text), (Some(1), ErrorCode::BadRequest));
    }
}

#[test]
fn requests_about_a_message_are_read() {
    let read = |text: &str| match parse_request(text).expect(text).1 {
        Request::Query(query) => query,
        other => panic!("{other:?}"),
    };
    let room = || RoomId::new("a").expect("id");
    assert_eq!(
        read(r#"{"id":1,"type":"versions","room":"a","target":2}"#),
        Query::Versions { room: room(), target: 2, after: 0 }
    );
    assert_eq!(
        read(r#"{"id":1,"type":"reactions","room":"a","target":2,"emoji":"+","after":"bob"}"#),
        Query::Reactions {
            room: room(),
            target: 2,
            emoji: "+".into(),
            after: "bob".into(),
            limit: 0
        }
    );
    assert_eq!(
        read(r#"{"id":1,"type":"pins","room":"a","before":9}"#),
        Query::Pins { room: room(), before: 9, limit: 0 }
    );
    for (place, from) in [
        ("", HistoryFrom::Before(0)),
        (r#","around":7"#, HistoryFrom::Around(7)),
        (r#","at":0"#, HistoryFrom::At(0)),
    ] {
        let text = format!(r#"{{"id":1,"type":"history","room":"a"{place}}}"#);
        assert_eq!(read(&text), Query::History { room: room(), thread: None, from, limit: 0 });
    }
    let (thread, from) = (Some(3), HistoryFrom::Before(0));
    assert_eq!(
        read(r#"{"id":1,"type":"history","room":"a","thread":3}"#),
        Query::History { room: room(), thread, from, limit: 0 }
    );
}

#[test]
fn requests_about_presence_are_read() {
    let read = |text: &str| parse_request(text).map(|(_, request)| request);
    let user = |name| UserId::new(name).expect("id");
    assert_eq!(
        read(r#"{"id":1,"type":"presence.watch","users":["bob"],"room":"team"}"#).expect("read"),
        Request::Presence(PresenceRequest::Watch(Users {
            users: vec![user("bob")],
            room: Some(RoomId::new("team").expect("id")),
        }))
    );
    assert_eq!(
        read(r#"{"id":1,"type":"presence.set","status":"dnd","text":"h\u00e9","text_until":7}"#)
            .expect("read"),
        Request::Presence(PresenceRequest::Set {
            choice: Choice::Dnd,
            text: "hé".into(),
            text_until_ms: 7
        })
    );
    let code = |text: &str| refused(text).1;
    assert_eq!(code(r#"{"id":1,"type":"presence.get"}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"id":1,"type":"presence.get","users":[]}"#), ErrorCode::BadRequest);
    assert_eq!(code(r#"{"id":1,"type":"presence.get","users":["B"]}"#), ErrorCode::BadId);
    assert_eq!(code(r#"{"id":1,"type":"presence.set","status":"x"}"#), ErrorCode::BadRequest);
    assert_eq!(
        code(r#"{"id":1,"type":"presence.set","status":"away","text":"a\nb"}"#),
        ErrorCode::BadRequest
    );
    let long = "x".repeat(crate::limits::STATUS_TEXT_CHARS_MAX + 1);
    let long = format!(r#"{{"id":1,"type":"presence.set","status":"away","text":"{long}"}}"#);
    assert_eq!(code(&long), ErrorCode::TooLong);
}

#[test]
fn an_id_is_spliced_into_a_ready_made_frame() {
    let room = RoomId::new("team").expect("id");
    let ack =
        Ack { room: &room, seq: 4, ordinal: Some(0), time: Some(7), client_id: None, invited: &[] };
    let frame = with_id(9, &ack.to_frame());
    assert_eq!(frame, br#"{"id":9,"type":"ack","room":"team","seq":4,"ordinal":0,"time":7}"#);
    let value: serde_json::Value = serde_json::from_slice(&frame).expect("json");
    assert_eq!(value["seq"], 4);
}

#[test]
fn an_error_is_read_from_its_own_frame_alone() {
    let error = ApiError::new(ErrorCode::NotMember, "x").retry_after_ms(5);
    assert_eq!(error_in(&error_frame(&error)), Some(error));
    let room = RoomId::new("a~b").expect("id");
    let ack = Ack { room: &room, seq: 1, ordinal: None, time: None, client_id: None, invited: &[] };
    // One of a newer core is no ack.
    let newer = br#"{"type":"error","error":{"code":"of_tomorrow","message":"no"}}"#;
    assert_eq!(error_in(newer).map(|error| error.code), Some(ErrorCode::Unknown));
    assert_eq!(error_in(&ack.to_frame()), None);
}

#[test]
fn history_carries_entries_as_they_are() {
    let entry = |text: &'static str| svc::LogEntry {
        head: String::new(),
        frame: bytes::Bytes::from_static(text.as_bytes()),
    };
    let page = svc::LogPage {
        entries: vec![entry(r#"{"seq":1}"#), entry(r#"{"seq":2}"#)],
        from: 1,
        through: 2,
        more: false,
        newest: 2,
        more_before: None,
    };
    let room = RoomId::new("team").expect("id");
    let read =
        |frame: Vec<u8>| -> serde_json::Value { serde_json::from_slice(&frame).expect("json") };
    let value = read(history_frame(&room, Some(9), &page));
    assert_eq!(value["thread"], 9);
    assert_eq!(value["entries"][1]["seq"], 2);
    assert_eq!((&value["through"], &value["more"]), (&2.into(), &false.into()));
    let value = read(history_frame(&room, None, &svc::LogPage { more_before: Some(true), ..page }));
    let more = ["more_before", "more_after", "more"].map(|field| value.get(field).cloned());
    assert_eq!(more, [Some(true.into()), Some(false.into()), None]);
    let version = Version { seq: 3, time: 7, text: "h\"", ranges: &[] }.to_json().into();
    let page = svc::Versions { versions: vec![version], more: false };
    let value = read(versions_frame(&room, 2, &page));
    assert_eq!((&value["versions"][0]["text"], &value["target"]), (&"h\"".into(), &2.into()));
}
