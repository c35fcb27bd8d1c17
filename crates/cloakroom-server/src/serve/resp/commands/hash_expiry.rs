//! Deadlines of a hash's fields, as Redis has them since 7.4.

use super::expiry::{Condition, Tell};
use crate::serve::resp::args::Clock;
use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::table::{Command, Done, FAST, GROWS, Group::Hash, ONE, READ, Run, WRITE};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 9] = [
    Command::new("hexpire", -6, WRITE | GROWS | FAST, ONE, Hash, "7.4.0", "Has fields end in so many seconds.", Run::Keys(|call| expire(call, Clock::InSeconds))),
    Command::new("hpexpire", -6, WRITE | GROWS | FAST, ONE, Hash, "7.4.0", "Has fields end in so many milliseconds.", Run::Keys(|call| expire(call, Clock::InMillis))),
    Command::new("hexpireat", -6, WRITE | GROWS | FAST, ONE, Hash, "7.4.0", "Has fields end at this second.", Run::Keys(|call| expire(call, Clock::AtSeconds))),
    Command::new("hpexpireat", -6, WRITE | GROWS | FAST, ONE, Hash, "7.4.0", "Has fields end at this millisecond.", Run::Keys(|call| expire(call, Clock::AtMillis))),
    Command::new("hpersist", -5, WRITE | FAST, ONE, Hash, "7.4.0", "Takes fields' deadlines away.", Run::Keys(persist)),
    Command::new("httl", -5, READ | FAST, ONE, Hash, "7.4.0", "Says in how many seconds fields end.", Run::Keys(|call| tell(call, Tell::Seconds))),
    Command::new("hpttl", -5, READ | FAST, ONE, Hash, "7.4.0", "Says in how many milliseconds fields end.", Run::Keys(|call| tell(call, Tell::Millis))),
    Command::new("hexpiretime", -5, READ | FAST, ONE, Hash, "7.4.0", "Says at which second fields end.", Run::Keys(|call| tell(call, Tell::AtSeconds))),
    Command::new("hpexpiretime", -5, READ | FAST, ONE, Hash, "7.4.0", "Says at which millisecond fields end.", Run::Keys(|call| tell(call, Tell::AtMillis))),
];

/// What is answered for a field.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const REFUSED: i64 = 0;
const SET: i64 = 1;
const REMOVED: i64 = 2;

/// The word at which the fields begin, if `FIELDS` and their number are at `at` and right.
fn fields(call: &Call<'_, '_, '_>, at: usize) -> Result<usize, Fail> {
    if !call.args.is(at, "fields") {
        return Err(Fail::say(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = number::integer(call.args.get(at + 1)).filter(|count| *count > 0);
    let count = count.and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(Fail::say("ERR Number of fields must be a positive integer"))?;
    if call.args.len() - (at + 2) != count {
        return Err(Fail::say(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(at + 2)
}

fn expire(call: &mut Call<'_, '_, '_>, clock: Clock) -> Done {
    let key = call.key();
    let value = call.args.integer(2)?;
    if value < 0 {
        return Err(Fail::say("ERR invalid expire time, must be >= 0"));
    }
    let moment = clock.moment(value, call.keys.now);
    let moment = moment.filter(|moment| *moment < 1 << 46);
    let moment = moment.ok_or(Fail::Expire(call.name))?;
    let mut condition = Condition::default();
    let conditional = condition.word(call.args.get(3));
    let condition = condition.check()?;
    let first = fields(call, if conditional { 4 } else { 3 })?;
    call.keys.hash_len(key)?;
    call.out.array(call.args.len() - first);
    let (mut set, mut removed) = (false, false);
    for field in call.args.from(first) {
        let said = match call.keys.field_deadline(key, field)? {
            None => NO_FIELD,
            Some(old) if !condition.allows(old, moment) => REFUSED,
            Some(_) => {
                call.keys.set_field_deadline(key, field, Some(moment))?;
                if moment <= call.keys.now {
                    REMOVED
                } else {
                    SET
                }
            }
        };
        set |= said == SET;
        removed |= said == REMOVED;
        call.out.integer(said);
    }
    if removed {
        call.keys.event(Class::Hash, "hdel", key);
        super::sets::gone_if_empty(call, key);
    }
    if set {
        call.keys.event(Class::Hash, "hexpire", key);
    }
    Ok(())
}

fn persist(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let first = fields(call, 2)?;
    call.keys.hash_len(key)?;
    call.out.array(call.args.len() - first);
    let mut any = false;
    for field in call.args.from(first) {
        let said = match call.keys.field_deadline(key, field)? {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(_)) => {
                call.keys.set_field_deadline(key, field, None)?;
                any = true;
                SET
            }
        };
        call.out.integer(said);
    }
    if any {
        call.keys.event(Class::Hash, "hpersist", key);
    }
    Ok(())
}

fn tell(call: &mut Call<'_, '_, '_>, how: Tell) -> Done {
    let key = call.key();
    let first = fields(call, 2)?;
    call.keys.hash_len(key)?;
    call.out.array(call.args.len() - first);
    for field in call.args.from(first) {
        let said = match call.keys.field_deadline(key, field)? {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => how.say(deadline, call.keys.now),
        };
        call.out.integer(said);
    }
    Ok(())
}
