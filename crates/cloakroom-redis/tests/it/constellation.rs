//! A primary, two replicas and three sentinels of a test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::history::History;
use crate::mesh::{Mesh, Side};
use crate::server::Server;

/// They are stopped when it is dropped.
pub(crate) struct Constellation {
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Server>,
}

impl Constellation {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], "")
    }

    /// Starts one whose servers have these settings besides, and its sentinels these lines.
    pub(crate) fn start_with(settings: &[&str], lines: &str) -> Self {
        let start = |primary: Option<u16>| {
            let mut all = vec!["--repl-diskless-sync-delay", "0"];
            let primary = primary.map(|port| format!("127.0.0.1 {port}"));
            if let Some(primary) = &primary {
                all.extend(["--replicaof", primary]);
            }
            all.extend(settings);
            Server::start(&all)
        };
        let mut servers = vec![start(None)];
        for _ in 0..2 {
            servers.push(start(Some(servers[0].port)));
        }
        let sentinels = (0..3).map(|_| Server::sentinel_of(servers[0].port, lines));
        let started = Self {
            sentinels: sentinels.collect(),
            servers,
        };
        started.wait_until_whole();
        started
    }

    /// On a network that can be cut: these servers and a sentinel on the left, the others on the right.
    pub(crate) fn across(mesh: &Mesh, left: &[usize]) -> (Self, Doors) {
        let sides = [0, 1, 2].map(|number| match left.contains(&number) {
            true => Side::Left,
            false => Side::Right,
        });
        let doors = sides.map(|side| mesh.door(side, None));
        let servers = [0, 1, 2].map(|number| {
            let (port, primary) = (doors[number].port, doors[0].port);
            let source = sides[number].address().to_string();
            let (port, primary) = (port.to_string(), format!("127.0.0.1 {primary}"));
            let mut settings = vec!["--repl-diskless-sync-delay", "0"];
            settings.extend(["--bind-source-addr", &source]);
            settings.extend(["--replica-announce-ip", "127.0.0.1"]);
            settings.extend(["--replica-announce-port", &port]);
            for [name, password] in [["left", ">left"], ["right", ">right"]] {
                settings.extend(["--user", name, "on", password, "~*", "&*", "+@all"]);
            }
            if number > 0 {
                settings.extend(["--replicaof", &primary]);
            }
            let server = Server::start(&settings);
            doors[number].leads_to(server.port);
            server
        });
        let [mut left, mut right] = [Vec::new(), Vec::new()];
        let sentinels = [Side::Left, Side::Right, Side::Right].map(|side| {
            let [from_left, from_right] =
                [Side::Left, Side::Right].map(|from| mesh.door(side, Some(from)));
            let more = format!(
                "bind-source-addr {}\nsentinel announce-ip 127.0.0.1\nsentinel announce-port {}\n",
                side.address(),
                from_left.port
            );
            let sentinel = Server::sentinel_of(doors[0].port, &more);
            from_left.leads_to(sentinel.port);
            from_right.leads_to(sentinel.port);
            left.push(from_left.port);
            right.push(from_right.port);
            sentinel
        });
        let started = Self {
            servers: servers.into(),
            sentinels: sentinels.into(),
        };
        started.wait_until_whole();
        (started, Doors { left, right })
    }

    fn wait_until_whole(&self) {
        self.wait("replicas", || {
            self.servers[0].cli(&["WAIT", "2", "1000"]) == "2"
                && self.sentinels.iter().all(|sentinel| {
                    let known = sentinel.cli(&["SENTINEL", "MASTER", "shop"]);
                    let number = |name: &str| {
                        let mut lines = known.lines().skip_while(|line| *line != name);
                        lines.nth(1).unwrap_or_default().to_owned()
                    };
                    number("num-slaves") == "2" && number("num-other-sentinels") == "2"
                })
        });
    }

    pub(crate) fn url(&self, database: usize, parameters: &str) -> String {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect();
        format!(
            "redis+sentinel://{}/shop/{database}?{parameters}",
            hosts.join(",")
        )
    }

    /// The port of the primary as a sentinel tells it.
    pub(crate) fn primary(&self) -> u16 {
        let told = self.sentinels[0].cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop"]);
        told.lines()
            .nth(1)
            .and_then(|port| port.parse().ok())
            .unwrap_or_default()
    }

    /// Waits until the sentinels name another primary than `old`, and it says that it is one.
    pub(crate) fn wait_for_another(&self, old: u16) {
        self.wait("a new primary", || {
            let primary = self.primary();
            let server = self.servers.iter().find(|server| server.port == primary);
            primary != old
                && server.is_some_and(|server| server.cli(&["ROLE"]).starts_with("master"))
        });
    }

    /// Tells the history when a sentinel announces a new primary, until the ears are dropped.
    pub(crate) fn listen(&self, history: &Arc<History>) -> Vec<Ear> {
        let sentinels = self.sentinels.iter();
        sentinels
            .map(|sentinel| Ear::open(sentinel.port, Arc::clone(history)))
            .collect()
    }

    pub(crate) fn wait(&self, what: &str, is_there: impl Fn() -> bool) {
        for _ in 0..1_200 {
            if is_there() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what} did not come within 60 s");
    }
}

/// The ports of doors on a network that can be cut.
pub(crate) struct Doors {
    left: Vec<u16>,
    right: Vec<u16>,
}

impl Doors {
    /// The URL for a client that stands on `side`.
    pub(crate) fn url(&self, side: Side, parameters: &str) -> String {
        let name = side.name();
        let ports = match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        };
        let hosts: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let hosts = hosts.join(",");
        format!("redis+sentinel://{name}:{name}@{hosts}/shop?{parameters}")
    }
}

/// Listens to one sentinel.
pub(crate) struct Ear(TcpStream);

impl Ear {
    fn open(port: u16, history: Arc<History>) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the sentinel answers");
        stream
            .write_all(b"SUBSCRIBE +switch-master\r\n")
            .expect("the sentinel listens");
        let lines = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines();
        std::thread::spawn(move || {
            let mut lines = lines.map_while(Result::ok);
            if lines.any(|line| line.starts_with("shop ")) {
                history.announced();
            }
        });
        Self(stream)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // It may be gone already, with its sentinel.
        drop(self.0.shutdown(Shutdown::Both));
    }
}
