//! What people and programs read: help, settings, metrics, problems, the API's description. Written
//! anew by `UPDATE_GOLDEN=1 cargo test -p cloakroom-server`; read the diff before you commit it.

use std::fs;
use std::path::Path;

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
