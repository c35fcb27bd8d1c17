//! Keys, whatever they hold.

use cloakroom_embedded::{DATABASES, Db, Kind, Packing, Written};

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::events::Class;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    ALL, Command, Done, FAST, GROWS, Group::Generic, Keys, LOADING, NO_SCRIPT, NONE, ONE, READ,
    Run, STALE, WRITE,
};

const SECOND: Keys = Keys::Range(2, 2, 1);
const TWO: Keys = Keys::Range(1, 2, 1);

#[rustfmt::skip]
pub(super) static ROWS: [Command; 16] = [
    Command::new("del", -2, WRITE, ALL, Generic, "1.0.0", "Removes keys.", Run::Keys(del)),
    Command::new("unlink", -2, WRITE | FAST, ALL, Generic, "4.0.0", "Removes keys.", Run::Keys(del))
        .differs("the same as DEL: no memory is left to be freed later"),
    Command::new("exists", -2, READ | FAST, ALL, Generic, "1.0.0", "Counts the keys that are there.", Run::Keys(exists)),
    Command::new("touch", -2, READ | FAST, ALL, Generic, "3.2.1", "Counts the keys that are there, and counts as their use.", Run::Keys(exists)),
    Command::new("type", 2, READ | FAST, ONE, Generic, "1.0.0", "Says what a key holds.", Run::Keys(kind)),
    Command::new("rename", 3, WRITE, TWO, Generic, "1.0.0", "Gives a key another name.", Run::Keys(rename)),
    Command::new("renamenx", 3, WRITE | FAST, TWO, Generic, "1.0.0", "Gives a key another name that is free.", Run::Keys(renamenx)),
    Command::new("copy", -3, WRITE | GROWS, TWO, Generic, "6.2.0", "Copies a key.", Run::All(copy)),
    Command::new("move", 3, WRITE | FAST, ONE, Generic, "1.0.0", "Takes a key into another keyspace.", Run::All(carry)),
    Command::new("object", -2, 0, NONE, Generic, "2.2.3", "How a key is kept.", Run::Family),
    Command::new("object|encoding", 3, READ, SECOND, Generic, "2.2.3", "Says how a value is encoded.", Run::Keys(encoding))
        .differs("names the encoding that Redis would most likely have; ours has two: packed and spread"),
    Command::new("object|refcount", 3, READ, SECOND, Generic, "2.2.3", "Says how often a value is referred to.", Run::Keys(refcount))
        .differs("always 1"),
    Command::new("object|idletime", 3, READ, SECOND, Generic, "2.2.3", "Says for how long a key was not used.", Run::Keys(idle))
        .differs("always 0: one bit of use is kept for a key, not a time"),
    Command::new("object|freq", 3, READ, SECOND, Generic, "4.0.0", "Says how often a key is used.", Run::Keys(frequency))
        .differs("refused, as Redis does without an LFU policy"),
    Command::new("object|help", 2, LOADING | STALE, NONE, Generic, "6.2.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
    Command::new("wait", 3, NO_SCRIPT, NONE, Generic, "3.0.0", "Waits for replicas.", Run::Conn(wait))
        .differs("0 at once: there are no replicas"),
];

fn del(call: &mut Call<'_, '_, '_>) -> Done {
    let mut removed = 0;
    for key in call.args.from(1) {
        if call.keys.remove(key) {
            call.keys.event(Class::Generic, "del", key);
            removed += 1;
        }
    }
    call.out.integer(removed);
    Ok(())
}

fn exists(call: &mut Call<'_, '_, '_>) -> Done {
    let there = call
        .args
        .from(1)
        .filter(|key| call.keys.kind(key).is_some());
    let there = there.count();
    call.out.count(there);
    Ok(())
}

pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Hash => "hash",
        Kind::Set => "set",
        Kind::SortedSet => "zset",
    }
}

fn kind(call: &mut Call<'_, '_, '_>) -> Done {
    let kind = call.keys.kind(call.args.get(1));
    call.out.simple(kind.map_or("none", kind_name));
    Ok(())
}

fn rename(call: &mut Call<'_, '_, '_>) -> Done {
    let (from, to) = (call.args.get(1), call.args.get(2));
    renamed(call, from, to)?;
    call.out.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_, '_, '_>) -> Done {
    let (from, to) = (call.args.get(1), call.args.get(2));
    if call.keys.kind(from).is_none() {
        return Err(Fail::NoSuchKey);
    }
    let free = call.keys.kind(to).is_none() && !call.keys.is_ended(to, Written::Part);
    if free {
        renamed(call, from, to)?;
    }
    call.out.truth(free);
    Ok(())
}

