//! The simulation tried on itself: the reference store keeps every promise for hundreds of seeds,
//! stores that are known to be wrong do not.

use cloakroom_core::testkit::broken::{BrokenFactory, Flaw};
use cloakroom_core::testkit::{ReferenceFactory, sim};

#[test]
fn reference_keeps_every_promise() {
    sim::check(&ReferenceFactory, 300);
}

/// Flaws that random operations run into; the contract's own cases catch the others, too.
const CAUGHT: &[Flaw] = &[
    Flaw::WholeRecordOverwrite,
    Flaw::IncrementReadsAndSets,
    Flaw::WriteInSteps,
    Flaw::WriteCreates,
    Flaw::WriteBackRevives,
    Flaw::TouchRevives,
    Flaw::DestroyIsLate,
    Flaw::RotateDeletesFirst,
    Flaw::RotateCopies,
    Flaw::LoginForwards,
    Flaw::ForwardsForEver,
    Flaw::ServedUntilSwept,
    Flaw::WriteForgetsLifetimes,
    Flaw::ClockRevives,
    Flaw::IndexLeaks,
    Flaw::IndexMissesRotated,
    Flaw::IndexKeepsTheFormerOwner,
    Flaw::IndexIsLate,
    Flaw::CapIgnoresRotation,
    Flaw::RevokeMissesTheRotating,
    Flaw::RevokeAllMissesRotated,
    Flaw::RevokeAllByTime,
];

#[test]
fn catches_planted_flaws() {
    let found = |flaw| (1..=300).any(|seed| sim::run(&BrokenFactory(flaw), seed).is_err());
    let missed: Vec<_> = CAUGHT.iter().filter(|flaw| !found(**flaw)).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_seed_replays() {
    let flaw = BrokenFactory(Flaw::WholeRecordOverwrite);
    let first = (1..=300).find_map(|seed| sim::run(&flaw, seed).err());
    let first = first.expect("a planted flaw is caught");
    assert_eq!(sim::run(&flaw, first.seed), Err(first));
    assert_eq!(
        sim::run(&ReferenceFactory, 7),
        sim::run(&ReferenceFactory, 7)
    );
}

#[test]
fn something_happens() {
    let summary = sim::run(&ReferenceFactory, 2).expect("the reference store keeps its promises");
    assert!(
        summary.operations > 100 && summary.created > 10,
        "{summary:?}"
    );
    assert!(
        summary.ended > 0 && summary.dropped > 0 && summary.jumps > 10,
        "{summary:?}"
    );
}
