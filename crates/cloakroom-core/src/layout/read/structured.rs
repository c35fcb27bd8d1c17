//! JSON and `MessagePack`, by serde: only what a path may lead to is kept, the rest is skipped
//! without being stored, because every save of such a session passes here.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de::Error as _};

use super::super::path::Path;
use super::tree::{At, Node, Tree};
use crate::limits;

pub(super) fn json<'a>(value: &'a [u8], paths: &[Path]) -> Option<Tree<'a>> {
    let mut decoder = serde_json::Deserializer::from_slice(value);
    let tree = tree(&mut decoder, paths)?;
    decoder.end().ok()?;
    Some(tree)
}

pub(super) fn msgpack<'a>(value: &'a [u8], paths: &[Path]) -> Option<Tree<'a>> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(value);
    decoder.set_max_depth(limits::DECODE_DEPTH);
    tree(&mut decoder, paths)
}

fn tree<'a, D: Deserializer<'a>>(decoder: D, paths: &[Path]) -> Option<Tree<'a>> {
    let mut tree = Tree::default();
    let keep = Keep {
        tree: &mut tree,
        paths,
        depth: 0,
    };
    let root = keep.deserialize(decoder).ok()?;
    tree.root = root;
    Some(tree)
}

/// Keeps one value, `depth` steps into the paths.
struct Keep<'t, 'a, 'p> {
    tree: &'t mut Tree<'a>,
    paths: &'p [Path],
    depth: usize,
}

impl<'a> Keep<'_, 'a, '_> {
    fn inner(&mut self) -> Keep<'_, 'a, '_> {
        Keep {
            tree: &mut *self.tree,
            paths: self.paths,
            depth: self.depth + 1,
        }
    }

    fn key(&mut self) -> Keep<'_, 'a, '_> {
        Keep {
            depth: usize::MAX,
            ..self.inner()
        }
    }

    fn push<E: serde::de::Error>(self, node: Node<'a>) -> Result<At, E> {
        let full = || E::custom("more values than a session has");
        self.tree.push(node).ok_or_else(full)
    }

    /// Whether some path has a step for this key here.
    fn wanted(&self, key: At) -> bool {
        let depth = self.depth;
        let mut steps = self.paths.iter().filter_map(|path| path.step(depth));
        steps.any(|step| step.fits(self.tree, key))
    }

    fn leads_further(&self) -> bool {
        self.paths
            .iter()
            .any(|path| path.step(self.depth).is_some())
    }
}

impl<'a> DeserializeSeed<'a> for Keep<'_, 'a, '_> {
    type Value = At;

    fn deserialize<D: Deserializer<'a>>(self, decoder: D) -> Result<At, D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Keep<'_, 'a, '_> {
    type Value = At;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of a session")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<At, E> {
        self.push(Node::Other)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<At, E> {
        self.push(Node::Int(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<At, E> {
        let owned = || Node::Owned(number.to_string().into_bytes().into());
        self.push(i64::try_from(number).map_or_else(|_| owned(), Node::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<At, E> {
        self.push(Node::Other)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<At, E> {
        self.push(Node::Other)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<At, E> {
        self.push(Node::Other)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<At, E> {
        self.push(Node::Text(text.as_bytes()))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<At, E> {
        self.push(Node::Owned(text.as_bytes().into()))
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'a [u8]) -> Result<At, E> {
        self.push(Node::Text(bytes))
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<At, E> {
        self.push(Node::Owned(bytes.into()))
    }

    fn visit_newtype_struct<D: Deserializer<'a>>(self, decoder: D) -> Result<At, D::Error> {
        // An extension of MessagePack (a time, say) names nobody.
        serde::de::Deserialize::deserialize(decoder).map(|IgnoredAny| ())?;
        self.push(Node::Other)
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<At, A::Error> {
        let mut items = Vec::new();
        if self.leads_further() {
            while let Some(item) = list.next_element_seed(self.inner())? {
                items.push(item);
            }
        } else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
        }
        self.push(Node::List(items))
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<At, A::Error> {
        if self.depth == usize::MAX {
            return Err(A::Error::custom("a key that is a map"));
        }
        let mut pairs = Vec::new();
        let leads = self.leads_further();
        while leads && let Some(key) = map.next_key_seed(self.key())? {
            if self.wanted(key) {
                pairs.push((key, map.next_value_seed(self.inner())?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        while !leads && map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.push(Node::Map(pairs))
    }
}
