//! Strings: reading and setting them. A session is one of these in most frameworks, so `GET`, `SET`, `GETEX`
//! and `SETEX` allocate nothing.

use cloakroom_embedded::Written;

use crate::serve::resp::args::Clock;
use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::table::{
    ALL, Command, Done, FAST, GROWS, Group::String, Keys, ONE, READ, Run, WRITE,
};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 13] = [
    Command::new("get", 2, READ | FAST, ONE, String, "1.0.0", "Returns the value of a key.", Run::Keys(get)),
    Command::new("set", -3, WRITE | GROWS, ONE, String, "1.0.0", "Sets a key to a value, whatever it held.", Run::Keys(set)),
    Command::new("setex", 4, WRITE | GROWS, ONE, String, "2.0.0", "Sets a key to a value for so many seconds.", Run::Keys(setex)),
    Command::new("psetex", 4, WRITE | GROWS, ONE, String, "2.6.0", "Sets a key to a value for so many milliseconds.", Run::Keys(psetex)),
    Command::new("setnx", 3, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Sets a key to a value only if it is not there.", Run::Keys(setnx)),
    Command::new("getset", 3, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Sets a key and returns what it held.", Run::Keys(getset)).looks(),
    Command::new("getdel", 2, WRITE | FAST, ONE, String, "6.2.0", "Returns the value of a key and removes it.", Run::Keys(getdel)).looks(),
    Command::new("getex", -2, WRITE | FAST, ONE, String, "6.2.0", "Returns the value of a key and changes its deadline.", Run::Keys(getex)).looks(),
    Command::new("mget", -2, READ | FAST, ALL, String, "1.0.0", "Returns the values of keys.", Run::Keys(mget)),
    Command::new("mset", -3, WRITE | GROWS, Keys::Range(1, -1, 2), String, "1.0.1", "Sets keys to values.", Run::Keys(mset)),
    Command::new("msetnx", -3, WRITE | GROWS, Keys::Range(1, -1, 2), String, "1.0.1", "Sets keys to values only if none of them is there.", Run::Keys(msetnx)),
    Command::new("strlen", 2, READ | FAST, ONE, String, "2.2.0", "Returns the length of a value.", Run::Keys(strlen)),
    Command::new("getrange", 4, READ, ONE, String, "2.4.0", "Returns a part of a value.", Run::Keys(getrange)),
];

fn get(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    match call.keys.string(key)? {
        Some(value) => call.out.bulk(value),
        None => call.out.nil(),
    }
    Ok(())
}

/// What `SET` and `GETEX` are asked for beside the value.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    only_absent: bool,
    only_present: bool,
    get: bool,
    keep: bool,
    persist: bool,
    /// The clock, and at which word its time is.
    time: Option<(Clock, usize)>,
}

impl Options {
    /// Reads the words from `at` on; `set` says for which of the two.
    fn parse(call: &Call<'_, '_, '_>, at: usize, set: bool) -> Result<Self, Fail> {
        let args = call.args;
        let (mut options, mut at) = (Self::default(), at);
        while at < args.len() {
            let word = args.get(at);
            let timed = options.time.is_some() || options.keep || options.persist;
            if let Some(clock) = Clock::option(word) {
                if timed || at + 1 >= args.len() {
                    return Err(Fail::Syntax);
                }
                options.time = Some((clock, at + 1));
                at += 1;
            } else if set && args.is(at, "nx") && !options.only_present {
                options.only_absent = true;
            } else if set && args.is(at, "xx") && !options.only_absent {
                options.only_present = true;
            } else if set && args.is(at, "get") {
                options.get = true;
            } else if set && args.is(at, "keepttl") && options.time.is_none() {
                options.keep = true;
            } else if !set && args.is(at, "persist") && !timed {
                options.persist = true;
            } else {
                return Err(Fail::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The deadline that is asked for.
    fn deadline(&self, call: &Call<'_, '_, '_>) -> Result<Option<i64>, Fail> {
        let Some((clock, at)) = self.time else {
            return Ok(None);
        };
        deadline(call, clock, at).map(Some)
    }
}

/// The moment that the word at `at` means. Times before now are refused, but not moments.
fn deadline(call: &Call<'_, '_, '_>, clock: Clock, at: usize) -> Result<i64, Fail> {
    let value = call.args.integer(at)?;
    let moment = clock.moment(value, call.keys.now).filter(|_| value > 0);
    moment.ok_or(Fail::Expire(call.name))
}

fn set(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, value) = (call.key(), call.args.get(2));
    if call.args.len() == 3 {
        call.keys.set_string(key, value, None)?;
        call.keys.event(Class::String, "set", key);
        call.out.ok();
        return Ok(());
    }
    let options = Options::parse(call, 3, true)?;
    let mut deadline = options.deadline(call)?;
    if options.get {
        let old = call.keys.string(key)?;
        let found = old.is_some();
        call.out.maybe(old);
        call.keys.counts(key, found);
    }
    if options.only_absent || options.only_present {
        let there = call.keys.kind(key).is_some()
            || options.only_absent && call.keys.is_ended(key, Written::Value(value));
        if there == options.only_absent {
            if !options.get {
                call.out.nil();
            }
            return Ok(());
        }
    }
    let timed = deadline.is_some();
    if options.keep {
        deadline = call.keys.deadline(key).flatten();
    }
    call.keys.set_string(key, value, deadline)?;
    call.keys.event(Class::String, "set", key);
    if timed {
        call.keys.event(Class::Generic, "expire", key);
    }
    if !options.get {
        call.out.ok();
    }
    Ok(())
}

fn setex(call: &mut Call<'_, '_, '_>) -> Done {
    set_for(call, Clock::InSeconds)
}

fn psetex(call: &mut Call<'_, '_, '_>) -> Done {
    set_for(call, Clock::InMillis)
}

fn set_for(call: &mut Call<'_, '_, '_>, clock: Clock) -> Done {
    let key = call.key();
    let deadline = deadline(call, clock, 2)?;
    call.keys
        .set_string(key, call.args.get(3), Some(deadline))?;
    call.keys.event(Class::String, "set", key);
    call.keys.event(Class::Generic, "expire", key);
    call.out.ok();
    Ok(())
}

fn setnx(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let value = call.args.get(2);
    let new = call.keys.kind(key).is_none() && !call.keys.is_ended(key, Written::Value(value));
    if new {
        call.keys.set_string(key, value, None)?;
        call.keys.event(Class::String, "set", key);
    }
    call.out.truth(new);
    Ok(())
}

fn getset(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let old = call.keys.string(key)?;
    call.out.maybe(old);
    call.keys.set_string(key, call.args.get(2), None)?;
    call.keys.event(Class::String, "set", key);
    Ok(())
}

fn getdel(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let old = call.keys.string(key)?;
    call.out.maybe(old);
    if call.keys.remove(key) {
        call.keys.event(Class::Generic, "del", key);
    }
    Ok(())
}

fn getex(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let options = Options::parse(call, 2, false)?;
    // One that cannot be is told only of a key that is there.
    if let Ok(Some(deadline)) = options.deadline(call) {
        let out = &mut *call.out;
        if !call
            .keys
            .string_until(key, deadline, |value| out.bulk(value))?
        {
            call.out.nil();
            return Ok(());
        }
        let event = if deadline <= call.keys.now {
            "del"
        } else {
            "expire"
        };
        call.keys.event(Class::Generic, event, key);
        return Ok(());
    }
    let Some(value) = call.keys.string(key)? else {
        call.out.nil();
        return Ok(());
    };
    call.out.bulk(value);
    options.deadline(call)?;
    if options.persist && call.keys.deadline(key).flatten().is_some() {
        call.keys.set_deadline(key, None);
        call.keys.event(Class::Generic, "persist", key);
    }
    Ok(())
}

fn mget(call: &mut Call<'_, '_, '_>) -> Done {
    call.out.array(call.args.len() - 1);
    for key in call.args.from(1) {
        let value = call.keys.string(key).unwrap_or_default();
        call.out.maybe(value);
    }
    Ok(())
}

fn mset(call: &mut Call<'_, '_, '_>) -> Done {
    pairs(call)?;
    set_all(call)?;
    call.out.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_, '_, '_>) -> Done {
    pairs(call)?;
    let mut places = (1..call.args.len()).step_by(2);
    let none = places.all(|at| {
        let (key, value) = (call.args.get(at), call.args.get(at + 1));
        call.keys.kind(key).is_none() && !call.keys.is_ended(key, Written::Value(value))
    });
    if none {
        set_all(call)?;
    }
    call.out.truth(none);
    Ok(())
}

fn pairs(call: &Call<'_, '_, '_>) -> Done {
    match call.args.len() % 2 {
        1 => Ok(()),
        _ => Err(Fail::Arity(call.name.into())),
    }
}

fn set_all(call: &mut Call<'_, '_, '_>) -> Done {
    for at in (1..call.args.len()).step_by(2) {
        let key = call.args.get(at);
        call.keys.set_string(key, call.args.get(at + 1), None)?;
        call.keys.event(Class::String, "set", key);
    }
    Ok(())
}

fn strlen(call: &mut Call<'_, '_, '_>) -> Done {
    let value = call.keys.string(call.args.get(1))?;
    call.out.count(value.map_or(0, <[u8]>::len));
    Ok(())
}

pub(super) fn getrange(call: &mut Call<'_, '_, '_>) -> Done {
    let (start, end) = (call.args.integer(2)?, call.args.integer(3)?);
    let value = call.keys.string(call.args.get(1))?.unwrap_or_default();
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        call.out.bulk(b"");
        return Ok(());
    }
    let from_end = |at: i64| {
        if at < 0 {
            (length.saturating_add(at)).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let part = range.and_then(|(start, end)| value.get(start..=end));
    call.out.bulk(part.unwrap_or_default());
    Ok(())
}
