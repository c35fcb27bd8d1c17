//! What is asked next: visitors who come, look at some pages and go, in the shares of a mix.

use super::mix::{Mix, Op};
use super::options::Options;
use super::random::{Random, Zipf};
use super::value::{FIELDS, Words};

/// Visits at a time, from which each operation takes one: people read between two pages.
const VISITS: usize = 4_096;

/// Pages of a visit, and the most requests that a page makes.
const PAGES: usize = 7;
const REQUESTS: usize = 4;

/// Of a thousand updates, those of the session that was updated just before.
const RACES: usize = 20;

/// How much more often some sessions are visited than others.
const EXPONENT: f64 = 0.99;

/// A place whose session was revoked.
const VACANT: u32 = u32::MAX;

/// Numbers that no session ever has.
const UNKNOWN: u64 = 1 << 40;

/// Who makes the commands: the same ones in the same order for the same options.
pub(super) struct Generator {
    words: Words,
    random: Random,
    /// What each of a round of numbers asks for, so that a share costs one look.
    ops: Vec<Op>,
    zipf: Option<Zipf>,
    /// The sessions that there are, by their place: the first ones are visited most.
    places: Vec<u32>,
    vacant: Vec<u32>,
    visits: Vec<Visit>,
    /// The number of the next session that is created.
    next: u32,
    updated: usize,
    /// Commands that were made.
    made: u64,
}

/// Somebody who is on the site.
#[derive(Clone, Copy)]
struct Visit {
    place: usize,
    left: usize,
}

impl Generator {
    pub(super) fn new(options: &Options) -> Self {
        let mix = options.mix;
        let share = |(op, parts): &(Op, u32)| std::iter::repeat_n(*op, *parts as usize);
        let sessions = options.sessions;
        Self {
            // A string and a hash of the same name would be in each other's way.
            words: Words::new(
                &options.prefix,
                options.seed * 2 + u64::from(mix.has_fields()),
                options.sizes(),
            ),
            random: Random::new(options.order << 32),
            ops: mix.shares.iter().flat_map(share).collect(),
            zipf: mix.visits.then(|| Zipf::new(sessions as usize, EXPONENT)),
            places: (0..sessions).collect(),
            vacant: Vec::new(),
            visits: vec![Visit { place: 0, left: 0 }; VISITS],
            next: sessions,
            updated: 0,
            made: 0,
        }
    }

    /// The `step`-th command that loads the sessions, or nothing if that was all.
    pub(super) fn load(
        &self,
        mix: &Mix,
        sessions: u32,
        step: u64,
        into: &mut Vec<u8>,
    ) -> Option<Op> {
        let steps = if mix.has_fields() { 2 } else { 1 };
        let number = step / steps;
        if number >= u64::from(sessions) {
            return None;
        }
        Some(match (mix.has_fields(), step % steps) {
            (false, _) => self.set(Op::Create, number, 0, into),
            (true, 0) => {
                self.words.command(into, 2 + 2 * FIELDS as u64, "HSET");
                self.words.key(into, number);
                for field in 0..FIELDS {
                    self.words.field(into, number, field, 0);
                }
                Op::CreateFields
            }
            (true, _) => self.expire(number, into),
        })
    }

    /// The next command of the mix.
    pub(super) fn next(&mut self, into: &mut Vec<u8>) -> Op {
        self.made += 1;
        let op = self.ops[self.random.below(self.ops.len())];
        match op {
            Op::Unknown => {
                let number = UNKNOWN + self.random.next() % UNKNOWN;
                return self.get(op, number, into);
            }
            Op::Create => return self.create(into),
            _ => {}
        }
        let place = self.visited(op);
        let number = u64::from(self.places[place]);
        match op {
            Op::Revoke => self.revoke(place, into),
            Op::Touch => self.expire(number, into),
            Op::Rewrite => self.set(op, number, 0, into),
            Op::Update => self.set(op, number, self.made, into),
            Op::SlidingRead => {
                self.words.command(into, 4, "GETEX");
                self.words.key(into, number);
                self.words.word(into, b"EX");
                self.words.seconds(into, number);
                op
            }
            Op::ReadFields => {
                self.words.command(into, 2, "HGETALL");
                self.words.key(into, number);
                op
            }
            Op::UpdateField => {
                self.words.command(into, 4, "HSET");
                self.words.key(into, number);
                let field = self.random.below(FIELDS);
                self.words.field(into, number, field, self.made);
                op
            }
            Op::Read | Op::Create | Op::Unknown | Op::CreateFields => self.get(op, number, into),
        }
    }

