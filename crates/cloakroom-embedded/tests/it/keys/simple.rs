//! Keyspaces over plain maps, slow and plainly right: what the engine is compared with.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use cloakroom_core::UnixMillis;

use cloakroom_embedded::{Db, KeyError, Kind, LexRange, ScoreRange};

type Bytes = Box<[u8]>;
type Answer<T> = Result<T, KeyError>;
/// A field: its name, its value, when it ends.
pub(crate) type Field = (Bytes, Bytes, Option<UnixMillis>);

/// A value with its deadline.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) deadline: Option<UnixMillis>,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(Bytes),
    Hash(Vec<Field>),
    Set(Vec<Bytes>),
    Sorted(Vec<(f64, Bytes)>),
}

impl Value {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::Hash(_) => Kind::Hash,
            Self::Set(_) => Kind::Set,
            Self::Sorted(_) => Kind::SortedSet,
        }
    }

    const fn is_empty(&self) -> bool {
        match self {
            Self::String(_) => false,
            Self::Hash(fields) => fields.is_empty(),
            Self::Set(members) => members.is_empty(),
            Self::Sorted(members) => members.is_empty(),
        }
    }
}

/// What looking at a key found to be over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) fields: bool,
    pub(crate) key: bool,
}

/// Keys and values of all keyspaces.
#[derive(Debug, Default)]
pub(crate) struct Simple(pub(crate) BTreeMap<(Db, Bytes), Entry>);

fn name(db: Db, key: &[u8]) -> (Db, Bytes) {
    (db, key.into())
}

impl Simple {
    /// Removes what is over of a key: fields, and the key itself.
    pub(crate) fn settle(&mut self, now: UnixMillis, db: Db, key: &[u8]) -> Over {
        let mut over = Over::default();
        let Some(entry) = self.0.get_mut(&name(db, key)) else {
            return over;
        };
        over.key = entry.deadline.is_some_and(|deadline| deadline <= now);
        if let Value::Hash(fields) = &mut entry.value {
            let before = fields.len();
            fields.retain(|(_, _, deadline)| deadline.is_none_or(|deadline| deadline > now));
            over.fields = fields.len() < before;
        }
        if over.key || entry.value.is_empty() {
            self.0.remove(&name(db, key));
        }
        over
    }

    pub(crate) fn get(&self, db: Db, key: &[u8]) -> Option<&Entry> {
        self.0.get(&name(db, key))
    }

    pub(crate) fn get_mut(&mut self, db: Db, key: &[u8]) -> Option<&mut Entry> {
        self.0.get_mut(&name(db, key))
    }

    pub(crate) fn put(&mut self, db: Db, key: &[u8], entry: Entry) {
        self.0.insert(name(db, key), entry);
    }

    pub(crate) fn take(&mut self, db: Db, key: &[u8]) -> Option<Entry> {
        self.0.remove(&name(db, key))
    }

    /// Removes the key if it is empty. Returns whether it was.
    pub(crate) fn drop_empty(&mut self, db: Db, key: &[u8]) -> bool {
        let empty = self
            .get(db, key)
            .is_some_and(|entry| entry.value.is_empty());
        if empty {
            self.take(db, key);
        }
        empty
    }

    pub(crate) fn string(&self, db: Db, key: &[u8]) -> Answer<Option<&[u8]>> {
        match self.get(db, key).map(|entry| &entry.value) {
            None => Ok(None),
            Some(Value::String(bytes)) => Ok(Some(bytes)),
            Some(_) => Err(KeyError::WrongType),
        }
    }

    pub(crate) fn hash(
        &mut self,
        db: Db,
        key: &[u8],
        create: bool,
    ) -> Answer<Option<&mut Vec<Field>>> {
        match self.value(db, key, create.then_some(Value::Hash(Vec::new()))) {
            None => Ok(None),
            Some(Value::Hash(fields)) => Ok(Some(fields)),
            Some(_) => Err(KeyError::WrongType),
        }
    }

    pub(crate) fn set(
        &mut self,
        db: Db,
        key: &[u8],
        create: bool,
    ) -> Answer<Option<&mut Vec<Bytes>>> {
        match self.value(db, key, create.then_some(Value::Set(Vec::new()))) {
            None => Ok(None),
            Some(Value::Set(members)) => Ok(Some(members)),
            Some(_) => Err(KeyError::WrongType),
        }
    }

    pub(crate) fn sorted(
        &mut self,
        db: Db,
        key: &[u8],
        create: bool,
    ) -> Answer<Option<&mut Vec<(f64, Bytes)>>> {
        match self.value(db, key, create.then_some(Value::Sorted(Vec::new()))) {
            None => Ok(None),
            Some(Value::Sorted(members)) => Ok(Some(members)),
            Some(_) => Err(KeyError::WrongType),
        }
    }

    fn value(&mut self, db: Db, key: &[u8], create: Option<Value>) -> Option<&mut Value> {
        if let Some(value) = create
            && self.get(db, key).is_none()
        {
            let deadline = None;
            self.put(db, key, Entry { deadline, value });
        }
        self.get_mut(db, key).map(|entry| &mut entry.value)
    }
}

/// Puts a member at its place. Returns its former score.
pub(crate) fn sorted_put(
    members: &mut Vec<(f64, Bytes)>,
    member: &[u8],
    score: f64,
) -> Option<f64> {
    let old = sorted_take(members, member);
    let at = members.partition_point(|(s, m)| (*s, &**m) < (score, member));
    members.insert(at, (score, member.into()));
    old
}

pub(crate) fn sorted_take(members: &mut Vec<(f64, Bytes)>, member: &[u8]) -> Option<f64> {
    let at = members.iter().position(|(_, known)| **known == *member)?;
    Some(members.remove(at).0)
}

pub(crate) fn ranks_by_score(members: &[(f64, Bytes)], range: ScoreRange) -> Range<usize> {
    let from = members.partition_point(|(score, _)| match range.min {
        Bound::Included(min) => *score < min,
        Bound::Excluded(min) => *score <= min,
        Bound::Unbounded => false,
    });
    let to = members.partition_point(|(score, _)| match range.max {
        Bound::Included(max) => *score <= max,
        Bound::Excluded(max) => *score < max,
        Bound::Unbounded => true,
    });
    from..to.max(from)
}

pub(crate) fn ranks_by_lex(members: &[(f64, Bytes)], range: LexRange<'_>) -> Range<usize> {
    let from = members.partition_point(|(_, member)| match range.min {
        Bound::Included(min) => **member < *min,
        Bound::Excluded(min) => **member <= *min,
        Bound::Unbounded => false,
    });
    let to = members.partition_point(|(_, member)| match range.max {
        Bound::Included(max) => **member <= *max,
        Bound::Excluded(max) => **member < *max,
        Bound::Unbounded => true,
    });
    from..to.max(from)
}
