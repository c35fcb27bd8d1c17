//! Java's object serialisation (protocol 2). An object is read as a map of its fields, those of its
//! parents among them, and of what it wrote itself by number; a `HashMap` as its pairs, a boxed number
//! as the number. No class is loaded.

use super::tree::{At, Bytes, Node, Tree};
use crate::limits;

pub(super) fn read(value: &[u8]) -> Option<Tree<'_>> {
    let mut reader = Reader {
        bytes: Bytes(value),
        tree: Tree::default(),
        handles: Vec::new(),
        classes: Vec::new(),
    };
    reader.bytes.expect(&[0xac, 0xed, 0, 5])?;
    let root = reader.content(0)?;
    reader.tree.root = root;
    Some(reader.tree)
}

const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS_DESCRIPTION: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const ARRAY: u8 = 0x75;
const CLASS: u8 = 0x76;
const BLOCK: u8 = 0x77;
const END_OF_BLOCKS: u8 = 0x78;
const LONG_BLOCK: u8 = 0x7a;
const LONG_STRING: u8 = 0x7c;
const PROXY_DESCRIPTION: u8 = 0x7d;
const ENUM: u8 = 0x7e;

/// Bits of a class description.
const WRITES_ITSELF: u8 = 1;
const SERIALIZABLE: u8 = 2;
const EXTERNALIZABLE: u8 = 4;
const WRITES_BLOCKS: u8 = 8;

/// Maps that write their pairs after a block with their size.
const MAPS: [&[u8]; 4] = [
    b"java.util.HashMap",
    b"java.util.LinkedHashMap",
    b"java.util.Hashtable",
    b"java.util.concurrent.ConcurrentHashMap",
];

const BOXED: [&[u8]; 4] = [
    b"java.lang.Integer",
    b"java.lang.Long",
    b"java.lang.Short",
    b"java.lang.Byte",
];

/// References count from here.
const FIRST_HANDLE: u32 = 0x7e_0000;

#[derive(Clone, Copy)]
enum Handle {
    Value(At),
    Class(usize),
}

/// A class as the stream describes it.
struct Class<'a> {
    name: &'a [u8],
    flags: u8,
    /// Type and name of each field.
    fields: Vec<(u8, &'a [u8])>,
    parent: Option<usize>,
}

struct Reader<'a> {
    bytes: Bytes<'a>,
    tree: Tree<'a>,
    handles: Vec<Handle>,
    classes: Vec<Class<'a>>,
}

impl<'a> Reader<'a> {
    fn content(&mut self, depth: usize) -> Option<At> {
        let kind = self.bytes.byte()?;
        self.content_of(kind, depth)
    }

