//! Hashes: Spring keeps a session as one.

use cloakroom_embedded::Written;

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::table::{Command, Done, FAST, GROWS, Group::Hash, ONE, READ, Run, WRITE};
use crate::serve::resp::wide::{self, NoSum};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 15] = [
    Command::new("hset", -4, WRITE | GROWS | FAST, ONE, Hash, "2.0.0", "Sets fields.", Run::Keys(hset)),
    Command::new("hmset", -4, WRITE | GROWS | FAST, ONE, Hash, "2.0.0", "Sets fields.", Run::Keys(hmset)),
    Command::new("hsetnx", 4, WRITE | GROWS | FAST, ONE, Hash, "2.0.0", "Sets a field only if it is not there.", Run::Keys(hsetnx)),
    Command::new("hget", 3, READ | FAST, ONE, Hash, "2.0.0", "Returns the value of a field.", Run::Keys(hget)),
    Command::new("hmget", -3, READ | FAST, ONE, Hash, "2.0.0", "Returns the values of fields.", Run::Keys(hmget)),
    Command::new("hgetall", 2, READ, ONE, Hash, "2.0.0", "Returns all fields and values.", Run::Keys(hgetall)),
    Command::new("hkeys", 2, READ, ONE, Hash, "2.0.0", "Returns all fields.", Run::Keys(hkeys)),
    Command::new("hvals", 2, READ, ONE, Hash, "2.0.0", "Returns all values.", Run::Keys(hvals)),
    Command::new("hlen", 2, READ | FAST, ONE, Hash, "2.0.0", "Counts the fields.", Run::Keys(hlen)),
    Command::new("hstrlen", 3, READ | FAST, ONE, Hash, "3.2.0", "Returns the length of a field's value.", Run::Keys(hstrlen)),
    Command::new("hexists", 3, READ | FAST, ONE, Hash, "2.0.0", "Says whether a field is there.", Run::Keys(hexists)),
    Command::new("hdel", -3, WRITE | FAST, ONE, Hash, "2.0.0", "Removes fields.", Run::Keys(hdel)),
    Command::new("hincrby", 4, WRITE | GROWS | FAST, ONE, Hash, "2.0.0", "Adds to a whole number in a field.", Run::Keys(hincrby)),
    Command::new("hincrbyfloat", 4, WRITE | GROWS | FAST, ONE, Hash, "2.6.0", "Adds to a number in a field.", Run::Keys(hincrbyfloat))
        .differs("as INCRBYFLOAT"),
    Command::new("hrandfield", -2, READ, ONE, Hash, "6.2.0", "Returns fields at random.", Run::Keys(hrandfield)),
];

fn hset(call: &mut Call<'_, '_, '_>) -> Done {
    let new = set_fields(call)?;
    call.out.integer(new);
    Ok(())
}

fn hmset(call: &mut Call<'_, '_, '_>) -> Done {
    set_fields(call)?;
    call.out.ok();
    Ok(())
}

fn set_fields(call: &mut Call<'_, '_, '_>) -> Result<i64, Fail> {
    if call.args.len() % 2 == 1 {
        return Err(Fail::Arity(call.name.into()));
    }
    let key = call.key();
    let mut new = 0;
    for at in (2..call.args.len()).step_by(2) {
        let (field, value) = (call.args.get(at), call.args.get(at + 1));
        new += i64::from(call.keys.hash_set(key, field, value)?);
    }
    call.keys.event(Class::Hash, "hset", key);
    Ok(new)
}

fn hsetnx(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, field) = (call.key(), call.args.get(2));
    let value = call.args.get(3);
    let written = Written::Field(field, value);
    let new = call.keys.hash_get(key, field)?.is_none() && !call.keys.is_ended(key, written);
    if new {
        call.keys.hash_set(key, field, value)?;
        call.keys.event(Class::Hash, "hset", key);
    }
    call.out.truth(new);
    Ok(())
}

fn hget(call: &mut Call<'_, '_, '_>) -> Done {
    let value = call.keys.hash_get(call.args.get(1), call.args.get(2))?;
    call.out.maybe(value);
    Ok(())
}

fn hmget(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    call.keys.hash_len(key)?;
    call.out.array(call.args.len() - 2);
    for field in call.args.from(2) {
        let value = call.keys.hash_get(key, field)?;
        call.out.maybe(value);
    }
    Ok(())
}

