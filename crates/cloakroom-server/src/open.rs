//! From settings to a store: the only place that knows which stores there are.

use std::error::Error as _;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloakroom_core::{Error, ErrorKind, Observer, Store};
pub(crate) use cloakroom_embedded::journal::Durability;
use cloakroom_embedded::journal::{JournalConfig, OsDisk, RecoverError};
use cloakroom_embedded::{
    EmbeddedConfig, EmbeddedStore, Foreign, ForeignConfig, SealKeys, WithForeign,
};
pub(crate) use cloakroom_embedded::{Eviction, MIN_MEMORY};
use cloakroom_redis::RedisStore;

use crate::settings::{Origin, Settings, masked};

/// Which store the settings ask for.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// The one in this process's memory.
    Embedded,
    /// One that other servers may share.
    Shared(StoreUrl),
}

/// A store's URL, parsed. Neither `Debug` nor `Display` shows its password.
#[derive(Clone)]
pub(crate) struct StoreUrl {
    redis: Box<cloakroom_redis::Settings>,
    masked: String,
    /// Where it was written.
    pub(crate) origin: Origin,
    /// Whether a password is in it.
    pub(crate) has_password: bool,
}

/// The name of the store that needs no URL.
const EMBEDDED: &str = "embedded";
/// The longest that a store's own setting takes.
const PATIENCE_MOST: Duration = Duration::from_secs(60);

impl Choice {
    /// Reads the setting. The error says what to write instead, and repeats no secret.
    pub(crate) fn parse(text: &str, origin: Origin, deadline: Duration) -> Result<Self, String> {
        if text == EMBEDDED {
            return Ok(Self::Embedded);
        }
        refuse_ambiguous(text)?;
        let redis = cloakroom_redis::Settings::parse(&with_deadline(text, deadline));
        let redis = redis.map_err(|error| match error.kind() {
            // Without the value: it may be a part of a password that was cut at a wrong place.
            ErrorKind::InvalidSetting { setting, fix, .. } => format!("{setting}: {fix}"),
            kind => Error::from(kind.clone()).to_string(),
        })?;
        Ok(Self::Shared(StoreUrl {
            redis: Box::new(redis),
            masked: masked::url(text),
            origin,
            has_password: masked::url(text).contains(masked::PASSWORD),
        }))
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str(EMBEDDED),
            Self::Shared(url) => f.write_str(&url.masked),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({})", self.masked)
    }
}

/// A store that is open.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// What everybody uses.
    pub(crate) store: Arc<dyn Store>,
    /// The same, if it is the embedded one: it has a journal to be asked about.
    pub(crate) embedded: Option<EmbeddedStore>,
    /// Sessions of other frameworks in it, beside its own.
    pub(crate) foreign: Option<Arc<WithForeign>>,
}

/// Where in the data directory the journal is.
const JOURNAL: &str = "journal";

/// Opens the store that the settings ask for. The embedded one begins with what its journal holds.
/// `theirs` is told of the sessions of other frameworks.
///
/// # Errors
/// A text that names the setting, what answered, and what to do.
pub(crate) async fn store(
    settings: &Settings,
    observer: Arc<dyn Observer>,
    theirs: Arc<dyn Observer>,
) -> Result<Opened, String> {
    match &settings.store {
        Choice::Embedded => {
            let store = embedded(settings, observer)?;
            let foreign = foreign(settings, &store, theirs)?;
            Ok(Opened {
                store: Arc::clone(&foreign) as Arc<dyn Store>,
                embedded: Some(store),
                foreign: Some(foreign),
            })
        }
        Choice::Shared(url) => {
            match RedisStore::connect(&url.redis.as_ref().clone().observer(observer)).await {
                Ok(store) => Ok(Opened {
                    store: Arc::new(store),
                    embedded: None,
                    foreign: None,
                }),
                Err(error) => Err(format!(
                    "setting store = {:?} ({}) cannot be opened: {}",
                    url.masked,
                    url.origin,
                    reason(&error)
                )),
            }
        }
    }
}

/// The engine's own sessions with those of other frameworks beside them.
fn foreign(
    settings: &Settings,
    store: &EmbeddedStore,
    observer: Arc<dyn Observer>,
) -> Result<Arc<WithForeign>, String> {
    let told = &settings.foreign;
    let keys = told.seal_keys.as_deref().map(seal_keys).transpose()?;
    let config = ForeignConfig::default()
        .seal_keys(keys)
        .layouts(told.layouts.clone())
        .absolute(told.absolute)
        .idle(told.idle)
        .unstated(told.unstated)
        .observer(observer);
    let foreign = Foreign::new(config).map_err(|error| error.to_string())?;
    // What came back from a journal did not pass by here.
    let taken = foreign.reindex(&store.engine());
    if let Some(key) = taken.missing {
        return Err(match &told.seal_keys {
            Some(file) => format!(
                "setting layout-seal-key-file = {file:?}: sessions in {} are sealed with key {key}, \
                 which is not in the file; put it back, below the key that is to seal from now on. \
                 Without it nobody can read these sessions",
                settings.data.display()
            ),
            None => format!(
                "sessions in {} are sealed with key {key}; name the file that has it with \
                 --layout-seal-key-file FILE",
                settings.data.display()
            ),
        });
    }
    if taken.rewritten > 0 || taken.lost > 0 {
        let (rewritten, lost) = (taken.rewritten, taken.lost);
        tracing::info!(
            rewritten,
            lost,
            "sessions are kept as layout-hash-ids and layout-seal-key-file say now"
        );
    }
    Ok(Arc::new(WithForeign::new(store.clone(), Arc::new(foreign))))
}

