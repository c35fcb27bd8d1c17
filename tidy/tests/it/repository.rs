//! This very repository, against the whole table.

use tidy::{Repo, exceptions, rules};

#[test]
fn every_house_rule_holds() {
    let repo = Repo::at(&Repo::own_root()).expect("the repository can be read");
    let report = rules::report(&repo, &exceptions::read(&repo));
    assert!(report.is_empty(), "\n\n{report}\n");
}

#[test]
fn the_rules_see_this_repository() {
    let repo = Repo::at(&Repo::own_root()).expect("the repository can be read");
    let core = repo
        .rust()
        .iter()
        .find(|file| file.path == "crates/cloakroom-core/src/store.rs");
    assert!(core.is_some_and(|file| file.code_lines(|_| true) > 50));
    let workspace = repo.graphs.iter().find(|graph| graph.name == "workspace");
    let members = workspace.map(|graph| graph.members().count());
    assert!(members >= Some(6), "{members:?}");
}
