//! Every command, once. Dispatch, arity, keys, rights, `COMMAND` and `docs/commands.md` derive from these
//! rows; each family of commands has its rows beside its code.

mod categories;
pub(crate) mod docs;

use std::sync::LazyLock;

use super::args::Args;
use super::call::Call;
use super::conn::Conn;
use super::fail::Fail;
use super::reply::Out;
use super::{commands, number};

pub(crate) use categories::Category;

/// What a command does or not.
pub(crate) type Done = Result<(), Fail>;

/// One command, or one subcommand (`client|setname`).
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// How many words, its name among them; so many or more if negative.
    pub(crate) arity: i8,
    pub(crate) flags: u16,
    pub(crate) keys: Keys,
    pub(crate) group: Group,
    /// The version of Redis that has it first.
    pub(crate) since: &'static str,
    pub(crate) summary: &'static str,
    /// Whether its lookups of keys are counted as hits and misses.
    pub(crate) looks: bool,
    /// What is not as in Redis; empty: nothing.
    pub(crate) differs: &'static str,
    pub(crate) run: Run,
}

/// How a command is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// On keys, under the locks of their shards.
    Keys(fn(&mut Call<'_, '_, '_>) -> Done),
    /// On keys, with everything locked.
    All(fn(&mut Call<'_, '_, '_>) -> Done),
    /// On the whole engine, which takes its locks one after another: no part of an atomic step.
    Whole(fn(&mut Conn, Args<'_>, &mut Out) -> Done),
    /// On the connection and what all connections share.
    Conn(fn(&mut Conn, Args<'_>, &mut Out) -> Done),
    /// Nothing by itself: its subcommands are commands.
    Family,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keys(_) => "Keys",
            Self::All(_) => "All",
            Self::Whole(_) => "Whole",
            Self::Conn(_) => "Conn",
            Self::Family => "Family",
        })
    }
}

/// Where the keys are among the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    None,
    /// From here to there (counted from the end if negative), every so many words.
    Range(i8, i8, i8),
    /// At this word is their number, behind it they are; before it, perhaps, is one to write to.
    Counted(u8, bool),
}

/// One key, right behind the name.
pub(crate) const ONE: Keys = Keys::Range(1, 1, 1);
/// Keys and nothing else.
pub(crate) const ALL: Keys = Keys::Range(1, -1, 1);
/// No key.
pub(crate) const NONE: Keys = Keys::None;

/// The families, as Redis groups them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Generic,
    String,
    Hash,
    Set,
    SortedSet,
    PubSub,
    Transactions,
    Scripting,
    Connection,
    Server,
}

impl Group {
    pub(crate) const ALL: [Self; 10] = [
        Self::Generic,
        Self::String,
        Self::Hash,
        Self::Set,
        Self::SortedSet,
        Self::PubSub,
        Self::Transactions,
        Self::Scripting,
        Self::Connection,
        Self::Server,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::Hash => "hash",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::PubSub => "pubsub",
            Self::Transactions => "transactions",
            Self::Scripting => "scripting",
            Self::Connection => "connection",
            Self::Server => "server",
        }
    }
}

pub(crate) const WRITE: u16 = 1;
pub(crate) const READ: u16 = 1 << 1;
/// Refused when memory is full.
pub(crate) const GROWS: u16 = 1 << 2;
pub(crate) const ADMIN: u16 = 1 << 3;
pub(crate) const PUBSUB: u16 = 1 << 4;
pub(crate) const NO_SCRIPT: u16 = 1 << 5;
pub(crate) const LOADING: u16 = 1 << 6;
pub(crate) const STALE: u16 = 1 << 7;
pub(crate) const FAST: u16 = 1 << 8;
/// Allowed before signing in.
pub(crate) const NO_AUTH: u16 = 1 << 9;
/// Refused in a transaction.
pub(crate) const NO_MULTI: u16 = 1 << 10;
/// Not queued in a transaction, but run at once.
pub(crate) const AT_ONCE: u16 = 1 << 11;
pub(crate) const DANGEROUS: u16 = 1 << 12;
/// Allowed in RESP2 while subscribed.
pub(crate) const SUBSCRIBED: u16 = 1 << 13;
pub(crate) const BLOCKING: u16 = 1 << 14;
/// Is a command by itself, and has subcommands as well.
pub(crate) const SUBCOMMANDS: u16 = 1 << 15;

/// The flags as `COMMAND` names them.
pub(crate) const FLAG_NAMES: [(u16, &str); 12] = [
    (WRITE, "write"),
    (READ, "readonly"),
    (GROWS, "denyoom"),
    (ADMIN, "admin"),
    (PUBSUB, "pubsub"),
    (NO_SCRIPT, "noscript"),
    (BLOCKING, "blocking"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (NO_MULTI, "no_multi"),
];

impl Command {
    /// A command that is as in Redis.
    #[expect(
        clippy::too_many_arguments,
        reason = "a row of a table has as many columns as it has"
    )]
    pub(crate) const fn new(
        name: &'static str,
        arity: i8,
        flags: u16,
        keys: Keys,
        group: Group,
        since: &'static str,
        summary: &'static str,
        run: Run,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            keys,
            group,
            since,
            summary,
            looks: flags & READ != 0,
            differs: "",
            run,
        }
    }

    /// The same, which writes, but reads first, and that counts.
    pub(crate) const fn looks(mut self) -> Self {
        self.looks = true;
        self
    }

    /// The same, with what is not as in Redis.
    pub(crate) const fn differs(mut self, how: &'static str) -> Self {
        self.differs = how;
        self
    }

    /// Whether it has this flag.
    pub(crate) const fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether it takes so many words.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 {
            words >= arity
        } else {
            words == arity
        }
    }

    /// Where its keys are among these words, as indices. Fails if their number is not one.
    pub(crate) fn key_places(&self, args: Args<'_>) -> Result<KeyPlaces, Fail> {
        let words = args.len();
        match self.keys {
            Keys::None => Ok(KeyPlaces::NONE),
            Keys::Range(first, last, step) => {
                let first = usize::from(first.unsigned_abs());
                let last = match usize::from(last.unsigned_abs()) {
                    back if last < 0 => words.saturating_sub(back),
                    last => last,
                };
                Ok(KeyPlaces {
                    target: None,
                    from: first,
                    to: (last + 1).min(words),
                    step: usize::from(step.unsigned_abs()),
                })
            }
            Keys::Counted(at, writes) => {
                let at = usize::from(at);
                let count = number::integer(args.get(at)).and_then(|n| usize::try_from(n).ok());
                let count = count.unwrap_or(0).min(words.saturating_sub(at + 1));
                Ok(KeyPlaces {
                    target: writes.then_some(at - 1),
                    from: at + 1,
                    to: at + 1 + count,
                    step: 1,
                })
            }
        }
    }
}

