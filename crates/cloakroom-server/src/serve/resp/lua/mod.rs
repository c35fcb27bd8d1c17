//! Scripts that nobody knows, run by an interpreter (feature `lua`; without it they are refused). Each has a
//! machine of its own, without files, loading, printing or looking into itself, with limits of time and memory,
//! and works on the keys that it names, in the same step as any command.

mod values;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, LuaString, MultiValue, StdLib};
use mlua::{Table, Value, VmState};

use super::args::{Args, Owned};
use super::call::Call;
use super::fail::Fail;
use super::limits;
use super::reply::Out;
use super::scripts::{self, Words};
use super::table::{self, Command, Done, NO_SCRIPT, Run};
use crate::logs::often;

const PRELUDE: &str = include_str!("prelude.lua");
const TOO_LONG: &str =
    "ERR the script took longer than lua-time-limit; what it wrote until then stays";

const OUT_OF_MEMORY: Fail =
    Fail::say("ERR the script needs more memory than there is for one, which is 64 MiB");

/// Instructions between two looks at the clock. One alone may take milliseconds: it puts long texts together, or compares them.
const INSTRUCTIONS: u32 = 200;

/// Whether a script can be run at all.
pub(crate) fn check(text: &[u8]) -> Done {
    compiled(
        &machine(Duration::from_secs(1)).map_err(broken)?.0,
        text,
        None,
    )
    .map(drop)
}

/// Runs a script and answers what it returns.
pub(crate) fn run(call: &mut Call<'_, '_, '_>, text: &[u8], words: Words) -> Done {
    let (began, limit) = (Instant::now(), call.script_time.get());
    if limit.is_zero() {
        return Err(Fail::say(
            "ERR the scripts of this transaction took longer than lua-time-limit",
        ));
    }
    let done = run_for(call, text, words, limit);
    call.script_time.set(limit.saturating_sub(began.elapsed()));
    done
}

fn run_for(call: &mut Call<'_, '_, '_>, text: &[u8], words: Words, limit: Duration) -> Done {
    let (lua, over) = machine(limit).map_err(broken)?;
    let declared: Vec<&[u8]> = call
        .args
        .from(words.keys)
        .take(words.rest - words.keys)
        .collect();
    let argv: Vec<&[u8]> = call.args.from(words.rest).collect();
    let inner = RefCell::new(Inner {
        call: &mut *call,
        declared: &declared,
    });
    let done = lua.scope(|scope| {
        let raw = lua.create_table()?;
        raw.set(
            "call",
            scope.create_function(|lua, words: MultiValue| match words_of(&words) {
                Ok(words) => {
                    let mut inner = inner.try_borrow_mut().map_err(mlua::Error::external)?;
                    values::from_reply(lua, &inner.command(&words).bytes)
                }
                Err(why) => values::error(lua, why),
            })?,
        )?;
        helpers(&lua, &raw, &over)?;
        let (keys, argv) = (values::list(&lua, &declared)?, values::list(&lua, &argv)?);
        let prelude = lua.load(PRELUDE).set_name("=prelude");
        let (env, pcall): (Table, Function) = prelude.call((raw, keys, argv))?;
        let script = match compiled(&lua, text, Some(env)) {
            Ok(script) => script,
            Err(fail) => return Ok(Err(fail)),
        };
        let (fine, value): (bool, Value) = pcall.call(script)?;
        if over.get() {
            return Ok(Err(Fail::say(TOO_LONG)));
        }
        let mut out = Out {
            bytes: Vec::new(),
            resp3: inner.borrow().call.out.resp3,
        };
        Ok(match fine {
            true => values::answer(&mut out, &value).map(|()| out.bytes),
            false => Err(failed(&value, text)),
        })
    });
    let bytes = done.map_err(broken)??;
    call.out.bytes.extend_from_slice(&bytes);
    Ok(())
}

/// A machine that runs for so long at most, and whether its time is over.
fn machine(limit: Duration) -> mlua::Result<(Lua, Rc<Cell<bool>>)> {
    let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    lua.set_memory_limit(limits::LUA_BYTES)?;
    let (over, until) = (Rc::new(Cell::new(false)), Instant::now() + limit);
    let noted = Rc::clone(&over);
    let hook = HookTriggers::ON_CALLS.every_nth_instruction(INSTRUCTIONS);
    lua.set_hook(hook, move |_, _| {
        if noted.get() || Instant::now() >= until {
            noted.set(true);
            return Err(mlua::Error::runtime(TOO_LONG));
        }
        Ok(VmState::Continue)
    })?;
    Ok((lua, over))
}

