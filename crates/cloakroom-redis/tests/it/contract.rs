//! The whole contract kit, in both layouts, over every way to reach one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloakroom_core::session::{BoxFuture, Spawn};
use cloakroom_core::testkit::{CASES, Fresh, Report, StoreFactory, Time, Verdict};
use cloakroom_redis::RedisStore;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::cluster::Cluster;
use crate::constellation::Constellation;
use crate::server::{Brand, Server};

/// What a user needs, by the rows of the table there.
const DOCUMENTED: &str = include_str!("../../../../docs/formats/redis-keys.md");
const RIGHTS: &str = "every store";
const SCRIPTS: &str = "scripts";
const NO_SCRIPTS: &str = "no scripts";
/// So that a load need not ask for the epoch; the ways without scripts do without.
const TRACKING: &str = "loads of one command";
const PLAIN: &str = "`ids=plain`";
const REPLICAS: &str = "replicas";
const CLUSTER: &str = "a cluster";
/// One way does without.
const CLUSTER_WISH: &str = "a cluster, wished for";
const BEHIND_SENTINEL: &str = "behind Sentinel, at the servers";
const AT_SENTINELS: &str = "at the sentinels";

/// A case that takes longer hangs. It bounds a test run that would not end, and nothing else: on a busy
/// machine a case of many steps may take minutes.
const HANGS: Duration = Duration::from_secs(600);

#[test]
fn packed() {
    check(&Server::start(&[]), |server, number| server.url(number, ""));
}

#[test]
fn fields() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&layout=fields")
    });
}

#[test]
fn plain_ids() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&ids=plain")
    });
}

#[test]
fn plain_ids_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[PLAIN]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&ids=plain")
    });
}

#[test]
fn packed_without_scripting() {
    check(&with_rights(&[NO_SCRIPTS]), |server, number| {
        format!(
            "redis://app:secret@127.0.0.1:{}/{number}?timeout=30000",
            server.port
        )
    });
}

#[test]
fn fields_without_scripting() {
    check(&with_rights(&[NO_SCRIPTS]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&layout=fields")
    });
}

#[test]
fn packed_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[SCRIPTS, TRACKING]), |server, number| {
        format!(
            "redis://app:secret@127.0.0.1:{}/{number}?timeout=30000",
            server.port
        )
    });
}

#[test]
fn fields_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[SCRIPTS, TRACKING]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&layout=fields")
    });
}

#[test]
fn packed_over_tls_with_a_password() {
    check(
        &Server::start_tls(&["--requirepass", "p@ss/word"]),
        |server, number| {
            let ca = server.directory.join("ca.pem");
            let port = server.tls_port.expect("it speaks TLS");
            let base = format!("rediss://:p%40ss%2Fword@127.0.0.1:{port}/{number}");
            format!("{base}?timeout=30000&ca={}", ca.display())
        },
    );
}

#[test]
fn fields_over_resp3() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&layout=fields&protocol=resp3&connections=1")
    });
}

#[test]
fn packed_over_a_unix_socket() {
    check(&Server::start(&[]), |server, number| {
        let socket = server.directory.join("redis.sock");
        format!(
            "unix:{}?db={number}&timeout=30000&protocol=resp3",
            socket.display()
        )
    });
}

#[test]
fn packed_behind_sentinel() {
    let constellation = Constellation::start();
    let url = |number| constellation.url(number, "timeout=30000");
    check_urls((0..CASES.len()).map(url).collect());
}

#[test]
fn fields_behind_sentinel_without_scripting_and_no_more_rights_than_it_needs() {
    let servers = user(&[NO_SCRIPTS, REPLICAS, BEHIND_SENTINEL]);
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let sentinels = format!("user app on >secret {}\n", documented(AT_SENTINELS));
    let constellation = Constellation::start_with(&servers, &sentinels);
    let url = |number| {
        let rest = "timeout=30000&layout=fields&sentinel-user=app&sentinel-password=secret";
        let url = constellation.url(number, rest);
        url.replace("redis+sentinel://", "redis+sentinel://app:secret@")
    };
    check_urls((0..CASES.len()).map(url).collect());
}

#[test]
fn packed_on_valkey() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| server.url(number, ""));
}

#[test]
fn fields_on_valkey() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&layout=fields")
    });
}

#[test]
fn packed_on_valkey_without_scripting() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never")
    });
}

#[test]
fn fields_on_valkey_without_scripting() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never&layout=fields")
    });
}

#[test]
fn packed_on_the_newest_redis() {
    let server = Server::start_brand(Brand::NewestRedis, &[]);
    check(&server, |server, number| server.url(number, ""));
}

#[test]
fn packed_on_the_newest_redis_without_scripting() {
    let server = Server::start_brand(Brand::NewestRedis, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never")
    });
}

#[test]
fn fields_on_the_newest_redis() {
    let server = Server::start_brand(Brand::NewestRedis, &[]);
    check(&server, |server, number| {
        server.url(number, "&layout=fields")
    });
}

#[test]
fn packed_in_a_cluster() {
    check_clustered(Cluster::start, |cluster| cluster.url("timeout=30000"));
}

#[test]
fn fields_in_a_cluster_with_no_more_rights_than_it_needs() {
    let rights = [SCRIPTS, TRACKING, REPLICAS, CLUSTER, CLUSTER_WISH];
    check_clustered(
        || Cluster::start_with(&user(&rights)),
        |cluster| as_app(&cluster.url("timeout=30000&layout=fields")),
    );
}

