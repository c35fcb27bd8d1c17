//! `cargo run -p tidy [ROOT]`: the same rules as the test, printed, for a look at any checkout.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tidy::{Repo, exceptions, rules};

fn main() -> std::io::Result<ExitCode> {
    let root = std::env::args_os()
        .nth(1)
        .map_or_else(Repo::own_root, PathBuf::from);
    let repo = Repo::at(&root)?;
    let report = rules::report(&repo, &exceptions::read(&repo));
    let mut out = std::io::stdout().lock();
    if report.is_empty() {
        writeln!(
            out,
            "{} rules hold in {}",
            rules::RULES.len(),
            root.display()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    out.write_all(report.as_bytes())?;
    Ok(ExitCode::FAILURE)
}
