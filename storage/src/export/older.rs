//! Files of the versions 1 to 3 of the format, line by line as if of this one. There each type of
//! line had its fields beside each other, under names of its own.

use serde_json::{Map, Value, json};

/// The last version whose lines are like that.
pub const VERSION: u32 = 3;

/// Under which name the trailer of a file of this version counts these lines.
pub fn counted_as(name: &'static str, version: u32) -> &'static str {
    match name {
        "applied" if version <= VERSION => "partition",
        "presence_settings" if version <= VERSION => "chosen",
        name => name,
    }
}

/// The line of this version for one of these; else why there is none.
pub fn upgraded(name: &str, text: &str) -> Result<String, String> {
    let mut fields: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    fields.remove("type");
    let (name, keys): (&str, &[&str]) = match name {
        "account" | "last_active" => (name, &["user"]),
        "chosen" => ("presence_settings", &["user"]),
        "device" => (name, &["user", "device"]),
        "signing_key" => (name, &["key"]),
        "room" => (name, &["room"]),
        "member" => (name, &["room", "user"]),
        "dead_letter" | "journal" => (name, &["partition", "stream_seq"]),
        "partition" => ("applied", &["partition"]),
        _ => return Err(format!("a line of a type that this Weft does not know: {name:?}")),
    };
    let mut key: Vec<Value> = keys.iter().map(|key| take(&mut fields, key)).collect();
    let key = if key.len() == 1 { key.remove(0) } else { Value::Array(key) };
    let row = match name {
        "last_active" => take(&mut fields, "last_active"),
        "dead_letter" => Value::Object(renamed(name, with_payload(fields))),
        // Such a file has no journal but what is not published.
        "applied" => {
            let published = fields.get("published").cloned().unwrap_or_default();
            fields.insert("trimmed_up_to".to_owned(), published);
            Value::Object(renamed(name, fields))
        }
        _ => Value::Object(renamed(name, fields)),
    };
    Ok(json!({ "type": name, "key": key, "row": row }).to_string())
}

fn take(fields: &mut Map<String, Value>, name: &str) -> Value {
    fields.remove(name).unwrap_or_default()
}

fn with_payload(mut fields: Map<String, Value>) -> Map<String, Value> {
    let payload = match (fields.remove("payload"), fields.remove("payload_hex")) {
        (Some(text), _) => json!({ "text": text }),
        (None, Some(digits)) => json!({ "hex": digits }),
        (None, None) => json!({ "text": "" }),
    };
    fields.insert("payload".to_owned(), payload);
    fields
}

fn renamed(name: &str, fields: Map<String, Value>) -> Map<String, Value> {
    let rename = |(old, value): (String, Value)| (field(name, &old).to_owned(), value);
    fields.into_iter().map(rename).collect()
}

fn field<'a>(name: &str, old: &'a str) -> &'a str {
    match (name, old) {
        (_, "created_at") => "created_ms",
        (_, "time") => "time_ms",
        ("device", "refresh_expires_at") => "refresh_expires_ms",
        ("device", "login_at") => "login_ms",
        ("device", "repeat_until") => "repeat_until_ms",
        ("presence_settings", "text_until") => "text_until_ms",
        ("presence_settings", "chosen_at") => "at_ms",
        ("member", "since") => "since_seq",
        ("member", "until") => "until_seq",
        ("dead_letter", "outside") => "is_outsider",
        ("dead_letter", "json") => "is_json",
        ("applied", "applied") => "stream_seq",
        ("applied", "published") => "published_up_to",
        _ => old,
    }
}
