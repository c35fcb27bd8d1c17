//! Saves by script that are begun at once ([`crate::wire::Begun`]): what is nearly always possible, without
//! what only the rest needs. Whatever does not come to a save goes on the long way ([`super::scripted`]).

use std::time::Instant;

use cloakroom_core::id::StoredKey;
use cloakroom_core::record::{Change, Changes, Condition};
use cloakroom_core::{Error, Record};

use super::Tried;
use super::scripted::{Made, Scripted, packed_command};
use crate::failure::Class;
use crate::head;
use crate::scripts::By;
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
    pub(crate) async fn tried(&mut self) -> Result<Option<Tried>, Error> {
        let reply = match (&mut self.begun).await {
            Err(failure) if failure.class() == Class::NoScript => return Ok(None),
            reply => reply?,
        };
        match self.made.take() {
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
        let script = &self.scripts.apply;
        let (command, made) = match self.layout {
            LayoutName::Packed => {
                let before = hint.filter(|before| before.meets(condition))?;
                let made = before.applied(changes, before.times.seen_at).ok()?;
                let expected = head::identity(before);
                let command = packed_command(script, By::Hash, key, &expected, &made.0);
                (command, Some(made))
            }
            LayoutName::Fields | LayoutName::Plain => {
                // What Redis takes for no integer is counted here, on the long way.
                let counts = |(_, change): (_, &Change)| matches!(change, Change::Increment(_));
                if changes.iter().any(counts) {
                    return None;
                }
                self.check(changes).ok()?;
                let command = self.fields_command(By::Hash, key, changes, condition);
                (command, None)
            }
        };
        Some(Applying {
            begun: self.route.begin_call(script.lane, command, since)?,
            steps: self,
            made,
        })
    }
}
