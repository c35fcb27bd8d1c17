//! `ACL`: who the users are and what they may. They are written in the file of the setting `resp-users`, not
//! here.

use std::fmt::Write as _;

use crate::serve::resp::args::Args;
use crate::serve::resp::conn::Conn;
use crate::serve::resp::fail::Fail;
use crate::serve::resp::reply::Out;
use crate::serve::resp::table::{
    ADMIN, Category, Command, DANGEROUS, Done, Group::Server, LOADING, NO_SCRIPT, NONE, Run, STALE,
};

const FLAGS: u16 = NO_SCRIPT | LOADING | STALE;

#[rustfmt::skip]
pub(super) static ROWS: [Command; 8] = [
    Command::new("acl", -2, 0, NONE, Server, "6.0.0", "Users and rights.", Run::Family),
    Command::new("acl|whoami", 2, FLAGS, NONE, Server, "6.0.0", "Says who speaks.", Run::Conn(whoami)),
    Command::new("acl|list", 2, FLAGS | ADMIN | DANGEROUS, NONE, Server, "6.0.0", "Describes all users.", Run::Conn(list)),
    Command::new("acl|users", 2, FLAGS | ADMIN | DANGEROUS, NONE, Server, "6.0.0", "Names all users.", Run::Conn(users)),
    Command::new("acl|getuser", 3, FLAGS | ADMIN | DANGEROUS, NONE, Server, "6.0.0", "Describes a user.", Run::Conn(getuser)),
    Command::new("acl|cat", -2, FLAGS, NONE, Server, "6.0.0", "Lists the categories of commands.", Run::Conn(cat))
        .differs("categories of what there is not here are empty"),
    Command::new("acl|setuser", -3, FLAGS | ADMIN | DANGEROUS, NONE, Server, "6.0.0", "Changes a user.", Run::Conn(setuser))
        .differs("refused: users are in the file of the setting resp-users"),
    Command::new("acl|help", 2, LOADING | STALE, NONE, Server, "6.0.0", "Lists these.", Run::Conn(super::introspection::help))
        .differs("lists what there is here"),
];

fn whoami(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let name = conn.user.as_ref().map_or("default", |user| &user.name);
    out.bulk(name.as_bytes());
    Ok(())
}

fn list(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let users = conn.server.users.all();
    out.array(users.len());
    users
        .iter()
        .for_each(|user| out.bulk(user.to_string().as_bytes()));
    Ok(())
}

fn users(conn: &mut Conn, _: Args<'_>, out: &mut Out) -> Done {
    let users = conn.server.users.all();
    out.array(users.len());
    users.iter().for_each(|user| out.bulk(user.name.as_bytes()));
    Ok(())
}

fn getuser(conn: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    let Some(user) = conn.server.users.named(args.get(2)) else {
        out.nil();
        return Ok(());
    };
    let mut flags = vec![if user.on { "on" } else { "off" }];
    flags.extend(user.no_password.then_some("nopass"));
    out.map(6);
    out.bulk(b"flags");
    out.set(flags.len());
    flags.iter().for_each(|flag| out.bulk(flag.as_bytes()));
    out.bulk(b"passwords");
    let hashes = user.hashes();
    out.array(hashes.len());
    hashes.iter().for_each(|hash| out.bulk(hash.as_bytes()));
    for (name, value) in [
        ("commands", user.rights.rule().to_owned()),
        ("keys", user.patterns()),
        ("channels", user.channels()),
    ] {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    out.bulk(b"selectors");
    out.array(0);
    Ok(())
}

fn cat(_: &mut Conn, args: Args<'_>, out: &mut Out) -> Done {
    if args.len() > 3 {
        return Err(Fail::Arity("acl|cat".into()));
    }
    if args.len() == 2 {
        out.array(Category::ALL.len());
        for category in Category::ALL {
            out.bulk(category.name.as_bytes());
        }
        return Ok(());
    }
    let Some(category) = Category::named(args.get(2)) else {
        let mut wrong = String::new();
        let name = String::from_utf8_lossy(args.get(2));
        let _ = write!(wrong, "ERR Unknown category '{name}'");
        return Err(Fail::from(wrong));
    };
    let commands: Vec<&str> = category.commands().map(|command| command.name).collect();
    out.array(commands.len());
    commands.iter().for_each(|name| out.bulk(name.as_bytes()));
    Ok(())
}

fn setuser(_: &mut Conn, _: Args<'_>, _: &mut Out) -> Done {
    Err(Fail::say(
        "ERR users are written in the file of the setting resp-users, and read at the start and on SIGHUP",
    ))
}
