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
use crate::histories::side_by_side;
use crate::overtaken::{UNITS, begins, judge, wait};
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

#[test]
fn one_server() {
    side_by_side(&[packed, fields, plain_ids]);
}

#[test]
fn one_server_over_resp3_a_socket_and_tls() {
    side_by_side(&[
        fields_over_resp3,
        packed_over_a_unix_socket,
        packed_over_tls_with_a_password,
    ]);
}

#[test]
fn no_more_rights_than_it_needs() {
    side_by_side(&[
        packed_with_no_more_rights_than_it_needs,
        fields_with_no_more_rights_than_it_needs,
        plain_ids_with_no_more_rights_than_it_needs,
    ]);
}

#[test]
fn without_scripting() {
    side_by_side(&[packed_without_scripting, fields_without_scripting]);
}

#[test]
fn behind_sentinel() {
    side_by_side(&[
        packed_behind_sentinel,
        fields_behind_sentinel_without_scripting_and_no_more_rights_than_it_needs,
    ]);
}

#[test]
fn valkey() {
    side_by_side(&[packed_on_valkey, fields_on_valkey]);
}

#[test]
fn valkey_without_scripting() {
    side_by_side(&[
        packed_on_valkey_without_scripting,
        fields_on_valkey_without_scripting,
    ]);
}

#[test]
fn the_newest_redis() {
    side_by_side(&[
        packed_on_the_newest_redis,
        packed_on_the_newest_redis_without_scripting,
        fields_on_the_newest_redis,
    ]);
}

fn packed() {
    check(&Server::start(&[]), |server, number| server.url(number, ""));
}

fn fields() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&layout=fields")
    });
}

fn plain_ids() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&ids=plain")
    });
}

fn plain_ids_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[PLAIN]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&ids=plain")
    });
}

fn packed_without_scripting() {
    check(&with_rights(&[NO_SCRIPTS]), |server, number| {
        format!(
            "redis://app:secret@127.0.0.1:{}/{number}?timeout=30000",
            server.port
        )
    });
}

fn fields_without_scripting() {
    check(&with_rights(&[NO_SCRIPTS]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&layout=fields")
    });
}

fn packed_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[SCRIPTS, TRACKING]), |server, number| {
        format!(
            "redis://app:secret@127.0.0.1:{}/{number}?timeout=30000",
            server.port
        )
    });
}

fn fields_with_no_more_rights_than_it_needs() {
    check(&with_rights(&[SCRIPTS, TRACKING]), |server, number| {
        let base = format!("redis://app:secret@127.0.0.1:{}/{number}", server.port);
        format!("{base}?timeout=30000&layout=fields")
    });
}

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

fn fields_over_resp3() {
    check(&Server::start(&[]), |server, number| {
        server.url(number, "&layout=fields&protocol=resp3&connections=1")
    });
}

fn packed_over_a_unix_socket() {
    check(&Server::start(&[]), |server, number| {
        let socket = server.directory.join("redis.sock");
        format!(
            "unix:{}?db={number}&timeout=30000&protocol=resp3",
            socket.display()
        )
    });
}

fn packed_behind_sentinel() {
    let constellation = Constellation::start();
    let url = |number| constellation.url(number, "timeout=30000");
    check_urls(url);
}

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
    check_urls(url);
}

fn packed_on_valkey() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| server.url(number, ""));
}

fn fields_on_valkey() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&layout=fields")
    });
}

fn packed_on_valkey_without_scripting() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never")
    });
}

fn fields_on_valkey_without_scripting() {
    let server = Server::start_brand(Brand::Valkey, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never&layout=fields")
    });
}

fn packed_on_the_newest_redis() {
    let server = Server::start_brand(Brand::NewestRedis, &[]);
    check(&server, |server, number| server.url(number, ""));
}

fn packed_on_the_newest_redis_without_scripting() {
    let server = Server::start_brand(Brand::NewestRedis, &[]);
    check(&server, |server, number| {
        server.url(number, "&scripts=never")
    });
}

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
    check_urls(|number| url(server, number));
}

/// The same, by the URL of each database: as many as there may be tries.
pub(crate) fn check_urls(url: impl Fn(usize) -> String) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let urls = (0..CASES.len() * UNITS.len()).map(url).collect();
    let databases = Arc::new(Databases {
        urls,
        next: AtomicUsize::new(0),
    });
    let handle = runtime.handle().clone();
    let report = runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(8));
        let running: Vec<_> = CASES
            .iter()
            .map(|case| {
                let (databases, permits) = (Arc::clone(&databases), Arc::clone(&permits));
                let handle = handle.clone();
                tokio::spawn(async move {
                    let _permit = permits.acquire().await;
                    let factory = |unit| Factory {
                        url: databases.next(),
                        handle: handle.clone(),
                        unit,
                    };
                    (*case, judge(case, factory).await)
                })
            })
            .collect();
        let mut results = Vec::new();
        for case in running {
            results.push(case.await.expect("a case catches its panics"));
        }
        Report(results)
    });
    hold(&report);
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
                    let factory = |unit| {
                        cluster.flush();
                        Factory {
                            url: url(&cluster),
                            handle: runtime.handle().clone(),
                            unit,
                        }
                    };
                    let verdict = runtime.block_on(judge(case, factory));
                    let mut results = results.lock().expect("no case panics");
                    results.push((*case, verdict));
                }
            });
        }
    });
    hold(&Report(results.into_inner().expect("no case panics")));
}

fn hold(report: &Report) {
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

/// Databases, each of which is used once.
struct Databases {
    urls: Vec<String>,
    next: AtomicUsize,
}

impl Databases {
    fn next(&self) -> String {
        self.urls[self.next.fetch_add(1, Ordering::SeqCst)].clone()
    }
}

struct Factory {
    url: String,
    handle: Handle,
    unit: Duration,
}

impl StoreFactory for Factory {
    fn fresh(&self) -> BoxFuture<Fresh> {
        let (url, unit) = (self.url.clone(), self.unit);
        Box::pin(async move {
            let store = RedisStore::open(&url)
                .await
                .expect("the test's server answers");
            begins();
            Fresh {
                store: Arc::new(store),
                time: Time::Real { unit, wait },
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
