//! Replicas of a cluster that have not what their primary has: while only such a one could be promoted,
//! nothing is called ended.

use cloakroom_core::Store;
use cloakroom_redis::Class;

use crate::cluster::{self, Cluster};
use crate::failures::failure;
use crate::kit::{self, Ids};
use crate::server::{Brand, Server};

/// Its only replica is one that is being filled, as far as anybody can tell. It may have data of old, and nobody
/// else would be promoted: ends are refused until it has all, in either mode.
#[test]
fn the_only_replica_is_being_filled() {
    let mut cluster = Cluster::start();
    let late = cluster::node(Brand::Redis, &[]);
    let url = cluster.url("timeout=3000&durability=fast");
    kit::run(async {
        let store = kit::open_patiently(&url).await;
        let (ids, firsts) = (Ids::new(), cluster.tags_of_the_first());
        let keys = std::iter::repeat_with(|| ids.key(None));
        let keys: Vec<_> = keys
            .filter(|key| firsts.contains(&key.tag()))
            .take(2)
            .collect();
        for key in &keys {
            let created = store.create(key, &ids.new_session(None)).await;
            created.expect("created");
        }
        assert!(store.destroy(&keys[0]).await.expect("its replica confirms"));
        // One goes, and one comes that does not get in.
        cluster.nodes[3].kill();
        cluster::ok(&late, &["CONFIG", "SET", "masterauth", "wrong"]);
        cluster::ok(&late, &["CONFIG", "SET", "masteruser", "nobody"]);
        let first = &cluster.nodes[0];
        join(&cluster, &late);
        let (gone, come) = (
            format!(":{}@", cluster.nodes[3].port),
            format!(":{}@", late.port),
        );
        cluster.wait("news of both", || {
            cluster.nodes[..3].iter().all(|node| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                let is = |port: &str, flag: &str| {
                    let line = nodes.lines().find(|line| line.contains(port));
                    line.is_some_and(|line| line.contains(flag))
                };
                is(&gone, "slave,fail ") && is(&come, "slave ")
            })
        });
        let said = first.cli(&["CLUSTER", "SLOTS"]);
        assert!(
            !said.contains(&late.port.to_string()),
            "it has data: {said}"
        );
        for _ in 0..2 {
            // Until this process has heard of it as well, it may be the one that is gone that is missed.
            let error = store.destroy(&keys[1]).await.expect_err("nobody has it");
            assert_eq!(failure(&error).class(), Class::NoReplicas, "{error:?}");
        }
        cluster::ok(&late, &["CONFIG", "SET", "masteruser", ""]);
        cluster::ok(&late, &["CONFIG", "SET", "masterauth", ""]);
        for _ in 0..20 {
            if store.destroy(&keys[1]).await.is_ok() {
                return;
            }
        }
        panic!("it has all by now");
    });
}

/// Has a server become a replica of the first primary.
fn join(cluster: &Cluster, late: &Server) {
    let first = &cluster.nodes[0];
    let (port, bus) = (first.port.to_string(), first.bus().to_string());
    cluster::ok(late, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    let id = first.cli(&["CLUSTER", "MYID"]);
    cluster.wait("a replica that is told so", || {
        late.cli(&["CLUSTER", "REPLICATE", &id]) == "OK"
    });
}

/// Who joins after a store was opened is asked as well once there is trouble, and not only when it is promoted.
#[test]
fn one_that_joins_is_known() {
    let cluster = Cluster::start();
    let url = cluster.url("timeout=500");
    kit::run(async {
        let store = kit::open_patiently(&url).await;
        let late = cluster::node(Brand::Redis, &[]);
        join(&cluster, &late);
        let name = late.port.to_string();
        cluster.wait("news of it", || {
            let mut nodes = cluster.nodes.iter();
            nodes.all(|node| node.cli(&["CLUSTER", "SLOTS"]).contains(&name))
        });
        // Nobody is promoted, so nothing else tells of it.
        for replica in [&cluster.nodes[3], &late] {
            let never = ["CONFIG", "SET", "cluster-replica-no-failover", "yes"];
            cluster::ok(replica, &never);
        }
        let is_asked = || late.cli(&["CLIENT", "LIST"]).contains("cmd=cluster|nodes");
        assert!(!is_asked(), "nobody asks it while all is well");
        let (ids, firsts) = (Ids::new(), cluster.tags_of_the_first());
        let keys = std::iter::repeat_with(|| ids.key(None));
        let mut keys = keys.filter(|key| firsts.contains(&key.tag()));
        let key = keys.next().expect("there are always more");
        cluster.nodes[0].signal("STOP");
        for _ in 0..40 {
            store.load(&key).await.expect_err("its primary hangs");
            if is_asked() {
                return;
            }
        }
        panic!("it is not asked");
    });
}
