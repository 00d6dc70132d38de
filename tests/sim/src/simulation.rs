//! A deterministic simulation of core, and of what edges make of it: planning and commit loop,
//! ticks, audits, syncs and reads of core, order and audit book of edges, with a log, a bus, a wire
//! and a store in memory that fail in each way that real ones do. A seed decides everything: who
//! lives when, what gets lost, in which order steps interleave. Nothing depends on the wall clock,
//! on threads, or on the order of a hash map; so the same seed gives the same bytes.
//!
//! ```text
//! clients and ──▶ log ──▶ owners (two or three, each may think it is the only one) ──▶ store
//! sessions                  │    │                                                       │
//!    ▲                      │    └─ wire (events, ticks) ──▶ edges ◀── audits, syncs, reads ──┤
//!    └───── answers ◀───────┘                              │                             │
//! the checker sees commits, answers, events, ticks ◀───────┼─────────────────────────────┘
//!            and what goes out on sockets ◀── devices ◀────┘
//! ```
//!
//! ```text
//! cargo test -p weft-sim                                  1,000 schedules, and each rule taken out
//! WEFT_SIM_SEED=<seed> cargo test -p weft-sim replay -- --nocapture
//! WEFT_SIM_SEEDS=0..20000 cargo test --release -p weft-sim schedules -- --nocapture
//! ```

mod answers;
mod bus;
mod check;
mod client;
mod closed;
mod config;
mod device;
mod due;
mod edge;
mod end;
mod in_order;
mod life;
mod log;
mod marks;
mod messages;
mod node;
mod relations;
mod rng;
mod rows;
mod schedule;
mod scheduled;
mod services;
mod session;
mod settings;
mod socket;
mod store;
mod ticks;
mod wire;
mod world;

use std::hash::{DefaultHasher, Hasher as _};
use std::ops::Range;
use std::time::Instant;

use config::{Config, Removed};
use schedule::{Report, run};
use weft_core::partition::sabotage::Rule as CoreRule;
use weft_edge::sabotage::Rule as EdgeRule;

/// What runs without being asked for more: a few seconds in the dev profile.
const SEEDS: Range<u64> = 0..1_000;
/// A rule that is taken out is missed within this many schedules.
const SEEDS_TO_NOTICE: u64 = 12_000;
/// How much of the trace is shown: its end.
const LINES_SHOWN: usize = 60;

fn hash(trace: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(trace.as_bytes());
    hasher.finish()
}

/// Makes a failing schedule smaller for as long as it fails.
fn shrink(mut config: Config) -> (Config, Report) {
    let mut report = run(config.clone());
    let mut tries = 0;
    'again: loop {
        for smaller in config.smaller() {
            tries += 1;
            if tries > 400 {
                break 'again;
            }
            let smaller_report = run(smaller.clone());
            if smaller_report.violation.is_some() {
                (config, report) = (smaller, smaller_report);
                continue 'again;
            }
        }
        break;
    }
    (config, report)
}

/// The shortest explanation that is known.
fn explain(config: &Config, report: &Report) -> String {
    let lines: Vec<&str> = report.trace.lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    format!(
        "{shown}\n{} nodes, {} commands, {} sessions, {} devices, faults {:?}\n{}\nreplay: \
         WEFT_SIM_SEED={} cargo test -p weft-sim replay -- --nocapture",
        config.nodes,
        config.commands,
        config.sessions,
        config.devices,
        config.faults(),
        report.violation.as_deref().unwrap_or("no violation"),
        config.to_text(),
    )
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("WEFT_SIM_SEEDS") else { return SEEDS };
    let bounds = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    bounds.expect("WEFT_SIM_SEEDS is like 0..20000")
}

