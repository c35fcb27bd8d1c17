//! The settings of other frameworks' sessions.

use std::path::PathBuf;
use std::time::Duration;

use cloakroom_core::ErrorKind;
use cloakroom_core::layout::{LayoutSetting, Layouts};

use super::{LowSettings, SettingError, parse, table};

/// Which keys are sessions, and how long they live.
#[derive(Clone, Debug)]
pub(crate) struct Foreign {
    pub(crate) layouts: Layouts,
    pub(crate) absolute: Duration,
    pub(crate) idle: Option<Duration>,
    pub(crate) unstated: Duration,
    /// The file with the keys that seal values.
    pub(crate) seal_keys: Option<PathBuf>,
}

const ANSWERS: [(&str, bool); 2] = [("yes", true), ("no", false)];

impl Foreign {
    /// What `low` means.
    pub(super) fn from_low(low: &LowSettings) -> Result<Self, SettingError> {
        let seal_keys = low.parse(&table::LAYOUT_SEAL_KEY_FILE, parse::optional_path)?;
        let hashed = low.parse(&table::LAYOUT_HASH_IDS, |text| {
            parse::one_of(text, &ANSWERS)
        })?;
        let layouts = low.parse(&table::LAYOUTS, layouts)?;
        let layouts = layouts.at_rest(hashed, seal_keys.is_some());
        if layouts.any_sealed() && seal_keys.is_none() {
            return Err(low.refuse(
                &table::LAYOUT_SEAL_KEY_FILE,
                "a layout has values=sealed: name a file with a key, as `openssl rand -hex 32` \
                 makes one",
            ));
        }
        Ok(Self {
            layouts,
            seal_keys,
            absolute: low.parse(&table::LAYOUT_ABSOLUTE, parse::lifetime)?,
            idle: low.parse(&table::LAYOUT_IDLE, |text| {
                parse::or_none(text, parse::lifetime)
            })?,
            unstated: low.parse(&table::LAYOUT_UNSTATED, parse::lifetime)?,
        })
    }
}

fn layouts(text: &str) -> Result<Layouts, String> {
    if text == "none" {
        return Ok(Layouts::none());
    }
    let rows = LayoutSetting::parse_all(text);
    rows.and_then(|rows| Layouts::with(&rows))
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidSetting { value, fix, .. } => format!("{value:?}: {fix}"),
            _ => error.to_string(),
        })
}
