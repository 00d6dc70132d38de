//! The measurement says what it promises to say, as its last line.

use std::process::{Command, Stdio};

use serde_json::Value;

fn bench(arguments: &[&str]) -> (Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft-bench"));
    let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("run");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    (serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"), text)
}

#[test]
fn the_report_is_one_json_object_and_nothing_is_lost() {
    let (report, text) = bench(&["send", "--pairs=4", "--seconds=1", "--rate=50"]);
    assert_eq!(report["scenario"], "send");
    for fault in ["lost", "duplicated", "reordered"] {
        assert_eq!(report[fault], 0, "{fault}");
    }
    let numbers = [
        "/seconds",
        "/sends_per_s",
        "/ack_ms/p50",
        "/ack_ms/p99",
        "/ack_ms/max",
        "/send_to_receive_ms/p50",
        "/send_to_receive_ms/p99",
        "/send_to_receive_ms/max",
        "/cpu_us_per_message/edge",
        "/cpu_us_per_message/core",
        "/cpu_us_per_message/nats",
        "/cpu_us_per_message/bench",
        "/limit_per_s",
        "/ratio_to_limit",
    ];
    for number in numbers {
        let value = report.pointer(number).and_then(Value::as_f64);
        assert!(value.is_some_and(|value| value >= 0.0), "{number} in {text}");
    }
    assert!(report["limit_per_s"].as_f64() > report["sends_per_s"].as_f64(), "{text}");
}

#[test]
fn the_store_is_measured_beside_its_library() {
    let (report, _) = bench(&["store", "--rounds=1"]);
    assert_eq!((&report["scenario"], &report["store"]), (&"store".into(), &"embedded".into()));
    let commits = report["commits"].as_array().expect("commits");
    let scenarios: Vec<_> =
        commits.iter().map(|it| (it["entries"].as_u64(), it["writers"].as_u64())).collect();
    let expected = [1, 32, 512].map(|entries| [1, 4].map(|writers| (Some(entries), Some(writers))));
    assert_eq!(scenarios, expected.concat());
    let reads = report["reads"].as_array().expect("reads");
    let kinds: Vec<_> = reads.iter().map(|it| it["read"].as_str().expect("a name")).collect();
    assert_eq!(kinds, ["scan_50", "get", "get_many_32"]);
    let positive = |of: &Value, number: &str| {
        let value = of.pointer(number).and_then(Value::as_f64);
        assert!(value.is_some_and(|value| value > 0.0), "{number} in {of}");
    };
    for scenario in commits {
        for number in ["/commits_per_s", "/entries_per_s", "/ms/p50", "/ms/p99"] {
            positive(scenario, number);
            positive(&scenario["bare"], number);
        }
        positive(scenario, "/ratio");
    }
    for scenario in reads {
        for number in ["/per_s", "/us/p50", "/us/p99", "/bare_per_s", "/bare_us/p99", "/ratio"] {
            positive(scenario, number);
        }
    }
    positive(&report, "/ratio_min");
}

#[test]
fn a_storm_is_survived() {
    let (report, text) = bench(&["storm", "--devices=30", "--talk-every-s=1", "--talk-s=3"]);
    assert_eq!(report["scenario"], "storm");
    for fault in ["missed", "status_flaps", "not_resumed", "unanswered", "doubled", "faults"] {
        assert_eq!(report[fault], 0, "{fault} in {text}");
    }
    for number in ["/seconds_until_last_resumed", "/resumed_after_s/p50", "/answered"] {
        let value = report.pointer(number).and_then(Value::as_f64);
        assert!(value.is_some_and(|value| value > 0.0), "{number} in {text}");
    }
}

#[test]
fn presence_is_seen_by_all_who_watch() {
    let options = ["--users=200", "--edges=2", "--watched=20", "--watchers=2", "--seconds=2"];
    let (report, text) = bench(&[&["presence", "--idle-seconds=1"], &options[..]].concat());
    assert_eq!(report["changes_seen"], report["changes_expected"], "{text}");
    assert_eq!(report["kv_writes_idle"], 0, "{text}");
    assert!(report["bytes_per_online_user"].is_f64(), "{text}");
}

#[test]
fn a_store_stays_bounded() {
    // Long enough that each table has lost rows.
    let options = ["--days=105", "--users=130", "--messages-per-day=60", "--bursts-per-day=3"];
    let (report, text) = bench(&[&["year"], &options[..]].concat());
    assert_eq!(report["messages"], 105 * 60);
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [.., month, _] = &lines[..] else { panic!("a line a month: {text}") };
    assert_eq!((lines.len(), &month["day"]), (5, &105.into()), "{text}");
    for table in ["journal", "inbox", "resend", "dead_letter", "device", "minute"] {
        assert!(month["removed"][table].as_u64() > Some(0), "{table} in {month}");
        assert!(month["bytes"][table].as_u64() > Some(0), "{table} in {month}");
    }
    let number = |of: &Value, name: &str| of.pointer(name).and_then(Value::as_f64);
    for name in
        ["/disk_bytes", "/sending/cpu_s", "/walks/cpu_s", "/walks/commits", "/journal_pieces"]
    {
        assert!(number(month, name) > Some(0.0), "{name} in {month}");
    }
    assert!(number(&report, "/walks_to_sending") > Some(0.0), "{report}");
}
