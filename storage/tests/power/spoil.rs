//! What may become of what was not certain.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt};

use super::disk::{Picture, Thing};
use super::{copy_file, copy_folder, data_end};

/// What a disk writes whole.
const SECTOR: u64 = 512;

/// Which files suffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Journals,
    Tables,
    /// Lists of tables, markers, and what else is small.
    Manifests,
    /// Files and folders appear and disappear; none suffers.
    Names,
    All,
}

pub const PARTS: [Part; 5] =
    [Part::Journals, Part::Tables, Part::Manifests, Part::Names, Part::All];

fn part(place: &Path) -> Part {
    if place.extension().is_some_and(|extension| extension == "jnl") {
        Part::Journals
    } else if place.parent().is_some_and(|parent| parent.ends_with("tables")) {
        Part::Tables
    } else {
        Part::Manifests
    }
}

/// Makes a folder as the disk might show it after the power cut.
pub fn spoil(picture: &Picture, target: &Path, which: Part, random: &mut SmallRng) {
    copy_folder(&picture.folder, target);
    for thing in &picture.things {
        let path = target.join(&thing.place);
        if !path.exists() {
            continue;
        }
        let suffers = which == Part::All || which == part(&thing.place);
        if !thing.is_named && (suffers || which == Part::Names) && random.random() {
            vanish(&path, thing);
        } else if path.is_file() && suffers {
            harm(&path, thing.synced, random);
        }
    }
    if matches!(which, Part::Names | Part::All) {
        for (place, kept) in &picture.removed {
            let path = target.join(place);
            if random.random() && !path.exists() && path.parent().is_some_and(Path::exists) {
                copy_file(kept, &path);
            }
        }
    }
}

fn vanish(path: &Path, thing: &Thing) {
    if path.is_dir() {
        fs::remove_dir_all(path).expect("remove");
    } else if let Some(old) = &thing.old {
        fs::write(path, old).expect("write");
    } else {
        fs::remove_file(path).expect("remove");
    }
}

/// Does something to the bytes from `synced` on.
fn harm(path: &Path, synced: u64, random: &mut SmallRng) {
    let end = data_end(path, 0);
    if end <= synced {
        return;
    }
    let mut file = File::options().read(true).write(true).open(path).expect("open");
    let len = file.metadata().expect("metadata").len();
    let from = random.random_range(synced..end);
    match random.random_range(0..6) {
        0 => {}
        // A length that was made certain stays.
        1 if len == end => file.set_len(from).expect("cut"),
        1 | 2 => write(&mut file, from, &vec![0; usize::try_from(end - from).expect("small")]),
        3 => {
            let mut byte = [0];
            file.seek(SeekFrom::Start(from)).expect("seek");
            file.read_exact(&mut byte).expect("read");
            write(&mut file, from, &[byte[0] ^ (1 << random.random_range(0..8))]);
        }
        kind => {
            let is_zeroed = kind == 4;
            for sector in synced / SECTOR..=end / SECTOR {
                let (start, stop) = (sector * SECTOR, ((sector + 1) * SECTOR).min(end));
                if start.max(synced) < stop && random.random_range(0..3) == 0 {
                    let start = start.max(synced);
                    let mut bytes = vec![0; usize::try_from(stop - start).expect("small")];
                    if !is_zeroed {
                        random.fill_bytes(&mut bytes);
                    }
                    write(&mut file, start, &bytes);
                }
            }
        }
    }
}

fn write(file: &mut File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at)).expect("seek");
    file.write_all(bytes).expect("write");
}
