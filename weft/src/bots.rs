//! The key by which core answers for bots' logins on NATS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use weft_nats::Issuer;

use crate::dev::{kept, print_text};
use crate::error::Error;
use crate::nats_login::read_password;

/// The environment variable that may hold the seed. There is no option for it: everybody on the machine can read a
/// command line.
const SEED_VARIABLE: &str = "WEFT_BOTS_SEED";

/// Where core finds the key.
#[derive(Args, Clone, Debug)]
pub struct BotsSeed {
    /// A file that holds the seed of the key by which core answers for bots' logins on NATS, as `weft bots-key` makes it; the
    /// same for all cores. Without it: the environment variable WEFT_BOTS_SEED. Without both no bot logs in on NATS.
    #[arg(long = "bots-seed-file", value_name = "FILE", env = "WEFT_BOTS_SEED_FILE")]
    pub file: Option<PathBuf>,
}

/// The key of bots' logins.
#[derive(Args, Clone, Debug)]
pub struct BotsKeyOptions {
    /// The file of its seed: made where it is not there. It is for core alone.
    #[arg(long, value_name = "FILE", default_value = "weft-bots.seed")]
    pub seed_file: PathBuf,
}

impl BotsSeed {
    /// The key, where one was given.
    pub fn issuer(&self) -> Result<Option<Arc<Issuer>>, Error> {
        let seed = match &self.file {
            Some(file) => Some(read_password(file)?),
            None => std::env::var(SEED_VARIABLE).ok().filter(|seed| !seed.is_empty()),
        };
        seed.map(|seed| issuer_of(&seed)).transpose()
    }
}

/// The key in a file, which is made where it is not there.
pub fn kept_issuer(file: &Path) -> Result<Arc<Issuer>, Error> {
    let seed = kept(file, 0o600, || Ok(new_seed()))?;
    issuer_of(&seed)
}

/// Prints the public key.
pub fn run(options: &BotsKeyOptions) -> Result<(), Error> {
    print_text(kept_issuer(&options.seed_file)?.public())
}

/// 256 random bits, in hexadecimal.
fn new_seed() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

fn issuer_of(seed: &str) -> Result<Arc<Issuer>, Error> {
    let issuer = Issuer::from_hex(seed);
    issuer.map(Arc::new).map_err(|error| Error::Failed(format!("the key of bots' logins: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once() {
        let temp = tempfile::tempdir().expect("folder");
        let file = temp.path().join("bots.seed");
        let made = kept_issuer(&file).expect("made").public().to_owned();
        assert!(made.starts_with('A') && made.len() == 56, "{made}");
        assert_eq!(kept_issuer(&file).expect("kept").public(), made);
        let seed = BotsSeed { file: Some(file.clone()) };
        let read = seed.issuer().expect("read").expect("a key");
        assert_eq!(read.public(), made);
        std::fs::write(&file, "short\n").expect("write");
        let Err(error) = seed.issuer() else { panic!("taken") };
        assert!(error.one_line().contains("hexadecimal"), "{}", error.one_line());
    }
}
