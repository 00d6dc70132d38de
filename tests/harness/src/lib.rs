//! The system as a whole, seen from outside: a harness that starts real processes, kills them, and
//! clients that follow `docs/protocol.md` and nothing else.
//!
//! | module | duty |
//! | --- | --- |
//! | [`system`], [`process`] | `weft dev`, or nats-server, core and edges apart; kill, freeze, restart |
//! | [`cluster`] | one nats-server, or three as a cluster; older copies of their data |
//! | [`mod@fdb`] | a FoundationDB server, where the store is one |
//! | [`server`] | a nats-server for the tests of single crates |
//! | [`proxy`] | faults of the wire between any two parts |
//! | [`http`], [`account`] | the HTTP front door; users and their devices' tokens |
//! | [`examples`] | the examples of `docs/integrations.md`, as they are on the page |
//! | [`files`] | uploads and downloads |
//! | [`gateway`] | a gateway of notifications: keeps what it is sent |
//! | [`s3`] | a server that speaks S3 |
//! | [`socket`], [`session`] | one WebSocket: raw, and with requests matched to answers |
//! | [`client`] | a device that lives on over reconnects: the protocol's whole duty |
//! | [`onlooker`] | a device that writes down who is here |
//! | [`load`] | many devices that talk while something is being killed |
//! | [`reading`] | rooms, marks, lists and pins, as a stranger reads them in the end |
//! | [`searching`] | searching for words, page by page |
//! | [`history`], [`mod@check`] | what was seen, and what is wrong with it |
//! | [`metrics`] | what a part tells at its admin port |
//! | [`nats`] | NATS by hand, as a stranger's program speaks it |
//! | [`wait`] | conditions with a bound |
//!
//! The tests are in `tests/tests/scenarios/`, one file per promise. Their logs and data stay in
//! `<target>/weft-tests/` until the next run.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `WEFT_BIN` | the `weft` binary to test; else it is built |
//! | `WEFT_TEST_STORE` | `embedded` (the default) or `fdb`: what the scenarios of separate processes run on |
//! | `WEFT_FDB_BIN` | a folder with `fdbserver` and `fdbcli`, for `fdb` |
//! | `WEFT_NATS_SERVER` | the nats-server to use; else the one on `PATH`, else one is installed |
//! | `WEFT_WEED` | the SeaweedFS to use as a server of S3; else it is fetched |
//! | `WEFT_KILLS` | how often `acknowledged_is_kept` kills each part; 3 by default |
//! | `WEFT_DUEL_SECONDS` | how long `two_owners` lets them fight; 15 by default |

#![allow(missing_docs, reason = "for tests: names that say it need no label")]

pub mod account;
pub mod check;
pub mod client;
pub mod cluster;
pub mod examples;
pub mod fdb;
pub mod files;
pub mod gateway;
pub mod history;
pub mod http;
pub mod load;
pub mod metrics;
pub mod nats;
pub mod onlooker;
pub mod process;
pub mod proxy;
pub mod reading;
pub mod s3;
pub mod searching;
pub mod server;
pub mod session;
pub mod socket;
pub mod system;
pub mod ulid;
pub mod wait;