#[test]
fn packed_in_a_cluster_without_scripting_and_no_more_rights_than_it_needs() {
    check_clustered(
        || Cluster::start_with(&user(&[NO_SCRIPTS, REPLICAS, CLUSTER])),
        |cluster| as_app(&cluster.url("timeout=30000")),
    );
}

#[test]
fn fields_in_a_cluster_without_scripting_over_tls() {
    check_clustered(Cluster::start_tls, |cluster| {
        cluster.tls_url("timeout=30000&scripts=never&layout=fields")
    });
}

/// Saves go by `SET .. IFEQ` there.
#[test]
fn packed_in_a_cluster_of_valkey() {
    check_clustered(
        || Cluster::start_as(Brand::Valkey),
        |cluster| cluster.url("timeout=30000"),
    );
}

fn as_app(url: &str) -> String {
    url.replace("redis+cluster://", "redis+cluster://app:secret@")
}

/// Settings that give a server a user `app` with these rights besides those for every store.
fn user(rows: &[&str]) -> Vec<String> {
    let rows = [RIGHTS].into_iter().chain(rows.iter().copied());
    let rights = rows.map(documented).collect::<Vec<_>>().join(" ");
    let user = ["--user", "app", "on", ">secret"].into_iter();
    user.chain(rights.split_whitespace())
        .map(str::to_owned)
        .collect()
}

/// The rights in the row of this name.
fn documented(name: &str) -> String {
    let start = format!("| {name} | `");
    let row = DOCUMENTED
        .lines()
        .find_map(|line| line.strip_prefix(&start));
    let row = row.unwrap_or_else(|| panic!("no row for {name:?}"));
    row.trim_end_matches("` |").replace("\\|", "|")
}

/// A server whose user `app` has just the rights that are documented.
fn with_rights(rows: &[&str]) -> Server {
    let settings = user(rows);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start(&settings)
}

/// Runs every case, each in a database of its own, many at a time: most of them wait.
fn check(server: &Server, url: impl Fn(&Server, usize) -> String) {
    check_urls((0..CASES.len()).map(|number| url(server, number)).collect());
}

pub(crate) fn check_urls(urls: Vec<String>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let factory = Arc::new(Factory {
        urls,
        next: AtomicUsize::new(0),
        handle: runtime.handle().clone(),
    });
    let report = runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(8));
        let running: Vec<_> = CASES
            .iter()
            .map(|case| {
                let (factory, permits) = (Arc::clone(&factory), Arc::clone(&permits));
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    match tokio::time::timeout(HANGS, case.check(&*factory)).await {
                        Ok(verdict) => (*case, verdict),
                        Err(_) => (*case, Verdict::Broken("it hangs".to_owned())),
                    }
                })
            })
            .collect();
        let mut results = Vec::new();
        for case in running {
            results.push(case.await.expect("a case catches its panics"));
        }
        Report(results)
    });
    judge(&report);
}

/// Runs every case in a cluster that is empty. A cluster has one database, so there are some clusters,
/// and each case has one alone.
fn check_clustered(start: impl Fn() -> Cluster + Sync, url: impl Fn(&Cluster) -> String + Sync) {
    const CLUSTERS: usize = 3;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let next = AtomicUsize::new(0);
    let results = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLUSTERS {
            scope.spawn(|| {
                let cluster = start();
                while let Some(case) = CASES.get(next.fetch_add(1, Ordering::SeqCst)) {
                    cluster.flush();
                    let factory = Factory {
                        urls: vec![url(&cluster)],
                        next: AtomicUsize::new(0),
                        handle: runtime.handle().clone(),
                    };
                    let checked = runtime.block_on(async {
                        tokio::time::timeout(HANGS, case.check(&factory)).await
                    });
                    let hangs = |_| Verdict::Broken("it hangs".to_owned());
                    let verdict = checked.unwrap_or_else(hangs);
                    let mut results = results.lock().expect("no case panics");
                    results.push((*case, verdict));
                }
            });
        }
    });
    judge(&Report(results.into_inner().expect("no case panics")));
}

fn judge(report: &Report) {
    let kept = report
        .0
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::Kept)
        .count();
    let left_out = report
        .0
        .iter()
        .filter(|(_, verdict)| *verdict == Verdict::LeftOut)
        .count();
    eprintln!("{kept} kept, {left_out} left out\n{report}");
    assert!(report.is_kept(), "{report}");
    assert!(kept >= 60, "only {kept} cases ran");
}

struct Factory {
    urls: Vec<String>,
    next: AtomicUsize,
    handle: Handle,
}

impl StoreFactory for Factory {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let url = self.urls[self.next.fetch_add(1, Ordering::SeqCst)].clone();
        Box::pin(async move {
            let store = RedisStore::open(&url)
                .await
                .expect("the test's server answers");
            Fresh {
                store: Arc::new(store),
                time: Time::Real(|time| Box::pin(tokio::time::sleep(time))),
            }
        })
    }

    fn run(&self, case: BoxFuture<()>) {
        self.handle.block_on(case);
    }

    fn spawn(&self) -> Arc<dyn Spawn> {
        Arc::new(Tasks(self.handle.clone()))
    }
}

#[derive(Debug)]
struct Tasks(Handle);

impl Spawn for Tasks {
    fn spawn(&self, rest: BoxFuture<()>) {
        drop(self.0.spawn(rest));
    }
}
