//! A Redis Cluster of a test's own: three primaries, a replica for each.

use std::time::Duration;

use crate::server::{Server, free_port};

/// Ranges of slots that the primaries begin with.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// Its nodes; they are stopped when it is dropped.
pub(crate) struct Cluster {
    /// Three primaries, as it begins, and then the replica of each.
    pub(crate) nodes: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with(3)
    }

    /// Starts one whose primaries have no replicas.
    pub(crate) fn without_replicas() -> Self {
        Self::start_with(0)
    }

    fn start_with(replicas: usize) -> Self {
        let started = Self {
            nodes: (0..3 + replicas).map(|_| node()).collect(),
        };
        let (primaries, replicas) = started.nodes.split_at(3);
        for (number, (node, (first, last))) in primaries.iter().zip(SLOTS).enumerate() {
            let (first, last) = (first.to_string(), last.to_string());
            let epoch = (number + 1).to_string();
            ok(node, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            ok(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        for node in &started.nodes[1..] {
            let first = &started.nodes[0];
            let (port, bus) = (first.port.to_string(), first.bus().to_string());
            ok(node, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        started.wait("nodes that know each other", || {
            started.nodes.iter().all(|node| {
                let nodes = node.cli(&["CLUSTER", "NODES"]);
                nodes.lines().count() == 3 + replicas.len() && !nodes.contains("handshake")
            })
        });
        for (primary, replica) in primaries.iter().zip(replicas) {
            let id = primary.cli(&["CLUSTER", "MYID"]);
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
                let confirms = || node.cli(&["WAIT", "1", "500"]) == "1";
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

/// Starts a node that belongs to no cluster yet.
pub(crate) fn node() -> Server {
    let bus = free_port().to_string();
    let mut all = vec!["--cluster-enabled", "yes", "--cluster-port", &bus];
    all.extend(["--databases", "1", "--cluster-node-timeout", "1500"]);
    all.extend(["--repl-diskless-sync-delay", "0"]);
    all.extend(["--cluster-replica-validity-factor", "0"]);
    Server::start(&all)
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
