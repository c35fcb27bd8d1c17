//! Snapshots: all that there is, in a segment of its own, so that the journal before it can go.
//!
//! A snapshot is taken while writes go on, shard by shard, in portions under short locks; nothing is
//! stopped and no memory is copied but the portion. It is no picture of one moment, and need not be.
//! Why it is right all the same:
//!
//! 1. First a new journal segment begins, number N. A step changes the shard and appends its record
//!    under one lock, so what is in segments before N is in the shards' memory by now. The walk that
//!    begins after that sees all of it, and whatever was changed since, or not.
//! 2. So for each session and key, the snapshot has its state at *some* moment after N began, and
//!    the journal from N on has all that happened to it since N began: before that moment and after.
//! 3. Effects are assignments ([`super::Effect`]). Applying e1 .. en in order to the state after e1
//!    .. ek gives the state after e1 .. en: where one of them assigns, the last one wins in both;
//!    where none assigns, nothing has changed since N began. (A session's fields have a version, and
//!    older ones are not applied again.)
//! 4. A step that moves something from shard to shard says all of it (the whole session under its
//!    new key), so it is complete even if the walk has missed both places.
//! 5. The walk over sessions goes by slots. One that gets another slot meanwhile may be passed over;
//!    so while a shard is walked, whoever moves a session notes all of it, and the journal has what
//!    the walk misses. Keys are walked by their hashes, which they keep, so none is passed over.
//!    What comes or goes meanwhile has its record in N or behind it anyway.
//! 6. What the walk saw was appended, but perhaps not synced: a snapshot that counts at once could
//!    survive a crash with a step whose forerunner, elsewhere, was lost with the journal's tail. So
//!    the journal is synced up to the end of the walk before the snapshot counts.
//!
//! Only when the snapshot is whole, synced, and has its final name do older files go, or become later segments. A crash before
//! that leaves the old ones, which are complete; a crash after it leaves at most some that no longer
//! count.

use std::io::ErrorKind;

use super::JournalConfig;
use super::disk::{Disk, DiskFile};
use super::effect::Step;
use super::format::{self, FRAME, Frame, HEADER, Header, Kind};
use super::recover::{self, RecoverError};
use super::writer::{self, Trouble};

/// Bytes that are gathered for one write.
const PORTION: usize = 256 << 10;

/// Bytes after which the file is synced, so that the last sync is not one of hundreds of megabytes,
/// behind which the journal's own would wait.
const SYNC_EVERY: u64 = 8 << 20;

/// Records on their way into a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Portion(Vec<u8>);

impl Portion {
    /// Adds a record.
    pub(crate) fn push(&mut self, step: &Step) {
        format::push_unsealed(&mut self.0, step.as_bytes());
    }
}

/// A snapshot that is written. It counts once it is finished.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    file: Box<dyn DiskFile>,
    number: u64,
    salt: u32,
    len: u64,
    synced: u64,
    records: u64,
    batch: Vec<u8>,
}

impl<'a> SnapshotWriter<'a> {
    /// A snapshot that goes before the journal segment of this number, whose first record has the
    /// number `first_seq`.
    pub(crate) fn create(
        disk: &'a dyn Disk,
        number: u64,
        first_seq: u64,
        now: u64,
    ) -> Result<Self, Trouble> {
        let header = Header {
            kind: Kind::Snapshot,
            number,
            first_seq,
            previous_len: 0,
            created_at: now,
            stale: 0,
        };
        let file = writer::create(disk, &header, &format::unfinished_name(number))?;
        Ok(Self {
            disk,
            file,
            number,
            salt: header.salt(),
            len: HEADER as u64,
            synced: HEADER as u64,
            records: 0,
            batch: vec![0; FRAME],
        })
    }

    /// Adds a record.
    pub(crate) fn push_record(&mut self, record: &[u8]) -> Result<(), Trouble> {
        let mut portion = Portion::default();
        format::push_unsealed(&mut portion.0, record);
        self.push(&mut portion)
    }

