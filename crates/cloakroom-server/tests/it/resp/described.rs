//! What the server says of its own commands: `COMMAND` is read by clients that look for keys and rights, `HELP` by
//! people who are told to try it.

use super::wire::{Reply, Wire};
use crate::process::Server;
use crate::stores::Redis;

/// Flags by which clients decide where a command may go.
const DECIDE: [&str; 5] = ["write", "readonly", "denyoom", "pubsub", "movablekeys"];

/// Flags of ours that Redis does not have: what a script does is not known, and to a journal that takes nothing
/// it has to be a write.
const MORE: [(&str, &str); 2] = [("eval", "write"), ("evalsha", "write")];

/// Name, number of words, flags that decide, and where the keys are.
fn essence(row: &Reply) -> (String, i64, Vec<String>, [i64; 3]) {
    let row = row.items();
    let name = row[0].text();
    let flags = row[2].items().iter().map(Reply::text);
    let mut flags: Vec<String> = flags
        .filter(|flag| DECIDE.contains(&flag.as_str()))
        .filter(|flag| !MORE.contains(&(&name, flag)))
        .collect();
    flags.sort();
    let places = [3, 4, 5].map(|at: usize| row[at].integer());
    (name, row[1].integer(), flags, places)
}

#[test]
fn commands_are_described_as_by_redis() {
    let (server, redis) = (Server::start(&["--log", "warn"]), Redis::start());
    let mut ours = Wire::to(&server);
    let mut theirs = Wire::at(&format!("127.0.0.1:{}", redis.port));
    let password = crate::stores::PASSWORD;
    assert_eq!(theirs.ask(&format!("AUTH {password}")), Reply::ok());
    let mut unlike = Vec::new();
    let mut compared = 0;
    for row in ours.ask("COMMAND").items() {
        let name = row.items()[0].text();
        let subs = row.items()[9].items().iter();
        for row in [row].into_iter().chain(subs) {
            let name = row.items()[0].text();
            let known = theirs.ask(&format!("COMMAND INFO {name}"));
            // Those that later versions have are not in Redis 7.0.
            if let [known @ Reply::Array(_)] = known.items() {
                compared += 1;
                if essence(row) != essence(known) {
                    unlike.push(format!("{:?}\n{:?}", essence(row), essence(known)));
                }
            }
        }
        let named = ours.ask(&format!("COMMAND INFO {name}"));
        assert_eq!(named.items(), std::slice::from_ref(row));
    }
    assert!(compared > 150, "{compared}");
    assert!(unlike.is_empty(), "ours, theirs:\n{}", unlike.join("\n"));
}

#[test]
fn every_family_has_the_help_that_it_names() {
    let server = Server::start(&["--log", "warn"]);
    let mut wire = Wire::to(&server);
    let mut families = 0;
    for row in wire.ask("COMMAND").items() {
        let name = row.items()[0].text().to_uppercase();
        let subs = row.items()[9].items();
        if subs.is_empty() {
            continue;
        }
        families += 1;
        let help = wire.ask(&format!("{name} help"));
        let lines: Vec<String> = help.items().iter().map(Reply::text).collect();
        assert_eq!(lines.len(), subs.len() + 1, "{lines:?}");
        for (line, sub) in lines[1..].iter().zip(subs) {
            let sub = sub.items()[0].text().to_uppercase();
            let sub = sub.strip_prefix(&format!("{name}|")).unwrap();
            assert!(line.starts_with(&format!("{sub}: ")), "{line}");
        }
    }
    assert!(families >= 10, "{families}");
}