    /// The place of the session that the next operation is about.
    fn visited(&mut self, op: Op) -> usize {
        let Some(zipf) = &self.zipf else {
            return self.random.below(self.places.len());
        };
        let racing = op == Op::Update && self.random.below(1_000) < RACES;
        if racing && self.places[self.updated] != VACANT {
            return self.updated;
        }
        let visit = &mut self.visits[self.random.below(VISITS)];
        if visit.left == 0 || self.places[visit.place] == VACANT {
            visit.place = zipf.next(&mut self.random);
            visit.left = requests(&mut self.random);
            // Somebody is left: a revocation needs a visit, and keeps the last place.
            while self.places[visit.place] == VACANT {
                visit.place = (visit.place + 1) % self.places.len();
            }
        }
        visit.left -= 1;
        if op == Op::Update {
            self.updated = visit.place;
        }
        visit.place
    }

    /// A new session: in a place that was left, or in one more. Who signed in stays for a visit.
    fn create(&mut self, into: &mut Vec<u8>) -> Op {
        let number = self.next;
        self.next = (self.next + 1) % VACANT;
        let place = match self.vacant.pop() {
            Some(place) => {
                self.places[place as usize] = number;
                place as usize
            }
            None => {
                self.places.push(number);
                self.places.len() - 1
            }
        };
        let left = requests(&mut self.random);
        let visit = self.random.below(VISITS);
        self.visits[visit] = Visit { place, left };
        self.set(Op::Create, u64::from(number), 0, into)
    }

    fn revoke(&mut self, place: usize, into: &mut Vec<u8>) -> Op {
        let number = self.places[place];
        if self.vacant.len() + 1 < self.places.len() {
            self.places[place] = VACANT;
            // The table has as many places as there are numbers, which have 32 bits.
            self.vacant.push(place as u32);
        }
        self.words.command(into, 2, "DEL");
        self.words.key(into, u64::from(number));
        Op::Revoke
    }

    fn get(&self, op: Op, number: u64, into: &mut Vec<u8>) -> Op {
        self.words.command(into, 2, "GET");
        self.words.key(into, number);
        op
    }

    fn set(&self, op: Op, number: u64, state: u64, into: &mut Vec<u8>) -> Op {
        self.words.command(into, 5, "SET");
        self.words.key(into, number);
        self.words.value(into, number, state);
        self.words.word(into, b"EX");
        self.words.seconds(into, number);
        op
    }

    fn expire(&self, number: u64, into: &mut Vec<u8>) -> Op {
        self.words.command(into, 3, "EXPIRE");
        self.words.key(into, number);
        self.words.seconds(into, number);
        Op::Touch
    }
}

fn requests(random: &mut Random) -> usize {
    (0..PAGES).map(|_| 1 + random.below(REQUESTS)).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    fn generator(mix: &str, sessions: u32) -> Generator {
        Generator::new(&Options::for_tests(mix, sessions))
    }

    fn key_in(command: &[u8]) -> String {
        let text = String::from_utf8_lossy(command);
        text.split("\r\n")
            .find(|word| word.starts_with("sess:"))
            .unwrap()
            .to_owned()
    }

    #[test]
    fn shares_are_those_of_the_table() {
        for name in ["m1", "m2", "m3", "m4"] {
            let mut generator = generator(name, 1_000);
            let mut counts = BTreeMap::new();
            let mut bytes = Vec::new();
            for _ in 0..100_000 {
                bytes.clear();
                *counts.entry(generator.next(&mut bytes)).or_insert(0) += 1;
            }
            for (op, parts) in Mix::named(name).unwrap().shares {
                let expected = i64::from(*parts) * 1_000;
                let found = counts[op];
                assert!((found - expected).abs() < 500, "{name} {op:?}: {found}");
            }
        }
    }

    #[test]
    fn what_is_asked_of_a_session_is_asked_while_it_is_there() {
        let mut generator = generator("m3", 100);
        let mut there: HashSet<String> = (0..100)
            .map(|step| {
                let mut bytes = Vec::new();
                let mix = Mix::named("m3").unwrap();
                generator.load(mix, 100, step, &mut bytes).unwrap();
                key_in(&bytes)
            })
            .collect();
        let mut ended = 0;
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            let op = generator.next(&mut bytes);
            let key = key_in(&bytes);
            match op {
                Op::Create => assert!(there.insert(key)),
                Op::Unknown => assert!(!there.contains(&key)),
                Op::Revoke => {
                    ended += 1;
                    assert!(there.remove(&key));
                }
                _ => assert!(there.contains(&key), "{op:?}"),
            }
        }
        assert!(ended > 1_000);
    }

    #[test]
    fn the_same_options_make_the_same_commands() {
        let run = || {
            let mut generator = generator("m2", 500);
            let mut bytes = Vec::new();
            for _ in 0..2_000 {
                generator.next(&mut bytes);
            }
            bytes
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_hash_is_loaded_with_its_deadline() {
        let generator = generator("hgetall", 2);
        let mix = Mix::named("hgetall").unwrap();
        let mut bytes = Vec::new();
        let ops: Vec<_> = (0..5)
            .map_while(|step| generator.load(mix, 2, step, &mut bytes))
            .collect();
        assert_eq!(
            ops,
            [Op::CreateFields, Op::Touch, Op::CreateFields, Op::Touch]
        );
    }
}
