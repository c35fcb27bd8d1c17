//! A disk that a test holds: it notes everything that is done to it, and from those notes makes the
//! disk that a power cut at any moment could have left: unsynced writes lost, torn, out of order, or
//! turned into garbage; names that come late. It can also fill up, fail, and lie about syncs.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex};

use cloakroom_embedded::journal::{Disk, DiskFile};

/// Bytes that are written as one, or not. Real ones are larger; smaller tears more.
const PIECE: usize = 64;

/// What was done to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Create(String, usize),
    Write(usize, u64, Arc<[u8]>),
    Sync(usize),
    Rename(String, String),
    Remove(String),
    SyncDir,
    /// Not of the disk: so many records were acknowledged by now.
    Acknowledged(usize),
}

/// What a power cut makes of something that is not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Kept,
    Garbage,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FakeDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Op>,
    /// Bytes that may still be written.
    room: Option<u64>,
    fail_syncs: bool,
    fail_writes: bool,
    hold_syncs: bool,
    meanwhile: Option<Meanwhile>,
}

/// Something that happens while a snapshot is written.
struct Meanwhile(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl FakeDisk {
    /// All that was done so far.
    pub(crate) fn trace(&self) -> Vec<Op> {
        self.state(|state| state.trace.clone())
    }

    pub(crate) fn acknowledged(&self, records: usize) {
        self.state(|state| state.trace.push(Op::Acknowledged(records)));
    }

    /// So many bytes can be written from now on.
    pub(crate) fn leave_room(&self, bytes: Option<u64>) {
        self.state(|state| state.room = bytes);
    }

    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.state(|state| state.fail_syncs = fail);
    }

    pub(crate) fn fail_writes(&self, fail: bool) {
        self.state(|state| state.fail_writes = fail);
    }

    /// Whether syncs wait until they are let go of.
    pub(crate) fn hold_syncs(&self, hold: bool) {
        self.state(|state| state.hold_syncs = hold);
        self.0.1.notify_all();
    }

    /// Does this once, when records of a snapshot are written for the first time.
    pub(crate) fn meanwhile(&self, work: impl FnOnce() + Send + 'static) {
        self.state(|state| state.meanwhile = Some(Meanwhile(Box::new(work))));
    }

    pub(crate) fn syncs(&self) -> usize {
        let is_sync = |op: &&Op| matches!(op, Op::Sync(_));
        self.state(|state| state.trace.iter().filter(is_sync).count())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state(|state| state.names.keys().cloned().collect())
    }

    /// The names of the files that are not kept for later segments.
    pub(crate) fn segments(&self) -> Vec<String> {
        let names = self.names().into_iter();
        names.filter(|name| !name.ends_with(".spare")).collect()
    }

    /// The bytes of a file, to be looked at or changed.
    pub(crate) fn edit<T>(&self, name: &str, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.state(|state| work(&mut state.files[state.names[name]]))
    }

    /// A disk of its own with what is on this one now.
    pub(crate) fn copy(&self) -> Self {
        let (names, files) = self.state(|state| (state.names.clone(), state.files.clone()));
        Self::of(names, files)
    }

    /// A disk with the files of a directory.
    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let names = files.iter().enumerate();
        let names = names.map(|(number, (name, _))| ((*name).to_owned(), number));
        let contents = files.iter().map(|(_, bytes)| bytes.to_vec());
        Self::of(names.collect(), contents.collect())
    }

    fn of(names: BTreeMap<String, usize>, files: Vec<Vec<u8>>) -> Self {
        let disk = Self::default();
        disk.state(|state| (state.names, state.files) = (names, files));
        disk
    }

    fn state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.0.lock().unwrap())
    }
}

/// What is on a disk for good, and what is not yet.
#[derive(Debug, Default)]
pub(crate) struct Platter {
    names: BTreeMap<String, usize>,
    files: BTreeMap<usize, Vec<u8>>,
    unsynced: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Piece(usize, u64, Vec<u8>),
    Name(Op),
}

impl Platter {
    /// A disk after these operations. A disk that `lies` takes no notice of syncs.
    pub(crate) fn after(base: &FakeDisk, ops: &[Op], lies: bool) -> Self {
        let mut platter = Self::default();
        base.state(|state| {
            platter.names.clone_from(&state.names);
            platter.files = state.files.iter().cloned().enumerate().collect();
        });
        for op in ops {
            match op {
                Op::Write(file, at, bytes) => platter.write(*file, *at, bytes),
                Op::Sync(synced) if !lies => platter.settle(
                    |pending| matches!(pending, Pending::Piece(file, ..) if file == synced),
                ),
                Op::SyncDir if !lies => {
                    platter.settle(|pending| matches!(pending, Pending::Name(_)));
                }
                Op::Sync(_) | Op::SyncDir | Op::Acknowledged(_) => {}
                Op::Create(_, file) => {
                    platter.files.insert(*file, Vec::new());
                    platter.unsynced.push(Pending::Name(op.clone()));
                }
                Op::Rename(..) | Op::Remove(_) => platter.unsynced.push(Pending::Name(op.clone())),
            }
        }
        platter
    }

