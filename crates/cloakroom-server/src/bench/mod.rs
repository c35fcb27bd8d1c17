//! `cloakroom bench`: the work of session stores, made by one generator against any server that speaks the
//! Redis protocol, so that figures of different servers compare.

mod connection;
mod generate;
mod mix;
mod options;
mod random;
mod replies;
mod report;
mod run;
mod value;

use std::error::Error;
use std::io::Write as _;

pub(crate) use options::{Options, command};

/// Loads the sessions, lets the mix run, and prints what came of it.
///
/// # Errors
/// If the server cannot be reached or stops answering, and if it answered anything with an error: what it
/// refuses costs it less, so such figures would say nothing.
pub(crate) fn bench(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut generator = generate::Generator::new(options);
    let mut connections = connection::open(options)?;
    let mut loaded = None;
    if options.load {
        let run = run::load(&mut connections, &mut generator, options)?;
        refused(&run)?;
        loaded = Some(run);
    }
    let measured = run::measure(&mut connections, &mut generator, options)?;
    let mut out = std::io::stdout();
    let report = report::Report::new(options, loaded.as_ref(), &measured);
    out.write_all(report.text(options.json)?.as_bytes())?;
    refused(&measured)
}

fn refused(run: &run::Measured) -> Result<(), Box<dyn Error>> {
    match &run.first_error {
        None => Ok(()),
        Some(text) => Err(format!("the server answered with an error: {text}").into()),
    }
}