    /// Adds records and takes them out of `portion`.
    pub(crate) fn push(&mut self, portion: &mut Portion) -> Result<(), Trouble> {
        self.batch.append(&mut portion.0);
        if self.batch.len() >= PORTION {
            self.write(false)?;
        }
        Ok(())
    }

    /// Records that were added.
    pub(crate) fn records(&self) -> u64 {
        let waiting = format::count(&self.batch[FRAME..]);
        self.records + u64::from(waiting)
    }

    /// Makes the snapshot count. Returns its bytes.
    pub(crate) fn finish(mut self) -> Result<u64, Trouble> {
        self.write(true)?;
        self.file.sync().map_err(Trouble::Broken)?;
        let name = format::name(Kind::Snapshot, self.number);
        self.disk
            .rename(&format::unfinished_name(self.number), &name)
            .map_err(Trouble::Broken)?;
        self.disk.sync_dir().map_err(Trouble::Broken)?;
        Ok(self.len)
    }

    fn write(&mut self, last: bool) -> Result<(), Trouble> {
        let records = format::seal(&mut self.batch[FRAME..], self.len + FRAME as u64, self.salt);
        let frame = Frame {
            body: u32::try_from(self.batch.len() - FRAME).expect("a portion is below 4 GiB"),
            at: self.len,
            first_seq: self.records,
            synced: self.synced,
            records,
            last,
        };
        self.batch[..FRAME].copy_from_slice(&frame.bytes(self.salt));
        let written = self.file.write_all_at(self.len, &self.batch);
        written.map_err(Trouble::of_write)?;
        self.len += self.batch.len() as u64;
        self.records += u64::from(records);
        self.batch.truncate(FRAME);
        if self.len - self.synced > SYNC_EVERY {
            self.file.sync().map_err(Trouble::Broken)?;
            self.synced = self.len;
        }
        Ok(())
    }
}

/// Files that wait for segments at least, if there are so many; more if the last snapshot replaced more.
const SPARES: usize = 2;

/// Removes what a crash left of a snapshot, and puts what the one of this number has replaced aside for later segments, if
/// these are to reuse it: as many files as the journal had, so that it takes no more of the disk than it did. Whether that
/// is durable does not matter: what is back after a crash counts no more. Whoever calls knows that this snapshot is whole;
/// a name on the disk does not say so.
pub(crate) fn remove_stale(config: &JournalConfig, snapshot: u64) -> Result<(), RecoverError> {
    let disk = &*config.disk;
    let mut names = disk.list().map_err(RecoverError::disk("the directory"))?;
    names.sort_unstable();
    let is_replaced = |name: &&String| {
        let segment = format::parse_name(name);
        segment.is_some_and(|(_, number)| number < snapshot) || format::is_unfinished(name)
    };
    let stale = names.iter().filter(is_replaced).cloned();
    let may_be_used = |name: &String| {
        config.reuse && matches!(format::parse_name(name), Some((Kind::Journal, _)))
    };
    let (journals, rest): (Vec<_>, Vec<_>) = stale.partition(may_be_used);
    let spares = recover::spares(names);
    let most = match config.reuse {
        true => journals.len().max(SPARES),
        false => 0,
    };
    let mut free = most.saturating_sub(spares.len());
    for name in &journals {
        let done = if free > 0 {
            free -= 1;
            disk.rename(name, &format::spare_name(name))
        } else {
            disk.remove(name)
        };
        done.map_err(RecoverError::disk(name))?;
    }
    let too_many = spares.into_iter().skip(most);
    remove_all(disk, rest.into_iter().chain(too_many))
}

/// Removes the files that wait for segments: the disk has no room for anything else. Returns how many.
pub(crate) fn remove_spares(disk: &dyn Disk) -> Result<usize, RecoverError> {
    let names = disk.list().map_err(RecoverError::disk("the directory"))?;
    let spares = recover::spares(names);
    let count = spares.len();
    remove_all(disk, spares)?;
    Ok(count)
}

/// Removes files, as far as they are still there: the writer takes spare ones at any time.
fn remove_all(
    disk: &dyn Disk,
    names: impl IntoIterator<Item = String>,
) -> Result<(), RecoverError> {
    for name in names {
        match disk.remove(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(RecoverError::disk(&name)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
