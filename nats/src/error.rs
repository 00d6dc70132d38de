//! What can go wrong on the wire. Each message is one line that an operator can act on.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answered in time.
    #[error("no nats-server can be reached at {url}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the last attempt said.
        reason: String,
    },
    /// The server does not know the user, or the password is wrong.
    #[error(
        "nats-server at {url} refused user \"{user}\": it has another password for it, or not the \
         configuration of `weft nats-config`. After a change of either it has to be restarted"
    )]
    Refused { url: String, user: String },
    /// The server's version is below [`server::VERSION_NEEDED`](crate::server::VERSION_NEEDED).
    #[error("nats-server {found} is too old ({place}): Weft needs {needed} or newer")]
    ServerTooOld {
        /// Where the server is: its URL or its path.
        place: String,
        found: String,
        /// The oldest version that will do.
        needed: &'static str,
    },
    /// It was not done in time; whether the server got it is not known.
    #[error("timed out: {0}")]
    Timeout(&'static str),
    /// The connection is closed for good.
    #[error("the connection to nats-server is closed")]
    Closed,
    /// Nobody listens on the subject.
    #[error("nobody serves {0}")]
    NoResponders(String),
    /// The message is larger than the server takes.
    #[error("a message of {bytes} bytes is larger than the server takes ({bytes_max})")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// A subject, header or token has a form that can't be sent.
    #[error("malformed {0}")]
    Malformed(&'static str),
    #[error("JetStream refused to {what}: {description} ({code}){}", remedy(*code))]
    JetStream {
        what: String,
        /// The server's error number (`err_code`).
        code: u64,
        description: String,
    },
    /// A bucket can't be read, written or watched now.
    #[error("can't {what}: {reason}")]
    Bucket {
        what: &'static str,
        /// What the client library or the server said.
        reason: String,
    },
    /// There is no such stream: it was not made, or somebody deleted it.
    #[error("JetStream refused to {0}: there is no such stream")]
    NoStream(String),
    /// A stream or bucket exists with settings that can't be changed into the wanted ones.
    #[error("{name} exists with other settings: {reason}")]
    AssetMismatch {
        /// The stream or bucket.
        name: String,
        /// What disagrees.
        reason: String,
    },
    /// The log lacks sequences.
    #[error("{stream} lacks the sequences {expected} to {}", found - 1)]
    Gap {
        stream: String,
        /// The sequence that should have come.
        expected: u64,
        /// The sequence that came.
        found: u64,
    },
    /// The log ends before what was asked for: its tail was lost, or it was made anew.
    #[error("{stream} ends at {last_seq}: it must be moved forward before reading from {next_seq}")]
    LogBehind {
        stream: String,
        last_seq: u64,
        /// The sequence that was to be read.
        next_seq: u64,
    },
    /// The reader no longer gets messages: read again from `next_seq`.
    #[error("lost the reader of {stream} before {next_seq}: {reason}")]
    ReaderLost {
        stream: String,
        /// The first sequence that was not returned.
        next_seq: u64,
        reason: &'static str,
    },
    /// Events were published but not acknowledged by their stream.
    #[error("{} of the events were not stored: {reason}", missing.len())]
    NotStored {
        /// Indices into the vector that was sent.
        missing: Vec<usize>,
        /// What the stream said first, or that it said nothing.
        reason: String,
    },
    /// No usable nats-server, and none could be installed.
    #[error("{0}")]
    NoServer(String),
    /// Another process listens on the port.
    #[error("port {0} on 127.0.0.1 is taken by another process")]
    PortTaken(u16),
    /// nats-server ended, or did not start in time.
    #[error("nats-server did not start: {reason} (log: {})", log.display())]
    ServerFailed {
        /// The line of its log that tells why.
        reason: String,
        /// The whole log.
        log: PathBuf,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

/// What helps where the server's own words do not say it.
fn remedy(code: u64) -> &'static str {
    match code {
        // No server has, or this one has not, what the stream reserves.
        10005 | 10047 => {
            ". The streams of each partition reserve 2.1 GB, of which nats-server uses little: raise \
             max_file_store in the jetstream block of its configuration, as `weft nats-config` writes it"
        }
        _ => "",
    }
}

impl Error {
    /// True where the same call may succeed later without anybody changing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout(_)
            | Self::NoResponders(_)
            | Self::ReaderLost { .. }
            | Self::Bucket { .. }
            // Somebody makes it again: core does for the streams of its partitions.
            | Self::NoStream(_)
            | Self::NotStored { .. } => true,
            // 10008: JetStream is temporarily unavailable, 10009: the cluster has no leader,
            // 10167: too many requests. A limit that is reached (of consumers 10026, of streams
            // 10027, of the account 10002, of memory 10028, of a stream 10077,
            // of the disk 10047) may be raised, or what fills it removed.
            Self::JetStream { code, .. } => matches!(
                code,
                10002
                    | 10008
                    | 10009
                    | 10023
                    | 10026
                    | 10027
                    | 10028
                    | 10047
                    | 10077
                    | 10118
                    | 10167
            ),
            _ => false,
        }
    }

    /// True where a stream, or the disk that it is on, takes no more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::JetStream { code: 10_023 | 10_047 | 10_077, .. })
    }

    /// Wraps an IO error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_too_little_disk_is_told_what_helps() {
        let refused = |code| {
            let (what, description) = ("STREAM.CREATE.WEFT_IN_0".into(), "no".into());
            Error::JetStream { what, code, description }.to_string()
        };
        assert!(refused(10005).contains("max_file_store"), "{}", refused(10005));
        assert_eq!(refused(10026), "JetStream refused to STREAM.CREATE.WEFT_IN_0: no (10026)");
    }
}
