//! What `cloakroom bench` was asked to do.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::mix::{MIXES, Mix, Sizes};
use super::value::{LEAST, MOST};

/// Everything that is asked for, checked.
pub(crate) struct Options {
    pub(super) server: Server,
    pub(super) mix: &'static Mix,
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    /// Operations a second that arrive whatever the server does; without it, the next one waits for its answer.
    pub(super) rate: Option<f64>,
    pub(super) time: Duration,
    /// Before what is measured.
    pub(super) warm_up: Duration,
    pub(super) sessions: u32,
    pub(super) size: Option<usize>,
    pub(super) prefix: String,
    pub(super) seed: u64,
    pub(super) order: u64,
    pub(super) load: bool,
    pub(super) json: bool,
    pub(super) server_process: Option<u32>,
}

/// Where to connect, and as whom.
#[derive(Default)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

const DEFAULT_PORT: u16 = 6379;

/// The longest run.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The flags that take a whole number: name, default, what it is.
const NUMBERS: [(&str, &str, &str); 5] = [
    ("connections", "50", "Connections, all of one thread"),
    (
        "pipeline",
        "1",
        "Commands that a connection has under way at most",
    ),
    ("sessions", "100000", "Sessions that there are at the start"),
    ("seed", "1", "Decides keys and values"),
    (
        "order",
        "1",
        "Decides the commands; of two runs at a time each wants its own",
    ),
];

/// Those that take a time.
const TIMES: [(&str, &str, &str); 2] = [
    (
        "seconds",
        "10",
        "How long to measure; 0 loads the sessions and nothing else",
    ),
    ("warm-up", "1", "Seconds before that, which do not count"),
];

/// The grammar of its command line.
pub(crate) fn command() -> Command {
    let numbers = NUMBERS.map(|(name, default, help)| {
        Arg::new(name)
            .long(name)
            .value_name("COUNT")
            .value_parser(value_parser!(u64))
            .default_value(default)
            .help(help)
    });
    let times = TIMES.map(|(name, default, help)| {
        Arg::new(name)
            .long(name)
            .value_name("SECONDS")
            .value_parser(value_parser!(f64))
            .default_value(default)
            .help(help)
    });
    Command::new("bench")
        .args_override_self(true)
        .about("Measures a server that speaks the Redis protocol with the work of session stores.")
        .long_about(
            "Measures a server that speaks the Redis protocol with the work of session stores: Cloakroom, Redis, \
             Valkey. It writes sessions under keys of its own, which end by themselves after 30 minutes (one of \
             ten after 30 days). Use a server that serves nobody else.",
        )
        .args([url(), mix()])
        .args(numbers)
        .args(times)
        .args(more())
}

fn url() -> Arg {
    Arg::new("url")
        .long("url")
        .value_name("URL")
        .default_value("redis://127.0.0.1:6380")
        .help(
            "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]; the password may be in REDISCLI_AUTH",
        )
}

fn mix() -> Arg {
    let mixes: Vec<_> = MIXES.iter().map(|mix| mix.name).collect();
    let described: Vec<_> = MIXES
        .iter()
        .map(|mix| format!("{}: {}", mix.name, mix.doc))
        .collect();
    Arg::new("mix")
        .long("mix")
        .value_name("MIX")
        .value_parser(mixes)
        .default_value("m1")
        .help(described.join("; "))
}

