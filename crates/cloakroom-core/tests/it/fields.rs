//! Packed fields against a plain map, and against bytes that are anything else.

use std::collections::BTreeMap;

use cloakroom_core::record::{Change, Changes, FieldName, Fields, Value};
use cloakroom_core::{Codec, ErrorKind, limits};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8, Vec<u8>),
    Remove(u8),
    Increment(u8, i64),
}

fn step() -> impl Strategy<Value = Step> {
    // Many are as long as another, which is then written over.
    let few = proptest::collection::vec(any::<u8>(), 0..3);
    let bytes = prop_oneof![few, proptest::collection::vec(any::<u8>(), 0..300)];
    prop_oneof![
        (0..12_u8, 0..4_u8, bytes).prop_map(|(name, codec, bytes)| Step::Set(name, codec, bytes)),
        (0..12_u8).prop_map(Step::Remove),
        (0..12_u8, any::<i64>()).prop_map(|(name, by)| Step::Increment(name, by)),
    ]
}

proptest! {
    #[test]
    fn they_behave_as_a_map(writes in proptest::collection::vec(proptest::collection::vec(step(), 1..6), 1..20)) {
        let mut fields = Fields::default();
        let mut model: BTreeMap<String, Value> = BTreeMap::new();
        for write in writes {
            let mut changes = Changes::new();
            for step in write {
                let name = |number: u8| FieldName::new(&"n".repeat(usize::from(number) + 1)).expect("a name");
                match step {
                    Step::Set(number, codec, bytes) => changes.push(name(number), Change::Set(Value::new(Codec::from_number(codec), bytes))),
                    Step::Remove(number) => changes.push(name(number), Change::Remove),
                    Step::Increment(number, by) => changes.push(name(number), Change::Increment(by)),
                }
            }
            let mut expected = model.clone();
            let mut sums = Vec::new();
            let mut possible = true;
            for (name, change) in changes.iter() {
                let name = name.as_str().to_owned();
                match change {
                    Change::Set(value) => drop(expected.insert(name, value.clone())),
                    Change::Remove => drop(expected.remove(&name)),
                    Change::Increment(by) => {
                        let old = model.get(&name).map_or(Ok(0), |value| value.as_ref().as_integer(&name));
                        match old.ok().and_then(|old| old.checked_add(*by)) {
                            Some(sum) => {
                                sums.push(sum);
                                expected.insert(name, Value::integer(sum));
                            }
                            None => possible = false,
                        }
                    }
                }
            }
            let (mut there, mut bytes) = (fields.clone(), b"before".to_vec());
            let in_place = there.change(&changes);
            let pushed = fields.push_changed_bytes(&mut bytes, &changes);
            match fields.changed(&changes) {
                Ok((changed, increments)) => {
                    prop_assert!(possible);
                    prop_assert_eq!(&increments, &sums);
                    prop_assert_eq!(in_place.expect("possible"), sums.clone());
                    prop_assert_eq!(pushed.expect("possible"), sums);
                    prop_assert_eq!(&there, &changed);
                    prop_assert_eq!(&bytes[..6], b"before");
                    prop_assert_eq!(&bytes[6..], changed.as_bytes());
                    fields = changed;
                    model = expected;
                }
                Err(error) => {
                    let no_integer = matches!(error.kind(), ErrorKind::NotAnInteger { .. });
                    prop_assert!(!possible && no_integer);
                    prop_assert!(in_place.is_err() && pushed.is_err());
                    prop_assert_eq!(&there, &fields);
                }
            }
            let read: BTreeMap<String, Value> = fields.iter().map(|(name, value)| (name.to_owned(), value.to_value())).collect();
            prop_assert_eq!(&read, &model);
            prop_assert_eq!(fields.len(), model.len());
            let again = Fields::from_bytes(fields.as_bytes().into());
            prop_assert_eq!(again.expect("packed fields"), fields.clone());
            let collected = Fields::collect(fields.iter());
            prop_assert_eq!(collected.expect("fields"), fields.clone());
        }
    }

    #[test]
    fn any_bytes_are_fields_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let trusted = Fields::from_trusted_bytes(bytes.clone().into());
        let _ = (trusted.len(), trusted.get("a"), format!("{trusted:?}"));
        if let Ok(fields) = Fields::from_bytes(bytes.into()) {
            let rest = fields.changed(&Changes::new()).expect("nothing to change").0;
            prop_assert_eq!(rest, fields);
        }
    }

    #[test]
    fn a_cut_record_is_refused_or_shorter(cut in 0..40_usize) {
        let mut changes = Changes::new();
        changes.set("first", Value::integer(1)).expect("it fits");
        changes.set("second", Value::new(Codec::Raw, vec![7; 200])).expect("it fits");
        let (fields, _) = Fields::default().changed(&changes).expect("it fits");
        let bytes = fields.as_bytes();
        let read = Fields::from_bytes(bytes[..cut.min(bytes.len())].into());
        prop_assert!(read.map_or(true, |read| read.len() < 2));
    }
}

