//! Saves by script that are begun at once ([`crate::wire::Begun`]): what is nearly always possible, without
//! what only the rest needs. Whatever does not come to a save goes on the long way ([`super::scripted`]).

use std::time::Instant;

use cloakroom_core::id::StoredKey;
use cloakroom_core::record::{Change, Changes, Condition};
use cloakroom_core::{Error, Record};

use super::Tried;
use super::scripted::{Made, Scripted, packed_call};
use crate::failure::Class;
use crate::head;
use crate::settings::LayoutName;
use crate::wire::Begun;

/// A save that was begun.
pub(crate) struct Applying<'a> {
    begun: Begun<'a>,
    steps: &'a Scripted,
    /// What will be there, where this process made it.
    made: Option<Made>,
}

impl Applying<'_> {
    /// What came of it; `None`: nothing, and it must be done the long way.
    pub(crate) async fn tried(self) -> Result<Option<Tried>, Error> {
        let reply = match self.begun.reply().await {
            Err(failure) if failure.class() == Class::NoScript => return Ok(None),
            reply => reply?,
        };
        match self.made {
            Some(made) => self.steps.packed_said(reply, made).map(Some),
            None => self.steps.fields_said(reply),
        }
    }
}

impl Scripted {
    pub(super) fn begin<'a>(
        &'a self,
        key: &StoredKey,
        hint: Option<&Record>,
        changes: &Changes,
        condition: &Condition,
        since: Instant,
    ) -> Option<Applying<'a>> {
        let (call, made) = match self.layout {
            LayoutName::Packed => {
                let before = hint.filter(|before| before.meets(condition))?;
                let made = before.applied(changes, before.times.seen_at).ok()?;
                let expected = head::identity(before);
                (packed_call(key, &expected, &made.0), Some(made))
            }
            LayoutName::Fields | LayoutName::Plain => {
                // What Redis takes for no integer is counted here, on the long way.
                let counts = |(_, change): (_, &Change)| matches!(change, Change::Increment(_));
                if changes.iter().any(counts) {
                    return None;
                }
                (self.fields_call(key, changes, condition).ok()?, None)
            }
        };
        let script = &self.scripts.apply;
        let command = || script.by_hash(&call.keys, &call.args);
        Some(Applying {
            begun: self.route.begin_call(script.lane, &command, since)?,
            steps: self,
            made,
        })
    }
}
