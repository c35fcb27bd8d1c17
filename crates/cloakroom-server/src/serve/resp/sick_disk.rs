//! Tests of what clients are told while the disk is full, has failed, or hangs: each write says no in the words
//! that clients of Redis know, and reads go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use cloakroom_embedded::EmbeddedStore;
use cloakroom_embedded::journal::JournalState;

use super::server::Server;
use super::wired::{Client, server_of};
use crate::serve::sick::{FAILING, FULL, HANGING, WELL, sick_store};

/// A store on a disk that can fall ill, and clients of it.
struct Ill {
    dir: std::path::PathBuf,
    store: EmbeddedStore,
    illness: Arc<AtomicU8>,
    server: Arc<Server>,
}

impl Ill {
    fn new(test: &str) -> Self {
        let name = format!("cloakroom-resp-sick-{test}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let (store, illness) = sick_store(&dir);
        let server = server_of(store.engine());
        Self {
            dir,
            store,
            illness,
            server,
        }
    }

    fn connect(&self) -> Client {
        Client::of(&self.server)
    }

    fn falls(&self, illness: u8) {
        self.illness.store(illness, Ordering::SeqCst);
    }

    fn state(&self) -> JournalState {
        self.store.journal().expect("it has one").state()
    }

    async fn becomes(&self, state: JournalState) {
        while self.state() != state {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Ill {
    fn drop(&mut self) {
        self.falls(WELL);
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_reads_go_on_and_so_do_writes_when_there_is_room() {
    let ill = Ill::new("full");
    let mut client = ill.connect();
    assert_eq!(client.ask("SET key value").await, "+OK");
    ill.falls(FULL);
    // Whose write it was that found the disk full is not told that it was done.
    let mut first = ill.connect();
    first.send("SET lost value").await;
    assert_eq!(first.answer().await, None);
    assert_eq!(ill.state(), JournalState::Full);
    for write in ["SET key other", "DEL key", "EXPIRE key 10", "HSET hash f v"] {
        let said = client.ask(write).await;
        assert!(
            said.starts_with("-MISCONF ") && said.contains("full"),
            "{write}: {said}"
        );
    }
    assert_eq!(client.ask("EXISTS key").await, ":1");
    assert_eq!(client.ask("PING").await, "+PONG");
    ill.falls(WELL);
    ill.becomes(JournalState::Open).await;
    assert_eq!(client.ask("SET key other").await, "+OK");
}

#[tokio::test]
async fn after_a_failed_sync_writes_are_refused_until_a_restart() {
    let ill = Ill::new("failed");
    let mut client = ill.connect();
    assert_eq!(client.ask("SET key value").await, "+OK");
    ill.falls(FAILING);
    let mut first = ill.connect();
    first.send("SET unknown value").await;
    assert_eq!(
        first.answer().await,
        None,
        "nobody knows whether it was done"
    );
    ill.falls(WELL);
    assert_eq!(ill.state(), JournalState::Broken);
    let said = client.ask("SET key other").await;
    assert!(said.starts_with("-MISCONF "), "{said}");
    // In a transaction, too.
    assert_eq!(client.ask("MULTI").await, "+OK");
    let said = client.ask("SET key other").await;
    assert!(said.starts_with("-MISCONF "), "{said}");
    let said = client.ask("EXEC").await;
    assert!(said.starts_with("-EXECABORT "), "{said}");
    assert_eq!(client.ask("STRLEN key").await, ":5");
    let mut late = ill.connect();
    assert_eq!(late.ask("STRLEN key").await, ":5");
}

#[tokio::test]
async fn who_waits_for_a_disk_that_hangs_is_told_and_others_read() {
    let ill = Ill::new("hangs");
    let (mut client, mut reader) = (ill.connect(), ill.connect());
    assert_eq!(client.ask("SET key value").await, "+OK");
    ill.falls(HANGING);
    client.send("SET key other").await;
    assert_eq!(reader.ask("EXISTS key").await, ":1");
    let later = Instant::now() + Duration::from_secs(30);
    while ill.state() != JournalState::Stalled {
        ill.store.journal().expect("it has one").watch(later);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(
        client.answer().await,
        None,
        "nobody knows whether it was done"
    );
    let said = reader.ask("SET key third").await;
    assert!(said.starts_with("-MISCONF "), "{said}");
    assert_eq!(reader.ask("EXISTS key").await, ":1");
    ill.falls(WELL);
    ill.becomes(JournalState::Open).await;
    assert_eq!(reader.ask("SET key third").await, "+OK");
}
