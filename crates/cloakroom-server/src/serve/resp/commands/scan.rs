//! Going over keys, fields and members: `SCAN` and its like, in portions, and `KEYS` all at once.

use cloakroom_embedded::Kind;

use super::keys::kind_name;
use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::glob;
use crate::serve::resp::number::write_double;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{Command, DANGEROUS, Done, FAST, Group, NONE, ONE, READ, Run};

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("scan", -2, READ, NONE, Group::Generic, "2.8.0", "Goes over the keys in portions.", Run::Whole(scan))
        .differs("in a transaction it is a step of its own; a user hears of no key that it may not use"),
    Command::new("keys", 2, READ | DANGEROUS, NONE, Group::Generic, "1.0.0", "Returns all keys of a form.", Run::Whole(keys))
        .differs("in a transaction it is a step of its own; keys that come or go meanwhile may be missing; as SCAN"),
    Command::new("randomkey", 1, READ, NONE, Group::Generic, "1.0.0", "Returns a key at random.", Run::Whole(randomkey))
        .differs("as SCAN"),
    Command::new("dbsize", 1, READ | FAST, NONE, Group::Server, "1.0.0", "Counts the keys.", Run::Whole(dbsize))
        .differs("as Redis it counts all, also those that the user may not use"),
    Command::new("hscan", -3, READ, ONE, Group::Hash, "2.8.0", "Goes over the fields in portions.", Run::Keys(|call| inside(call, Kind::Hash))),
    Command::new("sscan", -3, READ, ONE, Group::Set, "2.8.0", "Goes over the members in portions.", Run::Keys(|call| inside(call, Kind::Set))),
    Command::new("zscan", -3, READ, ONE, Group::SortedSet, "2.8.0", "Goes over the members and scores in portions.", Run::Keys(|call| inside(call, Kind::SortedSet))),
];

/// What a portion is to be.
struct Portion<'a> {
    cursor: u64,
    count: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

/// Keys looked at in a portion if nothing is said. As Redis.
const USUAL_COUNT: usize = 10;

impl<'a> Portion<'a> {
    fn parse(args: Args<'a>, at: usize, kinds: bool) -> Result<Self, Fail> {
        let mut portion = Self {
            cursor: cursor(args, at)?,
            count: USUAL_COUNT,
            pattern: None,
            kind: None,
        };
        let mut at = at + 1;
        while at < args.len() {
            if at + 1 >= args.len() {
                return Err(Fail::Syntax);
            }
            if args.is(at, "count") {
                let count = args.integer(at + 1)?;
                if count < 1 {
                    return Err(Fail::Syntax);
                }
                portion.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if args.is(at, "match") {
                let pattern = args.get(at + 1);
                portion.pattern = Some(pattern).filter(|pattern| !glob::takes_all(pattern));
            } else if kinds && args.is(at, "type") {
                portion.kind = Some(args.get(at + 1));
            } else {
                return Err(Fail::Syntax);
            }
            at += 2;
        }
        Ok(portion)
    }

    fn takes(&self, name: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// Where to go on.
fn cursor(args: Args<'_>, at: usize) -> Result<u64, Fail> {
    let cursor = std::str::from_utf8(args.get(at)).ok();
    let cursor = cursor.and_then(|cursor| cursor.parse().ok());
    cursor.ok_or(Fail::say("ERR invalid cursor"))
}

/// Answers with the next cursor and what was found, which `found` counts and holds as bulk strings.
fn answer(out: &mut Out, next: u64, count: usize, found: &Out) {
    out.array(2);
    out.bulk(next.to_string().as_bytes());
    out.array(count);
    out.bytes.extend_from_slice(&found.bytes);
}

fn scan(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let portion = Portion::parse(args, 1, true)?;
    let (mut found, mut count) = (Out::default(), 0);
    let user = conn.short_sighted();
    let mut each = |key: &[u8], kind: Kind| {
        let of_kind = |name: &[u8]| name.eq_ignore_ascii_case(kind_name(kind).as_bytes());
        let seen = user.as_ref().is_none_or(|user| user.may_key(key));
        if seen && portion.kind.is_none_or(of_kind) && portion.takes(key) {
            found.bulk(key);
            count += 1;
        }
    };
    let engine = &conn.server.engine;
    let next = engine.scan(conn.db, portion.cursor, portion.count, &mut each);
    answer(out, next, count, &found);
    Ok(())
}

fn keys(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let pattern = args.get(1);
    let all = glob::takes_all(pattern);
    let (mut found, mut count, mut cursor) = (Out::default(), 0, 0);
    let user = conn.short_sighted();
    loop {
        let mut each = |key: &[u8], _| {
            let seen = user.as_ref().is_none_or(|user| user.may_key(key));
            if seen && (all || glob::matches(pattern, key)) {
                found.bulk(key);
                count += 1;
            }
        };
        cursor = conn
            .server
            .engine
            .scan(conn.db, cursor, KEYS_PORTION, &mut each);
        if cursor == 0 {
            break;
        }
    }
    out.array(count);
    out.bytes.extend_from_slice(&found.bytes);
    Ok(())
}

/// Keys that are looked at under one lock: others get their turn in between.
const KEYS_PORTION: usize = 256;

/// How often a key is drawn until it is one that the user may see.
const DRAWS: usize = 100;

fn randomkey(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let user = conn.short_sighted();
    let engine = &conn.server.engine;
    let mut drawn = (0..DRAWS).map_while(|_| engine.random_key(conn.db));
    let key = drawn.find(|key| user.as_ref().is_none_or(|user| user.may_key(key)));
    out.maybe(key.as_deref());
    Ok(())
}

fn dbsize(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.count(conn.server.engine.len(conn.db));
    Ok(())
}

fn inside(call: &mut Call<'_, '_, '_>, kind: Kind) -> Done {
    let key = call.key();
    // As Redis: what is not there is told before any option is looked at.
    cursor(call.args, 2)?;
    match call.keys.kind(key) {
        None => {
            answer(call.out, 0, 0, &Out::default());
            return Ok(());
        }
        Some(known) if known != kind => return Err(Fail::WrongType),
        Some(_) => {}
    }
    let portion = Portion::parse(call.args, 2, false)?;
    let (mut found, mut count) = (Out::default(), 0);
    let (cursor, most) = (portion.cursor, portion.count);
    let next = match kind {
        Kind::Hash => call.keys.hash_scan(key, cursor, most, &mut |field, value| {
            if portion.takes(field) {
                found.bulk(field);
                found.bulk(value);
                count += 2;
            }
        }),
        Kind::Set => call.keys.set_scan(key, cursor, most, &mut |member| {
            if portion.takes(member) {
                found.bulk(member);
                count += 1;
            }
        }),
        Kind::SortedSet => call
            .keys
            .sorted_scan(key, cursor, most, &mut |member, score| {
                if portion.takes(member) {
                    found.bulk(member);
                    let mut text = Vec::new();
                    write_double(score, &mut text);
                    found.bulk(&text);
                    count += 2;
                }
            }),
        Kind::String => Ok(0),
    }?;
    answer(call.out, next, count, &found);
    Ok(())
}
