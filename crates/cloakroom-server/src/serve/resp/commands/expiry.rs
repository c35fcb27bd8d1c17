//! Deadlines of keys.

use crate::serve::resp::args::Clock;
use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::table::{Command, Done, FAST, Group::Generic, ONE, READ, Run, WRITE};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 9] = [
    Command::new("expire", -3, WRITE | FAST, ONE, Generic, "1.0.0", "Has a key end in so many seconds.", Run::Keys(|call| expire(call, Clock::InSeconds))),
    Command::new("pexpire", -3, WRITE | FAST, ONE, Generic, "2.6.0", "Has a key end in so many milliseconds.", Run::Keys(|call| expire(call, Clock::InMillis))),
    Command::new("expireat", -3, WRITE | FAST, ONE, Generic, "1.2.0", "Has a key end at this second.", Run::Keys(|call| expire(call, Clock::AtSeconds))),
    Command::new("pexpireat", -3, WRITE | FAST, ONE, Generic, "2.6.0", "Has a key end at this millisecond.", Run::Keys(|call| expire(call, Clock::AtMillis))),
    Command::new("persist", 2, WRITE | FAST, ONE, Generic, "2.2.0", "Takes a key's deadline away.", Run::Keys(persist)),
    Command::new("ttl", 2, READ | FAST, ONE, Generic, "1.0.0", "Says in how many seconds a key ends.", Run::Keys(|call| tell(call, Tell::Seconds))),
    Command::new("pttl", 2, READ | FAST, ONE, Generic, "2.6.0", "Says in how many milliseconds a key ends.", Run::Keys(|call| tell(call, Tell::Millis))),
    Command::new("expiretime", 2, READ | FAST, ONE, Generic, "7.0.0", "Says at which second a key ends.", Run::Keys(|call| tell(call, Tell::AtSeconds))),
    Command::new("pexpiretime", 2, READ | FAST, ONE, Generic, "7.0.0", "Says at which millisecond a key ends.", Run::Keys(|call| tell(call, Tell::AtMillis))),
];

/// On which condition a deadline is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    none: bool,
    some: bool,
    later: bool,
    sooner: bool,
}

impl Condition {
    /// Reads one word.
    pub(super) fn word(&mut self, word: &[u8]) -> bool {
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("nx") => self.none = true,
            () if is("xx") => self.some = true,
            () if is("gt") => self.later = true,
            () if is("lt") => self.sooner = true,
            () => return false,
        }
        true
    }

    /// Whether there is none, so that the old deadline need not be looked at.
    fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Whether the words go together.
    pub(super) fn check(self) -> Result<Self, Fail> {
        if self.none && (self.some || self.later || self.sooner) {
            return Err(Fail::say(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if self.later && self.sooner {
            return Err(Fail::say(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(self)
    }

    /// Whether this deadline may take the place of that one.
    pub(super) fn allows(self, old: Option<i64>, new: i64) -> bool {
        !(self.none && old.is_some()
            || self.some && old.is_none()
            || self.later && old.is_none_or(|old| new <= old)
            || self.sooner && old.is_some_and(|old| new >= old))
    }
}

fn expire(call: &mut Call<'_, '_, '_>, clock: Clock) -> Done {
    let key = call.key();
    let mut condition = Condition::default();
    for word in call.args.from(3) {
        if !condition.word(word) {
            let word = String::from_utf8_lossy(word);
            return Err(Fail::from(format!("ERR Unsupported option {word}")));
        }
    }
    let condition = condition.check()?;
    let moment = clock.moment(call.args.integer(2)?, call.keys.now);
    let moment = moment.ok_or(Fail::Expire(call.name))?;
    let allowed = condition.is_none()
        || match call.keys.deadline(key) {
            None => false,
            Some(old) => condition.allows(old, moment),
        };
    let done = allowed && call.keys.set_deadline(key, Some(moment));
    if done {
        let event = if moment <= call.keys.now {
            "del"
        } else {
            "expire"
        };
        call.keys.event(Class::Generic, event, key);
    }
    call.out.truth(done);
    Ok(())
}

fn persist(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let had = call.keys.deadline(key).flatten().is_some();
    if had {
        call.keys.set_deadline(key, None);
        call.keys.event(Class::Generic, "persist", key);
    }
    call.out.truth(had);
    Ok(())
}

/// How a deadline is told.
#[derive(Clone, Copy)]
pub(super) enum Tell {
    Seconds,
    Millis,
    AtSeconds,
    AtMillis,
}

impl Tell {
    pub(super) fn say(self, deadline: i64, now: i64) -> i64 {
        match self {
            Self::Seconds => ((deadline - now).max(0) + 500) / 1_000,
            Self::Millis => (deadline - now).max(0),
            Self::AtSeconds => (deadline + 500) / 1_000,
            Self::AtMillis => deadline,
        }
    }
}

fn tell(call: &mut Call<'_, '_, '_>, how: Tell) -> Done {
    let said = match call.keys.deadline(call.args.get(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => how.say(deadline, call.keys.now),
    };
    call.out.integer(said);
    Ok(())
}
