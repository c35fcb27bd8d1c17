//! README.md and docs/: every shell block runs, every settings block starts the server.

use std::io::Write as _;

use tidy::{Repo, markdown};
use tidy_pages::{binary, run, skipped, try_settings};

use crate::Scratch;

#[test]
fn shell_blocks_run() {
    let repo = repository();
    let mut blocks = 0;
    for (path, page) in pages(&repo) {
        for (line, reason) in skipped(page) {
            say(&format!("{path}:{line} is not run: {reason}"));
        }
        let scratch = Scratch::new(path);
        let outcome =
            run(page, scratch.path(), &binary()).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(outcome.good, "{path}:\n{}", outcome.output);
        blocks += outcome.blocks;
    }
    say(&format!("{blocks} shell blocks ran"));
    assert!(blocks > 0, "no page has a shell block");
}

#[test]
fn settings_blocks_start_the_server() {
    let repo = repository();
    let mut started_with = 0;
    for (path, page) in pages(&repo) {
        let settings = markdown::blocks(page)
            .into_iter()
            .filter(|block| block.language == "toml");
        let settings = settings.filter(|block| block.directive.as_deref() == Some("settings"));
        for block in settings {
            let scratch = Scratch::new(&format!("{path}-{}", block.line));
            let started = try_settings(&binary(), scratch.path(), &block.text);
            started.unwrap_or_else(|error| panic!("{path}:{}: {error}", block.line));
            started_with += 1;
        }
    }
    assert!(started_with > 0, "no page has a settings block");
}

fn repository() -> Repo {
    Repo::at(&Repo::own_root()).expect("the repository can be read")
}

fn pages(repo: &Repo) -> impl Iterator<Item = (&str, &str)> {
    repo.pages()
        .filter(|(path, _)| *path == "README.md" || path.starts_with("docs/"))
}

/// Past the capture of the test harness: a skip that nobody sees is a skip that stays.
fn say(text: &str) {
    // Nobody reads standard error if this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}
