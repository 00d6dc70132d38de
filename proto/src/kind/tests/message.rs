//! What a message has beside its text.

use super::*;

#[test]
fn what_is_beside_a_text_is_checked() {
    let message = |more: &str| format!(r#"{{"text":"h\u00e9 \ud83d\ude00",{more}}}"#);
    for (more, expected) in [
        (r#""ranges":[{"at":0,"len":4,"style":"bold"},{"at":3,"len":1,"style":"code_block"}]"#, ""),
        (r#""ranges":[{"at":0,"len":2,"style":"link","url":"MAILTO:a@b"}]"#, ""),
        (r#""ranges":[],"reply_to":null,"meta":null"#, ""),
        (r#""ranges":[{"at":4,"len":1,"style":"bold"}]"#, "ranges[0] is not a part of the text"),
        (r#""ranges":[{"at":0,"len":0,"style":"bold"}]"#, "ranges[0] is not a part of the text"),
        (
            r#""ranges":[{"at":4294967295,"len":4294967295,"style":"bold"}]"#,
            "not a part of the text",
        ),
        (r#""ranges":[{"at":0,"len":1,"style":"huge"}]"#, "ranges[0].style has to be bold"),
        (r#""ranges":[{"at":-1,"len":1,"style":"bold"}]"#, "ranges[0].at has to be a whole number"),
        (r#""ranges":[{"at":0,"len":1,"style":"link"}]"#, "ranges[0].url is missing"),
        (
            r#""ranges":[{"at":0,"len":1,"style":"bold","url":"https://a"}]"#,
            "is for the style link",
        ),
        (
            r#""ranges":[{"at":0,"len":1,"style":"link","url":"javascript:alert(1)"}]"#,
            "ranges[0].url has to begin with https://, http:// or mailto:",
        ),
        (r#""ranges":[{"at":0,"len":1,"style":"link","url":"https://a b"}]"#, "url has a space"),
        (r#""ranges":[{"at":0,"len":1,"style":"link","url":"https://"}]"#, "and go on after it"),
        (r#""ranges":[{"at":0,"len":1,"style":"mention","user":"bob"}],"silent":null"#, ""),
        (r#""ranges":[{"at":0,"len":1,"style":"mention","everyone":"here"}],"silent":true"#, ""),
        (r#""forwarded":{"room":"a~b","seq":1,"of_tomorrow":2},"skip_push":false"#, ""),
        (r#""ranges":[{"at":0,"len":1,"style":"mention"}]"#, "one of user and everyone"),
        (
            r#""ranges":[{"at":0,"len":1,"style":"mention","user":"bob","everyone":"all"}]"#,
            "one of user and everyone",
        ),
        (r#""ranges":[{"at":0,"len":1,"style":"bold","user":"bob"}]"#, "ranges[0] is none"),
        (
            r#""ranges":[{"at":0,"len":1,"style":"bold","user":"bob","everyone":"all"}]"#,
            "ranges[0] is none",
        ),
        (r#""ranges":[{"at":0,"len":1,"style":"mention","user":"a.b"}]"#, "a user id is"),
        (r#""ranges":[{"at":0,"len":1,"style":"mention","everyone":"us"}]"#, "all or here"),
        (r#""silent":"yes""#, "the field silent has to be true or false"),
        (r#""forwarded":7"#, "the field forwarded has to be an object"),
        (r#""forwarded":{}"#, "the field forwarded.room is missing"),
        (r#""forwarded":{"room":"team"}"#, "the field forwarded.seq is missing"),
        (
            r#""forwarded":{"room":"team","seq":0}"#,
            "the field forwarded.seq has to be a whole number",
        ),
        (r#""forwarded":{"room":"a b","seq":1}"#, "a room id is a"),
        (r#""ranges":{}"#, "the field ranges has to be a list of ranges"),
        (r#""reply_to":0"#, "the field reply_to"),
        (r#""thread":0"#, "the field thread"),
        (r#""thread":"1""#, "the field thread has to be a whole number from 1"),
        (r#""reply_to":"1""#, "the field reply_to has to be a whole number from 1"),
        (r#""meta":[1]"#, "the field meta has to be an object"),
    ] {
        let read = Body::from_json(message(more).as_bytes());
        match (read, expected) {
            (Ok(_), "") => {}
            (Err(error), expected) if !expected.is_empty() => {
                assert!(error.message.contains(expected), "{more}: {}", error.message);
            }
            (read, _) => panic!("{more}: {read:?}"),
        }
    }
    let meta = |bytes: usize| format!(r#""meta":{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    assert!(Body::from_json(message(&meta(4_096)).as_bytes()).is_ok());
    assert_eq!(code(&message(&meta(4_097))), ErrorCode::TooLong);
    let deep =
        |depth: usize| format!(r#""meta":{}1{}"#, r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(Body::from_json(message(&deep(16)).as_bytes()).is_ok());
    assert_eq!(code(&message(&deep(17))), ErrorCode::BadRequest);
    let link =
        format!(r#"{{"at":0,"len":1,"style":"link","url":"https://{}"}}"#, "a".repeat(1_900));
    let links = |count: usize| format!(r#""ranges":[{}]"#, vec![&*link; count].join(","));
    assert!(Body::from_json(message(&links(10)).as_bytes()).is_ok());
    assert_eq!(code(&message(&links(11))), ErrorCode::TooLong);
    let mentions = |count: usize| {
        let mention =
            |number| format!(r#"{{"at":0,"len":1,"style":"mention","user":"u{number}"}}"#);
        let ranges: Vec<String> = (0..count).chain(0..count).map(mention).collect();
        format!(r#""ranges":[{}]"#, ranges.join(","))
    };
    assert!(Body::from_json(message(&mentions(50)).as_bytes()).is_ok());
    assert_eq!(code(&message(&mentions(51))), ErrorCode::TooLong);
    let many = vec![r#"{"at":0,"len":1,"style":"bold"}"#; 201].join(",");
    assert_eq!(code(&message(&format!(r#""ranges":[{many}]"#))), ErrorCode::TooLong);
}

#[test]
fn what_came_later_needs_a_later_level() {
    for (json, level, counts) in [
        (r#"{"text":"x"}"#, 1, true),
        (r#"{"text":"x","silent":false}"#, 1, true),
        (r#"{"text":"x","reply_to":1}"#, 2, true),
        (r#"{"text":"x","silent":true}"#, 3, false),
        (r#"{"text":"x","skip_push":true}"#, 3, true),
        (r#"{"text":"x","forwarded":{"room":"team","seq":1}}"#, 3, true),
        (r#"{"text":"x","ranges":[{"at":0,"len":1,"style":"mention","user":"bob"}]}"#, 3, true),
        (r#"{"kind":"edit","target":1,"text":"x"}"#, 2, false),
        (
            r#"{"kind":"edit","target":1,"text":"x","ranges":[{"at":0,"len":1,"style":"mention","everyone":"all"}]}"#,
            3,
            false,
        ),
    ] {
        let body = Body::from_json(json.as_bytes()).expect(json);
        assert_eq!((body.level(), body.counts()), (level, counts), "{json}");
    }
}

#[test]
fn a_message_that_is_read_at_once_is_one() {
    let read = |json: &str| {
        let text = Text::read_plain(json)?;
        assert_eq!(Text::check(read_object(json).expect(json)).expect(json), text);
        Some(text.text)
    };
    for good in [r#"{"text":"a"}"#, r#" {"kind":null,"text":"\u0061"}"#] {
        assert_eq!(read(good).as_deref(), Some("a"), "{good}");
    }
    for other in [
        r#"{"kind":"edit","target":1,"text":"a"}"#,
        r#"{"kind":"message"}"#,
        r#"{"text":"a","reply_to":1}"#,
        r#"{"text":"a","thread":1}"#,
        r#"{"text":"a","of_tomorrow":1}"#,
        r#"{"text":""}"#,
        r#"{"text":7}"#,
        r#"[null,"a"]"#,
        r#"{"text":"a","text":"a"}"#,
        r#"{"text":"a"}}"#,
    ] {
        assert_eq!(read(other), None, "{other}");
    }
}

/// What was taken once is read for ever: a number is not printed otherwise each time, and a limit is not
/// checked again.
#[test]
fn numbers_of_meta_stay_what_they_are() {
    let longest = format!(
        r#"{{"text":"x","meta":{{"a":890973810071750e-263,"b":"{}"}}}}"#,
        "x".repeat(4_061)
    );
    for json in
        [&*longest, r#"{"text":"x","meta":{"a":[0.1,1e22,-0.0,18446744073709551616,5e-324]}}"#]
    {
        let Ok(body) = Body::from_json(json.as_bytes()) else { continue };
        assert_eq!(Body::from_json(&body.to_json()).expect("again"), body);
        let entry = Entry {
            room: RoomId::new("team").expect("id"),
            seq: 1,
            ordinal: 1,
            from: user("alice"),
            client_id: None,
            time_ms: 1,
            body,
        };
        assert_eq!(
            Entry::from_stored(entry.room.clone(), &entry.to_stored()).expect("read"),
            entry
        );
    }
    let meta = format!(r#"{{"a":"{}"}}"#, "x".repeat(9_000));
    let meta = serde_json::from_str(&meta).expect("meta");
    let long = with("x", Extras { meta, ..Extras::default() });
    let mut stored = Vec::new();
    long.store(&mut stored);
    assert_eq!(Body::from_stored(1, &stored).expect("known").expect("read").0, long);
}

/// Each command is moved through queues and plans.
#[test]
fn a_body_is_small() {
    assert!(size_of::<Text>() <= 32, "{}", size_of::<Text>());
    assert!(size_of::<Body>() <= 80, "{}", size_of::<Body>());
}
