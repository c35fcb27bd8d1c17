//! Effects as bytes: what is written is read, and what a disk makes of it never panics.

use std::borrow::Cow;
use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::expiry::Times;
use cloakroom_core::id::SlotTag;
use cloakroom_core::record::{Changes, Fields, Label, Subject, Value};
use cloakroom_core::{Handle, Lifetimes, Record, StoredKey, UnixMillis};
use cloakroom_embedded::journal::{Effect, Effects, Refused, Step};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = StoredKey> {
    (0_u16..4096, any::<[u8; 32]>())
        .prop_map(|(tag, hash)| StoredKey::from_parts(SlotTag::new(tag).unwrap(), hash))
}

fn time() -> impl Strategy<Value = UnixMillis> {
    (0_u64..1 << 47).prop_map(UnixMillis::new)
}

fn changes() -> impl Strategy<Value = Changes> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    prop::collection::vec(("[a-z.]{1,64}", value, 0_u8..4), 0..6).prop_map(|list| {
        let mut changes = Changes::new();
        for (name, value, codec) in list {
            match value {
                Some(bytes) => changes.set(&name, Value::new(Codec::from_number(codec), bytes)),
                None => changes.remove(&name),
            }
            .unwrap();
        }
        changes
    })
}

fn session() -> impl Strategy<Value = Record> {
    let lifetimes = (prop::option::of(1_000_u64..1 << 34), 1_000_u64..1 << 34);
    let names = (
        // One like the second could be made once, and is read for ever.
        prop::option::of(prop_oneof!["[a-z@]{1,255}", r"\.{1,2}"]),
        prop::option::of(".{0,100}"),
    );
    let times = (time(), prop::option::of(time()), time());
    (
        any::<[u8; 12]>(),
        lifetimes,
        names,
        times,
        any::<u64>(),
        changes(),
    )
        .prop_map(
            |(handle, (idle, absolute), (subject, label), times, version, changes)| {
                let absolute = Duration::from_millis(absolute);
                Record {
                    handle: Handle::from_bytes(handle),
                    times: Times {
                        created_at: times.0,
                        authenticated_at: times.1,
                        seen_at: times.2,
                        lifetimes: match idle {
                            Some(idle) => Lifetimes::new(Duration::from_millis(idle), absolute),
                            None => Lifetimes::fixed(absolute),
                        }
                        .unwrap(),
                    },
                    subject: subject.map(|it| Subject::stored(&it).unwrap()),
                    label: label.map(|it| Label::new(&it)),
                    version,
                    fields: Fields::default().changed(&changes).unwrap().0,
                }
            },
        )
}

fn native() -> impl Strategy<Value = Effect<'static>> {
    prop_oneof![
        (key(), any::<u32>(), session()).prop_map(|(key, generation, record)| {
            Effect::SessionPut {
                key,
                generation,
                record: Cow::Owned(record),
            }
        }),
        (key(), any::<u64>(), time(), changes()).prop_map(|(key, version, seen_at, changes)| {
            Effect::SessionFields {
                key,
                version,
                seen_at,
                changes: Cow::Owned(changes),
            }
        }),
        (key(), time()).prop_map(|(key, seen_at)| Effect::SessionSeen { key, seen_at }),
        (key(), time(), prop::option::of((key(), time()))).prop_map(|(key, ended_at, forward)| {
            Effect::SessionEnd {
                key,
                ended_at,
                forward,
            }
        }),
        key().prop_map(|key| Effect::SessionRemove { key }),
        any::<u32>().prop_map(Effect::Generation),
        time().prop_map(Effect::Time),
        prop::option::of(0_u8..16).prop_map(|db| Effect::Flush { db }),
        any::<[u8; 16]>().prop_map(Effect::Keyspaces),
        (any::<u8>(), any::<u8>(), time()).prop_map(|(old, new, at)| Effect::Emptied {
            old,
            new,
            at
        }),
    ]
}

/// Database, key, field, value, deadline and score of an effect.
type Parts = (u8, Vec<u8>, Vec<u8>, Vec<u8>, Option<UnixMillis>, f64);

/// All effects on a key, from parts that outlive them.
fn keyed(parts: &Parts) -> Vec<Effect<'_>> {
    let (db, key, field, value, deadline, score) = parts;
    let (db, deadline, score) = (*db, *deadline, *score);
    let (key, field, value) = (key.as_slice(), field.as_slice(), value.as_slice());
    vec![
        Effect::String {
            db,
            key,
            value,
            deadline,
        },
        Effect::Remove { db, key },
        Effect::HashSet {
            db,
            key,
            field,
            value,
            deadline,
        },
        Effect::HashRemove { db, key, field },
        Effect::SetAdd {
            db,
            key,
            member: field,
        },
        Effect::SetRemove {
            db,
            key,
            member: field,
        },
        Effect::SortedAdd {
            db,
            key,
            member: field,
            score,
        },
        Effect::SortedRemove {
            db,
            key,
            member: field,
        },
        Effect::Deadline { db, key, deadline },
        Effect::Mark {
            db,
            key,
            mark: value,
        },
        Effect::Tombstone {
            db,
            key,
            until: UnixMillis::new(7),
        },
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        native in prop::collection::vec(native(), 0..6),
        parts in prop::collection::vec((
            0_u8..16, prop::collection::vec(any::<u8>(), 0..60), prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(any::<u8>(), 0..600), prop::option::of(time()), -1e9_f64..1e9), 0..4),
    ) {
        let mut effects: Vec<Effect<'_>> = parts.iter().flat_map(keyed).collect();
        effects.extend(native);
        let mut step = Step::new();
        effects.iter().for_each(|effect| step.push(effect));
        let read: Vec<_> = Effects::of(step.as_bytes()).map(Result::unwrap).collect();
        prop_assert_eq!(&read, &effects);
        // What is cut anywhere is read up to there, and then refused, unless it ends between two.
        let bytes = step.as_bytes();
        for end in (0..bytes.len()).step_by(7) {
            let read: Vec<_> = Effects::of(&bytes[..end]).collect();
            for (read, written) in read.iter().zip(&effects) {
                prop_assert!(read.as_ref().map_or(true, |read| read == written));
            }
        }
    }

    #[test]
    fn bytes_of_anybody_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let results: Vec<_> = Effects::of(&bytes).collect();
        let errors = results.iter().filter(|result| result.is_err()).count();
        prop_assert!(errors <= 1 && results.len() <= bytes.len());
    }
}

#[test]
fn a_key_is_said_once() {
    let key = b"a key of some length".as_slice();
    let mut step = Step::new();
    for number in 0..10_u8 {
        let (field, value) = (&[number][..], b"value".as_slice());
        step.push(&Effect::HashSet {
            db: 3,
            key,
            field,
            value,
            deadline: None,
        });
    }
    assert!(step.as_bytes().len() < key.len() + 10 * 16);
    step.clear();
    assert!(step.is_empty());
    step.push(&Effect::Remove { db: 3, key });
    let effects: Vec<_> = Effects::of(step.as_bytes()).collect();
    assert_eq!(effects, [Ok(Effect::Remove { db: 3, key })]);
}

#[test]
fn an_unknown_effect_is_a_later_versions() {
    let effects: Vec<_> = Effects::of(&[200, 1, 2]).collect();
    assert_eq!(effects, [Err(Refused::Newer(200))]);
}
