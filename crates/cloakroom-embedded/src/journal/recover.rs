//! Reading a journal back: the last snapshot, then the segments from there on, each record once and
//! in order, up to where a crash tore the tail. Anything else that is not as it was written is a
//! refusal that names the place, because whoever goes on over a hole serves sessions that were ended.

use std::fmt;
use std::io;

use super::disk::Disk;
use super::format::{self, Kind};
use super::segment::{self, Segment};
use super::writer::Start;

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Records of the snapshot and of the journal that were read.
    pub records: u64,
    /// Bytes of the files that they were in.
    pub bytes: u64,
    /// Bytes of the snapshot among them; 0 without one.
    pub snapshot_bytes: u64,
    /// The end that was cut off, if a crash tore it.
    pub cut: Option<Cut>,
    /// The number of the snapshot: what is of a lower one, it has replaced. 0 without one.
    pub(crate) snapshot: u64,
    pub(crate) start: Start,
}

/// An end that was written and never synced, and that a crash tore.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// The file.
    pub file: String,
    /// From which byte on it does not count.
    pub at: u64,
    /// How many bytes that are.
    pub bytes: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, at, bytes } = self;
        write!(
            f,
            "the last {bytes} bytes of {file} (from byte {at} on) were never synced and are torn; \
             they are cut off"
        )
    }
}

/// Why a journal is not read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecoverError {
    /// The disk failed.
    Disk {
        /// The file, or what was done.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
    /// Bytes are not what was written, in the middle of what was synced.
    Damaged {
        /// The file.
        file: String,
        /// The byte where it begins.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A later version wrote it.
    Newer {
        /// The file.
        file: String,
        /// Its version, or that of what is in it.
        version: u32,
    },
    /// A segment is not there.
    Missing {
        /// The file.
        file: String,
    },
    /// More is in it than there may be in memory.
    NoRoom {
        /// The file.
        file: String,
    },
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { file, source } => write!(f, "cannot read {file}: {source}"),
            Self::Damaged { file, at, what } => {
                write!(f, "{file} is damaged at byte {at}: {what}")
            }
            Self::Newer { file, version } => write!(
                f,
                "{file} is of version {version}, and this program knows {} and older",
                format::VERSION
            ),
            Self::Missing { file } => write!(f, "{file} is missing, and others need it"),
            Self::NoRoom { file } => {
                write!(f, "{file} holds more than there is room for in memory")
            }
        }
    }
}

impl std::error::Error for RecoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Missing { .. }
            | Self::NoRoom { .. } => None,
        }
    }
}

impl RecoverError {
    pub(crate) fn disk(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Disk { file, source }
    }

    /// Whether `cloakroom repair` has anything to do here.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It verifies, and is not what this program writes.
    Damaged,
    /// A later version of this program wrote it: the version, or the number of what is not known.
    Newer(u32),
    /// There is no memory for what it says.
    NoRoom,
}

/// For what is refused when the place is not known any more.
impl From<Refused> for RecoverError {
    fn from(refused: Refused) -> Self {
        let file = "the journal".to_owned();
        match refused {
            Refused::Damaged => Self::Damaged {
                file,
                at: 0,
                what: "its checksums verify, its content does not",
            },
            Refused::Newer(version) => Self::Newer { file, version },
            Refused::NoRoom => Self::NoRoom { file },
        }
    }
}

/// Takes a record's payload.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<(), Refused> + 'a;

/// Reads all records in order.
///
/// # Errors
/// See [`RecoverError`]; nothing on the disk is changed then.
pub fn recover(disk: &dyn Disk, take: &mut Take<'_>) -> Result<Recovered, RecoverError> {
    read(disk, &Found::list(disk)?, take)
}

