//! What is promised, against real processes: one module per promise or feature. They are one binary, so that
//! it is linked once, and so that those who wait do so side by side.

use tokio::sync::OnceCell;
use weft_harness::system::{Options, System};

mod acknowledged_is_kept;
mod administrators;
#[path = "../../src/aging.rs"]
mod aging;
mod answers;
mod attachments;
mod avatars;
mod bad_input;
mod bots;
mod deletion;
mod deployment;
mod dev_restart;
mod devices;
mod drafts;
mod draining;
mod ended_logins;
mod expired;
mod export;
mod feeds;
mod file_storage;
mod files;
mod finding;
mod foundationdb;
mod full_disk;
mod groups;
mod hole_in_the_log;
mod hooks;
mod hostile_bots;
mod integrations;
mod interactions;
mod invitations;
mod large_groups;
mod log_went_back;
mod marks;
mod mentions;
mod messages;
mod metrics;
mod missing_entries;
mod moving_house;
mod nats_clients;
mod nats_tokens;
mod next_version;
mod nothing_is_lost_in_silence;
mod notices;
mod old_ids;
mod one_server_of_three;
mod outage;
mod overload;
mod people;
mod pins;
mod power_loss;
mod presence;
mod previews;
mod profiles;
mod push;
mod push_gateways;
mod receipts;
mod requests;
mod retention;
mod room_list;
mod rooms;
mod scheduled;
mod search;
mod search_nodes;
mod secrets_in_logs;
mod separate_processes;
mod settings;
mod store_went_back;
mod strangers;
mod threads;
mod tokens;
mod two_owners;
mod typing;
mod uploads;
mod webhooks;

/// Core and two edges for the tests that stop nothing. Crowds may sign up at once.
async fn two_edges() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let rates = ["--accounts-per-s", "1000", "--accounts-burst", "1000"];
    let start = async || System::split(Options::default().edge(&rates)).await;
    SYSTEM.get_or_init(async || start().await.expect("a system starts")).await
}
