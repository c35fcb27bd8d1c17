//! The API key: 256 random bits in a file that only the server's user can read. Callers send it as
//! `Authorization: Bearer ck1_...`. It is compared by hash, and shown nowhere. There can be several in the file, one a
//! line, and SIGHUP reads it again: so a new one is taken into use before the old one is worth nothing.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::{Entropy, OsEntropy};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::data_dir::{API_KEY, DataDir, write_private};

/// What the server knows of its keys: hashes. Clones know the same.
#[derive(Clone)]
pub(crate) struct ApiKeys(Arc<Known>);

struct Known {
    hashes: RwLock<Vec<Hash>>,
    file: PathBuf,
    /// Somebody else made the file, for several servers.
    shared: bool,
}

type Hash = [u8; 32];

const PREFIX: &str = "ck1_";
const KEY_BYTES: usize = 32;
/// Keys at most: each is compared with what a request presents, and two are enough to change one for another.
const MOST: usize = 16;

impl ApiKeys {
    /// Those of this data directory; one is made if there is no file.
    pub(crate) fn open(data: &DataDir) -> Result<Self, Box<dyn Error>> {
        let file = data.path().join(API_KEY);
        if matches!(fs::metadata(&file), Err(error) if error.kind() == ErrorKind::NotFound) {
            make(&file)?;
        }
        Self::of(file, false)
    }

    /// Those in a file that somebody else made, for several servers. Its group may read it, as
    /// secrets that are mounted into containers need.
    pub(crate) fn shared(file: &Path) -> Result<Self, Box<dyn Error>> {
        Self::of(file.to_owned(), true)
    }

    fn of(file: PathBuf, shared: bool) -> Result<Self, Box<dyn Error>> {
        let hashes = read(&file, shared)?;
        Ok(Self(Arc::new(Known {
            hashes: RwLock::new(hashes),
            file,
            shared,
        })))
    }

    /// Reads the file again and returns how many there are. Those that are known stay where it cannot be used.
    pub(crate) fn read_again(&self) -> Result<usize, Box<dyn Error>> {
        let hashes = read(&self.0.file, self.0.shared)?;
        let count = hashes.len();
        *self
            .0
            .hashes
            .write()
            .unwrap_or_else(PoisonError::into_inner) = hashes;
        Ok(count)
    }

    /// Whether `presented` is one of them, in a time that does not tell which.
    pub(crate) fn has(&self, presented: &[u8]) -> bool {
        let hash: Hash = Sha256::digest(presented).into();
        let hashes = self.0.hashes.read().unwrap_or_else(PoisonError::into_inner);
        let each = hashes.iter().map(|known| hash.ct_eq(known));
        each.fold(Choice::from(0), |any, this| any | this).into()
    }

    /// Where they are.
    pub(crate) fn file(&self) -> &Path {
        &self.0.file
    }
}

/// The hashes of the keys in a file, one a line.
fn read(file: &Path, shared: bool) -> Result<Vec<Hash>, Box<dyn Error>> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| match shared {
        true => format!(
            "setting api-key-file = {shown:?}: cannot read it ({error}); name the file with the \
             key, which can be a copy of the api-key that another server made"
        ),
        false => format!("cannot read the API key in {shown} ({error})"),
    })?;
    refuse_open(file, shared)?;
    let lines = text.lines().map(str::trim_ascii);
    let keys: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if !keys.is_empty() && keys.len() <= MOST && keys.iter().all(|key| is_key(key)) {
        return Ok(keys.iter().map(|key| Sha256::digest(key).into()).collect());
    }
    let form =
        format!("a key is {PREFIX} and 43 characters of base64url, one a line, {MOST} at most");
    Err(match shared {
        true => format!(
            "setting api-key-file = {shown:?}: there is no API key in it, or something else; {form}, as a \
             server makes it in its data directory"
        ),
        false => format!(
            "{shown} holds no API key, or something else ({form}); remove the file and a new key is made at \
             the next start"
        ),
    }
    .into())
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeys(secret)")
    }
}

fn make(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut bytes = [0; KEY_BYTES];
    OsEntropy.fill(&mut bytes)?;
    let key = format!("{PREFIX}{}\n", URL_SAFE_NO_PAD.encode(bytes));
    write_private(file, &key)
        .map_err(|error| format!("cannot write the API key to {} ({error})", file.display()))?;
    Ok(())
}

fn is_key(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .is_some_and(|bytes| bytes.len() == KEY_BYTES)
}

/// Nobody else may read the file; of one that is shared its group may.
fn refuse_open(file: &Path, shared: bool) -> Result<(), Box<dyn Error>> {
    let mode = fs::metadata(file)?.permissions().mode() & 0o777;
    let others = if shared { 0o037 } else { 0o077 };
    if mode & others == 0 {
        return Ok(());
    }
    let shown = file.display();
    Err(match shared {
        true => format!(
            "setting api-key-file = {shown:?}: others can read or change it (mode {mode:03o}); \
             close it with `chmod 640 {shown}`, or make a new key if somebody may have read it"
        ),
        false => format!(
            "others can read the API key (mode {mode:03o}); close it with `chmod 600 {shown}`, or remove it \
             if somebody may have read it: a new one is made at the next start"
        ),
    }
    .into())
}
