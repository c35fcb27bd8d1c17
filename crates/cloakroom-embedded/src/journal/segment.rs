//! One segment, read: its header, its records in order, and the judgement about its end.

use super::disk::{Disk, DiskFile};
use super::format::{self, FRAME, Frame, HEADER, Header, Kind, NoHeader};
use super::recover::{Cut, RecoverError, Refused, Take};

/// Bytes that are read at a time.
const WINDOW: usize = 1 << 20;

pub(crate) const UNVERIFIED: &str = "its checksum does not verify";

/// A segment whose header verifies.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) size: u64,
    file: Box<dyn DiskFile>,
}

/// How far records verify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) records: u64,
    /// The end of the last one.
    pub(crate) end: u64,
    /// Whether a frame said that nothing follows.
    pub(crate) last: bool,
    /// The end of a frame that verifies while what is in it does not.
    begun: Option<u64>,
}

impl Segment {
    pub(crate) fn open(disk: &dyn Disk, kind: Kind, number: u64) -> Result<Self, RecoverError> {
        let name = format::name(kind, number);
        let file = disk.open(&name).map_err(RecoverError::disk(&name))?;
        let size = file.len().map_err(RecoverError::disk(&name))?;
        let mut bytes = [0; HEADER];
        let got = read_full(&*file, 0, &mut bytes).map_err(RecoverError::disk(&name))?;
        let damaged = |what| RecoverError::Damaged {
            file: name.clone(),
            at: 0,
            what,
        };
        match Header::parse(&bytes[..got]) {
            Ok(header) if (header.kind, header.number) == (kind, number) => Ok(Self {
                name,
                header,
                size,
                file,
            }),
            Ok(_) => Err(damaged("it is another segment than its name says")),
            Err(NoHeader::Damaged) => Err(damaged("its header does not verify")),
            Err(NoHeader::Newer(version)) => Err(RecoverError::Newer {
                file: name,
                version,
            }),
        }
    }

    /// Reads records, numbered from `first_seq` on, that end at `counts` or before.
    pub(crate) fn read(
        &self,
        counts: u64,
        first_seq: u64,
        take: &mut Take<'_>,
    ) -> Result<Read, RecoverError> {
        let salt = self.header.salt();
        let mut window = Window::new(&*self.file, counts);
        let mut read = Read {
            end: HEADER as u64,
            ..Read::default()
        };
        while read.end < counts && !read.last {
            let bytes = window.get(read.end, FRAME).map_err(self.disk())?;
            let Some(frame) = Frame::parse(bytes, read.end, salt) else {
                break;
            };
            if frame.first_seq != first_seq + read.records {
                break;
            }
            let start = read.end + FRAME as u64;
            let body = window
                .get(start, frame.body as usize)
                .map_err(self.disk())?;
            let whole = body.len() == frame.body as usize;
            let (mut rest, mut at, mut count) = (body, start, 0);
            while let Some(payload) = format::record_at(rest, at, salt) {
                take(payload).map_err(|refused| self.refused(refused, at))?;
                let len = format::RECORD + payload.len();
                rest = &rest[len..];
                at += len as u64;
                count += 1;
            }
            read.records += count;
            read.end = at;
            if !rest.is_empty() || !whole || count != u64::from(frame.records) {
                read.begun = Some(frame.end());
                break;
            }
            read.last = frame.last;
        }
        Ok(read)
    }

    /// That this is a snapshot and all of it was read.
    pub(crate) fn check_whole(&self, read: &Read) -> Result<(), RecoverError> {
        match read.last && read.end == self.size {
            true => Ok(()),
            false => Err(self.damaged(read.end, UNVERIFIED)),
        }
    }

    /// The end behind what was read, where nothing verifies: nothing, if it was never written; torn, if no frame
    /// behind it says that it was synced.
    pub(crate) fn tail(&self, read: &Read) -> Result<Option<Cut>, RecoverError> {
        let at = read.end;
        let theirs = at < self.header.stale;
        if !theirs && self.is_blank(at)? {
            return Ok(None);
        }
        let ours = self.ours_behind(at)?.max(read.begun);
        let end = if theirs { ours } else { Some(self.size) };
        Ok(end.map(|end| Cut {
            file: self.name.clone(),
            at,
            bytes: end.min(self.size) - at,
        }))
    }

