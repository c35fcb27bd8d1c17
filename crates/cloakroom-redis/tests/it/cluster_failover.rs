//! Slots that move in a cluster under load, and replicas that are promoted without knowing all: what was
//! acknowledged, and what is there during it and afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloakroom_core::record::{Changes, Condition};
use cloakroom_core::store::{Applied, Lookup, Rotated};
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::cluster::{self, Cluster, is_primary};
use crate::kit::{self, Ids};
use crate::server::Server;

/// A session and its tag's epoch are on different nodes while their slot moves, either way round. The
/// session lives; writes wait until both are together again.
#[test]
fn a_slot_that_moves_ends_nothing() {
    let cluster = Cluster::without_replicas();
    kit::run(async {
        for way in kit::WAYS {
            for moves_first in ["session:", "session-epoch:"] {
                let url = cluster.url(&format!("timeout=20000{way}"));
                let store = RedisStore::open(&url).await.expect("it opens");
                let ids = Ids::new();
                let key = ids.key(None);
                let created = store.create(&key, &ids.new_session(None)).await;
                created.expect("created");
                let moving = Moving::begin(&cluster, key.tag().number());
                moving.keys(|name| name.starts_with(moves_first));
                let found = store.load(&key).await.expect("it answers");
                let lives = matches!(found, Lookup::Found(_));
                assert!(lives, "{way}, {moves_first} moved: {found:?}");
                let changes = kit::sets("a", "1");
                let write = store.apply(&key, &changes, &Condition::Always);
                let rest = async {
                    // Let the write meet the slot in two halves at least once.
                    tokio::task::yield_now().await;
                    moving.keys(|_| true);
                    moving.finish();
                };
                let (written, ()) = tokio::join!(write, rest);
                let written = written.expect("it is done when both are together");
                assert!(
                    matches!(written, Applied::Done { .. }),
                    "{way}: {written:?}"
                );
                assert!(store.destroy(&key).await.expect("it answers"), "{way}");
            }
        }
    });
}

#[test]
fn slots_that_move_under_load() {
    for parameters in ["", "&scripts=never&layout=fields"] {
        let all = run(parameters, |cluster| {
            cluster.move_slots(0, 1, 1200);
        });
        assert_eq!(
            (all.lost, all.undone, all.gone, all.wrong),
            (0, 0, 0, 0),
            "{parameters}"
        );
    }
}

/// A replica that missed revocations is promoted. It is told again before it is asked, also of the ids from
/// before logins.
///
/// For as long as it could be promoted, ends wait for it in either mode, and are refused; that it does not
/// replicate is nothing that the primaries tell each other. So it hangs until they say that it has failed,
/// which excuses it, and is back when the primary dies.
#[test]
fn what_a_replica_missed_is_told_again() {
    let mut cluster = Cluster::start();
    let url = cluster.url("timeout=1000&durability=fast");
    kit::run(async {
        let store = kit::open_patiently(&url).await;
        let (ids, mut over) = (Ids::new(), Vec::new());
        for number in 0..60 {
            let user = kit::subject(&format!("user{number}"));
            let key = ids.key(Some(&user));
            let created = store.create(&key, &ids.new_session(Some(&user))).await;
            created.expect("created");
            over.push((key, user));
        }
        let visitors: Vec<_> = (0..60).map(|_| ids.key(None)).collect();
        for key in &visitors {
            let created = store.create(key, &ids.new_session(None)).await;
            created.expect("created");
        }
        cluster.wait_until_whole();
        cut_off(&cluster.nodes[0], &cluster.nodes[3]);
        cluster.nodes[3].signal("STOP");
        let failed = format!(":{}@", cluster.nodes[3].port);
        cluster.wait("a replica that has failed", || {
            cluster.nodes[..3].iter().all(|node| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                let line = nodes.lines().find(|line| line.contains(&failed));
                line.is_some_and(|line| line.contains("slave,fail"))
            })
        });
        for (number, (key, user)) in over.iter().enumerate() {
            // It is refused until this process has heard of it as well.
            let start = Instant::now();
            while let Err(error) = match number % 2 {
                0 => store.destroy(key).await.map(drop),
                _ => store.revoke_subject(user, None).await.map(drop),
            } {
                let in_time = start.elapsed() < Duration::from_secs(30);
                assert!(error.is_retryable() && in_time, "{error:?}");
            }
        }
        for key in &visitors {
            let user = kit::subject("visitor");
            let new = ids.key(Some(&user));
            let moved = store.rotate(key, &new, &kit::login(&user, None)).await;
            assert!(matches!(moved, Ok(Rotated::Done(_))), "{moved:?}");
        }
        cluster.nodes[0].kill();
        cluster.nodes[3].signal("CONT");
        cluster.wait("a new primary", || is_primary(&cluster.nodes[3]));
        let all = over.iter().map(|(key, _)| key).chain(&visitors);
        assert_eq!(
            cluster::alive(&store, all).await,
            0,
            "revoked sessions that live"
        );
    });
}

