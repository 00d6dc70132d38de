//! What weft-nats promises, against a real nats-server. One file per promise; one binary, because
//! linking costs more than running.

mod attacks;
mod bot_logins;
mod common;
mod connection;
mod event_acks;
mod fuzz;
mod ingest_log;
mod ingest_signals;
mod jobs;
mod members;
mod outside;
mod permissions;
mod presence;
mod raw;
mod server_process;
mod services;
