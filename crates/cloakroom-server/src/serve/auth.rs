//! The API key: 256 random bits in a file that only the server's user can read. Callers send it as
//! `Authorization: Bearer ck1_...`. It is compared by hash, and shown nowhere.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cloakroom_core::{Entropy, OsEntropy};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::data_dir::{API_KEY, DataDir, write_private};

/// What the server knows of its key: a hash.
pub(crate) struct ApiKey {
    hash: [u8; 32],
    file: PathBuf,
}

const PREFIX: &str = "ck1_";
const KEY_BYTES: usize = 32;

impl ApiKey {
    /// The key of this data directory; made if there is none.
    pub(crate) fn open(data: &DataDir) -> Result<Self, Box<dyn Error>> {
        let file = data.path().join(API_KEY);
        let text = match fs::read_to_string(&file) {
            Ok(text) => {
                refuse_readable_by_others(&file)?;
                text
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(&file)?,
            Err(error) => {
                return Err(
                    format!("cannot read the API key in {} ({error})", file.display()).into(),
                );
            }
        };
        let key = text.trim_ascii();
        if !is_key(key) {
            return Err(format!(
                "{} holds no API key; remove the file and a new key is made at the next start",
                file.display()
            )
            .into());
        }
        Ok(Self::of(key, file))
    }

    /// The key in a file that somebody else made, for several servers. Its group may read it, as
    /// secrets that are mounted into containers need.
    pub(crate) fn shared(file: &Path) -> Result<Self, Box<dyn Error>> {
        let shown = file.display();
        let text = fs::read_to_string(file).map_err(|error| {
            format!(
                "setting api-key-file = {shown:?}: cannot read it ({error}); name the file with the \
                 key, which can be a copy of the api-key that another server made"
            )
        })?;
        let mode = fs::metadata(file)?.permissions().mode();
        if mode & 0o037 != 0 {
            return Err(format!(
                "setting api-key-file = {shown:?}: others can read or change it (mode {:03o}); \
                 close it with `chmod 640 {shown}`, or make a new key if somebody may have read it",
                mode & 0o777,
            )
            .into());
        }
        let key = text.trim_ascii();
        if !is_key(key) {
            return Err(format!(
                "setting api-key-file = {shown:?}: there is no API key in it; a key is {PREFIX} and \
                 43 characters of base64url, as a server makes it in its data directory"
            )
            .into());
        }
        Ok(Self::of(key, file.to_owned()))
    }

    fn of(key: &str, file: PathBuf) -> Self {
        Self {
            hash: Sha256::digest(key).into(),
            file,
        }
    }

    /// Whether `presented` is the key, in constant time.
    pub(crate) fn is(&self, presented: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(presented).into();
        hash.ct_eq(&self.hash).into()
    }

    /// Where the key is.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(secret)")
    }
}

fn make(file: &Path) -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; KEY_BYTES];
    OsEntropy.fill(&mut bytes)?;
    let key = format!("{PREFIX}{}\n", URL_SAFE_NO_PAD.encode(bytes));
    write_private(file, &key)
        .map_err(|error| format!("cannot write the API key to {} ({error})", file.display()))?;
    Ok(key)
}

fn is_key(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .is_some_and(|bytes| bytes.len() == KEY_BYTES)
}

fn refuse_readable_by_others(file: &Path) -> Result<(), Box<dyn Error>> {
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let file = file.display();
    Err(format!(
        "others can read the API key (mode {:03o}); close it with `chmod 600 {file}`, or remove it \
         if somebody may have read it: a new one is made at the next start",
        mode & 0o777,
    )
    .into())
}
