//! Every operation against a model that is too simple to be wrong. Time only goes forward here;
//! `time` has what a clock that goes back does. Sizes of values go over all classes of slots, so
//! sessions move about.

mod map;
mod side_by_side;

use cloakroom_core::codec::Codec;
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{Change, Changes, Condition, FieldName, Keep, Value};
use proptest::prelude::*;

use self::side_by_side::Both;
use crate::journal::disk::FakeDisk;

#[derive(Clone, Debug)]
enum Step {
    Create(usize, Option<u64>, Changes, Option<MaxSessions>, bool),
    Load(usize),
    Touch(Vec<usize>),
    Apply(usize, Changes, Condition),
    Rotate(usize, usize, Changes, u64),
    Login(usize, usize, u64, Option<MaxSessions>, Keep),
    Destroy(usize),
    OfSubject(u64),
    Revoke(u64, u64),
    RevokeSubject(u64, Option<u64>),
    RevokeAll,
    Clock(u64),
    Sweep,
    ScanAndCount,
    Restart,
    Rewrite,
}

fn value() -> impl Strategy<Value = Value> {
    let size = prop_oneof![0_usize..12, 40_usize..50, 100_usize..3_000, 0_usize..20_000];
    let raw = (size, any::<u8>()).prop_map(|(size, byte)| Value::new(Codec::Raw, vec![byte; size]));
    prop_oneof![
        4 => raw,
        2 => (0_u8..4).prop_map(|byte| Value::new(Codec::Raw, vec![byte; 8])),
        1 => any::<i32>().prop_map(|number| Value::integer(i64::from(number))),
    ]
}

fn name() -> impl Strategy<Value = FieldName> {
    (0_u8..4).prop_map(|number| FieldName::new(&format!("field-{number}")).unwrap())
}

fn changes() -> impl Strategy<Value = Changes> {
    let change = prop_oneof![
        5 => value().prop_map(Change::Set),
        1 => Just(Change::Remove),
        2 => (-9_i64..9).prop_map(Change::Increment),
    ];
    prop::collection::vec((name(), change), 0..3).prop_map(|list| {
        let mut changes = Changes::new();
        for (name, change) in list {
            changes.push(name, change);
        }
        changes
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let field = (name(), prop::option::of(value()));
    prop_oneof![
        4 => Just(Condition::Always),
        1 => (1_u64..6).prop_map(Condition::Version),
        1 => field.prop_map(|(name, expected)| Condition::Field { name, expected }),
    ]
}

fn max_sessions() -> impl Strategy<Value = Option<MaxSessions>> {
    let on_excess = prop_oneof![Just(OnExcess::Refuse), Just(OnExcess::RevokeOldest)];
    prop::option::of(
        (1_usize..4, on_excess).prop_map(|(limit, on_excess)| MaxSessions { limit, on_excess }),
    )
}

fn step() -> impl Strategy<Value = Step> {
    let owner = || prop::option::of(0_u64..3);
    let keep = prop_oneof![
        Just(Keep::All),
        prop::collection::vec(name(), 0..3).prop_map(Keep::Only)
    ];
    let millis = prop_oneof![
        4 => 0_u64..20_000,
        2 => 0_u64..400_000,
        1 => 0_u64..5_000_000,
    ];
    prop_oneof![
        6 => (0_usize..8, owner(), changes(), max_sessions(), prop::bool::weighted(0.1))
            .prop_map(|(place, owner, changes, max, again)| Step::Create(place, owner, changes, max, again)),
        6 => (0_usize..8).prop_map(Step::Load),
        2 => prop::collection::vec(0_usize..8, 0..4).prop_map(Step::Touch),
        8 => (0_usize..8, changes(), condition())
            .prop_map(|(place, changes, condition)| Step::Apply(place, changes, condition)),
        3 => (0_usize..8, 0_usize..8, changes(), 0_u64..60)
            .prop_map(|(place, to, changes, grace)| Step::Rotate(place, to, changes, grace)),
        4 => (0_usize..8, 0_usize..8, 0_u64..3, max_sessions(), keep)
            .prop_map(|(place, to, owner, max, keep)| Step::Login(place, to, owner, max, keep)),
        2 => (0_usize..8).prop_map(Step::Destroy),
        2 => (0_u64..3).prop_map(Step::OfSubject),
        1 => (0_u64..3, 0_u64..20).prop_map(|(owner, number)| Step::Revoke(owner, number)),
        1 => (0_u64..3, prop::option::of(0_u64..20))
            .prop_map(|(owner, except)| Step::RevokeSubject(owner, except)),
        1 => Just(Step::RevokeAll),
        4 => millis.prop_map(Step::Clock),
        1 => Just(Step::Sweep),
        2 => Just(Step::ScanAndCount),
        3 => Just(Step::Restart),
        3 => Just(Step::Rewrite),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..80),
        shards in prop_oneof![Just(1_usize), Just(8_usize)],
    ) {
        let mut both = Both::new(shards, None);
        for step in steps {
            both.take(step)?;
        }
    }

    #[test]
    fn so_does_the_store_with_a_journal_across_restarts(
        steps in prop::collection::vec(step(), 1..80),
        shards in prop_oneof![Just(1_usize), Just(8_usize)],
    ) {
        let disk = FakeDisk::default();
        let mut both = Both::new(shards, Some(&disk));
        for step in steps {
            both.take(step)?;
        }
        both.take(Step::Restart)?;
        (0..8).try_for_each(|place| both.take(Step::Load(place)))?;
        both.take(Step::ScanAndCount)?;
    }
}
