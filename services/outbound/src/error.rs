//! Why something could not be asked for, or answered nothing usable. No text has the address in it: an address may be a secret.

use std::error::Error as StdError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the address can't be asked for: {0}")]
    Url(&'static str),
    #[error("the operator lets nobody ask this host")]
    HostRefused,
    #[error("the host has no public address")]
    NotPublic,
    #[error("the host is not found: {0}")]
    Lookup(std::io::Error),
    #[error("no whole answer within the time")]
    Timeout,
    #[error("too many redirects")]
    TooManyRedirects,
    #[error("the body is encoded in a way that was not asked for")]
    Encoded,
    #[error("{}", with_cause(.0))]
    Transport(reqwest::Error),
}

/// In the resolver's place of an address.
#[derive(Debug, thiserror::Error)]
#[error("no public address")]
pub(crate) struct NoPublicAddress;

/// A file of authorities has none.
#[derive(Debug, thiserror::Error)]
#[error("these are no certificates in PEM")]
pub struct NoCertificates;

/// With what is at the bottom of it: that a certificate is not trusted, or nobody listens.
fn with_cause(error: &reqwest::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(one) = cause {
        cause = one.source();
        if cause.is_none() {
            text = format!("{text}: {one}");
        }
    }
    text
}

impl Error {
    /// What the client says, without the address.
    pub(crate) fn of_client(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        let error = error.without_url();
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        while let Some(one) = cause {
            if one.is::<NoPublicAddress>() {
                return Self::NotPublic;
            }
            cause = one.source();
        }
        Self::Transport(error)
    }
}
