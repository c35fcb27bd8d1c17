//! Power cuts at every moment of a workload: what is found afterwards is what was appended, from the
//! first record on and without a gap, up to what was acknowledged or beyond.

use cloakroom_embedded::journal::{Disk as _, Durability};

use super::disk::{FakeDisk, Fate, Op, Platter};
use super::{block_on, open, read, record, with_header};

/// How many power cuts a run tries, unless more are asked for.
const CUTS: usize = 400;

/// Appends so many records in groups, waiting for each group as the mode has it; closes and opens
/// the journal in between. All that was done is in the trace of the disk that is returned.
fn workload(base: &FakeDisk, durability: Durability, records: usize) -> FakeDisk {
    let disk = base.copy();
    append(&disk, durability, records, record);
    disk
}

fn append(
    disk: &FakeDisk,
    durability: Durability,
    records: usize,
    record: impl Fn(usize) -> Vec<u8>,
) {
    let mut next = 0;
    while next < records {
        let (journal, found, recovered) = open(disk, durability).unwrap();
        assert_eq!((found.len(), recovered.cut), (next, None));
        for group in 0..7 {
            let mut last = 0;
            for _ in 0..group % 3 + 1 {
                last = journal.append(&record(next));
                next += 1;
            }
            // Under `everysec` one in three is the end of a session, which always waits.
            if durability == Durability::Always || group % 3 == 2 {
                block_on(journal.wait(last)).unwrap();
                disk.acknowledged(next);
            }
        }
        drop(journal);
        disk.acknowledged(next);
    }
}

/// The disks that a workload begins on: an empty one, and one with files that wait for segments. In those are
/// frames and records of the same places and numbers as those to come, so that nothing but whose they are tells
/// them apart. Their heads have numbers of before, as any have: one number is given only once.
fn bases(records: usize) -> [FakeDisk; 2] {
    let old = FakeDisk::default();
    append(&old, Durability::Always, records, |number| {
        record(number).to_ascii_uppercase()
    });
    for name in old.names() {
        with_header(&old, &name, |header| header[17] = 1);
        old.rename(&name, &(name.clone() + ".spare")).unwrap();
    }
    [FakeDisk::default(), old.copy()]
}

fn acknowledged(ops: &[Op]) -> usize {
    let count = |op: &Op| match op {
        Op::Acknowledged(records) => Some(*records),
        _ => None,
    };
    ops.iter().rev().find_map(count).unwrap_or(0)
}

/// What is on a disk after a power cut is a beginning of what was appended.
fn check(disk: &FakeDisk, least: usize, story: &dyn Fn() -> String) -> usize {
    let (found, _) = match read(disk) {
        Ok(read) => read,
        Err(error) => panic!("{}: refused: {error}", story()),
    };
    assert!(
        found.len() >= least,
        "{}: {} of {least}",
        story(),
        found.len()
    );
    for (number, found) in found.iter().enumerate() {
        assert_eq!(*found, record(number), "{}", story());
    }
    found.len()
}

/// The ways in which `count` unsynced things come out of a power cut, that are tried at each moment.
fn fates(count: usize) -> Vec<Vec<Fate>> {
    let all = |fate| vec![fate; count];
    let mut fates = vec![all(Fate::Lost)];
    for place in 0..count {
        for (one, rest) in [
            (Fate::Lost, Fate::Kept),
            (Fate::Kept, Fate::Lost),
            (Fate::Garbage, Fate::Kept),
        ] {
            let mut mixed = all(rest);
            mixed[place] = one;
            fates.push(mixed);
        }
        for (before, after) in [(Fate::Kept, Fate::Lost), (Fate::Lost, Fate::Kept)] {
            let mut torn = all(after);
            torn[..=place].fill(before);
            fates.push(torn);
        }
    }
    fates
}

#[test]
fn every_crash_point_leaves_a_beginning() {
    let [empty, spares] = bases(120);
    for (base, durability) in [
        (&empty, Durability::Always),
        (&empty, Durability::Everysec),
        (&empty, Durability::No),
        (&spares, Durability::Always),
        (&spares, Durability::Everysec),
    ] {
        let disk = workload(base, durability, 120);
        let of_before = |name: &String| name.ends_with(".spare");
        assert!(!disk.names().iter().any(of_before), "all of them are used");
        let trace = disk.trace();
        let mut cuts = 0;
        for crash in 0..=trace.len() {
            let ops = &trace[..crash];
            let unsynced = Platter::after(base, ops, false).unsynced();
            for fates in fates(unsynced) {
                let disk = Platter::after(base, ops, false).left(|number| fates[number]);
                let story = || format!("{durability:?}, cut after {crash} steps, {fates:?}");
                check(&disk, acknowledged(ops), &story);
                cuts += 1;
            }
        }
        println!(
            "{durability:?}: {cuts} power cuts at {} points",
            trace.len() + 1
        );
        assert!(cuts > 1_000);
    }
}

