//! What a server answers in trouble is told by class, with whether trying again helps and what to do;
//! and what is wrong at the start is told at the start.

use std::net::TcpListener;

use cloakroom_core::{Error, ErrorKind, Store};
use cloakroom_redis::{Class, Failure, RedisStore};

use crate::cluster::{Cluster, node};
use crate::constellation::Constellation;
use crate::fake;
use crate::kit::{self, Ids};
use crate::server::{Brand, Server, free_port, names};

/// A server's answer; its class; the core's kind; whether trying again may help.
const ANSWERS: &[(&str, Class, ErrorKind, bool)] = &[
    (
        "-OOM command not allowed when used memory > 'maxmemory'.",
        Class::Full,
        ErrorKind::StoreFull,
        true,
    ),
    (
        "-READONLY You can't write against a read only replica.",
        Class::ReadOnly,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-LOADING Redis is loading the dataset in memory",
        Class::Loading,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-MISCONF Redis is configured to save RDB snapshots",
        Class::CannotSave,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-CLUSTERDOWN Hash slot not served",
        Class::Down,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-MASTERDOWN Link with MASTER is down",
        Class::Down,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-TRYAGAIN Multiple keys request during rehashing of slot",
        Class::Moving,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-MOVED 3999 127.0.0.1:6381",
        Class::Moving,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-NOREPLICAS Not enough good replicas to write.",
        Class::NoReplicas,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-BUSY Redis is busy running a script.",
        Class::Busy,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-NOAUTH Authentication required.",
        Class::Credentials,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-NOPERM this user has no permissions",
        Class::Permission,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-WRONGTYPE Operation against a key",
        Class::Foreign,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-CROSSSLOT Keys in request don't hash to the same slot",
        Class::CrossSlot,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-ASK 3999 127.0.0.1:6381",
        Class::Moving,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-WRONGPASS invalid username-password pair or user is disabled.",
        Class::Credentials,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-UNKILLABLE Sorry the script already executed write commands",
        Class::Busy,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-UNBLOCKED force unblock from blocking operation, instance state changed",
        Class::ReadOnly,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-EXECABORT Transaction discarded because of previous errors.",
        Class::Aborted,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-EXECABORT Transaction discarded because of: OOM command not allowed",
        Class::Full,
        ErrorKind::StoreFull,
        true,
    ),
    (
        "-ERR Error running script (call to f_1): @user_script:3: -READONLY You can't write",
        Class::ReadOnly,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-ERR max number of clients reached",
        Class::TooManyClients,
        ErrorKind::StoreUnavailable,
        true,
    ),
    (
        "-DENIED Redis is running in protected mode",
        Class::Protected,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-NOPROTO unsupported protocol version",
        Class::Protocol,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-ERR ACL failure in script: User app has no permissions to run the 'set' command",
        Class::Permission,
        ErrorKind::StoreRefused,
        false,
    ),
    (
        "-ERR unknown command",
        Class::Protocol,
        ErrorKind::StoreRefused,
        false,
    ),
    (":7", Class::Protocol, ErrorKind::StoreRefused, false),
];

#[test]
fn each_answer_has_its_class() {
    kit::run(async {
        for (line, class, kind, retryable) in ANSWERS {
            let port = fake::answering(line);
            for parameters in ["", "&layout=fields", "&scripts=never"] {
                let url = format!("redis://127.0.0.1:{port}?timeout=5000{parameters}");
                let store = RedisStore::open(&url).await.expect("it greets");
                let ids = Ids::new();
                let key = ids.key(None);
                let errors = [
                    store.load(&key).await.expect_err(line),
                    store
                        .create(&key, &ids.new_session(None))
                        .await
                        .expect_err(line),
                    store.touch(&[key]).await.expect_err(line),
                    store.stats().await.expect_err(line),
                ];
                for error in errors {
                    let found = failure(&error).class();
                    assert_eq!(found, *class, "{line} with {parameters}: {error:?}");
                    assert_eq!(error.kind(), kind, "{line}: {error:?}");
                    assert_eq!(error.is_retryable(), *retryable, "{line}");
                    let text = failure(&error).to_string();
                    assert!(text.contains(class.advice()), "{text}");
                    assert!(!text.contains("session:"), "{text} names a key");
                }
            }
        }
    });
}

