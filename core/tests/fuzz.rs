//! Whatever another system publishes: it is a command, or it is refused.

use bytes::Bytes;
use weft_core::partition::command::Incoming;
use weft_fuzz::run;
use weft_nats::IngestMessage;

const PAYLOADS: [&[u8]; 5] = [
    b"hello",
    "안녕".as_bytes(),
    br#"{"kind":"message","text":"x"}"#,
    br#"{"kind":"create","title":"T","members":["a","b"],"history":"joined"}"#,
    br#"{"kind":"role","user":"bob","role":"owner"}"#,
];

#[test]
fn ingest_payloads_and_ids() {
    run("ingest payloads", &PAYLOADS, |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let good = IngestMessage {
            stream_seq: 1,
            stored_at_ms: 1,
            sender: "bot".into(),
            room: "team".into(),
            client_id: None,
            after: None,
            kind: None,
            reply: None,
            is_json: false,
            is_outsider: true,
            payload: Bytes::copy_from_slice(bytes),
            made_by: None,
            problem: None,
        };
        let messages = [
            IngestMessage { is_json: true, ..good.clone() },
            IngestMessage { sender: text.clone(), ..good.clone() },
            IngestMessage { room: text.clone(), ..good.clone() },
            IngestMessage { client_id: Some(text.clone()), is_outsider: false, ..good.clone() },
            IngestMessage { after: Some(text), ..good.clone() },
            good,
        ];
        for message in messages {
            if let Err(error) = Incoming::decode(message, 0, 1).command {
                assert!(!error.temporary, "what is malformed stays so: {error}");
            }
        }
    });
}
