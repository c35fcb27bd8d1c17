//! A Redis Cluster of a test's own: three primaries, a replica for each or more, on one machine or on a
//! network that can be cut in two.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use cloakroom_core::id::SlotTag;
use cloakroom_core::store::Lookup;
use cloakroom_core::{Store, StoredKey};
use cloakroom_redis::RedisStore;

use crate::history::History;
use crate::mesh::{Mesh, Side};
use crate::server::{Brand, Server, free_port};

/// The last slot that the first primary begins with.
pub(crate) const FIRST_HAS: u16 = 5460;
/// Ranges of slots that the primaries begin with.
const SLOTS: [(u16, u16); 3] = [(0, FIRST_HAS), (5461, 10922), (10923, 16383)];

/// Its nodes; they are stopped when it is dropped.
pub(crate) struct Cluster {
    /// Three primaries, as it begins, and then the replica of each.
    pub(crate) nodes: Vec<Server>,
}

/// Of which primary each replica is one: the first has two, so that one is left when it is lost.
const SPARE: [usize; 4] = [0, 0, 1, 2];

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_as(Brand::Redis)
    }

    pub(crate) fn start_as(brand: Brand) -> Self {
        Self::join((0..6).map(|_| node(brand, &[])).collect(), &[], &[0, 1, 2])
    }

    /// Starts one whose primaries have no replicas.
    pub(crate) fn without_replicas() -> Self {
        Self::join((0..3).map(|_| node(Brand::Redis, &[])).collect(), &[], &[])
    }

    /// Starts one whose first primary has two replicas, the fourth and the fifth node.
    pub(crate) fn with_a_spare() -> Self {
        Self::join(
            (0..7).map(|_| node(Brand::Redis, &[])).collect(),
            &[],
            &SPARE,
        )
    }

    /// Starts one whose nodes have these settings besides.
    pub(crate) fn start_with(settings: &[String]) -> Self {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let nodes = (0..6).map(|_| node(Brand::Redis, &settings));
        Self::join(nodes.collect(), &[], &[0, 1, 2])
    }

    /// Starts one that speaks TLS, to clients as well as among its nodes, with the certificate of the first.
    pub(crate) fn start_tls() -> Self {
        let first = tls_node(None);
        let directory = first.directory.clone();
        let mut nodes = vec![first];
        nodes.extend((1..6).map(|_| tls_node(Some(&directory))));
        Self::join(nodes, &[], &[0, 1, 2])
    }

    /// As [`Cluster::url`], over TLS.
    pub(crate) fn tls_url(&self, parameters: &str) -> String {
        let port = self.nodes[1].tls_port.expect("it speaks TLS");
        let ca = self.nodes[0].directory.join("ca.pem");
        format!(
            "rediss+cluster://127.0.0.1:{port}?ca={}&{parameters}",
            ca.display()
        )
    }

    /// As [`Cluster::with_a_spare`], on a network that can be cut: these nodes on the left, the others on
    /// the right. With the ports of the doors to them.
    pub(crate) fn across(mesh: &Mesh, left: &[usize]) -> (Self, Vec<u16>) {
        let mut ways = Vec::new();
        let nodes = (0..3 + SPARE.len()).map(|number| {
            let side = match left.contains(&number) {
                true => Side::Left,
                false => Side::Right,
            };
            let [door, bus] = [(); 2].map(|()| mesh.door(side, None));
            let (port, bus_port) = (door.port.to_string(), bus.port.to_string());
            let source = side.address().to_string();
            let mut settings = vec!["--bind-source-addr", &source];
            // Somebody is promoted before words for who was cut off are over, and who was cut off goes on
            // answering reads when it has noticed: so it is allowed to, and nothing but us keeps it from it.
            settings.extend(["--cluster-node-timeout", "700"]);
            settings.extend(["--cluster-allow-reads-when-down", "yes"]);
            settings.extend(["--cluster-announce-ip", "127.0.0.1"]);
            settings.extend(["--cluster-announce-port", &port]);
            settings.extend(["--cluster-announce-bus-port", &bus_port]);
            for [name, password] in [["left", ">left"], ["right", ">right"]] {
                settings.extend(["--user", name, "on", password, "~*", "&*", "+@all"]);
            }
            let server = node(Brand::Redis, &settings);
            door.leads_to(server.port);
            bus.leads_to(server.bus());
            ways.push((door.port, bus.port));
            server
        });
        let nodes = nodes.collect();
        let doors = ways.iter().map(|(door, _)| *door).collect();
        (Self::join(nodes, &ways, &SPARE), doors)
    }

    /// Makes a cluster of these nodes. `ways`: the ports by which others reach them, if not their own;
    /// `of`: of which primary each is a replica that is none itself.
    fn join(nodes: Vec<Server>, ways: &[(u16, u16)], of: &[usize]) -> Self {
        let started = Self { nodes };
        let (primaries, replicas) = started.nodes.split_at(3);
        for (number, (node, (first, last))) in primaries.iter().zip(SLOTS).enumerate() {
            let (first, last) = (first.to_string(), last.to_string());
            let epoch = (number + 1).to_string();
            ok(node, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            ok(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        let introduce = || {
            for node in &started.nodes[1..] {
                let first = &started.nodes[0];
                let own = (first.tls_port.unwrap_or(first.port), first.bus());
                let (port, bus) = ways.first().copied().unwrap_or(own);
                let (port, bus) = (port.to_string(), bus.to_string());
                ok(node, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        };
        let waits = AtomicUsize::new(0);
        started.wait("nodes that know each other", || {
            // On a busy machine some forget each other before they have met.
            if waits.fetch_add(1, Ordering::Relaxed).is_multiple_of(60) {
                introduce();
            }
            started.nodes.iter().all(|node| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                nodes.lines().count() == 3 + replicas.len() && !nodes.contains("handshake")
            })
        });
        for (replica, primary) in replicas.iter().zip(of) {
            let id = primaries[*primary].cli(&["CLUSTER", "MYID"]);
            ok(replica, &["CLUSTER", "REPLICATE", &id]);
        }
        started.wait_until_whole();
        started
    }

    /// A URL that names two of the nodes.
    pub(crate) fn url(&self, parameters: &str) -> String {
        let [first, second] =
            [&self.nodes[1], &self.nodes[self.nodes.len() - 1]].map(|node| node.port);
        format!("redis+cluster://127.0.0.1:{first},127.0.0.1:{second}?{parameters}")
    }

    /// Tells the history when one of these nodes becomes a primary, until the ears are dropped.
    pub(crate) fn listen(&self, nodes: &[usize], history: &Arc<History>) -> Vec<Ear> {
        let nodes = nodes.iter().map(|node| self.nodes[*node].port);
        nodes
            .map(|port| Ear::open(port, Arc::clone(history)))
            .collect()
    }

    /// The tags whose slots the first node begins with.
    pub(crate) fn tags_of_the_first(&self) -> HashSet<SlotTag> {
        let tags: Vec<SlotTag> = (0..4096).filter_map(SlotTag::new).collect();
        let ask = |tag: &SlotTag| format!("CLUSTER KEYSLOT {{{:03x}}}\n", tag.number());
        let slots = self.nodes[0].cli_lines(&tags.iter().map(ask).collect::<String>());
        let slots = slots
            .lines()
            .map(|slot| slot.parse::<u16>().expect("a slot"));
        let of_the_first = tags.into_iter().zip(slots);
        let of_the_first = of_the_first.filter(|(_, slot)| *slot <= FIRST_HAS);
        of_the_first.map(|(tag, _)| tag).collect()
    }

    /// Moves so many slots from one primary to another, with what is in them.
    pub(crate) fn move_slots(&self, from: usize, to: usize, count: usize) {
        let [from, to] = [from, to].map(|node| self.nodes[node].cli(&["CLUSTER", "MYID"]));
        let host = format!("127.0.0.1:{}", self.nodes[0].port);
        let [from, to] =
            [("from", from), ("to", to)].map(|(name, id)| [format!("--cluster-{name}"), id]);
        let count = count.to_string();
        let mut words = vec!["--cluster", "reshard", &host, "--cluster-yes"];
        words.extend(["--cluster-slots", &count]);
        words.extend(from.iter().chain(&to).map(String::as_str));
        let said = self.nodes[0].cli(&words);
        assert!(said.contains("Moving slot"), "{said}");
    }

    /// Deletes everything.
    pub(crate) fn flush(&self) {
        for node in self.nodes.iter().filter(|node| is_primary(node)) {
            ok(node, &["FLUSHALL"]);
        }
    }

    /// The primary that has a slot, as a node tells that is alive.
    pub(crate) fn owner(&self, slot: u16) -> &Server {
        let port = self.nodes.iter().find_map(|node| {
            let nodes = node.cli(&["CLUSTER", "NODES"]);
            nodes.lines().find_map(|line| owns(line, slot))
        });
        let server = self.nodes.iter().find(|node| Some(node.port) == port);
        server.expect("somebody has the slot")
    }

    /// Waits until every node finds the cluster whole, and every primary has a replica that keeps up.
    pub(crate) fn wait_until_whole(&self) {
        self.wait("a whole cluster", || {
            self.nodes.iter().all(|node| {
                let info = node.cli(&["CLUSTER", "INFO"]);
                let whole = info.contains("cluster_state:ok");
                let info = node.cli(&["INFO", "replication"]);
                let has = info.matches("state=online").count().to_string();
                let confirms = || has != "0" && node.cli(&["WAIT", &has, "500"]) == has;
                whole && (self.nodes.len() == 3 || !is_primary(node) || confirms())
            })
        });
    }

    pub(crate) fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        for _ in 0..600 {
            if is_there() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let seen: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.cli(&["CLUSTER", "NODES"]))
            .collect();
        panic!("{what} did not come within 30 s:\n{}", seen.join("\n"));
    }
}

/// Starts a node that belongs to no cluster yet, with these settings besides the usual ones.
pub(crate) fn node(brand: Brand, more: &[&str]) -> Server {
    let mut all = usual();
    all.extend(more.iter().map(|setting| (*setting).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Server::start_brand(brand, &all)
}

/// The same, speaking TLS with the certificate in a directory, or one of its own.
fn tls_node(certificate: Option<&Path>) -> Server {
    let mut all = usual();
    all.extend(["--tls-cluster", "yes", "--tls-replication", "yes"].map(str::to_owned));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Server::start_tls_with(certificate, &all)
}

fn usual() -> Vec<String> {
    let bus = free_port().to_string();
    let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
    all.extend(["--databases", "1", "--cluster-node-timeout", "1500"]);
    all.extend(["--repl-diskless-sync-delay", "0"]);
    all.extend(["--cluster-replica-validity-factor", "0"]);
    all.into_iter().map(str::to_owned).collect()
}

/// Asks one node what it is, again and again: a cluster announces nothing to clients.
pub(crate) struct Ear {
    stop: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Ear {
    fn open(port: u16, history: Arc<History>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the node answers");
        let asking = std::thread::spawn(move || {
            let mut answer = [0; 4096];
            while !stopped.load(Ordering::SeqCst) {
                let asked = stream.write_all(b"ROLE\r\n");
                let Ok(read) = asked.and_then(|()| stream.read(&mut answer)) else {
                    return;
                };
                if answer[..read].windows(6).any(|word| word == b"master") {
                    return history.announced();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self {
            stop,
            asking: Some(asking),
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(asking) = self.asking.take() {
            asking.join().expect("an ear does not panic");
        }
    }
}

/// The URL by which a client on `side` reaches nodes through these doors.
pub(crate) fn url_from(side: Side, doors: &[u16], parameters: &str) -> String {
    let hosts = doors.iter().map(|port| format!("127.0.0.1:{port}"));
    let (name, hosts) = (side.name(), hosts.collect::<Vec<_>>().join(","));
    format!("redis+cluster://{name}:{name}@{hosts}?{parameters}")
}

pub(crate) fn is_primary(node: &Server) -> bool {
    node.cli(&["ROLE"]).starts_with("master")
}

/// The slot of a slot tag, as the server counts it.
pub(crate) fn slot_of(node: &Server, tag: u16) -> u16 {
    let slot = node.cli(&["CLUSTER", "KEYSLOT", &format!("{{{tag:03x}}}")]);
    slot.parse().expect("a slot")
}

pub(crate) fn ok(node: &Server, words: &[&str]) {
    let answer = node.cli(words);
    assert_eq!(answer, "OK", "{words:?}");
}

/// How many of these sessions live, once the cluster answers for all of them.
pub(crate) async fn alive(store: &RedisStore, keys: impl IntoIterator<Item = &StoredKey>) -> usize {
    let mut alive = 0;
    for key in keys {
        let mut tries = 0;
        alive += loop {
            match store.load(key).await {
                Ok(found) => break usize::from(matches!(found, Lookup::Found(_))),
                Err(error) if tries < 100 && error.is_retryable() => tries += 1,
                Err(error) => panic!("{error:?}"),
            }
        };
    }
    alive
}

/// The port of the node in this line of CLUSTER NODES, if it is a primary that lives and has the slot.
fn owns(line: &str, slot: u16) -> Option<u16> {
    let words: Vec<&str> = line.split(' ').collect();
    let flags = words.get(2)?;
    if !flags.contains("master") || flags.contains("fail") {
        return None;
    }
    let has = words.iter().skip(8).any(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
        bounds.is_some_and(|(first, last)| (first..=last).contains(&slot))
    });
    let (address, _) = words[1].split_once('@')?;
    let port = address.rsplit_once(':')?.1.parse().ok();
    port.filter(|_| has)
}