#[test]
fn schedules() {
    let (started, seeds) = (Instant::now(), seeds());
    let (mut acks, mut refusals, mut lives, mut lines) = (0, 0, 0, 0);
    let (mut puts, mut cursors, mut ticks) = (0, 0, 0);
    for seed in seeds.clone() {
        let config = Config::new(seed);
        let report = run(config.clone());
        if let Some(violation) = &report.violation {
            let (small, report) = shrink(config);
            panic!("seed {seed}: {violation}\n{}", explain(&small, &report));
        }
        acks += report.acks;
        refusals += report.refusals;
        puts += report.puts;
        cursors += report.cursors;
        ticks += report.ticks;
        lives += u64::from(report.lives);
        lines += report.trace.len() as u64;
        if (seed + 1) % 100_000 == 0 {
            println!("{} after {} s", seed + 1, started.elapsed().as_secs());
        }
    }
    let (count, seconds) = (seeds.end - seeds.start, started.elapsed().as_secs_f64());
    println!(
        "{count} schedules in {seconds:.1} s ({:.0} per minute): {lives} lives, {acks} acks, \
         {refusals} refusals, {puts} entries and {cursors} cursors on sockets, \
         {ticks} ticks, {lines} bytes of traces",
        count as f64 * 60.0 / seconds
    );
}

/// Runs the schedule that `WEFT_SIM_SEED` names, and shows its trace.
#[test]
fn replay() {
    let Ok(text) = std::env::var("WEFT_SIM_SEED") else { return };
    let config =
        Config::parse(&text).expect("WEFT_SIM_SEED is a number, or what a failure printed");
    let report = run(config.clone());
    println!("{}\n{}", report.trace, explain(&config, &report));
    assert_eq!(report.violation, None);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..60 {
        let [first, second] = [(); 2].map(|()| run(Config::new(seed)).trace);
        assert!(first.len() > 1_000, "{first}");
        assert_eq!(hash(&first), hash(&second), "seed {seed}");
    }
}

/// Some schedule breaks the rule that is taken out, and the checker says so in these words.
fn notices(removed: Removed, words: &str) {
    for seed in 0..SEEDS_TO_NOTICE {
        let violation = run(Config::without(seed, removed)).violation;
        if let Some(violation) = violation.filter(|violation| violation.contains(words)) {
            println!("{removed:?} is missed by seed {seed}: {violation}");
            return;
        }
    }
    panic!("{SEEDS_TO_NOTICE} schedules did not miss {removed:?}");
}

#[test]
fn the_row_guard_is_missed() {
    notices(Removed::RowGuard, "commits after it was replaced");
}

#[test]
fn the_batch_id_is_missed() {
    notices(Removed::BatchId, "another entry is there");
}

#[test]
fn the_journal_is_missed() {
    notices(Removed::Republish, "is stored; it is not");
}

#[test]
fn answers_before_their_commit_are_noticed() {
    notices(Removed::Core(CoreRule::AnswersAfterCommit), "is answered before its commit");
}

#[test]
fn resends_behind_other_checks_are_noticed() {
    notices(Removed::Core(CoreRule::ResendsFirst), "its entry is at");
}

#[test]
fn the_resend_race_is_noticed() {
    notices(Removed::Core(CoreRule::Pipelining), "holds one client id twice");
}

#[test]
fn the_session_order_is_missed() {
    notices(Removed::Core(CoreRule::SessionOrder), "comes after what its session sent later");
}

#[test]
fn commits_while_clocks_differ_are_noticed() {
    notices(Removed::Core(CoreRule::ClocksAgree), "is of the future");
}

#[test]
fn a_planned_reaction_that_is_forgotten_is_noticed() {
    notices(Removed::Core(CoreRule::ReactionsPlanned), "which has the reaction already");
}

#[test]
fn a_count_that_forgets_what_is_planned_is_noticed() {
    notices(Removed::Core(CoreRule::CountsPlanned), "the row of message");
}

#[test]
fn a_deletion_that_leaves_an_edit_is_noticed() {
    notices(Removed::Core(CoreRule::EditsDeleted), "is not what it was");
}

#[test]
fn an_entry_that_moves_when_it_is_written_anew_is_noticed() {
    notices(Removed::Core(CoreRule::PlacesKept), "is not where it was");
}

#[test]
fn a_mark_that_is_answered_and_lost_is_noticed() {
    notices(Removed::Core(CoreRule::MarksPlanned), "is done; it is lost");
}

#[test]
fn a_mark_that_is_told_twice_is_noticed() {
    notices(Removed::Core(CoreRule::ChangesOnce), "is not told once");
}