/// What may be left out.
fn more() -> [Arg; 6] {
    [Arg::new("rate")
                .long("rate")
                .value_name("COUNT")
                .value_parser(value_parser!(f64))
                .help(
                    "Open loop: so many commands a second at random times, and times count from when each was \
                     meant to be sent; takes a whole processor",
                ),
Arg::new("size")
                .long("size")
                .value_name("BYTES")
                .value_parser(value_parser!(u64).range(LEAST as u64..=MOST as u64))
                .help("Bytes of each session; without it, as the mix says"),
Arg::new("prefix")
                .long("prefix")
                .value_name("TEXT")
                .default_value("sess:")
                .help("How keys begin; 38 digits follow. sess: makes them sessions of express-session"),
switch("no-load", "The sessions are there from a run before with the same sessions and seed"),
switch("json", "Print JSON in place of a table"),
Arg::new("server-pid")
                .long("server-pid")
                .value_name("PID")
                .value_parser(value_parser!(u32))
                .help("The server's process on this machine: shows its CPU time for each operation"),]
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

impl Options {
    /// What these arguments and the variable `REDISCLI_AUTH` ask for.
    ///
    /// # Errors
    /// With what to write instead.
    pub(crate) fn from_matches(matches: &ArgMatches) -> Result<Self, String> {
        let number = |name: &str, least: u64, most: u64| {
            let number = *matches.get_one::<u64>(name).expect("it has a default");
            (least..=most)
                .contains(&number)
                .then_some(number)
                .ok_or_else(|| format!("--{name} is {number}: give {least} to {most}"))
        };
        let seconds = |name: &str| {
            let seconds = *matches.get_one::<f64>(name).expect("it has a default");
            let time = Duration::try_from_secs_f64(seconds).ok();
            time.filter(|time| *time <= LONGEST)
                .ok_or_else(|| format!("--{name} is {seconds}: give 0 to {}", LONGEST.as_secs()))
        };
        let text = |name: &str| matches.get_one::<String>(name).expect("it has a default");
        let rate = matches.get_one::<f64>("rate").copied();
        if rate.is_some_and(|rate| !(1.0..=1e8).contains(&rate)) {
            return Err("--rate: give 1 to 100000000 commands a second".to_owned());
        }
        let mut server = Server::parse(text("url"))?;
        if server.password.is_none() {
            server.password = std::env::var("REDISCLI_AUTH")
                .ok()
                .filter(|it| !it.is_empty());
        }
        let size = matches.get_one::<u64>("size");
        Ok(Self {
            server,
            mix: Mix::named(text("mix")).expect("clap checks it"),
            connections: number("connections", 1, 100_000)? as usize,
            pipeline: number("pipeline", 1, 10_000)? as usize,
            rate,
            time: seconds("seconds")?,
            warm_up: seconds("warm-up")?,
            // Half of all numbers, so that there are as many for those that are created.
            sessions: number("sessions", 1, 1 << 31)? as u32,
            size: size.map(|size| *size as usize),
            prefix: text("prefix").clone(),
            seed: number("seed", 0, u64::from(u32::MAX))?,
            order: number("order", 0, u64::from(u32::MAX))?,
            load: !matches.get_flag("no-load"),
            json: matches.get_flag("json"),
            server_process: matches.get_one("server-pid").copied(),
        })
    }

    /// How large sessions are.
    pub(super) fn sizes(&self) -> Sizes {
        self.size.map_or(self.mix.sizes, Sizes::Fixed)
    }

    #[cfg(test)]
    pub(super) fn for_tests(mix: &str, sessions: u32) -> Self {
        let sessions = sessions.to_string();
        let arguments = ["bench", "--mix", mix, "--sessions", &sessions];
        Self::from_matches(&command().get_matches_from(arguments)).unwrap()
    }
}

impl Server {
    fn parse(url: &str) -> Result<Self, String> {
        let wrong = || "--url: give redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]".to_owned();
        let Some(rest) = url.strip_prefix("redis://") else {
            return Err(wrong() + "; TLS and sockets are not measured");
        };
        let (who, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = who.split_once(':').unwrap_or((who, ""));
        let (place, database) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (place, DEFAULT_PORT),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(wrong());
        }
        let some = |text: &str| (!text.is_empty()).then(|| decoded(text));
        Ok(Self {
            host: host.to_owned(),
            port,
            user: some(user),
            password: some(password),
            database: if database.is_empty() {
                0
            } else {
                database.parse().map_err(|_| wrong())?
            },
        })
    }
}

/// With `%41` as `A`; what is no such escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| *first == b'%');
        let byte = escape
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_redis_has_them() {
        for (url, host, port, user, password, database) in [
            ("redis://h", "h", 6379, None, None, 0),
            ("redis://h:1/2", "h", 1, None, None, 2),
            ("redis://[::1]:7", "::1", 7, None, None, 0),
            ("redis://[::1]", "::1", 6379, None, None, 0),
            ("redis://:s%40@h", "h", 6379, None, Some("s@"), 0),
            ("redis://u:p@h/", "h", 6379, Some("u"), Some("p"), 0),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!((&*server.host, server.port), (host, port), "{url}");
            assert_eq!(server.user.as_deref(), user, "{url}");
            assert_eq!(server.password.as_deref(), password, "{url}");
            assert_eq!(server.database, database, "{url}");
        }
        for url in [
            "rediss://h",
            "h:1",
            "redis://",
            "redis://h:x",
            "redis://h/x",
        ] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_refused() {
        for arguments in [
            ["--connections", "0"],
            ["--pipeline", "0"],
            ["--sessions", "0"],
            ["--rate", "0"],
            ["--rate", "NaN"],
            ["--seconds", "NaN"],
            ["--seconds", "1e6"],
            ["--url", "rediss://h"],
        ] {
            let matches = command().get_matches_from(["bench"].iter().chain(&arguments));
            assert!(Options::from_matches(&matches).is_err(), "{arguments:?}");
        }
    }
}
