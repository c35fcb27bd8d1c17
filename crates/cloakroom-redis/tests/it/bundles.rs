//! Callers of one moment share a message (`src/wire/bundle.rs`). What happens to one of them is nobody
//! else's: an error, a slot that is elsewhere, and when the connection dies under all, each is told the truth.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom_core::record::{Changes, Condition, Record};
use cloakroom_core::store::{Applied, Lookup};
use cloakroom_core::{Error, Store, StoredKey};
use cloakroom_redis::{Class, RedisStore};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::cluster_failover::Moving;
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::Server;

pub(crate) const CALLERS: usize = 64;
pub(crate) const WAYS: [&str; 2] = ["", "&layout=fields"];

/// A session of a caller's own: each has another number in it.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    store: Arc<RedisStore>,
    key: StoredKey,
    pub(crate) number: usize,
}

impl Own {
    pub(crate) async fn begin(store: &Arc<RedisStore>, count: usize) -> Vec<Self> {
        let ids = Ids::new();
        let mut all = Vec::new();
        for number in 0..count {
            let (store, key) = (Arc::clone(store), ids.key(None));
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            let changes = kit::sets("number", &number.to_string());
            let applied = store.apply(&key, &changes, &Condition::Always).await;
            assert!(matches!(applied, Ok(Applied::Done { .. })), "{applied:?}");
            all.push(Self { store, key, number });
        }
        all
    }

    /// Reads it, and sees that it is no other's.
    pub(crate) async fn load(&self) -> Result<Record, Error> {
        let record = match self.store.load(&self.key).await? {
            Lookup::Found(loaded) => loaded.record,
            Lookup::Absent(absence) => panic!("caller {}: {absence:?}", self.number),
        };
        let number = record.fields.get("number").expect("it has one").bytes;
        assert_eq!(number, self.number.to_string().as_bytes(), "another's");
        Ok(record)
    }

    pub(crate) async fn count(&self) -> Result<(), Error> {
        let mut changes = Changes::new();
        changes.increment("count", 1).expect("it may be a number");
        let always = Condition::Always;
        let applied = self.store.apply(&self.key, &changes, &always).await?;
        assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
        Ok(())
    }

    /// Reads and counts until `over`; how often it was told that it counted, and that it may have.
    async fn work(self, over: Arc<AtomicBool>) -> (u64, u64) {
        let (mut counted, mut unsure) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            match self.count().await {
                Ok(()) => counted += 1,
                Err(error) => {
                    assert!(error.is_retryable(), "{error:?}");
                    unsure += 1;
                }
            }
            if let Err(error) = self.load().await {
                assert!(error.is_retryable(), "{error:?}");
            }
        }
        let record = self.load().await.expect("there is no trouble any more");
        let count = record.fields.get("count").map(|value| value.bytes.to_vec());
        let count = String::from_utf8(count.unwrap_or_default()).expect("a number");
        let count: u64 = count.parse().unwrap_or_default();
        assert!(
            (counted..=counted + unsure).contains(&count),
            "caller {}: {count}, told {counted}, {unsure} unsure",
            self.number
        );
        (counted, unsure)
    }
}

/// Lets all work while `trouble` happens; how often anybody counted, and was unsure.
async fn all_work(all: Vec<Own>, trouble: impl FnOnce() + Send + 'static) -> (u64, u64) {
    let over = Arc::new(AtomicBool::new(false));
    let works = all.into_iter().map(|own| own.work(Arc::clone(&over)));
    let working: JoinSet<_> = works.collect();
    let troubling = tokio::task::spawn_blocking(trouble);
    troubling.await.expect("the trouble can be made");
    over.store(true, Ordering::Relaxed);
    let told = working.join_all().await.into_iter();
    told.fold((0, 0), |(counted, unsure), one| {
        (counted + one.0, unsure + one.1)
    })
}