/// Which words are keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyPlaces {
    target: Option<usize>,
    from: usize,
    to: usize,
    step: usize,
}

impl KeyPlaces {
    const NONE: Self = Self {
        target: None,
        from: 0,
        to: 0,
        step: 1,
    };

    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let range = (self.from..self.to).step_by(self.step.max(1));
        self.target.into_iter().chain(range)
    }

    /// The only one, if there is only one.
    pub(crate) fn only(self) -> Option<usize> {
        let one = self.target.is_none() && self.from < self.to && self.from + self.step >= self.to;
        one.then_some(self.from)
    }
}

/// All rows, family by family.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    commands::FAMILIES.iter().flat_map(|family| family.iter())
}

/// How many commands there are.
pub(crate) fn count() -> usize {
    INDEX.rows.len()
}

/// The command of this name, in any letter case; for a subcommand both words with a bar between.
pub(crate) fn find(name: &[u8]) -> Option<(usize, &'static Command)> {
    let mut lower = [0_u8; LONGEST];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = &*INDEX;
    let mut at = hash(lower) & (SLOTS - 1);
    loop {
        let number = index.slots[at] as usize;
        if number == usize::from(u16::MAX) {
            return None;
        }
        let command = index.rows[number];
        if command.name.as_bytes() == lower {
            return Some((number, command));
        }
        at = (at + 1) & (SLOTS - 1);
    }
}

/// The subcommand of a family.
pub(crate) fn find_in(family: &Command, sub: &[u8]) -> Option<(usize, &'static Command)> {
    let mut name = [0_u8; LONGEST];
    let front = family.name.len();
    let length = front + 1 + sub.len();
    let name = name.get_mut(..length)?;
    name[..front].copy_from_slice(family.name.as_bytes());
    name[front] = b'|';
    name[front + 1..].copy_from_slice(sub);
    find(name)
}

/// Bytes of the longest name, and more.
const LONGEST: usize = 40;
/// Places of the table in which names are found: so many that most are at their own.
const SLOTS: usize = 1_024;

struct Index {
    rows: Vec<&'static Command>,
    slots: [u16; SLOTS],
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let rows: Vec<&'static Command> = all().collect();
    let mut slots = [u16::MAX; SLOTS];
    for (number, row) in rows.iter().enumerate() {
        let mut at = hash(row.name.as_bytes()) & (SLOTS - 1);
        while slots[at] != u16::MAX {
            at = (at + 1) & (SLOTS - 1);
        }
        slots[at] = u16::try_from(number).expect("there are a few hundred commands");
    }
    Index { rows, slots }
});

/// FNV-1a, which is quick for a few bytes. Names are ours, so nobody can choose ones that collide; what
/// strangers send is looked up and kept nowhere.
fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in name {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    (hash ^ (hash >> 15)) as usize
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, all, find};

    #[test]
    fn every_command_is_found_by_its_name_once() {
        let mut names: Vec<&str> = all().map(|row| row.name).collect();
        for name in &names {
            let upper = name.to_ascii_uppercase();
            assert_eq!(find(upper.as_bytes()).map(|(_, row)| row.name), Some(*name));
            assert!(name.len() < LONGEST);
        }
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "no name twice");
        assert!(find(b"nosuchcommand").is_none());
    }
}
