//! The journal for other roles: read from any core node, and followed under a name, so that a follower
//! goes on where it was and the journal is kept for it. docs/ARCHITECTURE.md says how.

use weft_proto::{ApiError, ErrorCode, FollowerId, Partition, svc};
use weft_storage::tables::applied;
use weft_storage::tables::follower::{self, Follower};
use weft_storage::tables::journal::{self, Commits, Journal};
use weft_storage::{Batch, Outcome};

use super::Context;
use super::failure::Failure;

/// Journal rows read at once. A row has at most 100 kB, so that with one more scan a page stays below what
/// NATS takes as one message (2 MB).
const ROWS_AT_ONCE: usize = 8;
/// A page with this many commits takes nothing more.
const PAGE_COMMITS: usize = 512;
/// A page with this many bytes takes nothing more.
const PAGE_BYTES: usize = 1_000_000;
/// How often a follower's row is tried to be written that others write too.
const ATTEMPTS_MAX: usize = 5;

impl Context {
    /// A part of a partition's journal.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for a partition that the store does not have, or the store's.
    pub async fn journal_read(&self, asked: svc::ReadJournal) -> Result<svc::JournalPage, Failure> {
        let partition = self.partition(asked.partition)?;
        let store = self.store_id.0.to_be_bytes().to_vec();
        let mut page = svc::JournalPage { store, ..svc::JournalPage::default() };
        let snapshot = self.store.snapshot().await?;
        let (mut after, mut bytes) = (asked.after, 0);
        loop {
            let read = journal::follow(&*snapshot, partition, after, ROWS_AT_ONCE).await?;
            let Some(Commits { rows, is_last }) = read else {
                page.expired = true;
                return Ok(page);
            };
            for (commit_no, row) in rows {
                after = commit_no;
                bytes += prost::Message::encoded_len(&row);
                page.commits.push(told(commit_no, row));
            }
            page.more = !is_last;
            if is_last || page.commits.len() >= PAGE_COMMITS || bytes >= PAGE_BYTES {
                return Ok(page);
            }
        }
    }

    /// Begins to follow a partition under a name.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::BadRequest`] for a partition or a commit that is not there, or
    /// the store's.
    pub async fn journal_follow(
        &self,
        asked: svc::FollowJournal,
    ) -> Result<svc::Following, Failure> {
        let partition = self.partition(asked.partition)?;
        self.write_follower(partition, &asked.follower, |newest, row| {
            if asked.after.is_some_and(|after| after > newest) {
                return Err(Failure::new(ErrorCode::BadRequest, "there is no such commit"));
            }
            let was = row.map(|row| row.commit_no);
            let commit_no = asked.after.or(was).unwrap_or(newest);
            // It begins with the time: who followed before the name was forgotten has another one.
            let epoch = row.map_or_else(|| self.clock.now_ms(), |row| row.epoch + 1);
            Ok(Follower { commit_no, epoch })
        })
        .await
    }

    /// Moves a follower on.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where another process follows under the name, [`ErrorCode::BadRequest`]
    /// for a commit that is not there, or the store's.
    pub async fn journal_move(&self, asked: svc::MoveFollower) -> Result<svc::Following, Failure> {
        let partition = self.partition(asked.partition)?;
        self.write_follower(partition, &asked.follower, |newest, row| {
            let Some(row) = row.filter(|row| row.epoch == asked.epoch) else {
                let message = "another process follows under this name";
                return Err(Failure::new(ErrorCode::Conflict, message));
            };
            if asked.commit_no > newest {
                return Err(Failure::new(ErrorCode::BadRequest, "there is no such commit"));
            }
            Ok(Follower { commit_no: row.commit_no.max(asked.commit_no), ..row })
        })
        .await
    }

    /// Lists who follows a partition.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for a partition that is not there, or the store's.
    pub async fn journal_followers(
        &self,
        asked: svc::ListFollowers,
    ) -> Result<svc::Followers, Failure> {
        let partition = self.partition(asked.partition)?;
        let snapshot = self.store.snapshot().await?;
        let newest = applied::read(&*snapshot, partition).await?.last_commit_no();
        let mut followers = Vec::new();
        for (name, Follower { commit_no, .. }) in follower::list(&*snapshot, partition).await? {
            let next = journal::follow(&*snapshot, partition, commit_no, 1).await?;
            let oldest = next.as_ref().and_then(|next| next.rows.first());
            followers.push(svc::FollowerPlace {
                follower: name.to_string(),
                commit_no,
                expired: next.is_none(),
                waiting_since_ms: oldest.map_or(0, |(_, row)| row.time_ms),
            });
        }
        Ok(svc::Followers { followers, newest, partitions: self.partitions })
    }

