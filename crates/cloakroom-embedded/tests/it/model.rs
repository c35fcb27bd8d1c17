//! Every operation against a model that is too simple to be wrong: a map of records, changed by the
//! core's own pure steps. Time only goes forward here; `time` has what a clock that goes back does. Sizes of values go over all classes of slots, so sessions move about.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::codec::Codec;
use cloakroom_core::expiry::{Verdict, decide};
use cloakroom_core::policy::{MaxSessions, OnExcess};
use cloakroom_core::record::{
    Change, Changes, Condition, FieldName, Keep, Label, Login, NewSession, Rotation, Subject, Value,
};
use cloakroom_core::store::{Absence, Applied, Cursor, Lookup, Rotated};
use cloakroom_core::{
    Clock as _, Error, ErrorKind, Handle, Record, SessionInfo, Store, StoredKey, UnixMillis, limits,
};
use cloakroom_embedded::EmbeddedConfig;
use proptest::prelude::*;

use crate::kit::{self, ManualClock, now};

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
}

/// A store as a map. `keys` of ended sessions stay in `ended`, with where they lead and until when.
#[derive(Default)]
struct Model {
    alive: BTreeMap<StoredKey, Record>,
    ended: BTreeMap<StoredKey, (UnixMillis, Option<(StoredKey, UnixMillis)>)>,
    handles: u64,
}

enum Found {
    Here(StoredKey, bool),
    Not(Absence),
}

impl Model {
    /// Forgets what is over, as reading does.
    fn settle(&mut self, now: UnixMillis) {
        self.alive
            .retain(|_, record| matches!(decide(&record.times, now), Verdict::Alive { .. }));
        self.ended
            .retain(|_, (at, _)| now.since(*at) < limits::TOMBSTONE);
        for (_, forward) in self.ended.values_mut() {
            forward.take_if(|(_, until)| now >= *until);
        }
    }

    fn find(&self, key: &StoredKey) -> Found {
        let mut key = *key;
        for hop in 0..=limits::FORWARD_HOPS {
            if self.alive.contains_key(&key) {
                return Found::Here(key, hop > 0);
            }
            match self.ended.get(&key) {
                Some((_, Some((to, _)))) => key = *to,
                Some((_, None)) => return Found::Not(Absence::Ended),
                None if hop == 0 => return Found::Not(Absence::Unknown),
                None => return Found::Not(Absence::Ended),
            }
        }
        Found::Not(Absence::Ended)
    }

    fn end(&mut self, key: &StoredKey, now: UnixMillis) {
        self.alive.remove(key);
        self.ended.insert(*key, (now, None));
    }

    fn of(&self, subject: &Subject) -> Vec<StoredKey> {
        let mut keys: Vec<_> = self
            .alive
            .iter()
            .filter(|(_, record)| record.subject.as_ref() == Some(subject))
            .map(|(key, _)| *key)
            .collect();
        keys.sort_by_key(|key| {
            let record = &self.alive[key];
            std::cmp::Reverse((record.times.authenticated_at, record.handle))
        });
        keys
    }

    /// What stands against putting `record` under `key`, or the sessions that have to go for it.
    fn admit(
        &self,
        key: &StoredKey,
        subject: Option<&Subject>,
        max: Option<MaxSessions>,
        moved: Option<&StoredKey>,
    ) -> Result<Vec<StoredKey>, ErrorKind> {
        if self.alive.contains_key(key) || self.ended.contains_key(key) {
            return Err(ErrorKind::Collision);
        }
        let Some((subject, max)) = subject.zip(max) else {
            return Ok(Vec::new());
        };
        let mut others = self.of(subject);
        others.retain(|key| Some(key) != moved);
        if others.len() < max.limit {
            return Ok(Vec::new());
        }
        match max.on_excess {
            OnExcess::Refuse => Err(ErrorKind::TooManySessions { limit: max.limit }),
            OnExcess::RevokeOldest => {
                others.sort_by_key(|key| std::cmp::Reverse(self.age(key)));
                Ok(others.split_off(max.limit - 1))
            }
        }
    }

    fn age(&self, key: &StoredKey) -> (Option<UnixMillis>, UnixMillis, Handle) {
        let record = &self.alive[key];
        let times = record.times;
        (times.authenticated_at, times.created_at, record.handle)
    }
}

/// A key by number, for the subject that has it or for none.
fn key(number: usize, subject: Option<u64>) -> StoredKey {
    let subject = subject.map(kit::subject);
    let mut tag = kit::tag_of(subject.as_ref());
    if subject.is_none() && number.is_multiple_of(3) {
        tag = cloakroom_core::id::SlotTag::new(number as u16).unwrap();
    }
    kit::key(tag, number as u64)
}

