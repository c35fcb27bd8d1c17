//! Go's `encoding/gob`: a stream describes its types, then sends a value of one of them.

use std::collections::HashMap;

use super::tree::{At, Bytes, Node, Tree};
use crate::limits;

pub(super) fn read(value: &[u8]) -> Option<Tree<'_>> {
    let mut reader = Reader {
        bytes: Bytes(value),
        tree: Tree::default(),
        types: HashMap::new(),
    };
    loop {
        // Each message says its length; what is in it says it better.
        reader.unsigned()?;
        let id = reader.signed()?;
        if id >= 0 {
            let root = reader.top(id, 0)?;
            reader.tree.root = root;
            return Some(reader.tree);
        }
        reader.describe(id.checked_neg()?)?;
    }
}

/// Types that need no description.
mod basic {
    pub(super) const BOOL: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const UINT: i64 = 3;
    pub(super) const FLOAT: i64 = 4;
    pub(super) const BYTES: i64 = 5;
    pub(super) const STRING: i64 = 6;
    pub(super) const COMPLEX: i64 = 7;
    pub(super) const INTERFACE: i64 = 8;
}

/// A type as the stream describes it, by the numbers of its parts.
enum Type<'a> {
    /// Also an array: both say their length.
    Slice(i64),
    Struct(Vec<(&'a [u8], i64)>),
    Map(i64, i64),
    /// It wrote itself: a time, for one.
    Opaque,
}

struct Reader<'a> {
    bytes: Bytes<'a>,
    tree: Tree<'a>,
    types: HashMap<i64, Type<'a>>,
}

impl<'a> Reader<'a> {
    /// A value that stands by itself: what is no struct has a zero before it.
    fn top(&mut self, id: i64, depth: usize) -> Option<At> {
        if !matches!(self.types.get(&id), Some(Type::Struct(_))) {
            self.bytes.expect(&[0])?;
        }
        self.value(id, depth)
    }

    fn value(&mut self, id: i64, depth: usize) -> Option<At> {
        if depth > limits::DECODE_DEPTH {
            return None;
        }
        let node = match id {
            basic::BOOL | basic::FLOAT => self.unsigned().map(|_| Node::Other)?,
            basic::INT => Node::Int(self.signed()?),
            basic::UINT => i64::try_from(self.unsigned()?).map_or(Node::Other, Node::Int),
            basic::BYTES | basic::STRING => Node::Text(self.text()?),
            basic::COMPLEX => {
                self.unsigned()?;
                self.unsigned().map(|_| Node::Other)?
            }
            basic::INTERFACE => return self.interface(depth),
            _ => self.described(id, depth)?,
        };
        self.tree.push(node)
    }

    fn described(&mut self, id: i64, depth: usize) -> Option<Node<'a>> {
        match self.types.get(&id)? {
            Type::Opaque => self.text().map(|_| Node::Other),
            Type::Slice(element) => {
                let element = *element;
                let mut items = Vec::new();
                for _ in 0..self.unsigned()? {
                    items.push(self.value(element, depth + 1)?);
                }
                Some(Node::List(items))
            }
            Type::Map(key, element) => {
                let (key, element) = (*key, *element);
                let mut pairs = Vec::new();
                for _ in 0..self.unsigned()? {
                    let key = self.value(key, depth + 1)?;
                    pairs.push((key, self.value(element, depth + 1)?));
                }
                Some(Node::Map(pairs))
            }
            Type::Struct(_) => self.fields(id, depth),
        }
    }

    /// Fields that are not zero, each by its distance from the one before.
    fn fields(&mut self, id: i64, depth: usize) -> Option<Node<'a>> {
        let mut pairs = Vec::new();
        let mut number = 0;
        while let Some(field) = self.next_field(&mut number)? {
            let Some(Type::Struct(fields)) = self.types.get(&id) else {
                return None;
            };
            let (name, kind) = *fields.get(field.checked_sub(1)?)?;
            let name = self.tree.push(Node::Text(name))?;
            pairs.push((name, self.value(kind, depth + 1)?));
        }
        Some(Node::Map(pairs))
    }

    /// The number of the next field, counted from 1; none at the end.
    fn next_field(&mut self, number: &mut usize) -> Option<Option<usize>> {
        match usize::try_from(self.unsigned()?).ok()? {
            0 => Some(None),
            distance => {
                *number = number.checked_add(distance)?;
                Some(Some(*number))
            }
        }
    }

    /// A value of any type: the type's name, its number, how many bytes, the value.
    fn interface(&mut self, depth: usize) -> Option<At> {
        if self.text()?.is_empty() {
            return self.tree.push(Node::Other);
        }
        let id = loop {
            let id = self.signed()?;
            if id >= 0 {
                break id;
            }
            self.describe(id.checked_neg()?)?;
            self.unsigned()?;
        };
        let length = usize::try_from(self.unsigned()?).ok()?;
        let inner = self.bytes.take(length)?;
        let rest = std::mem::replace(&mut self.bytes, Bytes(inner));
        let value = self.top(id, depth + 1);
        self.bytes = rest;
        value.or_else(|| self.tree.push(Node::Other))
    }

    /// Reads the description of the type `id`: a struct with one field set, which says what it is.
    fn describe(&mut self, id: i64) -> Option<()> {
        if self.types.len() >= limits::LAYOUT_TYPES {
            return None;
        }
        let mut described = None;
        let mut number = 0;
        while let Some(field) = self.next_field(&mut number)? {
            described = Some(self.type_of(field)?);
        }
        self.types.insert(id, described?);
        Some(())
    }

    /// The parts of one kind of type; in each the first is its name and number.
    fn type_of(&mut self, kind: usize) -> Option<Type<'a>> {
        let (mut ids, mut fields) = ([0; 2], Vec::new());
        let mut number = 0;
        while let Some(field) = self.next_field(&mut number)? {
            match (kind, field) {
                (_, 1) => self.common()?,
                (3, 2) => {
                    for _ in 0..self.unsigned()? {
                        fields.push(self.struct_field()?);
                    }
                }
                (_, 2) => ids[0] = self.signed()?,
                (_, 3) => ids[1] = self.signed()?,
                _ => return None,
            }
        }
        Some(match kind {
            1 | 2 => Type::Slice(ids[0]),
            3 => Type::Struct(fields),
            4 => Type::Map(ids[0], ids[1]),
            5..=7 => Type::Opaque,
            _ => return None,
        })
    }

    /// A name and a number, of which nothing is needed.
    fn common(&mut self) -> Option<()> {
        self.struct_field().map(drop)
    }

    fn struct_field(&mut self) -> Option<(&'a [u8], i64)> {
        let (mut name, mut id) = (&b""[..], 0);
        let mut number = 0;
        while let Some(field) = self.next_field(&mut number)? {
            match field {
                1 => name = self.text()?,
                2 => id = self.signed()?,
                _ => return None,
            }
        }
        Some((name, id))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        self.bytes.take(length)
    }

    /// Below 128 in a byte; else a byte that says how many follow, negated, highest first.
    fn unsigned(&mut self) -> Option<u64> {
        let first = self.bytes.byte()?;
        if first < 0x80 {
            return Some(first.into());
        }
        let length = usize::from(first.wrapping_neg());
        if length > 8 {
            return None;
        }
        let high = self.bytes.take(length)?.iter();
        Some(high.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    /// The lowest bit says whether the others are complemented.
    fn signed(&mut self) -> Option<i64> {
        let coded = self.unsigned()?;
        let half = i64::try_from(coded >> 1).ok()?;
        Some(if coded & 1 == 0 { half } else { !half })
    }
}
