//! Settings as people wrote them: text, and where it came from. A flag wins over the environment,
//! that over the file, that over the default.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::table::{CONFIG, ENV_PREFIX, Setting, TABLE};
use super::{SettingError, masked};

/// Every value that was given, by the setting's name. It has no `Debug`: a value may be a secret.
#[derive(Clone, Default)]
pub(crate) struct LowSettings {
    given: BTreeMap<&'static str, (String, Origin)>,
    unknown_variables: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The flag of this name.
    Flag(&'static str),
    /// The environment variable of this name.
    Environment(String),
    /// This file.
    File(PathBuf),
    /// Nobody gave it.
    Default,
}

impl LowSettings {
    /// Collects what flags, environment and file say.
    pub(crate) fn gather(
        flag: impl Fn(&Setting) -> Option<String>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingError> {
        let mut low = Self::default();
        let environment: BTreeMap<String, String> = environment
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        for setting in TABLE {
            let variable = setting.env();
            if let Some(value) = flag(setting) {
                low.give(setting, value, Origin::Flag(setting.name));
            } else if let Some(value) = environment.get(&variable) {
                low.give(setting, value.clone(), Origin::Environment(variable));
            }
        }
        let known: Vec<String> = TABLE.iter().map(|setting| setting.env()).collect();
        low.unknown_variables = environment.into_keys().collect();
        low.unknown_variables.retain(|name| !known.contains(name));
        low.read_file()?;
        Ok(low)
    }

    /// The same with what the file says by now.
    pub(crate) fn read_again(&self) -> Result<Self, SettingError> {
        let mut low = self.clone();
        low.given
            .retain(|_, (_, origin)| !matches!(origin, Origin::File(_)));
        low.read_file()?;
        Ok(low)
    }

    /// What a setting means to `parse`, which says how to mend a value that means nothing.
    pub(crate) fn parse<T>(
        &self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingError> {
        let (value, _) = self.get(setting);
        parse(value).map_err(|fix| self.refuse(setting, fix))
    }

    /// The error that this setting's value will not do.
    pub(crate) fn refuse(&self, setting: &Setting, fix: impl Into<String>) -> SettingError {
        let (value, origin) = self.get(setting);
        SettingError {
            setting: setting.name.to_owned(),
            value: setting.shown(value),
            origin,
            fix: fix.into(),
        }
    }

    /// Where a setting's value comes from.
    pub(crate) fn origin(&self, setting: &Setting) -> Origin {
        self.get(setting).1
    }

    /// Environment variables with our prefix that name no setting.
    pub(crate) fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    fn get(&self, setting: &Setting) -> (&str, Origin) {
        match self.given.get(setting.name) {
            Some((value, origin)) => (value, origin.clone()),
            None => (setting.default, Origin::Default),
        }
    }

    fn give(&mut self, setting: &'static Setting, value: String, origin: Origin) {
        self.given.entry(setting.name).or_insert((value, origin));
    }

    fn read_file(&mut self) -> Result<(), SettingError> {
        let path = PathBuf::from(self.get(&CONFIG).0);
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&path).map_err(|error| {
            self.refuse(&CONFIG, format!("name a file that can be read ({error})"))
        })?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            // Without the line itself, which may hold a password.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            let what = error.message();
            self.refuse(&CONFIG, format!("mend the file: line {line}: {what}"))
        })?;
        for (key, value) in table {
            let setting = TABLE.iter().find(|setting| setting.key() == key);
            let refuse = |fix: &str| SettingError {
                setting: key.clone(),
                value: masked::url(&value.to_string()),
                origin: Origin::File(path.clone()),
                fix: fix.to_owned(),
            };
            let Some(setting) = setting.filter(|setting| setting.name != CONFIG.name) else {
                return Err(refuse(
                    "there is no such setting in a file; `cloakroom serve --help` lists them \
                     (with _ in place of -)",
                ));
            };
            let text = match &value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                _ => return Err(refuse("give text in quotes, or a whole number")),
            };
            self.give(setting, text, Origin::File(path.clone()));
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "from the flag --{name}"),
            Self::Environment(name) => write!(f, "from the environment variable {name}"),
            Self::File(path) => write!(f, "from the file {}", path.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}