fn hgetall(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let count = call.keys.hash_len(key)?;
    call.out.map(count);
    let out = &mut *call.out;
    call.keys.hash_each(key, &mut |field, value| {
        out.bulk(field);
        out.bulk(value);
    })?;
    Ok(())
}

fn hkeys(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let count = call.keys.hash_len(key)?;
    call.out.array(count);
    let out = &mut *call.out;
    call.keys.hash_each(key, &mut |field, _| out.bulk(field))?;
    Ok(())
}

fn hvals(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let count = call.keys.hash_len(key)?;
    call.out.array(count);
    let out = &mut *call.out;
    call.keys.hash_each(key, &mut |_, value| out.bulk(value))?;
    Ok(())
}

fn hlen(call: &mut Call<'_, '_, '_>) -> Done {
    let count = call.keys.hash_len(call.args.get(1))?;
    call.out.count(count);
    Ok(())
}

fn hstrlen(call: &mut Call<'_, '_, '_>) -> Done {
    let value = call.keys.hash_get(call.args.get(1), call.args.get(2))?;
    call.out.count(value.map_or(0, <[u8]>::len));
    Ok(())
}

fn hexists(call: &mut Call<'_, '_, '_>) -> Done {
    let value = call.keys.hash_get(call.args.get(1), call.args.get(2))?;
    call.out.truth(value.is_some());
    Ok(())
}

fn hdel(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let mut removed = 0;
    for field in call.args.from(2) {
        removed += i64::from(call.keys.hash_remove(key, field)?);
    }
    if removed > 0 {
        call.keys.event(Class::Hash, "hdel", key);
        super::sets::gone_if_empty(call, key);
    }
    call.out.integer(removed);
    Ok(())
}

fn hincrby(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, field) = (call.key(), call.args.get(2));
    let by = call.args.integer(3)?;
    let value = match call.keys.hash_get(key, field)? {
        Some(value) => {
            number::integer(value).ok_or(Fail::say("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let sum = value.checked_add(by);
    let sum = sum.ok_or(Fail::say("ERR increment or decrement would overflow"))?;
    let mut text = Vec::with_capacity(20);
    number::write_integer(sum, &mut text);
    call.keys.hash_update(key, field, &text)?;
    call.keys.event(Class::Hash, "hincrby", key);
    call.out.integer(sum);
    Ok(())
}

fn hincrbyfloat(call: &mut Call<'_, '_, '_>) -> Done {
    let (key, field) = (call.key(), call.args.get(2));
    let by = call.args.get(3);
    let finite = number::double(by).ok_or(Fail::NotFloat)?.is_finite();
    if !finite {
        return Err(Fail::say("ERR value is NaN or Infinity"));
    }
    let value = call.keys.hash_get(key, field)?.unwrap_or(b"0");
    let sum = wide::sum(value, by).map_err(|why| match why {
        NoSum::NoNumber => Fail::say("ERR hash value is not a float"),
        NoSum::Infinite => Fail::say("ERR increment would produce NaN or Infinity"),
    })?;
    call.keys.hash_update(key, field, &sum)?;
    call.keys.event(Class::Hash, "hincrbyfloat", key);
    call.out.bulk(&sum);
    Ok(())
}

fn hrandfield(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    if call.args.len() == 2 {
        let count = call.keys.hash_len(key)?;
        let Some(at) = super::sets::any(count) else {
            call.out.nil();
            return Ok(());
        };
        let found = call.keys.hash_at(key, at)?;
        call.out.maybe(found.map(|(field, _)| field));
        return Ok(());
    }
    call.args.integer(2)?;
    let values = with_values(call.args)?;
    let count = call.keys.hash_len(key)?;
    let chosen = super::sets::choose(call.args, 2, count)?;
    if values && call.out.resp3 {
        call.out.array(chosen.len());
    } else {
        call.out.array(chosen.len() * if values { 2 } else { 1 });
    }
    for at in chosen {
        let Some((field, value)) = call.keys.hash_at(key, at)? else {
            continue;
        };
        if values && call.out.resp3 {
            call.out.array(2);
        }
        call.out.bulk(field);
        if values {
            call.out.bulk(value);
        }
    }
    Ok(())
}

fn with_values(args: Args<'_>) -> Result<bool, Fail> {
    match args.len() {
        3 => Ok(false),
        4 if args.is(3, "withvalues") => Ok(true),
        _ => Err(Fail::Syntax),
    }
}