fn same<T: PartialEq + std::fmt::Debug>(
    store: Result<T, Error>,
    model: Result<T, ErrorKind>,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(store.map_err(|error| error.kind().clone()), model);
    Ok(())
}

fn run(steps: Vec<Step>, shards: usize) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let store = kit::store(&clock, EmbeddedConfig::new().shards(shards));
    let mut model = Model::default();
    // Which key each number stands for by now; keys are never used twice.
    let mut keys: Vec<StoredKey> = (0..8).map(|number| key(number, None)).collect();
    let mut next = 8;
    for step in steps {
        let at = clock.now();
        model.settle(at);
        match step {
            Step::Create(place, owner, changes, max_sessions, again) => {
                if !again {
                    keys[place] = key(next, owner);
                    next += 1;
                }
                let mut new = kit::session(model.handles, owner.map(kit::subject));
                model.handles += 1;
                new.max_sessions = max_sessions;
                new.label = again.then(|| Label::new("a browser"));
                new.fields = new
                    .fields
                    .changed(&changes)
                    .map_or_else(|_| new.fields.clone(), |it| it.0);
                let expected = create(&mut model, &keys[place], &new, at);
                same(now(store.create(&keys[place], &new)), expected)?;
            }
            Step::Load(place) => {
                let expected = match model.find(&keys[place]) {
                    Found::Not(absence) => Err(absence),
                    Found::Here(key, forwarded) => Ok((model.alive[&key].clone(), forwarded)),
                };
                let found = match now(store.load(&keys[place])).unwrap() {
                    Lookup::Absent(absence) => Err(absence),
                    Lookup::Found(found) => {
                        let verdict = decide(&found.record.times, at);
                        let (remaining, touch_due) = (found.remaining, found.touch_due);
                        prop_assert_eq!(
                            verdict,
                            Verdict::Alive {
                                remaining,
                                touch_due
                            }
                        );
                        Ok((found.record, found.forwarded))
                    }
                };
                prop_assert_eq!(found, expected);
            }
            Step::Touch(places) => {
                let touched: Vec<_> = places.iter().map(|place| keys[*place]).collect();
                let mut expected = 0;
                for key in &touched {
                    if let Found::Here(key, _) = model.find(key) {
                        model.alive.get_mut(&key).unwrap().touch(at);
                        expected += 1;
                    }
                }
                same(now(store.touch(&touched)), Ok(expected))?;
            }
            Step::Apply(place, changes, condition) => {
                let expected = match model.find(&keys[place]) {
                    Found::Not(absence) => Ok(Applied::Absent(absence)),
                    Found::Here(key, _) => {
                        let record = model.alive.get_mut(&key).unwrap();
                        apply(record, &changes, &condition, at)
                    }
                };
                same(
                    now(store.apply(&keys[place], &changes, &condition)),
                    expected,
                )?;
            }
            Step::Rotate(place, to, changes, grace) => {
                let owner = model
                    .alive
                    .get(&keys[place])
                    .and_then(|it| it.subject.clone());
                let tag = kit::tag_of(owner.as_ref());
                let new = kit::key(tag, next as u64);
                next += 1;
                let rotation = Rotation {
                    changes,
                    login: None,
                    grace: Duration::from_secs(grace),
                };
                let expected = rotate(&mut model, &keys[place], &new, &rotation, at);
                let expected = expected.map_err(|error| error.kind().clone());
                same(now(store.rotate(&keys[place], &new, &rotation)), expected)?;
                keys[to] = new;
            }
            Step::Login(place, to, owner, max_sessions, keep) => {
                let new = key(next, Some(owner));
                next += 1;
                let rotation = Rotation {
                    changes: kit::set("signed", vec![1]),
                    login: Some(Login {
                        subject: kit::subject(owner),
                        label: Some(Label::new("Firefox on Linux")),
                        lifetimes: kit::lifetimes(300 + owner, 3_600),
                        max_sessions,
                        keep,
                    }),
                    grace: Duration::from_secs(30),
                };
                let expected = rotate(&mut model, &keys[place], &new, &rotation, at);
                let expected = expected.map_err(|error| error.kind().clone());
                same(now(store.rotate(&keys[place], &new, &rotation)), expected)?;
                keys[to] = new;
            }
            Step::Destroy(place) => {
                let found = match model.find(&keys[place]) {
                    Found::Here(key, _) => Some(key),
                    Found::Not(_) => None,
                };
                if let Some(key) = &found {
                    model.end(key, at);
                }
                same(now(store.destroy(&keys[place])), Ok(found.is_some()))?;
            }
            Step::OfSubject(owner) => {
                let owner = kit::subject(owner);
                let expected: Vec<SessionInfo> = model
                    .of(&owner)
                    .iter()
                    .map(|key| model.alive[key].info(at))
                    .collect();
                same(now(store.of_subject(&owner)), Ok(expected))?;
            }
            Step::Revoke(owner, number) => {
                let chosen = |handle: Handle| handle == kit::handle(number);
                let revoked = revoke(&mut model, owner, chosen, at);
                let answer = now(store.revoke(&kit::subject(owner), &kit::handle(number)));
                same(answer, Ok(revoked == 1))?;
            }
            Step::RevokeSubject(owner, except) => {
                let except = except.map(kit::handle);
                let revoked = revoke(&mut model, owner, |handle| Some(handle) != except, at);
                let answer = now(store.revoke_subject(&kit::subject(owner), except.as_ref()));
                same(answer, Ok(revoked))?;
            }
            Step::RevokeAll => {
                model.alive.clear();
                same(now(store.revoke_all()), Ok(()))?;
            }
            Step::Clock(millis) => clock.set(at.as_millis().saturating_add(millis)),
            Step::Sweep => store.sweep(),
            Step::ScanAndCount => {
                store.sweep(); // so that none is counted that expired and was not read
                let mut expected: Vec<_> = model.alive.values().map(|it| it.info(at)).collect();
                expected.sort_by_key(|info| info.handle);
                let stats = now(store.stats()).unwrap();
                // The wheel sweeps to the second.
                prop_assert!(stats.sessions >= expected.len() as u64);
                let (mut found, mut cursor) = (Vec::new(), Some(Cursor::default()));
                while let Some(from) = cursor {
                    let page = now(store.scan(from, 3)).unwrap();
                    prop_assert!(page.sessions.len() <= 3);
                    found.extend(page.sessions);
                    cursor = page.next;
                }
                found.sort_by_key(|info| info.handle);
                prop_assert_eq!(found, expected);
                prop_assert_eq!(
                    now(store.stats()).unwrap().sessions,
                    model.alive.len() as u64
                );
            }
        }
    }
    Ok(())
}

