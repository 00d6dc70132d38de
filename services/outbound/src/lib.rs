//! HTTP to hosts that people name: what is asked for is decided by somebody whom nobody trusts. So what is inside of the
//! operator's network stays out of reach, and nothing lasts or grows without a bound.
//!
//! Invariants:
//! - A connection is made to an address that was checked, and to no other: the client gets its addresses from a resolver
//!   that leaves out the others, so a name that means another address a moment later changes nothing. An address in
//!   the place of a name is checked before, and so is what an answer redirects to.
//! - Nothing is sent that the caller has not given, but for `Host` and `User-Agent`: no cookies, no credentials of an
//!   address, no referrer. No proxy of the environment is used.
//! - From the first lookup to the last byte of the body there is one deadline, and a body is read up to a size.
//!
//! | module | duty |
//! | --- | --- |
//! | `addresses` | which addresses are public |
//! | `rules` | what may be asked for |
//! | `resolver` | names, and the addresses that are left of them |
//! | `client` | requests, redirects, bodies |
//! | [`gateways`] | how many requests a host gets, and when it gets none |
//! | [`webhook`] | how a delivery is signed |

mod addresses;
mod client;
mod error;
pub mod gateways;
mod resolver;
mod rules;
pub mod webhook;

pub use addresses::is_public;
pub use client::{Answer, Body, Connections, Options, Outbound, Request, Roots};
pub use error::{Error, NoCertificates};
pub use rules::Rules;

pub use ipnet::IpNet;
pub use reqwest::{Method, StatusCode, Url, header};