#[test]
fn what_is_wrong_is_told_at_the_start() {
    let plain = Server::start(&["--requirepass", "secret"]);
    let tls = Server::start_tls(&[]);
    let other = Server::start_tls(&[]);
    let cluster = node(Brand::Redis, &[]);
    let sentinel = tls.sentinel();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent_port = silent.local_addr().expect("it is bound").port();
    let web = web_server();
    let tls_port = tls.tls_port.expect("it speaks TLS");
    let stranger = other.directory.join("ca.pem").display().to_string();
    let trusted = tls.directory.join("ca.pem").display().to_string();
    let cases = [
        (
            "no password",
            format!("redis://127.0.0.1:{}", plain.port),
            Class::Credentials,
        ),
        (
            "a wrong password",
            format!("redis://:wrong@127.0.0.1:{}", plain.port),
            Class::Credentials,
        ),
        (
            "nobody there",
            format!("redis://127.0.0.1:{}", free_port()),
            Class::Unreachable,
        ),
        (
            "no socket",
            "unix:/nowhere/redis.sock".to_owned(),
            Class::Unreachable,
        ),
        (
            "a silent server",
            format!("redis://127.0.0.1:{silent_port}?timeout=200"),
            Class::Unreachable,
        ),
        (
            "a web server",
            format!("redis://127.0.0.1:{web}"),
            Class::Protocol,
        ),
        (
            "an unknown CA",
            format!("rediss://127.0.0.1:{tls_port}"),
            Class::Untrusted,
        ),
        (
            "another CA",
            format!("rediss://127.0.0.1:{tls_port}?ca={stranger}"),
            Class::Untrusted,
        ),
        (
            "TLS to a plain port",
            format!("rediss://127.0.0.1:{}?ca={trusted}", tls.port),
            Class::Unreachable,
        ),
        (
            "TLS to a web server",
            format!("rediss://127.0.0.1:{web}?ca={trusted}"),
            Class::Unreachable,
        ),
        (
            "plain to a TLS port",
            format!("redis://127.0.0.1:{tls_port}"),
            Class::Unreachable,
        ),
        (
            "no such database",
            format!("redis://:secret@127.0.0.1:{}/600", plain.port),
            Class::NoDatabase,
        ),
        (
            "no sentinel",
            format!("redis+sentinel://127.0.0.1:{}/shop", free_port()),
            Class::Unreachable,
        ),
        (
            "a sentinel that knows no such master",
            format!("redis+sentinel://127.0.0.1:{}/another", sentinel.port),
            Class::UnknownMaster,
        ),
        (
            "a server that is no sentinel",
            format!("redis+sentinel://127.0.0.1:{}/shop", tls.port),
            Class::NoSentinel,
        ),
        (
            "a sentinel as a server",
            format!("redis://127.0.0.1:{}", sentinel.port),
            Class::Sentinel,
        ),
        (
            "a sentinel as a cluster",
            format!("redis+cluster://127.0.0.1:{}", sentinel.port),
            Class::Sentinel,
        ),
        (
            "a node of a cluster as a single server",
            format!("redis://127.0.0.1:{}", cluster.port),
            Class::CrossSlot,
        ),
        (
            "half a cluster",
            format!("redis+cluster://127.0.0.1:{}", cluster.port),
            Class::Down,
        ),
        (
            "a single server as a cluster",
            format!("redis+cluster://127.0.0.1:{}", tls.port),
            Class::NoCluster,
        ),
        (
            "no node of a cluster",
            format!(
                "redis+cluster://127.0.0.1:{},127.0.0.1:{}",
                free_port(),
                free_port()
            ),
            Class::Unreachable,
        ),
        (
            "a cluster without a password",
            format!("redis+cluster://127.0.0.1:{}", plain.port),
            Class::Credentials,
        ),
    ];
    kit::run(async {
        for (name, url, class) in cases {
            let error = RedisStore::open(&url).await.expect_err(name);
            let found = failure(&error);
            eprintln!("{name}: {found}");
            assert_eq!(found.class(), class, "{name}: {error:?}");
            let text = found.to_string();
            let host = if url.starts_with("unix") {
                "/nowhere/redis.sock"
            } else {
                "127.0.0.1:"
            };
            assert!(
                text.contains(host),
                "{name}: {text} does not name the server"
            );
            assert!(
                !text.contains("wrong") && !text.contains("secret"),
                "{text}"
            );
        }
    });
}