#[test]
fn a_mass_revocation_that_a_replica_missed_is_told_again() {
    let mut cluster = Cluster::start();
    let url = cluster.url("timeout=1000&durability=fast&layout=fields");
    kit::run(async {
        let store = kit::open_patiently(&url).await;
        let ids = Ids::new();
        let [old, young]: [Vec<_>; 2] =
            [60, 60].map(|count| (0..count).map(|_| ids.key(None)).collect());
        for key in &old {
            let created = store.create(key, &ids.new_session(None)).await;
            created.expect("created");
        }
        cluster.wait_until_whole();
        // Ends open connections that count on the replica; the first try of the revocation is not
        // confirmed then, and what the tags said to it is not heard.
        for _ in 0..30 {
            let key = ids.key(None);
            let created = store.create(&key, &ids.new_session(None)).await;
            created.expect("created");
            assert!(store.destroy(&key).await.expect("destroyed"));
        }
        cut_off(&cluster.nodes[0], &cluster.nodes[3]);
        // It may be refused, because that replica could be promoted. It is noted then as well.
        if let Err(error) = store.revoke_all().await {
            assert!(error.is_retryable(), "{error:?}");
        }
        let first = &cluster.nodes[0];
        let kept: Vec<_> = young
            .into_iter()
            .filter(|key| {
                cluster
                    .owner(cluster::slot_of(first, key.tag().number()))
                    .port
                    != first.port
            })
            .collect();
        for key in &kept {
            let created = store.create(key, &ids.new_session(None)).await;
            created.expect("created");
        }
        cluster.nodes[0].kill();
        cluster.wait("a new primary", || is_primary(&cluster.nodes[3]));
        assert_eq!(
            cluster::alive(&store, &old).await,
            0,
            "revoked sessions that live"
        );
        assert_eq!(
            cluster::alive(&store, &kept).await,
            kept.len(),
            "younger sessions"
        );
    });
}

/// Stops the replication from one node to another; the replica stays what it is.
fn cut_off(primary: &Server, replica: &Server) {
    cluster::ok(replica, &["CONFIG", "SET", "masterauth", "wrong"]);
    cluster::ok(replica, &["CONFIG", "SET", "masteruser", "nobody"]);
    primary.cli(&["CLIENT", "KILL", "TYPE", "replica"]);
    for _ in 0..500 {
        let info = primary.cli(&["INFO", "replication"]);
        if info.contains("connected_slaves:0") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the replica is still there");
}

/// A slot on its way from its owner to another primary.
pub(crate) struct Moving<'a> {
    from: &'a Server,
    to: &'a Server,
    slot: String,
}

