//! What the readers make of a value: a tree of what may name a subject. Nodes lie in one row and
//! name each other by number, because most of these formats may refer back to what came before.

use crate::limits;

/// Place of a node in its tree.
pub(crate) type At = u32;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    /// Something that names nobody: null, a truth value, a fraction, an object of code.
    Other,
    /// A whole number.
    Int(i64),
    /// Text, or bytes that may be text.
    Text(&'a [u8]),
    /// Text that had to be unescaped.
    Owned(Box<[u8]>),
    /// Values in order.
    List(Vec<At>),
    /// Pairs of key and value, in order; the fields of an object too.
    Map(Vec<(At, At)>),
}

/// The values of one session, or of a part of it.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    /// The outermost value.
    pub(crate) root: At,
}

impl<'a> Tree<'a> {
    /// Adds a node, if there is room.
    pub(crate) fn push(&mut self, node: Node<'a>) -> Option<At> {
        if self.nodes.len() >= limits::LAYOUT_NODES {
            return None;
        }
        self.nodes.push(node);
        At::try_from(self.nodes.len() - 1).ok()
    }

    pub(crate) fn get(&self, at: At) -> &Node<'a> {
        self.nodes.get(at as usize).unwrap_or(&Node::Other)
    }

    /// Puts another node in the place of one that was only reserved.
    pub(crate) fn set(&mut self, at: At, node: Node<'a>) {
        if let Some(place) = self.nodes.get_mut(at as usize) {
            *place = node;
        }
    }

    pub(crate) fn get_mut(&mut self, at: At) -> Option<&mut Node<'a>> {
        self.nodes.get_mut(at as usize)
    }

    /// The bytes of a text.
    pub(crate) fn text(&self, at: At) -> Option<&[u8]> {
        match self.get(at) {
            Node::Text(text) => Some(text),
            Node::Owned(text) => Some(text),
            Node::Other | Node::Int(_) | Node::List(_) | Node::Map(_) => None,
        }
    }
}

/// Bytes that are read from their start. Everything answers `None` when they end too early.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let [byte] = self.array()?;
        Some(byte)
    }

    /// Takes up to `end` and drops that.
    pub(crate) fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == end)?;
        let taken = self.take(length)?;
        self.take(1)?;
        Some(taken)
    }

    /// Takes this text, which has to come next.
    pub(crate) fn expect(&mut self, text: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// A decimal number up to `end`.
    pub(crate) fn number(&mut self, end: u8) -> Option<i64> {
        number(self.until(end)?)
    }
}

/// A decimal number.
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