/// Each in words of its own, because what is to be done is another thing each time.
#[test]
fn what_is_wrong_with_tls_is_told_in_words() {
    let good = Server::start_tls(&[]);
    let mut old = names(&["127.0.0.1"]);
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let old = Server::start_tls_as(&old);
    let elsewhere = Server::start_tls_as(&names(&["elsewhere.example"]));
    let mut ca = names(&["127.0.0.1"]);
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = Server::start_tls_as(&ca);
    let web = web_server();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent = silent.local_addr().expect("it is bound").port();
    let trusting = |port: u16, server: &Server| {
        let trusted = server.directory.join("ca.pem").display().to_string();
        format!("rediss://127.0.0.1:{port}?timeout=2000&ca={trusted}")
    };
    let speaks = |server: &Server| server.tls_port.expect("it speaks TLS");
    let cases = [
        (
            "UnknownIssuer",
            format!("rediss://127.0.0.1:{}", speaks(&good)),
        ),
        ("BadSignature", trusting(speaks(&good), &elsewhere)),
        (
            "not valid for name",
            trusting(speaks(&elsewhere), &elsewhere),
        ),
        ("certificate expired", trusting(speaks(&old), &old)),
        (
            "the certificate of a CA as its own",
            trusting(speaks(&ca), &ca),
        ),
        ("does not speak TLS", trusting(web, &good)),
        (
            "a port without TLS gives none to TLS",
            trusting(good.port, &good),
        ),
        (
            "a port without TLS gives none to TLS",
            trusting(silent, &good),
        ),
    ];
    kit::run(async {
        for (words, url) in cases {
            let error = RedisStore::open(&url).await.expect_err(words);
            let text = failure(&error).to_string();
            assert!(text.contains(words), "{words} is not told: {text}");
        }
        // Nobody is told of TLS who did not ask for it.
        let url = format!("redis://127.0.0.1:{silent}?timeout=200");
        let error = RedisStore::open(&url).await.expect_err("it is silent");
        let text = failure(&error).to_string();
        assert!(!text.contains("gives none"), "{text}");
    });
}

/// Who does not answer is named, and not who was asked first and did.
#[test]
fn who_is_silent_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let silent = silent.local_addr().expect("it is bound").port();
    let one = Server::start(&[]);
    let constellation = Constellation::start();
    let cluster = Cluster::start();
    let (first, others) = cluster.nodes.split_at(1);
    let shards = format!("redis+shards://127.0.0.1:{}|127.0.0.1:{silent}", one.port);
    let [sentinel, away, gone] = [constellation.sentinels[0].port, free_port(), free_port()];
    let sentinels =
        format!("redis+sentinel://127.0.0.1:{sentinel},127.0.0.1:{away},127.0.0.1:{gone}/shop");
    let behind = constellation.url(0, "timeout=500");
    let seeds = format!("redis+cluster://127.0.0.1:{}?timeout=500", first[0].port);
    kit::run(async {
        let told = async |url: &str, named: &[u16], not: u16| {
            let error = RedisStore::open(url).await.expect_err("somebody is silent");
            let text = failure(&error).to_string();
            for port in named {
                assert!(
                    text.contains(&format!("127.0.0.1:{port}")),
                    "{text} does not name {port}"
                );
            }
            assert!(!text.contains(&not.to_string()), "{text} names who answers");
        };
        told(&format!("{shards}?timeout=500"), &[silent], one.port).await;
        told(&sentinels, &[away, gone], sentinel).await;
        constellation.servers[0].signal("STOP");
        told(&behind, &[constellation.servers[0].port], sentinel).await;
        for node in others {
            node.signal("STOP");
        }
        told(&seeds, &[others[0].port, others[1].port], first[0].port).await;
    });
}

/// A store that is open names who failed as well.
#[test]
fn who_fails_later_is_named() {
    let mut servers = [Server::start(&[]), Server::start(&[])];
    let [one, other] = [servers[0].port, servers[1].port];
    let url = format!("redis+shards://127.0.0.1:{one}|127.0.0.1:{other}");
    let name = format!("127.0.0.1:{one}: ");
    kit::run(async {
        for way in ["?", "?layout=fields", "?scripts=never"] {
            let store = RedisStore::open(&format!("{url}{way}")).await;
            let store = store.expect("both answer");
            servers[0].cli(&["CONFIG", "SET", "maxmemory", "1"]);
            let ids = Ids::new();
            let mut full = 0;
            for _ in 0..20 {
                let created = store.create(&ids.key(None), &ids.new_session(None)).await;
                if let Err(error) = created {
                    let text = failure(&error).to_string();
                    assert!(text.starts_with(&name), "{text} does not name the server");
                    full += 1;
                }
            }
            assert_ne!(full, 0, "half of them have no room");
            servers[0].cli(&["CONFIG", "SET", "maxmemory", "0"]);
            servers[0].kill();
            for _ in 0..20 {
                if let Err(error) = store.load(&ids.key(None)).await {
                    let text = failure(&error).to_string();
                    assert!(text.starts_with(&name), "{text} does not name the server");
                }
            }
            servers[0].kill_and_restart();
        }
    });
}

