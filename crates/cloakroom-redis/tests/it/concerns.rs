//! What is to be worried about in a server that works is told once for each server, and a server that
//! does not say how it is set up is used like any other.

use std::sync::{Arc, Mutex};

use cloakroom_core::Store;
use cloakroom_core::observe::{Concern, Event, Observer};
use cloakroom_redis::{RedisStore, Settings};

use crate::kit::{self, Ids};
use crate::server::Server;

/// Remembers what it is told.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<Event>>);

impl Told {
    pub(crate) fn concerns(&self) -> Vec<Concern> {
        let told = self.0.lock().expect("nobody panicked");
        let concerns = told.iter().map(|event| match event {
            Event::StoreConcern(concern) => *concern,
            other => panic!("{other:?} is no concern"),
        });
        concerns.collect()
    }
}

impl Observer for Told {
    fn observe(&self, event: &Event) {
        self.0.lock().expect("nobody panicked").push(event.clone());
    }
}

pub(crate) async fn open(url: &str, told: &Arc<Told>) -> RedisStore {
    let observer: Arc<dyn Observer> = Arc::clone(told) as _;
    let settings = Settings::parse(url).expect("a URL").observer(observer);
    RedisStore::connect(&settings).await.expect("it opens")
}

#[test]
fn each_way_to_keep_memory_is_told() {
    let cases: [(&[&str], &[Concern]); 4] = [
        (&[], &[Concern::NoMemoryLimit]),
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"],
            &[],
        ),
        (&["--maxmemory", "100mb"], &[]),
        (
            &["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"],
            &[Concern::EvictsEverything],
        ),
    ];
    kit::run(async {
        for (settings, concerns) in cases {
            let server = Server::start(settings);
            for protocol in ["", "&protocol=resp3"] {
                let told = Arc::default();
                open(&server.url(0, protocol), &told).await;
                assert_eq!(told.concerns(), concerns, "{settings:?}{protocol}");
            }
        }
    });
}

#[test]
fn a_server_that_will_soon_refuse_is_told() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let info = server.cli(&["INFO", "memory"]);
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.expect("it tells").trim().parse().expect("a number");
    server.cli(&["CONFIG", "SET", "maxmemory", &(used * 11 / 10).to_string()]);
    kit::run(async {
        let told = Arc::default();
        open(&server.url(0, ""), &told).await;
        assert_eq!(told.concerns(), [Concern::NearlyFull]);
    });
}

/// Once, however many connections are opened; and once more for the server that takes its place.
#[test]
fn a_server_is_told_once() {
    let mut server = Server::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    kit::run(async {
        let told = Arc::default();
        let store = open(&server.url(0, "&connections=8"), &told).await;
        let key = Ids::new().key(None);
        for _ in 0..3 {
            for _ in 0..8 {
                store.load(&key).await.expect("it answers");
            }
            server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        assert_eq!(told.concerns(), [Concern::EvictsEverything]);
        server.kill_and_restart();
        for _ in 0..8 {
            store.load(&key).await.expect("it answers again");
        }
        assert_eq!(told.concerns(), [Concern::EvictsEverything; 2]);
    });
}

/// Providers forbid CONFIG, careful people INFO: where one answers that is enough, and where none does
/// the store works.
#[test]
fn a_server_that_does_not_say_is_used_all_the_same() {
    let cases: [(&[&str], &[Concern]); 3] = [
        (&["+info"], &[Concern::NoMemoryLimit]),
        (&["+config|get"], &[Concern::NoMemoryLimit]),
        (&[], &[]),
    ];
    kit::run(async {
        for (rights, concerns) in cases {
            let mut settings = vec!["--user", "app", "on", ">secret", "~*", "+@all"];
            settings.extend(["-@dangerous", "-config", "-info"]);
            settings.extend(rights);
            let server = Server::start(&settings);
            let url = format!("redis://app:secret@127.0.0.1:{}?timeout=30000", server.port);
            let told = Arc::default();
            let store = open(&url, &told).await;
            assert_eq!(told.concerns(), concerns, "{rights:?}");
            let ids = Ids::new();
            let created = store.create(&ids.key(None), &ids.new_session(None)).await;
            created.expect("it is used all the same");
            // Connections that do not tell which server they lead to are no new servers.
            for _ in 0..4 {
                server.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
                store.load(&ids.key(None)).await.expect("it answers");
            }
            assert_eq!(told.concerns(), concerns, "{rights:?}, once");
        }
    });
}
