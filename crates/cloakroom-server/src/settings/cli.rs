//! The command line, built from the table of settings.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use super::table::{Setting, TABLE};
use super::{LowSettings, SettingError};
use crate::bench;

/// What was asked for.
pub(crate) enum Task {
    /// Serve sessions. Also what the bare binary does.
    Serve(LowSettings),
    /// Keep what verifies of the journal in this data directory.
    Repair(PathBuf),
    /// Copy a data directory while its server runs: from, to.
    Backup(PathBuf, PathBuf),
    /// Measure a server of the Redis protocol.
    Bench(ArgMatches),
    /// Print a generated page.
    Print(Page),
}

/// The pages that are generated from tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Openapi,
    Settings,
    Metrics,
    Problems,
    Commands,
}

const PAGES: [(&str, Page); 5] = [
    ("openapi", Page::Openapi),
    ("settings", Page::Settings),
    ("metrics", Page::Metrics),
    ("problems", Page::Problems),
    ("commands", Page::Commands),
];

/// The command line's grammar.
pub(crate) fn command() -> Command {
    Command::new("cloakroom")
        .about("Keeps web sessions. Without a command it serves, with the default settings.")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(
            Command::new("serve")
                .about("Serves sessions over HTTP and the Redis protocol.")
                .long_about(
                    "Serves sessions over HTTP and the Redis protocol. A flag wins over its environment variable, that \
                     over the file, that over the default.",
                )
                .args(TABLE.map(arg)),
        )
        .subcommand(
            Command::new("repair")
                .about("Repairs a data directory whose journal is damaged.")
                .long_about(
                    "Repairs a data directory whose journal is damaged, so that the server starts \
                     again. What does not verify is lost, and with it perhaps the end of a \
                     session: a backup is better, if there is one. The damaged files are kept under \
                     another name.",
                )
                .arg(
                    Arg::new("keep-what-verifies")
                        .long("keep-what-verifies")
                        .value_name("DIR")
                        .value_parser(clap::value_parser!(PathBuf))
                        .required(true)
                        .help("The data directory, which no server uses"),
                ),
        )
        .subcommand(
            Command::new("backup")
                .about("Copies a data directory, also while its server runs.")
                .long_about(
                    "Copies a data directory, also while its server runs, and reads the copy as a start \
                     would before it counts. What comes of it is a data directory as well: `cloakroom \
                     serve --data TO` serves it. The API key is in it. Keys that seal values are not: \
                     keep their file as well.",
                )
                .arg(directory("from", "DIR", "The data directory"))
                .arg(directory("to", "TO", "Where the copy goes; it must not be there")),
        )
        .subcommand(bench::command())
        .subcommand(
            Command::new("print")
                .about("Prints a page that the binary generates.")
                .arg(
                    Arg::new("page")
                        .required(true)
                        .help("Which page")
                        .value_parser(PAGES.map(|(name, _)| name)),
                ),
        )
}

impl Task {
    /// What these arguments, this process's environment and the file ask for.
    pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Self, SettingError> {
        if let Some(("print", matches)) = matches.subcommand() {
            let name: &String = matches.get_one("page").expect("clap requires it");
            let page = PAGES.iter().find(|(known, _)| known == name);
            return Ok(Self::Print(page.expect("clap checks it").1));
        }
        if let Some(("repair", matches)) = matches.subcommand() {
            let dir: &PathBuf = matches
                .get_one("keep-what-verifies")
                .expect("clap requires it");
            return Ok(Self::Repair(dir.clone()));
        }
        if let Some(("backup", matches)) = matches.subcommand() {
            let dir = |name| {
                let dir: &PathBuf = matches.get_one(name).expect("clap requires it");
                dir.clone()
            };
            return Ok(Self::Backup(dir("from"), dir("to")));
        }
        if let Some(("bench", matches)) = matches.subcommand() {
            return Ok(Self::Bench(matches.clone()));
        }
        let serve = matches.subcommand_matches("serve");
        let flag = |setting: &Setting| serve?.get_one::<String>(setting.name).cloned();
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        });
        Ok(Self::Serve(LowSettings::gather(flag, environment)?))
    }
}

fn directory(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .value_name(shown)
        .value_parser(clap::value_parser!(PathBuf))
        .required(true)
        .help(help)
}

fn arg(setting: &'static Setting) -> Arg {
    let default = match setting.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.unit)
        .help(format!("{}{default} [env: {}]", setting.doc, setting.env()))
}