fn renamed(call: &mut Call<'_, '_, '_>, from: &[u8], to: &[u8]) -> Done {
    if !call.keys.rename(from, to)? {
        return Err(Fail::NoSuchKey);
    }
    if from != to {
        call.keys.event(Class::Generic, "rename_from", from);
        call.keys.event(Class::Generic, "rename_to", to);
    }
    Ok(())
}

/// The number of a keyspace.
pub(super) fn database(text: &[u8], wrong: &'static str) -> Result<Db, Fail> {
    let number = number::integer(text).ok_or(Fail::say(wrong))?;
    let number = Db::try_from(number).ok().filter(|db| *db < DATABASES);
    number.ok_or(Fail::say("ERR DB index is out of range"))
}

fn copy(call: &mut Call<'_, '_, '_>) -> Done {
    let (from, to) = (call.args.get(1), call.args.get(2));
    let (mut db, mut replace, mut at) = (call.keys.db, false, 3);
    while at < call.args.len() {
        if call.args.is(at, "replace") {
            replace = true;
        } else if call.args.is(at, "db") && at + 1 < call.args.len() {
            db = database(
                call.args.get(at + 1),
                "ERR value is not an integer or out of range",
            )?;
            at += 1;
        } else {
            return Err(Fail::Syntax);
        }
        at += 1;
    }
    if db == call.keys.db && from == to {
        return Err(Fail::say("ERR source and destination objects are the same"));
    }
    if call.keys.kind_counted(from).is_none()
        || (!replace && call.keys.in_db(db).kind(to).is_some())
    {
        call.out.truth(false);
        return Ok(());
    }
    let copied = call.keys.copy(from, (db, to))?;
    call.keys.in_db(db).event(Class::Generic, "copy_to", to);
    call.out.truth(copied);
    Ok(())
}

fn carry(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.key();
    let db = database(
        call.args.get(2),
        "ERR value is not an integer or out of range",
    )?;
    if db == call.keys.db {
        return Err(Fail::say("ERR source and destination objects are the same"));
    }
    let free = call.keys.kind(key).is_some() && call.keys.in_db(db).kind(key).is_none();
    if free {
        call.keys.carry(key, db)?;
        call.keys.event(Class::Generic, "move_from", key);
        call.keys.in_db(db).event(Class::Generic, "move_to", key);
    }
    call.out.truth(free);
    Ok(())
}

fn encoding(call: &mut Call<'_, '_, '_>) -> Done {
    let key = call.args.get(2);
    let Some(kind) = call.keys.kind(key) else {
        call.out.nil();
        return Ok(());
    };
    let packed = call.keys.packing(key) == Some(Packing::Packed);
    let name = match (kind, packed) {
        (Kind::String, _) => match call.keys.string(key)?.unwrap_or_default() {
            value if number::integer(value).is_some() => "int",
            value if value.len() <= 44 => "embstr",
            _ => "raw",
        },
        (Kind::Set, _) => {
            let mut whole = true;
            call.keys.set_each(key, &mut |member| {
                whole &= number::integer(member).is_some();
            })?;
            let whole = whole && call.keys.set_len(key)? <= 512;
            if whole { "intset" } else { "hashtable" }
        }
        (Kind::Hash | Kind::SortedSet, true) => "listpack",
        (Kind::Hash, false) => "hashtable",
        (Kind::SortedSet, false) => "skiplist",
    };
    call.out.bulk(name.as_bytes());
    Ok(())
}

fn refcount(call: &mut Call<'_, '_, '_>) -> Done {
    if_there(call, 1)
}

fn idle(call: &mut Call<'_, '_, '_>) -> Done {
    if_there(call, 0)
}

fn if_there(call: &mut Call<'_, '_, '_>, value: i64) -> Done {
    match call.keys.kind(call.args.get(2)) {
        Some(_) => call.out.integer(value),
        None => call.out.nil(),
    }
    Ok(())
}

fn frequency(call: &mut Call<'_, '_, '_>) -> Done {
    if call.keys.kind(call.args.get(2)).is_none() {
        call.out.nil();
        return Ok(());
    }
    Err(Fail::say(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust.",
    ))
}

fn wait(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    args.integer(1)?;
    if args
        .integer(2)
        .map_err(|_| Fail::say("ERR timeout is not an integer or out of range"))?
        < 0
    {
        return Err(Fail::say("ERR timeout is negative"));
    }
    out.integer(0);
    Ok(())
}
