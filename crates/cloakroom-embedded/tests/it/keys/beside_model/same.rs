//! Whether what can be read of a collection is what the model has, by every way of reading.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use cloakroom_embedded::{Db, KeyError, Kind, LexRange, ScoreRange, Tx};
use proptest::prelude::*;

use super::super::simple::{self, Field};

pub(super) fn same_hash(
    tx: &mut Tx<'_>,
    db: Db,
    key: &[u8],
    fields: &[Field],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(tx.hash_len(db, key), Ok(fields.len()));
    for (name, value, deadline) in fields {
        prop_assert_eq!(tx.hash_get(db, key, name), Ok(Some(&**value)));
        prop_assert_eq!(tx.hash_field_deadline(db, key, name), Ok(Some(*deadline)));
    }
    let expected: BTreeMap<_, _> = fields
        .iter()
        .map(|(name, value, _)| (name.to_vec(), value.to_vec()))
        .collect();
    let mut all = BTreeMap::new();
    tx.hash_each(db, key, &mut |name, value| {
        all.insert(name.to_vec(), value.to_vec());
    })
    .unwrap();
    prop_assert_eq!(&all, &expected);
    let (mut paged, mut cursor) = (BTreeMap::new(), 0);
    loop {
        let mut each = |name: &[u8], value: &[u8]| {
            paged.insert(name.to_vec(), value.to_vec());
        };
        cursor = tx.hash_scan(db, key, cursor, 7, &mut each).unwrap();
        if cursor == 0 {
            break;
        }
    }
    prop_assert_eq!(&paged, &expected);
    for index in 0..fields.len() {
        let (name, value) = tx.hash_at(db, key, index).unwrap().unwrap();
        prop_assert_eq!(all.remove(name), Some(value.to_vec()));
    }
    prop_assert_eq!(tx.hash_at(db, key, fields.len()), Ok(None));
    prop_assert_eq!(tx.set_len(db, key), Err(KeyError::WrongType));
    prop_assert_eq!(tx.kind(db, key), Some(Kind::Hash));
    Ok(())
}

pub(super) fn same_set(
    tx: &mut Tx<'_>,
    db: Db,
    key: &[u8],
    members: &[Box<[u8]>],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(tx.set_len(db, key), Ok(members.len()));
    let expected: BTreeSet<_> = members.iter().map(|member| member.to_vec()).collect();
    let (mut all, mut paged, mut cursor) = (BTreeSet::new(), BTreeSet::new(), 0);
    tx.set_each(db, key, &mut |member| {
        all.insert(member.to_vec());
    })
    .unwrap();
    loop {
        let mut each = |member: &[u8]| {
            paged.insert(member.to_vec());
        };
        cursor = tx.set_scan(db, key, cursor, 7, &mut each).unwrap();
        if cursor == 0 {
            break;
        }
    }
    prop_assert_eq!(&all, &expected);
    prop_assert_eq!(&paged, &expected);
    for index in 0..members.len() {
        prop_assert!(all.remove(tx.set_at(db, key, index).unwrap().unwrap()));
    }
    for member in members {
        prop_assert_eq!(tx.set_contains(db, key, member), Ok(true));
    }
    prop_assert_eq!(tx.set_contains(db, key, b"no such"), Ok(false));
    Ok(())
}

pub(super) fn same_order(
    tx: &mut Tx<'_>,
    db: Db,
    key: &[u8],
    members: &[(f64, Box<[u8]>)],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(tx.sorted_len(db, key), Ok(members.len()));
    for (rank, (score, member)) in members.iter().enumerate() {
        prop_assert_eq!(tx.sorted_score(db, key, member), Ok(Some(*score)));
        prop_assert_eq!(tx.sorted_rank(db, key, member), Ok(Some(rank)));
    }
    let third = members.len() / 3;
    for (ranks, reverse) in [
        (0..usize::MAX, false),
        (0..usize::MAX, true),
        (third..2 * third, false),
        (third..2 * third, true),
    ] {
        let mut found = Vec::new();
        tx.sorted_range(db, key, ranks.clone(), reverse, &mut |member, score| {
            found.push((score, Box::from(member)));
        })
        .unwrap();
        if reverse {
            found.reverse();
        }
        prop_assert_eq!(&found, &members[ranks.start..ranks.end.min(members.len())]);
    }
    for min in [Bound::Unbounded, Bound::Included(0.0), Bound::Excluded(1.0)] {
        for max in [Bound::Unbounded, Bound::Included(2.0), Bound::Excluded(1.0)] {
            let range = ScoreRange { min, max };
            let expected = simple::ranks_by_score(members, range);
            prop_assert_eq!(tx.sorted_ranks_by_score(db, key, range), Ok(expected));
        }
    }
    let scores: BTreeSet<_> = members.iter().map(|(score, _)| score.to_bits()).collect();
    if scores.len() == 1 {
        let middle = &*members[third].1;
        for (min, max) in [
            (Bound::Included(middle), Bound::Unbounded),
            (Bound::Excluded(middle), Bound::Included(&b"\x30"[..])),
            (Bound::Unbounded, Bound::Excluded(middle)),
        ] {
            let range = LexRange { min, max };
            let expected = simple::ranks_by_lex(members, range);
            prop_assert_eq!(tx.sorted_ranks_by_lex(db, key, range), Ok(expected));
        }
    }
    let mut paged = BTreeMap::new();
    let mut cursor = 0;
    loop {
        let mut each = |member: &[u8], score: f64| {
            paged.insert(member.to_vec(), score);
        };
        cursor = tx.sorted_scan(db, key, cursor, 7, &mut each).unwrap();
        if cursor == 0 {
            break;
        }
    }
    prop_assert_eq!(paged.len(), members.len());
    prop_assert!(
        members
            .iter()
            .all(|(score, member)| paged.get(&**member) == Some(score))
    );
    Ok(())
}
