//! The members of a collection as records. A small collection is a run of them beside its key; a
//! large one has each by itself.
//!
//! | kind | record |
//! | --- | --- |
//! | hash | number: length of the field, doubled, plus 1 if it has a deadline; deadline (6 bytes); field; length of the value; value |
//! | set | length of the member; member |
//! | sorted set | score (8 bytes); length of the member; member |
//!
//! Lengths are numbers of seven bits to a byte, the lowest first. A run of a hash or a set is in the
//! order in which the members came, that of a sorted set in its own order.

use std::cmp::Ordering;
use std::ops::Range;

use super::name::NEVER;
use crate::engine::Kind;

/// Bytes of a run at most: what a large slot of the pool holds, so that nothing jumps at 64 bytes.
pub(crate) const RUN_BYTES: usize = 4_000;
/// Members of a run at most.
pub(crate) const RUN_MEMBERS: usize = 128;

/// A member, whatever the kind; what the kind has not is empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Member<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) score: f64,
    pub(crate) deadline: u64,
}

impl<'a> Member<'a> {
    /// A member of a set.
    pub(crate) const fn new(name: &'a [u8]) -> Self {
        Self {
            name,
            value: &[],
            score: 0.0,
            deadline: NEVER,
        }
    }

    /// Bytes of its record at most.
    pub(crate) const fn most_bytes(&self) -> usize {
        self.name.len() + self.value.len() + 16
    }

    /// Appends its record.
    pub(crate) fn write(&self, kind: Kind, out: &mut Vec<u8>) {
        let len = self.name.len() as u64;
        match kind {
            Kind::Hash => {
                let timed = self.deadline != NEVER;
                put_number(out, len << 1 | u64::from(timed));
                if timed {
                    out.extend_from_slice(&self.deadline.to_le_bytes()[..6]);
                }
                out.extend_from_slice(self.name);
                put_number(out, self.value.len() as u64);
                out.extend_from_slice(self.value);
            }
            Kind::Set | Kind::String => {
                put_number(out, len);
                out.extend_from_slice(self.name);
            }
            Kind::SortedSet => {
                out.extend_from_slice(&self.score.to_le_bytes());
                put_number(out, len);
                out.extend_from_slice(self.name);
            }
        }
    }

    /// The first member of these records, and what comes behind it.
    pub(crate) fn read(kind: Kind, records: &'a [u8]) -> (Self, &'a [u8]) {
        let mut rest = records;
        let mut member = Member::new(&[]);
        match kind {
            Kind::Hash => {
                let number = take_number(&mut rest);
                if number & 1 != 0 {
                    let mut deadline = [0; 8];
                    deadline[..6].copy_from_slice(take_bytes(&mut rest, 6));
                    member.deadline = u64::from_le_bytes(deadline);
                }
                member.name = take_bytes(&mut rest, (number >> 1) as usize);
                let len = take_number(&mut rest) as usize;
                member.value = take_bytes(&mut rest, len);
            }
            Kind::Set | Kind::String => {
                let len = take_number(&mut rest) as usize;
                member.name = take_bytes(&mut rest, len);
            }
            Kind::SortedSet => {
                let score = take_bytes(&mut rest, 8);
                member.score = f64::from_le_bytes(score.try_into().expect("eight bytes"));
                let len = take_number(&mut rest) as usize;
                member.name = take_bytes(&mut rest, len);
            }
        }
        (member, rest)
    }

    /// The order in a sorted set.
    pub(crate) fn order(&self, other: &Member<'_>) -> Ordering {
        let scores = self.score.partial_cmp(&other.score);
        scores
            .unwrap_or(Ordering::Equal)
            .then_with(|| self.name.cmp(other.name))
    }
}

/// The members of a run, with the place of each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    kind: Kind,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Run<'a> {
    pub(crate) const fn new(kind: Kind, run: &'a [u8]) -> Self {
        Self {
            kind,
            rest: run,
            len: run.len(),
        }
    }

    /// The member of this name, and where its record is.
    pub(crate) fn find_named(mut self, name: &[u8]) -> Option<(Member<'a>, Range<usize>)> {
        self.find(|(member, _)| member.name == name)
    }
}

impl<'a> Iterator for Run<'a> {
    type Item = (Member<'a>, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let from = self.len - self.rest.len();
        let (member, rest) = Member::read(self.kind, self.rest);
        self.rest = rest;
        Some((member, from..self.len - rest.len()))
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = rest[0];
        *rest = &rest[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
        shift += 7;
    }
}

fn take_bytes<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            members in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), 0..200),
                 prop_oneof![Just(NEVER), 0..NEVER], -1e9_f64..1e9), 0..20),
            kind in prop_oneof![Just(Kind::Hash), Just(Kind::Set), Just(Kind::SortedSet)],
        ) {
            let (mut run, mut ends) = (Vec::new(), vec![0]);
            for (name, value, deadline, score) in &members {
                let member = Member { name, value, deadline: *deadline, score: *score };
                member.write(kind, &mut run);
                ends.push(run.len());
                prop_assert!(ends[ends.len() - 1] - ends[ends.len() - 2] <= member.most_bytes());
            }
            let read: Vec<_> = Run::new(kind, &run).collect();
            prop_assert_eq!(read.len(), members.len());
            for (at, (member, range)) in read.into_iter().enumerate() {
                let (name, value, deadline, score) = &members[at];
                prop_assert_eq!(range, ends[at]..ends[at + 1]);
                prop_assert_eq!(member.name, &**name);
                if kind == Kind::Hash {
                    prop_assert_eq!((member.value, member.deadline), (&**value, *deadline));
                }
                if kind == Kind::SortedSet {
                    prop_assert_eq!(member.score, *score);
                }
            }
        }
    }
}