fn create(
    model: &mut Model,
    key: &StoredKey,
    new: &NewSession,
    at: UnixMillis,
) -> Result<Record, ErrorKind> {
    if let Found::Here(..) | Found::Not(Absence::Ended) = model.find(key) {
        return Err(ErrorKind::Collision);
    }
    if new.subject.is_some() && kit::tag_of(new.subject.as_ref()) != key.tag() {
        let what = "the key of a session with a subject must have the subject's tag";
        return Err(ErrorKind::Invalid { what });
    }
    for oldest in model.admit(key, new.subject.as_ref(), new.max_sessions, None)? {
        model.end(&oldest, at);
    }
    let record = Record::create(new, at);
    model.alive.insert(*key, record.clone());
    Ok(record)
}

fn apply(
    record: &mut Record,
    changes: &Changes,
    condition: &Condition,
    at: UnixMillis,
) -> Result<Applied, ErrorKind> {
    if !record.meets(condition) {
        let version = record.version;
        return Ok(Applied::Conflict { version });
    }
    let increments = record
        .apply(changes, at)
        .map_err(|error| error.kind().clone())?;
    let version = record.version;
    Ok(Applied::Done {
        version,
        increments,
    })
}

fn rotate(
    model: &mut Model,
    old: &StoredKey,
    new: &StoredKey,
    rotation: &Rotation,
    at: UnixMillis,
) -> Result<Rotated, Error> {
    let from = match model.find(old) {
        Found::Not(absence) => return Ok(Rotated::Absent(absence)),
        Found::Here(_, true) if rotation.login.is_none() => {
            return Ok(Rotated::Absent(Absence::Ended));
        }
        Found::Here(key, _) => key,
    };
    let mut record = model.alive[&from].clone();
    record.rotate(rotation, at)?;
    let login = rotation.login.as_ref();
    let max = login.and_then(|login| login.max_sessions);
    let subject = login.map(|login| &login.subject);
    for oldest in model.admit(new, subject, max, Some(&from))? {
        model.end(&oldest, at);
    }
    let forward = login.is_none() && !rotation.grace.is_zero();
    model.end(&from, at);
    let forward = forward.then(|| (*new, at.saturating_add(rotation.grace)));
    model.ended.insert(from, (at, forward));
    model.alive.insert(*new, record.clone());
    Ok(Rotated::Done(Box::new(record)))
}

fn revoke(model: &mut Model, owner: u64, chosen: impl Fn(Handle) -> bool, at: UnixMillis) -> usize {
    let mut keys = model.of(&kit::subject(owner));
    keys.retain(|key| chosen(model.alive[key].handle));
    keys.iter().for_each(|key| model.end(key, at));
    keys.len()
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
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..80),
        shards in prop_oneof![Just(1_usize), Just(8_usize)],
    ) {
        run(steps, shards)?;
    }
}