    fn write(&mut self, file: usize, at: u64, bytes: &[u8]) {
        let mut at = at;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(PIECE - at as usize % PIECE));
            self.unsynced.push(Pending::Piece(file, at, piece.to_vec()));
            at += piece.len() as u64;
            rest = after;
        }
    }

    fn settle(&mut self, which: impl Fn(&Pending) -> bool) {
        let (settled, rest) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(which);
        self.unsynced = rest;
        for pending in settled {
            self.apply(pending, Fate::Kept);
        }
    }

    fn apply(&mut self, pending: Pending, fate: Fate) {
        match (fate, pending) {
            (Fate::Lost, _) | (Fate::Garbage, Pending::Name(_)) => {}
            (fate, Pending::Piece(file, at, mut bytes)) => {
                if fate == Fate::Garbage {
                    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
                }
                let content = self.files.entry(file).or_default();
                put(content, at, &bytes);
            }
            (Fate::Kept, Pending::Name(op)) => match op {
                Op::Create(name, file) => {
                    self.names.insert(name, file);
                }
                Op::Rename(from, to) => {
                    if let Some(file) = self.names.remove(&from) {
                        self.names.insert(to, file);
                    }
                }
                Op::Remove(name) => {
                    self.names.remove(&name);
                }
                _ => unreachable!("it is no name"),
            },
        }
    }

    /// How many things are not synced.
    pub(crate) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The disk that is left if each of them, by its number, has this fate.
    pub(crate) fn left(mut self, mut fate: impl FnMut(usize) -> Fate) -> FakeDisk {
        for (number, pending) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            self.apply(pending, fate(number));
        }
        let most = self.files.keys().max().map_or(0, |most| most + 1);
        let files = (0..most).map(|file| self.files.remove(&file).unwrap_or_default());
        let files = files.collect();
        FakeDisk::of(self.names, files)
    }
}

fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = at as usize;
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Debug)]
struct FakeFile(FakeDisk, usize);

impl Disk for FakeDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.state(|state| {
            if state.names.contains_key(name) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let file = state.files.len();
            state.files.push(Vec::new());
            state.names.insert(name.to_owned(), file);
            state.trace.push(Op::Create(name.to_owned(), file));
            Ok::<_, io::Error>(file)
        })?;
        Ok(Box::new(FakeFile(self.clone(), file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.state(|state| state.names.get(name).copied());
        match file {
            Some(file) => Ok(Box::new(FakeFile(self.clone(), file))),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state(|state| {
            let file = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), file);
            state.trace.push(Op::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state(|state| {
            state.names.remove(name).ok_or(ErrorKind::NotFound)?;
            state.trace.push(Op::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.state(|state| state.trace.push(Op::SyncDir));
        Ok(())
    }
}

impl DiskFile for FakeFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state(|state| state.files[self.1].len() as u64))
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.state(|state| {
            let content = &state.files[self.1];
            let rest = content.get(at as usize..).unwrap_or(&[]);
            let got = rest.len().min(into.len());
            into[..got].copy_from_slice(&rest[..got]);
            Ok(got)
        })
    }

    fn write_all_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let meanwhile = self.0.state(|state| {
            let mut snapshots = state.names.iter().filter(|it| it.0.ends_with(".new"));
            let is_snapshot = snapshots.any(|(_, file)| *file == self.1);
            state.meanwhile.take_if(|_| is_snapshot && at > 0)
        });
        if let Some(Meanwhile(work)) = meanwhile {
            work();
        }
        self.0.state(|state| {
            if state.fail_writes {
                return Err(io::Error::other("the disk is on fire"));
            }
            // As much as there is room for: a write that fails is half done.
            let fits = state
                .room
                .map_or(bytes.len(), |room| bytes.len().min(room as usize));
            state.room = state.room.map(|room| room - fits as u64);
            put(&mut state.files[self.1], at, &bytes[..fits]);
            let op = Op::Write(self.1, at, bytes[..fits].into());
            state.trace.push(op);
            match fits == bytes.len() {
                true => Ok(()),
                false => Err(ErrorKind::StorageFull.into()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        let (state, freed) = &*self.0.0;
        let held = state.lock().unwrap();
        let mut state = freed.wait_while(held, |state| state.hold_syncs).unwrap();
        if state.fail_syncs {
            return Err(io::Error::other("the disk is on fire"));
        }
        state.trace.push(Op::Sync(self.1));
        Ok(())
    }
}
