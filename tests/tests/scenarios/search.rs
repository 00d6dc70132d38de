//! Messages are found by who may see them, in every script, as they are now.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{System, direct, shared, unique};

/// A message is found within a second; this machine may be busy.
pub(crate) const FOUND_LIMIT: Duration = Duration::from_secs(20);

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

pub(crate) async fn search(session: &mut Session, fields: &Value) -> Result<Value> {
    let mut request = fields.clone();
    request["type"] = "search".into();
    session.request(request).await
}

fn places(page: &Value) -> Vec<(String, u64)> {
    let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |message: &Value| {
        let entry = &message["entry"];
        Some((entry["room"].as_str()?.to_owned(), entry["seq"].as_u64()?))
    };
    messages.iter().filter_map(place).collect()
}

/// Waits until a search finds these messages and no others; the page.
async fn finds(session: &mut Session, fields: Value, wanted: &[(&str, u64)]) -> Value {
    let wanted: Vec<(String, u64)> =
        wanted.iter().map(|(room, seq)| ((*room).to_owned(), *seq)).collect();
    let deadline = Instant::now() + FOUND_LIMIT;
    loop {
        let page = search(session, &fields).await.expect("an answer");
        if page["type"] == "search" && places(&page) == wanted {
            return page;
        }
        assert!(Instant::now() < deadline, "{fields}: {page}, wanted {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct Talk {
    system: &'static System,
    alice: Login,
    bob: Login,
    room: String,
    a: Session,
    b: Session,
}

impl Talk {
    /// Two in a direct room.
    async fn begin() -> Result<Self> {
        let system = shared().await;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let room = direct(&alice, &bob);
        let (a, b) = (system.session(&alice).await?, system.session(&bob).await?);
        Ok(Self { system, alice, bob, room, a, b })
    }

    async fn say(&mut self, text: &str) -> Result<u64> {
        let room = self.room.clone();
        self.a.acked(&room, json!({ "text": text })).await
    }
}

#[tokio::test]
async fn words_are_found_in_every_script_as_parts_of_sentences() -> Result<()> {
    let mut talk = Talk::begin().await?;
    let texts = [
        "안녕하세요!",
        "오늘회의록 공유합니다",
        "회사법",
        "私は東京都に住んでいます",
        "今天我们去北京",
        "Élodie's café, naïve",
        "iPhone폰으로 보냈어요 👍🏽",
        // As macOS sends it.
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} 파일",
    ];
    for (text, seq) in texts.iter().zip(1..) {
        assert_eq!(talk.say(text).await?, seq);
    }
    let room = talk.room.clone();
    for (text, seq) in [
        ("한글", 8),
        ("안녕", 1),
        ("회의", 2),
        ("회의록", 2),
        ("법", 3),
        ("東京", 4),
        ("北京", 5),
        ("CAFE", 6),
        ("elod", 6),
        ("폰으로", 7),
        ("iphone폰", 7),
        ("👍", 7),
        ("\u{110b}\u{1161}\u{11ab}\u{1102}\u{1167}\u{11bc}", 1),
    ] {
        finds(&mut talk.b, json!({ "text": text }), &[(&room, seq)]).await;
        let path = format!("/v1/search?text={}", escaped(text));
        let answer = talk.bob.call(talk.system.edge(), "GET", &path, &Value::Null).await?;
        assert_eq!(
            (answer.status, places(&answer.body)),
            (200, vec![(room.clone(), seq)]),
            "{path}"
        );
    }
    for text in ["elod x", "京都に東", "naive elodie\"", "\"café élodie\"", "안녕회의", "!!!"]
    {
        let wanted: &[(&str, u64)] = if text.starts_with("naive") { &[(&room, 6)] } else { &[] };
        finds(&mut talk.b, json!({ "text": text }), wanted).await;
    }
    let page = finds(&mut talk.b, json!({ "text": "회의 공유" }), &[(&room, 2)]).await;
    let highlights = json!([{ "at": 2, "len": 2 }, { "at": 6, "len": 2 }]);
    assert_eq!(page["messages"][0]["highlights"], highlights);
    assert_eq!((&page["total"], &page["partial"]), (&json!(1), &json!(false)));
    assert_eq!(page["messages"][0]["entry"]["text"], texts[1]);
    Ok(())
}

#[tokio::test]
async fn edits_and_deletions_and_leaving_count_at_once() -> Result<()> {
    let mut talk = Talk::begin().await?;
    let word = unique("w").replace(['-', '_'], "");
    let room = talk.room.clone();
    talk.say(&format!("{word} before")).await?;
    talk.say(&format!("{word} other")).await?;
    let both = [(&*room, 2), (&*room, 1)];
    finds(&mut talk.b, json!({ "text": word }), &both).await;
    let edit = json!({ "kind": "edit", "target": 1, "text": format!("{word} after") });
    talk.a.acked(&room, edit).await?;
    // Whatever the index has: what is not in it any more is not shown from this moment on.
    assert_eq!(places(&search(&mut talk.b, &json!({ "text": "before " })).await?), []);
    finds(&mut talk.b, json!({ "text": format!("{word} after") }), &[(&room, 1)]).await;
    talk.a.acked(&room, json!({ "kind": "delete", "target": 1 })).await?;
    let page = search(&mut talk.b, &json!({ "text": word })).await?;
    assert!(!places(&page).contains(&(room.clone(), 1)), "{page}");
    // In a group: who leaves finds nothing of it, who comes what they may see.
    let team = unique("team");
    let carol = talk.system.user("carol").await?;
    let mut c = talk.system.session(&carol).await?;
    let create = json!({ "kind": "create", "title": "T", "members": [talk.bob.user],
        "history": "joined" });
    talk.a.acked(&team, create).await?;
    talk.a.acked(&team, json!({ "text": format!("{word} early") })).await?;
    talk.a.acked(&team, json!({ "kind": "add", "user": carol.user })).await?;
    let late = talk.a.acked(&team, json!({ "text": format!("{word} late") })).await?;
    finds(&mut talk.b, json!({ "text": word }), &[(&team, late), (&team, 2), (&room, 2)]).await;
    finds(&mut c, json!({ "text": word }), &[(&team, late)]).await;
    c.acked(&team, json!({ "kind": "leave" })).await?;
    assert_eq!(places(&search(&mut c, &json!({ "text": word })).await?), []);
    let refused = search(&mut c, &json!({ "text": word, "room": team })).await?;
    assert_eq!(code(&refused)?, "not_member");
    Ok(())
}

#[tokio::test]
async fn filters_orders_counts_and_pages() -> Result<()> {
    let mut talk = Talk::begin().await?;
    let word = unique("w").replace(['-', '_'], "");
    let team = unique("team");
    let room = talk.room.clone();
    let create = json!({ "kind": "create", "title": "T", "members": [talk.bob.user] });
    talk.a.acked(&team, create).await?;
    let bob = talk.bob.user.clone();
    let mention = json!({ "text": format!("{word} @b"), "ranges": [{ "at": 0, "len": 1, "style": "mention", "user": bob }] });
    assert_eq!(talk.a.acked(&team, mention).await?, 2);
    let reply = json!({ "text": format!("{word} reply"), "thread": 2 });
    assert_eq!(talk.b.acked(&team, reply).await?, 3);
    let link = json!({ "text": format!("{word} {word} {word} https://example.com/x") });
    assert_eq!(talk.a.acked(&team, link).await?, 4);
    // Two in the same millisecond have no order by time.
    talk.say("something else").await?;
    assert_eq!(talk.say(&format!("{word} and {}", "much else ".repeat(30))).await?, 2);
    let all = [(&*room, 2), (&*team, 4), (&*team, 3), (&*team, 2)];
    let of = |fields: Value| {
        let mut fields = fields;
        fields["text"] = word.clone().into();
        fields
    };
    let page = finds(&mut talk.b, of(json!({ "counts": true })), &all).await;
    let counts = json!([{ "room": team, "count": 3 }, { "room": room, "count": 1 }]);
    assert_eq!((&page["counts"], &page["total"]), (&counts, &json!(4)));
    for (fields, wanted) in [
        (json!({ "room": team }), &all[1..]),
        (json!({ "from": bob }), &all[2..3]),
        (json!({ "has": ["link"] }), &all[1..2]),
        (json!({ "mentions_me": true }), &all[3..]),
        (json!({ "room": team, "thread": 2 }), &all[2..3]),
        (json!({ "has": ["image"] }), &[][..]),
    ] {
        finds(&mut talk.b, of(fields), wanted).await;
    }
    // Days of a time zone: today there, and no other day.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let day = |days: i64| {
        let now = i64::try_from(now).unwrap_or_default() + 9 * 3_600 + days * 86_400;
        date_of(now.div_euclid(86_400))
    };
    for (since, until, wanted) in
        [(day(-1), day(1), &all[..]), (day(2), day(3), &[]), (day(-9), day(-2), &[])]
    {
        let fields = json!({ "since": since, "until": until, "zone": "Asia/Seoul" });
        finds(&mut talk.b, of(fields), wanted).await;
    }
    // What says it most often comes first.
    let page =
        search(&mut talk.b, &json!({ "text": format!("{word} "), "order": "ranked" })).await?;
    assert_eq!(places(&page).first(), Some(&(team.clone(), 4)), "{page}");
    for order in ["newest", "ranked"] {
        let (mut pages, mut after) = (Vec::new(), Value::Null);
        loop {
            let fields = of(json!({ "order": order, "limit": 1, "after": after }));
            let page = search(&mut talk.b, &fields).await?;
            pages.extend(places(&page));
            after = page["cursor"].clone();
            if after.is_null() {
                break;
            }
        }
        let mut wanted: Vec<(String, u64)> =
            all.iter().map(|(room, seq)| ((*room).to_owned(), *seq)).collect();
        if order == "ranked" {
            pages.sort();
            wanted.sort();
        }
        assert_eq!(pages, wanted, "{order}");
    }
    for (fields, wanted) in [
        (json!({ "text": "가".repeat(1_001) }), "too_long"),
        (json!({ "thread": 2 }), "bad_request"),
        (json!({ "since": "yesterday" }), "bad_request"),
        (json!({ "zone": "Mars" }), "bad_request"),
        (json!({ "after": "x" }), "bad_cursor"),
        (json!({ "room": unique("none") }), "no_such_room"),
    ] {
        assert_eq!(code(&search(&mut talk.b, &fields).await?)?, wanted, "{fields}");
    }
    let path = format!(
        "/v1/search?text={word}&room={team}&has=link&from={}&counts=true&order=ranked&limit=1",
        talk.alice.user
    );
    let answer = talk.bob.call(talk.system.edge(), "GET", &path, &Value::Null).await?;
    assert_eq!((answer.status, places(&answer.body)), (200, vec![(team, 4)]), "{}", answer.body);
    Ok(())
}

/// The day so many days after 1970-01-01.
fn date_of(mut days: i64) -> String {
    let mut year = 1970;
    let length = |year: i64| 365 + i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let mut months = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    months[1] += length(year) - 365;
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}
