//! What writes segments, step by step and without a thread or a clock: a batch, a sync, a new
//! segment. An order of steps is all that durability rests on, so it is here alone:
//!
//! 1. A segment's header is written and synced, then the directory; only then come records. If it is put into the
//!    file of an old one, that file gets its name between the two, so under its name there is never another's header.
//! 2. A segment is synced before the next one is made, so all but the last are whole on the disk.
//! 3. A segment is put into the file of an old one, if there is one that counts no more: so a sync need not write where
//!    the file ends, and no byte is written twice. Else, before a sync the file is made longer than it has to be, with zeros, so that the next ones only write over
//!    what is there ([`Writer::make_way`]). That changes nothing of what a reader believes.
//! 4. Each frame says how much of its file was synced before it was written. So a reader can tell
//!    a tail that a crash tore (nothing behind it says that it was synced) from damage (something
//!    does).

use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::format::{self, FRAME, Frame, HEADER, Header, Kind};
use super::recover;
use super::snapshot::remove_spares;

/// Zeros that are put behind what is written: a file that grows costs a sync twice what one costs that does not,
/// because where it ends has to be written as well. About 20 groups of 50 writes, in a millisecond.
const WAY: usize = 256 << 10;
/// The part of a segment that they are at most.
const WAY_PART: u64 = 64;
static ZEROS: [u8; WAY] = [0; WAY];

/// Why a step failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// There is no room; the same step may succeed later.
    Full(io::Error),
    /// What is on the disk cannot be known any more.
    Broken(io::Error),
}

impl Trouble {
    pub(crate) fn of_write(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full(error)
            }
            _ => Self::Broken(error),
        }
    }
}

/// Where a segment begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) number: u64,
    pub(crate) first_seq: u64,
    pub(crate) previous_len: u64,
}

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    number: u64,
    salt: u32,
    len: u64,
    /// Where the zeros behind it end, or what was in the file before.
    way: u64,
    synced: u64,
    /// The last `synced` that a frame says.
    claimed: u64,
    next_seq: u64,
    /// Bytes of all segments before this one, since this process began.
    before: u64,
}

impl Writer {
    /// A new journal segment, ready for records.
    pub(crate) fn create(disk: Arc<dyn Disk>, start: Start, now: u64) -> Result<Self, Trouble> {
        let mut header = Header {
            kind: Kind::Journal,
            number: start.number,
            first_seq: start.first_seq,
            previous_len: start.previous_len,
            created_at: now,
            stale: 0,
        };
        let name = format::name(header.kind, header.number);
        let file = match reuse(&*disk, &mut header, &name)? {
            Some(file) => file,
            None => create(&*disk, &header, &name)?,
        };
        disk.sync_dir().map_err(Trouble::Broken)?;
        Ok(Self {
            disk,
            file,
            number: header.number,
            salt: header.salt(),
            len: HEADER as u64,
            way: header.stale.max(HEADER as u64),
            synced: HEADER as u64,
            claimed: 0,
            next_seq: header.first_seq,
            before: 0,
        })
    }

    /// Writes a batch: [`FRAME`] bytes of room, then unsealed records. After an error the same batch
    /// has to be written before any other.
    pub(crate) fn write(&mut self, batch: &mut [u8]) -> Result<(), Trouble> {
        let body = self.len + FRAME as u64;
        let records = format::seal(&mut batch[FRAME..], body, self.salt);
        let frame = Frame {
            body: u32::try_from(batch.len() - FRAME).expect("a batch is below 4 GiB"),
            at: self.len,
            first_seq: self.next_seq,
            synced: self.synced,
            records,
            last: false,
        };
        batch[..FRAME].copy_from_slice(&frame.bytes(self.salt));
        let written = self.file.write_all_at(self.len, batch);
        written.map_err(Trouble::of_write)?;
        self.claimed = self.synced;
        self.len += batch.len() as u64;
        self.next_seq += u64::from(records);
        Ok(())
    }

    /// Puts zeros behind what was written, if there are none; before a sync, which makes them durable as well.
    /// Without room for them it does without.
    /// No more than a small part of a segment.
    pub(crate) fn make_way(&mut self, segment_bytes: u64) {
        let zeros = usize::try_from(segment_bytes / WAY_PART).unwrap_or(WAY);
        let zeros = &ZEROS[..zeros.min(WAY)];
        if self.synced != self.len
            && self.way <= self.len
            && self.file.write_all_at(self.len, zeros).is_ok()
        {
            self.way = self.len + zeros.len() as u64;
        }
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Trouble> {
        if self.synced != self.len {
            self.file.sync().map_err(Trouble::Broken)?;
            self.synced = self.len;
        }
        Ok(())
    }

    /// Says in the file how much of it is synced, if the last frame does not. Nobody waits for it:
    /// it only lets a reader tell damage from a torn tail.
    pub(crate) fn claim(&mut self) -> Result<(), Trouble> {
        if self.claims_all() {
            return Ok(());
        }
        self.write(&mut [0; FRAME])
    }

    /// Whether a reader can see that all up to the last sync is on the disk.
    pub(crate) const fn claims_all(&self) -> bool {
        self.claimed >= self.synced.saturating_sub(FRAME as u64)
    }

    /// Syncs this segment and begins the next.
    pub(crate) fn rotate(&mut self, now: u64) -> Result<(), Trouble> {
        self.sync()?;
        let start = Start {
            number: self.number + 1,
            first_seq: self.next_seq,
            previous_len: self.len,
        };
        let next = Self::create(Arc::clone(&self.disk), start, now)?;
        let before = self.before + self.len;
        *self = Self { before, ..next };
        Ok(())
    }

    /// Gives room on the disk back, if there is any that only waits to be used. Returns whether there was.
    pub(crate) fn give_room(&self) -> bool {
        // If that fails there is no more room than before.
        matches!(remove_spares(&*self.disk), Ok(1..))
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of this segment.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes written since this process began.
    pub(crate) const fn written(&self) -> u64 {
        self.before + self.len
    }

    /// The number of the next record.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }
}

/// The file of an old segment with this header, which is synced, and this name, which is not yet. The header gets to
/// know how many bytes there were. `None` if there is no such file.
fn reuse(
    disk: &dyn Disk,
    header: &mut Header,
    name: &str,
) -> Result<Option<Box<dyn DiskFile>>, Trouble> {
    let names = disk.list().map_err(Trouble::Broken)?;
    for spare in recover::spares(names) {
        // One that is gone was removed because there are too many.
        let is_gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
        let file = match disk.open(&spare) {
            Ok(file) => file,
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(Trouble::Broken(error)),
        };
        header.stale = file.len().map_err(Trouble::Broken)?;
        file.write_all_at(0, &header.bytes())
            .map_err(Trouble::of_write)?;
        file.sync().map_err(Trouble::Broken)?;
        match disk.rename(&spare, name) {
            Ok(()) => return Ok(Some(file)),
            Err(error) if is_gone(&error) => header.stale = 0,
            Err(error) => return Err(Trouble::Broken(error)),
        }
    }
    Ok(None)
}

/// A file with a header that is synced; its name is not yet. What a try before left is replaced.
pub(crate) fn create(
    disk: &dyn Disk,
    header: &Header,
    name: &str,
) -> Result<Box<dyn DiskFile>, Trouble> {
    match disk.remove(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Trouble::Broken(error)),
        _ => {}
    }
    let file = disk.create(name).map_err(Trouble::of_write)?;
    file.write_all_at(0, &header.bytes())
        .map_err(Trouble::of_write)?;
    file.sync().map_err(Trouble::Broken)?;
    Ok(file)
}
