//! The scripts: files beside this one, each with a header that says name, keys, arguments, result and
//! cost. A script is the clock, perhaps a quick way for the usual case, the prelude, the layout's
//! functions, and its own text.

use std::sync::LazyLock;

use crate::settings::LayoutName;
use crate::wire::{Command, Lane};

const CLOCK: &str = include_str!("clock.lua");
const PRELUDE: &str = include_str!("prelude.lua");
const PACKED: &str = include_str!("packed.lua");
const FIELDS: &str = include_str!("fields.lua");
const PLAIN: &str = include_str!("plain.lua");

/// Asks what the user may do.
pub(crate) const RIGHTS: &str = include_str!("rights.lua");

/// Reads a session in the plain layout, which takes what other programs did into account.
pub(crate) static READ_PLAIN: LazyLock<Script> =
    LazyLock::new(|| Script::new(PLAIN, include_str!("read_plain.lua")));
/// Deletes a session of the plain layout that a mass revocation ended.
pub(crate) static SWEEP_PLAIN: LazyLock<Script> =
    LazyLock::new(|| Script::new(PLAIN, include_str!("sweep_plain.lua")));

/// All scripts of one layout.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) place: Script,
    pub(crate) apply: Script,
    pub(crate) end: Script,
    pub(crate) touch: Script,
    pub(crate) leave: Script,
    pub(crate) undo: Script,
}

/// One script and its hash.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
    pub(crate) lane: Lane,
}

impl Scripts {
    pub(crate) fn new(layout: LayoutName) -> Self {
        let (functions, quick, apply) = match layout {
            LayoutName::Packed => (
                PACKED,
                include_str!("quick_packed.lua"),
                include_str!("apply_packed.lua"),
            ),
            LayoutName::Fields => (
                FIELDS,
                include_str!("quick_fields.lua"),
                include_str!("apply_fields.lua"),
            ),
            LayoutName::Plain => (PLAIN, "", include_str!("apply_fields.lua")),
        };
        Self {
            place: Script::new(functions, include_str!("place.lua")).over(Lane::Safe),
            apply: Script::with_quick(quick, functions, apply),
            end: Script::new(functions, include_str!("end.lua")).over(Lane::Final),
            touch: Script::new(functions, include_str!("touch.lua")),
            leave: Script::new(functions, include_str!("leave.lua")).over(Lane::Final),
            undo: Script::new(functions, include_str!("undo.lua")),
        }
    }
}

impl Script {
    fn new(functions: &str, text: &str) -> Self {
        Self::with_quick("", functions, text)
    }

    fn with_quick(quick: &str, functions: &str, text: &str) -> Self {
        // Comments stay here: the server keeps the text in memory and sends it to replicas.
        let text: String = [CLOCK, quick, PRELUDE, functions, text]
            .iter()
            .flat_map(|part| part.lines())
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self {
            text,
            hash,
            lane: Lane::Write,
        }
    }

    /// What it does must not be lost.
    fn over(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// Calls it with these keys and arguments.
    pub(crate) fn call(&self, by: By, keys: &Words, args: &Words) -> Command {
        let bytes = keys.bytes.len() + args.bytes.len();
        let mut command = self.begin(by, keys.len(), args.len(), bytes);
        for word in keys.iter().chain(args.iter()) {
            command.arg(word);
        }
        command
    }

    /// The beginning of a call; the keys and arguments are to follow, with about so many bytes.
    pub(crate) fn begin(&self, by: By, keys: usize, args: usize, bytes: usize) -> Command {
        let (name, script) = match by {
            By::Hash => ("EVALSHA", &self.hash),
            By::Text => ("EVAL", &self.text),
        };
        let bytes = name.len() + script.len() + 20 + bytes;
        let mut command = Command::with_capacity(3 + keys + args, bytes);
        command.arg(name).arg(script).arg(keys);
        command
    }
}

/// How a call names its script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// The server may not know it.
    Hash,
    Text,
}

/// Words of a command, in one run of bytes.
#[derive(Debug, Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Words {
    pub(crate) fn push(&mut self, word: impl AsRef<[u8]>) {
        self.push_with(|bytes| bytes.extend_from_slice(word.as_ref()));
    }

    /// A word that is written in place.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    const fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let places = begins.zip(&self.ends);
        places.map(|(begin, end)| &self.bytes[begin..*end])
    }
}

impl<W: AsRef<[u8]>> Extend<W> for Words {
    fn extend<T: IntoIterator<Item = W>>(&mut self, words: T) {
        words.into_iter().for_each(|word| self.push(word));
    }
}

impl<W: AsRef<[u8]>> FromIterator<W> for Words {
    fn from_iter<T: IntoIterator<Item = W>>(words: T) -> Self {
        let mut all = Self::default();
        all.extend(words);
        all
    }
}
