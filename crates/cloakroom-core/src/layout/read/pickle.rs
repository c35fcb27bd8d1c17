//! Python's pickle, its data alone. A pickle is a program for a machine that can call anything;
//! here what would name or call code (`GLOBAL`, `REDUCE`, `BUILD`, ...) yields a value that names
//! nobody, and nothing is ever looked up or called.

use super::tree::{At, Bytes, Node, Tree, number};
use crate::limits;

pub(super) fn read(value: &[u8]) -> Option<Tree<'_>> {
    let mut machine = Machine {
        bytes: Bytes(value),
        tree: Tree::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
    };
    loop {
        let op = machine.bytes.byte()?;
        if op == b'.' {
            machine.tree.root = machine.pop()?;
            return Some(machine.tree);
        }
        machine
            .literal(op)
            .or_else(|| machine.container(op))
            .or_else(|| machine.upkeep(op))
            .or_else(|| machine.code(op))??;
    }
}

/// Whether an operation was known, and whether its operands were there.
type Done = Option<Option<()>>;

struct Machine<'a> {
    bytes: Bytes<'a>,
    tree: Tree<'a>,
    stack: Vec<At>,
    /// Heights of the stack at which something was marked.
    marks: Vec<usize>,
    memo: Vec<At>,
}

impl<'a> Machine<'a> {
    /// What stands for itself.
    fn literal(&mut self, op: u8) -> Done {
        let bytes = &mut self.bytes;
        let node = match op {
            b'N' | 0x88 | 0x89 => Some(Node::Other),
            b'I' => line(bytes).map(|line| number(line).map_or(Node::Other, Node::Int)),
            b'L' => line(bytes).map(|line| {
                let line = line.strip_suffix(b"L").unwrap_or(line);
                number(line).map_or(Node::Other, Node::Int)
            }),
            b'J' => bytes
                .array()
                .map(|four| Node::Int(i32::from_le_bytes(four).into())),
            b'K' => bytes.byte().map(|byte| Node::Int(byte.into())),
            b'M' => bytes
                .array()
                .map(|two| Node::Int(u16::from_le_bytes(two).into())),
            0x8a => size1(bytes).and_then(|size| long(bytes.take(size)?)),
            0x8b => size4(bytes).and_then(|size| long(bytes.take(size)?)),
            b'F' => line(bytes).map(|_| Node::Other),
            b'G' => bytes.take(8).map(|_| Node::Other),
            b'S' => line(bytes).map(|line| Node::Text(unquoted(line))),
            b'V' => line(bytes).map(Node::Text),
            b'U' | b'C' | 0x8c => size1(bytes)
                .and_then(|size| bytes.take(size))
                .map(Node::Text),
            b'T' | b'B' | b'X' => size4(bytes)
                .and_then(|size| bytes.take(size))
                .map(Node::Text),
            0x8d | 0x8e | 0x96 => size8(bytes)
                .and_then(|size| bytes.take(size))
                .map(Node::Text),
            _ => return None,
        };
        Some(node.and_then(|node| self.push(node)))
    }

