//! Licence expressions, and exceptions that outlive their need.

use tidy::deny::Deny;
use tidy::exceptions::{Exception, excuse};
use tidy::{Fault, markdown};

fn check(expression: &str, allowed: bool) {
    let deny = "[licenses]\nallow = [\"MIT\", \"A WITH x\"]\nexceptions = [{ crate = \"odd\", allow = [\"MPL\"] }]";
    let deny = Deny::parse(deny).expect("the sample is right");
    assert_eq!(deny.allows("odd", expression), allowed, "{expression}");
}

#[test]
fn license_expressions() {
    check("MIT", true);
    check("GPL", false);
    check("MPL", true);
    check("GPL OR MIT", true);
    check("GPL/MIT", true);
    check("GPL AND MIT", false);
    check("(GPL OR MIT) AND MPL", true);
    check("MIT AND (GPL OR A WITH x)", true);
    check("A", false);
    check("(MIT", false);
    check("MIT GPL", false);
    check("(none)", false);
}

#[test]
fn an_exception_of_another_crate_does_not_count() {
    let deny = "[licenses]\nallow = []\nexceptions = [{ crate = \"odd\", allow = [\"MPL\"] }]";
    let deny = Deny::parse(deny).expect("the sample is right");
    assert!(!deny.allows("other", "MPL"));
}

#[test]
fn a_ban_says_why() {
    let error = Deny::parse("[bans]\ndeny = [{ crate = \"x\" }]").expect_err("no reason was given");
    assert!(error.contains('x'), "{error}");
}

fn exception(size: Option<usize>) -> Exception {
    Exception {
        rule: "file-ceiling".to_owned(),
        path: "a.rs".to_owned(),
        size,
        reason: "a sample".to_owned(),
    }
}

fn fault(size: usize) -> Fault {
    let size = Some(size);
    Fault {
        size,
        ..Fault::of("a.rs", "too long")
    }
}

#[test]
fn exceptions_excuse_what_they_name() {
    assert_eq!(
        excuse("file-ceiling", vec![fault(500)], &[exception(Some(500))]),
        []
    );
    assert_eq!(
        excuse("no-unwrap", vec![fault(500)], &[exception(Some(500))]).len(),
        1
    );
}

#[test]
fn exceptions_only_shrink() {
    let grown = excuse("file-ceiling", vec![fault(501)], &[exception(Some(500))]);
    assert!(
        grown.iter().any(|fault| fault.what == "too long"),
        "{grown:?}"
    );
    let shrunk = excuse("file-ceiling", vec![fault(450)], &[exception(Some(500))]);
    assert!(
        shrunk.iter().any(|fault| fault.what.contains("lower")),
        "{shrunk:?}"
    );
    let gone = excuse("file-ceiling", vec![], &[exception(Some(500))]);
    assert!(
        gone.iter()
            .any(|fault| fault.what.contains("no longer needed")),
        "{gone:?}"
    );
}

#[test]
fn blocks_know_their_directives() {
    let page = "<!-- run: server -->\n\n```sh\ncurl x\n```\ntext\n```sh\ny\n```\n````md\n```sh\nno\n```\n````\n";
    let blocks = markdown::blocks(page);
    let seen: Vec<_> = blocks
        .iter()
        .map(|block| {
            (
                block.language.as_str(),
                block.directive.as_deref(),
                block.line,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [("sh", Some("server"), 3), ("sh", None, 7), ("md", None, 10)]
    );
    assert_eq!(blocks[0].text, "curl x\n");
}
