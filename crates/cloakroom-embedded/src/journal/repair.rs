//! What `cloakroom repair --keep-what-verifies` does to a journal that is refused: all records that
//! verify, in order, go to a new snapshot; the files that they came from are kept under another
//! name. What does not verify is lost, and with it perhaps the end of a session.

use std::cmp::Reverse;
use std::sync::Arc;

use super::disk::Disk;
use super::format::{self, FRAME, Frame, HEADER, Header, Kind, NoHeader};
use super::recover::{self, Found, RecoverError, Take};
use super::segment::Segment;
use super::snapshot::{SnapshotWriter, remove_spares};
use super::writer::{Start, Trouble, Writer};

/// What the files of before are called afterwards, behind their names.
const ASIDE: &str = ".damaged";

/// What was kept, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Records kept.
    pub records: u64,
    /// Where bytes did not verify: the file, from where on, how many.
    pub lost: Vec<(String, u64, u64)>,
    /// Files that are not there, though others follow on them.
    pub missing: Vec<String>,
    /// The files that were there, under their names of now.
    pub aside: Vec<String>,
}

/// Keeps what verifies. `take` sees each record first and may refuse it; then it is counted as
/// lost.
///
/// # Errors
/// If the disk fails, or a later version wrote a file; nothing is changed then but for an
/// unfinished file.
pub fn repair(
    disk: &Arc<dyn Disk>,
    now: u64,
    take: &mut Take<'_>,
) -> Result<Repaired, RecoverError> {
    let segments = recover::segments(&**disk)?;
    let found = Found::since(snapshot_of(&**disk, &segments)?, &segments);
    let mut repaired = Repaired::default();
    let last = found.journals.last().copied();
    let numbers = segments.iter().map(|(_, number)| *number);
    let number = numbers.max().unwrap_or(0) + 1;
    let failed = |trouble| match trouble {
        Trouble::Full(error) | Trouble::Broken(error) => {
            RecoverError::disk(&format::unfinished_name(number))(error)
        }
    };
    let mut writer = SnapshotWriter::create(&**disk, number, 0, now).map_err(failed)?;
    let mut files: Vec<_> = found
        .snapshot
        .map(|number| (Kind::Snapshot, number))
        .into_iter()
        .collect();
    let first = found.snapshot.unwrap_or(1);
    for number in first..=last.unwrap_or(0) {
        match found.journals.contains(&number) {
            true => files.push((Kind::Journal, number)),
            false => repaired.missing.push(format::name(Kind::Journal, number)),
        }
    }
    for (kind, number) in &files {
        let name = format::name(*kind, *number);
        let (bytes, ours) = whole(&**disk, *kind, *number)?;
        let mut trouble = None;
        salvage(&name, &bytes, ours, &mut repaired, &mut |record| {
            let taken = take(record).is_ok();
            if taken && trouble.is_none() {
                trouble = writer.push_record(record).err();
            }
            taken
        });
        if let Some(trouble) = trouble {
            return Err(failed(trouble));
        }
    }
    // The segment that the snapshot goes with is there before the snapshot counts.
    let start = Start {
        number,
        ..Start::default()
    };
    remove_spares(&**disk)?;
    Writer::create(Arc::clone(disk), start, now).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let others = segments.iter().filter(|(kind, number)| {
        *kind == Kind::Snapshot && found.snapshot.is_none_or(|taken| *number > taken)
    });
    for (kind, number) in files.iter().chain(others) {
        let name = format::name(*kind, *number);
        let aside = name.clone() + ASIDE;
        disk.rename(&name, &aside)
            .map_err(RecoverError::disk(&name))?;
        repaired.aside.push(aside);
    }
    disk.sync_dir()
        .map_err(RecoverError::disk("the directory"))?;
    Ok(repaired)
}

