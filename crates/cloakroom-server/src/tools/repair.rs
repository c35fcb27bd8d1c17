//! `cloakroom repair --keep-what-verifies DIR`: makes a journal that is refused one that is read
//! again, and says what that cost.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use cloakroom_core::Clock as _;
use cloakroom_embedded::SystemClock;
use cloakroom_embedded::journal::{self, Disk, OsDisk};

use super::understood;
use crate::open;
use crate::serve::data_dir::DataDir;

/// Repairs the journal in the data directory `dir`.
pub(crate) fn repair(dir: &Path) -> Result<(), Box<dyn Error>> {
    if !dir.is_dir() {
        return Err(format!("{} is no data directory", dir.display()).into());
    }
    // Held until the end: no server begins with what is half done.
    let _data = DataDir::take(dir)?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(&open::journal_dir(dir))?);
    let mut out = std::io::stdout();
    if let Ok(read) = journal::recover(&*disk, &mut understood) {
        let records = read.records;
        writeln!(
            out,
            "nothing is damaged: {records} records; nothing is changed"
        )?;
        return Ok(());
    }
    let now = SystemClock.now().as_millis();
    let repaired = journal::repair(&disk, now, &mut understood)?;
    writeln!(out, "{} records kept", repaired.records)?;
    for (file, at, bytes) in &repaired.lost {
        writeln!(out, "lost: {bytes} bytes of {file}, from byte {at} on")?;
    }
    for file in &repaired.missing {
        writeln!(out, "lost: all of {file}, which is not there")?;
    }
    writeln!(
        out,
        "The end of a session may be among what is lost; if that matters more than its visitors' \
         sign-ins, end all sessions."
    )?;
    for file in &repaired.aside {
        writeln!(out, "as it was: {file}")?;
    }
    Ok(())
}