fn compiled(lua: &Lua, text: &[u8], env: Option<Table>) -> Result<Function, Fail> {
    let chunk = lua
        .load(text)
        .set_name("@user_script")
        .set_mode(ChunkMode::Text);
    let chunk = match env {
        Some(env) => chunk.set_environment(env),
        None => chunk,
    };
    chunk.into_function().map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => Fail::from(format!(
            "ERR Error compiling script (new function): {message}"
        )),
        error => broken(error),
    })
}

/// What the prelude is made of, but for commands.
fn helpers(lua: &Lua, raw: &Table, over: &Rc<Cell<bool>>) -> mlua::Result<()> {
    let over = Rc::clone(over);
    raw.set("too_long", TOO_LONG)?;
    raw.set("over", lua.create_function(move |_, ()| Ok(over.get()))?)?;
    raw.set(
        "weigh",
        lua.create_function(|_, (text, pattern, plain): (LuaString, LuaString, bool)| {
            if weight(text.as_bytes().len(), &pattern.as_bytes(), plain) > limits::LUA_PATTERN {
                return Err(mlua::Error::runtime(
                    "this pattern may take too long on a text of this length",
                ));
            }
            Ok(())
        })?,
    )?;
    let sha1hex = |_: &Lua, text: LuaString| Ok(scripts::sha(&text.as_bytes()));
    raw.set("sha1hex", lua.create_function(sha1hex)?)?;
    let log = |_: &Lua, (level, text): (u8, LuaString)| {
        let text = text.as_bytes();
        let text = String::from_utf8_lossy(&text[..text.len().min(limits::LUA_LOG_BYTES)]);
        // A line of its own could be taken for the server's.
        let text = text.replace(char::is_control, " ");
        match level {
            0 | 1 => tracing::debug!(script = %text),
            _ if !often::SCRIPTS.has_a_line() => {}
            2 => tracing::info!(script = %text),
            _ => tracing::warn!(script = %text),
        }
        Ok(())
    };
    raw.set("log", lua.create_function(log)?)
}

/// Steps that matching may take at the worst: as many as the text is long, for each part that may match
/// more or less of it, and twice as many for each that may be left out.
fn weight(text: usize, pattern: &[u8], plain: bool) -> u64 {
    let long = (text as u64).max(2);
    let anchored = !plain && pattern.first() == Some(&b'^');
    let tries = if anchored { 1 } else { long };
    let mut steps = tries.saturating_mul((pattern.len() as u64).max(1));
    let mut at = if plain { pattern.len() } else { 0 };
    // Whether what stands next may be how often something matches.
    let mut counted = false;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'%' if pattern.get(at + 1) == Some(&b'b') => {
                steps = steps.saturating_mul(long);
                at += 3;
                counted = false;
            }
            b'%' => {
                at += 1;
                counted = true;
            }
            b'[' => {
                let inside = pattern.get(at + 2..).unwrap_or_default();
                let end = inside.iter().position(|byte| *byte == b']');
                at += end.map_or(0, |end| end + 2);
                counted = true;
            }
            b'*' | b'+' | b'-' if counted => {
                steps = steps.saturating_mul(long);
                counted = false;
            }
            b'?' if counted => {
                steps = steps.saturating_mul(2);
                counted = false;
            }
            b'(' | b')' => counted = false,
            _ => counted = true,
        }
        at += 1;
    }
    steps
}

/// The words of a command, as a script gives them.
fn words_of(words: &MultiValue) -> Result<Owned, &'static str> {
    if words.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    let mut owned = Owned::default();
    for word in words {
        if owned.size() > limits::COMMAND_BYTES {
            return Err("ERR the command of a script has more than 128 MiB");
        }
        match word {
            Value::String(text) => owned.push(&text.as_bytes()),
            Value::Integer(_) | Value::Number(_) => owned.push(&values::number(word)),
            _ => {
                return Err("ERR Lua redis lib command arguments must be strings or integers");
            }
        }
    }
    Ok(owned)
}