impl<'a> Moving<'a> {
    pub(crate) fn begin(cluster: &'a Cluster, tag: u16) -> Self {
        let number = cluster::slot_of(&cluster.nodes[0], tag);
        let from = cluster.owner(number);
        let mut others = cluster.nodes.iter().filter(|node| node.port != from.port);
        let to = others.next().expect("there are others");
        let slot = number.to_string();
        let [source, target] = [from, to].map(|node| node.cli(&["CLUSTER", "MYID"]));
        cluster::ok(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        cluster::ok(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
        Self { from, to, slot }
    }

    /// Moves these keys.
    pub(crate) fn keys(&self, is_one: impl Fn(&str) -> bool) {
        let names = self
            .from
            .cli(&["--raw", "CLUSTER", "GETKEYSINSLOT", &self.slot, "100"]);
        let port = self.to.port.to_string();
        for name in names.lines().filter(|name| is_one(name)) {
            let words = ["MIGRATE", "127.0.0.1", &port, name, "0", "5000"];
            cluster::ok(self.from, &words);
        }
    }

    pub(crate) fn finish(&self) {
        let target = self.to.cli(&["CLUSTER", "MYID"]);
        for node in [self.to, self.from] {
            cluster::ok(node, &["CLUSTER", "SETSLOT", &self.slot, "NODE", &target]);
        }
    }
}

/// What writers were told, and what was there afterwards.
#[derive(Debug, Default)]
struct History {
    /// Sessions that live, with how often a count in them was raised, and perhaps more.
    alive: Vec<(StoredKey, i64, i64)>,
    ended: Vec<StoredKey>,
    refused: usize,
    /// Live sessions that were said to be none, while it happened.
    gone: usize,
    longest: Duration,
    gap: Duration,
    /// Live sessions that are not there, counts that are not right, and ended ones that live.
    lost: usize,
    wrong: usize,
    undone: usize,
}

/// Runs writers, lets `trouble` happen in the middle, and compares what was acknowledged with what is
/// there.
fn run(parameters: &str, trouble: impl FnOnce(&mut Cluster)) -> History {
    let mut cluster = Cluster::start();
    let url = cluster.url(&format!("timeout=1000{parameters}"));
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let store = Arc::new(runtime.block_on(kit::open_patiently(&url)));
    let writers: Vec<_> = (0..8)
        .map(|_| runtime.spawn(write(Arc::clone(&store), Arc::clone(&stop))))
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    trouble(&mut cluster);
    cluster.wait("a primary for every slot", || {
        let living = cluster
            .nodes
            .iter()
            .filter(|node| node.cli(&["PING"]) == "PONG");
        let mut primaries = 0;
        let mut whole = true;
        for node in living {
            primaries += usize::from(is_primary(node));
            whole &= node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        }
        whole && primaries == 3
    });
    std::thread::sleep(Duration::from_secs(2));
    stop.store(true, Ordering::SeqCst);
    let mut all = History::default();
    for writer in writers {
        let one = runtime.block_on(writer).expect("no writer panics");
        all.alive.extend(one.alive);
        all.ended.extend(one.ended);
        all.refused += one.refused;
        all.gone += one.gone;
        all.longest = all.longest.max(one.longest);
        all.gap = all.gap.max(one.gap);
    }
    runtime.block_on(compare(&store, &mut all));
    eprintln!(
        "{parameters}: {} sessions live and {} ended as acknowledged, {} calls refused, longest call \
         {:?}, longest gap {:?}; {} reported gone, {} lost, {} undone, {} counts wrong",
        all.alive.len(),
        all.ended.len(),
        all.refused,
        all.longest,
        all.gap,
        all.gone,
        all.lost,
        all.undone,
        all.wrong
    );
    assert!(
        all.alive.len() > 50 && all.ended.len() > 50,
        "hardly anything was tried"
    );
    all
}

async fn compare(store: &RedisStore, all: &mut History) {
    for (key, least, perhaps) in &all.alive {
        match store.load(key).await.expect("the cluster is whole") {
            Lookup::Found(loaded) => {
                let count = loaded.record.fields.get("n");
                let text = count.map(|value| String::from_utf8_lossy(value.bytes).into_owned());
                let count: i64 = text.and_then(|text| text.parse().ok()).unwrap_or_default();
                all.wrong += usize::from(!(*least..=*least + *perhaps).contains(&count));
            }
            Lookup::Absent(_) => all.lost += 1,
        }
    }
    for key in &all.ended {
        let found = store.load(key).await.expect("the cluster is whole");
        all.undone += usize::from(matches!(found, Lookup::Found(_)));
    }
}

/// Begins sessions, counts in them, signs some in, ends some, until told to stop.
async fn write(store: Arc<RedisStore>, stop: Arc<AtomicBool>) -> History {
    let mut history = History::default();
    let mut last = Instant::now();
    while !stop.load(Ordering::SeqCst) {
        if one(&store, &mut history).await.is_err() {
            history.refused += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        history.gap = history.gap.max(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    history
}

/// The life of one session. Fails if it is not known what became of it.
async fn one(store: &RedisStore, history: &mut History) -> Result<(), cloakroom_core::Error> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    let ids = Ids::new();
    let mut key = ids.key(None);
    timed(history, store.create(&key, &ids.new_session(None))).await?;
    let (mut least, mut perhaps) = (0, 0);
    for _ in 0..3 {
        let mut changes = Changes::new();
        changes.increment("n", 1).expect("a name");
        match timed(history, store.apply(&key, &changes, &Condition::Always)).await {
            Ok(Applied::Done { .. }) => least += 1,
            Ok(_) => history.gone += 1,
            Err(_) => perhaps += 1,
        }
        match timed(history, store.load(&key)).await {
            Ok(Lookup::Absent(_)) => history.gone += 1,
            Ok(Lookup::Found(_)) | Err(_) => {}
        }
    }
    if number.is_multiple_of(3) {
        let user = kit::subject(&format!("user{number}"));
        let new = ids.key(Some(&user));
        let login = kit::login(&user, None);
        match timed(history, store.rotate(&key, &new, &login)).await? {
            Rotated::Done(_) => {
                history.ended.push(key);
                key = new;
            }
            Rotated::Absent(_) => {
                history.gone += 1;
                return Ok(());
            }
        }
    }
    if number.is_multiple_of(2) {
        if timed(history, store.destroy(&key)).await? {
            history.ended.push(key);
        }
        return Ok(());
    }
    history.alive.push((key, least, perhaps));
    Ok(())
}

async fn timed<T>(history: &mut History, call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = call.await;
    history.longest = history.longest.max(began.elapsed());
    result
}