/// The server that is meant is named, and no other, and what a user may not run.
#[test]
fn who_and_what_is_named() {
    let gone = free_port();
    let server = Server::start(&["--user", "app", "on", ">pw", "~*", "-@all", "+get"]);
    let one = Server::start(&[]);
    let shards = format!("redis+shards://127.0.0.1:{}|127.0.0.1:{gone}", one.port);
    let rights = format!("redis://app:pw@127.0.0.1:{}", server.port);
    kit::run(async {
        let error = RedisStore::open(&shards).await.expect_err("one is gone");
        let text = failure(&error).to_string();
        assert!(text.starts_with(&format!("127.0.0.1:{gone}: ")), "{text}");
        assert!(!text.contains(&one.port.to_string()), "{text}");
        let error = RedisStore::open(&rights)
            .await
            .expect_err("it may do nothing");
        let text = failure(&error).to_string();
        assert!(text.contains("NOPERM to \""), "{text}");
    });
}

#[test]
fn a_wrong_url_is_an_invalid_setting() {
    let cases = [
        ("nonsense", "store"),
        ("http://127.0.0.1", "store scheme"),
        ("redis://127.0.0.1/x", "store database"),
        ("redis://127.0.0.1?layout=xml", "store layout"),
        ("redis://127.0.0.1?timeout=0", "store timeout"),
        ("redis://127.0.0.1?timeout=61000", "store timeout"),
        ("redis://127.0.0.1?connections=65", "store connections"),
        ("redis://127.0.0.1?scripts=maybe", "store scripts"),
        ("redis://127.0.0.1?protocol=resp4", "store protocol"),
        ("redis://127.0.0.1?ids=open", "store ids"),
        ("redis://127.0.0.1?ids=plain&layout=packed", "store layout"),
        ("redis://127.0.0.1?scripts=never&ids=plain", "store scripts"),
        ("redis://127.0.0.1?names=plain", "store parameter"),
        ("redis://127.0.0.1?durability=both", "store durability"),
        ("redis+sentinel://127.0.0.1", "store master"),
        ("redis+cluster://127.0.0.1/1", "store database"),
        ("redis+cluster://127.0.0.1,x:y", "store host"),
        ("redis+shard://127.0.0.1", "store scheme"),
        ("redis+sentinel://127.0.0.1,x:y/shop", "store host"),
        ("rediss://127.0.0.1?ca=/nowhere.pem", "store ca"),
        ("rediss://127.0.0.1?ca=Cargo.toml", "store ca"),
    ];
    kit::run(async {
        for (url, name) in cases {
            let error = RedisStore::open(url).await.expect_err(url);
            match error.kind() {
                ErrorKind::InvalidSetting { setting, .. } => assert_eq!(*setting, name, "{url}"),
                other => panic!("{url}: {other:?}"),
            }
        }
    });
}

#[test]
fn a_password_is_not_shown() {
    let settings = cloakroom_redis::Settings::parse("redis://me:hunter2@h").expect("a URL");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

/// Memory is used up: nobody is logged out, nothing new begins, and the error says so.
#[test]
fn a_full_server_is_told_from_a_broken_one() {
    let server = Server::start(&[]);
    kit::run(async {
        let store = RedisStore::open(&server.url(0, ""))
            .await
            .expect("it opens");
        let ids = Ids::new();
        let key = ids.key(None);
        store
            .create(&key, &ids.new_session(None))
            .await
            .expect("there is room");
        server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
        let error = store.create(&ids.key(None), &ids.new_session(None)).await;
        let error = error.expect_err("there is no room");
        assert_eq!(error.kind(), &ErrorKind::StoreFull, "{error:?}");
        let found = store.load(&key).await.expect("reading goes on");
        assert!(matches!(found, cloakroom_core::store::Lookup::Found(_)));
    });
}

pub(crate) fn failure(error: &Error) -> &Failure {
    let source = std::error::Error::source(error).expect("the error has a source");
    source
        .downcast_ref()
        .expect("it is a failure of this crate")
}

fn web_server() -> u16 {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 64];
            let read = stream.read(&mut request);
            if read.is_ok() {
                drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
            }
        }
    });
    port
}
