//! What a script is called with, and what it says.

use std::borrow::Cow;

use cloakroom_core::UnixMillis;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::Condition;

use super::Found;
use crate::failure::Failure;
use crate::head;
use crate::scripts::Words;
use crate::settings::LayoutName;
use crate::wire::{self, Command, Reply};

/// The keys, all of one tag as far as nodes are concerned, and the arguments of a script.
pub(super) struct Call {
    pub(super) tag: SlotTag,
    pub(super) keys: Words,
    pub(super) args: Words,
}

impl Call {
    pub(super) fn new<const N: usize>(tag: SlotTag, keys: [String; N]) -> Self {
        Self {
            tag,
            keys: keys.into_iter().collect(),
            args: Words::default(),
        }
    }

    pub(super) fn arg(&mut self, arg: impl AsRef<[u8]>) {
        self.args.push(arg);
    }
}

/// The words that say a condition.
pub(super) fn add_condition(command: &mut Command, layout: LayoutName, condition: &Condition) {
    match condition {
        Condition::Always => command.arg("always").arg("").arg(""),
        Condition::Version(version) => {
            let version = version.to_be_bytes();
            command.arg("version").arg(&version[2..]).arg("")
        }
        Condition::Field { name, expected } => match expected {
            None => command.arg("missing").arg(name.as_str()).arg(""),
            Some(value) => command
                .arg("equal")
                .arg(name.as_str())
                .arg(layout.encode_value(value.as_ref())),
        },
    };
}

/// What a script said that may have taken its quick way.
pub(super) enum Said {
    /// It has, and this number came of it.
    Number(u64),
    Answer(Answer),
}

impl Said {
    pub(super) fn of(reply: Reply) -> Result<Self, Failure> {
        match reply {
            Reply::Int(number) => Ok(Self::Number(number.cast_unsigned())),
            reply => Answer::of(reply).map(Self::Answer),
        }
    }
}

/// What a script said.
pub(super) struct Answer {
    pub(super) word: Cow<'static, str>,
    pub(super) now: UnixMillis,
    pub(super) rest: Vec<Reply>,
}

impl Answer {
    pub(super) fn of(reply: Reply) -> Result<Self, Failure> {
        let mut items = wire::array(reply)?.into_iter();
        let missing = || Failure::protocol("a script's reply is too short");
        let word = wire::bytes(items.next().ok_or_else(missing)?)?.ok_or_else(missing)?;
        let now = wire::integer(&items.next().ok_or_else(missing)?)?;
        Ok(Self {
            word: match &*word {
                b"ok" => Cow::Borrowed("ok"),
                other => Cow::Owned(String::from_utf8_lossy(other).into_owned()),
            },
            now: UnixMillis::new(u64::try_from(now).unwrap_or_default()),
            rest: items.collect(),
        })
    }

    /// What was found under each key.
    pub(super) fn found(self) -> Result<Vec<Found>, Failure> {
        let now = self.now;
        let found = self.rest.into_iter().map(|reply| match reply {
            Reply::Int(1) => Ok(Found::Alive),
            Reply::Int(_) => Ok(Found::Dead),
            raw => {
                let bytes = wire::bytes(raw)?.unwrap_or_default();
                let marker = head::decode_marker(&bytes)
                    .ok_or_else(|| Failure::foreign("a marker is none of ours"))?;
                Ok(match marker.forward {
                    Some((target, until)) if now < until => Found::Moved(target),
                    _ => Found::Dead,
                })
            }
        });
        found.collect()
    }
}