/// A script's step, and the keys that it named.
struct Inner<'s, 'a, 'g, 'e> {
    call: &'s mut Call<'a, 'g, 'e>,
    declared: &'s [&'a [u8]],
}

impl Inner<'_, '_, '_, '_> {
    /// Runs a command, and answers in RESP2.
    fn command(&mut self, words: &Owned) -> Out {
        let mut out = Out::default();
        if let Err(fail) = self.attempt(words.args(), &mut out) {
            out.bytes.clear();
            out.error(&fail.to_string());
        }
        out
    }

    fn attempt(&mut self, args: Args<'_>, out: &mut Out) -> Done {
        const UNKNOWN: Fail = Fail::say("ERR Unknown Redis command called from script");
        const FORBIDDEN: Fail = Fail::say("ERR This Redis command is not allowed from script");
        let command = command_of(args).ok_or(UNKNOWN)?;
        let Run::Keys(run) = command.run else {
            return Err(FORBIDDEN);
        };
        if command.is(NO_SCRIPT) {
            return Err(FORBIDDEN);
        }
        if !command.takes(args.len()) {
            return Err(Fail::say(
                "ERR Wrong number of args calling Redis command from script",
            ));
        }
        // Their shards are locked; others' are not.
        let mut places = command.key_places(args)?.iter();
        if !places.all(|at| self.declared.contains(&args.get(at))) {
            return Err(Fail::say(
                "ERR Script attempted to access a key that it did not declare: all keys stand behind \
                 their number in EVAL",
            ));
        }
        let db = self.call.keys.db;
        let mut call = Call {
            args,
            keys: self.call.keys.in_db(db),
            out,
            server: self.call.server,
            name: command.name,
            script_time: self.call.script_time,
        };
        let done = run(&mut call);
        let looks = call.keys.looks(command, args);
        self.call.keys.counted.add(looks);
        done
    }
}

fn command_of(args: Args<'_>) -> Option<&'static Command> {
    let (_, command) = table::find(args.get(0))?;
    match command.run {
        Run::Family => table::find_in(command, args.get(1)).map(|(_, command)| command),
        _ => Some(command),
    }
}

/// What a script failed with, in Redis' words.
fn failed(value: &Value, text: &[u8]) -> Fail {
    let said = match value {
        Value::Table(table) => match table.raw_get("err") {
            Ok(Value::String(said)) => said.to_string_lossy(),
            _ => "ERR unknown error".to_owned(),
        },
        // Lua has no other sign of it.
        Value::String(said) if *said == "not enough memory" => return OUT_OF_MEMORY,
        Value::String(said) => format!("ERR {}", said.to_string_lossy()),
        Value::Error(error) => return broken((**error).clone()),
        other => format!("ERR {}", other.to_string().unwrap_or_default()),
    };
    Fail::from(format!("{said} script: {}", scripts::sha(text)))
}

/// The machine itself gave up.
fn broken(error: mlua::Error) -> Fail {
    match error {
        mlua::Error::MemoryError(_) => OUT_OF_MEMORY,
        mlua::Error::CallbackError { cause, .. } => broken((*cause).clone()),
        mlua::Error::RuntimeError(said) => {
            let first = said.lines().next().unwrap_or_default();
            match first.starts_with("ERR ") {
                true => Fail::from(first.to_owned()),
                false => Fail::from(format!("ERR {first}")),
            }
        }
        error => Fail::from(format!("ERR the interpreter: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{limits, weight};

    #[test]
    fn what_may_take_long_is_heavy() {
        for (text, pattern, plain, fine) in [
            (1_000, &b"^[%w-]+@[^.]+$"[..], false, true),
            (60, b"(%d+)-(%d+)-(%d+)", false, true),
            (1_000_000, b"user:", true, true),
            (1_000_000, b".-.-.-x", false, false),
            (
                40,
                b"a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?b",
                false,
                false,
            ),
            (10_000_000, &[b'a'; 1_000_000], true, false),
            (1_000, b"%*%+%-", false, true),
        ] {
            let found = weight(text, pattern, plain) <= limits::LUA_PATTERN;
            assert_eq!(
                found,
                fine,
                "{}",
                String::from_utf8_lossy(&pattern[..pattern.len().min(40)])
            );
        }
    }
}