/// As [`recover`], of the files that were found.
pub(crate) fn read(
    disk: &dyn Disk,
    found: &Found,
    take: &mut Take<'_>,
) -> Result<Recovered, RecoverError> {
    let mut recovered = Recovered::default();
    let mut first_seq = 0;
    if let Some(number) = found.snapshot {
        let snapshot = Segment::open(disk, Kind::Snapshot, number)?;
        let read = snapshot.read(snapshot.size, 0, take)?;
        snapshot.check_whole(&read)?;
        recovered.records += read.records;
        recovered.bytes += snapshot.size;
        recovered.snapshot_bytes = snapshot.size;
        recovered.snapshot = number;
        first_seq = snapshot.header.first_seq;
    }
    let journals = open_all(disk, found)?;
    for (index, segment) in journals.iter().enumerate() {
        if segment.header.first_seq != first_seq {
            return Err(segment.damaged(0, "its records are not numbered on from those before"));
        }
        let next = journals.get(index + 1);
        let counts = next.map_or(segment.size, |next| next.header.previous_len);
        if counts > segment.size {
            return Err(segment.damaged(segment.size, "its end is missing"));
        }
        let read = segment.read(counts, first_seq, take)?;
        if read.end < counts {
            if next.is_some() {
                return Err(segment.damaged(read.end, segment::UNVERIFIED));
            }
            recovered.cut = segment.tail(&read)?;
        }
        first_seq += read.records;
        recovered.records += read.records;
        recovered.bytes += read.end;
        recovered.start = Start {
            number: segment.header.number,
            first_seq,
            previous_len: read.end,
        };
        if next.is_none() {
            // What the system still holds in memory must not be behind what is written next.
            segment.sync()?;
        }
    }
    recovered.start.number += 1;
    Ok(recovered)
}

/// The segments of the journal that count, all with a header.
fn open_all(disk: &dyn Disk, found: &Found) -> Result<Vec<Segment>, RecoverError> {
    let mut segments = Vec::new();
    for (index, &number) in found.journals.iter().enumerate() {
        match Segment::open(disk, Kind::Journal, number) {
            Ok(segment) => segments.push(segment),
            // Its making was cut short: a header is synced before anything else is written.
            Err(RecoverError::Damaged { file, .. })
                if index + 1 == found.journals.len()
                    && found.snapshot != Some(number)
                    && segment::is_stub(disk, &file)? => {}
            Err(error) => return Err(error),
        }
    }
    Ok(segments)
}

/// The files that count.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) snapshot: Option<u64>,
    /// From the snapshot on, without a hole.
    pub(crate) journals: Vec<u64>,
}

impl Found {
    pub(crate) fn list(disk: &dyn Disk) -> Result<Self, RecoverError> {
        let segments = segments(disk)?;
        let snapshots = segments.iter().filter(|(kind, _)| *kind == Kind::Snapshot);
        let snapshot = snapshots.map(|(_, number)| *number).max();
        let found = Self::since(snapshot, &segments);
        let first = found.snapshot.unwrap_or(1);
        let missing = |number| RecoverError::Missing {
            file: format::name(Kind::Journal, number),
        };
        for (number, expected) in found.journals.iter().zip(first..) {
            if *number != expected {
                return Err(missing(expected));
            }
        }
        if found.journals.is_empty() && found.snapshot.is_some() {
            return Err(missing(first));
        }
        Ok(found)
    }

    /// Bytes of the snapshot, if there is one.
    pub(crate) fn snapshot_bytes(&self, disk: &dyn Disk) -> Result<u64, RecoverError> {
        let Some(number) = self.snapshot else {
            return Ok(0);
        };
        let name = format::name(Kind::Snapshot, number);
        let bytes = disk.open(&name).and_then(|file| file.len());
        bytes.map_err(RecoverError::disk(&name))
    }

    /// Those of `segments` that count if this snapshot does.
    pub(crate) fn since(snapshot: Option<u64>, segments: &[(Kind, u64)]) -> Self {
        let first = snapshot.unwrap_or(0);
        let counts = |(kind, number): &(Kind, u64)| {
            (*kind == Kind::Journal && *number >= first).then_some(*number)
        };
        let mut journals: Vec<u64> = segments.iter().filter_map(counts).collect();
        journals.sort_unstable();
        Self { snapshot, journals }
    }
}

/// All that is called a segment or a snapshot.
pub(crate) fn segments(disk: &dyn Disk) -> Result<Vec<(Kind, u64)>, RecoverError> {
    let names = disk.list().map_err(RecoverError::disk("the directory"))?;
    let segments = names.iter().filter_map(|name| format::parse_name(name));
    Ok(segments.collect())
}

/// The files among these that wait for segments to be put into them, the oldest first.
pub(crate) fn spares(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| format::is_spare(name));
    names.sort_unstable();
    names
}
