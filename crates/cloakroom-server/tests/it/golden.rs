//! What people and programs read: help, settings, metrics, problems, the API's description. Written
//! anew by `UPDATE_GOLDEN=1 cargo test -p cloakroom-server`; read the diff before you commit it.

use std::fs;
use std::path::Path;

use cloakroom_core::Event;
use cloakroom_core::observe::CookieFault;

use crate::process::{Server, cloakroom};
use crate::stores::{On, on_every_store};

#[test]
fn generated_pages_are_the_ones_in_the_repository() {
    check(
        &["print", "openapi"],
        "crates/cloakroom-server/tests/golden/openapi.json",
    );
    check(&["--help"], "crates/cloakroom-server/tests/golden/help.txt");
    check(
        &["serve", "--help"],
        "crates/cloakroom-server/tests/golden/help-serve.txt",
    );
    check(
        &["bench", "--help"],
        "crates/cloakroom-server/tests/golden/help-bench.txt",
    );
    check(&["print", "settings"], "docs/operate/settings.md");
    check(&["print", "metrics"], "docs/operate/metrics.md");
    check(&["print", "problems"], "docs/problems.md");
    check(&["print", "commands"], "docs/commands.md");
}

on_every_store!(metrics_are_the_ones_in_the_table);

/// An alert on a name that is shown nowhere is never heard, and nobody misses it.
#[test]
fn alerts_are_about_what_is_shown_and_lead_to_a_part_of_the_runbook() {
    let read = |page: &str| fs::read_to_string(root().join("docs/operate").join(page)).unwrap();
    let (alerts, metrics, runbook) = (read("alerts.yml"), read("metrics.md"), read("runbook.md"));
    let is_of_a_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = alerts.split(|letter: char| !is_of_a_name(letter));
    let named: Vec<&str> = words
        .filter(|word| word.starts_with("cloakroom_"))
        .collect();
    assert!(named.len() > 9, "{named:?}");
    for name in named {
        assert!(metrics.contains(&format!("| `{name}` |")), "{name}");
    }
    for (_, event) in alerts
        .match_indices("event=\"")
        .map(|(at, it)| alerts[at..].split_at(it.len()))
    {
        let event = event.split('"').next().unwrap();
        let known = Event::CookieRejected(CookieFault::Malformed).name();
        assert_eq!(event, known);
    }
    let parts = alerts
        .lines()
        .filter_map(|line| line.split_once("runbook.md: "));
    let parts: Vec<_> = parts.map(|(_, part)| part.trim_end_matches('"')).collect();
    assert_eq!(
        parts.len(),
        alerts.matches("- alert:").count() - 1,
        "one is Redis' affair"
    );
    for part in parts {
        assert!(runbook.contains(&format!("\n## {part}\n")), "{part}");
    }
}

async fn metrics_are_the_ones_in_the_table(on: On) {
    let server = Server::on(on, &[]);
    let id = server.login("ada").await;
    assert_eq!(server.read(&id).await.0, 200);
    let text = server.get("/metrics").await.text().await.unwrap();
    let page = fs::read_to_string(root().join("docs/operate/metrics.md")).unwrap();
    let named: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .collect();
    assert_eq!(named.len(), 25);
    for name in &named {
        let shown = text.lines().any(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        });
        assert!(shown, "{name} is documented and not shown:\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let known = named.iter().any(|name| line.starts_with(name));
        assert!(known, "shown and not documented: {line}");
    }
    let shown = |line: &str| assert!(text.contains(line), "{line}\n{text}");
    shown("cloakroom_sessions 1\n");
    shown("cloakroom_events_total{event=\"session_created\"} 1\n");
    shown("cloakroom_store_operations_total{operation=\"load\",result=\"ok\"} 1\n");
    shown(
        "cloakroom_http_requests_total{method=\"POST\",route=\"/v1/sessions\",status=\"201\"} 1\n",
    );
    assert!(
        !text.contains(&id) && !text.contains("ada"),
        "no secrets, no people"
    );
}

fn check(arguments: &[&str], file: &str) {
    let output = cloakroom().args(arguments).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let path = root().join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &said).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        said == kept,
        "`cloakroom {}` is not {file}; run the tests with UPDATE_GOLDEN=1 and read the diff",
        arguments.join(" "),
    );
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
