//! Where in a value its subject stands, written as text: `passport/user`, `login_web_*`,
//! `_sf2_attributes/_security_*/!php/*/0/username`.

use super::read::Encoding;
use super::read::tree::{At, Node, Tree};
use crate::record::Subject;

/// Steps from the outermost value to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the entry of this key, or of this place in a list.
    Key(Box<[u8]>),
    /// Into every entry whose key begins and ends so, one after another.
    Glob(Box<[u8]>, Box<[u8]>),
    /// A text that is a whole value of its own, in this encoding.
    Open(Encoding),
}

/// Values that are looked at on the way to one subject. A list of lists, all the same, would
/// otherwise be walked as often as they are long.
const VISITS: usize = 10_000;

impl Path {
    /// Reads a path: steps divided by `/`; `*` stands for any part of a key, once in a step; `!`
    /// and an encoding opens a text that is a value of its own.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let steps = text.split('/').map(|step| {
            if let Some(encoding) = step.strip_prefix('!') {
                return Encoding::of_name(encoding).map(Step::Open);
            }
            let step = match step.split_once('*') {
                Some((_, after)) if after.contains('*') => return None,
                Some((before, after)) => {
                    Step::Glob(before.as_bytes().into(), after.as_bytes().into())
                }
                None if step.is_empty() => return None,
                None => Step::Key(step.as_bytes().into()),
            };
            Some(step)
        });
        steps.collect::<Option<_>>().map(Self)
    }

    /// The path to the outermost value itself.
    pub(crate) const fn whole() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn step(&self, depth: usize) -> Option<&Step> {
        self.0.get(depth)
    }

    /// The path without its first step, if that is a key: it names the field of a hash.
    pub(crate) fn after_field(&self) -> Option<(&[u8], Self)> {
        match self.0.split_first()? {
            (Step::Key(field), rest) => Some((field, Self(rest.to_vec()))),
            (Step::Glob(..) | Step::Open(_), _) => None,
        }
    }

    /// The subject to which the path leads.
    pub(crate) fn subject(&self, tree: &Tree<'_>) -> Option<Subject> {
        follow(tree, tree.root, &self.0, &mut { VISITS })
    }
}

impl Step {
    /// Whether it may lead into the entry of this key.
    pub(crate) fn fits(&self, tree: &Tree<'_>, key: At) -> bool {
        match self {
            Self::Open(_) => false,
            Self::Glob(before, after) if before.is_empty() && after.is_empty() => true,
            Self::Glob(before, after) => tree.text(key).is_some_and(|key| {
                key.len() >= before.len() + after.len()
                    && key.starts_with(before)
                    && key.ends_with(after)
            }),
            Self::Key(name) => match tree.get(key) {
                Node::Int(number) => number.to_string().as_bytes() == &**name,
                _ => tree.text(key) == Some(name),
            },
        }
    }
}

fn follow(tree: &Tree<'_>, at: At, steps: &[Step], visits: &mut usize) -> Option<Subject> {
    *visits = visits.checked_sub(1)?;
    let Some((step, rest)) = steps.split_first() else {
        return named(tree, at);
    };
    if let Step::Open(encoding) = step {
        let text = tree.text(at).filter(|text| encoding.begins(text))?;
        let rest = Path(rest.to_vec());
        let inner = encoding.read(text, std::slice::from_ref(&rest))?;
        return follow(&inner, inner.root, &rest.0, visits);
    }
    match tree.get(at) {
        Node::Map(pairs) => {
            let mut fitting = pairs.iter().filter(|(key, _)| step.fits(tree, *key));
            fitting.find_map(|(_, value)| follow(tree, *value, rest, visits))
        }
        Node::List(items) => match step {
            Step::Key(name) => {
                let place: usize = std::str::from_utf8(name).ok()?.parse().ok()?;
                follow(tree, *items.get(place)?, rest, visits)
            }
            Step::Glob(before, after) if before.is_empty() && after.is_empty() => {
                let mut items = items.iter();
                items.find_map(|item| follow(tree, *item, rest, visits))
            }
            Step::Glob(..) | Step::Open(_) => None,
        },
        Node::Other | Node::Int(_) | Node::Text(_) | Node::Owned(_) => None,
    }
}

fn named(tree: &Tree<'_>, at: At) -> Option<Subject> {
    match tree.get(at) {
        Node::Int(number) => Subject::stored(&number.to_string()).ok(),
        Node::Text(_) | Node::Owned(_) => {
            let text = std::str::from_utf8(tree.text(at)?).ok()?;
            Subject::stored(text).ok()
        }
        Node::Other | Node::List(_) | Node::Map(_) => None,
    }
}
