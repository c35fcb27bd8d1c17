//! PHP's `serialize`, and the session format around it. Objects are read as maps of their
//! properties; no class is loaded, nothing is called.

use super::tree::{At, Bytes, Node, Tree, number};
use crate::limits;

pub(super) fn serialized(value: &[u8]) -> Option<Tree<'_>> {
    let mut reader = Reader::new(value);
    let root = reader.value(0)?;
    reader.tree.root = root;
    Some(reader.tree)
}

/// `name|value` one after another. Variables that are set to nothing are written `!name|`.
pub(super) fn session(value: &[u8]) -> Option<Tree<'_>> {
    // With `session.serialize_handler=php_serialize` it is one array.
    if value.starts_with(b"a:") {
        return serialized(value);
    }
    let mut reader = Reader::new(value);
    let mut pairs = Vec::new();
    while !reader.bytes.0.is_empty() {
        let name = reader.bytes.until(b'|')?;
        if name.starts_with(b"!") {
            continue;
        }
        let key = reader.tree.push(Node::Text(name))?;
        pairs.push((key, reader.value(0)?));
    }
    reader.tree.root = reader.tree.push(Node::Map(pairs))?;
    Some(reader.tree)
}

struct Reader<'a> {
    bytes: Bytes<'a>,
    tree: Tree<'a>,
    /// Values that `R:` and `r:` may refer to, counted from 1.
    slots: Vec<At>,
}

impl<'a> Reader<'a> {
    fn new(value: &'a [u8]) -> Self {
        Self {
            bytes: Bytes(value),
            tree: Tree::default(),
            slots: Vec::new(),
        }
    }

    fn value(&mut self, depth: usize) -> Option<At> {
        if depth > limits::DECODE_DEPTH {
            return None;
        }
        let kind = self.bytes.byte()?;
        if kind == b'R' || kind == b'r' {
            return self.reference(kind);
        }
        let at = self.tree.push(Node::Other)?;
        self.slots.push(at);
        if kind == b'N' {
            self.bytes.expect(b";")?;
            return Some(at);
        }
        self.bytes.expect(b":")?;
        let node = match kind {
            b'i' => Node::Int(self.bytes.number(b';')?),
            b'b' | b'd' => {
                self.bytes.until(b';')?;
                Node::Other
            }
            b's' => {
                let text = self.text()?;
                self.bytes.expect(b";")?;
                Node::Text(text)
            }
            b'E' => {
                self.text()?;
                self.bytes.expect(b";")?;
                Node::Other
            }
            b'a' => Node::Map(self.pairs(depth)?),
            b'O' => {
                self.text()?;
                self.bytes.expect(b":")?;
                Node::Map(self.pairs(depth)?)
            }
            b'C' => {
                // An object that wrote itself, in a way that only its class knows.
                self.text()?;
                self.bytes.expect(b":")?;
                let length = usize::try_from(self.bytes.number(b':')?).ok()?;
                self.bytes.expect(b"{")?;
                self.bytes.take(length)?;
                self.bytes.expect(b"}")?;
                Node::Other
            }
            _ => return None,
        };
        self.tree.set(at, node);
        Some(at)
    }

    /// `R` is the very value it refers to; `r` is an object that is counted as one more value.
    fn reference(&mut self, kind: u8) -> Option<At> {
        self.bytes.expect(b":")?;
        let number = usize::try_from(self.bytes.number(b';')?).ok()?;
        let at = *self.slots.get(number.checked_sub(1)?)?;
        if kind == b'r' {
            self.slots.push(at);
        }
        Some(at)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.bytes.number(b':')?).ok()?;
        self.bytes.expect(b"\"")?;
        let text = self.bytes.take(length)?;
        self.bytes.expect(b"\"")?;
        Some(text)
    }

    /// Keys are no values: nothing refers to them.
    fn pairs(&mut self, depth: usize) -> Option<Vec<(At, At)>> {
        let count = self.bytes.number(b':')?;
        self.bytes.expect(b"{")?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let kind = self.bytes.byte()?;
            self.bytes.expect(b":")?;
            let key = match kind {
                b'i' => Node::Int(number(self.bytes.until(b';')?)?),
                b's' => {
                    let name = self.text()?;
                    self.bytes.expect(b";")?;
                    Node::Text(plain(name))
                }
                _ => return None,
            };
            let key = self.tree.push(key)?;
            pairs.push((key, self.value(depth + 1)?));
        }
        self.bytes.expect(b"}")?;
        Some(pairs)
    }
}

/// A property's name without what says whose it is: `\0App\User\0email` and `\0*\0email` are `email`.
fn plain(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| *byte == 0);
    match end {
        Some(end) if name.starts_with(&[0]) => name.get(end + 1..).unwrap_or(name),
        _ => name,
    }
}
