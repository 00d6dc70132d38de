//! `weft admin import`.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use clap::Args;
use weft_proto::StoreId;
use weft_storage::export::{self, VerifiedExport};

use super::StoreOptions;
use super::progress::{Bar, describe};
use crate::error::Error;
use crate::process::say;

/// Fills a new store with what `weft admin export` wrote.
#[derive(Args, Clone, Debug)]
pub struct ImportOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// The file. It is read twice: checked first, then imported.
    file: PathBuf,
}

/// Does it.
pub async fn run(options: ImportOptions) -> Result<(), Error> {
    let path = &options.file;
    if path == Path::new("-") {
        let what = "an import reads its file twice: name one, not standard input";
        return Err(Error::Failed(what.to_owned()));
    }
    let mut file = File::open(path).map_err(Error::file(path))?;
    let verified = verify(&file)?;
    // Only now: a bad file leaves no trace, and no folder.
    file.seek(SeekFrom::Start(0)).map_err(Error::file(path))?;
    let opened = options.place.open_or_make()?;
    let id = StoreId(rand::random());
    let bar = Bar::until("importing", verified.lines());
    let imported = export::import(&opened.store, &file, &verified, id, &mut |n| bar.at(n)).await;
    bar.end();
    imported?;
    say(&said(&opened.place, &verified, id));
    Ok(())
}

fn verify(file: &File) -> Result<VerifiedExport, Error> {
    let bar = Bar::without_end("checking the file");
    let verified = export::verify(file, &mut |n| bar.at(n));
    bar.end();
    Ok(verified?)
}

fn said(place: &str, verified: &VerifiedExport, id: StoreId) -> String {
    let mut text = format!(
        "imported into {place}: {}\nIts id is {:016x}: every device loads its rooms anew. Start \
         core on it with {} partitions.",
        describe(verified.counts()),
        id.0,
        verified.partitions(),
    );
    if !verified.is_whole() {
        text += "\nCore was at work while the file was written: what was acknowledged later is not \
                 here. On the ingest logs of that time core asks for `weft admin accept-loss`.";
    }
    text
}
