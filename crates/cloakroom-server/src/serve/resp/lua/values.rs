//! From replies to Lua's values and from values to replies, as Redis has it: a status is a table with `ok`, an error
//! one with `err`, nothing is false; a number becomes whole, and a list ends at its first nil.

use mlua::{Lua, Table, Value};

use crate::serve::resp::fail::Fail;
use crate::serve::resp::limits;
use crate::serve::resp::number::write_double;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::Done;

/// Tables in tables that are answered; a table may hold itself.
const DEEP: usize = 128;

/// A list of texts.
pub(super) fn list(lua: &Lua, texts: &[&[u8]]) -> mlua::Result<Table> {
    let list = lua.create_table_with_capacity(texts.len(), 0)?;
    for (at, text) in texts.iter().enumerate() {
        list.raw_set(at + 1, lua.create_string(text)?)?;
    }
    Ok(list)
}

/// An error as a command returns it.
pub(super) fn error(lua: &Lua, text: &str) -> mlua::Result<Value> {
    told(lua, "err", text.as_bytes())
}

/// A number as a command's word.
pub(super) fn number(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write_double(double(value).unwrap_or_default(), &mut text);
    text
}

/// Lua 5.1 has doubles alone; whole ones come as integers.
fn double(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// What a command answered in RESP2.
pub(super) fn from_reply(lua: &Lua, bytes: &[u8]) -> mlua::Result<Value> {
    Reader(bytes).value(lua)
}

fn told(lua: &Lua, name: &str, text: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set(name, lua.create_string(text)?)?;
    Ok(Value::Table(table))
}

/// An answer of ours, which is well formed.
struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn value(&mut self, lua: &Lua) -> mlua::Result<Value> {
        let (sign, rest) = self.line();
        let number: i64 = std::str::from_utf8(rest)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(-1);
        match (sign, usize::try_from(number)) {
            (b'+', _) => told(lua, "ok", rest),
            (b'-', _) => told(lua, "err", rest),
            (b':', _) => Ok(Value::Number(number as f64)),
            (b'$', Ok(length)) => {
                let (text, rest) = self.0.split_at(length.min(self.0.len()));
                self.0 = rest.get(2..).unwrap_or_default();
                Ok(Value::String(lua.create_string(text)?))
            }
            (b'*', Ok(count)) => {
                let list = lua.create_table()?;
                for at in 1..=count {
                    list.raw_set(at, self.value(lua)?)?;
                }
                Ok(Value::Table(list))
            }
            _ => Ok(Value::Boolean(false)),
        }
    }

    fn line(&mut self) -> (u8, &'r [u8]) {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n");
        let end = end.unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(2..).unwrap_or_default();
        line.split_first()
            .map_or((b'_', line), |(sign, rest)| (*sign, rest))
    }
}

/// Answers what a script returned.
pub(super) fn answer(out: &mut Out, value: &Value) -> Done {
    deep_answer(out, value, 0)
}

fn deep_answer(out: &mut Out, value: &Value, depth: usize) -> Done {
    if depth > DEEP {
        return Err(Fail::say("ERR reached lua stack limit"));
    }
    if out.bytes.len() > limits::OUTPUT_PAUSE_BYTES {
        return Err(Fail::say("ERR the script's answer is too large"));
    }
    match value {
        Value::Boolean(true) => out.integer(1),
        Value::Integer(number) => out.integer(*number),
        Value::Number(number) => out.integer(*number as i64),
        Value::String(text) => out.bulk(&text.as_bytes()),
        Value::Table(table) => return table_answer(out, table, depth),
        _ => out.nil(),
    }
    Ok(())
}

fn table_answer(out: &mut Out, table: &Table, depth: usize) -> Done {
    let at = |name: &str| table.raw_get(name).unwrap_or(Value::Nil);
    if let Value::String(text) = at("err") {
        out.error(&text.to_string_lossy());
        return Ok(());
    }
    if let Value::String(text) = at("ok") {
        let line = text.to_string_lossy().replace(['\r', '\n'], " ");
        out.simple(&line);
        return Ok(());
    }
    if let Some(number) = double(&at("double")) {
        out.double(number);
        return Ok(());
    }
    let mut items = Vec::new();
    while let Ok(item) = table.raw_get::<Value>(items.len() + 1)
        && !item.is_nil()
    {
        items.push(item);
    }
    out.array(items.len());
    for item in &items {
        deep_answer(out, item, depth + 1)?;
    }
    Ok(())
}
