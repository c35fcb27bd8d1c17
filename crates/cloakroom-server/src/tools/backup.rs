//! `cloakroom backup DIR TO`: copies a data directory while its server runs, and reads the copy as a start
//! would before it counts. What other programs copy may be of no use: a snapshot takes the place of files
//! while they are at it, and who reads a file from its beginning while the server writes at its end may get
//! the end without what is before it.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use cloakroom_embedded::journal::{self, Disk, DiskFile, OsDisk, Recovered};

use super::understood;
use crate::open;
use crate::serve::data_dir::{API_KEY, DataDir, check_format, write_private};

/// Copies that are tried. One fails if a snapshot takes the place of files while they are copied.
const TRIES: usize = 10;
/// Bytes that are read at once: a page, which the system changes and reads as one.
const PAGE: usize = 4096;

/// Copies the data directory `from` to `to`, which must not be there.
pub(crate) fn backup(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let journal = open::journal_dir(from);
    if !journal.is_dir() {
        let from = from.display();
        return Err(format!("{from} is no data directory, or has no journal").into());
    }
    check_format(&from.join("format"))?;
    if to.exists() {
        let to = to.display();
        return Err(format!("{to} is there already; name a directory that is not").into());
    }
    let unfinished = beside(to, ".unfinished");
    let disk = OsDisk::open(&journal)?;
    let mut tries = 0;
    let read = loop {
        tries += 1;
        match copy(from, &disk, &unfinished) {
            Ok(read) => break read,
            Err(error) if tries == TRIES => {
                let _ = fs::remove_dir_all(&unfinished);
                let from = from.display();
                return Err(format!("cannot copy {from} ({error}); nothing is left of it").into());
            }
            Err(_) => {}
        }
    };
    fs::rename(&unfinished, to)?;
    let parent = to.parent().filter(|it| !it.as_os_str().is_empty());
    fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    let (records, bytes) = (read.records, read.bytes);
    let to = to.display();
    writeln!(
        std::io::stdout(),
        "{to} holds {records} records ({bytes} bytes) and was read as a start reads it.\n\
         `cloakroom serve --data {to}` serves it."
    )?;
    Ok(())
}

/// Copies all files and reads what is there then.
fn copy(from: &Path, disk: &dyn Disk, to: &Path) -> Result<Recovered, Box<dyn Error>> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // The same as a server makes it, its mode and its version among it.
    let data = DataDir::take(to)?;
    let copied = OsDisk::open(&open::journal_dir(to))?;
    let mut names = disk.list()?;
    names.retain(|name| name.ends_with(".journal") || name.ends_with(".snapshot"));
    for name in &names {
        copy_backwards(&*disk.open(name)?, &*copied.create(name)?)?;
    }
    copied.sync_dir()?;
    match fs::read_to_string(from.join(API_KEY)) {
        Ok(key) => write_private(&data.path().join(API_KEY), &key)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    Ok(journal::recover(&copied, &mut understood)?)
}

/// Copies a file from its end to its beginning. A journal is written the other way, so what is read of it has all
/// that came before it.
fn copy_backwards(from: &dyn DiskFile, to: &dyn DiskFile) -> std::io::Result<()> {
    let mut page = vec![0; PAGE];
    let mut end = from.len()?;
    while end > 0 {
        let at = (end - 1) / PAGE as u64 * PAGE as u64;
        let wanted = usize::try_from(end - at).unwrap_or(PAGE);
        let mut got = 0;
        while got < wanted {
            match from.read_at(at + got as u64, &mut page[got..wanted])? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => got += more,
            }
        }
        to.write_all_at(at, &page[..wanted])?;
        end = at;
    }
    to.sync()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::io;

    use parking_lot::Mutex;

    use super::*;

    /// A file of so many pages, in which somebody writes two, from the beginning on, behind each that is read.
    #[derive(Debug)]
    struct InUse(Mutex<(Vec<u8>, usize)>);

    impl DiskFile for InUse {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().0.len() as u64)
        }

        fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
            let (bytes, written) = &mut *self.0.lock();
            let at = usize::try_from(at).unwrap();
            into.copy_from_slice(&bytes[at..at + into.len()]);
            let more = bytes.len().min(*written + 2 * PAGE);
            bytes[*written..more].fill(1);
            *written = more;
            Ok(into.len())
        }

        fn write_all_at(&self, at: u64, page: &[u8]) -> io::Result<()> {
            let at = usize::try_from(at).unwrap();
            self.0.lock().0[at..at + page.len()].copy_from_slice(page);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_copied_of_a_file_in_use_has_all_that_was_written_before_it() {
        let file = |bytes| InUse(Mutex::new((bytes, 0)));
        let (from, to) = (
            file(vec![0; 10 * PAGE + 100]),
            file(vec![9; 10 * PAGE + 100]),
        );
        copy_backwards(&from, &to).unwrap();
        let copied = &to.0.lock().0;
        let written = copied.iter().take_while(|byte| **byte == 1).count();
        assert!(written > 0 && copied[written..].iter().all(|byte| *byte == 0));
    }
}
