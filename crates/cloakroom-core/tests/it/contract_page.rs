//! `docs/contract.md` is written from the tables of the kit: `UPDATE_GOLDEN=1 cargo test -p
//! cloakroom-core` writes it anew. What it says of broken stores, `kit` sees them do.

use std::fmt::Write as _;
use std::path::Path;

use cloakroom_core::testkit::CASES;
use cloakroom_core::testkit::broken::SPECIMENS;

const HEAD: &str = "\
# The contract as code

Generated from the tables of `cloakroom_core::testkit`; a test keeps it true.

The words are in `crates/cloakroom-core/src/store.rs`, and the simplest store that keeps them is
`crates/cloakroom-core/src/testkit/reference.rs`: begin with a copy. A store in a crate of its own needs the core, and its kit for
tests:

    cargo add --path ../cloakroom/crates/cloakroom-core
    cargo add --path ../cloakroom/crates/cloakroom-core --dev --features testkit

A store is right when it passes these cases (`crates/cloakroom-core/src/testkit/mod.rs` has a factory in full):

    struct MyFactory; // impl cloakroom_core::testkit::StoreFactory

    mod contract {
        use super::MyFactory;
        cloakroom_core::contract_tests!(MyFactory);
    }

    #[test]
    fn holds_in_the_simulation() {
        cloakroom_core::testkit::sim::check(&MyFactory, 300);
    }

A seed with which the simulation fails is printed; `CLOAKROOM_SIM_SEED=<seed> cargo test` replays it, and
`CLOAKROOM_SIM_SEEDS=<how many>` tries more of them.
";

const PROMISES: [&str; 6] = [
    "no lost update",
    "no zombie",
    "acknowledged is stored",
    "expiry is decided on reading",
    "ended is not unknown",
    "cancellation is safe",
];

#[test]
fn the_page_of_the_contract_is_true() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contract.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/contract.md is not what the kit's tables say: UPDATE_GOLDEN=1 cargo test -p cloakroom-core"
    );
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    writeln!(
        page,
        "\n## {} cases\n\n| promise | cases |\n| --- | --- |",
        CASES.len()
    )
    .unwrap();
    for (number, promise) in (1..).zip(PROMISES) {
        let cases = CASES.iter().filter(|case| case.promise == number);
        let names: Vec<_> = cases.map(|case| format!("`{}`", case.name)).collect();
        assert!(!names.is_empty(), "no case for the promise of {promise}");
        writeln!(page, "| {number}. {promise} | {} |", names.join(", ")).unwrap();
    }
    writeln!(
        page,
        "\n## {} broken stores\n\nEach is wrong in one way, and each was seen to fail the case beside it \
         (`catches_every_broken_store`).\n\n| store | what it does | red in |\n| --- | --- | --- |",
        SPECIMENS.len()
    )
    .unwrap();
    for specimen in SPECIMENS {
        let red: Vec<_> = specimen
            .caught_by
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let what = specimen.what.trim();
        writeln!(
            page,
            "| `{:?}` | {what} | {} |",
            specimen.flaw,
            red.join(", ")
        )
        .unwrap();
    }
    page
}
