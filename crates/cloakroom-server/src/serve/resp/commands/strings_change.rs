//! Strings: changing what they hold. A deadline stays as it is.

use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::table::{Command, Done, FAST, GROWS, Group::String, ONE, READ, Run, WRITE};
use crate::serve::resp::wide::{self, NoSum};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 8] = [
    Command::new("append", 3, WRITE | GROWS | FAST, ONE, String, "2.0.0", "Puts bytes behind a value.", Run::Keys(append)),
    Command::new("setrange", 4, WRITE | GROWS, ONE, String, "2.2.0", "Puts bytes over a part of a value.", Run::Keys(setrange)),
    Command::new("incr", 2, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Adds one to a whole number.", Run::Keys(incr)),
    Command::new("decr", 2, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Takes one from a whole number.", Run::Keys(decr)),
    Command::new("incrby", 3, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Adds to a whole number.", Run::Keys(incrby)),
    Command::new("decrby", 3, WRITE | GROWS | FAST, ONE, String, "1.0.0", "Takes from a whole number.", Run::Keys(decrby)),
    Command::new("incrbyfloat", 3, WRITE | GROWS | FAST, ONE, String, "2.6.0", "Adds to a number.", Run::Keys(incrbyfloat))
        .differs("as Redis reckons, up to 38 digits; beyond them in the 64 bits of a double, where Redis has 80, and a sum above 1.8e308 is an error"),
    Command::new("substr", 4, READ, ONE, String, "1.0.0", "The old name of GETRANGE.", Run::Keys(super::strings::getrange)),
];

fn append(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, more) = (call.key(), call.args.get(2));
    let length = call.keys.string(key)?.map(<[u8]>::len);
    let length = match length {
        None => {
            call.keys.set_string(key, more, None)?;
            more.len()
        }
        Some(length) => {
            call.keys.write_string(key, length, more)?;
            length + more.len()
        }
    };
    call.keys.event(Class::String, "append", key);
    call.out.count(length);
    Ok(())
}

fn setrange(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, bytes) = (call.key(), call.args.get(3));
    let offset = call.args.integer(2)?;
    let offset = usize::try_from(offset).map_err(|_| Fail::say("ERR offset is out of range"))?;
    let length = call.keys.string(key)?.map_or(0, <[u8]>::len);
    if bytes.is_empty() {
        call.out.count(length);
        return Ok(());
    }
    let length = call.keys.write_string(key, offset, bytes)?;
    call.keys.event(Class::String, "setrange", key);
    call.out.count(length);
    Ok(())
}

fn incr(call: &mut Call<'_, '_, '_>) -> Done {
    add(call, 1)
}

fn decr(call: &mut Call<'_, '_, '_>) -> Done {
    add(call, -1)
}

fn incrby(call: &mut Call<'_, '_, '_>) -> Done {
    let by = call.args.integer(2)?;
    add(call, by)
}

fn decrby(call: &mut Call<'_, '_, '_>) -> Done {
    let by = call.args.integer(2)?.checked_neg();
    add(call, by.ok_or(Fail::say("ERR decrement would overflow"))?)
}

fn add(call: &mut Call<'_, '_, '_>, by: i64) -> Done {
    let key = call.key();
    let value = match call.keys.string(key)? {
        Some(value) => number::integer(value).ok_or(Fail::NotInteger)?,
        None => 0,
    };
    let sum = value.checked_add(by);
    let sum = sum.ok_or(Fail::say("ERR increment or decrement would overflow"))?;
    let mut text = Vec::with_capacity(20);
    number::write_integer(sum, &mut text);
    call.keys.update_string(key, &text)?;
    call.keys.event(Class::String, "incrby", key);
    call.out.integer(sum);
    Ok(())
}

fn incrbyfloat(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let sum = wide::sum(call.keys.string(key)?.unwrap_or(b"0"), call.args.get(2));
    let sum = sum.map_err(|why| match why {
        NoSum::NoNumber => Fail::NotFloat,
        NoSum::Infinite => Fail::say("ERR increment would produce NaN or Infinity"),
    })?;
    call.keys.update_string(key, &sum)?;
    call.keys.event(Class::String, "incrbyfloat", key);
    call.out.bulk(&sum);
    Ok(())
}
