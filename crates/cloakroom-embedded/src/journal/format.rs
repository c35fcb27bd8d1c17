//! The bytes of a segment, versions 1 and 2 (`docs/formats/journal.md`): a header, then frames of records.
//! Numbers are little-endian. Nothing here reads or writes a file.
//!
//! Every checksum is salted: a frame's with the segment's header, a record's with its place in the
//! file as well. So bytes of another file, or of another place, never verify.

/// Bytes of a segment's header, in every version.
pub(crate) const HEADER: usize = 64;
/// Bytes of a frame before its records.
pub(crate) const FRAME: usize = 40;
/// Bytes of a record before its payload.
pub(crate) const RECORD: usize = 8;
/// The last version that is read.
pub(crate) const VERSION: u32 = REUSED;
/// What a segment in a file of its own is written as, and one in the place of an older one. Only the second needs a
/// reader that knows that another's bytes may be behind its own.
const NEW: u32 = 1;
const REUSED: u32 = 2;

const MAGIC: &[u8; 8] = b"cloakjnl";
const FRAME_MAGIC: &[u8; 4] = b"\xC1frm";
const LAST_FRAME: u32 = 1 << 31;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of the journal.
    Journal,
    /// All that there was when the journal segment of the same number began.
    Snapshot,
}

/// The first 64 bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    /// The number of its first record, counted from the first one ever.
    pub(crate) first_seq: u64,
    /// How many bytes of the journal segment before it count; 0 if there is none.
    pub(crate) previous_len: u64,
    /// When it was made, in milliseconds of the Unix epoch.
    pub(crate) created_at: u64,
    /// How many bytes the file had that this segment was put into: behind its own they are another's. 0 if the
    /// file was made for it.
    pub(crate) stale: u64,
}

/// Why 64 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Torn, or something else altogether.
    Damaged,
    /// Whole, and of a version that this one does not know.
    Newer(u32),
}

impl Header {
    pub(crate) fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let kind: u32 = match self.kind {
            Kind::Journal => 1,
            Kind::Snapshot => 2,
        };
        bytes[..8].copy_from_slice(MAGIC);
        let version = if self.stale == 0 { NEW } else { REUSED };
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..16].copy_from_slice(&kind.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.previous_len.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.created_at.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.stale.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NoHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER>() else {
            return Err(NoHeader::Damaged);
        };
        if bytes[..8] != *MAGIC || crc32fast::hash(&bytes[..HEADER - 4]) != u32_at(bytes, 60) {
            return Err(NoHeader::Damaged);
        }
        let version = u32_at(bytes, 8);
        let kind = match (version, u32_at(bytes, 12)) {
            (NEW | REUSED, 1) => Kind::Journal,
            (NEW, 2) => Kind::Snapshot,
            (NEW | REUSED, _) => return Err(NoHeader::Damaged),
            (version, _) => return Err(NoHeader::Newer(version)),
        };
        Ok(Self {
            kind,
            number: u64_at(bytes, 16),
            first_seq: u64_at(bytes, 24),
            previous_len: u64_at(bytes, 32),
            created_at: u64_at(bytes, 40),
            stale: u64_at(bytes, 48),
        })
    }

    /// What the checksums of this segment begin with.
    pub(crate) fn salt(&self) -> u32 {
        u32_at(&self.bytes(), 60)
    }
}

/// What stands before the records that were written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes of its records.
    pub(crate) body: u32,
    /// Its own place in the file.
    pub(crate) at: u64,
    /// The number of its first record.
    pub(crate) first_seq: u64,
    /// The bytes of this file that were known to be on the disk when the frame was written.
    pub(crate) synced: u64,
    /// How many records there are.
    pub(crate) records: u32,
    /// Whether nothing follows: the end of a snapshot.
    pub(crate) last: bool,
}

impl Frame {
    /// The place behind its records.
    pub(crate) const fn end(&self) -> u64 {
        self.at + FRAME as u64 + self.body as u64
    }