    fn content_of(&mut self, kind: u8, depth: usize) -> Option<At> {
        if depth > limits::DECODE_DEPTH {
            return None;
        }
        match kind {
            NULL => self.tree.push(Node::Other),
            REFERENCE => match self.reference()? {
                Handle::Value(at) => Some(at),
                Handle::Class(_) => self.tree.push(Node::Other),
            },
            STRING | LONG_STRING => {
                let text = self.string(kind)?;
                self.remember(Node::Text(text))
            }
            OBJECT => self.object(depth),
            ARRAY => self.array(depth),
            ENUM => {
                self.class(depth)?;
                let at = self.remember(Node::Other)?;
                let constant = self.content(depth + 1)?;
                if let Node::Text(name) = *self.tree.get(constant) {
                    self.tree.set(at, Node::Text(name));
                }
                Some(at)
            }
            CLASS => {
                self.class(depth)?;
                self.remember(Node::Other)
            }
            CLASS_DESCRIPTION | PROXY_DESCRIPTION => {
                self.class_of(kind, depth)?;
                self.tree.push(Node::Other)
            }
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<At> {
        let class = self.class(depth)??;
        let at = self.remember(Node::Other)?;
        let mut pairs = Vec::new();
        let mut written = Vec::new();
        for class in self.lineage(class)?.into_iter().rev() {
            let flags = self.classes.get(class)?.flags;
            if flags & SERIALIZABLE != 0 {
                for field in 0..self.classes.get(class)?.fields.len() {
                    let (kind, name) = *self.classes.get(class)?.fields.get(field)?;
                    let value = self.field(kind, depth)?;
                    let name = self.tree.push(Node::Text(name))?;
                    pairs.push((name, value));
                }
                if flags & WRITES_ITSELF != 0 {
                    self.annotation(&mut written, depth)?;
                }
            } else if flags & EXTERNALIZABLE != 0 {
                if flags & WRITES_BLOCKS == 0 {
                    // Where it ends, only its class knows.
                    return None;
                }
                self.annotation(&mut written, depth)?;
            }
        }
        let name = self.classes.get(class)?.name;
        let node = self.shaped(name, pairs, &written)?;
        self.tree.set(at, node);
        Some(at)
    }

    /// The node of an object with these fields, which wrote those values itself.
    fn shaped(
        &mut self,
        class: &[u8],
        mut pairs: Vec<(At, At)>,
        written: &[At],
    ) -> Option<Node<'a>> {
        if BOXED.contains(&class) {
            let (_, value) = pairs.last()?;
            return Some(match *self.tree.get(*value) {
                Node::Int(number) => Node::Int(number),
                _ => Node::Other,
            });
        }
        if MAPS.contains(&class) {
            let (entries, _) = written.as_chunks::<2>();
            return Some(Node::Map(entries.iter().map(|[k, v]| (*k, *v)).collect()));
        }
        for (place, value) in (0..).zip(written) {
            pairs.push((self.tree.push(Node::Int(place))?, *value));
        }
        Some(Node::Map(pairs))
    }

    /// Values that an object wrote itself, up to the end of its blocks.
    fn annotation(&mut self, written: &mut Vec<At>, depth: usize) -> Option<()> {
        loop {
            let length = match self.bytes.byte()? {
                END_OF_BLOCKS => return Some(()),
                BLOCK => usize::from(self.bytes.byte()?),
                LONG_BLOCK => usize::try_from(u32::from_be_bytes(self.bytes.array()?)).ok()?,
                kind => {
                    written.push(self.content_of(kind, depth + 1)?);
                    continue;
                }
            };
            self.bytes.take(length)?;
        }
    }

    fn array(&mut self, depth: usize) -> Option<At> {
        let class = self.class(depth)??;
        let kind = *self.classes.get(class)?.name.get(1)?;
        let at = self.remember(Node::Other)?;
        let length = u32::from_be_bytes(self.bytes.array()?);
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.field(kind, depth)?);
        }
        self.tree.set(at, Node::List(items));
        Some(at)
    }

    fn field(&mut self, kind: u8, depth: usize) -> Option<At> {
        let bytes = &mut self.bytes;
        let node = match kind {
            b'B' => Node::Int(i8::from_be_bytes(bytes.array()?).into()),
            b'S' => Node::Int(i16::from_be_bytes(bytes.array()?).into()),
            b'I' => Node::Int(i32::from_be_bytes(bytes.array()?).into()),
            b'J' => Node::Int(i64::from_be_bytes(bytes.array()?)),
            b'Z' => bytes.take(1).map(|_| Node::Other)?,
            b'C' => bytes.take(2).map(|_| Node::Other)?,
            b'F' => bytes.take(4).map(|_| Node::Other)?,
            b'D' => bytes.take(8).map(|_| Node::Other)?,
            b'L' | b'[' => return self.content(depth + 1),
            _ => return None,
        };
        self.tree.push(node)
    }

    /// A class description: none, one that is known, or a new one.
    fn class(&mut self, depth: usize) -> Option<Option<usize>> {
        let kind = self.bytes.byte()?;
        self.class_of(kind, depth)
    }

    fn class_of(&mut self, kind: u8, depth: usize) -> Option<Option<usize>> {
        if depth > limits::DECODE_DEPTH {
            return None;
        }
        let mut class = Class {
            name: b"",
            flags: SERIALIZABLE,
            fields: Vec::new(),
            parent: None,
        };
        match kind {
            NULL => return Some(None),
            REFERENCE => {
                return match self.reference()? {
                    Handle::Class(class) => Some(Some(class)),
                    Handle::Value(_) => None,
                };
            }
            CLASS_DESCRIPTION => {
                class.name = self.short_text()?;
                self.bytes.take(8)?;
            }
            PROXY_DESCRIPTION => {}
            _ => return None,
        }
        let place = self.classes.len();
        self.handles.push(Handle::Class(place));
        self.classes.push(class);
        if kind == CLASS_DESCRIPTION {
            let flags = self.bytes.byte()?;
            let fields = self.fields(depth)?;
            let class = self.classes.get_mut(place)?;
            (class.flags, class.fields) = (flags, fields);
        } else {
            for _ in 0..u32::from_be_bytes(self.bytes.array()?) {
                self.short_text()?;
            }
        }
        self.annotation(&mut Vec::new(), depth + 1)?;
        let parent = self.class(depth + 1)?;
        self.classes.get_mut(place)?.parent = parent;
        Some(Some(place))
    }

    fn fields(&mut self, depth: usize) -> Option<Vec<(u8, &'a [u8])>> {
        let count = u16::from_be_bytes(self.bytes.array()?);
        let mut fields = Vec::new();
        for _ in 0..count {
            let kind = self.bytes.byte()?;
            fields.push((kind, self.short_text()?));
            if matches!(kind, b'L' | b'[') {
                self.content(depth + 1)?;
            }
        }
        Some(fields)
    }

    /// A class and its parents. A stream may say that a class is its own parent, so it is bounded.
    fn lineage(&self, class: usize) -> Option<Vec<usize>> {
        let mut lineage = vec![class];
        let mut next = self.classes.get(class)?.parent;
        while let Some(class) = next {
            if lineage.len() > limits::DECODE_DEPTH {
                return None;
            }
            lineage.push(class);
            next = self.classes.get(class)?.parent;
        }
        Some(lineage)
    }

    fn reference(&mut self) -> Option<Handle> {
        let number = u32::from_be_bytes(self.bytes.array()?);
        let place = usize::try_from(number.checked_sub(FIRST_HANDLE)?).ok()?;
        self.handles.get(place).copied()
    }

    fn remember(&mut self, node: Node<'a>) -> Option<At> {
        let at = self.tree.push(node)?;
        self.handles.push(Handle::Value(at));
        Some(at)
    }

    fn string(&mut self, kind: u8) -> Option<&'a [u8]> {
        if kind == STRING {
            return self.short_text();
        }
        let length = u64::from_be_bytes(self.bytes.array()?);
        self.bytes.take(usize::try_from(length).ok()?)
    }

    fn short_text(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.bytes.array()?);
        self.bytes.take(usize::from(length))
    }
}
