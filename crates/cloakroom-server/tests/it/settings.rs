//! Settings: which one wins, and what a wrong one says.

use std::net::TcpListener;
use std::process::Output;

use crate::process::{self, TempDir, cloakroom};

#[test]
fn an_invalid_value_stops_the_start_with_name_value_and_fix() {
    for (flag, value, fix) in [
        ("http", "localhost", "127.0.0.1:8080"),
        ("http", "0.0.0.0:0", "--tls-cert FILE"),
        ("http", "[::]:0", "--tls-cert FILE"),
        ("data", "", "give a path"),
        ("tls-cert", "cert.pem", "go together"),
        ("tls-key", "key.pem", "go together"),
        ("policy", "lax", "owasp-low-value"),
        ("idle", "5 parsecs", "30s"),
        ("idle", "401d", "400d"),
        ("absolute", "0s", "1s to 400d"),
        ("max-sessions", "0", "1 to 1000000, or none"),
        ("on-excess", "panic", "revoke-oldest, refuse"),
        ("rotation-grace", "61s", "at most 60s"),
        ("max-memory", "12", "64MiB"),
        ("max-memory", "1KiB", "1 MiB"),
        ("eviction", "random", "volatile-lru"),
        ("store-deadline", "0s", "more than zero"),
        ("cookie", "a b", "letters"),
        ("subject-header", "x y", "header"),
        ("request-timeout", "10", "its unit"),
        ("header-timeout", "2h", "3600s"),
        ("drain-delay", "soon", "30s"),
        ("drain-timeout", "-1s", "30s"),
        ("max-connections", "many", "1 to 1000000"),
        ("max-body", "1GiB", "64MiB"),
        ("log", "loud", "debug"),
        ("log-format", "xml", "json"),
        ("config", "/nowhere.toml", "can be read"),
    ] {
        let output = refused(&[&format!("--{flag}={value}")], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "--{flag}={value}: {said}");
        let name = if fix.contains("go together") {
            if flag == "tls-cert" {
                "tls-key"
            } else {
                "tls-cert"
            }
        } else {
            flag
        };
        assert!(said.contains(&format!("setting {name} = ")), "{said}");
        assert!(said.contains(fix), "{flag}: {said}");
        if name == flag {
            assert!(said.contains(&format!("{value:?}")), "{said}");
            assert!(said.contains(&format!("from the flag --{flag}")), "{said}");
        }
    }
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
    let dir = TempDir::new();
    let file = dir.write("cloakroom.toml", "idle = \"file\"\nmax_connections = 0\n");
    let file = file.to_str().unwrap();
    let said = |flags: &[&str], env: &[(&str, &str)]| {
        String::from_utf8(refused(flags, env).stderr).unwrap()
    };
    let config = ["--config", file];
    assert!(said(&config, &[]).contains(&format!("\"file\" (from the file {file})")));
    let env = [("CLOAKROOM_IDLE", "env"), ("CLOAKROOM_CONFIG", file)];
    assert!(said(&[], &env).contains("\"env\" (from the environment variable CLOAKROOM_IDLE)"));
    let flags = ["--idle", "flag"];
    assert!(said(&flags, &env).contains("\"flag\" (from the flag --idle)"));
    let fine = said(&["--idle", "5m"], &env);
    assert!(
        fine.contains("setting max-connections = \"0\" (from the file"),
        "{fine}"
    );
}

#[test]
fn a_file_that_says_something_unknown_is_refused() {
    let dir = TempDir::new();
    for (text, expected) in [
        ("idel = \"5m\"", "setting idel"),
        ("config = \"x\"", "no such setting in a file"),
        ("idle = true", "text in quotes"),
        ("idle = ", "mend the file"),
    ] {
        let file = dir.write("bad.toml", text);
        let said = refused(&["--config", file.to_str().unwrap()], &[]).stderr;
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains(expected), "{text}: {said}");
    }
}

/// Starts a server that must not start; if it did, its port would be taken.
fn refused(flags: &[&str], env: &[(&str, &str)]) -> Output {
    let dir = TempDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = cloakroom();
    command.arg("serve").args(flags).envs(env.iter().copied());
    if !flags.iter().any(|flag| flag.starts_with("--http")) {
        command.arg(format!("--http={}", taken.local_addr().unwrap()));
    }
    process::refused(command.current_dir(dir.path()))
}
