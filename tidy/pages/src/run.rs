//! Runs the shell blocks of a page as a reader would: in order, in one shell, in an empty
//! directory. A server is there if the page says `<!-- run: server -->`; ports that it names by
//! `<!-- run: ports 6379 8080 -->` are free ones in the run.

use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tidy::markdown::{self, Block};

use crate::server::Server;

/// How long all blocks of a page may take, in seconds; then something waits for ever.
const PAGE_SECONDS: &str = "120";

/// The address that pages write, which is the default; the server of a run has another port.
const WRITTEN_ADDRESS: &str = "127.0.0.1:8080";

/// How the blocks of a page went.
#[derive(Debug)]
pub struct Outcome {
    /// How many blocks were run.
    pub blocks: usize,
    /// Whether all went well.
    pub good: bool,
    /// What they printed, with the line of each block before it.
    pub output: String,
}

/// Runs the shell blocks of `page` in `dir`, with `binary` as `cloakroom` on the path.
///
/// # Errors
/// If the shell or the server does not start.
pub fn run(page: &str, dir: &Path, binary: &Path) -> io::Result<Outcome> {
    let blocks: Vec<Block> = shell_blocks(page)
        .filter(|block| reason(block).is_none())
        .collect();
    let wants_server = markdown::directives(page)
        .iter()
        .any(|(_, text)| text == "server");
    if blocks.is_empty() {
        return Ok(Outcome {
            blocks: 0,
            good: true,
            output: String::new(),
        });
    }
    let server = wants_server
        .then(|| Server::start(binary, dir, &[]))
        .transpose()?;
    // What a page leaves running ends with it, also if one of its blocks fails.
    let mut script = String::from(
        "set -euo pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n",
    );
    for block in &blocks {
        let _ = writeln!(
            script,
            "echo '--- block at line {}'\n{}",
            block.line, block.text
        );
    }
    if let Some(server) = &server {
        script = script.replace(WRITTEN_ADDRESS, &server.address);
    }
    for (written, free) in ports(page)? {
        script = script.replace(&written, &free);
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let bin_dir = binary.parent().unwrap_or(dir).display();
    let output = Command::new("timeout")
        .args([PAGE_SECONDS, "bash", "-c", &script])
        .env("PATH", format!("{bin_dir}:{path}"))
        .current_dir(dir)
        .output()?;
    Ok(Outcome {
        blocks: blocks.len(),
        good: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}

/// The ports that a page names, each with a free one. All are held until the last is found, so that
/// they differ.
fn ports(page: &str) -> io::Result<Vec<(String, String)>> {
    let mut held = Vec::new();
    for (_, text) in markdown::directives(page) {
        let named = text.strip_prefix("ports ").unwrap_or_default();
        for port in named.split_whitespace() {
            held.push((port.to_owned(), TcpListener::bind("127.0.0.1:0")?));
        }
    }
    held.into_iter()
        .map(|(port, free)| Ok((port, free.local_addr()?.port().to_string())))
        .collect()
}

/// The blocks that are not run, as `(line, reason)`: marked `<!-- run: skip: reason -->`.
#[must_use]
pub fn skipped(page: &str) -> Vec<(usize, String)> {
    let blocks = shell_blocks(page);
    blocks
        .filter_map(|block| Some((block.line, reason(&block)?)))
        .collect()
}

fn shell_blocks(page: &str) -> impl Iterator<Item = Block> {
    let blocks = markdown::blocks(page).into_iter();
    blocks.filter(|block| matches!(block.language.as_str(), "sh" | "bash" | "console"))
}

fn reason(block: &Block) -> Option<String> {
    let reason = block.directive.as_ref()?.strip_prefix("skip:")?;
    Some(reason.trim().to_owned())
}
