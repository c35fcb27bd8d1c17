//! Random steps on hashes, sets and sorted sets.

use cloakroom_core::Clock as _;
use cloakroom_core::UnixMillis;
use proptest::prelude::*;

use super::super::simple;
use super::{Pair, Step, bytes, key, within};

impl Pair {
    pub(super) fn hashes(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (db, key, now) = (step.db, key(step.key), self.clock.now());
        let deadline = self.deadline(step);
        let many = if step.member.is_multiple_of(16) {
            150
        } else {
            1
        };
        for more in 0..many {
            let field = [step.member % 32, more];
            let value = bytes(more, step.size % (4_200 / usize::from(many)));
            let model = &mut self.model;
            let fields = model.hash(db, &key, step.what < 9);
            let engine = &self.engine;
            let known = |(name, ..): &(Box<[u8]>, Box<[u8]>, Option<UnixMillis>)| **name == field;
            match step.what {
                7 | 8 => {
                    let keeps = step.what == 8;
                    let new = within(engine, step, |tx, db, key| match keeps {
                        true => tx.hash_update(db, key, &field, &value),
                        false => tx.hash_set(db, key, &field, &value),
                    });
                    let expected = fields.map(|fields| {
                        let fields = fields.expect("it was created");
                        match fields.iter_mut().find(|it| known(it)) {
                            Some((_, old, deadline)) => {
                                *old = value.into();
                                *deadline = deadline.filter(|_| keeps);
                                false
                            }
                            None => {
                                fields.push((field.into(), value.into(), None));
                                true
                            }
                        }
                    });
                    prop_assert_eq!(new, expected);
                }
                9 => {
                    let removed =
                        within(engine, step, |tx, db, key| tx.hash_remove(db, key, &field));
                    let expected = fields.map(|fields| {
                        fields.is_some_and(|fields| {
                            let before = fields.len();
                            fields.retain(|it| !known(it));
                            fields.len() < before
                        })
                    });
                    prop_assert_eq!(removed, expected);
                }
                _ => {
                    let set = within(engine, step, |tx, db, key| {
                        tx.hash_set_field_deadline(db, key, &field, deadline)
                    });
                    let expected = fields.map(|fields| {
                        let found =
                            fields.and_then(|fields| fields.iter_mut().find(|it| known(it)));
                        found.map(|(_, _, known)| *known = deadline).is_some()
                    });
                    prop_assert_eq!(set, expected);
                }
            }
            self.model.settle(now, db, &key);
        }
        Ok(())
    }

    pub(super) fn sets(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (db, key) = (step.db, key(step.key));
        let many = if step.member.is_multiple_of(16) {
            150
        } else {
            1
        };
        for more in 0..many {
            let mut member = bytes(step.member % 32, step.size % 40);
            member.push(more);
            let adds = step.what < 14;
            let done = self.within(step, |tx, db, key| match adds {
                true => tx.set_add(db, key, &member),
                false => tx.set_remove(db, key, &member),
            });
            let expected = self.model.set(db, &key, adds).map(|members| {
                let Some(members) = members else {
                    return false;
                };
                let at = members.iter().position(|known| **known == *member);
                match at {
                    None if adds => members.push(member.into()),
                    Some(at) if !adds => drop(members.remove(at)),
                    _ => return false,
                }
                true
            });
            prop_assert_eq!(done, expected);
            self.model.drop_empty(db, &key);
        }
        Ok(())
    }

    pub(super) fn sorted(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let (db, key) = (step.db, key(step.key));
        let many = if step.member.is_multiple_of(8) {
            200
        } else {
            1
        };
        for more in 0..many {
            let member = [step.member % 64, more];
            let score = f64::from(step.other) - f64::from(more % 3);
            if step.what < 17 {
                let old = self.within(step, |tx, db, key| tx.sorted_put(db, key, &member, score));
                let members = self.model.sorted(db, &key, true);
                let expected = members.map(|members| {
                    simple::sorted_put(members.expect("it was created"), &member, score)
                });
                prop_assert_eq!(old, expected);
            } else if step.what == 17 {
                let done = self.within(step, |tx, db, key| tx.sorted_remove(db, key, &member));
                let members = self.model.sorted(db, &key, false);
                let expected = members.map(|members| {
                    members.is_some_and(|it| simple::sorted_take(it, &member).is_some())
                });
                prop_assert_eq!(done, expected);
            } else {
                let ranks = usize::from(step.other)..usize::from(step.member);
                let done = self.within(step, |tx, db, key| {
                    tx.sorted_remove_range(db, key, ranks.clone())
                });
                let expected = self.model.sorted(db, &key, false).map(|members| {
                    members.map_or(0, |members| {
                        let to = ranks.end.min(members.len());
                        members.drain(ranks.start.min(to)..to).count()
                    })
                });
                prop_assert_eq!(done, expected);
            }
            self.model.drop_empty(db, &key);
        }
        Ok(())
    }
}