#[test]
fn a_crash_while_reading_back_and_going_on_leaves_a_beginning_too() {
    for base in bases(30) {
        read_back_and_go_on(&base);
    }
}

fn read_back_and_go_on(base: &FakeDisk) {
    let trace = workload(base, Durability::Always, 15).trace();
    for crash in (0..=trace.len()).step_by(3) {
        let ops = &trace[..crash];
        let left = |platter: Platter| platter.left(|n| [Fate::Kept, Fate::Lost][n % 2]);
        let disk = left(Platter::after(base, ops, false));
        let before = disk.copy();
        let least = acknowledged(ops);
        let (journal, found, _) = open(&disk, Durability::Always).unwrap();
        let there = found.len();
        block_on(journal.wait(journal.append(&record(there)))).unwrap();
        disk.acknowledged(there + 1);
        drop(journal);
        let more = disk.trace();
        for again in 0..=more.len() {
            let platter = Platter::after(&before, &more[..again], false);
            let disk = left(platter);
            let least = least.max(acknowledged(&more[..again]));
            check(&disk, least, &|| format!("cut after {crash}, then {again}"));
        }
    }
}

/// With `CLOAKROOM_POWER_CUTS=10000` it is the long run of `./test --long`.
#[test]
fn power_cuts_at_random_lose_nothing_that_was_acknowledged() {
    let wanted = std::env::var("CLOAKROOM_POWER_CUTS");
    let wanted = wanted.map_or(CUTS, |cuts| cuts.parse().unwrap());
    let mut random = Random(0x0010_ad5e_ed00);
    let (mut cuts, mut beyond) = (0, 0);
    let bases = bases(70);
    while cuts < wanted {
        let base = &bases[random.below(2)];
        let durability = [Durability::Always, Durability::Everysec][random.below(2)];
        let records = 10 + random.below(60);
        let trace = workload(base, durability, records).trace();
        for _ in 0..100 {
            let crash = random.below(trace.len() + 1);
            let seed = random.0;
            let ops = &trace[..crash];
            let weights = [random.below(10), random.below(10), random.below(3)];
            let platter = Platter::after(base, ops, false);
            let disk = platter.left(|_| random.fate(weights));
            let story = || format!("seed {seed:#x}, {durability:?}, cut after {crash} steps");
            let found = check(&disk, acknowledged(ops), &story);
            beyond += usize::from(found > acknowledged(ops));
            cuts += 1;
        }
    }
    println!(
        "{cuts} power cuts, 0 acknowledged records lost; {beyond} kept more than was promised"
    );
    assert!(beyond > 0, "something unsynced survives now and then");
}

#[test]
fn a_disk_that_lies_about_syncs_is_never_believed_over_a_gap() {
    for base in bases(40) {
        let (refused, short) = lie(&base);
        println!("{refused} refused, {short} shorter than was acknowledged");
        assert!(refused > 0);
    }
}

/// How many of the cuts are refused, and how many find less than was acknowledged.
fn lie(base: &FakeDisk) -> (usize, usize) {
    let trace = workload(base, Durability::Always, 40).trace();
    let mut random = Random(7);
    let (mut refused, mut short) = (0, 0);
    for crash in 0..=trace.len() {
        let ops = &trace[..crash];
        let weights = [1, 6, 0];
        let disk = Platter::after(base, ops, true).left(|_| random.fate(weights));
        match read(&disk) {
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                refused += 1;
            }
            Ok((found, _)) => {
                let all = (0..found.len()).map(record);
                assert!(found.iter().cloned().eq(all), "cut after {crash} steps");
                short += usize::from(found.len() < acknowledged(ops));
            }
        }
    }
    (refused, short)
}

#[test]
fn names_that_are_no_segments_are_left_alone() {
    let disk = FakeDisk::with(&[
        ("notes.txt", b"mine"),
        ("1.journal", b""),
        ("x.snapshot", b""),
    ]);
    let (journal, found, _) = open(&disk, Durability::Always).unwrap();
    assert!(found.is_empty());
    drop(journal);
    let names = disk.list().unwrap();
    assert_eq!(
        names,
        ["0000000001.journal", "1.journal", "notes.txt", "x.snapshot"]
    );
}

/// A generator of its own, so that a seed says all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn fate(&mut self, weights: [usize; 3]) -> Fate {
        let mut place = self.below(weights.iter().sum::<usize>() + 1);
        for (fate, weight) in [Fate::Lost, Fate::Kept, Fate::Garbage]
            .into_iter()
            .zip(weights)
        {
            if place < weight {
                return fate;
            }
            place -= weight;
        }
        Fate::Lost
    }
}
