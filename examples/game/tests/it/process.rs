//! A redis-server and processes of the game, each on a free loopback port, ended with the test.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cloakroom::Store as _;
use cloakroom::core::Subject;
use cloakroom::redis::RedisStore;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Longest that anything is waited for; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A redis-server of the test's own.
pub(crate) struct Redis {
    process: std::process::Child,
    port: u16,
    directory: PathBuf,
}

/// One process of the game.
pub(crate) struct Game {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Redis {
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cloakroom-game-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for _ in 0..20 {
            // Let go of at once, or the server would find it taken.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
            let port = free.unwrap().port();
            let mut process = std::process::Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .args(["--unixsocket", "redis.sock"])
                .current_dir(&directory)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server is missing: apt-get install -y redis-server");
            // Its socket is there when it has its port; if another process was faster, it ends.
            while process.try_wait().unwrap().is_none() {
                if directory.join("redis.sock").exists() {
                    return Self {
                        process,
                        port,
                        directory,
                    };
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("redis-server ends at once: try `redis-server --port 0` by hand");
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "redis://127.0.0.1:{}/0?layout=fields&timeout=10000",
            self.port
        )
    }

    /// Two processes of the game on it.
    pub(crate) async fn two_games(&self) -> (Game, Game) {
        (self.game(&[]).await, self.game(&[]).await)
    }

    pub(crate) async fn game(&self, settings: &[&str]) -> Game {
        self.store().await;
        let mut process = Command::new(env!("CARGO_BIN_EXE_game"))
            .args(["--http", "127.0.0.1:0", "--store", &self.url()])
            .args(settings)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap().unwrap().expect("the game ended at once");
        let address = line.rsplit('/').next().unwrap().parse().unwrap();
        Game { process, address }
    }

    /// The store as a tool of whoever runs the game opens it.
    pub(crate) async fn store(&self) -> RedisStore {
        let begun = tokio::time::Instant::now();
        loop {
            match RedisStore::open(&self.url()).await {
                Ok(store) => return store,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all sessions of a player, as support would.
    pub(crate) async fn revoke(&self, name: &str) -> usize {
        let subject = Subject::new(name).unwrap();
        let store = self.store().await;
        store.revoke_subject(&subject, None).await.unwrap()
    }
}

impl Game {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// As the kernel does when memory runs out: no goodbye.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// As a deployment does. Gives whether the process then ended well.
    pub(crate) async fn terminate(&mut self) -> bool {
        let pid = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.await.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        ended.unwrap().unwrap().success()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        let removed = std::fs::remove_dir_all(&self.directory);
        if killed.is_err() || removed.is_err() {
            println!("a redis-server on port {} was not cleaned up", self.port);
        }
    }
}