/// The keys in a file. Its group may read it, as secrets that are mounted into containers need.
fn seal_keys(file: &Path) -> Result<SealKeys, String> {
    let told = |why: String| format!("setting layout-seal-key-file = {file:?}: {why}");
    let text = fs::read_to_string(file).map_err(|error| {
        told(format!(
            "cannot read it ({error}); make one with `openssl rand -hex 32 > FILE` and `chmod 600 FILE`"
        ))
    })?;
    let mode = fs::metadata(file)
        .map_err(|error| told(error.to_string()))?
        .permissions()
        .mode();
    if mode & 0o037 != 0 {
        let mode = mode & 0o777;
        return Err(told(format!(
            "others can read or change it (mode {mode:03o}); close it with `chmod 600`, or put a new \
             key in front if somebody may have read it"
        )));
    }
    SealKeys::parse(&text).map_err(|error| match error.kind() {
        ErrorKind::InvalidSetting { value, fix, .. } => told(format!("{value}: {fix}")),
        _ => told(error.to_string()),
    })
}

fn embedded(settings: &Settings, observer: Arc<dyn Observer>) -> Result<EmbeddedStore, String> {
    let dir = journal_dir(&settings.data);
    let disk = OsDisk::open(&dir)
        .map_err(|error| format!("cannot use {} for the journal: {error}", dir.display()))?;
    // What was written before that was so may be in plain.
    let layouts = &settings.foreign.layouts;
    let hides = layouts.any_hashed() || layouts.any_sealed();
    let journal = JournalConfig::new(Arc::new(disk))
        .durability(settings.durability)
        .reuse(!hides);
    let config = EmbeddedConfig::default()
        .max_memory(settings.max_memory)
        .eviction(settings.eviction)
        .observer(observer)
        .journal(journal);
    let store = EmbeddedStore::new(config).map_err(|error| refused(settings, &error))?;
    if let Some(read) = store.recovered() {
        tracing::info!(
            records = read.records,
            bytes = read.bytes,
            "the journal is read"
        );
        if let Some(cut) = &read.cut {
            tracing::warn!(file = cut.file, at = cut.at, bytes = cut.bytes, "{cut}");
        }
    }
    Ok(store)
}

/// Where the journal is.
pub(crate) fn journal_dir(data: &Path) -> PathBuf {
    data.join(JOURNAL)
}

/// Why there is no store, and what to do about it.
fn refused(settings: &Settings, error: &Error) -> String {
    let source = error
        .source()
        .and_then(|it| it.downcast_ref::<RecoverError>());
    let Some(source) = source else {
        return reason(error);
    };
    let data = settings.data.display();
    let fix = match source {
        RecoverError::Newer { .. } => {
            "use the version that wrote it, or another directory with --data DIR".to_owned()
        }
        damage if damage.is_damage() => format!(
            "bring the directory back from a backup, or keep what verifies with `cloakroom repair \
             --keep-what-verifies {data}`"
        ),
        _ => "see to the disk, and start again".to_owned(),
    };
    format!("the journal in {data}: {source}; {fix}")
}

/// What is wrong, with what the store answered. No secret is in it.
pub(crate) fn reason(error: &Error) -> String {
    match error.source() {
        None => error.to_string(),
        Some(source) => format!("{error}: {source}"),
    }
}

/// What has a meaning in a URL ends a password early, and the rest of it would be taken for a host, a
/// database or a parameter.
fn refuse_ambiguous(text: &str) -> Result<(), String> {
    let Some((_, rest)) = text.split_once("://") else {
        return Ok(());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    if rest[end..].contains('@') || rest[end..].contains('#') {
        return Err(
            "write what has a meaning in a URL as %XX: / as %2F, ? as %3F, # as %23, @ as %40"
                .to_owned(),
        );
    }
    Ok(())
}

/// The store gives up when its callers do, unless the URL says something else.
fn with_deadline(text: &str, deadline: Duration) -> String {
    let query = text.split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair.starts_with("timeout=")) {
        return text.to_owned();
    }
    let joint = if text.contains('?') { '&' } else { '?' };
    let millis = deadline.min(PATIENCE_MOST).as_millis().max(1);
    format!("{text}{joint}timeout={millis}")
}
