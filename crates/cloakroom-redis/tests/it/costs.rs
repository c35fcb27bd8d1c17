//! What a save costs Redis: the commands that its script runs there. What is usual goes the quick way
//! (`src/scripts/quick_*.lua`); the rest goes on below it and does the same.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom_core::record::{Changes, Condition, NewSession};
use cloakroom_core::store::{Applied, Lookup};
use cloakroom_core::{Lifetimes, Store};
use cloakroom_redis::RedisStore;

use crate::kit::{self, Ids};
use crate::server::Server;

const LAYOUTS: [&str; 2] = ["packed", "fields"];

/// Layout; what is changed; which commands Redis runs for it, each once.
type Row = (&'static str, fn() -> Changes, &'static [&'static str]);

const TABLE: &[Row] = &[
    (
        "packed",
        old_field,
        &["evalsha", "get", "getrange", "set", "time"],
    ),
    (
        "packed",
        new_field,
        &["evalsha", "get", "getrange", "set", "time"],
    ),
    (
        "packed",
        counted,
        &["evalsha", "get", "getrange", "set", "time"],
    ),
    (
        "fields",
        old_field,
        &["evalsha", "get", "hmget", "hset", "pexpireat", "time"],
    ),
    (
        "fields",
        new_field,
        &[
            "evalsha",
            "get",
            "hlen",
            "hmget",
            "hset",
            "pexpireat",
            "time",
        ],
    ),
];

fn old_field() -> Changes {
    kit::sets("old", "changed")
}

fn new_field() -> Changes {
    kit::sets("new", "text")
}

fn counted() -> Changes {
    let mut changes = Changes::new();
    changes.increment("count", 1).expect("within the limits");
    changes
}

#[test]
fn a_usual_save_goes_the_quick_way() {
    let server = Server::start(&[]);
    kit::run(async {
        for (layout, changes, expected) in TABLE {
            let store =
                RedisStore::open(&server.url(0, &format!("&connections=1&layout={layout}"))).await;
            let store = store.expect("it opens");
            let (ids, always) = (Ids::new(), Condition::Always);
            let key = ids.key(None);
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            for changes in [old_field(), counted()] {
                let applied = store.apply(&key, &changes, &always).await;
                applied.expect("Redis knows the script");
            }
            store.load(&key).await.expect("it is seen as it is");
            server.cli(&["CONFIG", "RESETSTAT"]);
            let changes = changes();
            let applied = store.apply(&key, &changes, &always).await;
            let applied = applied.expect("it answers");
            assert!(
                matches!(applied, Applied::Done { version: 4, .. }),
                "{applied:?}"
            );
            let ran = ran(&server);
            let expected = expected.iter().map(|name| ((*name).to_owned(), 1));
            assert_eq!(ran, expected.collect(), "{layout}: {changes:?}");
            let Ok(Lookup::Found(loaded)) = store.load(&key).await else {
                panic!("it is there");
            };
            let fields = &loaded.record.fields;
            assert_eq!(loaded.record.version, 4);
            for (name, _) in changes.iter() {
                assert!(
                    fields.get(name.as_str()).is_some(),
                    "{layout}: {name:?} is there"
                );
            }
        }
    });
}

/// Also where the script leaves it to Redis to add the idle limit to the present time.
#[test]
fn a_saved_session_ends_in_redis_when_its_record_says() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let lives = [
        ("idle", Lifetimes::new(minutes(30), minutes(480))),
        ("absolute", Lifetimes::new(minutes(30), minutes(30))),
        ("no idle limit", Lifetimes::fixed(minutes(60))),
    ];
    let server = Server::start(&[]);
    kit::run(async {
        for ((name, lifetimes), layout) in lives
            .iter()
            .flat_map(|life| LAYOUTS.map(|layout| (life, layout)))
        {
            server.cli(&["FLUSHALL"]);
            let store = RedisStore::open(&server.url(0, &format!("&layout={layout}"))).await;
            let store = store.expect("it opens");
            let ids = Ids::new();
            let key = ids.key(None);
            let new = NewSession {
                lifetimes: lifetimes.as_ref().copied().expect("allowed"),
                ..ids.new_session(None)
            };
            store.create(&key, &new).await.expect("created");
            for _ in 0..2 {
                // Without a life of its own before, so that none is left over.
                for key in server.cli(&["KEYS", "session:*"]).lines() {
                    server.cli(&["PERSIST", key]);
                }
                let applied = store.apply(&key, &old_field(), &Condition::Always).await;
                assert!(matches!(applied, Ok(Applied::Done { .. })), "{applied:?}");
                let Ok(Lookup::Found(loaded)) = store.load(&key).await else {
                    panic!("it is there");
                };
                let says = loaded.record.times.deadline().as_millis();
                let ends = server.cli(&["KEYS", "session:*"]);
                let ends = server.cli(&["PEXPIRETIME", ends.trim()]);
                let ends: u64 = ends.trim().parse().expect("a time");
                // For an idle limit Redis looks at its clock once more, which may be a while later.
                let late = ends.checked_sub(says).map(Duration::from_millis);
                let most = if *name == "idle" {
                    minutes(1)
                } else {
                    Duration::ZERO
                };
                assert!(
                    late.is_some_and(|late| late <= most),
                    "{name}, {layout}: the record says {says}, Redis {ends}"
                );
            }
        }
    });
}

/// How often Redis ran each command since the statistics were reset.
fn ran(server: &Server) -> BTreeMap<String, u64> {
    let stats = server.cli(&["INFO", "commandstats"]);
    let rows = stats.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let calls = rest.strip_prefix("calls=")?.split(',').next()?;
        Some((name.to_owned(), calls.parse().ok()?))
    });
    let own =
        |name: &str| name != "info" && !name.starts_with("config") && !name.starts_with("client");
    rows.filter(|(name, _)| own(name)).collect()
}
