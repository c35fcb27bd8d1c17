//! What is to be worried about in a server that works is told once for each server, and a server that
//! does not say how it is set up is used like any other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::Store;
use cloakroom_core::observe::{Concern, Event, Observer};
use cloakroom_redis::{RedisStore, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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

    /// Waits until these were told.
    async fn wait_for(&self, concerns: &[Concern]) {
        for _ in 0..6000 {
            if self.concerns().len() >= concerns.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.concerns(), concerns);
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
        told.wait_for(&[Concern::EvictsEverything; 2]).await;
        // Of the connections to come nothing is told.
        for _ in 0..8 {
            store.load(&key).await.expect("it answers");
        }
        assert_eq!(told.concerns(), [Concern::EvictsEverything; 2]);
    });
}

/// Visitors need not wait until a new server has said how it is set up: here it only says so when one was served.
#[test]
fn nobody_waits_for_what_a_server_tells() {
    let mut server = Server::start(&[]);
    kit::run(async {
        let holds = Arc::new(AtomicBool::new(false));
        let port = holding_back(server.port, Arc::clone(&holds)).await;
        let told = Arc::default();
        let url = format!("redis://127.0.0.1:{port}?connections=1&timeout=30000");
        let store = open(&url, &told).await;
        assert_eq!(told.concerns(), [Concern::NoMemoryLimit]);
        holds.store(true, Ordering::SeqCst);
        server.kill_and_restart();
        let loaded = store.load(&Ids::new().key(None)).await;
        loaded.expect("it answers again");
        told.wait_for(&[Concern::NoMemoryLimit; 2]).await;
    });
}

/// Stands before a server. While it holds back, who asks for the memory is not let through before a session was
/// asked for.
async fn holding_back(server: u16, holds: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let (loaded, loads) = tokio::sync::watch::channel(false);
        let loaded = Arc::new(loaded);
        while let Ok((client, _)) = listener.accept().await {
            let Ok(backend) = TcpStream::connect(("127.0.0.1", server)).await else {
                continue;
            };
            let (mut asks, mut hears) = client.into_split();
            let (mut answers, mut told) = backend.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
            let (holds, loaded, mut loads) =
                (Arc::clone(&holds), Arc::clone(&loaded), loads.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = asks.read(&mut buffer).await {
                    let words = String::from_utf8_lossy(&buffer[..read]);
                    if holds.load(Ordering::SeqCst) && words.contains("session:{") {
                        loaded.send_replace(true);
                    } else if holds.load(Ordering::SeqCst) && words.contains("memory\r\n") {
                        let asked = loads.wait_for(|loaded| *loaded).await;
                        asked.expect("it stands there as long as the test");
                    }
                    told.write_all(&buffer[..read]).await?;
                }
                std::io::Result::Ok(())
            });
        }
    });
    port
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
