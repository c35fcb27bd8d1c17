//! `EVAL` and its like, for the scripts that are known.

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::number;
use crate::serve::resp::reply::Out;
use crate::serve::resp::scripts::{self, Known, Words};
use crate::serve::resp::table::{
    Command, Done, Group::Scripting, Keys, NO_SCRIPT, NONE, Run, STALE, WRITE,
};

const FLAGS: u16 = NO_SCRIPT | STALE | WRITE;
const KEYS: Keys = Keys::Counted(2, false);
const DIFFERS: &str = "only scripts of session libraries, which are known by their text, are run; \
                       there is no interpreter";

#[rustfmt::skip]
pub(super) static ROWS: [Command; 6] = [
    Command::new("eval", -3, FLAGS, KEYS, Scripting, "2.6.0", "Runs a script.", Run::Keys(eval)).differs(DIFFERS),
    Command::new("evalsha", -3, FLAGS, KEYS, Scripting, "2.6.0", "Runs a script by its hash.", Run::Keys(evalsha)).differs(DIFFERS),
    Command::new("script", -2, 0, NONE, Scripting, "2.6.0", "Scripts.", Run::Family),
    Command::new("script|load", 3, NO_SCRIPT | STALE, NONE, Scripting, "2.6.0", "Shows a script to the server.", Run::Conn(load)).differs(DIFFERS),
    Command::new("script|exists", -3, NO_SCRIPT, NONE, Scripting, "2.6.0", "Says which scripts are known.", Run::Conn(exists))
        .differs("the scripts of session libraries are known from the start"),
    Command::new("script|flush", -2, NO_SCRIPT, NONE, Scripting, "2.6.0", "Forgets scripts.", Run::Conn(flush))
        .differs("the scripts of session libraries are known again at once"),
];

const UNKNOWN: Fail = Fail::say(
    "ERR this script is none of those that are known here, and there is no interpreter: see \
     docs/commands.md",
);

/// Hexadecimal digits of a script's hash.
const SHA_DIGITS: usize = 40;

fn eval(call: &mut Call<'_, '_, '_>) -> Done {
    let text = call.args.get(1);
    let words = words(call.args)?;
    let known = scripts::of_text(text).ok_or(UNKNOWN)?;
    call.server.scripts.learn(text, known);
    run(call, known, words)
}

fn evalsha(call: &mut Call<'_, '_, '_>) -> Done {
    let sha = call.args.get(1);
    let none = Fail::say("NOSCRIPT No matching script. Please use EVAL.");
    if sha.len() != SHA_DIGITS {
        return Err(none);
    }
    let words = words(call.args)?;
    let known = call.server.scripts.of_sha(sha);
    run(call, known.ok_or(none)?, words)
}

fn words(args: Args<'_>) -> Result<Words, Fail> {
    let count = number::integer(args.get(2)).ok_or(Fail::NotInteger)?;
    let count =
        usize::try_from(count).map_err(|_| Fail::say("ERR Number of keys can't be negative"))?;
    if count > args.len() - 3 {
        return Err(Fail::say(
            "ERR Number of keys can't be greater than number of args",
        ));
    }
    Ok(Words {
        keys: 3,
        rest: 3 + count,
    })
}

fn run(call: &mut Call<'_, '_, '_>, known: &Known, words: Words) -> Done {
    if words.keys == words.rest {
        return Err(Fail::say(
            "ERR this script works on keys, and none is given",
        ));
    }
    (known.run)(call, words)
}

fn load(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let text = args.get(2);
    let known = scripts::of_text(text).ok_or(UNKNOWN)?;
    out.bulk(conn.server.scripts.learn(text, known).as_bytes());
    Ok(())
}

fn exists(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    out.array(args.len() - 2);
    for sha in args.from(2) {
        out.truth(conn.server.scripts.of_sha(sha).is_some());
    }
    Ok(())
}

fn flush(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let fine = args.len() == 2 || args.len() == 3 && (args.is(2, "sync") || args.is(2, "async"));
    if !fine {
        return Err(Fail::say("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    conn.server.scripts.flush();
    out.ok();
    Ok(())
}
