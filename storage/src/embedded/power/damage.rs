//! The verdict on what was found in a store's folder. Nothing is changed here.

use std::path::{Path, PathBuf};

use super::journal::{self, JournalPlace, Journals};
use super::life::Life;
use super::tables::{self, Tables};
use crate::embedded::files::{self, DATABASE_FOLDER};
use crate::error::Error;

/// Where the journals are cut, and what is left out then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The journal that ends at `offset` from then on.
    pub journal: PathBuf,
    /// Bytes that stay.
    pub offset: u64,
    /// Newer journals, which go.
    pub later: Vec<PathBuf>,
    /// Bytes that go, up to the last one that is not zero.
    pub bytes: u64,
    /// Whole batches among them: the journal and where.
    pub whole: Vec<(PathBuf, usize)>,
    /// Everything up to this version stays.
    pub version: u64,
    /// What is known to have been synced beyond it.
    pub synced: Option<u64>,
}

/// What to do before the library opens the folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JournalVerdict {
    /// Nothing.
    Whole,
    /// The store was being made when it stopped: nothing was ever committed. Make it anew.
    Unmade,
    /// A process was killed while it wrote: nobody has heard of what goes.
    Torn(Cut),
    /// Damage in the newest sync group. Nobody can tell a group that was never synced from one
    /// that was, and was damaged since.
    Newest(Cut),
    /// Damage in what is in tables by now. The journals begin at this place instead.
    Flushed {
        /// Older ones, which go.
        older: Vec<PathBuf>,
        /// The one that loses its front.
        journal: PathBuf,
        /// Where what is needed begins.
        offset: usize,
    },
    /// Damage in what was synced, with a sync group after it. A power cut does not do that.
    Synced(Cut),
}

pub fn look(store: &Path) -> Result<JournalVerdict, Error> {
    let failed = |error| Error::Open(format!("{}: {}", store.display(), files::reason(&error)));
    let folder = store.join(DATABASE_FOLDER);
    if !folder.exists() {
        return Ok(JournalVerdict::Whole);
    }
    let life = Life::read(store).map_err(failed)?;
    let journals = journal::read(&folder).map_err(failed)?;
    let has_any = || Ok(journals.has_data || tables::exist(&folder)?);
    if life.is_none() && (!files::is_store(store) || !has_any().map_err(failed)?) {
        return Ok(JournalVerdict::Unmade);
    }
    if journals.broken.is_none() {
        return Ok(JournalVerdict::Whole);
    }
    let tables = tables::read(&folder).map_err(|error| {
        Error::Open(format!("{}: its tables are damaged ({error:?})", store.display()))
    })?;
    Ok(judge(journals, tables, life.as_ref()))
}

fn judge(journals: Journals, tables: Tables, life: Option<&Life>) -> JournalVerdict {
    let Journals { files, version, broken: Some(broken), .. } = journals else {
        return JournalVerdict::Whole;
    };
    if let Some((JournalPlace { file, offset }, first)) = broken.after.first()
        && tables.seqno.is_some_and(|seqno| first.seqno <= seqno)
    {
        let (older, journal) = (files[..*file].to_vec(), files[*file].clone());
        return JournalVerdict::Flushed { older, journal, offset: *offset };
    }
    let version = version.max(tables.version).unwrap_or(0);
    let synced = broken.after.iter().filter_map(|(_, batch)| batch.state);
    let synced = synced.filter(|state| life.is_none_or(|life| life.mark == state.mark));
    let synced = synced.map(|state| state.synced).max().filter(|synced| *synced > version);
    let cut = Cut {
        journal: files[broken.at.file].clone(),
        offset: broken.at.offset as u64,
        later: files[broken.at.file + 1..].to_vec(),
        bytes: broken.bytes,
        whole: broken.after.iter().map(|(at, _)| (files[at.file].clone(), at.offset)).collect(),
        version,
        synced,
    };
    match life {
        _ if synced.is_some() => JournalVerdict::Synced(cut),
        Some(life) if broken.is_torn && life.is_of_this_boot() => JournalVerdict::Torn(cut),
        // Older Wefts took a torn end for what it is in nearly every case.
        None if broken.is_torn => JournalVerdict::Torn(cut),
        _ => JournalVerdict::Newest(cut),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::JournalBatch;
    use super::super::journal::Break;
    use super::*;
    use crate::embedded::keys::State;

    fn found(versions: &[(u64, u64)], is_torn: bool) -> Journals {
        let whole = |(number, (version, synced)): (usize, &(u64, u64))| {
            let state = Some(State { version: *version, synced: *synced, mark: 5 });
            let at = JournalPlace { file: 1, offset: 100 + number };
            (at, JournalBatch { len: 1, seqno: *version, state })
        };
        let after = versions.iter().enumerate().map(whole).collect();
        let at = JournalPlace { file: 0, offset: 50 };
        Journals {
            files: vec!["1.jnl".into(), "2.jnl".into()],
            version: Some(10),
            broken: Some(Break { at, is_torn, after, bytes: 9 }),
            has_data: true,
        }
    }

    fn judged(
        versions: &[(u64, u64)],
        is_torn: bool,
        tables: u64,
        boot: Option<String>,
    ) -> JournalVerdict {
        let tables = Tables { version: Some(tables), seqno: Some(tables) };
        judge(found(versions, is_torn), tables, Some(&Life { mark: 5, boot }))
    }

    #[test]
    fn only_what_a_later_group_calls_synced_is_refused() {
        let here = super::super::life::boot();
        let newest = |verdict: &JournalVerdict| matches!(verdict, JournalVerdict::Newest(_));
        let synced = |verdict: &JournalVerdict| matches!(verdict, JournalVerdict::Synced(_));
        assert!(newest(&judged(&[], false, 3, here.clone())));
        assert!(newest(&judged(&[(12, 10), (13, 10)], false, 3, here.clone())), "of one group");
        assert!(synced(&judged(&[(12, 11)], false, 3, here.clone())), "11 was synced");
        assert!(synced(&judged(&[(12, 10), (13, 12)], false, 3, here.clone())));
        // The journal before is deleted, but its content is in the tables.
        assert!(newest(&judged(&[(13, 11)], false, 11, here.clone())));
        // Somebody's message looks like a batch.
        let forged = judge(
            found(&[(12, 11)], false),
            Tables::default(),
            Some(&Life { mark: 6, boot: here.clone() }),
        );
        assert!(newest(&forged));
        assert!(
            matches!(judged(&[], true, 3, here.clone()), JournalVerdict::Torn(_)) == here.is_some()
        );
        assert!(
            newest(&judged(&[], true, 3, Some("before".into()))),
            "the machine was started anew"
        );
        let JournalVerdict::Flushed { older, offset: 100, .. } =
            judged(&[(12, 11)], false, 12, here)
        else {
            panic!("it is in the tables");
        };
        assert_eq!(older, [PathBuf::from("1.jnl")]);
    }
}
