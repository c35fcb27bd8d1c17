//! Ruby's `Marshal`, 4.8. Objects are read as maps of their instance variables; no class is looked
//! up, nothing is called.

use super::tree::{At, Bytes, Node, Tree};
use crate::limits;

pub(super) fn read(value: &[u8]) -> Option<Tree<'_>> {
    let mut reader = Reader {
        bytes: Bytes(value),
        tree: Tree::default(),
        symbols: Vec::new(),
        objects: Vec::new(),
    };
    reader.bytes.expect(&[4, 8])?;
    let root = reader.value(0)?;
    reader.tree.root = root;
    Some(reader.tree)
}

struct Reader<'a> {
    bytes: Bytes<'a>,
    tree: Tree<'a>,
    symbols: Vec<&'a [u8]>,
    /// What `@` may refer to, in the order in which it began.
    objects: Vec<At>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<At> {
        if depth > limits::DECODE_DEPTH {
            return None;
        }
        let kind = self.bytes.byte()?;
        let simple = match kind {
            b'0' | b'T' | b'F' => Node::Other,
            b'i' => Node::Int(self.int()?),
            b':' | b';' => Node::Text(self.symbol_of(kind)?),
            b'@' => {
                let number = usize::try_from(self.int()?).ok()?;
                return self.objects.get(number).copied();
            }
            b'I' => return self.with_variables(depth),
            // A subclass of a basic type, or an object with a module: the name, then the object.
            b'C' | b'e' => {
                self.symbol()?;
                return self.value(depth + 1);
            }
            _ => return self.object(kind, depth),
        };
        self.tree.push(simple)
    }

    fn object(&mut self, kind: u8, depth: usize) -> Option<At> {
        let at = self.tree.push(Node::Other)?;
        self.objects.push(at);
        let node = match kind {
            b'"' => Node::Text(self.sized()?),
            b'[' => {
                let count = self.int()?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.value(depth + 1)?);
                }
                Node::List(items)
            }
            b'{' | b'}' => {
                let pairs = self.pairs(depth, false)?;
                if kind == b'}' {
                    self.value(depth + 1)?;
                }
                Node::Map(pairs)
            }
            b'o' | b'S' => {
                self.symbol()?;
                Node::Map(self.pairs(depth, true)?)
            }
            b'f' | b'c' | b'm' | b'M' => {
                self.sized()?;
                Node::Other
            }
            b'l' => {
                self.bytes.take(1)?;
                let words = usize::try_from(self.int()?).ok()?;
                self.bytes.take(words.checked_mul(2)?)?;
                Node::Other
            }
            b'/' => {
                self.sized()?;
                self.bytes.take(1)?;
                Node::Other
            }
            // Objects that wrote themselves: as bytes, or as another value.
            b'u' => {
                self.symbol()?;
                self.sized()?;
                Node::Other
            }
            b'U' => {
                self.symbol()?;
                self.value(depth + 1)?;
                Node::Other
            }
            _ => return None,
        };
        self.tree.set(at, node);
        Some(at)
    }

    /// A value and its instance variables; of a text that is its character set.
    fn with_variables(&mut self, depth: usize) -> Option<At> {
        let at = self.value(depth + 1)?;
        self.pairs(depth, true)?;
        Some(at)
    }

    fn pairs(&mut self, depth: usize, symbols: bool) -> Option<Vec<(At, At)>> {
        let count = self.int()?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = if symbols {
                let name = self.symbol()?;
                self.tree.push(Node::Text(name))?
            } else {
                self.value(depth + 1)?
            };
            pairs.push((key, self.value(depth + 1)?));
        }
        Some(pairs)
    }

    fn symbol(&mut self) -> Option<&'a [u8]> {
        let kind = self.bytes.byte()?;
        self.symbol_of(kind)
    }

    fn symbol_of(&mut self, kind: u8) -> Option<&'a [u8]> {
        match kind {
            b':' => {
                let name = self.sized()?;
                self.symbols.push(name);
                Some(name)
            }
            b';' => {
                let number = usize::try_from(self.int()?).ok()?;
                self.symbols.get(number).copied()
            }
            // A symbol beyond ASCII says its character set: one variable, by a plain symbol.
            b'I' => {
                self.bytes.expect(b":")?;
                let name = self.sized()?;
                self.symbols.push(name);
                self.bytes.expect(&[6])?;
                let plain = self.bytes.byte().filter(|kind| *kind != b'I')?;
                self.symbol_of(plain)?;
                self.value(limits::DECODE_DEPTH)?;
                Some(name)
            }
            _ => None,
        }
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int()?).ok()?;
        self.bytes.take(length)
    }

    /// A packed number: small ones in the byte itself, others in one to four bytes, lowest first.
    fn int(&mut self) -> Option<i64> {
        let first = i64::from(self.bytes.byte()? as i8);
        let length = match first {
            0 => return Some(0),
            5..=127 => return Some(first - 5),
            -128..=-5 => return Some(first + 5),
            _ => usize::try_from(first.abs()).ok()?,
        };
        let low = self.bytes.take(length)?.iter().rev();
        let sum = low.fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte));
        Some(if first < 0 {
            sum - (1_i64 << (8 * length))
        } else {
            sum
        })
    }
}
