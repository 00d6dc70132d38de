//! `weft admin export`.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::NamedTempFile;
use weft_runtime::{Clock, SystemClock};
use weft_storage::Store;
use weft_storage::export::{self, Absent, Exported};

use super::StoreOptions;
use super::progress::{Bar, describe};
use crate::error::Error;
use crate::process::say;

/// Writes everything in a store to a file.
#[derive(Args, Clone, Debug)]
pub struct ExportOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// The file, which must not exist yet; `-`: standard output. It holds password hashes and
    /// signing keys: keep it as safe as the store.
    file: PathBuf,
}

/// Does it.
pub async fn run(options: ExportOptions) -> Result<(), Error> {
    let file = options.file;
    if file == Path::new("-") {
        let out = io::stdout();
        if out.is_terminal() {
            let what = "an export is no text for a terminal: name a file, or a pipe";
            return Err(Error::Failed(what.to_owned()));
        }
        let opened = options.place.open()?;
        let exported = write(&opened.store, out.lock()).await?;
        eprintln!("{}", said(&opened.place, &exported));
        return Ok(());
    }
    if file.exists() {
        return Err(Error::Failed(format!("{} exists already", file.display())));
    }
    let opened = options.place.open()?;
    let mut unfinished = begin_file(&file)?;
    let exported = write(&opened.store, unfinished.as_file_mut()).await?;
    finish_file(unfinished, &file)?;
    say(&said(&opened.place, &exported));
    Ok(())
}

async fn write(store: &Store, sink: impl Write) -> Result<Exported, Error> {
    let bar = Bar::without_end("exporting");
    let exported = export::export(store, sink, SystemClock.now_ms(), &mut |n| bar.at(n)).await;
    bar.end();
    Ok(exported?)
}

/// A file beside the one that it becomes, readable by its owner alone. It goes where it is not
/// finished.
fn begin_file(file: &Path) -> Result<NamedTempFile, Error> {
    let made = tempfile::Builder::new().prefix(".weft-export-").tempfile_in(folder_of(file));
    made.map_err(Error::file(file))
}

fn finish_file(unfinished: NamedTempFile, file: &Path) -> Result<(), Error> {
    unfinished.as_file().sync_all().map_err(Error::file(file))?;
    unfinished.persist_noclobber(file).map_err(|error| Error::file(file)(error.error))?;
    // The name, too, outlives a power cut.
    File::open(folder_of(file)).and_then(|folder| folder.sync_all()).map_err(Error::file(file))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn said(place: &str, exported: &Exported) -> String {
    let moment = if exported.whole {
        "Nothing was committed meanwhile: what its ingest logs still hold is applied once by \
         whoever serves the new store."
    } else {
        "Core was at work meanwhile: each room is whole, of a moment of its own, and what was \
         acknowledged later is not in it. To move house, stop core and export again."
    };
    let bytes = exported.bytes / 1_000_000;
    let damage = exported.absent.first.as_ref().map_or_else(String::new, |(room, seq)| {
        let Absent { entries, rooms, .. } = exported.absent;
        format!(
            "\nThe store is damaged, and the export lacks what it lacks: {entries} entries in {rooms} \
             rooms (the first one: {seq} of {room})."
        )
    });
    let counts = describe(&exported.counts);
    format!("exported {place}: {counts} ({bytes} MB unpacked)\n{moment}{damage}")
}