    /// Forgets a follower.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::BadRequest`] for a partition that is not there, or the store's.
    pub async fn journal_forget(
        &self,
        asked: svc::ForgetFollower,
    ) -> Result<svc::Forgotten, Failure> {
        let partition = self.partition(asked.partition)?;
        let key = follower::key(partition, &FollowerId::new(&asked.follower)?);
        let was_there = self.store.snapshot().await?.get(key.clone()).await?.is_some();
        if was_there {
            // Whatever is in it: one that moves at this moment hears of it the next time.
            let mut batch = Batch::new(rand::random());
            batch.clear(key);
            self.store.commit(batch).await?;
        }
        Ok(svc::Forgotten { was_there })
    }

    /// Writes a follower's row, guarded by what it was; `decide` is told the number of the partition's
    /// newest commit. Where the outcome is not known the caller asks
    /// again: to move twice is as to move once, and to begin twice raises the epoch once more.
    async fn write_follower(
        &self,
        partition: Partition,
        name: &str,
        decide: impl Fn(u64, Option<Follower>) -> Result<Follower, Failure>,
    ) -> Result<svc::Following, Failure> {
        let name = FollowerId::new(name)?;
        let key = follower::key(partition, &name);
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let was = snapshot.get(key.clone()).await?;
            let row = was.as_deref().map(Follower::decode).transpose()?;
            let newest = applied::read(&*snapshot, partition).await?.last_commit_no();
            let Follower { commit_no, epoch } = decide(newest, row)?;
            let row = Follower { commit_no, epoch }.encode();
            let mut batch = Batch::new(rand::random());
            batch.guard(key.clone(), was);
            batch.set(key.clone(), row);
            if let Outcome::Committed(_) = self.store.commit(batch).await? {
                let store = self.store_id.0.to_be_bytes().to_vec();
                return Ok(svc::Following { store, commit_no, epoch, newest });
            }
        }
        Err(Failure::contended())
    }

    /// A partition of the store.
    pub(super) fn partition(&self, number: u32) -> Result<Partition, ApiError> {
        let partition = Partition::try_from(number).ok().filter(|_| number < self.partitions);
        partition.ok_or_else(|| ApiError::new(ErrorCode::BadRequest, "no such partition"))
    }
}

fn told(commit_no: u64, row: Journal) -> svc::JournalCommit {
    let entry = |entry: journal::JournalEntry| svc::CommittedEntry {
        room: entry.room,
        seq: entry.seq,
        kind: entry.kind,
        from: entry.from,
        users: entry.users,
    };
    let mark = |mark: journal::JournalMark| {
        let journal::JournalMark { room, user, thread, own } = mark;
        svc::CommittedMark { room, user, thread, own }
    };
    // What users keep for themselves is nobody else's.
    let Journal {
        entries,
        stream_seq,
        time_ms,
        marks,
        settings: _,
        drafts: _,
        relations: _,
        scheduled: _,
        invitations,
        sights: _,
    } = row;
    let entries = entries.into_iter().map(entry).collect();
    let marks = marks.into_iter().map(mark).collect();
    let invitations = invitations.into_iter().map(mark).collect();
    svc::JournalCommit { commit_no, stream_seq, time_ms, entries, marks, invitations }
}

#[cfg(test)]
mod tests {
    use weft_runtime::Clock as _;
    use weft_storage::tables::applied::Applied;
    use weft_storage::tables::journal::{JournalEntry, JournalMark};

    use super::super::testing::{World, code};
    use super::*;

    const PARTITION: u32 = 3;

    /// A store with this many commits, each of one entry, of which the first ones are deleted.
    async fn journaled(commits: u64, trimmed_up_to: u64) -> World {
        let world = World::new().await;
        let mut batch = Batch::new(rand::random());
        let partition = PARTITION as Partition;
        for seq in trimmed_up_to + 1..=commits {
            let (room, kind, from) = ("team".into(), "sticker".into(), "alice".into());
            let entry = JournalEntry { room, seq, users: vec!["bob".into()], kind, from };
            let marks =
                vec![JournalMark { room: "team".into(), user: "bob".into(), thread: 5, own: true }];
            let row = Journal {
                entries: vec![entry],
                stream_seq: 2 * seq,
                time_ms: 7,
                marks,
                ..Journal::default()
            };
            batch.set(journal::key(partition, seq), row.encode());
        }
        let row = Applied { commit_no: Some(commits), trimmed_up_to, ..Applied::default() };
        batch.set(applied::key(partition), row.encode());
        world.context.store.commit(batch).await.expect("commit");
        world
    }

    async fn read(world: &World, after: u64) -> svc::JournalPage {
        let asked = svc::ReadJournal { partition: PARTITION, after };
        world.context.journal_read(asked).await.expect("a page")
    }

