//! Pages that are wrong: the runner must see it.

use tidy_pages::{Outcome, binary, run, skipped, try_settings};

use crate::Scratch;

fn outcome(name: &str, page: &str) -> Outcome {
    let scratch = Scratch::new(name);
    run(page, scratch.path(), &binary()).expect("the shell starts")
}

#[test]
fn a_command_that_fails_is_seen() {
    let outcome = outcome(
        "fails",
        "```sh\ntrue\n```\n\n```sh\nfalse\n```\n```sh\necho never\n```\n",
    );
    assert!(!outcome.good);
    assert!(
        outcome.output.ends_with("--- block at line 5\n"),
        "{}",
        outcome.output
    );
}

#[test]
fn a_failure_in_a_pipe_and_a_missing_variable_are_seen() {
    assert!(!outcome("pipe", "```sh\nfalse | cat\n```\n").good);
    assert!(!outcome("variable", "```sh\necho $NOT_SET_BY_THIS_PAGE\n```\n").good);
}

#[test]
fn blocks_share_one_shell() {
    let outcome = outcome("shares", "```sh\nID=1\n```\n```sh\ntest $ID = 1\n```\n");
    assert!(outcome.good && outcome.blocks == 2, "{}", outcome.output);
}

#[test]
fn skips_have_a_reason() {
    let page = "<!-- run: skip: it installs things -->\n```sh\nfalse\n```\n";
    assert!(outcome("skips", page).good);
    assert_eq!(skipped(page), [(2, "it installs things".to_owned())]);
}

#[test]
fn a_page_gets_its_server() {
    let page = "<!-- run: server -->\n```sh\ncurl -fsS http://127.0.0.1:8080/healthz\n```\n";
    let outcome = outcome("server", page);
    assert!(outcome.good, "{}", outcome.output);
    assert!(
        !self::outcome(
            "no-server",
            &page
                .replace("run: server", "run: nothing")
                .replace("8080", "1")
        )
        .good
    );
}

#[test]
fn wrong_settings_are_seen() {
    let scratch = Scratch::new("settings");
    try_settings(&binary(), scratch.path(), "idle = \"30m\"\n").expect("these are right");
    let error = try_settings(&binary(), scratch.path(), "idel = \"30m\"\n")
        .expect_err("there is no such setting");
    assert!(error.to_string().contains("idel"), "{error}");
}
