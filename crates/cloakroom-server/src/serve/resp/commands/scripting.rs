//! `EVAL` and its like: scripts that are known run natively, others in the interpreter, if it was built in.

use crate::serve::resp::args::Args;
use crate::serve::resp::call::Call;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
#[cfg(feature = "lua")]
use crate::serve::resp::limits;
use crate::serve::resp::number;
use crate::serve::resp::reply::Out;
use crate::serve::resp::scripts::{self, Known, Words};
use crate::serve::resp::table::{
    Command, Done, Group::Scripting, Keys, LOADING, NO_SCRIPT, NONE, Run, STALE, WRITE,
};

const FLAGS: u16 = NO_SCRIPT | STALE | WRITE;
const KEYS: Keys = Keys::Counted(2, false);
const DIFFERS: &str = "scripts of session libraries, which are known by their text, are run; others only \
                       if the server was built with an interpreter (docs/operate/lua.md)";

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("eval", -3, FLAGS, KEYS, Scripting, "2.6.0", "Runs a script.", Run::Keys(eval)).differs(DIFFERS),
    Command::new("evalsha", -3, FLAGS, KEYS, Scripting, "2.6.0", "Runs a script by its hash.", Run::Keys(evalsha)).differs(DIFFERS),
    Command::new("script", -2, 0, NONE, Scripting, "2.6.0", "Scripts.", Run::Family),
    Command::new("script|load", 3, NO_SCRIPT | STALE, NONE, Scripting, "2.6.0", "Shows a script to the server.", Run::Conn(load)).differs(DIFFERS),
    Command::new("script|exists", -3, NO_SCRIPT, NONE, Scripting, "2.6.0", "Says which scripts are known.", Run::Conn(exists))
        .differs("the scripts of session libraries are known from the start"),
    Command::new("script|flush", -2, NO_SCRIPT, NONE, Scripting, "2.6.0", "Forgets scripts.", Run::Conn(flush))
        .differs("the scripts of session libraries are known again at once"),
    Command::new("script|help", 2, LOADING | STALE, NONE, Scripting, "5.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
];

/// Hexadecimal digits of a script's hash.
const SHA_DIGITS: usize = 40;

fn eval(call: &mut Call<'_, '_, '_>) -> Done {
    let text = call.args.get(1);
    let words = words(call.args)?;
    match scripts::of_text(text) {
        Some(known) => {
            call.server.scripts.learn(text, known);
            run(call, known, words)
        }
        None => others::eval(call, text, words),
    }
}

fn evalsha(call: &mut Call<'_, '_, '_>) -> Done {
    let sha = call.args.get(1);
    if sha.len() != SHA_DIGITS {
        return Err(NONE_SUCH);
    }
    let words = words(call.args)?;
    match call.server.scripts.of_sha(sha) {
        Some(known) => run(call, known, words),
        None => others::evalsha(call, sha, words),
    }
}

const NONE_SUCH: Fail = Fail::say("NOSCRIPT No matching script. Please use EVAL.");

/// Scripts that nobody knows.
#[cfg(feature = "lua")]
mod others {
    use super::{Call, Conn, Done, Fail, NONE_SUCH, Words, limits};
    use crate::serve::resp::lua;

    pub(super) fn eval(call: &mut Call<'_, '_, '_>, text: &[u8], words: Words) -> Done {
        if text.len() > limits::SCRIPT_BYTES {
            return Err(Fail::say("ERR the script is longer than 64 KiB"));
        }
        lua::run(call, text, words)?;
        // One that does not compile is not remembered; one that fails may be sent by its hash again.
        call.server.scripts.keep(text);
        Ok(())
    }

    pub(super) fn evalsha(call: &mut Call<'_, '_, '_>, sha: &[u8], words: Words) -> Done {
        let text = call.server.scripts.text(sha).ok_or(NONE_SUCH)?;
        lua::run(call, &text, words)
    }

    pub(super) fn load(conn: &Conn, text: &[u8]) -> Result<String, Fail> {
        lua::check(text)?;
        let kept = conn.server.scripts.keep(text);
        kept.ok_or(Fail::say(
            "ERR there are too many scripts, or this one is longer than 64 KiB; SCRIPT FLUSH forgets all",
        ))
    }

    pub(super) fn is_there(conn: &Conn, sha: &[u8]) -> bool {
        conn.server.scripts.text(sha).is_some()
    }
}

/// Scripts that nobody knows: nothing here can run them.
#[cfg(not(feature = "lua"))]
mod others {
    use super::{Call, Conn, Done, Fail, NONE_SUCH, Words};

    const UNKNOWN: Fail = Fail::say(
        "ERR this script is none of those that are known here, and there is no interpreter: see \
         docs/commands.md",
    );

    pub(super) fn eval(_: &mut Call<'_, '_, '_>, _: &[u8], _: Words) -> Done {
        Err(UNKNOWN)
    }

    pub(super) fn evalsha(_: &mut Call<'_, '_, '_>, _: &[u8], _: Words) -> Done {
        Err(NONE_SUCH)
    }

    pub(super) fn load(_: &Conn, _: &[u8]) -> Result<String, Fail> {
        Err(UNKNOWN)
    }

    pub(super) fn is_there(_: &Conn, _: &[u8]) -> bool {
        false
    }
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
    let sha = match scripts::of_text(text) {
        Some(known) => conn.server.scripts.learn(text, known),
        None => others::load(conn, text)?,
    };
    out.bulk(sha.as_bytes());
    Ok(())
}

fn exists(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    out.array(args.len() - 2);
    for sha in args.from(2) {
        let known = conn.server.scripts.of_sha(sha).is_some();
        out.truth(known || others::is_there(conn, sha));
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