/// The snapshot to begin with: the last one, but for what is only called one. That has no header; nor may one that is
/// damaged, but then the segment that went with it is there, or a later one.
fn snapshot_of(disk: &dyn Disk, segments: &[(Kind, u64)]) -> Result<Option<u64>, RecoverError> {
    let of_kind = |wanted: Kind| {
        let all = segments.iter().filter(move |(kind, _)| *kind == wanted);
        all.map(|(_, number)| *number)
    };
    let last = of_kind(Kind::Journal).max();
    let mut snapshots: Vec<u64> = of_kind(Kind::Snapshot).collect();
    snapshots.sort_unstable_by_key(|number| Reverse(*number));
    for number in &snapshots {
        match Segment::open(disk, Kind::Snapshot, *number) {
            Ok(_) => return Ok(Some(*number)),
            Err(newer @ RecoverError::Newer { .. }) => return Err(newer),
            Err(_) => {}
        }
    }
    let went_with_one = |number: &u64| last.is_none_or(|last| *number <= last);
    Ok(snapshots.into_iter().find(went_with_one))
}

/// Gives each record that verifies, wherever it is, to `keep`, and notes the bytes between.
/// If the file is known to be `ours` to its end, all that does not verify is lost.
fn salvage(
    name: &str,
    bytes: &[u8],
    ours: bool,
    repaired: &mut Repaired,
    keep: &mut dyn FnMut(&[u8]) -> bool,
) {
    // The salt is the header's own checksum. It is taken as it is written: a header may be damaged
    // elsewhere.
    let salt = bytes.first_chunk::<HEADER>().map_or(0, |header| {
        let (_, sum) = header.split_at(HEADER - 4);
        u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]])
    });
    let (mut at, mut lost_from) = (HEADER.min(bytes.len()), None);
    let header = Header::parse(bytes);
    if header.is_err() {
        lost_from = Some(0);
    }
    // What was in the file before is not lost.
    let stale = header.map_or(0, |header| usize::try_from(header.stale).unwrap_or(0));
    let stale = if ours { 0 } else { stale };
    let mut lose = |from: Option<usize>, to: usize| {
        if let Some(from) = from {
            repaired
                .lost
                .push((name.to_owned(), from as u64, (to - from) as u64));
        }
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        if Frame::parse(rest, at as u64, salt).is_some() {
            lose(lost_from.take(), at);
            at += FRAME;
        } else if let Some(record) = format::record_at(rest, at as u64, salt) {
            lose(lost_from.take(), at);
            let from = at;
            at += format::RECORD + record.len();
            match keep(record) {
                true => repaired.records += 1,
                false => lost_from = Some(from),
            }
        } else {
            lost_from.get_or_insert(at);
            at += 1;
        }
    }
    let end = bytes.len();
    let lost_from =
        lost_from.filter(|from| !format::is_blank(&bytes[(*from).max(stale.min(end))..]));
    if let Some(from) = lost_from {
        repaired
            .lost
            .push((name.to_owned(), from as u64, (end - from) as u64));
    }
}

/// The bytes of a segment that count, and whether it is known which those are: the next one says that. Else there may
/// be zeros behind them, or what was in the file before.
fn whole(disk: &dyn Disk, kind: Kind, number: u64) -> Result<(Vec<u8>, bool), RecoverError> {
    let name = format::name(kind, number);
    let mut bytes = read(disk, &name)?;
    if let Err(NoHeader::Newer(version)) = Header::parse(&bytes) {
        return Err(RecoverError::Newer {
            file: name,
            version,
        });
    }
    let next = match kind {
        Kind::Journal => Segment::open(disk, kind, number + 1).ok(),
        Kind::Snapshot => None,
    };
    let counts = next.and_then(|next| usize::try_from(next.header.previous_len).ok());
    bytes.truncate(counts.unwrap_or(usize::MAX));
    Ok((bytes, counts.is_some()))
}

fn read(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, RecoverError> {
    let file = disk.open(name).map_err(RecoverError::disk(name))?;
    let size = file.len().map_err(RecoverError::disk(name))?;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(got as u64, &mut bytes[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) => return Err(RecoverError::disk(name)(error)),
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}
