//! The settings of other frameworks' sessions.

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
}

impl Foreign {
    /// What `low` means.
    pub(super) fn from_low(low: &LowSettings) -> Result<Self, SettingError> {
        Ok(Self {
            layouts: low.parse(&table::LAYOUTS, layouts)?,
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