    pub(crate) fn bytes(&self, salt: u32) -> [u8; FRAME] {
        let mut bytes = [0; FRAME];
        let records = self.records | if self.last { LAST_FRAME } else { 0 };
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&self.body.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.synced.to_le_bytes());
        bytes[32..36].copy_from_slice(&records.to_le_bytes());
        let sum = checksum(salt, &bytes[..FRAME - 4]);
        bytes[FRAME - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The frame that these bytes begin with, if they are one that was written at `at`.
    pub(crate) fn parse(bytes: &[u8], at: u64, salt: u32) -> Option<Self> {
        let bytes = bytes.first_chunk::<FRAME>()?;
        if bytes[..4] != *FRAME_MAGIC
            || u64_at(bytes, 8) != at
            || checksum(salt, &bytes[..FRAME - 4]) != u32_at(bytes, 36)
        {
            return None;
        }
        let records = u32_at(bytes, 32);
        Some(Self {
            body: u32_at(bytes, 4),
            at,
            first_seq: u64_at(bytes, 16),
            synced: u64_at(bytes, 24),
            records: records & !LAST_FRAME,
            last: records & LAST_FRAME != 0,
        })
    }
}

/// Where the first frame's mark is in `bytes`, if anywhere.
pub(crate) fn find_frame_mark(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(FRAME_MAGIC.len())
        .position(|window| window == FRAME_MAGIC)
}

/// Whether nothing was ever written here.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Appends a record whose checksum is still to be set, because it depends on the place in the file.
pub(crate) fn push_unsealed(out: &mut Vec<u8>, payload: &[u8]) {
    let len = u32::try_from(payload.len()).expect("a record is below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Sets the checksums of records that [`push_unsealed`] wrote and that will be at `at` in the file.
/// Returns how many there are.
pub(crate) fn seal(records: &mut [u8], mut at: u64, salt: u32) -> u32 {
    let mut rest = records;
    let mut count = 0;
    while rest.len() >= RECORD {
        let len = u32_at(rest, 0) as usize;
        let (record, after) = rest.split_at_mut(RECORD + len);
        let sum = record_sum(record, at, salt);
        record[4..8].copy_from_slice(&sum.to_le_bytes());
        at += record.len() as u64;
        rest = after;
        count += 1;
    }
    count
}

/// How many records that [`push_unsealed`] wrote there are.
pub(crate) fn count(records: &[u8]) -> u32 {
    let mut rest = records;
    let mut count = 0;
    while rest.len() >= RECORD {
        rest = &rest[RECORD + u32_at(rest, 0) as usize..];
        count += 1;
    }
    count
}

/// The payload of the record that `bytes` begin with, if it verifies at that place of the file. Its
/// length is believed only if it fits `bytes` and the checksum agrees.
pub(crate) fn record_at(bytes: &[u8], at: u64, salt: u32) -> Option<&[u8]> {
    if bytes.len() < RECORD {
        return None;
    }
    let len = u32_at(bytes, 0) as usize;
    let record = bytes.get(..RECORD.checked_add(len)?)?;
    (record_sum(record, at, salt) == u32_at(bytes, 4)).then(|| &record[RECORD..])
}

/// Over length and payload; the salt has the place in it.
fn record_sum(record: &[u8], at: u64, salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt ^ at as u32);
    hasher.update(&record[..4]);
    hasher.update(&record[RECORD..]);
    hasher.finalize()
}

fn checksum(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

const UNFINISHED: &str = ".new";
const SPARE: &str = ".spare";

/// The file of a segment.
pub(crate) fn name(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Journal => format!("{number:010}.journal"),
        Kind::Snapshot => format!("{number:010}.snapshot"),
    }
}

/// What a snapshot is called until it is whole.
pub(crate) fn unfinished_name(number: u64) -> String {
    name(Kind::Snapshot, number) + UNFINISHED
}

/// Whether a file is what a crash left of a snapshot.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(UNFINISHED)
        .and_then(parse_name)
        .is_some_and(|(kind, _)| kind == Kind::Snapshot)
}

/// What a segment of the journal that counts no more is called while its file waits for another.
pub(crate) fn spare_name(name: &str) -> String {
    name.to_owned() + SPARE
}

/// Whether a file waits for a segment to be put into it.
pub(crate) fn is_spare(name: &str) -> bool {
    name.strip_suffix(SPARE)
        .and_then(parse_name)
        .is_some_and(|(kind, _)| kind == Kind::Journal)
}

/// Which segment a file is, if it is one.
pub(crate) fn parse_name(file: &str) -> Option<(Kind, u64)> {
    let (number, kind) = file.split_once('.')?;
    let kind = match kind {
        "journal" => Kind::Journal,
        "snapshot" => Kind::Snapshot,
        _ => return None,
    };
    let number = number.parse().ok()?;
    (name(kind, number) == file).then_some((kind, number))
}
