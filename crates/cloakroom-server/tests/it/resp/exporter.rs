//! Debian's redis_exporter scrapes a server of ours, as those do who have dashboards for their Redis.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, Server, TempDir, program};
use crate::resp::wire::{Reply, Wire};
use crate::stores::free_port;

const PROGRAM: &str = "prometheus-redis-exporter";

/// An exporter that runs beside a server.
struct Exporter {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl Exporter {
    fn start(server: &Server, password: &str) -> Self {
        let (dir, port) = (TempDir::new(), free_port());
        let log = File::create(dir.path().join("log")).unwrap();
        let address = format!("redis://{}", server.resp("redis://"));
        let child = Command::new(program(PROGRAM, PROGRAM))
            .args(["-redis.addr", &address, "-redis-only-metrics"])
            .args(["-web.listen-address", &format!("127.0.0.1:{port}")])
            .args(["-export-client-list", "-include-system-metrics"])
            .args(["-count-keys", "db0=sess:*,db3=cart:*"])
            .env("REDIS_PASSWORD", password)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self {
            process: Process(child.unwrap()),
            port,
            dir,
        }
    }

    /// What Prometheus would get.
    async fn scrape(&mut self) -> String {
        loop {
            let asked = reqwest::get(format!("http://127.0.0.1:{}/metrics", self.port)).await;
            match asked {
                Ok(answer) => return answer.text().await.unwrap(),
                Err(error) => {
                    let ended = self.process.0.try_wait().unwrap();
                    assert!(ended.is_none(), "{error}: {}", self.log());
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

#[tokio::test]
async fn its_metrics_are_those_of_the_server() {
    let server = Server::start(&["--resp-max-connections", "123", "--max-memory", "64MiB"]);
    let mut wire = Wire::to(&server);
    for number in 0..5 {
        let set = format!("SET sess:abcdefghijklmnop{number} {{\"user\":\"ada\"}} EX 600");
        assert_eq!(wire.ask(&set), Reply::ok());
    }
    assert_eq!(wire.ask("SET settings on"), Reply::ok());
    assert_eq!(wire.ask("GET settings"), Reply::bulk("on"));
    assert_eq!(wire.ask("GET nothing"), Reply::Nil);
    assert_eq!(wire.ask("SELECT 3"), Reply::ok());
    assert_eq!(wire.ask("HSET cart:1 apple 1"), Reply::Integer(1));
    assert!(matches!(wire.ask("INCR cart:1"), Reply::Error(_)));
    let mut exporter = Exporter::start(&server, "");
    let metrics = exporter.scrape().await;
    for line in [
        "redis_up 1",
        "redis_exporter_last_scrape_error{err=\"\"} 0",
        "redis_db_keys{db=\"db0\"} 6",
        "redis_db_keys_expiring{db=\"db0\"} 5",
        "redis_db_keys{db=\"db3\"} 1",
        "redis_keys_count{db=\"db0\",key=\"sess:*\"} 5",
        "redis_keys_count{db=\"db3\",key=\"cart:*\"} 1",
        "redis_commands_total{cmd=\"set\"} 6",
        "redis_commands_total{cmd=\"get\"} 2",
        "redis_commands_total{cmd=\"hset\"} 1",
        "redis_total_error_replies 1",
        "redis_keyspace_hits_total 1",
        "redis_keyspace_misses_total 1",
        "redis_connected_clients 2",
        "redis_config_maxclients 123",
        "redis_memory_max_bytes 6.7108864e+07",
        "redis_aof_enabled 1",
        "redis_aof_last_write_status 1",
        "redis_loading_dump_file 0",
        "redis_cluster_enabled 0",
        "redis_slowlog_length 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    let info = metrics
        .lines()
        .find(|it| it.starts_with("redis_instance_info{"));
    let info = info.unwrap();
    for label in [
        "redis_version=\"7.0.15\"",
        "role=\"master\"",
        "redis_mode=\"standalone\"",
    ] {
        assert!(info.contains(label), "{info}");
    }
    let number = |name: &str| {
        let line = metrics.lines().find_map(|it| it.strip_prefix(name));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    let ours = wire.ask("INFO memory").text();
    let used = format!("used_memory:{}\r\n", number("redis_memory_used_bytes "));
    assert!(ours.contains(&used), "{used}{ours}");
    for name in [
        "redis_net_input_bytes_total ",
        "redis_memory_used_rss_bytes ",
        "redis_memory_used_peak_bytes ",
        "redis_mem_fragmentation_ratio ",
    ] {
        assert!(number(name) > 0.0, "{name}{metrics}");
    }
    for name in [
        "redis_cpu_sys_seconds_total ",
        "redis_cpu_user_seconds_total ",
        "redis_cpu_sys_children_seconds_total ",
    ] {
        assert!(number(name) >= 0.0, "{name}");
    }
    assert!(metrics.contains("redis_connected_clients_details{"));
    assert!(
        !exporter.log().contains("level=error"),
        "{}",
        exporter.log()
    );
}

#[tokio::test]
async fn it_signs_in_and_says_when_it_cannot() {
    let server = Server::start(&["--resp-password", "hush-a-bye"]);
    let has = |metrics: &str, line: &str| metrics.lines().any(|it| it == line);
    let mut knows = Exporter::start(&server, "hush-a-bye");
    let metrics = knows.scrape().await;
    assert!(has(&metrics, "redis_up 1"), "{metrics}");
    let mut guesses = Exporter::start(&server, "wrong");
    let metrics = guesses.scrape().await;
    assert!(has(&metrics, "redis_up 0"), "{metrics}");
    assert!(!metrics.contains("redis_db_keys{"), "{metrics}");
}