    #[tokio::test]
    async fn a_journal_is_read_in_pages_to_its_end() {
        let world = journaled(1_200, 0).await;
        let (mut after, mut seqs, mut pages) = (0, Vec::new(), 0);
        loop {
            let page = read(&world, after).await;
            assert!(!page.expired && page.store == world.store_id().0.to_be_bytes());
            let Some(last) = page.commits.last() else { break };
            after = last.commit_no;
            seqs.extend(page.commits.iter().map(|commit| commit.entries[0].seq));
            pages += 1;
            if !page.more {
                break;
            }
        }
        assert_eq!((seqs, pages), ((1..=1_200).collect(), 3));
        let last = read(&world, 1_199).await.commits.remove(0);
        assert_eq!((last.commit_no, last.stream_seq, last.time_ms), (1_200, 2_400, 7));
        let svc::CommittedEntry { kind, from, users, .. } = &last.entries[0];
        assert_eq!((kind.as_str(), from.as_str(), users.len()), ("sticker", "alice", 1));
        let svc::CommittedMark { room, user, thread, own } = &last.marks[0];
        assert_eq!((room.as_str(), user.as_str(), *thread, *own), ("team", "bob", 5, true));
    }

    #[tokio::test]
    async fn what_is_deleted_and_what_never_was_is_expired() {
        let world = journaled(9, 4).await;
        assert_eq!(read(&world, 4).await.commits.len(), 5);
        assert!(read(&world, 3).await.expired);
        assert!(read(&world, 10).await.expired);
        let asked = svc::ReadJournal { partition: 4, after: 0 };
        assert_eq!(code(world.context.journal_read(asked).await), ErrorCode::BadRequest);
    }

    #[tokio::test]
    async fn a_follower_goes_on_where_it_was_and_whoever_was_replaced_moves_nothing() {
        let world = journaled(9, 0).await;
        let follow = async |follower: &str, after| {
            let (follower, partition) = (follower.to_owned(), PARTITION);
            let asked = svc::FollowJournal { follower, partition, after };
            world.context.journal_follow(asked).await
        };
        let moved = async |epoch, commit_no| {
            let (follower, partition) = ("search".to_owned(), PARTITION);
            let asked = svc::MoveFollower { follower, partition, epoch, commit_no };
            world.context.journal_move(asked).await
        };
        let first = world.clock.now_ms();
        let at = |following: svc::Following| (following.commit_no, following.epoch - first);
        assert_eq!(code(moved(0, 5).await), ErrorCode::Conflict);
        assert_eq!(code(follow("a.b", None).await), ErrorCode::BadId);
        assert_eq!(at(follow("push", None).await.expect("new")), (9, 0));
        assert_eq!(code(follow("search", Some(10)).await), ErrorCode::BadRequest);
        assert_eq!(at(follow("search", Some(2)).await.expect("new")), (2, 0));
        assert_eq!(at(moved(first, 5).await.expect("moved")), (5, 0));
        assert_eq!(at(moved(first, 3).await.expect("late")), (5, 0));
        assert_eq!(code(moved(first, 10).await), ErrorCode::BadRequest);
        assert_eq!(at(follow("search", None).await.expect("again")), (5, 1));
        assert_eq!(code(moved(first, 6).await), ErrorCode::Conflict);
        assert_eq!(at(moved(first + 1, 6).await.expect("moved")), (6, 1));
        let snapshot = world.context.store.snapshot().await.expect("snapshot");
        let lowest = follower::lowest(&*snapshot, PARTITION as Partition).await;
        assert_eq!(lowest.expect("scan"), Some(6));
    }
    #[tokio::test]
    async fn a_follower_that_is_forgotten_is_not_listed_and_moves_nothing() {
        let world = journaled(9, 4).await;
        let follow = async |follower: &str, after| {
            let (follower, partition) = (follower.to_owned(), PARTITION);
            let asked = svc::FollowJournal { follower, partition, after: Some(after) };
            world.context.journal_follow(asked).await.expect("following").epoch
        };
        let old = follow("search", 7).await;
        for (follower, after) in [("lost", 3), ("push", 9)] {
            follow(follower, after).await;
        }
        let list = async || {
            let asked = svc::ListFollowers { partition: PARTITION };
            world.context.journal_followers(asked).await.expect("a list")
        };
        let place = |follower: &str, commit_no, expired, waiting_since_ms| {
            let follower = follower.to_owned();
            svc::FollowerPlace { follower, commit_no, expired, waiting_since_ms }
        };
        let mut all = vec![
            place("lost", 3, true, 0),
            place("push", 9, false, 0),
            place("search", 7, false, 7),
        ];
        let listed = list().await;
        assert_eq!((listed.newest, listed.partitions), (9, world.context.partitions));
        assert_eq!(listed.followers, all);
        let forget = async || {
            let (follower, partition) = ("search".to_owned(), PARTITION);
            world.context.journal_forget(svc::ForgetFollower { follower, partition }).await
        };
        assert!(forget().await.expect("forgotten").was_there);
        assert!(!forget().await.expect("twice").was_there);
        all.pop();
        assert_eq!(list().await.followers, all);
        // Another one under the name is another one, too.
        world.clock.advance_ms(1);
        assert!(follow("search", 5).await > old);
        let (follower, partition) = ("search".to_owned(), PARTITION);
        let late = svc::MoveFollower { follower, partition, epoch: old, commit_no: 9 };
        assert_eq!(code(world.context.journal_move(late).await), ErrorCode::Conflict);
    }
}
