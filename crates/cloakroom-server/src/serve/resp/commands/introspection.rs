//! `COMMAND`: the table, as tools read it.

use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    self, Category, Command, Done, FLAG_NAMES, Group, Keys, LOADING, NONE, Run, STALE, SUBCOMMANDS,
};

pub(super) const SECOND: Keys = Keys::Range(2, 2, 1);
const FLAGS: u16 = LOADING | STALE;
const NO_PLACES: &str =
    "where keys are is told by first, last and step; key specifications and tips are empty";

#[rustfmt::skip]
pub(super) static ROWS: [Command; 7] = [
    Command::new("command", -1, FLAGS | SUBCOMMANDS, NONE, Group::Server, "2.8.13", "Describes all commands.", Run::Conn(command))
        .differs(NO_PLACES),
    Command::new("command|count", 2, FLAGS, NONE, Group::Server, "2.8.13", "Counts the commands.", Run::Conn(count)),
    Command::new("command|info", -2, FLAGS, NONE, Group::Server, "2.8.13", "Describes commands.", Run::Conn(command_info))
        .differs(NO_PLACES),
    Command::new("command|docs", -2, FLAGS, NONE, Group::Server, "7.0.0", "Documents commands.", Run::Conn(docs))
        .differs("has the summary, not the arguments"),
    Command::new("command|list", -2, FLAGS, NONE, Group::Server, "7.0.0", "Names all commands.", Run::Conn(list))
        .differs("takes no filter"),
    Command::new("command|help", 2, FLAGS, NONE, Group::Server, "5.0.0", "Lists these.", Run::Conn(help))
        .differs("lists what there is here"),
    Command::new("command|getkeys", -4, FLAGS, NONE, Group::Server, "2.8.13", "Says which words of a command are keys.", Run::Conn(getkeys)),
];

/// The commands that are no subcommands.
fn top() -> impl Iterator<Item = &'static Command> {
    table::all().filter(|command| !command.name.contains('|'))
}

/// The subcommands of a family.
fn below(command: &'static Command) -> impl Iterator<Item = &'static Command> {
    let has_any = matches!(command.run, Run::Family) || command.is(SUBCOMMANDS);
    table::all().filter(move |sub| {
        let rest = sub.name.strip_prefix(command.name);
        has_any && rest.is_some_and(|rest| rest.starts_with('|'))
    })
}

fn command(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.array(top().count());
    top().for_each(|command| describe(command, out));
    Ok(())
}

fn describe(command: &'static Command, out: &mut Out) {
    out.array(10);
    out.bulk(command.name.as_bytes());
    out.integer(i64::from(command.arity));
    let mut flags: Vec<&str> = FLAG_NAMES
        .iter()
        .filter(|(flag, _)| command.is(*flag))
        .map(|(_, name)| *name)
        .collect();
    if let Keys::Counted(..) = command.keys {
        flags.push("movablekeys");
    }
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    let (first, last, step) = match command.keys {
        Keys::Range(first, last, step) => (first, last, step),
        Keys::Counted(_, true) => (1, 1, 1),
        Keys::None | Keys::Counted(..) => (0, 0, 0),
    };
    for place in [first, last, step] {
        out.integer(i64::from(place));
    }
    let categories: Vec<String> = Category::ALL
        .iter()
        .filter(|category| category.has(command))
        .map(|category| format!("@{}", category.name))
        .collect();
    out.set(categories.len());
    categories.iter().for_each(|name| out.simple(name));
    out.array(0);
    out.array(0);
    let subs: Vec<_> = below(command).collect();
    out.array(subs.len());
    subs.into_iter().for_each(|sub| describe(sub, out));
}

fn count(_: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    out.count(top().count());
    Ok(())
}

fn command_info(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() == 2 {
        out.array(top().count());
        top().for_each(|command| describe(command, out));
        return Ok(());
    }
    out.array(args.len() - 2);
    for name in args.from(2) {
        match table::find(name) {
            Some((_, command)) => describe(command, out),
            None => out.nil_array(),
        }
    }
    Ok(())
}

fn docs(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let chosen: Vec<&'static Command> = match args.len() {
        2 => top().collect(),
        _ => args
            .from(2)
            .filter_map(|name| Some(table::find(name)?.1))
            .collect(),
    };
    out.map(chosen.len());
    chosen
        .into_iter()
        .for_each(|command| document(command, out));
    Ok(())
}

fn document(command: &'static Command, out: &mut Out) {
    let subs: Vec<_> = below(command).collect();
    out.bulk(command.name.as_bytes());
    out.map(if subs.is_empty() { 3 } else { 4 });
    for (name, text) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group.name()),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(text.as_bytes());
    }
    if !subs.is_empty() {
        out.bulk(b"subcommands");
        out.map(subs.len());
        subs.into_iter().for_each(|sub| document(sub, out));
    }
}

fn list(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 2 {
        return Err(Fail::Syntax);
    }
    out.set(top().count());
    top().for_each(|command| out.bulk(command.name.as_bytes()));
    Ok(())
}

fn getkeys(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let words = args.skip(2);
    let Some((_, command)) = table::find(words.get(0)) else {
        return Err(Fail::say("ERR Invalid command specified"));
    };
    let command = match command.run {
        Run::Family => table::find_in(command, words.get(1)).map_or(command, |(_, sub)| sub),
        _ => command,
    };
    if command.keys == Keys::None {
        return Err(Fail::say("ERR The command has no key arguments"));
    }
    if !command.takes(words.len()) {
        return Err(Fail::say(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let places: Vec<usize> = command.key_places(words)?.iter().collect();
    if places.is_empty() {
        return Err(Fail::say("ERR Invalid arguments specified for command"));
    }
    out.array(places.len());
    places.into_iter().for_each(|at| out.bulk(words.get(at)));
    Ok(())
}

/// `HELP` of a family: its subcommands.
pub(super) fn help(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let (_, family) = table::find(args.get(0)).ok_or(Fail::Syntax)?;
    let subs: Vec<_> = below(family).collect();
    out.array(subs.len() + 1);
    let title = family.name.to_uppercase();
    out.simple(&format!("{title} <subcommand> [...]:"));
    for sub in subs {
        let name = sub.name[title.len() + 1..].to_uppercase();
        out.simple(&format!("{name}: {}", sub.summary));
    }
    Ok(())
}
