//! The testkit tried on itself: the reference store keeps every promise.

mod reference {
    use cloakroom_core::testkit::ReferenceFactory;
    cloakroom_core::contract_tests!(ReferenceFactory);
}
