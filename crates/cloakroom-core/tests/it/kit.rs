//! The testkit tried on itself: the reference store keeps every promise.

use cloakroom_core::testkit::broken::{BrokenFactory, SPECIMENS};
use cloakroom_core::testkit::{block_on, contract};

mod reference {
    use cloakroom_core::testkit::ReferenceFactory;
    cloakroom_core::contract_tests!(ReferenceFactory);
}

/// A kit that was never seen to fail proves nothing: every broken store is caught, by the cases that
/// are there for its flaw.
#[test]
fn catches_every_broken_store() {
    let mut missed = Vec::new();
    for specimen in SPECIMENS {
        let report = block_on(contract(&BrokenFactory(specimen.flaw)));
        let caught: Vec<&str> = report.broken().map(|(name, _)| name).collect();
        for name in specimen.caught_by {
            if !caught.contains(name) {
                missed.push(format!("{:?} by {name}; by {caught:?}", specimen.flaw));
            }
        }
    }
    assert!(missed.is_empty(), "not caught:\n{}", missed.join("\n"));
}
