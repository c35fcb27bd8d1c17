//! HTTPS: with a certificate the server may listen anywhere; a new one is taken on SIGHUP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Server, TempDir, program};

#[tokio::test]
async fn https_with_a_certificate_that_is_replaced_while_it_runs() {
    let files = TempDir::new();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    let first = write_pair(&cert, &key, "first.pem");
    let flags = [
        "--tls-cert",
        cert.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let server = Server::start(&flags);
    assert!(
        server.url.starts_with("https://127.0.0.1:"),
        "{}",
        server.banner
    );
    assert_eq!(ask(&server, &first), Some("ok\n".to_owned()));

    let second = write_pair(&cert, &key, "second.pem");
    server.signal("HUP");
    server.logged("certificate and its key read again").await;
    assert_eq!(ask(&server, &second), Some("ok\n".to_owned()));
    assert_eq!(
        ask(&server, &first),
        None,
        "the first certificate is no longer shown"
    );

    fs::write(&cert, "broken").unwrap();
    server.signal("HUP");
    server.logged("the certificate in use stays").await;
    assert_eq!(ask(&server, &second), Some("ok\n".to_owned()));
}

#[test]
fn a_certificate_that_does_not_load_stops_the_start() {
    let files = TempDir::new();
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    write_pair(&cert, &key, "ca.pem");
    let other = files.path().join("other.pem");
    write_pair(&files.path().join("unused.pem"), &other, "unused-ca.pem");
    let empty = files.write("empty.pem", "");
    for (cert, key, expected) in [
        (
            &files.path().join("none.pem"),
            &key,
            "cannot read the certificate",
        ),
        (&empty, &key, "empty.pem"),
        (&cert, &empty, "cannot read a key"),
        (&cert, &other, "does not fit its key"),
    ] {
        let mut command = crate::process::cloakroom();
        command
            .args(["serve", "--http", "127.0.0.1:0", "--resp", "none", "--data"])
            .arg(files.path().join("data"))
            .args([Path::new("--tls-cert"), cert, Path::new("--tls-key"), key]);
        let output = crate::process::refused(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(expected),
            "{expected}: {said}"
        );
    }
}

/// A new self-signed pair; also kept beside under `name`, for clients to trust.
pub(crate) fn write_pair(cert: &Path, key: &Path, name: &str) -> PathBuf {
    let names = vec!["127.0.0.1".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    let trusted = cert.with_file_name(name);
    fs::write(cert, pair.cert.pem()).unwrap();
    fs::write(&trusted, pair.cert.pem()).unwrap();
    fs::write(key, pair.signing_key.serialize_pem()).unwrap();
    trusted
}

/// Asks over HTTPS, trusting this certificate alone.
fn ask(server: &Server, trusted: &Path) -> Option<String> {
    let output = Command::new(program("curl", "curl"))
        .args(["--silent", "--noproxy", "*", "--cacert"])
        .arg(trusted)
        .arg(format!("{}/healthz", server.url))
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(answer)
}