#[test]
fn what_is_collected_keeps_the_limits() {
    let value = Value::integer(1);
    let refused = |names: &[&str]| {
        let fields = names.iter().map(|name| (*name, value.as_ref()));
        Fields::collect(fields).unwrap_err().kind().clone()
    };
    for names in [&["a", "b", "a"][..], &[""]] {
        assert!(
            matches!(refused(names), ErrorKind::Invalid { .. }),
            "{names:?}"
        );
    }
    let long = "n".repeat(limits::FIELD_NAME_BYTES + 1);
    let many: Vec<String> = (0..=limits::FIELDS)
        .map(|number| number.to_string())
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for names in [&[&*long][..], &many] {
        assert!(matches!(refused(names), ErrorKind::Limit { .. }));
    }
}

/// What counts is how many there are in the end, whatever came and went on the way.
#[test]
fn changes_keep_the_limit_of_fields() {
    let sets = |numbers: std::ops::Range<usize>| {
        let mut changes = Changes::new();
        for number in numbers {
            let set = changes.set(&format!("n{number}"), Value::integer(1));
            set.expect("within the limits");
        }
        changes
    };
    let full = Fields::default().changed(&sets(0..limits::FIELDS));
    let full = full.expect("so many are allowed").0;
    let exchange = |removed: &str| {
        let mut changes = sets(limits::FIELDS - 1..limits::FIELDS + 1);
        changes.remove(removed).expect("within the limits");
        full.changed(&changes)
    };
    let exchanged = exchange("n0").expect("one goes, one comes").0;
    assert_eq!(exchanged.len(), limits::FIELDS);
    let error = exchange("n-1").expect_err("nobody goes, one comes");
    let kind = ErrorKind::Limit {
        what: "fields",
        limit: limits::FIELDS,
        size: limits::FIELDS + 1,
    };
    assert_eq!(error.kind(), &kind);
}

#[test]
fn bytes_from_elsewhere_keep_the_limits() {
    let refused = |bytes: Vec<u8>| Fields::from_bytes(bytes.into()).unwrap_err();
    let twice = [b"\x00\x01ax".as_slice(), b"\x00\x01ay"].concat();
    assert!(
        matches!(refused(twice).kind(), ErrorKind::Invalid { .. }),
        "one name twice"
    );
    let long_way = b"\x00\x81\x00ax".to_vec();
    assert!(
        matches!(refused(long_way).kind(), ErrorKind::Invalid { .. }),
        "a length two ways"
    );
    let mut large = vec![0, 0x81, 0x80, 0x04, b'a'];
    large.extend(vec![0; limits::FIELD_VALUE_BYTES + 1]);
    let kind = ErrorKind::Limit {
        what: "field value",
        limit: limits::FIELD_VALUE_BYTES,
        size: limits::FIELD_VALUE_BYTES + 1,
    };
    assert_eq!(refused(large).kind(), &kind);
    let many: Vec<u8> = (0..=128_u8)
        .flat_map(|number| [1, 0, b'a' + number % 8, b'0' + number / 8])
        .collect();
    let kind = ErrorKind::Limit {
        what: "fields",
        limit: 128,
        size: 129,
    };
    assert_eq!(refused(many).kind(), &kind);
}
