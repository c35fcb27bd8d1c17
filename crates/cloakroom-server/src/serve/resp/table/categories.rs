//! The categories of rights (`ACL CAT`), which follow from a command's flags and family as they do in
//! Redis.

use super::{ADMIN, BLOCKING, Command, DANGEROUS, FAST, Group, PUBSUB, READ, WRITE, all};

/// A set of commands that has a name in rules: `+@read`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Category {
    pub(crate) name: &'static str,
    has: fn(&Command) -> bool,
}

impl Category {
    /// All of them, in Redis' order. Those of kinds that there are not here are empty.
    pub(crate) const ALL: [Self; 21] = [
        Self::new("keyspace", |row| row.group == Group::Generic),
        Self::new("read", |row| row.is(READ)),
        Self::new("write", |row| row.is(WRITE)),
        Self::new("set", |row| row.group == Group::Set),
        Self::new("sortedset", |row| row.group == Group::SortedSet),
        Self::new("list", |_| false),
        Self::new("hash", |row| row.group == Group::Hash),
        Self::new("string", |row| row.group == Group::String),
        Self::new("bitmap", |_| false),
        Self::new("hyperloglog", |_| false),
        Self::new("geo", |_| false),
        Self::new("stream", |_| false),
        Self::new("pubsub", |row| row.is(PUBSUB) || row.group == Group::PubSub),
        Self::new("admin", |row| row.is(ADMIN)),
        Self::new("fast", |row| row.is(FAST)),
        Self::new("slow", |row| !row.is(FAST)),
        Self::new("blocking", |row| row.is(BLOCKING)),
        Self::new("dangerous", |row| row.is(DANGEROUS) || row.is(ADMIN)),
        Self::new("connection", |row| row.group == Group::Connection),
        Self::new("transaction", |row| row.group == Group::Transactions),
        Self::new("scripting", |row| row.group == Group::Scripting),
    ];

    const fn new(name: &'static str, has: fn(&Command) -> bool) -> Self {
        Self { name, has }
    }

    /// The category of this name.
    pub(crate) fn named(name: &[u8]) -> Option<&'static Self> {
        static ALL: [Category; 21] = Category::ALL;
        ALL.iter()
            .find(|category| name.eq_ignore_ascii_case(category.name.as_bytes()))
    }

    /// Whether this command is in it.
    pub(crate) fn has(&self, command: &Command) -> bool {
        (self.has)(command)
    }

    /// Its commands.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &'static Command> + '_ {
        all().filter(|row| self.has(row))
    }
}