    /// Whether there are only zeros from `at` on: room that the writer made.
    fn is_blank(&self, mut at: u64) -> Result<bool, RecoverError> {
        let mut window = Window::new(&*self.file, self.size);
        while at < self.size {
            let bytes = window.get(at, WINDOW).map_err(self.disk())?;
            if bytes.is_empty() || !format::is_blank(bytes) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Where the last frame behind `at` ends. That one says that more than the bytes before `at` were synced is
    /// damage.
    fn ours_behind(&self, at: u64) -> Result<Option<u64>, RecoverError> {
        let (mut from, mut end) = (at, None);
        while let Some(frame) = self.find_frame(from)? {
            if frame.synced > at {
                return Err(self.damaged(at, UNVERIFIED));
            }
            end = end.max(Some(frame.end()));
            from = frame.at + 1;
        }
        Ok(end)
    }

    /// The first frame at `from` or behind it whose head verifies.
    pub(crate) fn find_frame(&self, mut from: u64) -> Result<Option<Frame>, RecoverError> {
        let salt = self.header.salt();
        let mut window = Window::new(&*self.file, self.size);
        while from + FRAME as u64 <= self.size {
            let bytes = window.ahead(from, FRAME).map_err(self.disk())?;
            let Some(skip) = format::find_frame_mark(bytes) else {
                // A mark may begin in the last three bytes.
                from += bytes.len().saturating_sub(3).max(1) as u64;
                continue;
            };
            from += skip as u64;
            let bytes = window.get(from, FRAME).map_err(self.disk())?;
            if let Some(frame) = Frame::parse(bytes, from, salt) {
                return Ok(Some(frame));
            }
            from += 1;
        }
        Ok(None)
    }

    pub(crate) fn sync(&self) -> Result<(), RecoverError> {
        self.file.sync().map_err(RecoverError::disk(&self.name))
    }

    pub(crate) fn damaged(&self, at: u64, what: &'static str) -> RecoverError {
        RecoverError::Damaged {
            file: self.name.clone(),
            at,
            what,
        }
    }

    fn refused(&self, refused: Refused, at: u64) -> RecoverError {
        match refused {
            Refused::Damaged => self.damaged(at, "its checksum verifies, its content does not"),
            Refused::Newer(version) => RecoverError::Newer {
                file: self.name.clone(),
                version,
            },
            Refused::NoRoom => RecoverError::NoRoom {
                file: self.name.clone(),
            },
        }
    }

    fn disk(&self) -> impl FnOnce(std::io::Error) -> RecoverError {
        RecoverError::disk(&self.name)
    }
}

/// Whether a file is no more than what the making of a segment leaves if it is cut short.
pub(crate) fn is_stub(disk: &dyn Disk, name: &str) -> Result<bool, RecoverError> {
    let file = disk.open(name).map_err(RecoverError::disk(name))?;
    let size = file.len().map_err(RecoverError::disk(name))?;
    Ok(size <= HEADER as u64)
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    end: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile, end: u64) -> Self {
        Self {
            file,
            end,
            at: 0,
            bytes: Vec::new(),
        }
    }

    /// What is in memory from `at` on, at least `len` bytes; fewer at the end.
    fn ahead(&mut self, at: u64, len: usize) -> std::io::Result<&[u8]> {
        self.get(at, len)?;
        let skip = usize::try_from(at - self.at).expect("it is in the window");
        Ok(&self.bytes[skip..])
    }

    /// `len` bytes from `at` on; fewer at the end, but never fewer than there are.
    fn get(&mut self, at: u64, len: usize) -> std::io::Result<&[u8]> {
        let there = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(there);
        let inside = at
            .checked_sub(self.at)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| self.bytes.len().saturating_sub(*skip) >= len);
        if let Some(skip) = inside {
            return Ok(&self.bytes[skip..skip + len]);
        }
        self.bytes.resize(len.max(WINDOW.min(there)), 0);
        self.at = at;
        let got = read_full(self.file, at, &mut self.bytes)?;
        self.bytes.truncate(got);
        Ok(&self.bytes[..len.min(got)])
    }
}

fn read_full(file: &dyn DiskFile, at: u64, into: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match file.read_at(at + got as u64, &mut into[got..])? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}
