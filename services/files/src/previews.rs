//! Previews of links ([ADR 25](../../../docs/adr/0025-previews.md)): what the first link of a message leads to is read from the host that it
//! names, and given to the message's room. A message never waits for it, and a host that does harm harms itself alone.
//!
//! | module | duty |
//! | --- | --- |
//! | `feed` | follows the journal, as one of the files nodes |
//! | `links` | each address once at a time and for some minutes, few of one host at once |
//! | `page` | what a page says of itself |
//! | `image` | its image becomes a file |

mod feed;
mod image;
mod links;
mod page;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_journal::FollowerOptions;
use weft_nats::nodes::Nodes;
use weft_outbound::{Connections, IpNet, Options, Outbound, Roots, Rules};

use crate::app::App;
use crate::error::Error;

use self::feed::Feed;
use self::links::Links;

/// From the first lookup to the last byte, of a page and of an image.
const PATIENCE: Duration = Duration::from_secs(5);
const REDIRECTS_MAX: usize = 3;
const PORTS: [u16; 2] = [80, 443];
const USER_AGENT: &str = concat!("Weft/", env!("CARGO_PKG_VERSION"), " (link previews)");

/// Where previews are made: what is read for them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PreviewOptions {
    /// Addresses that are read though they are not public.
    pub allowed: Vec<IpNet>,
    /// Hosts that are never read, with those below them.
    pub refused_hosts: Vec<String>,
}

/// The name under which the journal is followed, whichever files node does it.
const FOLLOWER: &str = "previews";
/// How often core is told where it is.
const MOVE_EVERY: Duration = Duration::from_secs(5);

/// Makes previews.
pub(crate) struct Previews {
    feed: Feed,
    options: FollowerOptions,
}

impl Previews {
    /// `nodes`: the live files nodes. One of them makes previews.
    ///
    /// # Errors
    /// [`Error::Outbound`].
    pub(crate) fn new(
        app: Arc<App>,
        nodes: watch::Receiver<Nodes>,
        options: PreviewOptions,
    ) -> Result<Self, Error> {
        let PreviewOptions { allowed, refused_hosts } = options;
        let outbound = Outbound::new(Options {
            rules: Rules { allowed, refused_hosts, ports: PORTS.into() },
            redirects_max: REDIRECTS_MAX,
            roots: Roots::default(),
            connections: Connections::Short,
            patience: PATIENCE,
            user_agent: USER_AGENT.to_owned(),
        })?;
        let links = Arc::new(Links::new(Arc::clone(&app), outbound));
        let options = FollowerOptions {
            bus: app.bus.clone(),
            name: FOLLOWER,
            nodes,
            is_followed: Arc::default(),
            move_every: MOVE_EVERY,
        };
        Ok(Self { feed: Feed::new(app, links), options })
    }

    /// Runs until it is stopped, or can't go on.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), weft_journal::Error> {
        weft_journal::run(self.options, self.feed, stop).await
    }
}