    fn container(&mut self, op: u8) -> Done {
        Some(match op {
            b']' | b')' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Map(Vec::new())),
            b'l' | b't' | 0x91 => self.marked().and_then(|items| self.push(Node::List(items))),
            0x85..=0x87 => {
                let count = usize::from(op - 0x84);
                let from = self.stack.len().checked_sub(count);
                from.and_then(|from| {
                    let items = self.stack.split_off(from);
                    self.push(Node::List(items))
                })
            }
            b'd' => self
                .marked()
                .and_then(|items| self.push(Node::Map(pairs(&items)?))),
            b'a' => self.pop().and_then(|item| self.extend(vec![item])),
            b'e' | 0x90 => self.marked().and_then(|items| self.extend(items)),
            b's' => self.pop().and_then(|value| {
                let key = self.pop()?;
                self.insert(vec![(key, value)])
            }),
            b'u' => self.marked().and_then(|items| self.insert(pairs(&items)?)),
            _ => return None,
        })
    }

    /// The stack and the memo.
    fn upkeep(&mut self, op: u8) -> Done {
        Some(match op {
            0x80 => self.bytes.take(1).map(drop),
            0x95 => self.bytes.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Some(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            b'2' => self.stack.last().copied().map(|top| self.stack.push(top)),
            0x94 => self.remember(self.memo.len()),
            b'p' => line(&mut self.bytes)
                .and_then(number)
                .and_then(|place| self.remember(usize::try_from(place).ok()?)),
            b'q' => size1(&mut self.bytes).and_then(|place| self.remember(place)),
            b'r' => size4(&mut self.bytes).and_then(|place| self.remember(place)),
            b'g' => line(&mut self.bytes)
                .and_then(number)
                .and_then(|place| self.recall(usize::try_from(place).ok()?)),
            b'h' => size1(&mut self.bytes).and_then(|place| self.recall(place)),
            b'j' => size4(&mut self.bytes).and_then(|place| self.recall(place)),
            _ => return None,
        })
    }

    /// What would name or call code: its operands go, and something opaque takes their place.
    fn code(&mut self, op: u8) -> Done {
        let gone = match op {
            b'c' => self.lines(2),
            0x93 | b'R' | 0x81 => self.drop_top(2),
            0x92 => self.drop_top(3),
            // The state goes; the object that it was for stays as it is.
            b'b' => return Some(self.drop_top(1)),
            b'i' => self.lines(2).and_then(|()| self.marked().map(drop)),
            b'o' => self.marked().map(drop),
            0x82 => self.bytes.take(1).map(drop),
            0x83 => self.bytes.take(2).map(drop),
            0x84 => self.bytes.take(4).map(drop),
            b'P' => self.lines(1),
            b'Q' => self.drop_top(1),
            0x97 => Some(()),
            0x98 => return Some(Some(())),
            _ => return None,
        };
        Some(gone.and_then(|()| self.push(Node::Other)))
    }

    fn push(&mut self, node: Node<'a>) -> Option<()> {
        let at = self.tree.push(node)?;
        self.stack.push(at);
        Some(())
    }

    /// The topmost value, but none from below a mark.
    fn pop(&mut self) -> Option<At> {
        if self.marks.last() == Some(&self.stack.len()) {
            return None;
        }
        self.stack.pop()
    }

    fn drop_top(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.pop().map(drop))
    }

    fn marked(&mut self) -> Option<Vec<At>> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len())?;
        Some(self.stack.split_off(from))
    }

    fn extend(&mut self, more: Vec<At>) -> Option<()> {
        let at = *self.stack.last()?;
        if let Node::List(items) = self.tree.get_mut(at)? {
            items.extend(more);
        }
        Some(())
    }

    /// Puts pairs into the map on top; an object that takes pairs (`OrderedDict`) becomes a map.
    fn insert(&mut self, more: Vec<(At, At)>) -> Option<()> {
        let at = *self.stack.last()?;
        match self.tree.get_mut(at)? {
            Node::Map(pairs) => pairs.extend(more),
            other @ Node::Other => *other = Node::Map(more),
            Node::Int(_) | Node::Text(_) | Node::Owned(_) | Node::List(_) => {}
        }
        Some(())
    }

    /// Memos are numbered one after another by every pickler there is.
    fn remember(&mut self, place: usize) -> Option<()> {
        let top = *self.stack.last()?;
        match self.memo.get_mut(place) {
            Some(old) => *old = top,
            None if place < limits::LAYOUT_NODES => {
                self.memo.resize(place + 1, top);
            }
            None => return None,
        }
        Some(())
    }

    fn recall(&mut self, place: usize) -> Option<()> {
        let at = *self.memo.get(place)?;
        self.stack.push(at);
        Some(())
    }

    fn lines(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| line(&mut self.bytes).map(drop))
    }
}

fn line<'a>(bytes: &mut Bytes<'a>) -> Option<&'a [u8]> {
    bytes.until(b'\n')
}

fn size1(bytes: &mut Bytes<'_>) -> Option<usize> {
    bytes.byte().map(usize::from)
}

fn size4(bytes: &mut Bytes<'_>) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.array()?)).ok()
}

fn size8(bytes: &mut Bytes<'_>) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.array()?)).ok()
}

/// A number of any length, lowest byte first, in two's complement; one over 64 bits names nobody.
fn long<'a>(low: &[u8]) -> Option<Node<'a>> {
    if low.len() > 8 {
        return Some(Node::Other);
    }
    let negative = low.last().is_some_and(|last| *last & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes.get_mut(..low.len())?.copy_from_slice(low);
    Some(Node::Int(i64::from_le_bytes(bytes)))
}

fn unquoted(line: &[u8]) -> &[u8] {
    match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => line,
    }
}

fn pairs(items: &[At]) -> Option<Vec<(At, At)>> {
    let (pairs, []) = items.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}