/// One in eight keys has foreign contents.
#[test]
fn an_error_is_for_who_asked() {
    let server = Server::start(&[]);
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let url = server.url(database, &format!("{way}&connections=1"));
            let store = Arc::new(RedisStore::open(&url).await.expect("it opens"));
            let bad = Own::begin(&store, CALLERS / 8).await;
            let database = database.to_string();
            let names = server.cli(&["-n", &database, "--scan", "--pattern", "session:{*"]);
            assert_eq!(names.lines().count(), bad.len());
            for name in names.lines() {
                server.cli(&["-n", &database, "DEL", name]);
                server.cli(&["-n", &database, "RPUSH", name, "item"]);
            }
            let good = Own::begin(&store, CALLERS).await;
            for _ in 0..20 {
                let mut calls = JoinSet::new();
                for own in bad.clone() {
                    calls.spawn(async move {
                        for outcome in [own.load().await.map(drop), own.count().await] {
                            let error = outcome.expect_err("it is foreign");
                            assert_eq!(failure(&error).class(), Class::Foreign, "{error:?}");
                        }
                    });
                }
                for own in good.clone() {
                    calls.spawn(async move {
                        own.count().await.expect("it is its own");
                        own.load().await.expect("it is its own");
                    });
                }
                calls.join_all().await;
            }
            for own in &good {
                let record = own.load().await.expect("it is its own");
                let count = record.fields.get("count").expect("it counted").bytes;
                assert_eq!(count, b"20", "{way}");
            }
        }
    });
}

/// The server closes the connection again and again while bundles are on their way. What was told to be done
/// is, and nobody sees another's.
#[test]
fn a_connection_dies_half_way() {
    let server = Arc::new(Server::start(&[]));
    kit::run(async {
        for (database, way) in WAYS.into_iter().enumerate() {
            let url = server.url(database, &format!("{way}&connections=1"));
            let store = Arc::new(RedisStore::open(&url).await.expect("it opens"));
            let all = Own::begin(&store, CALLERS).await;
            let killing = Arc::clone(&server);
            let (counted, unsure) = all_work(all, move || {
                for _ in 0..40 {
                    killing.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
            .await;
            eprintln!("{way}: {counted} counted, {unsure} unsure");
            assert!(counted > 100, "{way}: {counted}");
            assert!(unsure > 0, "{way}: no call was under way when it died");
        }
    });
}

/// Slots move under them, so that one has to go elsewhere (`ASK`, `MOVED`) whose neighbours were answered.
#[test]
fn one_has_to_go_elsewhere() {
    let cluster = Arc::new(Cluster::without_replicas());
    kit::run(async {
        for way in WAYS {
            let url = cluster.url(&format!("timeout=30000&connections=1{way}"));
            let store = Arc::new(RedisStore::open(&url).await.expect("it opens"));
            let all = Own::begin(&store, CALLERS).await;
            // One of them after another, and each is on its way for a while.
            let tags: BTreeSet<u16> = all.iter().map(|own| own.key.tag().number()).collect();
            let moving = Arc::clone(&cluster);
            let (counted, unsure) = all_work(all, move || {
                for tag in tags.into_iter().take(8) {
                    let slot = Moving::begin(&moving, tag);
                    slot.keys(|name| name.starts_with("session:"));
                    std::thread::sleep(Duration::from_millis(50));
                    slot.keys(|_| true);
                    std::thread::sleep(Duration::from_millis(50));
                    slot.finish();
                }
            })
            .await;
            eprintln!("{way}: {counted} counted, {unsure} unsure");
            assert!(counted > 100, "{way}: {counted}");
            assert_eq!(unsure, 0, "{way}: nothing broke");
            cluster.flush();
        }
    });
}

/// More messages than may be on their way to a server that hangs: who waits for a turn waits no longer than
/// who was sent. Told by the order in which callers end, beside one that has half as much time again.
#[test]
fn who_waits_for_a_turn_has_no_more_time_than_others() {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime starts").block_on(async {
        let open = async |timeout: u64| {
            let parameters = format!("?timeout={timeout}&connections=1");
            let url = format!("redis://127.0.0.1:{}/0{parameters}", server.port);
            Arc::new(RedisStore::open(&url).await.expect("it opens"))
        };
        let mut patient = Own::begin(&open(3_000).await, 1).await;
        let all = Own::begin(&open(2_000).await, CALLERS).await;
        server.signal("STOP");
        let (mut callers, mut first) = (JoinSet::new(), None);
        for own in patient.drain(..).chain(all) {
            let call = async move { own.count().await.expect_err("the server hangs") };
            let id = callers.spawn(call).id();
            first.get_or_insert(id);
            // Its message goes before the next caller comes, as long as one may go.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        let last = callers.len();
        for at in 1..=last {
            let told = callers.join_next_with_id().await;
            let (id, error) = told.expect("not all").expect("it ends");
            assert_eq!(failure(&error).class(), Class::Timeout, "{error:?}");
            let is_patient = first == Some(id);
            assert_eq!(is_patient, at == last, "{at} of {last}");
        }
        server.signal("CONT");
    });
}