#[test]
fn a_mark_that_is_told_to_others_with_nothing_new_for_them_is_noticed() {
    notices(Removed::Core(CoreRule::UnreadIsOwn), "others hear what");
}

#[test]
fn an_owner_that_tells_a_mark_of_who_has_turned_that_off_is_noticed() {
    notices(Removed::Core(CoreRule::ReceiptsHidden), "though one has turned that off");
}

#[test]
fn an_edge_that_tells_a_mark_to_who_has_turned_that_off_is_noticed() {
    notices(Removed::Edge(EdgeRule::ReceiptsHidden), "though one has turned that off");
}

#[test]
fn a_mark_that_the_wire_loses_and_no_audit_tells_is_noticed() {
    notices(Removed::Core(CoreRule::MarksJournaled), "never hears of the mark");
}

#[test]
fn a_setting_that_forgets_what_is_planned_is_noticed() {
    notices(Removed::Core(CoreRule::MarksPlanned), "goes back: Setting");
}

#[test]
fn a_setting_that_the_wire_loses_and_no_audit_tells_is_noticed() {
    notices(Removed::Core(CoreRule::MarksJournaled), "never hears of the setting");
}

#[test]
fn a_block_that_forgets_what_is_planned_is_noticed() {
    notices(Removed::Core(CoreRule::BlocksPlanned), "though one of the two blocks the other");
}

#[test]
fn a_mark_that_is_told_across_a_block_is_noticed() {
    notices(Removed::Core(CoreRule::BlocksHideMarks), "though one blocks the other");
}

#[test]
fn a_block_that_the_wire_loses_and_no_audit_tells_is_noticed() {
    notices(Removed::Core(CoreRule::MarksJournaled), "never hears of the relation");
}

#[test]
fn a_scheduled_message_that_the_wire_loses_and_no_audit_tells_is_noticed() {
    notices(Removed::Core(CoreRule::MarksJournaled), "never hears what became of");
}

#[test]
fn a_scheduled_message_that_forgets_what_is_planned_is_noticed() {
    notices(Removed::Core(CoreRule::SchedulesPlanned), "the scheduled message");
}

#[test]
fn what_is_said_in_a_closed_room_is_noticed() {
    notices(Removed::Core(CoreRule::ClosedIsObeyed), "is in a room that is closed");
}

#[test]
fn a_notice_that_a_feed_forgets_is_noticed() {
    notices(Removed::Edge(EdgeRule::NoticesHandedOn), "has a cursor beyond");
}

#[test]
fn what_a_full_mailbox_drops_is_noticed() {
    notices(Removed::Edge(EdgeRule::FullMailboxEnds), "has a cursor beyond");
}

#[test]
fn an_entry_before_its_repair_is_noticed() {
    notices(Removed::Edge(EdgeRule::RepairFirst), "puts out");
}

#[test]
fn a_cursor_before_its_audit_is_noticed() {
    notices(Removed::Edge(EdgeRule::NoticesBeforeCursor), "has a cursor beyond");
}

#[test]
fn what_is_applied_and_not_audited_is_noticed() {
    notices(Removed::Edge(EdgeRule::AuditedIsSafe), "has a cursor beyond");
}

#[test]
fn a_command_that_is_published_twice_without_evidence_is_noticed() {
    notices(Removed::Edge(EdgeRule::EvidenceFirst), "is published again; the log has it");
}

#[test]
fn a_command_that_does_not_name_the_one_before_it_is_noticed() {
    notices(Removed::Edge(EdgeRule::PredecessorNamed), "comes after what its session sent later");
}

/// Lists what is broken, each kind with a seed: for work on the simulation itself.
#[test]
#[ignore = "a tool"]
fn survey() {
    let mut kinds = std::collections::BTreeMap::<String, (u64, u64)>::new();
    for seed in seeds() {
        if let Some(violation) = run(Config::new(seed)).violation {
            let kind = violation.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            kinds.entry(kind).or_insert((0, seed)).0 += 1;
        }
    }
    for (kind, (count, seed)) in kinds {
        println!("{count:>6} times, first by seed {seed}: {kind}");
    }
}
