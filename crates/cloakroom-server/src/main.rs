//! The binary: reads what was asked for, does it, and says in plain words why it could not.

#![forbid(unsafe_code)]

mod availability;
mod bench;
mod logs;
mod observed;
mod open;
mod process;
mod serve;
mod settings;
mod tools;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use settings::{LowSettings, Page, Settings, Task};

fn main() -> ExitCode {
    let matches = match settings::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misunderstood(&error),
    };
    match Task::from_matches(&matches) {
        Ok(Task::Print(page)) => outcome(print(page)),
        Ok(Task::Repair(dir)) => outcome(tools::repair(&dir)),
        Ok(Task::Backup(from, to)) => outcome(tools::backup(&from, &to)),
        Ok(Task::Bench(matches)) => measure(&matches),
        Ok(Task::Serve(low)) => serve(&low),
        Err(error) => refused(&error),
    }
}

fn serve(low: &LowSettings) -> ExitCode {
    match Settings::from_low(low) {
        Ok(settings) => outcome(serve::run(&settings, low)),
        Err(error) => refused(&error),
    }
}

fn measure(matches: &clap::ArgMatches) -> ExitCode {
    match bench::Options::from_matches(matches) {
        Ok(options) => outcome(bench::bench(&options)),
        Err(what) => refused(&*Box::<dyn Error>::from(what)),
    }
}

fn print(page: Page) -> Result<(), Box<dyn Error>> {
    let text = match page {
        Page::Settings => settings::page(),
        Page::Openapi => serve::http::openapi_json()?,
        Page::Metrics => serve::http::metrics_page(),
        Page::Problems => serve::http::problems_page(),
        Page::Commands => serve::commands_page(),
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// Help, the version, or what is wrong in the command line: without the password of a URL in it.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let shown = settings::masked::words(&error.render().to_string());
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    // If the terminal is gone, the exit code still tells.
    let _ = if error.use_stderr() {
        write!(std::io::stderr(), "{shown}")
    } else {
        write!(std::io::stdout(), "{shown}")
    };
    ExitCode::from(code)
}

fn outcome(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&*error, 1),
    }
}

/// A setting that means nothing: 2, as for a wrong flag.
fn refused(error: &dyn Error) -> ExitCode {
    complain(error, 2)
}

fn complain(error: &dyn Error, code: u8) -> ExitCode {
    // If even standard error is gone, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "cloakroom: {error}");
    ExitCode::from(code)
}
